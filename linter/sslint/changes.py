"""What a change does: two readings of one host, or of several, put side by side.

Listeners, findings and what is not judged are compared as the reports have them, so that two saved
reports do as well as two trees; traffic is compared by the firewalls themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint.budgets import ExhaustedError
from sslint.errors import UsageError
from sslint.plain import clean
from sslint.regex import regex
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.addresses import Sources
    from sslint.netfilter.difference import Difference
    from sslint.netfilter.model import Ruleset
    from sslint.reports.served import Served
    from sslint.result import Result

LAST_PORT = 65535
CLIENT_PORTS = (1024, 65535)
FAMILIES: tuple[Literal[4, 6], ...] = (4, 6)
_PORTS = regex(r"(?P<first>[0-9]{1,5})(-(?P<last>[0-9]{1,5}))?(/(?P<transport>tcp|udp))?", re.A)
Report = Mapping[str, Any]
# What of a listener is compared beside where it listens.
_COMPARED = ("protocol", "service", "tls", "tls_required", "names")
_OF_CERTIFICATES = (("certificate", "path"), ("key", "key"), ("certificate names", "names"))


@dataclass(frozen=True, slots=True)
class Reached:
    """How the sources that reach a port with a listener differ, as the reports have them.

    `sets` are by what happens to them: opens, closes, doubts (known before), settles (known now);
    `shut` are those of the last two that do not get in where that is known.
    """

    transport: str
    port: int
    family: int
    sets: Mapping[str, Sources]


@dataclass(slots=True)
class HostChange:
    """What differs between two readings of one host, in the shape of the reports.

    `was` is its name before, if it had another. `before` and `after` have all listeners, `changed`
    has the old and the new one; `unread` is what cannot be read any more. `traffic` is None where
    no firewalls were compared; `not_compared` says why, or what part of it could not be; `notes`
    what was not asked for.
    """

    host: str
    was: str = ""
    before: list[Report] = field(default_factory=list)
    after: list[Report] = field(default_factory=list)
    appeared: list[Report] = field(default_factory=list)
    vanished: list[Report] = field(default_factory=list)
    changed: list[tuple[Report, Report]] = field(default_factory=list)
    found: list[Report] = field(default_factory=list)
    gone: list[Report] = field(default_factory=list)
    certificates: list[tuple[Served, Served]] = field(default_factory=list)  # of one path
    unread: list[Report] = field(default_factory=list)
    traffic: list[Difference] | None = None
    reached: list[Reached] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    served: dict[tuple[str, int], str] = field(default_factory=dict)  # by transport and port

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        listeners = (self.appeared, self.vanished, self.changed, self.reached)
        found = (self.found, self.gone, self.certificates, self.unread)
        return not any((*listeners, *found, self.traffic))


def of_reports(old: Report, new: Report) -> list[HostChange]:
    """Return what differs between two reports of `sslint check --format json`, by host."""
    return [
        _of_host(_only(old, before), _only(new, after), before, after)
        for before, after in _pairs(_hosts(old), _hosts(new))
    ]


def of_results(old: Result, new: Result, reports: tuple[Report, Report]) -> list[HostChange]:
    """Return what differs between two checks, with the traffic."""
    changes = of_reports(*reports)
    before = {clean(host.name): host for host in old.hosts}
    after = {clean(host.name): host for host in new.hosts}
    for change in changes:
        one, two = before.get(change.was or change.host), after.get(change.host)
        if one is not None and two is not None:
            change.certificates = _certificates(one, two)
            _compare_firewalls(change, one, two)
        else:
            side = "new" if one is None else "old"
            change.notes.append(f"ports without a listener: only the {side} side has this host")
    return changes


def _certificates(old: Host, new: Host) -> list[tuple[Served, Served]]:
    """Return the certificates that are another's at the same path, where both are at hand."""
    from sslint.reports.served import served

    before = {one.real: one for one in served(old)}
    pairs = [(before[one.real], one) for one in served(new) if one.real in before]
    return [
        (one, two)
        for one, two in pairs
        if one.not_after is not None and two.not_after is not None
        if (one.names, one.begins, one.not_after) != (two.names, two.begins, two.not_after)
    ]


