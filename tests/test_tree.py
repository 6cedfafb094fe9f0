"""The tree is read-only, confined and bounded, whatever its files say."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path

import pytest

from sslint import tree as trees
from sslint.budgets import ExhaustedError
from sslint.tree import Status, Tree, TreeError, door, view
from tests.support import tree_of


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    secret = tmp_path / "outside" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret\n")
    return secret


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    return root


def test_absolute_symlink_means_the_root(root: Path, outside: Path) -> None:
    (root / "etc/real").write_text("inside\n")
    (root / "etc/link").symlink_to("/etc/real")
    assert Tree(root).read("/etc/link").text == "inside\n"


@pytest.mark.parametrize("target", ["{outside}", "../../outside/secret", "/../../outside/secret"])
def test_symlink_cannot_leave(root: Path, outside: Path, target: str) -> None:
    (root / "etc/link").symlink_to(target.format(outside=outside))
    with pytest.raises(TreeError):
        Tree(root).read("/etc/link")


def test_dotdot_stays_at_the_root(root: Path, outside: Path) -> None:
    (root / "file").write_text("root\n")
    assert Tree(root).read("/../../file").text == "root\n"
    assert Tree(root).status("/etc/../../outside/secret") is Status.ABSENT


def test_symlinked_directory_cannot_leave(root: Path, outside: Path) -> None:
    (root / "etc/d").symlink_to(outside.parent)
    assert Tree(root).status("/etc/d/secret") is Status.ABSENT
    assert Tree(root).glob("/etc/d/*") == []


def test_symlink_loop_is_unknown(root: Path) -> None:
    (root / "etc/a").symlink_to("b")
    (root / "etc/b").symlink_to("a")
    assert Tree(root).status("/etc/a") is Status.UNKNOWN


def test_fifo_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "etc/pipe")
    tree = Tree(root)
    with pytest.raises(TreeError, match="not a regular file"):
        tree.read("/etc/pipe")


def test_large_file_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "MAX_FILE", 1 << 20)
    (root / "etc/big").write_bytes(b"x" * ((1 << 20) + 1))
    tree = Tree(root)
    assert tree.try_read("/etc/big") is None
    assert "larger" in tree.problems[0].reason


def test_absent_and_unreadable_differ(root: Path) -> None:
    tree = Tree(root)
    assert tree.try_read("/etc/none") is None
    assert tree.problems == []
    assert tree.try_read("/etc") is None
    assert tree.problems[0].reason == "is a directory"


def test_bytes_that_are_not_utf8_are_kept(root: Path) -> None:
    (root / "etc/latin").write_bytes(b"caf\xe9\n")
    text = Tree(root).read("/etc/latin").text
    assert text.encode("utf-8", "surrogateescape") == b"caf\xe9\n"


def test_glob_is_in_byte_order_without_dot_files(root: Path) -> None:
    for name in ("b", "B", "a", ".hidden", "é"):
        (root / "etc" / name).touch()
    assert Tree(root).glob("/etc/*") == ["/etc/B", "/etc/a", "/etc/b", "/etc/é"]
    assert Tree(root).glob("/etc/.h*") == ["/etc/.hidden"]


def test_glob_with_braces_and_classes() -> None:
    tree = tree_of({"/etc/x/1.conf": "", "/etc/x/2.conf": "", "/etc/y/1.conf": ""})
    assert tree.glob("/etc/{y,x}/1.conf", braces=True) == ["/etc/y/1.conf", "/etc/x/1.conf"]
    assert tree.glob("/etc/x/[!1].conf") == ["/etc/x/2.conf"]
    with pytest.raises(ExhaustedError):
        tree.glob("{a,b}" * 30, braces=True)


def test_overlay_adds_replaces_and_removes(root: Path) -> None:
    (root / "etc/a").write_text("old\n")
    (root / "etc/b").write_text("b\n")
    tree = Tree(root, overlay={"/etc/a": "new\n", "/etc/b": None, "/etc/c/d": "made\n"})
    assert tree.read("/etc/a").text == "new\n"
    assert tree.status("/etc/b") is Status.ABSENT
    assert tree.names("/etc") == ["a", "c"]
    assert tree.glob("/etc/*/d") == ["/etc/c/d"]


def test_mount_gives_a_directory_another_place(root: Path, tmp_path: Path) -> None:
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    (deploy / "main.cf").write_text("myhostname = x\n")
    tree = Tree(None, mounts={"/etc/postfix": deploy}, base=tmp_path)
    file = tree.read("/etc/postfix/main.cf")
    assert (file.path, file.name) == ("/etc/postfix/main.cf", "deploy/main.cf")
    assert tree.names("/etc") == ["postfix"]


def test_names_are_relative_to_the_root(root: Path) -> None:
    (root / "etc/a").write_text("x")
    assert Tree(root).read("/etc/a").name == "etc/a"


def test_span_is_cut_at_the_end_of_its_line() -> None:
    file = tree_of({"/etc/a": "one\ntwo three\nfour\n"}).read("/etc/a")
    place = file.span(8, 18)
    assert (place.line, place.column, place.end) == (2, 5, 10)
    assert place.text == "two three"
    assert str(file.at(3)) == "etc/a:3:1"


def test_a_nul_byte_in_a_name_is_no_file(root: Path) -> None:
    tree = Tree(root)
    for path in ("/etc/a\0b", "/etc\0/passwd"):
        assert tree.status(path) is Status.ABSENT
        assert tree.link_target(path) is None
        assert tree.names(path) == []
        assert tree.glob(f"{path}*") == []
        assert tree.mode(path) is None


@pytest.fixture(params=["openat2", "part by part"])
def _door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "part by part":
        monkeypatch.setattr(door, "openat2_call", lambda: None)
    elif door.openat2_call() is None:
        pytest.skip("the kernel or its sandbox has no openat2")


@pytest.mark.usefixtures("_door")
def test_a_directory_exchanged_for_a_link_is_not_followed(root: Path, outside: Path) -> None:
    (root / "etc/a/b").mkdir(parents=True)
    (root / "etc/a/b/secret").write_text("inside\n")
    tree = Tree(root)
    assert tree.status("/etc/a/b/secret") is Status.FILE
    tree.close()
    (root / "etc/a").rename(root / "etc/old")
    (root / "etc/a").mkdir()
    (root / "etc/a/b").symlink_to(outside.parent)
    with pytest.raises(TreeError, match="changed while it was read"):
        tree.read("/etc/a/b/secret")
    assert tree.names("/etc/a/b") == []
    assert tree.mode("/etc/a/b/secret") is None


@pytest.mark.usefixtures("_door")
def test_a_root_exchanged_for_a_link_is_not_followed(root: Path, outside: Path) -> None:
    tree = Tree(root)
    root.rename(root.with_name("old"))
    root.symlink_to(outside.parent)
    assert tree.status("/secret") is Status.UNKNOWN
    assert tree.names("/") == []
    assert Tree(None, mounts={"/etc": root}).names("/etc") == []


def test_a_file_exchanged_for_a_link_is_not_followed(root: Path, outside: Path) -> None:
    (root / "etc/a").write_text("inside\n")
    tree = Tree(root)
    assert tree.status("/etc/a") is Status.FILE
    (root / "etc/a").unlink()
    (root / "etc/a").symlink_to(outside)
    with pytest.raises(TreeError, match="changed while it was read"):
        tree.read("/etc/a")


def test_doubled_slashes_collapse(root: Path, tmp_path: Path) -> None:
    (root / "etc/a").write_text("a\n")
    (root / "etc/link").symlink_to("//etc/a")
    tree = Tree(root, mounts={"//etc/ssl": root / "etc"}, overlay={"//etc//b": "b\n"})
    assert tree.read("//etc///a").text == "a\n"
    assert tree.read("/etc/ssl/a").text == "a\n"
    assert tree.read("/etc/b").text == "b\n"
    assert tree.read("/etc/link").text == "a\n"
    assert tree.destination("/etc/link") == "/etc/a"


def test_many_directories_need_few_descriptors(root: Path) -> None:
    for number in range(200):
        (root / f"etc/d/{number}").mkdir(parents=True)
        (root / f"etc/d/{number}/file").write_text(str(number))
    gc.collect()  # what earlier tests left open is closed now, and not in between
    tree, open_before = Tree(root), len(os.listdir("/proc/self/fd"))
    assert len({tree.read(path).text for path in tree.glob("/etc/d/*/file")}) == 200
    assert len(os.listdir("/proc/self/fd")) - open_before <= door.MAX_DESCRIPTORS
    tree.close()
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_contents_that_were_read_already(root: Path) -> None:
    tree = Tree(root)
    tree.give("/given/firewall/0/stdin", "-", b"table inet f\n")
    file = tree.read("/given/firewall/0/stdin")
    assert (file.name, file.text) == ("-", "table inet f\n")
    assert tree.with_overlay({}).name("/given/firewall/0/stdin") == "-"


def test_what_the_user_names_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"123456")
    assert trees.read_named(str(tmp_path / "x")) == b"123456"
    with pytest.raises(TreeError, match="larger"):
        trees.read_named("/dev/zero", limit=1 << 20)


def test_absent_means_missing_on_the_host_and_not_only_here(tmp_path: Path) -> None:
    (tmp_path / "etc/nginx").mkdir(parents=True)
    (tmp_path / "etc/nginx/a.pem").touch()
    (tmp_path / "etc/nginx/link").symlink_to("../ssl/a.pem")
    tree = Tree(tmp_path)
    assert tree.absent("/etc/nginx/a.pem") is False
    assert tree.absent("/etc/nginx/b.pem") is True
    assert tree.absent("/etc/nginx/link") is None  # its target's directory was not given
    assert tree.absent("/etc/nginx/conf.d/x") is None
    assert tree.absent("/etc/nginx/conf.d/x", within="/etc/nginx") is True
    assert tree.absent("/etc/nginx/b.pem", kin=re.compile(r"\.key$")) is None
    assert tree.absent("/var/www/html") is None
    assert tree.absent("/etc/nginx/b.pem", kin=re.compile(r"\.pem$")) is True
    (tmp_path / "etc/private").mkdir()  # a submodule that is not checked out
    assert tree.absent("/etc/private/a.pem", kin=re.compile(r"\.pem$")) is None
    assert tree.absent("/etc/private/a.pem") is None


def test_a_directory_of_which_one_file_was_given_says_nothing_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "nginx.conf").touch()
    tree = Tree(None, mounts={"/etc/nginx/nginx.conf": tmp_path / "nginx.conf"})
    assert tree.absent("/etc/nginx/mime.types") is None
    assert tree.absent("/etc/nginx/conf.d/x", within="/etc/nginx") is None
    assert not tree.holds("/etc")
    beside = Tree(None)
    beside.mount("/etc/nginx", tmp_path, partial=True)
    assert beside.absent("/etc/nginx/mime.types") is None
    assert beside.absent("/etc/nginx/conf.d/x") is None
    (tmp_path / "conf.d/y").touch()
    beside = Tree(None)
    beside.mount("/etc/nginx", tmp_path, partial=True)
    assert beside.absent("/etc/nginx/conf.d/x") is True
    assert Tree(None, mounts={"/etc/nginx": tmp_path}).absent("/etc/nginx/mime.types") is True


def test_other_layers_of_an_image_may_hold_what_its_source_lacks(tmp_path: Path) -> None:
    (tmp_path / "etc/nginx").mkdir(parents=True)
    (tmp_path / "Containerfile.prod").touch()
    assert Tree(tmp_path).absent("/etc/nginx/proxy.conf") is None


def test_on_the_machine_itself_what_is_not_there_is_absent() -> None:
    assert Tree(Path("/")).absent("/etc/no-such-directory/file") is True


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0GITCRYPT\0\xa2%\xb3E3", "is encrypted with git-crypt"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n3366\n", "is encrypted with ansible-vault"),
        (b"age-encryption.org/v1\n-> X25519 x\n", "is encrypted with age"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "is encrypted with age"),
        (b"key=ENC[AES256_GCM,data:x]\nsops_version=3.8\n", "is encrypted with sops"),
        (b'{"data": "ENC[AES256_GCM,data:x]",\n"sops": {}}', "is encrypted with sops"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "is a pointer of Git LFS: its content was not fetched",
        ),
    ],
)
def test_what_a_repository_keeps_encrypted_is_called_so(
    root: Path, data: bytes, reason: str
) -> None:
    (root / "etc/file").write_bytes(data)
    for read in (Tree(root).read, Tree(root).read_bytes):
        with pytest.raises(TreeError) as error:
            read("/etc/file")
        assert (error.value.reason, error.value.status) == (reason, Status.UNKNOWN)


def test_one_listing_answers_for_what_is_looked_for_in_a_directory(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory, a link, a pipe and what is missing are told apart as lstat(2) tells them."""
    (root / "etc/sub").mkdir()
    (root / "etc/file").write_text("a\n")
    (root / "etc/link").symlink_to("file")
    os.mkfifo(root / "etc/pipe")
    names = ("sub", "file", "link", "pipe", "none", "none\0", "n" * 300)
    alone = {name: Tree(root).status(f"/etc/{name}") for name in names}
    tree = Tree(root)
    for number in range(10):
        assert tree.status(f"/etc/absent{number}") is Status.ABSENT
    looked: list[object] = []
    lstat = door.Door.lstat
    monkeypatch.setattr(door.Door, "lstat", lambda own, at: looked.append(at) or lstat(own, at))
    assert {name: tree.status(f"/etc/{name}") for name in names} == alone
    assert tree.link_target("/etc/link") == "/etc/file"
    assert tree.link_target("/etc/file") is tree.link_target("/etc/none") is None
    assert [path for _, path in looked] == ["etc/pipe"]


def test_a_directory_with_many_names_is_not_listed_to_look_for_a_few(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sslint.tree.layers.LOOKS", {5: 20, 50: 100})
    looked: list[object] = []
    lstat = door.Door.lstat
    monkeypatch.setattr(door.Door, "lstat", lambda own, at: looked.append(at) or lstat(own, at))
    for number in range(30):
        (root / f"etc/{number}").write_text("")
    tree = Tree(root)
    assert all(tree.status(f"/etc/{number}") is Status.FILE for number in range(30))
    assert all(tree.status(f"/etc/x{number}") is Status.ABSENT for number in range(30))
    assert len([path for _, path in looked if path.startswith("etc/")]) == 49  # then it is


def test_what_is_laid_over_a_listed_directory_is_found(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("b\n")
    tree = Tree(root)
    for number in range(10):
        assert not tree.exists(f"/etc/absent{number}")
    tree.mount("/etc/laid", tmp_path / "other")
    tree.give("/etc/given", "given", b"c\n")
    assert (tree.read("/etc/laid").text, tree.read("/etc/given").text) == ("b\n", "c\n")
    for number in range(10):
        assert not tree.exists(f"/etc/missing{number}")
    assert tree.read("/etc/laid").text == "b\n"
