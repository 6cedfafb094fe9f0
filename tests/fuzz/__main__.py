"""Fuzz one subject, guided by coverage: `python -m tests.fuzz SUBJECT [EXECUTIONS [DIRECTORY]]`.

What is found is written to DIRECTORY/found/SUBJECT, one input for each place where a program
fails, and the run goes on. The corpus is kept in DIRECTORY/corpus/SUBJECT: the next run begins
with it. Without DIRECTORY it is build/fuzz.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import traceback
from pathlib import Path

import atheris

os.environ["SSLINT_DEBUG"] = "1"
with atheris.instrument_imports(include=["sslint"]):
    from tests.fuzz import mutation, subjects

SECONDS = 10.0  # of processor time for one input


class HangError(BaseException):
    """An input takes too long."""


def _hang(*_: object) -> None:
    raise HangError


class Fuzzer:
    """Feed one subject, and keep one input for each way it fails."""

    def __init__(self, name: str, directory: Path) -> None:
        self.subject = subjects.SUBJECTS[name]
        self.seeds = subjects.seeds(name)
        self.corpus = directory / "corpus" / name
        self.found = directory / "found" / name
        for path in (self.corpus, self.found):
            path.mkdir(parents=True, exist_ok=True)
        for seed in self.seeds:
            (self.corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        signal.signal(signal.SIGVTALRM, _hang)

    def run(self, data: bytes) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            subjects.run(self.subject, data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self.keep(data, error)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def keep(self, data: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if f"{os.sep}sslint{os.sep}" in f.filename] or frames
        place = f"{Path(own[-1].filename).stem}-{own[-1].lineno}"
        if isinstance(error, HangError):
            place = "hang"
        path = self.found / f"{type(error).__name__}-{place}"
        if not path.exists():
            path.write_bytes(data)
            shown = "".join(traceback.format_exception(error))[-3000:]
            path.with_name(f"{path.name}.txt").write_text(shown, errors="backslashreplace")
            print(f"found {path}", file=sys.stderr, flush=True)

    def mutate(self, data: bytes, size: int, seed: int) -> bytes:
        """Let libFuzzer change one in four inputs, byte by byte."""
        rnd = random.Random(seed)
        if rnd.random() < 0.25:
            return bytes(atheris.Mutate(data, size))
        return mutation.mutate(rnd, data, self.seeds)[:size]


def main() -> None:
    name = sys.argv[1]
    executions = sys.argv[2] if len(sys.argv) > 2 else "200000"
    directory = Path(sys.argv[3] if len(sys.argv) > 3 else "build/fuzz")
    fuzzer = Fuzzer(name, directory)
    options = [
        sys.argv[0], f"-runs={executions}", f"-max_len={mutation.MAX_LENGTH}", "-len_control=0",
        "-print_final_stats=1", "-timeout=60", "-rss_limit_mb=2048", str(fuzzer.corpus),
    ]  # fmt: skip
    atheris.Setup(options, fuzzer.run, custom_mutator=fuzzer.mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