def of_rulesets(old: Ruleset, new: Ruleset) -> HostChange:
    """Return what two rulesets treat differently, in the families that both speak of."""
    change = HostChange("")
    for family in old.families ^ new.families:
        change.notes.append(f"IPv{family}: one side has no rules for it")
    _compare(change, old, new)
    if any(one.unclear for one in change.traffic or ()):
        change.not_compared.append("some packets, of which neither side says what becomes of them")
    return change


def _compare_firewalls(change: HostChange, old: Host, new: Host) -> None:
    lacking = [host.ruleset.empty and not host.ruleset.families for host in (old, new)]
    if all(lacking):
        change.notes.append("ports without a listener: neither side has a firewall")
    elif any(lacking):
        side = "old" if lacking[0] else "new"
        change.not_compared.append(f"ports without a listener: the {side} side has no firewall")
    if any(lacking):
        return
    _compare(change, old.ruleset, new.ruleset, old, new)


def _compare(
    change: HostChange,
    old: Ruleset,
    new: Ruleset,
    old_host: Host | None = None,
    new_host: Host | None = None,
) -> None:
    from sslint.netfilter import difference

    networks = [host.network.network if host is not None else None for host in (old_host, new_host)]
    one, two = difference.pair(old, new, *networks)
    for firewall in (one, two):
        change.not_compared += firewall.survey.broken
        if firewall.survey.port_sums:
            change.not_compared.append("a rule computes with ports: some may differ unseen")
    if difference.low_ports(one, two) is None:
        change.not_compared.append("source ports below 1024: the rules tell too many of them apart")
    if unasked := difference.unasked(old, new):
        change.notes.append(f"{', '.join(unasked)}: their rules differ")
    alone = () if old_host is not None else old.families ^ new.families
    families = [family for family in difference.FAMILIES if family not in alone]
    try:
        change.traffic = list(difference.differences(one, two, families))
    except ExhaustedError as error:
        change.not_compared.append(str(error))
    change.not_compared = list(dict.fromkeys(change.not_compared))


_Listeners = Mapping[str, frozenset[object]]
"""What listens, by host."""


def _pairs(old: _Listeners, new: _Listeners) -> list[tuple[str, str]]:
    """Return the hosts that belong together by name; "" stands for none. Two alone do anyway.

    A host of another name is the same one if all that listens is the same, and on no third one.
    """
    if len(old) == len(new) == 1:
        return [*zip(old, new, strict=True)]
    left = {name: one for name, one in old.items() if name not in new and one}
    come = {name: one for name, one in new.items() if name not in old and one}
    counts = (Counter(left.values()), Counter(come.values()))
    renamed = {
        before: after
        for before, one in left.items()
        for after, two in come.items()
        if one == two and counts[0][one] == counts[1][two] == 1
    }
    return [
        *((name, name if name in new else renamed.get(name, "")) for name in old),
        *(("", name) for name in new if name not in old and name not in renamed.values()),
    ]


def _hosts(report: Report) -> dict[str, frozenset[object]]:
    """Return what listens on each host of a report."""
    found: dict[str, set[object]] = {one["host"]: set() for one in report["judged"]}
    for one in report["endpoints"]:
        if one["host"] in found:
            found[one["host"]].add(_listener(one))
    return {name: frozenset(some) for name, some in found.items()}


def _only(report: Report, host: str) -> dict[str, list[Report]]:
    """Return what a report says of one host."""
    return {
        key: [one for one in report[key] if one["host"] == host]
        for key in ("endpoints", "findings", "unread")
    }


