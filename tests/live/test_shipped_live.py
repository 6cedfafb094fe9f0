"""The table of shipped files against the packages that are installed here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sslint import host, shipped
from sslint.targets import Target
from sslint.tree import Tree
from tests.live.shipped import settings

ETC = Path("/etc")
PARTS = ("nginx", "dovecot", "postfix", "ufw", "default/ufw", "debian_version", "letsencrypt")
MAIN_CF = "myhostname = mail.example.org\nsmtpd_tls_security_level = may\n"
pytestmark = pytest.mark.live


def release() -> str:
    try:
        number = (ETC / "debian_version").read_text().split(".")[0].strip()
    except OSError:
        number = ""
    found = f"debian/{number}"
    if found not in shipped._table():
        pytest.skip("the table has no row for this distribution; run this on Debian 13")
    return found


def table() -> dict[str, str]:
    return {
        path: text
        for files in shipped._table().get(release(), {}).values()
        for path, text in files.items()
        if Path(path).is_file()
    }


def part(place: Path) -> Path:
    """Copy the part of this machine's /etc that the servers and ufw read."""
    for name in PARTS:
        source, target = ETC / name, place / "etc" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore_dangling_symlinks=True)
        elif source.is_file():
            shutil.copy(source, target)
    main_cf = place / "etc/postfix/main.cf"
    if not main_cf.exists() and main_cf.parent.is_dir():
        main_cf.write_text(MAIN_CF)
    if (place / "etc/ufw/ufw.conf").exists():
        (place / "etc/ufw/ufw.conf").write_text("ENABLED=yes\n")
    return place


def verdicts(place: Path) -> list[tuple[object, ...]]:
    found = host.read(Target("host", Tree(place)))
    assert not [p for p in found.problems if p.decisive], found.problems
    return sorted(
        (
            s.endpoint.server,
            s.endpoint.transport,
            s.endpoint.address,
            s.endpoint.port,
            s.endpoint.tls,
            s.endpoint.certain,
            tuple(c.path for c in s.endpoint.certificates),
            tuple((r.verdict, r.open, r.unknown) for r in s.reaches),
        )
        for s in found.sockets
    )


def test_the_table_has_the_settings_of_the_installed_packages() -> None:
    found = table()
    if not found:
        pytest.skip("none of the packages is installed: apt-get install nginx postfix ufw")
    for path, text in found.items():
        if text:
            assert settings(Path(path).read_text()) == text, path


def test_each_file_is_missed_by_no_verdict(tmp_path: Path) -> None:
    whole = verdicts(part(tmp_path / "whole"))
    assert whole or not table()
    for number, path in enumerate(table()):
        place = part(tmp_path / str(number))
        (place / path.lstrip("/")).unlink(missing_ok=True)
        assert verdicts(place) == whole, path


def test_nothing_but_what_says_what_is_wanted(tmp_path: Path) -> None:
    """All shipped files at once: the sites, the certificates and ufw's own rules are left."""
    whole = verdicts(part(tmp_path / "whole"))
    place = part(tmp_path / "part")
    for path in table():
        (place / path.lstrip("/")).unlink(missing_ok=True)
    assert verdicts(place) == whole
