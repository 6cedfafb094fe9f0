"""Copies of certificates in a repository, which expire there while the host has the next one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sslint import revisions
from sslint.cli import main
from tests import pki
from tests.cases import SOUND

LIVE = "etc/letsencrypt/live/www.example.org"
VALID, EXPIRED = "2026-05-01T00:00:00Z", "2026-05-31T12:00:00Z"  # the copy ends on 2026-05-31
WHO = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
Check = Callable[..., str]


def git(top: Path, *arguments: str, at: str = VALID) -> None:
    """Run git in a work tree at a time."""
    dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
    run = ["git", *WHO, "-C", str(top), *arguments]
    subprocess.run(run, check=True, capture_output=True, env={**os.environ, **dates})


def commit(top: Path, at: str) -> None:
    """Commit all that a work tree has."""
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--allow-empty", "--message", "x", at=at)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A work tree without a commit, of a host with a certificate that has expired."""
    work = tmp_path / "work"
    shutil.copytree(SOUND / "web-nftables", work / "web")
    chain, key = pki.files({"names": ["www.example.org", "example.org"], "left": -1})
    (work / "web" / LIVE).mkdir(parents=True)
    (work / "web" / LIVE / "fullchain.pem").write_text(chain)
    (work / "web" / LIVE / "privkey.pem").write_text(key)
    git(work.parent, "init", "--quiet", "--initial-branch=main", str(work))
    return work


@pytest.fixture
def check(top: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Return what takes a work tree and returns the line on its expired certificate."""

    def run(place: Path = top, now: str = "2026-06-01") -> str:
        main(["check", "--no-config", f"--now={now}", "--format=concise", str(place / "web")])
        found = [line for line in capsys.readouterr().out.splitlines() if "cert-expir" in line]
        assert len(found) == 1, found
        return found[0]

    return run


def test_a_copy_that_expired_since_it_was_committed_is_a_warning(top: Path, check: Check) -> None:
    commit(top, VALID)
    commit(top, EXPIRED)  # of something else
    said = check()
    assert "warning" in said
    assert "expired on 2026-05-31, after it was committed on 2026-05-01" in said


def test_a_copy_that_had_expired_when_it_was_committed_is_an_error(top: Path, check: Check) -> None:
    commit(top, "2026-06-01T00:00:00Z")
    assert "error" in check()


def test_a_copy_that_is_in_no_commit_is_an_error(top: Path, check: Check) -> None:
    assert "error" in check()
    commit(top, VALID)
    chain, _ = pki.files({"names": ["www.example.org", "example.org"], "left": -1, "days": 80})
    (top / "web" / LIVE / "fullchain.pem").write_text(chain)
    assert "error" in check()


def test_a_shallow_history_says_the_date_that_it_has(
    top: Path, check: Check, tmp_path: Path
) -> None:
    commit(top, VALID)
    commit(top, "2026-05-10T00:00:00Z")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{top}", "shallow")
    said = check(tmp_path / "shallow")
    assert "warning" in said
    assert "after 2026-05-10, the date of the oldest commit here (the history is shallow)" in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("web/Dockerfile", "FROM nginx\nCOPY etc/letsencrypt /etc/letsencrypt\n"),
        ("Dockerfile", 'FROM nginx\nADD ["web/etc/letsencrypt/live/", "/etc/letsencrypt/live/"]\n'),
        ("web/compose.yaml", "services:\n  web:\n    volumes:\n      - ./etc:/etc:ro\n"),
        ("site.yml", f"- copy:\n    src: 'web/{LIVE}/fullchain.pem'\n    dest: /etc/x.pem\n"),
        ("site.yml", f"- copy: src=web/{LIVE}/fullchain.pem dest=/etc/x.pem\n"),
        ("units/copy.service", f"[Service]\nExecStart=cp ../web/{LIVE}/fullchain.pem /etc/x\n"),
    ],
)
def test_a_copy_that_the_repository_deploys_is_an_error(
    top: Path, check: Check, name: str, text: str
) -> None:
    (top / name).parent.mkdir(exist_ok=True)
    (top / name).write_text(text)
    commit(top, VALID)
    assert "error" in check()


@pytest.mark.parametrize(
    "text",
    [
        "FROM nginx\nCOPY --from=build web/etc /etc\n",
        "FROM nginx\nCOPY web/html web/etc\n",
        "FROM nginx\nCOPY . .\n",
    ],
)
def test_an_image_that_has_no_such_copy_deploys_none(top: Path, check: Check, text: str) -> None:
    (top / "Dockerfile").write_text(text)
    commit(top, VALID)
    assert "warning" in check()


def test_a_committed_copy_that_expires_soon_is_a_warning(top: Path, check: Check) -> None:
    now = "2026-05-30"
    assert "error" in check(now=now)
    commit(top, VALID)
    assert "warning" in check(now=now)


def test_a_git_that_does_not_answer_leaves_the_error(
    top: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(top, VALID)
    (top / ".git/HEAD").write_text("ref: refs/heads/pipe\n")
    os.mkfifo(top / ".git/refs/heads/pipe")
    monkeypatch.setattr(revisions, "_SECONDS", 0.5)
    assert "error" in check()


def test_many_deploying_files_end(top: Path, check: Check) -> None:
    """None of these lines takes more than its length."""
    for name, text in {"a.yml": "- " * 30_000, "Dockerfile": "COPY , " + " ," * 30_000}.items():
        (top / name).write_text(text + "\n" + "\n" * 30_000)
    commit(top, VALID)
    assert "warning" in check()
