"""`sslint fix` on hostile trees: it writes the host's own files or none, and prints no trap."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sslint import patches
from sslint.cli import main
from sslint.errors import UsageError
from sslint.fixes.edits import Edit
from sslint.patches import Patch
from sslint.tree import TreeError
from sslint.tree.writing import Replacement, replace_files
from tests.cases import EXAMPLES, SOUND

Captured = pytest.CaptureFixture[str]
OPENING = "tcp dport 443 accept"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of an example whose port 443 is closed, and the working directory in it."""
    shutil.copytree(EXAMPLES / "web-443-closed", tmp_path / "host")
    monkeypatch.chdir(tmp_path / "host")
    return tmp_path / "host"


def write(*arguments: str) -> int:
    return main(["fix", "etc", "--allow-open", "--write", *arguments])


def temporaries(directory: Path) -> list[Path]:
    return list(directory.rglob(".sslint-*"))


# -- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["../../outside.nft", "{tmp}/outside.nft", "/proc/self/cwd/x"])
def test_a_link_that_leaves_the_host_is_not_followed(
    target: str, host: Path, capsys: Captured
) -> None:
    outside = host.parent / "outside.nft"
    text = (host / "etc/nftables.conf").read_text()
    for path in (outside, host / "x"):
        path.write_text(text)
    (host / "etc/nftables.conf").unlink()
    (host / "etc/nftables.conf").symlink_to(target.format(tmp=host.parent))
    write()
    assert outside.read_text() == (host / "x").read_text() == text
    assert temporaries(host.parent) == []


def test_a_directory_that_is_a_link_out_of_the_host_is_not_followed(host: Path) -> None:
    (host / "etc/nginx").rename(host.parent / "nginx")
    (host / "etc/nginx").symlink_to("../../nginx")
    before = {path: path.read_bytes() for path in host.parent.rglob("*") if path.is_file()}
    write()
    assert before == {path: path.read_bytes() for path in host.parent.rglob("*") if path.is_file()}


def test_an_include_with_dots_stays_in_the_host(host: Path) -> None:
    outside = host.parent / "outside.nft"
    file = host / "etc/nftables.conf"
    outside.write_text(file.read_text())
    file.write_text(f'include "{"../" * 20}{str(outside)[1:]}"\n')
    write()
    assert OPENING not in outside.read_text()


