"""What a change does: exactly who gets in or not, which listeners and findings come and go."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry

from sslint.bundled import schema_text
from sslint.changes import HostChange
from sslint.cli import main
from sslint.firewalls.errors import RulesetError
from sslint.netfilter import addresses, difference
from sslint.netfilter.addresses import Sources
from sslint.netfilter.model import HostNetwork, Interface, Ruleset
from sslint.netfilter.reach import Firewall
from sslint.reports import changes as reports
from tests import pki
from tests.cases import EXAMPLES, ruleset
from tests.live.kernel import pairs
from tests.live.kernel.generators import generate
from tests.live.kernel.judge import NETWORK, firewall

SEED = int(os.environ["SSLINT_SEED"])
SENT, OTHERS = "what this host sends", "protocols other than TCP and UDP"
BASE = (
    "table inet f {{ chain i {{ type filter hook input priority 0; policy drop;\n"
    "ct state established,related accept\nmeta l4proto {{ icmp, ipv6-icmp }} accept\n{}\n}}\n}}\n"
)


def _differences(old: str, new: str) -> list[str]:
    found = difference.differences(*difference.pair(ruleset(old), ruleset(new)))
    return [
        f"{one.transport}/{one.first}-{one.last} {one.family}"
        + "".join(
            f" {name} {sources.brief(4)}"
            for name, sources in (
                ("opens", one.opens), ("closes", one.closes),
                ("doubts", one.doubts), ("settles", one.settles), ("unclear", one.unclear),
                ("limits", one.limits), ("frees", one.frees),
            )
            if sources
        )
        + (f" at {','.join(one.destinations)}" if one.destinations else "")
        + (f" from {one.source_ports}" if one.source_ports != (1024, 65535) else "")
        + (f" by {','.join(one.interfaces)}" if one.interfaces else "")
        for one in found
    ]  # fmt: skip


def test_the_sources_are_told_exactly() -> None:
    old = BASE.format("tcp dport { 22, 993 } accept")
    new = BASE.format("tcp dport 22 accept\nip saddr != 198.51.100.0/24 tcp dport 993 accept")
    assert _differences(old, new) == [
        "tcp/993-993 4 closes 198.51.100.0/24",
        "tcp/993-993 6 closes ::/0",
    ]


def test_a_port_that_no_convention_knows_is_told() -> None:
    old, new = BASE.format(""), BASE.format("tcp dport 5432-5440 accept")
    assert _differences(old, new) == [
        "tcp/5432-5440 4 opens 0.0.0.0/0",
        "tcp/5432-5440 6 opens ::/0",
    ]


def test_an_interface_is_told_where_it_matters() -> None:
    old, new = BASE.format(""), BASE.format('iifname "wg0" udp dport 53 accept')
    assert _differences(old, new) == [
        "udp/53-53 4 opens 0.0.0.0/0 by wg0",
        "udp/53-53 6 opens ::/0 by wg0",
    ]


def test_what_becomes_unknown_is_told() -> None:
    old = BASE.format("tcp dport 443 accept")
    new = BASE.format("tcp dport 443 meta cgroup 7 accept")
    assert all("doubts" in one or "closes" in one for one in _differences(old, new))
    assert _differences(old, new)


def test_the_addresses_of_the_host_are_told_apart() -> None:
    """Nothing may be called equal where a rule moves from one address to another."""
    old = BASE.format("ip daddr 203.0.113.5 tcp dport 443 accept")
    new = BASE.format("ip daddr 203.0.113.6 tcp dport 443 accept")
    assert _differences(old, new) == [
        "tcp/443-443 4 closes 0.0.0.0/0 at 203.0.113.5",
        "tcp/443-443 4 opens 0.0.0.0/0 at 203.0.113.6",
    ]
    assert _differences(old, BASE.format("ip daddr 203.0.113.0/24 tcp dport 443 accept")) == [
        "tcp/443-443 4 opens 0.0.0.0/0 at 203.0.113.0-203.0.113.4,203.0.113.6-203.0.113.255"
    ]


def test_the_ports_of_the_clients_are_told_apart() -> None:
    old = BASE.format("tcp sport 1024-40000 tcp dport 443 accept")
    new = BASE.format("tcp sport 1024-50000 tcp dport 443 accept")
    assert _differences(old, new) == [
        "tcp/443-443 4 opens 0.0.0.0/0 from (40001, 50000)",
        "tcp/443-443 6 opens ::/0 from (40001, 50000)",
    ]


def test_the_clients_ports_are_asked_for_at_each_interface() -> None:
    """Two interfaces of which neither is certain for all ports may differ at one (seed 7009)."""
    rule = 'iifname "{}" tcp sport 1024-40000 tcp dport 443 accept'
    both = BASE.format(f"{rule.format('eth0')}\n{rule.format('eth1')}")
    other = rule.format("eth1").replace("1024-40000", "30000-65535")
    new = BASE.format(f"{rule.format('eth0')}\n{other}")
    assert _differences(both, new) == [
        "tcp/443-443 4 closes 0.0.0.0/0 from (1024, 29999) by eth1",
        "tcp/443-443 4 opens 0.0.0.0/0 from (40001, 65535) by eth1",
        "tcp/443-443 6 closes ::/0 from (1024, 29999) by eth1",
        "tcp/443-443 6 opens ::/0 from (40001, 65535) by eth1",
    ]


def test_the_ports_of_the_answers_are_told_apart() -> None:
    """A rule for answers names the host's own port as their source: no other rule need do so."""
    answers = (
        "table inet f {{ chain i {{ type filter hook input priority 0; policy accept;\n}}\n"
        "chain o {{ type filter hook output priority 0; policy drop;\n"
        "meta l4proto ipv6-icmp accept\n{} accept\n}}\n}}\n"
    )
    for one, two in (("tcp sport 443", "tcp sport 444"), ("ct reply proto-src 443",) * 2):
        old, new = answers.format(one), answers.format(two.replace("443", "444"))
        assert _differences(old, new)[:2] == [
            "tcp/443-443 4 closes 0.0.0.0/0",
            "tcp/444-444 4 opens 0.0.0.0/0",
        ]


