"""What a change does, as text, as Markdown and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sslint.changes import CLIENT_PORTS, LAST_PORT, HostChange, Reached, Report, differing_fields
from sslint.netfilter.addresses import Sources
from sslint.netfilter.interfaces import OTHER
from sslint.plain import clean
from sslint.reports.data import decision_data
from sslint.values import dataclass, replace

if TYPE_CHECKING:
    from sslint.netfilter.difference import Difference
    from sslint.netfilter.verdicts import Decision
    from sslint.reports.served import Served

MOST = 8  # networks of a set that are shown; data has them all
SAME = "no difference"
EVERY = ((1, LAST_PORT),)
_OBEYED = frozenset("\\`*_[]<>|#@&~$")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that differs: what happens, to what, and where it is decided."""

    verb: str
    what: str
    where: str = ""


def text(changes: Sequence[HostChange]) -> str:
    """Return the report of `sslint diff`."""
    parts = []
    for change in changes:
        head = [clean(title(change))] if len(changes) > 1 else []
        found = list(lines(change))
        width = max((len(line.verb) for line in found), default=0)
        body = [
            clean(f"{line.verb.ljust(width)}  {line.what}{line.where and f'  ({line.where})'}")
            for line in found
        ]
        parts.append("\n".join([*head, *(body or [SAME])]))
    return "\n\n".join(parts or [SAME]) + "\n"


def markdown(changes: Sequence[HostChange]) -> str:
    """Return the report for a comment on a pull request."""
    parts = []
    for change in changes:
        rows = [
            f"| {line.verb} | {_cell(line.what)} | {_cell(line.where)} |" for line in lines(change)
        ]
        head = [f"### {_cell(title(change))}", ""] if len(changes) > 1 else []
        table = ["| | what | where |", "|---|---|---|", *rows] if rows else [SAME]
        parts.append("\n".join([*head, *table]))
    return "\n\n".join(parts or [SAME]) + "\n"


def title(change: HostChange) -> str:
    """Return the name of a host, and the one that it had."""
    return f"{change.host} (was {change.was})" if change.was else change.host


def _cell(value: str) -> str:
    """Escape what Markdown, GitHub and HTML would obey."""
    return "".join(f"&#{ord(char)};" if char in _OBEYED else char for char in clean(value))


def lines(change: HostChange) -> Iterator[Line]:
    """Yield all that differs on a host: traffic, listeners, findings, what was not compared."""
    yield from (_line(change, shift) for shift in shifts(change))
    for one in change.appeared:
        yield Line("listens", f"{listener(one)}{_reach(one)}", place_of(one))
    for one in change.vanished:
        yield Line("no longer listens", listener(one), place_of(one))
    for old, new in change.changed:
        differing = "; ".join(
            f"{name} {clean(before)} -> {clean(after)}"
            for name, before, after in differing_fields(old, new)
        )
        yield Line("changes", f"{listener(new, tls=False)}: {differing}", place_of(new))
    for before, after in change.certificates:
        told = "; ".join(f"{what} {one} -> {two}" for what, one, two in renewed(before, after))
        yield Line("certificate", f"{after.path} on {', '.join(after.ports)}: {told}")
    for one in change.found:
        yield Line("new finding", _finding(one), place_of(one))
    for one in change.gone:
        yield Line("finding gone", _finding(one))
    for one in change.unread:
        yield Line("no longer read", f"{one['path']}: {one['reason']}")
    if change.is_empty and not change.not_compared and change.notes:
        yield Line(SAME, "in all that was compared")
    for reason in (*change.not_compared, *change.notes):
        yield Line("not compared", clean(reason))