def test_a_directory_exchanged_for_a_link_meanwhile_is_not_followed(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The other directory holds the same text: only where it lies tells the file apart."""
    shutil.copytree(host / "etc", host.parent / "victim")
    make = patches.write

    def exchange(found: tuple[Patch, ...]) -> None:
        (host / "etc").rename(host / "old")
        (host / "etc").symlink_to(host.parent / "victim")
        make(found)

    monkeypatch.setattr("sslint.patches.write", exchange)
    assert write() == 2
    assert "cannot be changed" in capsys.readouterr().err
    assert OPENING not in (host.parent / "victim/nftables.conf").read_text()


def test_a_file_exchanged_for_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "f"
    victim.write_text("old")
    file.symlink_to("victim")
    with pytest.raises(TreeError):
        replace_files([Replacement(str(file), "old", "new")])
    assert victim.read_text() == "old"


def test_a_hard_link_is_not_parted(host: Path, capsys: Captured) -> None:
    other = host.parent / "other"
    other.hardlink_to(host / "etc/nftables.conf")
    assert write() == 2
    assert "hard link" in capsys.readouterr().err
    assert OPENING not in other.read_text()


def test_all_files_change_or_none(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old")
    two.write_text("other")
    with pytest.raises(TreeError):
        replace_files([Replacement(str(one), "old", "new"), Replacement(str(two), "old", "new")])
    assert (one.read_text(), two.read_text()) == ("old", "other")
    assert temporaries(tmp_path) == []


def four(directory: Path) -> list[Path]:
    files = [directory / name for name in ("one", "two", "three", "four")]
    for file in files:
        file.write_text("old")
    return files


def refuse_renames(monkeypatch: pytest.MonkeyPatch, *refused: tuple[str, int]) -> None:
    """Refuse renames of a name, beginning with the one of this number."""
    rename, seen = os.rename, dict.fromkeys(dict(refused), 0)

    def some(source: str, target: str, **where: int) -> None:
        seen[target] = seen.get(target, 0) + 1
        if seen[target] >= dict(refused).get(target, 9):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        rename(source, target, **where)

    monkeypatch.setattr(os, "rename", some)


@pytest.mark.parametrize("name", ["one", "three", "four"])
def test_a_refused_rename_puts_the_others_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = four(tmp_path)
    before = [os.stat(file).st_ino for file in files]
    refuse_renames(monkeypatch, (name, 1))
    with pytest.raises(TreeError, match="busy"):
        replace_files([Replacement(str(file), "old", "new") for file in files])
    assert [os.stat(file).st_ino for file in files] == before
    assert {file.stat().st_nlink for file in files} == {1}
    assert temporaries(tmp_path) == []


def test_a_file_that_is_a_mount_point_leaves_all_as_they_were(tmp_path: Path) -> None:
    """In mount namespaces of its own: the rename over a mount point fails with EBUSY."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    files = four(tmp_path)
    program = (
        "import sys; from sslint.tree.writing import Replacement, replace_files\n"
        "replace_files([Replacement(name, 'old', 'new') for name in sys.argv[1:]])"
    )
    mount = 'mount --bind "$4" "$4" || exit 77; exec "$0" -c "$5" "$1" "$2" "$3" "$4"'
    command = ["unshare", "-m", "sh", "-c", mount, sys.executable, *map(str, files), program]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("needs leave to mount")
    assert "TreeError" in done.stderr
    assert [file.read_text() for file in files] == ["old"] * 4
    assert temporaries(tmp_path) == []


def test_an_interrupt_puts_the_others_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, rename = four(tmp_path), os.rename

    def interrupted(source: str, target: str, **where: int) -> None:
        if target == "three":
            raise KeyboardInterrupt
        rename(source, target, **where)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_files([Replacement(str(file), "old", "new") for file in files])
    assert [file.read_text() for file in files] == ["old"] * 4
    assert temporaries(tmp_path) == []


def test_what_cannot_be_put_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = four(tmp_path)
    refuse_renames(monkeypatch, ("three", 1), ("one", 2))
    found = [Patch(str(file), "old", (Edit("f", 1, "replace", "new"),)) for file in files]
    with pytest.raises(UsageError) as caught:
        patches.write(found)
    assert caught.value.tip == f"changed, and could not be put back: {files[0]}"
    assert files[0].read_text().strip() == "new"
    assert [file.read_text() for file in files[1:]] == ["old"] * 3


def test_what_a_killed_run_left_is_removed(host: Path) -> None:
    """After `kill -9` between the two renames: a file that was made, and a second name."""
    left = host / "etc/nginx/.sslint-0123456789abcdef"
    left.write_text("new")
    (host / "etc/.sslint-fedcba9876543210").hardlink_to(host / "etc/nftables.conf")
    theirs = host / "etc/.sslint-notes"
    theirs.touch()
    assert write() == 0
    assert OPENING in (host / "etc/nftables.conf").read_text()
    assert temporaries(host) == [theirs]


def test_the_files_of_a_run_at_work_are_not_removed(tmp_path: Path) -> None:
    file, other = tmp_path / "one", tmp_path / ".sslint-0123456789abcdef"
    file.write_text("old")
    other.touch()
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        replace_files([Replacement(str(file), "old", "new")])
        assert other.exists()
    finally:
        os.close(held)
    replace_files([Replacement(str(file), "new", "newer")])
    assert not other.exists()


def test_a_file_that_changes_before_the_last_step_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old")
    two.write_text("old")
    synchronise = os.fsync

    def change(descriptor: int) -> None:
        synchronise(descriptor)
        if one.read_text() == "old":
            one.write_text("mine")

    monkeypatch.setattr(os, "fsync", change)
    with pytest.raises(TreeError, match="changed meanwhile"):
        replace_files([Replacement(str(one), "old", "new"), Replacement(str(two), "old", "new")])
    assert (one.read_text(), two.read_text()) == ("mine", "old")


def test_no_space_changes_nothing(host: Path) -> None:
    before = (host / "etc/nftables.conf").read_bytes()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    done = subprocess.run(
        [sys.executable, "-m", "sslint", "fix", "etc", "--allow-open", "--write"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert done.returncode == 2
    assert "cannot be changed" in done.stderr
    assert (host / "etc/nftables.conf").read_bytes() == before
    assert temporaries(host) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_read_only_is_said(host: Path, capsys: Captured) -> None:
    (host / "etc").chmod(0o555)
    try:
        assert write() == 2
    finally:
        (host / "etc").chmod(0o755)
    assert "cannot be changed" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o4755, 0o600, 0o2664, 0o444])
def test_the_mode_stays(mode: int, host: Path) -> None:
    file = host / "etc/nftables.conf"
    file.chmod(mode)
    assert write() == 0
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
def test_the_owner_stays(host: Path) -> None:
    file = host / "etc/nftables.conf"
    os.chown(file, 65534, 65533)
    assert write() == 0
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65533)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="Linux has extended attributes")
def test_extended_attributes_and_access_lists_stay(host: Path) -> None:
    file = host / "etc/nftables.conf"
    try:
        os.setxattr(file, "user.note", b"mine")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    if shutil.which("setfacl"):
        subprocess.run(["setfacl", "-m", "u:65534:r", file], check=True)
    before = {name: os.getxattr(file, name) for name in os.listxattr(file)}
    assert write() == 0
    assert {name: os.getxattr(file, name) for name in os.listxattr(file)} == before


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    file = tmp_path / ("ü" * 127)
    file.write_text("old")
    replace_files([Replacement(str(file), "old", "new")])
    assert file.read_text() == "new"