def test_ports_that_no_rule_tells_apart_are_asked_about_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A migration of hundreds of ports is compared within the limits of a run."""
    asked: list[tuple[str, int]] = []
    at = difference._at
    monkeypatch.setattr(
        difference, "_at",
        lambda *words: asked.append((words[2].transport, words[2].port)) or at(*words),
    )  # fmt: skip
    ports = range(1000, 1400, 2)
    old = BASE.format("\n".join(f"tcp dport {port} accept" for port in ports))
    new = BASE.format(f"tcp dport {{ {', '.join(map(str, ports[:-1]))} }} accept")
    assert _differences(old, new) == ["tcp/1398-1398 4 closes 0.0.0.0/0",
                                      "tcp/1398-1398 6 closes ::/0"]  # fmt: skip
    assert [transport for transport, _ in asked].count("tcp") == 2 * len(ports)
    assert [transport for transport, _ in asked].count("udp") == 2
    assert _differences(old, new.replace("1000,", "")) != []


def test_ports_that_no_client_uses_by_itself_are_asked_about() -> None:
    """`tcp sport 53 accept` lets in whoever sends from port 53."""
    old, new = (
        BASE.format("tcp dport 22 accept"),
        BASE.format("tcp dport 22 accept\ntcp sport 53 accept"),
    )
    assert _differences(old, new) == [
        f"tcp/{ports} {family} opens {every} from (53, 53)"
        for family, every in ((4, "0.0.0.0/0"), (6, "::/0"))
        for ports in ("1-21", "23-65535")
    ]
    # Where it depends on the clients' ports, no doubt of all of them is that of the low ones.
    doubtful = BASE.format("tcp dport 22 accept\ntcp sport 5432 accept\nmeta cgroup 7 accept")
    assert [one for one in _differences(old, doubtful) if " 4 " in one and "tcp/1-" in one] == [
        "tcp/1-21 4 doubts 0.0.0.0/0 from (1024, 5431)",
        "tcp/1-21 4 opens 0.0.0.0/0 from (5432, 5432)",
        "tcp/1-21 4 doubts 0.0.0.0/0 from (5433, 65535)",
    ]
    narrow = doubtful.replace("sport 5432", "sport { 53, 5432 }")
    assert "tcp/1-21 4 doubts 0.0.0.0/0 from (1, 52)" in _differences(old, narrow)
    assert "tcp/1-21 4 opens 0.0.0.0/0 from (53, 53)" in _differences(old, narrow)
    low = BASE.format("tcp sport < 1024 tcp dport 22 accept")
    assert _differences(old, low) == [
        "tcp/22-22 4 closes 0.0.0.0/0",
        "tcp/22-22 6 closes ::/0",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((" accept; }\nchain o", " drop; }\nchain o"), ["forwarded packets"]),
        (("chain o { type filter hook output priority 0; policy accept; }", ""), []),
        (("output priority 0; policy accept", "output priority 0; policy drop"), [SENT]),
        (("meta l4proto { icmp, ipv6-icmp }", "meta l4proto ipv6-icmp"), [OTHERS]),
        (("tcp dport 22", "tcp dport 23"), []),
        (("tcp dport 22", "meta l4proto tcp"), []),
        (("@inside", "@outside"), ["forwarded packets"]),
        (("192.0.2.1", "192.0.2.2"), ["forwarded packets"]),
    ],
)  # fmt: skip
def test_what_was_not_asked_about_is_said(change: tuple[str, str], said: list[str]) -> None:
    text = (
        "table inet f {\nset inside { type ipv4_addr; elements = { 192.0.2.1 } }\n"
        "set outside { type ipv4_addr; }\n"
        "chain fw { type filter hook forward priority 0; policy accept; }\n"
        "chain o { type filter hook output priority 0; policy accept; }\n"
        "chain i { type filter hook input priority 0; policy drop;\n"
        "meta l4proto { icmp, ipv6-icmp } accept\ntcp dport 22 accept\n}\n"
        "chain g { type filter hook forward priority 5; policy drop;\n"
        "ip saddr @inside accept\n}\n}\n"
    )
    assert change[0] in text
    assert difference.unasked(ruleset(text), ruleset(text.replace(*change))) == said


def test_what_neither_side_knows_is_not_called_equal() -> None:
    old = BASE.format("tcp dport 443 meta cgroup 7 accept")
    new = BASE.format("tcp dport 443 meta cgroup 8 accept")
    assert _differences(old, new) == [
        "tcp/443-443 4 unclear 0.0.0.0/0",
        "tcp/443-443 6 unclear ::/0",
    ]
    assert _differences(old, old) == []
    assert _differences(old, old.replace("table", "# moved by a line\ntable")) == []


def test_only_ports_that_a_change_touches_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with hundreds of ports would take all the time that a run has."""
    asked: list[int] = []
    exposure = difference._exposure
    monkeypatch.setattr(
        difference,
        "_exposure",
        lambda one, at, iif: asked.append(at.port) or exposure(one, at, iif),
    )
    some = "\n".join(f"tcp dport {port} accept" for port in range(1000, 1200, 2))
    old, new = BASE.format(some), BASE.format(f"{some}\ntcp dport 5432-5433 accept")
    assert _differences(old, new) == [
        "tcp/5432-5433 4 opens 0.0.0.0/0",
        "tcp/5432-5433 6 opens ::/0",
    ]
    assert set(asked) == {5432, 1}  # to rules for tcp all ports of udp are alike
    # A rule that sends packets to the port, and one that the answers meet, touch others.
    chain = "table ip x {{ chain x {{ type {} priority -100;\n{}\n}}\n}}\n"
    redirect = chain.format("nat hook prerouting", "meta l4proto tcp redirect to :5432")
    assert any(one.startswith("tcp/1-") for one in _differences(redirect + old, redirect + new))
    answers = chain.format("filter hook output", "accept")
    dropped = answers.replace("accept", "tcp dport 1024-65535 drop\naccept")
    assert "tcp/22-22 4 closes 0.0.0.0/0" in _differences(
        BASE.format("tcp dport 22 accept") + answers, BASE.format("tcp dport 22 accept") + dropped
    )


