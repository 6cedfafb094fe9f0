"""`sslint diff --against REV` in a stranger's repository: nothing runs, nothing outside is read.

What runs is seen by strace(1), which also sees what git opens.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import pytest

from sslint import revisions
from sslint.cli import main
from tests import pki
from tests.cases import EXAMPLES

WHO = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
CERTIFICATE = "etc/letsencrypt/live/www.example.org/fullchain.pem"
MEMORY = 700 << 20  # bytes that a run may hold
PROGRAM = "#!/bin/sh\ntouch {0}/ran\n"
CONFIG = """
[core]
    fsmonitor = {0}/program
    hooksPath = {0}/hooks
    sshCommand = {0}/program
    gitProxy = {0}/program
    pager = {0}/program
    editor = {0}/program
    askPass = {0}/program
    attributesFile = {0}/attributes
    excludesFile = {0}/excludes
    alternateRefsCommand = {0}/program
    worktree = {0}
[include]
    path = {0}/included
[includeIf "gitdir:/"]
    path = {0}/included
[alias]
    cat-file = "!{0}/program"
[credential]
    helper = "!{0}/program"
[diff]
    external = {0}/program
[diff "x"]
    textconv = {0}/program
    command = {0}/program
[filter "x"]
    clean = {0}/program
    smudge = {0}/program
    process = {0}/program
    required = true
[gpg]
    program = {0}/program
[uploadpack]
    packObjectsHook = {0}/program
[protocol]
    allow = always
[remote "origin"]
    url = "ext::{0}/program"
    promisor = true
    partialclonefilter = blob:none
[submodule "etc/sub"]
    update = "!{0}/program"
    url = "ext::{0}/program"
[trace2]
    eventTarget = {0}/trace
