"""Judge many hosts in several processes, with the report that one process would give.

Workers are forked when the first hosts are judged: they have what was read once, and hosts take
turns at whoever is free. What a host spent is counted by whoever judged it, and added up here in
the hosts' order; where a limit of the run could have stopped one process, this one judges the host
itself, with all that the hosts before it have spent. So it does for a worker that is gone.
"""

from __future__ import annotations

import io
import os
import pickle  # nosec B403 - of our own workers
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sslint.budgets import File, begin, end, last_stop
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.targets import Target

T = TypeVar("T")

MAX_PROCESSES = 64  # each takes a descriptor
MAX_TOKENS = 1_000  # of four bytes: every pipe takes them before somebody reads
# What reports may spend again of a host that a worker judged: its firewall is made again when it
# is asked, and directories are looked at again.
_AGAIN = ("bytes", "files", "entries", "matches", "ranges", "states", "steps")

_shared: list[Any] = []  # what all processes have, and none sends


@dataclass(slots=True)
class _Done(Generic[T]):
    """What is made of a host, what that spent and met, and what sending it spent."""

    result: T
    spent: Mapping[str, int]
    met: Mapping[File, int]
    sent: Mapping[str, int]


class _Worker:
    """A process that judges hosts, and the file in memory that it writes to."""

    def __init__(self) -> None:
        self.file = os.memfd_create("sslint")
        self.process = 0
        self._read = 0  # bytes

    def done(self) -> Iterator[tuple[int, _Done[Any]]]:
        """Yield the hosts that it has sent since."""
        while len(head := os.pread(self.file, 8, self._read)) == 8:
            size = int.from_bytes(head, "little")
            record = os.pread(self.file, size, self._read + 8)
            if len(record) < size:  # it is being written
                return
            self._read += 8 + size
            stream = io.BytesIO(record)
            number, spent, met, sent = pickle.load(stream)  # noqa: S301 # nosec B301
            yield number, _Done(pickle.load(stream), spent, met, sent)  # noqa: S301 # nosec B301

    def end(self) -> None:
        """End the process if it is still there."""
        if self.process:
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
        self.wait()
        os.close(self.file)

    def wait(self) -> None:
        """Wait for its end."""
        if self.process:
            with suppress(ChildProcessError):
                os.waitpid(self.process, 0)
        self.process = 0