def test_a_count_of_packets_is_certain_for_the_first_alone() -> None:
    """`--connbytes 1:1` lets a SYN in and no packet after it: seen in the kernel (seed 2083)."""
    text = (
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        "-A INPUT -p tcp --dport 22 -m connbytes --connbytes 1:1 --connbytes-dir original "
        "--connbytes-mode packets -j ACCEPT\nCOMMIT\n"
    )
    assert Firewall(_saved(text, 4), NETWORK).reach("tcp", 22, 4).verdict == "unknown"


def test_netmap_tells_the_addresses_of_the_host_apart() -> None:
    """NETMAP leaves ::1 an address of the host, and ::7 none (ip6tables, seed 261202)."""
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j NETMAP --to fd20::/64\nCOMMIT\n"
        "*filter\n:INPUT {} [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        "-A INPUT -p ipv6-icmp -j ACCEPT\nCOMMIT\n"
    )
    old, new = (_saved(text.format(policy), 6) for policy in ("DROP", "ACCEPT"))
    found = list(difference.differences(*difference.pair(old, new, NETWORK, NETWORK)))
    assert {one.destinations for one in found if one.family == 6 and "eth0" in one.interfaces} <= {
        ("2001:db8:1::1",)
    }
    assert Firewall(new, NETWORK).reach("tcp", 443, 6).verdict != "open"


def test_an_address_of_another_interface_is_another_case() -> None:
    """`fib daddr . iif type local` is true at the interface that has the address alone."""
    network = HostNetwork(
        (
            Interface("eth0", ((addresses.parse("203.0.113.5")[1], 24),)),
            Interface("eth1", ((addresses.parse("198.51.100.5")[1], 24),)),
        ),
        public="eth0",
    )
    old = ruleset(BASE.format("tcp dport 443 accept"))
    new = ruleset(BASE.format("fib daddr . iif type local tcp dport 443 accept"))
    found = difference.differences(*difference.pair(old, new, network, network), [4])
    where = [(one.first, one.interfaces, one.destinations) for one in found if one.closes]
    assert sorted(where) == [
        (443, ("eth0",), ("198.51.100.5",)),
        (443, ("eth1",), ("203.0.113.5",)),
    ]
    assert Firewall(new, network).reach("tcp", 443, 4).verdict != "open"


def _saved(text: str, family: Literal[4, 6]) -> Ruleset:
    """Read a ruleset of iptables."""
    from sslint.firewalls import iptables
    from sslint.source import SourceFile

    rules = Ruleset()
    iptables.read(SourceFile("/etc/iptables/rules", "rules", text), family, into=rules)
    return rules


def test_a_rate_is_told() -> None:
    old = BASE.format("tcp dport 22 accept")
    new = BASE.format("tcp dport 22 limit rate 3/minute accept")
    assert _differences(old, new) == ["tcp/22-22 4 limits 0.0.0.0/0", "tcp/22-22 6 limits ::/0"]
    assert _differences(new, old) == ["tcp/22-22 4 frees 0.0.0.0/0", "tcp/22-22 6 frees ::/0"]


@pytest.mark.parametrize("kind", ["nft", "iptables", "ip6tables"])
def test_random_rulesets_differ_by_what_each_says_alone(kind: str) -> None:
    """Nothing differs from itself, A from B is B from A mirrored, and every source is right."""
    rng = random.Random(SEED)
    rulesets = _loadable(kind)
    for number in range(5):
        one, two = next(rulesets), next(rulesets)
        again = f"SSLINT_SEED={SEED} {kind} {number}"
        same = difference.pair(one, one, NETWORK, NETWORK)
        assert list(difference.differences(*same)) == [], again
        old, new = difference.pair(one, two, NETWORK, NETWORK)
        found = list(difference.differences(old, new))
        mirrored = list(difference.differences(new, old))
        assert [_ports(d, *d.sets) for d in found] == [
            _ports(d, d.closes, d.opens, d.settles, d.doubts, d.unclear, d.frees, d.limits)
            for d in mirrored
        ], again
        for _ in range(30):
            _one_source(rng, old, new, found, again)