"""
HOOKS = ("post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change",
         "fsmonitor-watchman", "pre-commit")  # fmt: skip
ENVIRONMENT = {
    "GIT_EXTERNAL_DIFF": "{0}/program", "GIT_PAGER": "{0}/program", "GIT_EDITOR": "{0}/program",
    "GIT_SSH_COMMAND": "{0}/program", "GIT_ASKPASS": "{0}/program", "GIT_PROXY_COMMAND": "{0}/program",
    "GIT_DIR": "{0}/other/.git", "GIT_OBJECT_DIRECTORY": "{0}/other/.git/objects",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "{0}/other/.git/objects", "GIT_EXEC_PATH": "{0}/hooks",
    "GIT_CONFIG_GLOBAL": "{0}/included", "GIT_CONFIG_SYSTEM": "{0}/included",
    "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": "{0}/program",
    "GIT_TRACE": "{0}/trace", "GIT_TRACE2_EVENT": "{0}/trace", "GIT_TEMPLATE_DIR": "{0}/hooks",
    "GIT_COMMON_DIR": "{0}/other/.git", "GIT_NAMESPACE": "x", "GIT_SHALLOW_FILE": "{0}/included",
    "GIT_INDEX_FILE": "{0}/included", "GIT_WORK_TREE": "{0}", "GIT_REPLACE_REF_BASE": "refs/x",
}  # fmt: skip


def git(top: Path, *words: str, given: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *WHO, "-C", str(top), *words], input=given, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's work tree with one commit, and the working directory in it."""
    work = tmp_path / "work"
    shutil.copytree(EXAMPLES / "sound", work)
    (work / ".gitattributes").write_text("* filter=x diff=x\n")
    git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "x")
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory of somebody else, with a program and a repository."""
    made = tmp_path / "canary"
    (made / "hooks").mkdir(parents=True)
    for name in ("program", "hooks/git", *(f"hooks/{name}" for name in HOOKS)):
        (made / name).write_text(PROGRAM.format(made))
        (made / name).chmod(0o755)
    shutil.copytree(EXAMPLES / "web-443-closed", made / "other")
    git(made / "other", "init", "--quiet", "--initial-branch=secret")
    git(made / "other", "add", "--all")
    git(made / "other", "commit", "--quiet", "--message", "secret")
    return made


def blob(top: Path, content: str) -> str:
    return git(top, "hash-object", "-w", "--stdin", given=content.encode())


def literal(top: Path, kind: str, content: bytes) -> str:
    """Write an object that git would not make, and return its id."""
    data = b"%s %d\0%s" % (kind.encode(), len(content), content)
    name = sha1(data).hexdigest()
    place = top / ".git/objects" / name[:2] / name[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(data))
    return name


def tree(top: Path, *entries: tuple[str, bytes, str]) -> str:
    return literal(
        top, "tree", b"".join(b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(oid))
                              for mode, name, oid in entries),
    )  # fmt: skip


def commit(top: Path, tree_id: str) -> str:
    return git(top, "commit-tree", tree_id, "-m", "x")


# -- what would run -------------------------------------------------------------------------------


def _traced(top: Path, out: Path, *words: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run sslint under strace and return its exit status and the system calls about files."""
    done = subprocess.run(
        ["strace", "-f", "-s", "300", "-o", str(out), "-e", "trace=execve,openat,open,connect",
         sys.executable, "-m", "sslint", *words],
        cwd=top, env={**os.environ, **environment}, capture_output=True, timeout=120,
    )  # fmt: skip
    return done.returncode, out.read_text()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(
    ("command", "missing"), [("diff", False), ("diff", True), ("check", False), ("check", True)]
)
def test_nothing_of_a_hostile_repository_runs(
    top: Path, canary: Path, tmp_path: Path, command: str, missing: bool
) -> None:
    """Filters, text conversion, hooks, monitors, helpers, includes, promises and the environment.

    With `missing` a file is left to the promisor remote to bring, which nobody asks. A check asks
    since when the repository has a certificate that expired.
    """
    if command == "check":
        chain, _ = pki.files({"names": ["www.example.org"], "left": -1})
        (top / CERTIFICATE).parent.mkdir(parents=True)
        (top / CERTIFICATE).write_text(chain)
        git(top, "add", "--all")
        git(top, "commit", "--quiet", "--message", "x")
    config = CONFIG.format(canary)
    with (top / ".git/config").open("a") as file:
        file.write(config + "[extensions]\n\tpartialClone = origin\n\tworktreeConfig = true\n")
    (top / ".git/config.worktree").write_text(config)
    for hook in HOOKS:
        shutil.copy(canary / "program", top / ".git/hooks" / hook)
    (top / ".gitmodules").write_text(
        f"[submodule]\n\tpath = etc/sub\n\tupdate = !{canary}/program\n"
    )
    if missing:
        lost = CERTIFICATE if command == "check" else "etc/nftables.conf"
        name = git(top, "--no-replace-objects", "rev-parse", f"HEAD:{lost}")
        (top / ".git/objects" / name[:2] / name[2:]).unlink()
    environment = {key: value.format(canary) for key, value in ENVIRONMENT.items()}
    words = ["diff", "--against", "main"] if command == "diff" else ["check", "--now=2099-01-01"]
    status, calls = _traced(top, tmp_path / "calls", *words, environment=environment)
    assert status == (1 if command == "check" else 2 if missing else 0)
    ran = set(re.findall(r'execve\("([^"]+)"', calls))
    assert {os.path.basename(path).rstrip("0123456789.") for path in ran} == {"python", "git"}
    assert all(path == sys.executable or path.startswith("/usr/") for path in ran)
    assert str(canary) not in calls
    assert "AF_INET" not in calls
    assert not (canary / "ran").exists()
    assert not (canary / "trace").exists()


# -- what lies elsewhere --------------------------------------------------------------------------


