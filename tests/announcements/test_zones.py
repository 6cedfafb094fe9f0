"""Zone files: every syntax of RFC 1035, exact lines, what is announced, what stays unknown."""

from __future__ import annotations

import time

import pytest

from sslint.announcements import zones
from sslint.announcements.model import Announced
from sslint.tree import Tree
from tests.support import tree_of

SOA = "@ 300 IN SOA ns.example.org. h.example.org. 1 2 3 4 5\n"


def read(text: str, origin: str = "example.org", name: str = "zone") -> tuple[Announced, Tree]:
    tree = tree_of({f"/z/{name}": text})
    announced = Announced()
    zones.read(tree, tree.read(f"/z/{name}"), announced, origin)
    return announced, tree


def rows(announced: Announced) -> list[tuple[str, str, int]]:
    return [(r.name, r.type, r.location.line) for r in announced.records]


def told(announced: Announced) -> list[tuple]:
    return [
        (a.kind, a.service, a.host, a.port, a.security, a.transport)
        for a in announced.announcements
    ]


def test_every_syntax_has_its_name_and_line() -> None:
    announced, tree = read(
        "$TTL 1h\n"
        "@ IN SOA ns h (\n"
        "    1 ; serial\n"
        "    2 3 4 5 )\n"
        "\n"
        "; a comment\n"
        "mail 300 IN A 192.0.2.1\n"
        "     IN 300 AAAA 2001:db8::1\n"
        "     A 192.0.2.2 ; the class and the TTL are left out\n"
        'txt TXT "a;b (c" "d\\"e"\n'
        "$ORIGIN sub\n"
        "www A 192.0.2.3\n"
        "$ORIGIN example.org.\n"
        "* MX 10 mail\n"
        "_imaps._tcp SRV ( 0 1\n"
        "   993 mail )\n"
        "xn--bcher-kva A 192.0.2.4\n"
        "bücher A 192.0.2.5\n"
        "outside.example.net. A 192.0.2.6\n"
        "LAST.Example.ORG. a 192.0.2.7"
    )
    assert tree.problems == []
    assert rows(announced) == [
        ("example.org", "SOA", 2),
        ("mail.example.org", "A", 7),
        ("mail.example.org", "AAAA", 8),
        ("mail.example.org", "A", 9),
        ("txt.example.org", "TXT", 10),
        ("www.sub.example.org", "A", 12),
        ("*.example.org", "MX", 14),
        ("_imaps._tcp.example.org", "SRV", 15),
        ("xn--bcher-kva.example.org", "A", 17),
        ("xn--bcher-kva.example.org", "A", 18),
        ("last.example.org", "A", 20),
    ]
    assert announced.zone_of("x.example.org") == "example.org"


@pytest.mark.parametrize(
    "broken",
    [
        "b A bogus",
        "b A",
        "b",
        "b A 192.0.2.1 surplus",
        "b MX mail",
        "b NOSUCHTYPE x",
        "b CH A 192.0.2.1",
        "b SRV 0 1 99999 mail",
        "b A {{ address }}",
        "b A <%= address %>",
        "b MX ( 10",  # swallows what follows, up to the parenthesis that closes
        f"{'l' * 64} A 192.0.2.1",
        'b TXT "open',
        "b TLSA 3 1 1 zz",
        "b CAA 0",
        "b HTTPS 1 . port=x",
    ],
)
def test_a_broken_record_is_reported_and_the_rest_is_read(broken: str) -> None:
    closing = " )\n" if "(" in broken else ""
    announced, tree = read(f"{SOA}a A 192.0.2.1\n{broken}\n{closing}c A 192.0.2.3\nd A 192.0.2.4\n")
    assert [p.location.line for p in tree.problems if p.location] == [3]
    assert not tree.problems[0].decisive
    expected = ["example.org", "a.example.org", "c.example.org", "d.example.org"]
    assert [r.name for r in announced.records] == expected
    assert announced.records[2].location.line == (5 if closing else 4)
    # What was not understood may be just the record that is missed.
    assert announced.zone_of("a.example.org") is None


@pytest.mark.parametrize("line", ["$GENERATE 1-1000000000 h$ A 192.0.2.1", "$INCLUDE /etc/passwd"])
def test_directives_that_lead_elsewhere_are_not_followed(line: str) -> None:
    announced, tree = read(f"{SOA}{line}\nc A 192.0.2.3\n")
    assert len(announced.records) == 2
    assert [p.location.line for p in tree.problems if p.location] == [2]
    assert announced.zone_of("h7.example.org") is None


def test_what_follows_a_broken_origin_is_not_read() -> None:
    announced, tree = read(f"{SOA}$ORIGIN a..b\nc A 192.0.2.3\n")
    assert [r.name for r in announced.records] == ["example.org"]
    assert "the rest of the file is not read" in tree.problems[0].reason


@pytest.mark.parametrize(
    ("text", "name", "zone"),
    [
        ("$ORIGIN .\nexample.org IN SOA ns h 1 2 3 4 5\n", "x", "example.org"),
        ("$ORIGIN org.\nexample IN SOA ns h 1 2 3 4 5\n", "x", "example.org"),
        ("example.org. IN SOA ns h 1 2 3 4 5\nwww A 192.0.2.1\n", "x", "example.org"),
        ("@ IN SOA ns h 1 2 3 4 5\n", "db.example.org", "example.org"),
        ("@ IN SOA ns h 1 2 3 4 5\n", "example.org.zone", "example.org"),
    ],
)
def test_the_zone_is_where_its_soa_stands(text: str, name: str, zone: str) -> None:
    announced, _ = read(text, "", name)
    assert announced.zones == {zone}
    assert announced.zone_of("other.org") is None
    assert announced.zone_of(f"www.{zone}") == zone


