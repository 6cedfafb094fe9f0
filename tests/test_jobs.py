"""Many hosts in several processes: the same report, whoever judges which, and whatever ends."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sslint import budgets, cli, jobs, targets, workers
from sslint import host as hosts
from sslint.arguments import REPORTS
from tests import cases
from tests.hostile.registry import Ground
from tests.hostile.test_budgets import CASES as LIMITED

NOW = "2026-09-01T00:00:00Z"
PROGRAM = "import sys; from sslint import cli, jobs; jobs.ALONE = 0; sys.exit(cli.program())"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let several processes judge whatever little there is."""
    monkeypatch.setattr(jobs, "ALONE", 0)


def lay(root: Path, made: list[cases.Case]) -> Path:
    """Write the hosts of some cases, as far as files can be."""
    (root / ".git").mkdir(parents=True)
    for number, case in enumerate(made):
        place = root / f"host{number:03}"
        shutil.copytree(cases.SOUND / case.host, place, symlinks=True)
        for path, text in cases.target(case.host, case.edits).tree.overlay.items():
            real = place / path.lstrip("/")
            if text is None:
                shutil.rmtree(real) if real.is_dir() and not real.is_symlink() else real.unlink()
            else:
                real.unlink(missing_ok=True)
                real.parent.mkdir(parents=True, exist_ok=True)
                real.write_text(text, "utf-8", "surrogateescape")
    return root


def some(number: int) -> list[cases.Case]:
    """Return some of all cases of rules, the same in each run."""
    every = [case for case in cases.load_cases() if not case.settings and not case.running]
    return random.Random(5).sample(every, number)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = lay(tmp_path_factory.mktemp("jobs") / "repository", some(30))
    (root / ".sslint.yaml").write_text(
        "severity:\n"
        "  - {rule: reachability, is: ignored, path: 'host00*', reason: known}\n"
        "  - {rule: certificate, is: info}\n"
        "  - {rule: tls-port-closed, is: ignored, path: nowhere, reason: of no finding}\n"
    )
    return root


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# -- the same report ----------------------------------------------------------------------------


def test_every_report_is_the_same(repository: Path, tmp_path: Path) -> None:
    """With one process and with several, and over hash seeds."""
    said = []
    for seed, number in enumerate((1, 3, 2)):
        out = tmp_path / f"out{seed}"
        out.mkdir()
        named = [word for name in REPORTS for word in ("--output", f"{name}={out}/{name}")]
        words = ["check", repository, "--now", NOW, "-v", "--jobs", number, *named]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, words)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode in (1, 3), done.stderr
        files = {name: (out / name).read_bytes() for name in REPORTS}
        said.append((done.returncode, done.stdout, done.stderr, files))
    assert b"of no finding" not in said[0][2]
    assert b"nothing of tls-port-closed" in said[0][2]
    assert said[0][3]["json"].count(b'"fingerprint"') > 15
    for other in said[1:]:
        for name in REPORTS:
            assert other[3][name] == said[0][3][name], name
        assert other[:3] == said[0][:3]


def test_endpoints_are_the_same(repository: Path, capsys) -> None:
    words = ("endpoints", repository, "--format", "json")
    assert run(capsys, *words, "--jobs", "3") == run(capsys, *words, "--jobs", "1")


def judge(target: targets.Target) -> tuple[int, str]:
    """Read a host; say in which process, and what it is called."""
    return os.getpid(), hosts.read(target).name


def found(root: Path) -> list[targets.Target]:
    every = targets.find([str(root)])
    limits = budgets.Budgets()
    for target in every:
        target.tree.budgets = limits
    return every


def test_all_processes_judge_and_no_host_twice(repository: Path) -> None:
    made = []

    def slowly(target: targets.Target) -> tuple[int, str]:
        time.sleep(0.02)
        made.append(target.name)
        return judge(target)

    every = found(repository)
    results = list(jobs.each(every, slowly, jobs=3))
    assert [name for _, name in results] == [target.name for target in every]
    by = Counter(process for process, _ in results)
    assert len(by) == 3
    assert min(by.values()) > 5
    assert len(made) == by[os.getpid()]


def test_blocks_of_hosts_are_taken_where_there_are_too_many(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MAX_TOKENS", 4)
    every = found(repository)
    names = [name for _, name in jobs.each(every, judge, jobs=2)]
    assert names == [target.name for target in every]


def test_a_key_that_a_worker_reads_is_not_shown(tmp_path: Path, capsys) -> None:
    """Its lines are known to the process that writes the report."""
    script = """
import sys
from sslint import jobs, plain, targets
from tests.test_jobs import found
from sslint import host as hosts
jobs.ALONE = 0
list(jobs.each(found(sys.argv[1]), hosts.read, jobs=int(sys.argv[2])))
print(sorted(plain._pieces))
"""
    for number in range(6):
        ground = Ground(tmp_path / f"host{number}")
        ground.nginx("server { listen 443 ssl; server_name a.example.org; }\n")
        line = f"Key{number}" * 12
        key = f"-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n"
        ground.write("etc/nginx/conf.d/key.conf", key)
        ground.nginx("include conf.d/key.conf;\n")
    said = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), number],
            cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for number in "13"
    }  # fmt: skip
    assert len(said) == 1
    assert "Key5Key5" in said.pop()