@pytest.mark.parametrize("kind", ["nft", "iptables", "ip6tables"])
def test_what_no_change_touches_does_not_differ(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked about every port, the same is found; but for what neither side knows."""
    some = 0
    for number in itertools.count(SEED % 10**6):
        if some == 4:
            break
        with contextlib.suppress(RulesetError):
            rulesets = [firewall(case).ruleset for case in pairs.pair(kind, number, 0)]
            found = _expanded(*rulesets)
            with monkeypatch.context() as patch:
                patch.setattr(difference, "_touched", lambda *_: difference.ALL_PORTS)
                assert found == _expanded(*rulesets), f"SSLINT_SEED={number} {kind}"
            some += 1


def _expanded(old: Ruleset, new: Ruleset) -> set[tuple[object, ...]]:
    """Return what differs at each class of ports."""
    one, two = difference.pair(old, new, NETWORK, NETWORK)
    return {
        (ports.first, *_ports(d, d.opens, d.closes, d.doubts, d.settles, d.limits, d.frees)[:2],
         *_ports(d, d.opens, d.closes, d.doubts, d.settles, d.limits, d.frees)[4:])
        for d in difference.differences(one, two)
        if any((d.opens, d.closes, d.doubts, d.settles, d.limits, d.frees))
        for ports in difference._port_classes(one, two, d.transport)
        if d.first <= ports.first <= d.last
    }  # fmt: skip


def _loadable(kind: str) -> Iterator[Ruleset]:
    """Yield random rulesets that the tools would take."""
    for number in itertools.count(SEED % 10**6):
        with contextlib.suppress(RulesetError):
            yield firewall(generate(kind, number, 0)).ruleset


def _ports(one: difference.Difference, *sets: Sources) -> tuple[object, ...]:
    where = (one.transport, one.family, one.first, one.last, one.interfaces, one.destinations)
    return (*where, one.source_ports, *(each.mask for each in sets))


def _one_source(
    rng: random.Random,
    old: Firewall,
    new: Firewall,
    found: list[difference.Difference],
    again: str,
) -> None:
    transport = rng.choice(difference.TRANSPORTS)
    family = rng.choice(difference.FAMILIES)
    chosen = rng.choice(found) if found and rng.random() < 0.7 else None
    port = rng.randint(1, 65535)
    if chosen is not None:
        transport, family = chosen.transport, chosen.family
        port = rng.choice((chosen.first, chosen.last, min(65535, chosen.last + 1)))
    last = addresses.LAST[family]
    source = rng.choice([rng.randint(0, last), *_edges(chosen, last)])
    iif = rng.choice(("eth0", "eth1"))
    classes = difference._source_ports(old, new)
    sport = rng.choice(classes)[0] if len(classes) > 1 else None
    destination = addresses.show(family, rng.choice(new.connections.clients_use(family)))
    verdicts = []
    for side in (old, new):
        alone = Firewall(side.ruleset, NETWORK, {family: [(source, source)]})
        asked = difference._Asked(transport, family, port, destination, sport)
        exposure = difference._exposure(alone, asked, difference._known_as(alone, iif))
        bit = alone.universes[family].bit(source)
        verdicts.append(
            "open" if exposure.open & bit else "?" if exposure.possible & bit else "shut"
        )
        if bit & alone.universes[family].never:
            return
    expected = {
        ("shut", "open"): "opens", ("open", "shut"): "closes", ("open", "?"): "doubts",
        ("shut", "?"): "doubts", ("?", "open"): "settles", ("?", "shut"): "settles",
        ("?", "?"): "unclear",
    }.get((verdicts[0], verdicts[1]))  # fmt: skip
    said = {
        name
        for one in found
        if (one.transport, one.family) == (transport, family) and one.first <= port <= one.last
        if not one.interfaces or iif in one.interfaces
        if not one.destinations or destination in one.destinations
        if one.source_ports[0] <= (sport or 1024) <= one.source_ports[1]
        for name in ("opens", "closes", "doubts", "settles", "unclear")
        if getattr(one, name).mask & getattr(one, name).universe.bit(source)
    }
    where = f"{again}: {transport}/{port} from {addresses.show(family, source)} by {iif}"
    # Of packets that no change touches it is not said that neither side knows about them.
    assert said == ({expected} if expected else set()) or (expected, said) == (
        "unclear",
        set(),
    ), where


def _edges(chosen: difference.Difference | None, last: int) -> list[int]:
    if chosen is None:
        return []
    edges = [edge for one in chosen.sets for edge in one.universe.intervals(one.mask, 3)]
    return [min(last, max(0, x + n)) for edge in edges for x in edge for n in (-1, 0, 1)]


# -- the command ----------------------------------------------------------------------------------


def _valid(data: Any) -> None:
    schemas = {name: json.loads(schema_text(name)) for name in ("diff", "report")}
    registry = Registry().with_contents((schema["$id"], schema) for schema in schemas.values())
    Draft202012Validator(schemas["diff"], registry=registry).validate(data)


@pytest.fixture(autouse=True)
def _every_diff_fits_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each diff that a test prints, in whatever format."""
    for name in ("text", "markdown", "data"):
        printed = getattr(reports, name)

        def checked(changes: Sequence[HostChange], printed: Any = printed) -> Any:
            _valid(json.loads(json.dumps(_DATA(changes))))
            return printed(changes)

        monkeypatch.setattr(reports, name, checked)


_DATA = reports.data


def test_the_schema_is_no_sieve() -> None:
    with pytest.raises(ValidationError):
        _valid({"version": 1, "hosts": [{"host": "a"}]})


def test_differences_of_rulesets_fit_the_schema() -> None:
    change = HostChange("")
    old = BASE.format("tcp dport 22 accept\ntcp dport 443 meta cgroup 7 accept")
    new = BASE.format('ip daddr 203.0.113.6 tcp dport 23 accept\niifname "wg0" udp dport 1 accept')
    change.traffic = list(difference.differences(*difference.pair(ruleset(old), ruleset(new))))
    assert len(change.traffic) > 4
    _valid(json.loads(json.dumps(reports.data([change]))))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree with one commit of the sound example, and the working directory in it."""
    top = tmp_path / "repository"
    shutil.copytree(EXAMPLES / "sound", top)
    _git(top, "init", "-q", "-b", "main")
    _git(top, "add", "-A")
    _git(top, "commit", "-q", "-m", "sound")
    monkeypatch.chdir(top)
    return top


def _git(top: Path, *words: str) -> None:
    who = {
        f"GIT_{role}_{what}": "a@b.c"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    subprocess.run(["git", "-C", str(top), *words], check=True, env={**os.environ, **who})


def _close_993(top: Path) -> None:
    file = top / "etc/nftables.conf"
    file.write_text(file.read_text().replace("{ 25, 465, 587, 993 }", "{ 25, 465, 587 }"))


def test_nothing_differs_from_a_commit_until_something_is_changed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--against", "main"]) == 0
    assert capsys.readouterr().out == "no difference\n"
    _close_993(repository)
    assert main(["diff", "--against", "main"]) == 1
    out = capsys.readouterr().out
    assert "closes       tcp/993 (dovecot imaps) over IPv4 and IPv6 to everyone" in out
    assert "new finding  error[tls-port-closed]" in out
    assert main(["diff", "main:.", "."]) == 1
    assert capsys.readouterr().out == out


def test_only_what_the_change_brought_is_reported(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _close_993(repository)
    _git(repository, "commit", "-qam", "close 993")
    assert main(["check", "."]) == 1
    capsys.readouterr()
    assert main(["check", ".", "--against", "HEAD"]) == 0
    assert "1 in the baseline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ports", "status"),
    [("any", 1), ("5432", 1), ("22,5000-6000", 1), ("5432/udp", 0), ("22", 0)],
)
def test_what_is_newly_exposed_fails(repository: Path, ports: str, status: int) -> None:
    file = repository / "etc/nftables.conf"
    file.write_text(
        file.read_text().replace("tcp dport 22 accept", "tcp dport { 22, 5432 } accept")
    )
    assert (
        main(["diff", "--against", "main", "--fail-on", "never", "--fail-on-open", ports]) == status
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("drop", "meta cgroup 7 accept"), ("meta cgroup 7 accept", "meta cgroup 8 accept")],
)
def test_what_may_be_newly_exposed_is_not_passed(
    repository: Path, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = repository / "etc/nftables.conf"
    text = file.read_text()
    rule = "tcp dport 22 accept\ntcp dport 5432 "
    file.write_text(text.replace("tcp dport 22 accept", rule + old))
    _git(repository, "commit", "-qam", "old")
    file.write_text(text.replace("tcp dport 22 accept", rule + new))
    words = ["diff", "--against", "main", "--fail-on", "never", "--fail-on-open"]
    assert main([*words, "5432"]) == 3
    assert "cannot tell whether more sources reach" in capsys.readouterr().err
    assert main([*words, "22"]) == 0


def test_a_new_listener_behind_an_open_port_is_newly_exposed(repository: Path) -> None:
    file = repository / "etc/nftables.conf"
    file.write_text(
        file.read_text().replace("tcp dport 22 accept", "tcp dport { 22, 8080 } accept")
    )
    _git(repository, "commit", "-qam", "open, and nothing listens")
    words = ["diff", "--against", "main", "--fail-on", "never", "--fail-on-open"]
    assert main([*words, "any"]) == 0
    site = repository / "etc/nginx/sites-enabled/www"
    site.write_text(site.read_text() + "server { listen 8080; return 404; }\n")
    assert main([*words, "any"]) == 1
    assert main([*words, "8080"]) == 1
    assert main([*words, "8081"]) == 0


def test_ports_that_differ_alike_share_a_line(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = repository / "etc/nftables.conf"
    file.write_text(
        file.read_text()
        .replace("policy drop", "policy accept", 1)
        .replace("tcp dport 22 accept", 'iifname "wg0" tcp dport 22 drop\ntcp dport 22 accept')
    )
    main(["diff", "--against", "main"])
    out = capsys.readouterr().out
    assert "all udp ports over IPv4 and IPv6 to everyone" in out
    assert "tcp/1-21, 23-24, 26-79, 81-442, 444-464, 466-586, 588-992, 994-65535 over" in out
    assert re.search(r"closes +tcp/22 over IPv4 and IPv6 to everyone by wg0", out)
    assert "not compared  protocols other than TCP and UDP: their rules differ" in out
    assert main(["diff", ".", "main:", "--format", "markdown", "--fail-on", "never"]) == 0
    out = capsys.readouterr().out
    assert "| opens | tcp/22 over IPv4 and IPv6 to everyone by wg0 |" in out


def test_an_interface_that_no_rule_names_is_told_as_such(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = repository / "etc/nftables.conf"
    file.write_text(
        file.read_text().replace("tcp dport 22 accept", 'iifname "wg0" tcp dport 22 accept')
    )
    main(["diff", "--against", "main"])
    out = capsys.readouterr().out
    assert "closes  tcp/22 over IPv4 and IPv6 to everyone by any other interface" in out


def test_a_listener_of_which_nothing_is_known_neither_opens_nor_closes(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "etc/nftables.conf").unlink()
    assert main(["diff", "--against", "main", "--fail-on", "never"]) == 3
    out = capsys.readouterr().out
    assert "closes" not in out
    assert "tcp/993 (dovecot imaps) over IPv4 and IPv6: was open to everyone" in out
    assert "the new side has no firewall" in out


def test_a_renamed_file_brings_no_finding(repository: Path) -> None:
    site = repository / "etc/nginx/sites-enabled/www"
    site.write_text(site.read_text().replace("listen 443 ssl", "listen 443"))
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "broken")
    assert main(["check", "."]) == 1
    site.rename(site.with_name("renamed"))
    assert main(["diff", "--against", "HEAD"]) == 0
    assert main(["check", ".", "--against", "HEAD"]) == 0
    site.write_text(site.with_name("renamed").read_text().replace("443", "8443"))
    assert main(["diff", "--against", "HEAD"]) == 1


def test_a_report_is_known_by_what_it_holds(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", ".", "--format", "json"])
    report = capsys.readouterr().out
    (repository / "saved").write_text(report)
    (repository / "saved.json").write_text(report)
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "with its report")
    for old, new in (("saved", "saved.json"), ("HEAD:saved.json", "saved"), ("saved", ".")):
        assert main(["diff", old, new]) == 0
        assert "ports without a listener" in capsys.readouterr().out
    (repository / "saved").write_text(report.replace('"version": 1', '"version": 2', 1))
    assert main(["diff", "saved", "."]) == 2
    assert "a report of version 2" in capsys.readouterr().err
    main(["endpoints", ".", "--format", "json"])
    (repository / "saved").write_text(capsys.readouterr().out)
    assert main(["diff", "saved", "."]) == 2
    assert "lacks findings" in capsys.readouterr().err


def test_the_settings_of_a_commit_hold_for_it(repository: Path) -> None:
    """They lie above the PATH, and name what lies beside it."""
    (repository / "rules").mkdir()
    (repository / "etc/nftables.conf").rename(repository / "rules/own.nft")
    settings = repository / ".sslint.yaml"
    settings.write_text("firewall: nft=rules/own.nft\n")
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "rules elsewhere")
    assert main(["diff", "--against", "HEAD", "etc", "--fail-on-open", "any"]) == 0
    settings.write_text("firewall: none\n")
    assert main(["diff", "--against", "HEAD", "etc", "--fail-on-open", "any"]) == 1
    words = ["diff", "--against", "HEAD", "--config-from", "HEAD", "--fail-on-open", "any"]
    assert main(words) == 0
    assert main([*words[:4], "main~1", *words[5:]]) == 2


def test_a_commit_without_a_host_is_an_empty_side(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The change brings the first host, or takes the last; it is an error for both sides."""
    _git(repository, "rm", "-rqf", "etc")
    _git(repository, "commit", "-qm", "nothing")
    assert main(["diff", "HEAD:", "HEAD~1:"]) == 0
    assert "listens       nginx on 0.0.0.0:443/tcp" in capsys.readouterr().out
    assert main(["diff", "HEAD~1:", "HEAD:", "--fail-on-open", "any"]) == 3  # other ports
    assert "no longer listens  nginx" in capsys.readouterr().out
    assert main(["diff", "HEAD:", "HEAD:"]) == 3
    _git(repository, "checkout", "-q", "HEAD~1", "--", "etc")
    assert main(["diff", "--against", "HEAD", "etc"]) == 0
    assert main(["diff", "HEAD:etc", "etc"]) == 2
    assert main(["check", "--against", "HEAD", "etc"]) == 0


def test_messages_name_the_commit_and_no_directory_of_ours(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = repository / ".sslint.yaml"
    settings.write_text("nonsense: 1\n")
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "settings")
    settings.unlink()
    assert main(["diff", "--against", "HEAD"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sslint: HEAD:.sslint.yaml:1: ")
    assert main(["diff", "HEAD~1:", ".", "--format", "json"]) == 0
    assert "sslint-" not in capsys.readouterr().out


def test_a_bare_repository_has_commits(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _close_993(repository)
    _git(repository, "commit", "-qam", "close 993")
    _git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    monkeypatch.chdir(tmp_path / "bare.git")
    assert main(["diff", "main~1:", "main:"]) == 1
    assert main(["diff", "main:", "main:etc"]) == 0


def test_a_host_of_one_side_is_told_and_not_incomplete(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(repository / "etc", repository / "hosts/a/etc")
    shutil.rmtree(repository / "etc")
    shutil.copytree(repository / "hosts/a", repository / "hosts/b")
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "two")
    shutil.copytree(repository / "hosts/a", repository / "hosts/c")
    assert main(["diff", "--against", "HEAD"]) == 0
    out = capsys.readouterr().out
    assert "hosts/c\nopens" in out
    assert "only the new side has this host" in out
    assert main(["diff", "--against", "HEAD", "--fail-on-open", "993"]) == 1


def test_two_reports_tell_who_reaches_their_listeners(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", ".", "--format", "json"])
    (repository / "new.json").write_text(capsys.readouterr().out)
    _close_993(repository)
    main(["check", ".", "--format", "json"])
    (repository / "old.json").write_text(capsys.readouterr().out)
    words = ["diff", "old.json", "new.json", "--fail-on", "never"]
    assert main(words) == 0
    opens = " tcp/993 (dovecot imaps) over IPv4 and IPv6 to everyone\n"
    assert opens in capsys.readouterr().out
    assert main([*words, "--fail-on-open", "993"]) == 1
    assert main([*words, "--fail-on-open", "5432"]) == 3


def test_a_renewed_certificate_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its path and names are what they were: no finding and no listener says so."""
    site = repository / "etc/nginx/sites-enabled/www"
    (_, place) = next(
        line.strip(";").split() for line in site.read_text().splitlines() if "fullchain" in line
    )
    file = repository / place.lstrip("/")
    file.parent.mkdir(parents=True)
    names = ("www.example.org", "example.org")
    file.write_text(pki.pem(pki.leaf(names, left=40), pki.authority("Intermediate R1")))
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", "certificate")
    file.write_text(pki.pem(pki.leaf(names, left=80), pki.authority("Intermediate R1")))
    assert main(["diff", "--against", "main", "--now", "2026-06-01"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"certificate  {place} on ")
    assert out.endswith(": expires 2026-07-11 -> 2026-08-20\n")
    main(["diff", "--against", "main", "--now", "2026-06-01", "--format", "json"])
    data = json.loads(capsys.readouterr().out)
    _valid(data)
    (one,) = data["hosts"][0]["certificates"]
    assert one["old"]["not_after"] < one["new"]["not_after"]


def test_another_key_of_a_certificate_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = repository / "etc/nginx/sites-enabled/www"
    site.write_text(site.read_text().replace("privkey.pem", "other.pem"))
    main(["diff", "--against", "main"])
    assert re.search(
        r"changes +nginx on .*: key \S+privkey.pem -> \S+other.pem", capsys.readouterr().out
    )


def test_a_host_of_another_name_is_the_same_host(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A renamed directory opens and closes nothing; a host that comes for one that goes does."""
    for name in ("mail", "web"):
        shutil.copytree(repository / "etc", repository / name / "etc")
    shutil.rmtree(repository / "etc")
    site = repository / "web/etc/nginx/sites-enabled/www"
    site.write_text(site.read_text().replace("443", "8443"))
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", "two hosts")
    (repository / "mail").rename(repository / "mx")
    assert main(["diff", "--against", "main"]) == 0
    assert capsys.readouterr().out == "mx (was mail)\nno difference\n\nweb\nno difference\n"
    assert main(["check", "--against", "main", "-q"]) == 0
    capsys.readouterr()
    main(["diff", "--against", "main", "--format", "json"])
    data = json.loads(capsys.readouterr().out)
    _valid(data)
    assert [(one["host"], one["was"]) for one in data["hosts"]] == [("mx", "mail"), ("web", None)]
    site = repository / "web/etc/nginx/sites-enabled/www"
    site.write_text(site.read_text().replace("8443", "9443"))
    (repository / "web").rename(repository / "www")
    main(["diff", "--against", "main"])
    assert "www (was web)" not in capsys.readouterr().out


def test_what_cannot_be_read_any_more_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = repository / "etc/nftables.conf"
    file.write_text(file.read_text() + "table inet {\n")
    assert main(["diff", "--against", "main", "--fail-on", "never"]) == 3
    out = capsys.readouterr().out
    assert re.search(r"no longer read +etc/nftables.conf: ", out)
    assert re.search(r"no longer known +tcp/\S+", out)


def test_a_certain_finding_wins_over_what_could_not_be_read(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = repository / "etc/nginx/sites-enabled/www"
    site.write_text(site.read_text().replace("listen 443 ssl", "listen 443"))
    assert main(["diff", "--against", "main"]) == 1
    file = repository / "etc/nftables.conf"
    file.write_text(file.read_text() + "table inet {\n")
    assert main(["diff", "--against", "main"]) == 1
    assert "new finding  error" in capsys.readouterr().out
    assert main(["diff", "--against", "main", "--fail-on", "never"]) == 3
    site.write_text(site.read_text().replace("listen 443;", "listen 443 ssl;"))
    capsys.readouterr()
    assert main(["diff", "--against", "main"]) == 3
    assert "error[input-unread]" in capsys.readouterr().out


def test_a_report_of_an_older_version_is_compared_by_what_it_has(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", ".", "--format", "json"])
    data = json.loads(capsys.readouterr().out)
    for one in data["endpoints"]:
        del one["service"]
    (repository.parent / "old.json").write_text(json.dumps(data))
    assert main(["diff", "../old.json", "."]) == 0
    assert "changes" not in capsys.readouterr().out


def test_two_saved_reports_do_as_well(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", ".", "--format", "json"])
    (repository / "old.json").write_text(capsys.readouterr().out)
    _close_993(repository)
    main(["check", ".", "--format", "json"])
    (repository / "new.json").write_text(capsys.readouterr().out)
    assert main(["diff", "old.json", "new.json", "--format", "json"]) == 1
    (host,) = json.loads(capsys.readouterr().out)["hosts"]
    assert [one["rule"] for one in host["findings"]["new"]] == ["tls-port-closed"]
    assert host["traffic"] is None
    assert host["notes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--old-firewall", "x=rules", "--new-firewall", "none"], "--old-firewall: unknown kind x"),
        (["--old-firewall", "none", "--new-firewall", "absent"], "--new-firewall: absent: no such"),
        (
            ["--old-firewall", "none", "--new-firewall", "none", "--host-ip", "192.0.2.1"],
            "--host-ip",
        ),
        (
            ["--old-firewall", "none", "--new-firewall", "none", "--limit", "x=1"],
            "unknown name 'x'",
        ),
        (["main"], "--against main compares with a commit"),
    ],
)
def test_no_flag_is_ignored_and_each_message_names_its_own(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_host_without_a_firewall_is_a_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nftables.conf"
    file.write_text(BASE.format("tcp dport 22 accept"))
    words = ["diff", "--old-firewall", "none", "--new-firewall", str(file)]
    assert main(words) == 0
    assert re.match(
        r"closes +tcp/1-21, 23-65535 over IPv4 and IPv6 to everyone", capsys.readouterr().out
    )
    assert main([*words, "--limit", "steps=1"]) == 3
    assert "not compared  needs more than 1 steps" in capsys.readouterr().out


def test_rulesets_alone_of_two_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.v4").write_text(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        "-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n"
    )
    rules = "ct state established,related accept; tcp dport 443 accept; tcp dport 25 accept;"
    (tmp_path / "new.nft").write_text(
        "table ip f {\n chain i { type filter hook input priority 0; policy drop;\n"
        f"{rules}\n}}\n}}\n"
    )
    old, new = f"iptables={tmp_path}/old.v4", f"nft={tmp_path}/new.nft"
    assert main(["diff", "--old-firewall", old, "--new-firewall", new]) == 0
    out = capsys.readouterr().out
    opens, rest, more = out.splitlines()
    assert opens.startswith("opens         tcp/25 over IPv4 to everyone")
    assert rest == "not compared  IPv6: one side has no rules for it"
    assert more == "not compared  forwarded packets: their rules differ"
    (tmp_path / "new.nft").write_text(f"table ip f {{\n chain i {{\n{rules}\n}}\n}}\n")
    (tmp_path / "same.nft").write_text(f"table ip f {{\n chain j {{\n{rules}\n}}\n}}\n")
    words = [
        "--old-firewall",
        str(tmp_path / "new.nft"),
        "--new-firewall",
        str(tmp_path / "same.nft"),
    ]
    assert main(["diff", *words]) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_markdown_obeys_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = repository / "etc/nginx/sites-enabled/www"
    file.write_text(file.read_text().replace("server_name", 'server_name "<b>@all|x" '))
    main(["diff", "--against", "main", "--format", "markdown"])
    out = capsys.readouterr().out
    assert "<b>" not in out
    assert "@all" not in out


@pytest.mark.parametrize(
    "words",
    [
        ["diff"], ["diff", "."], ["diff", "a", "b", "c"], ["diff", "--against", "nosuch"],
        ["diff", "main:etc/nosuch", "."], ["diff", "main:../x", "."], ["diff", "nosuch:.", "."],
        ["diff", "--old-firewall", "etc/nftables.conf"], ["diff", "x.json", "."],
        ["diff", "--against", "main", "--fail-on-open", "https"],
        ["diff", "--against", "main", "--fail-on-open", "70000"],
        ["diff", "--against", "main", "--fail-on-open", "5-1"],
        ["diff", "--against", "main", "--fail-on-open", "0"],
        ["diff", "--against", "main", "--fail-on-open", ""], ["diff", "main", "."],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_compared_is_a_usage_error(
    repository: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "x.json").write_text("[]")
    assert main(words) in (2, 3)
    assert capsys.readouterr().err


def test_a_commit_is_written_as_it_is(repository: Path, tmp_path: Path) -> None:
    from sslint.sides import export

    (repository / "etc/link").symlink_to("nginx/../../outside")
    (repository / "etc/run").write_text("x")
    (repository / "etc/run").chmod(0o755)
    (repository / "etc/bytes").write_bytes(bytes(range(256)))
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "more")
    made = Path(export(repository, "HEAD", "etc", tmp_path / "made"))
    assert os.readlink(made / "link") == "nginx/../../outside"
    assert (made / "run").stat().st_mode & 0o111
    assert (made / "bytes").read_bytes() == bytes(range(256))
    there = {str(p.relative_to(made)) for p in made.rglob("*")}
    assert there == {
        str(p.relative_to(repository / "etc")) for p in (repository / "etc").rglob("*")
    }


def _tree(top: Path, *entries: tuple[str, str, str]) -> str:
    """Return the id of a tree object with just these entries, whatever git thinks of them."""
    lines = [
        f"{mode} {'tree' if mode == '040000' else 'blob'} {oid}\t{name}\n"
        for mode, oid, name in entries
    ]
    return _said(top, "mktree", given="".join(lines))


def _said(top: Path, *words: str, given: str = "") -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(top), *words],
        input=given, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_nothing_of_a_commit_is_written_through_a_link_of_it(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tree object may hold a link and a directory of one name, as no checkout would."""
    outside = tmp_path / "outside"
    outside.mkdir()
    content = _said(repository, "hash-object", "-w", "--stdin", given="x")
    target = _said(repository, "hash-object", "-w", "--stdin", given=str(outside))
    below = _tree(repository, ("100644", content, "planted"))
    both = _tree(repository, ("120000", target, "a"), ("040000", below, "a"))
    top = _tree(repository, ("040000", both, "etc"))
    commit = _said(repository, "commit-tree", top, "-m", "x")
    assert main(["diff", "--against", commit, "etc"]) in (2, 3)
    assert list(outside.iterdir()) == []
    assert capsys.readouterr().err


@pytest.mark.parametrize("key", ["endpoints", "findings", "judged"])
@pytest.mark.parametrize("entry", ["{}", "1", "null", '{"host": "x"}'])
def test_a_report_that_is_none_is_refused(
    repository: Path, key: str, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", ".", "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    report[key] = [json.loads(entry)]
    (repository / "x.json").write_text(json.dumps(report))
    assert main(["diff", "x.json", "x.json"]) == 2
    assert "is not a report" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "1.2.3.4/99", "1.2.3.4/-1", "::/0", "1.2.3.4/x", "/", "0/0"])
def test_a_report_with_networks_that_are_none_is_refused(
    repository: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", ".", "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    report["endpoints"][0]["reach"]["ipv4"]["open"] = [text]
    (repository / "x.json").write_text(json.dumps(report))
    assert main(["diff", "x.json", "."]) == 2
    assert "is not a report" in capsys.readouterr().err


def test_what_a_saved_report_says_is_shown_without_control_characters(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", ".", "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    (repository / "old.json").write_text(json.dumps({**report, "endpoints": []}))
    for one in report["endpoints"]:
        one["server"] = "\x1b[31mnginx"
    (repository / "new.json").write_text(json.dumps(report))
    main(["diff", "old.json", "new.json"])
    out = capsys.readouterr().out
    assert "nginx" in out
    assert "\x1b" not in out