# -- texts ----------------------------------------------------------------------------------------


def nginx(host: Path, change: Callable[[bytes], bytes]) -> Path:
    """Put a sound web server in place of the host, with `ssl` missing, and change its file."""
    shutil.rmtree(host / "etc")
    shutil.copytree(SOUND / "web-iptables/etc", host / "etc")
    file = host / "etc/nginx/nginx.conf"
    file.write_bytes(change(file.read_bytes().replace(b"listen [::]:443 ssl", b"listen [::]:443")))
    return file


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.rstrip(b"\n"),
        lambda text: text + b"# \xff\xfe latin-1\n",
        lambda text: b"# " + b"x" * 4000 + b"\n" + text,
        lambda text: text.replace(b"http {", b"# {{ ansible_managed }}\nhttp {"),
        lambda text: text.replace(b"    ", b"\t"),
    ],
    ids=["crlf", "no-end", "latin-1", "long", "template", "tabs"],
)
def test_the_rest_of_a_file_stays_byte_for_byte(
    change: Callable[[bytes], bytes], host: Path
) -> None:
    file = nginx(host, change)
    before = file.read_bytes()
    main(["fix", "etc", "--write", "--rule", "tls-flag-differs-by-family"])
    changed = file.read_bytes()
    assert changed == before.replace(b"listen [::]:443;", b"listen [::]:443 ssl;")
    assert changed != before
    main(["fix", "etc", "--write", "--rule", "tls-flag-differs-by-family"])
    assert file.read_bytes() == changed