VERBS = (
    "opens", "closes", "no longer known", "known now", "not known", "limits", "lifts the limit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shift:
    """What happens to some sources at some ports: a set for each of the families.

    `shut` are those of them that do not get in on the side that is known. `old` and `new` decide.
    """

    verb: str
    transport: str
    ports: tuple[tuple[int, int], ...]  # first and last
    families: tuple[int, ...]
    sources: tuple[Sources, ...]
    shut: tuple[Sources, ...]
    interfaces: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    source_ports: tuple[int, int] = CLIENT_PORTS
    old: Decision | None = None
    new: Decision | None = None

    @property
    def over(self) -> str:
        """The address families in words."""
        return " and ".join(f"IPv{family}" for family in self.families)

    @property
    def who(self) -> str:
        """The sources that it happens to, from where, and at which of the host's addresses."""
        pairs = zip(self.sources, self.shut, strict=True)
        said = " and ".join(dict.fromkeys(_affected(self.verb, one, shut) for one, shut in pairs))
        if self.source_ports != CLIENT_PORTS:
            first, last = self.source_ports
            one = first == last
            said += f" from source port {first}" if one else f" from source ports {first}-{last}"
        if self.interfaces:
            said += f" by {', '.join(map(_interface, self.interfaces))}"
        return said + (", before or after" if self.verb == "not known" else "")

    @property
    def at(self) -> str:
        """At which of the host's addresses."""
        return f" at {_some(self.destinations)}" if self.destinations else ""


def shifts(change: HostChange) -> Iterator[Shift]:
    """Yield who gets in or no longer does, by what happens to them."""
    return _of_traffic(change) if change.traffic is not None else _of_reached(change)


def _of_traffic(change: HostChange) -> Iterator[Shift]:
    """Yield what the firewalls differ by: the families that differ alike share one."""
    groups: dict[tuple[Any, ...], list[Difference]] = {}
    for one in change.traffic or ():
        everyone = tuple(_everyone(sources) for sources in one.sets)
        sets = tuple(sources.brief(MOST) for sources in one.sets)
        who = everyone if any(everyone) else sets
        key = (
            one.transport, one.first, one.last, one.interfaces, one.destinations,
            one.source_ports, who, _by(one.old), _by(one.new),
        )  # fmt: skip
        groups.setdefault(key, []).append(one)
    for index, verb in enumerate(VERBS):
        told: dict[tuple[object, ...], Shift] = {}
        for group in groups.values():
            one = group[0]
            if not one.sets[index]:
                continue
            shift = Shift(
                verb, one.transport, ((one.first, one.last),),
                tuple(each.family for each in group),
                tuple(each.sets[index] for each in group), tuple(each.shut for each in group),
                one.interfaces, one.destinations, one.source_ports, one.old, one.new,
            )  # fmt: skip
            places = (shift.over, shift.at, shift.who, _by(one.old), _by(one.new))
            alike = (one.transport, *places, *(sources.mask for sources in shift.sources))
            known = told.get(alike)
            told[alike] = replace(known, ports=known.ports + shift.ports) if known else shift
        yield from told.values()


def _of_reached(change: HostChange) -> Iterator[Shift]:
    """Yield who reaches the listeners, where the firewalls themselves were not compared."""
    for verb, name in zip(VERBS, ("opens", "closes", "doubts", "settles"), strict=False):
        groups: dict[tuple[object, ...], list[Reached]] = {}
        for one in change.reached:
            if one.sets[name]:
                who = _affected(verb, one.sets[name], one.sets["shut"])
                groups.setdefault((one.transport, one.port, who), []).append(one)
        for group in groups.values():
            one = group[0]
            yield Shift(
                verb, one.transport, ((one.port, one.port),), tuple(each.family for each in group),
                tuple(each.sets[name] for each in group),
                tuple(each.sets["shut"] for each in group),
            )  # fmt: skip


def _line(change: HostChange, shift: Shift) -> Line:
    """Return what is said of it in one line."""
    where = " -> ".join(filter(None, (_by(shift.old), _by(shift.new))))
    ports = f"{shift.transport}/{ports_of(change, shift)}"
    at = f"all {shift.transport} ports" if shift.ports == EVERY else ports
    return Line(shift.verb, f"{at}{shift.at} over {shift.over}{shift.who}", where)


def ports_of(change: HostChange, shift: Shift) -> str:
    """Return the ports in words, with what is served there."""
    return _some([_port(change, shift.transport, *ports) for ports in shift.ports])


def _port(change: HostChange, transport: str, first: int, last: int) -> str:
    served = change.served.get((transport, first), "")
    said = str(first) if first == last else f"{first}-{last}"
    return f"{said} ({served})" if served else said


def _interface(name: str) -> str:
    return "any other interface" if name == OTHER else clean(name)


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MOST} more" if len(texts) > MOST else ""
    return ", ".join(texts[:MOST]) + more


def _affected(verb: str, sources: Sources, shut: Sources) -> str:
    """Say which sources it happens to, and on which side of what is known they are or were."""
    was = {"no longer known": "was ", "known now": ""}.get(verb)
    if was is None:
        return f" to {_who(sources)}"
    universe = sources.universe
    parts = {
        "open": Sources(universe, sources.mask & ~shut.mask),
        "closed": Sources(universe, sources.mask & shut.mask),
    }
    return ": " + ", ".join(f"{was}{how} to {_who(some)}" for how, some in parts.items() if some)