class Run(Generic[T]):
    """The hosts from one on, judged by several processes; this one is the first of them."""

    def __init__(
        self,
        targets: Sequence[Target],
        first: int,
        work: Callable[[Target], T],
        shared: Sequence[object],
        told: Callable[[str], None] | None,
    ) -> None:
        self.targets = targets
        self.first = first
        self.work = work
        self.told = told
        self.budgets = targets[0].tree.budgets
        _shared[:] = [self.budgets, *shared]
        places = {id(one): place for place, one in enumerate(_shared)}
        self._table = {kind: lambda one: (_same, (places[id(one)],)) for kind in map(type, _shared)}
        self.step = 1 + (len(targets) - first) // MAX_TOKENS
        self.tokens, tokens = os.pipe()
        numbers = range(first, len(targets), self.step)
        os.write(tokens, b"".join(number.to_bytes(4, "little") for number in numbers))
        os.close(tokens)  # so that reading ends after the last

    def results(self, count: int) -> Iterator[T]:
        """Yield what is made of the hosts, by so many processes."""
        begun = dict(self.budgets.used), dict(self.budgets.met), self.budgets.fresh
        workers: list[_Worker] = []
        count = min(count, MAX_PROCESSES)
        last_stop.share(count)
        try:
            with suppress(OSError):  # then there are fewer
                while len(workers) < count - 1:
                    workers.append(_Worker())
                    self._fork(workers[-1])
            done = self._judge_with(workers)
        finally:
            for worker in workers:
                worker.end()
            os.close(self.tokens)
            last_stop.share(1)
        self.budgets.used, self.budgets.met, self.budgets.fresh = begun
        yield from self._in_order(done)
        _shared.clear()

    def _judge_with(self, workers: Sequence[_Worker]) -> dict[int, _Done[T]]:
        """Judge hosts as long as some are left, and return what everyone made."""
        found: dict[int, _Done[T]] = {}
        for number in self._turns():
            if self.told is not None:
                judged = self.first + len(found) + 1
                name = self.targets[number].name
                self.told(f"checking {judged} of {len(self.targets)}: {name}")
            # It may have to be judged once more, and reading leaves traces in a tree.
            if (done := self._done(self.targets[number], copied=True)) is not None:
                found[number] = done
            for worker in workers:
                found.update(worker.done())
        for worker in workers:
            worker.wait()
            found.update(worker.done())
        return found

    def _in_order(self, done: dict[int, _Done[T]]) -> Iterator[T]:
        """Yield each host's, and judge those of whom it is not known what one process made."""
        held = Counter[str]()  # what reports may yet spend
        for number in range(self.first, len(self.targets)):
            one = done.pop(number, None)
            if one is not None and self._fits(one, held):
                for name, amount in one.spent.items():
                    self.budgets.used[name] += amount
                self.budgets.meet(one.met)
                yield one.result
            else:
                yield self.work(self.targets[number])

    def _fits(self, one: _Done[T], held: Counter[str]) -> bool:
        """Tell whether no limit would have stopped a process that judged all hosts, and count."""
        again = {name: one.spent[name] + one.sent.get(name, 0) for name in _AGAIN}
        for name, amount in one.spent.items():
            most = self.budgets.used[name] + held[name] + amount + again.get(name, 0)
            if amount and most > self.budgets.allowed(name):
                return False
        held.update(again)
        return True

    # -- in each process --------------------------------------------------------------------

    def _turns(self) -> Iterator[int]:
        """Yield the numbers of the hosts that nobody else has taken."""
        while not last_stop.is_over and (token := os.read(self.tokens, 4)):
            number = int.from_bytes(token, "little")
            yield from range(number, min(number + self.step, len(self.targets)))

    def _done(self, target: Target, *, copied: bool = False) -> _Done[T] | None:
        """Judge a host; None where that failed, or a limit was met."""
        before, refused = dict(self.budgets.used), self.budgets.refused
        known = len(self.budgets.met)
        try:
            result = self.work(self._copy(target) if copied else target)
        except Exception:
            return None  # it fails again when it is its turn
        spent, met = self._since(before), dict(islice(self.budgets.met.items(), known, None))
        return None if self.budgets.refused > refused else _Done(result, spent, met, {})

    def _since(self, before: Mapping[str, int]) -> dict[str, int]:
        return {name: self.budgets.used[name] - amount for name, amount in before.items()}

    def _copy(self, target: Target) -> Target:
        copied: Target = pickle.loads(self._pickled(target))  # noqa: S301 # nosec B301
        return copied

    def _pickled(self, value: object) -> bytes:
        written = io.BytesIO()
        pickler = pickle.Pickler(written, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = self._table
        pickler.dump(value)
        return written.getvalue()

    def _fork(self, worker: _Worker) -> None:
        parent, status = os.getpid(), 1
        try:
            worker.process = os.fork()
            if worker.process == 0:
                last_stop.follow()
                for number in self._turns():
                    if os.getppid() != parent:
                        break
                    self._send(worker, number)
                status = 0
        finally:
            if os.getpid() != parent:
                os._exit(status)  # whatever else is under way is the parent's

    def _send(self, worker: _Worker, number: int) -> None:
        """Judge a host, and write what is made of it."""
        done = self._done(self.targets[number])
        if done is None:
            return
        used, refused = dict(self.budgets.used), self.budgets.refused
        token = begin(self.budgets)  # an answer is told why when it is sent
        try:
            record = self._pickled(done.result)
        except Exception:
            return
        finally:
            end(token)
            sent = self._since(used)
            self.budgets.used = used
        if self.budgets.refused == refused:
            record = pickle.dumps((number, done.spent, done.met, sent)) + record
            record = len(record).to_bytes(8, "little") + record
            while record:
                record = record[os.write(worker.file, record) :]


def _same(number: int) -> Any:
    """Return what every process has."""
    return _shared[number]