def _alternates(top: Path, other: Path) -> None:
    (top / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
    (top / ".git/refs/heads/secret").write_text(git(other, "rev-parse", "HEAD") + "\n")


def _git_file(top: Path, other: Path) -> None:
    shutil.rmtree(top / ".git")
    (top / ".git").write_text(f"gitdir: {other}/.git\n")


def _git_link(top: Path, other: Path) -> None:
    shutil.rmtree(top / ".git")
    (top / ".git").symlink_to(other / ".git")


def _common_directory(top: Path, other: Path) -> None:
    (top / ".git/commondir").write_text(f"{other}/.git\n")


def _work_tree_of_another(top: Path, other: Path) -> None:
    """Like a linked work tree, whose directory lies beside it."""
    shutil.rmtree(top / ".git")
    mine = top / "mine"
    mine.mkdir()
    (mine / "gitdir").write_text(f"{top}/.git\n")
    (mine / "commondir").write_text(f"{other}/.git\n")
    (mine / "HEAD").write_text("ref: refs/heads/secret\n")
    (top / ".git").write_text("gitdir: mine\n")


def _objects_link(top: Path, other: Path) -> None:
    shutil.rmtree(top / ".git/objects")
    (top / ".git/objects").symlink_to(other / ".git/objects")
    (top / ".git/refs/heads/secret").write_text(git(other, "rev-parse", "HEAD") + "\n")


def _object_links(top: Path, other: Path) -> None:
    for directory in (other / ".git/objects").iterdir():
        mine = top / ".git/objects" / directory.name
        shutil.rmtree(mine, ignore_errors=True)
        mine.symlink_to(directory)
    (top / ".git/refs/heads/secret").write_text(git(other, "rev-parse", "HEAD") + "\n")


def _pack_links(top: Path, other: Path) -> None:
    git(other, "repack", "-adq")
    for file in (other / ".git/objects/pack").iterdir():
        (top / ".git/objects/pack" / file.name).symlink_to(file)
    (top / ".git/refs/heads/secret").write_text(git(other, "rev-parse", "HEAD") + "\n")


def _refs_link(top: Path, other: Path) -> None:
    shutil.rmtree(top / ".git/refs")
    (top / ".git/refs").symlink_to(other / ".git/refs")
    for file in (other / ".git/objects").rglob("*"):
        here = top / ".git/objects" / file.relative_to(other / ".git/objects")
        if file.is_dir():
            here.mkdir(exist_ok=True)
        elif not here.exists():  # objects are read-only, also for who owns them
            shutil.copy(file, here)


ELSEWHERE = (
    _alternates, _git_file, _git_link, _common_directory, _work_tree_of_another, _objects_link,
    _object_links, _pack_links, _refs_link,
)  # fmt: skip


@pytest.mark.parametrize("lead", ELSEWHERE, ids=lambda lead: lead.__name__.strip("_"))
def test_a_repository_elsewhere_is_not_read(
    top: Path, canary: Path, lead: Callable[[Path, Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    lead(top, canary / "other")
    for name in ("secret", "HEAD", "secret:."):
        words = [name, "."] if ":" in name else ["--against", name]
        status = main(["diff", *words])
        captured = capsys.readouterr()
        if name == "HEAD" and status == 0:  # this repository's own
            assert captured.out == "no difference\n"
            continue
        assert status == 2, name
        assert captured.out == ""
        assert captured.err.startswith("sslint: ")


def test_what_belongs_to_a_work_tree_is_read(top: Path, tmp_path: Path) -> None:
    """A linked work tree, a submodule, a shallow clone, packed names and objects."""
    linked = tmp_path / "linked"
    git(top, "worktree", "add", "--quiet", "--detach", str(linked), "main")
    assert main(["diff", "--against", "main", str(linked)]) == 0
    assert main(["diff", "--against", "HEAD", str(linked)]) == 0
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(top), "inner")
    assert main(["diff", "--against", "HEAD", str(outer / "inner")]) == 0
    shallow = tmp_path / "shallow"
    git(top, "commit", "--quiet", "--allow-empty", "--message", "y")
    git(top, "gc", "--quiet")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{top}", str(shallow))
    assert main(["diff", "--against", "origin/main", str(shallow)]) == 0
    assert main(["diff", "--against", "HEAD~1", str(shallow)]) == 2
    assert main(["diff", "--against", "main~1", str(top)]) == 0


@pytest.mark.parametrize("option", ["--object-format=sha256", "--ref-format=reftable"])
def test_other_formats_of_repositories_are_read(tmp_path: Path, option: str) -> None:
    work = tmp_path / "work"
    shutil.copytree(EXAMPLES / "sound", work)
    made = subprocess.run(["git", "init", "--quiet", "-b", "main", option, str(work)], check=False)
    if made.returncode:
        pytest.skip(f"this git does not know {option}")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "x")
    assert main(["diff", "--against", "main", str(work)]) == 0


def test_a_replaced_object_is_not_the_commit(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = git(top, "rev-parse", "HEAD:etc/nftables.conf")
    git(top, "replace", old, blob(top, "flush ruleset\n"))
    assert main(["diff", "--against", "main"]) == 0
    assert capsys.readouterr().out == "no difference\n"


# -- names and sizes ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"..", b".", b".git", b"a/b", b"", b"x" * 300],
                         ids=repr)  # fmt: skip
def test_a_name_that_no_checkout_makes_is_refused(
    top: Path, tmp_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = tree(top, ("100644", b"planted", blob(top, "x")))
    below = tree(top, ("40000", name, planted), ("100644", b"x", blob(top, "x")))
    made = commit(top, tree(top, ("40000", b"etc", below)))
    before = {path for path in tmp_path.rglob("*") if ".git" not in path.parts}
    status = main(["diff", "--against", made, "etc"])
    assert status == 2
    assert capsys.readouterr().err.startswith("sslint: ")
    assert {path for path in tmp_path.rglob("*") if ".git" not in path.parts} == before


@pytest.mark.parametrize("name", [b"a\\..\\b", b".GIT", b"a\nb", b"\x1b[31m", b"\xff", b"~", b"-x", b"CON"],
                         ids=repr)  # fmt: skip
def test_an_odd_name_harms_nothing(
    top: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [("100644", name, blob(top, "x"))]
    for line in git(top, "ls-tree", "HEAD:etc").splitlines():
        mode, _, rest = line.split(" ", 2)
        oid, _, known = rest.partition("\t")
        entries.append((mode.lstrip("0"), known.encode(), oid))
    made = commit(top, tree(top, ("40000", b"etc", tree(top, *entries))))
    assert main(["diff", "--against", made, "etc"]) == 0
    assert capsys.readouterr().out == "no difference\n"


@pytest.mark.parametrize(
    "content", [b"100644 x", b"100644 x\0short", b"x\0" + bytes(20), b"999999 x\0" + bytes(20)],
    ids=["unfinished", "short", "no mode", "no octal"],
)  # fmt: skip
def test_a_damaged_tree_is_no_bug(
    top: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    made = commit(top, tree(top, ("40000", b"etc", literal(top, "tree", content))))
    assert main(["diff", "--against", made, "etc"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_objects_of_other_kinds_than_their_names_say_are_no_bug(top: Path) -> None:
    text = blob(top, "no tree")
    below = tree(top, ("100644", b"x", text))
    for entry in (("40000", b"etc", text), ("100644", b"etc", below), ("160000", b"etc", text)):
        assert main(["diff", "--against", commit(top, tree(top, entry)), "etc"]) in (2, 3)


def _peak(words: list[str], top: Path) -> tuple[int, int]:
    """Run sslint and return its exit status and how many bytes it or git held."""
    done = subprocess.Popen(
        [sys.executable, "-m", "sslint", *words],
        cwd=top, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    assert isinstance(usage, resource.struct_rusage)
    return done.returncode, usage.ru_maxrss << 10


def test_a_tree_of_trees_ends(top: Path) -> None:
    """Ten levels of ten entries each, all the same objects: ten thousand million files."""
    below = tree(top, *(("100644", b"%d" % n, blob(top, "x")) for n in range(10)))
    for _ in range(10):
        below = tree(top, *(("40000", b"%d" % n, below) for n in range(10)))
    made = commit(top, tree(top, ("40000", b"etc", below)))
    status, peak = _peak(["diff", "--against", made, "etc"], top)
    assert status == 2
    assert peak < MEMORY


@pytest.mark.parametrize("times", [1, 30])
def test_a_huge_file_is_not_held(top: Path, times: int) -> None:
    """A file of 1 GiB, and many of 15 MiB, that take a few kilobytes in the repository."""
    size = (1 << 30) if times == 1 else (15 << 20)
    stream = zlib.compressobj(9)
    head = b"blob %d\0" % size
    digest, packed = sha1(head), [stream.compress(head)]
    part = bytes(1 << 20)
    for _ in range(size >> 20):
        digest.update(part)
        packed.append(stream.compress(part))
    name = digest.hexdigest()
    place = top / ".git/objects" / name[:2] / name[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"".join(packed) + stream.flush())
    entries = [("100644", b"x%d" % n, name) for n in range(times)]
    etc = git(top, "rev-parse", "HEAD:etc")
    made = commit(top, tree(top, ("40000", b"etc", etc), *entries))
    status, peak = _peak(["diff", "--against", made, "etc"], top)
    assert status == 0
    assert peak < MEMORY


@pytest.mark.parametrize(
    "place", ["objects/pack/x.idx", "HEAD", "packed-refs", "config", "shallow"]
)
def test_a_pipe_in_a_repository_does_not_hold_a_run(top: Path, place: str) -> None:
    path = top / ".git" / place
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = subprocess.run(
        [sys.executable, "-m", "sslint", "diff", "--against", "main"],
        cwd=top, capture_output=True, timeout=30,
    )  # fmt: skip
    assert done.returncode in (0, 2)


def test_a_git_that_does_not_answer_is_left(
    top: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (top / ".git/refs/heads/pipe").unlink(missing_ok=True)
    os.mkfifo(top / ".git/refs/heads/pipe")
    monkeypatch.setattr(revisions, "_SECONDS", 0.5)
    assert main(["diff", "--against", "pipe"]) == 2
    assert "git does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["--help", "-x", "--batch-all-objects", "a b", "a\nb", "", "x" * 999]
)
def test_a_name_that_git_might_obey_is_refused(
    top: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in ("--help", "-x"):
        (top / ".git/refs/heads" / name).write_text(git(top, "rev-parse", "HEAD") + "\n")
    assert main(["diff", f"--against={name}"]) == 2
    assert capsys.readouterr().out == ""