def _of_host(
    old: Mapping[str, list[Report]], new: Mapping[str, list[Report]], was: str, name: str
) -> HostChange:
    change = HostChange(name or was, was if name and was != name else "")
    change.before, change.after = old["endpoints"], new["endpoints"]
    known = {(one["path"], one["reason"]) for one in old["unread"]}
    change.unread = [
        one
        for one in new["unread"]
        if was and one.get("decisive") and (one["path"], one["reason"]) not in known
    ]
    before = {_listener(one): one for one in old["endpoints"]}
    after = {_listener(one): one for one in new["endpoints"]}
    change.vanished = [one for key, one in before.items() if key not in after]
    change.appeared = [one for key, one in after.items() if key not in before]
    change.changed = [
        (one, after[key])
        for key, one in before.items()
        if key in after and differing_fields(one, after[key])
    ]
    change.found, change.gone = _unmatched(old["findings"], new["findings"])
    for one in (*old["endpoints"], *new["endpoints"]):
        change.served[one["transport"], one["port"]] = f"{one['server']} {one['protocol']}".strip()
    change.reached = list(_reached(old["endpoints"], new["endpoints"]))
    return change


def _reached(old: Sequence[Report], new: Sequence[Report]) -> Iterator[Reached]:
    """Yield what differs of the sources that reach the ports with a listener."""
    from sslint.netfilter import addresses, difference

    before, after = _by_port(old), _by_port(new)
    nobody: tuple[list[str], list[str]] = ([], [])
    known: dict[object, dict[str, Sources]] = {}  # many ports differ alike
    for transport, port, family in dict.fromkeys((*before, *after)):
        sides = [one.get((transport, port, family), nobody) for one in (before, after)]
        if sides[0] == sides[1]:
            continue
        key = family, *(tuple(part) for side in sides for part in side)
        if key not in known:
            parsed = [
                [[addresses.network(text)[1] for text in texts] for texts in one] for one in sides
            ]
            universe = addresses.Universe(
                family, [one for side in parsed for part in side for one in part]
            )
            masks = [(universe.mask(some), universe.mask([*some, *may])) for some, may in parsed]
            known[key] = difference.compared(universe, *masks)
        if sets := known[key]:
            yield Reached(transport, port, family, sets)


def _by_port(
    endpoints: Sequence[Report],
) -> dict[tuple[str, int, Literal[4, 6]], tuple[list[str], list[str]]]:
    """Return the networks that certainly reach a port, and those that may, of all its listeners."""
    found: dict[tuple[str, int, Literal[4, 6]], tuple[list[str], list[str]]] = {}
    for one in endpoints:
        for family in FAMILIES:
            reach = one["reach"][f"ipv{family}"]
            if reach is not None:
                key = (one["transport"], one["port"], family)
                opened, may = found.setdefault(key, ([], []))
                opened += reach["open"]
                may += reach["unknown"]
                if reach["verdict"] == "unknown" and not (reach["open"] or reach["unknown"]):
                    may.append(("0.0.0.0/0", "::/0")[family == 6])  # nothing was asked
    return found


def _listener(one: Report) -> tuple[object, ...]:
    return one["server"], one["transport"], one["address"], one["port"]


def _unmatched(old: Sequence[Report], new: Sequence[Report]) -> tuple[list[Report], list[Report]]:
    """Return the findings that only the new side has, and those that only the old one has.

    They are matched one to one: not by their lines, which move, nor by a file that got a new name.
    """
    for known_by in (_finding, _cause):
        waiting: dict[object, list[Report]] = {}
        for one in old:
            waiting.setdefault(known_by(one), []).append(one)
        left = []
        for one in new:
            if same := waiting.get(known_by(one)):
                same.pop(0)
            else:
                left.append(one)
        kept = {id(one) for some in waiting.values() for one in some}
        old, new = [one for one in old if id(one) in kept], left
    return list(new), list(old)


