"""Where zones and documents are found in a tree."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sslint import announcements
from sslint.targets import Target, announce
from tests.support import tree_of

ZONE = "@ IN SOA ns hostmaster 1 1 1 1 1\n  IN MX 10 mail\nmail IN A 203.0.113.25\n"
BIND = 'zone "example.org" { type master; file "/etc/bind/db.org"; };\n'
NSD = "zone:\n  name: example.org\n  zonefile: {}\n"


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/bind/named.conf": BIND, "/etc/bind/db.org": ZONE},
        {
            "/etc/bind/named.conf": '// zones\ninclude "/etc/bind/named.conf.local";\n',
            "/etc/bind/named.conf.local": BIND,
            "/etc/bind/db.org": ZONE,
        },
        {
            "/etc/bind/named.conf": 'include "zones/*.conf";\n',
            "/etc/bind/zones/org.conf": BIND,
            "/etc/bind/db.org": ZONE,
        },
        {"/etc/nsd/nsd.conf": NSD.format("org.zone"), "/etc/nsd/org.zone": ZONE},
        {
            "/etc/nsd/nsd.conf": "server:\n  zonesdir: /var/zones\ninclude: /etc/nsd/*.d/*.conf\n",
            "/etc/nsd/nsd.conf.d/zones.conf": NSD.format("org.zone"),
            "/var/zones/org.zone": ZONE,
        },
        {
            "/etc/knot/knot.conf": 'include: "zones.conf"\n',
            "/etc/knot/zones.conf": "zone:\n  - domain: example.org\n    file: /etc/knot/org\n",
            "/etc/knot/org": ZONE,
        },
    ],
)
def test_the_zones_of_name_servers(files: dict[str, str]) -> None:
    found = announcements.read(tree_of(files))
    assert [record.name for record in found.find("example.org", "MX")] == ["example.org"]


def test_includes_in_a_circle_end() -> None:
    files = {
        "/etc/nsd/nsd.conf": "include: /etc/nsd/*.conf\n" * 3,
        "/etc/nsd/a.conf": "include: nsd.conf\n",
    }
    assert not announcements.read(tree_of(files)).records


def test_what_a_comment_includes_is_not_read() -> None:
    files = {
        "/etc/bind/named.conf": '/*\ninclude "/etc/bind/old.conf";\n*/\n',
        "/etc/bind/old.conf": BIND,
        "/etc/bind/db.org": ZONE,
    }
    assert not announcements.read(tree_of(files)).records


@pytest.mark.parametrize(
    "text",
    ["\n" * 100_000, "/*" * 100_000, "include: d/*.conf\n" * 100_000, 'include "d/*";\n' * 50_000],
)
def test_hostile_configurations_end_soon(text: str) -> None:
    names = {f"/etc/{server}/d/{n}.conf": "" for server in ("nsd", "bind") for n in range(500)}
    start = time.monotonic()
    announcements.read(tree_of({"/etc/nsd/nsd.conf": text, "/etc/bind/named.conf": text, **names}))
    assert time.monotonic() - start < 20


def test_files_of_one_name_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for directory, zone in (("x", "example.org"), ("a/x", "example.net")):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "db").write_text(f"$ORIGIN {zone}.\n{ZONE}")
    (tmp_path / "a/b").mkdir()
    monkeypatch.chdir(tmp_path / "a/b")
    target = Target("host", tree_of({}))
    announce(target, [Path("../x/db"), Path("../../x/db")])
    found = announcements.read(target.tree, target.announced)
    assert {record.name for record in found.records if record.type == "MX"} == {
        "example.org", "example.net"
    }  # fmt: skip


def test_the_place_of_a_given_document_says_its_domain(tmp_path: Path) -> None:
    path = tmp_path / "mta-sts.example.org/.well-known/mta-sts.txt"
    path.parent.mkdir(parents=True)
    path.write_text("version: STSv1\nmode: enforce\nmx: mail.example.org\nmax_age: 86400\n")
    target = Target("host", tree_of({}))
    announce(target, [path])
    [policy] = announcements.read(target.tree, target.announced).policies
    assert policy.domain == "example.org"


def test_the_place_of_a_policy_says_its_domain() -> None:
    path = "/srv/mta-sts.example.org/.well-known/mta-sts.txt"
    text = "version: STSv1\nmode: enforce\nmx: mail.example.org\nmax_age: 86400\n"
    [policy] = announcements.read(tree_of({path: text}), [path]).policies
    assert policy.domain == "example.org"