# -- what runs out ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIMITED)
def test_the_same_host_is_refused(name: str, tmp_path: Path, capsys) -> None:
    """A limit of the run counts all hosts before, whoever judged them."""
    rnd = random.Random(name)
    _, make, *_ = LIMITED[name]
    for number in range(4):
        ground = Ground(tmp_path / f"host{number}")
        make(ground)
        (ground.root / ".sslint.yaml").unlink(missing_ok=True)
        if rnd.random() < 0.3:
            ground.write("etc/nginx/more", "# a comment\n" * rnd.randrange(50))
    used = _used(tmp_path)[name]
    assert used >= 4
    refused = 0
    for limit in sorted(rnd.sample(range(1, used + 3), min(used, 5))):
        words = ("check", tmp_path, "--format", "json", "--limit", f"{name}={limit}")
        one = run(capsys, *words, "--jobs", "1")
        assert run(capsys, *words, "--jobs", "3") == one, limit
        refused += "needs more than" in one[1]
    assert refused


def _used(root: Path) -> dict[str, int]:
    every = found(root)
    for target in every:
        hosts.read(target)
    return every[0].tree.budgets.used


# -- what ends ----------------------------------------------------------------------------------


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise ValueError("of a worker")


def _no_pickle() -> Any:
    return lambda: None


@pytest.mark.parametrize("ends", [_kill, _raise, lambda: os._exit(0), sys.exit, _no_pickle])
def test_no_host_is_lost_with_a_worker(repository: Path, ends: Callable[[], Any]) -> None:
    """What a worker does not send is judged by the one that writes the report."""
    own = os.getpid()

    def work(target: targets.Target) -> tuple[int, str, Any]:
        time.sleep(0.01)
        ended = ends() if os.getpid() != own and target.name[-1] in "37" else None
        return (*judge(target), ended)

    every = found(repository)
    results = list(jobs.each(every, work, jobs=3))
    assert [name for _, name, _ in results] == [target.name for target in every]
    assert all(process == own for process, name, _ in results if name[-1] in "37")


def test_one_process_is_enough(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may have no room for another."""

    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    every = found(repository)
    results = list(jobs.each(every, judge, jobs=3))
    assert results == [(os.getpid(), target.name) for target in every]


def test_an_error_is_that_of_the_first_host(repository: Path) -> None:
    def work(target: targets.Target) -> str:
        if int(target.name[-3:]) > 4:
            raise ValueError(target.name)
        return target.name

    every = found(repository)
    with pytest.raises(ValueError, match="005"):
        list(jobs.each(every, work, jobs=3))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@contextlib.contextmanager
def long_run(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Check many hosts in a session of its own, which is given back when all processes are up."""
    command = [sys.executable, "-c", PROGRAM, "check", str(root), "--jobs", "3"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        # A shell lets what it starts in the background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        try:
            assert _within(20, lambda: len(_session(process.pid)) == 3), "it forks"
            yield process
        finally:
            for one in _session(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session, *_ = place.read_text().rpartition(")")[2].split()
            if int(session) == leader and state not in "ZX":
                found.append(int(place.parent.name))
    return found


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_all_processes(tmp_path: Path, sent: signal.Signals) -> None:
    root = lay(tmp_path / "many", some(1) * 400)
    with long_run(root) as process:
        process.send_signal(sent)
        assert process.wait(20) == (130 if sent == signal.SIGINT else -sent)
        assert _within(20, lambda: not _session(process.pid))


def test_a_worker_that_is_killed_changes_no_report(tmp_path: Path, capsys) -> None:
    root = lay(tmp_path / "many", some(4) * 30)
    with long_run(root) as process:
        worker = next(one for one in _session(process.pid) if one != process.pid)
        os.kill(worker, signal.SIGKILL)
        assert process.wait(60) == run(capsys, "check", root, "--jobs", "1")[0]


def test_time_is_over_in_a_worker_as_well(tmp_path: Path) -> None:
    """Each process has its own, and what none has the time for is said."""
    script = """
import sys, os, time
from sslint import budgets, jobs, host as hosts
from tests.test_jobs import found
jobs.ALONE = 0
every = found(sys.argv[1])
every[0].tree.budgets.limits["seconds"] = 1
budgets.last_stop.start(every[0].tree.budgets)
own = os.getpid()
def work(target):
    while os.getpid() != own: pass
    return hosts.read(target).name
print(len(list(jobs.each(every, work, jobs=2))))
"""
    root = lay(tmp_path / "many", some(4))
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "4\n", done.stderr


# -- where it does not pay ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "late", "first"),
    [
        (1, {"jobs", "workers"}, "pass"),
        (5, {"workers"}, "from sslint import jobs; jobs.ALONE = 60"),
    ],
)
def test_few_hosts_import_no_more(tmp_path: Path, number: int, late: set[str], first: str) -> None:
    """However slow the machine is."""
    root = lay(tmp_path / "few", some(number))
    script = (
        f"import sys; from sslint import cli; {first}; cli.main(); "
        "print(sorted(n for n in sys.modules if n in ('sslint.jobs', 'sslint.workers', 'pickle')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "check", str(root)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    loaded = done.stdout.splitlines()[-1]
    assert not [name for name in (*late, "pickle") if name in loaded], loaded


def test_a_process_is_worth_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_processors", lambda: 64)
    assert [jobs._worth(left) for left in (0.05, 0.15, 1.05, 60)] == [1, 2, 11, 64]


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--jobs", "many"], ["--jobs", "-1"]])
def test_a_number_of_jobs_is_one(repository: Path, capsys, words: list[str]) -> None:
    code, _, err = run(capsys, "check", repository, *words)
    assert code == 2
    assert "--jobs" in err