@pytest.mark.parametrize(
    "line",
    [
        b"    ::error::owned",
        b"# x\r::warning::owned",
        b"# ##vso[task.setvariable variable=x]y",
        b"# \x1b[2J",
        b"# \xff",
        b"# \xe2\x80\xae txt",
        b"# \xef\xbb\xbf",
        b"# a\rb",
        b"#\x00",
    ],
)
def test_a_line_that_may_do_harm_is_not_printed(line: bytes, host: Path, capsys: Captured) -> None:
    patch = Patch("/x/f", f"{line.decode('utf-8', 'surrogateescape')}\nb\n", (_edit(2),))
    assert patch.hidden
    file = host / "etc/nftables.conf"
    comment = line if line.startswith(b"#") else b"# " + line
    file.write_bytes(
        file.read_bytes().replace(b"    chain forward", comment + b"\n    chain forward")
    )
    main(["fix", "etc", "--allow-open"])
    out = capsys.readouterr()
    for text in (out.out, out.err):
        assert "\x1b" not in text
        assert "\r:" not in text
        assert not any(one.lstrip().startswith("::") for one in text.splitlines())
        assert "##vso" not in text


def _edit(line: int) -> Edit:
    return Edit("f", line, "replace", "c")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "x\r::error::y", "##[error]z", "\u202etxt"])
def test_a_name_that_may_do_harm_is_not_printed(name: str, tmp_path: Path) -> None:
    assert Patch(str(tmp_path / name), "a\n", (_edit(1),)).hidden


NAMES = (
    "a b", "a  b ", "trail ", "-x", '"q"', 'q"x', "back\\slash", "ümlaut", "b/in b/x", "x b/x b",
    "a\\tb", "$(id)", "`id`", "*?[x]", "#hash", ":colon", "a'b", "dev/null", "日本",
)  # fmt: skip