def _reach(one: Report) -> str:
    """Say who reaches a listener."""
    families = {f"IPv{n}": one["reach"][f"ipv{n}"] for n in (4, 6)}
    said: dict[str, list[str]] = {}
    for family, reach in families.items():
        if reach is not None:
            said.setdefault(reach["verdict"], []).append(family)
    return "".join(f", {verdict} over {' and '.join(over)}" for verdict, over in said.items())


def _everyone(sources: Sources) -> bool:
    universe = sources.universe
    return bool(sources) and not universe.full & ~universe.never & ~sources.mask


def _who(sources: Sources) -> str:
    return "everyone" if _everyone(sources) else sources.brief(MOST)


def _by(decision: Decision | None) -> str:
    if decision is None or decision.location is None:
        return ""
    return f"{clean(decision.location.path)}:{decision.location.line}"


def listener(one: Report, *, tls: bool = True) -> str:
    """Return what listens where."""
    address = f"[{one['address']}]" if ":" in one["address"] else one["address"]
    kind = {"implicit": " with TLS", "starttls": " with STARTTLS", "none": " without TLS"}
    said = kind.get(one["tls"], "") if tls else ""
    return f"{one['server']} on {address}:{one['port']}/{one['transport']}{said}"


def renewed(old: Served, new: Served) -> Iterator[tuple[str, str, str]]:
    """Yield what differs between two certificates at one path, before and after."""
    if old.names != new.names:
        yield "names", ", ".join(old.names), ", ".join(new.names)
    dates = {"expires": (old.not_after, new.not_after), "valid from": (old.begins, new.begins)}
    for what, (one, two) in dates.items():
        if one is not None and two is not None and one != two:
            precise = "%Y-%m-%d" if one.date() != two.date() else "%Y-%m-%d %H:%M:%S"
            yield what, f"{one:{precise}}", f"{two:{precise}}"
            return


def _finding(one: Report) -> str:
    return f"{one['severity']}[{one['rule']}]: {one['message']}"


def place_of(one: Report) -> str:
    """Return where a listener or a finding stands, "" if nowhere."""
    place = one["location"]
    return f"{place['path']}:{place['line']}" if place else ""


def data(changes: Iterable[HostChange]) -> dict[str, Any]:
    """Return the report as data."""
    return {
        "version": 1,
        "hosts": [
            {
                "host": clean(change.host),
                "was": clean(change.was) or None,
                "endpoints": {
                    "appeared": change.appeared,
                    "vanished": change.vanished,
                    "changed": [{"old": old, "new": new} for old, new in change.changed],
                },
                "traffic": None
                if change.traffic is None
                else [_difference_data(one) for one in change.traffic],
                "reached": [_reached_data(one) for one in change.reached],
                "certificates": [
                    {"path": new.path, "old": _served_data(old), "new": _served_data(new)}
                    for old, new in change.certificates
                ],
                "unread": change.unread,
                "findings": {"new": change.found, "gone": change.gone},
                "not_compared": [clean(reason) for reason in change.not_compared],
                "notes": [clean(note) for note in change.notes],
            }
            for change in changes
        ],
    }


def _served_data(one: Served) -> dict[str, Any]:
    dates = {"not_before": one.begins, "not_after": one.not_after}
    found = {key: when and when.isoformat() for key, when in dates.items()}
    return {"names": list(one.names), "ports": list(one.ports), **found}


_KEYS = (
    "opens", "closes", "not_known_any_more", "known_now", "not_known", "limits", "lifts_limit",
)  # fmt: skip


def _difference_data(one: Difference) -> dict[str, Any]:
    return {
        "transport": one.transport,
        "family": f"ipv{one.family}",
        "ports": [one.first, one.last],
        "source_ports": list(one.source_ports),
        "destinations": list(one.destinations),
        "interfaces": [clean(name) for name in one.interfaces],
        **{key: list(each.cidrs) for key, each in zip(_KEYS, one.sets, strict=True)},
        "closed_where_known": list(one.shut.cidrs),
        "old": decision_data(one.old),
        "new": decision_data(one.new),
    }


def _reached_data(one: Reached) -> dict[str, Any]:
    names = zip(_KEYS, ("opens", "closes", "doubts", "settles"), strict=False)
    return {
        "transport": one.transport,
        "family": f"ipv{one.family}",
        "port": one.port,
        **{key: list(one.sets[name].cidrs) for key, name in names},
        "closed_where_known": list(one.sets["shut"].cidrs),
    }
