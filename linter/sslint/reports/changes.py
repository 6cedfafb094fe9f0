"""What a change does, as text, as Markdown and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sslint.changes import CLIENT_PORTS, LAST_PORT, HostChange, Reached, Report, differing_fields
from sslint.netfilter.addresses import Sources
from sslint.netfilter.interfaces import OTHER
from sslint.plain import clean
from sslint.reports.data import decision_data
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.netfilter.difference import Difference
    from sslint.netfilter.verdicts import Decision
    from sslint.reports.served import Served

MOST = 8  # networks of a set that are shown; data has them all
SAME = "no difference"
EVERY = "all"
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
    yield from _traffic(change)
    yield from _reached(change)
    for one in change.appeared:
        yield Line("listens", f"{_listener(one)}{_reach(one)}", _place(one))
    for one in change.vanished:
        yield Line("listens no more", _listener(one), _place(one))
    for old, new in change.changed:
        differing = "; ".join(
            f"{name} {clean(before)} -> {clean(after)}"
            for name, before, after in differing_fields(old, new)
        )
        yield Line("changes", f"{_listener(new, tls=False)}: {differing}", _place(new))
    for before, after in change.certificates:
        told = "; ".join(f"{what} {one} -> {two}" for what, one, two in renewed(before, after))
        yield Line("certificate", f"{after.path} on {', '.join(after.ports)}: {told}")
    for one in change.found:
        yield Line("new finding", _finding(one), _place(one))
    for one in change.gone:
        yield Line("found no more", _finding(one))
    for one in change.unread:
        yield Line("not read any more", f"{one['path']}: {one['reason']}")
    for reason in (*change.not_compared, *change.notes):
        yield Line("not compared", clean(reason))


VERBS = (
    "opens", "closes", "not known any more", "known now", "not known", "limits", "lifts the limit",
)  # fmt: skip


def _traffic(change: HostChange) -> Iterator[Line]:
    """Yield the lines of traffic: the families that differ alike share one."""
    groups: dict[tuple[Any, ...], list[Difference]] = {}
    for one in change.traffic or ():
        everyone = tuple(_everyone(sources) for sources in one.sets)
        sets = tuple(sources.brief(MOST) for sources in one.sets)
        alike = everyone if any(everyone) else sets
        key = (
            one.transport, one.first, one.last, one.interfaces, one.destinations,
            one.source_ports, alike, _by(one.old), _by(one.new),
        )  # fmt: skip
        groups.setdefault(key, []).append(one)
    for index, verb in enumerate(VERBS):
        told: dict[tuple[str, ...], list[str]] = {}
        for group in groups.values():
            if group[0].sets[index]:
                told.setdefault(_told(verb, index, group), []).append(_port(change, group[0]))
        for (transport, rest, where), ports in told.items():
            every = ports == [EVERY]
            yield Line(
                verb,
                f"all {transport} ports{rest}" if every else f"{transport}/{_some(ports)}{rest}",
                where,
            )


def _told(verb: str, index: int, group: Sequence[Difference]) -> tuple[str, str, str]:
    """Return what is said beside the ports: transport, addresses, sources, rules on both sides."""
    one = group[0]
    families = " and ".join(f"IPv{each.family}" for each in group)
    who = " and ".join(dict.fromkeys(_whom(verb, each.sets[index], each.shut) for each in group))
    what = f" at {_some(one.destinations)}" if one.destinations else ""
    what += f" over {families}{who}"
    if one.source_ports != CLIENT_PORTS:
        what += " from source ports {}-{}".format(*one.source_ports)
    if one.interfaces:
        what += f" by {', '.join(map(_interface, one.interfaces))}"
    if verb == "not known":
        what += ", before or after"
    return one.transport, what, " -> ".join(filter(None, (_by(one.old), _by(one.new))))


def _port(change: HostChange, one: Difference) -> str:
    served = change.served.get((one.transport, one.first), "")
    return f"{_ports(one)}{f' ({served})' if served else ''}"


def _interface(name: str) -> str:
    return "any other interface" if name == OTHER else clean(name)


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MOST} more" if len(texts) > MOST else ""
    return ", ".join(texts[:MOST]) + more


def _reached(change: HostChange) -> Iterator[Line]:
    """Yield who reaches the listeners, where the firewalls themselves were not compared."""
    if change.traffic is not None:
        return
    for verb, name in zip(VERBS, ("opens", "closes", "doubts", "settles"), strict=False):
        groups: dict[tuple[object, ...], list[Reached]] = {}
        for one in change.reached:
            if one.sets[name]:
                who = _whom(verb, one.sets[name], one.sets["shut"])
                groups.setdefault((one.transport, one.port, who), []).append(one)
        for key, group in groups.items():
            one = group[0]
            served = change.served.get((one.transport, one.port), "")
            families = " and ".join(f"IPv{each.family}" for each in group)
            what = f"{one.transport}/{one.port}{f' ({served})' if served else ''}"
            yield Line(verb, f"{what} over {families}{key[2]}")


def _whom(verb: str, sources: Sources, shut: Sources) -> str:
    """Say to whom it happens, and on which side of what is known they are or were."""
    was = {"not known any more": "was ", "known now": ""}.get(verb)
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
    return bool(sources) and not universe.public & ~sources.mask


def _who(sources: Sources) -> str:
    return "everyone" if _everyone(sources) else sources.brief(MOST)


def _ports(one: Difference) -> str:
    if (one.first, one.last) == (1, LAST_PORT):
        return EVERY
    return str(one.first) if one.first == one.last else f"{one.first}-{one.last}"


def _by(decision: Decision | None) -> str:
    if decision is None or decision.location is None:
        return ""
    return f"{clean(decision.location.path)}:{decision.location.line}"


def _listener(one: Report, *, tls: bool = True) -> str:
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


def _place(one: Report) -> str:
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