@pytest.mark.parametrize("place", ["", "deep/er"])
@pytest.mark.parametrize("tool", [["git", "apply"], ["patch", "-s", "-p1"]], ids=["git", "patch"])
def test_programs_find_the_file_whatever_its_name_is(
    tool: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the top of a work tree git takes the names in its own headers as the top's."""
    if shutil.which(tool[0]) is None or shutil.which("git") is None:
        pytest.skip(f"needs {tool[0]} and git")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    base = tmp_path / place
    base.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(base)
    for name in NAMES:
        for executable in (False, True):
            file = base / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("a\nb\n")
            file.chmod(0o644)
            run_bit = (Edit("f", 1, "executable", ""),) if executable else ()
            patch = Patch(str(file), "a\nb\n", (_edit(2), *run_bit))
            assert not patch.hidden
            names_of, header = patches.base_of([patch])
            at = Path(names_of) if tool[0] == "patch" else base
            text = patch.diff(names_of, header=header)
            subprocess.run(tool, input=text, text=True, cwd=at, check=True)
            assert file.read_text() == "a\nc\n", name
            assert bool(file.stat().st_mode & 0o100) is executable, name


def test_lines_of_a_private_key_are_in_no_diff(host: Path, capsys: Captured) -> None:
    file = host / "etc/nftables.conf"
    key = "-----BEGIN PRIVATE KEY-----\n#MIGHAgEAMBMGByqGSM49\n#Ab3=\n#-----END PRIVATE KEY-----"
    file.write_text(file.read_text().replace("    chain forward", f"#{key}\n    chain forward"))
    main(["fix", "etc", "--allow-open"])
    out = capsys.readouterr()
    assert "Ab3=" not in out.out + out.err
    assert "MIGH" not in out.out + out.err


@pytest.mark.parametrize(
    ("head", "is_said"),
    [
        ("# This file is managed by Puppet. DO NOT EDIT.", True),
        ("# Generated from hosts/web.j2", True),
        ("# Generated by iptables-save v1.8.11 on Mon Jun  1", False),
        ("# the shop", False),
    ],
)
def test_a_file_that_a_program_writes_is_said_to_be(
    head: str, is_said: bool, host: Path, capsys: Captured
) -> None:
    file = host / "etc/nftables.conf"
    file.write_text(f"{head}\n{file.read_text()}")
    main(["fix", "etc", "--allow-open"])
    out = capsys.readouterr()
    assert (head in out.err) is is_said
    assert OPENING in out.out


# -- several findings, several hosts --------------------------------------------------------------


def test_two_edits_of_one_line_are_both_made_or_one_alone(host: Path) -> None:
    file = nginx(host, lambda text: text.replace(b"server_tokens off;", b""))
    text = file.read_text().replace("listen [::]:443;", "listen [::]:443 http2;")
    file.write_text(text)
    for _ in range(2):
        main(["fix", "etc", "--write"])
    assert "listen [::]:443 http2 ssl;" in file.read_text()


def test_a_file_of_two_hosts_is_edited_for_both_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """What opens the port of one host would open it on the other, where nothing listens."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=False)
    shutil.copytree(EXAMPLES / "web-443-closed/etc", tmp_path / "web")
    shutil.copytree(tmp_path / "web", tmp_path / "other")
    site = next((tmp_path / "other/nginx").rglob("shop"))
    lines = site.read_text().splitlines(keepends=True)
    site.write_text("".join(line for line in lines if "443" not in line and "ssl" not in line))
    shared = tmp_path / "shared.nft"
    (tmp_path / "web/nftables.conf").rename(shared)
    (tmp_path / "other/nftables.conf").unlink()
    hosts = "".join(
        f"  {name}:\n    firewall: nft=shared.nft\n    paths: {{/etc/nginx: {name}/nginx}}\n"
        for name in ("web", "other")
    )
    (tmp_path / ".sslint.yaml").write_text(f"hosts:\n{hosts}")
    before = shared.read_text()
    main(["fix", "--allow-open", "--write"])
    assert "another host" in capsys.readouterr().err
    assert shared.read_text() == before
    shutil.rmtree(tmp_path / "other/nginx")
    shutil.copytree(tmp_path / "web/nginx", tmp_path / "other/nginx")
    main(["fix", "--allow-open", "--write"])
    assert shared.read_text().count(OPENING) == 1


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [b"", b"\n", b"\xff\xfe\n", b"no\n", b"y" * 5000 + b"\n", b"\0"])
def test_what_is_no_yes_changes_nothing(typed: bytes, host: Path) -> None:
    before = (host / "etc/nftables.conf").read_bytes()
    command = ["fix", "etc", "--allow-open", "--write", "--interactive"]
    done = subprocess.run(
        [sys.executable, "-m", "sslint", *command],
        input=typed,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode == 1, done.stderr
    assert (host / "etc/nftables.conf").read_bytes() == before


def test_an_edit_other_than_the_one_shown_is_not_made(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = host / "etc/nftables.conf"

    def answer(_question: str) -> bool:
        subprocess.run(["sed", "-i", "1i# mine", str(file)], check=True)
        return True

    monkeypatch.setattr("sslint.cli._answer_of", answer)
    assert write("--interactive") == 1
    assert OPENING not in file.read_text()


def test_a_rule_that_is_none_is_an_error(host: Path, capsys: Captured) -> None:
    assert write("--rule", "nosuch") == 2
    assert "nosuch" in capsys.readouterr().err


def test_nothing_is_opened_without_leave(host: Path, capsys: Captured) -> None:
    before = (host / "etc/nftables.conf").read_bytes()
    assert main(["fix", "etc", "--write"]) == 1
    assert (host / "etc/nftables.conf").read_bytes() == before
    assert "--allow-open" in capsys.readouterr().err


def test_advice_is_never_written(host: Path) -> None:
    """An open port without a listener: to close it or to start the service is not ours to say."""
    shutil.rmtree(host / "etc/nginx")
    before = {path: path.read_bytes() for path in host.rglob("*") if path.is_file()}
    write()
    assert {path: path.read_bytes() for path in host.rglob("*") if path.is_file()} == before


def test_several_paths_are_fixed_in_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(EXAMPLES / "web-443-closed", tmp_path / name)
    assert main(["fix", "one", "two", "--allow-open", "--write"]) == 0
    for name in ("one", "two"):
        assert OPENING in (tmp_path / name / "etc/nftables.conf").read_text()