def test_a_fragment_says_nothing_of_what_it_lacks() -> None:
    announced, tree = read("$ORIGIN example.org.\n_imaps._tcp SRV 0 1 993 mail\n", "")
    assert tree.problems == []
    assert told(announced) == [("srv", "imap", "mail.example.org", 993, "implicit", "tcp")]
    assert announced.zone_of("mail.example.org") is None


def test_targets_that_are_the_root_are_not_offered() -> None:
    announced, _ = read(f"{SOA}_imap._tcp SRV 0 0 0 .\n@ MX 0 .\n_imaps._tcp SRV 0 1 993 mail\n")
    assert [a.label for a in announced.announcements] == ["_imaps"]
    assert len(announced.records) == 4


def test_ranks_and_services() -> None:
    announced, _ = read(
        f"{SOA}@ MX 20 b\n@ MX 10 a\n_submissions._tcp SRV 5 1 465 a\n_sieve._tcp SRV 0 1 4190 a\n"
        "_submission._tcp SRV 7 1 587 a\n_x._tcp SRV 0 1 1 a\n_imaps._udp SRV 0 1 993 a\n"
    )
    assert [(a.service, a.host, a.rank, a.domain) for a in announced.announcements] == [
        ("smtp", "b.example.org", 20, "example.org"),
        ("smtp", "a.example.org", 10, "example.org"),
        ("submission", "a.example.org", 5, "example.org"),
        ("sieve", "a.example.org", 0, "example.org"),
        ("submission", "a.example.org", 7, "example.org"),
    ]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("www HTTPS 0 cdn.example.net.", []),
        ("www HTTPS 1 .", [("www.example.org", 443, "tcp")]),
        ("www HTTPS 1 edge port=8443", [("edge.example.org", 8443, "tcp")]),
        # RFC 9460, 7.1.2: http/1.1 is offered beside what alpn= names.
        ("www HTTPS 1 . alpn=h3", [("www.example.org", 443, t) for t in ("tcp", "udp")]),
        ("www HTTPS 1 . alpn=h3 no-default-alpn", [("www.example.org", 443, "udp")]),
        ('www HTTPS 1 . alpn="h2"', [("www.example.org", 443, "tcp")]),
        ("_8443._https.www HTTPS 1 .", [("www.example.org", 8443, "tcp")]),
        ("_8443._https.www HTTPS 1 edge port=9443", [("edge.example.org", 9443, "tcp")]),
        ("www HTTPS 1 . ipv4hint=192.0.2.1 ipv6hint=::1", [("www.example.org", 443, "tcp")]),
        ("_dns.ns SVCB 1 ns alpn=dot port=853", []),  # not HTTPS
    ],
)  # fmt: skip
def test_https_records(record: str, expected: list) -> None:
    announced, tree = read(f"{SOA}{record}\n")
    assert tree.problems == []
    assert [(a.host, a.port, a.transport) for a in announced.announcements] == expected


def test_tlsa_and_caa() -> None:
    announced, tree = read(
        f'{SOA}_25._tcp.mail TLSA 3 1 1 ( {"ab" * 16}\n {"cd" * 16} )\n@ CAA 0 issue "x.org"\n'
    )
    assert tree.problems == []
    tlsa, caa = announced.records[1:]
    assert (tlsa.data.usage, tlsa.data.cert.hex()) == (3, "ab" * 16 + "cd" * 16)
    assert (caa.data.tag, caa.data.value, caa.location.line) == (b"issue", b"x.org", 4)


def test_wildcards_stop_at_names_that_exist() -> None:
    announced, _ = read(
        f"{SOA}* A 192.0.2.1\nhost TXT x\na.deep A 192.0.2.2\nsub NS ns.example.net.\n"
        "alias CNAME www\nloop CNAME loop\n"
    )

    def has(name: str) -> bool:
        return bool(announced.addresses(name, "A"))

    assert has("any.example.org")
    assert has("x.any.example.org")
    assert has("alias.example.org")
    assert not has("host.example.org")  # it has a TXT record
    assert not has("deep.example.org")  # an empty non-terminal
    assert not has("b.deep.example.org")  # its closest encloser has no wildcard
    assert not has("loop.example.org")
    assert announced.zone_of("x.sub.example.org") is None
    assert announced.zone_of("host.example.org") == "example.org"


def test_several_zones() -> None:
    announced, _ = read(SOA)
    tree = tree_of({"/z": SOA.replace("example.org", "a.example.org")})
    zones.read(tree, tree.read("/z"), announced, "sub.example.org")
    assert announced.zone_of("x.sub.example.org") == "sub.example.org"
    assert announced.zone_of("x.example.org") == "example.org"
    assert announced.zone_of("example.com") is None


@pytest.mark.parametrize(
    "text",
    ["x\n" * 200_000, "(" * 100_000, '"' * 99_999, "\0" * 50_000, "$ORIGIN\n", "\\300 A 1\n", "@",
     "a. A 192.0.2.1 (\n" * 1000, "$TTL\n", "\udc80\n", "a" * 100_000, "\\", "a \\# 1\n"],
)  # fmt: skip
def test_hostile_text_ends_soon_and_is_reported(text: str) -> None:
    started = time.process_time()
    announced, tree = read(text)
    assert time.process_time() - started < 3
    assert announced.records == []
    assert 1 <= len(tree.problems) <= zones.MAX_ERRORS + 1