def _finding(one: Report) -> tuple[object, ...]:
    place = one["location"]
    return one["rule"], one["entity"], place and place["path"]


def _cause(one: Report) -> tuple[object, ...]:
    return one["rule"], one["entity"], one["message"]


def differing_fields(old: Report, new: Report) -> list[tuple[str, str, str]]:
    """Return what of a listener differs, as name, old and new value.

    A field that a report of another version lacks is not compared.
    """
    found = [
        (key.replace("_", " "), _shown(old[key]), _shown(new[key]))
        for key in _COMPARED
        if key in old and key in new and old[key] != new[key]
    ]
    for name, key in _OF_CERTIFICATES:
        one, two = ([ref[key] for ref in side["certificates"]] for side in (old, new))
        if one != two:
            found.append((name, _shown(one), _shown(two)))
    return found


def _shown(value: object) -> str:
    if isinstance(value, list):
        between = "; " if any(isinstance(one, list) for one in value) else ", "
        return between.join(dict.fromkeys(map(_shown, value))) or "none"
    if value is None:
        return "unknown"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def leave_old(result: Result, old: Report) -> None:
    """Leave out the findings that another report has, of whichever line, and count them."""
    from sslint.reports.data import finding_data

    shown = [finding_data(one, None) for one in result.findings]
    hosts = {
        clean(host.name): frozenset(
            (one.server, one.transport, clean(one.address), one.port)
            for one in (socket.endpoint for socket in host.sockets)
        )
        for host in result.hosts
    }
    new = {
        id(one)
        for before, after in _pairs(_hosts(old), hosts)
        for one in _unmatched(
            [one for one in old["findings"] if one["host"] == before],
            [one for one in shown if one["host"] == after],
        )[0]
    }
    kept = [one for one, data in zip(result.findings, shown, strict=True) if id(data) in new]
    result.baselined += len(result.findings) - len(kept)
    result.findings = kept


Ports = Sequence[tuple[str, int, int]]
"""Transport, first and last port."""


def ports_of(text: str | None) -> Ports:
    """Return the ports that `--fail-on-open` names. Raise UsageError."""
    if text is None:
        return ()
    if text == "any":
        return [("tcp", 0, LAST_PORT), ("udp", 0, LAST_PORT)]
    found = []
    for word in text.split(","):
        match = _PORTS.fullmatch(word.strip())
        first, last = (
            (int(match[n] or match["first"]) for n in ("first", "last")) if match else (0, 0)
        )
        if match is None or not 0 < first <= last <= LAST_PORT:
            raise UsageError("--fail-on-open: takes ports such as 5432,8000-8010,53/udp, or any")
        found.append((match["transport"] or "tcp", first, last))
    return found


def opens_any(changes: Sequence[HostChange], ports: Ports) -> bool:
    """Tell whether more sources reach one of the ports, or a listener on it."""
    return any(
        one.opens for change in changes for one in change.traffic or () if _at(one, ports)
    ) or any(
        one.sets["opens"]
        for change in changes
        for one in change.reached
        if _is_in(one.transport, one.port, one.port, ports)
    )


def may_open_any(changes: Sequence[HostChange], ports: Ports) -> bool:
    """Tell whether it is not known of one of the ports that no more sources reach it."""
    if ports and any(change.traffic is None for change in changes):
        return True
    return any(
        one.may_open or one.unclear
        for change in changes
        for one in change.traffic or ()
        if _at(one, ports)
    ) or any(
        one.sets["doubts"].mask & one.sets["shut"].mask
        for change in changes
        for one in change.reached
        if _is_in(one.transport, one.port, one.port, ports)
    )


def _at(one: Difference, ports: Ports) -> bool:
    return _is_in(one.transport, one.first, one.last, ports)


def _is_in(transport: str, first: int, last: int, ports: Ports) -> bool:
    return any(transport == wanted and low <= last and first <= high for wanted, low, high in ports)
