"""One HTML page that shows what a change does: who gets in before and after it, and what decides.

A row is what happens to some sources at some ports, the pieces are those of the page of a check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sslint import __version__
from sslint.changes import HostChange, Report, differing_fields
from sslint.netfilter.addresses import Sources
from sslint.plain import clean
from sslint.reports.changes import (
    VERBS,
    Shift,
    listener,
    place_of,
    ports_of,
    renewed,
    shifts,
    title,
)
from sslint.reports.page.frame import legend, page, symbols
from sslint.reports.page.markup import Markup, joined, tag
from sslint.reports.page.picture import TITLES, Lane, State, merged
from sslint.reports.page.services import excerpt, flow, mark, mark_of, path
from sslint.reports.rows import Place
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.netfilter.verdicts import Decision
    from sslint.reports.served import Served

MAX_ROWS = 300  # of a host and of a kind; the others are counted
MAX_NETWORKS = 1000  # that are listed of a set
MAX_PORTS = 200  # that are listed
_MORE = "sslint diff --format json has them all"
_MARKS: Mapping[str, State] = dict(
    zip(VERBS, ("open", "closed", "unknown", "calm", "unknown", "limited", "open"), strict=True)
)
_LEGEND = {
    "open": "open, or opens", "closed": "closes", "calm": "closed before, or known now",
    "limited": "open to some, or at a limited rate", "unknown": "not known",
}  # fmt: skip
_NOUNS = {
    "opens": ("opened port", "opened ports"), "closes": ("closed port", "closed ports"),
    "no longer known": ("port no longer known", "ports no longer known"),
    "known now": ("port known now", "ports known now"),
    "not known": ("port not known on either side", "ports not known on either side"),
    "limits": ("limited port", "limited ports"),
    "lifts the limit": ("port without its limit", "ports without their limit"),
}  # fmt: skip
_TLS = {"implicit": "TLS", "starttls": "STARTTLS", "none": "no TLS", "unknown": "TLS not known"}


@dataclass(slots=True)
class _Page:
    """What the page shows of a host: its changes by kind, and how many there are of each."""

    change: HostChange
    several: bool  # hosts, of which each has a name of its own
    shifts: list[Shift] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """The name of the host."""
        return clean(title(self.change) if self.several else self.change.host) or "Rulesets"

    @property
    def differs(self) -> bool:
        """Whether something differs, or may do so."""
        return bool(not self.change.is_empty or self.change.not_compared)

    @property
    def shown(self) -> bool:
        """Whether there is anything to show."""
        return self.differs or bool(self.change.notes)

    @property
    def rank(self) -> tuple[int, ...]:
        """What is looked at first has the least."""
        worst = (self.counts[kind] for kind in ("error", "warning", "opens", "closes"))
        return (*(-number for number in worst), -sum(self.counts.values()))


def report(changes: Sequence[HostChange]) -> str:
    """Return the page."""
    pages = sorted(
        (_counted(change, len(changes) > 1) for change in changes), key=lambda one: one.rank
    )
    named = [(f"h{number}", one) for number, one in enumerate(pages)]
    several = len(named) > 1
    body = [symbols()]
    if several:
        words = f"{sum(one.differs for one in pages)} of {len(pages)} hosts differ"
        total = sum((one.counts for one in pages), Counter[str]())
        said = tag("p", f"Compared by sslint {__version__}.")
        parts = [tag("h1", words), _tally(total), said, _matrix(named), legend(_LEGEND)]
        body.append(tag("header", parts, id="top"))
    body += [_host(key, one, alone=not several) for key, one in named if one.shown or not several]
    if not named:
        body.append(tag("h1", "No difference"))
    name = named[0][1].name if len(named) == 1 else "sslint diff"
    return page(f"{name}: what the change does", tag("main", body))


def _counted(change: HostChange, several: bool) -> _Page:
    one = _Page(change, several, list(shifts(change)))
    ports = {(shift.verb, shift.transport, *ports) for shift in one.shifts for ports in shift.ports}
    for verb, *_ in ports:
        one.counts[verb] += 1
    one.counts["appears"] = len(change.appeared)
    one.counts["vanishes"] = len(change.vanished)
    one.counts["changes"] = len(change.changed) + len(change.certificates)
    one.counts.update(found["severity"] for found in change.found)
    one.counts["gone"] = len(change.gone)
    one.counts["unread"] = len(change.unread)
    return one


_TALLY: Mapping[str, tuple[str, str, str]] = {
    **{verb: (_MARKS[verb], *words) for verb, words in _NOUNS.items()},
    "appears": ("open", "listener appears", "listeners appear"),
    "vanishes": ("calm", "listener vanishes", "listeners vanish"),
    "changes": ("info", "listener or certificate changes", "listeners or certificates change"),
    "error": ("error", "new error", "new errors"),
    "warning": ("warning", "new warning", "new warnings"),
    "info": ("info", "new remark", "new remarks"),
    "gone": ("open", "finding gone", "findings gone"),
    "unread": ("unknown", "file no longer read", "files no longer read"),
}


def _tally(counts: Mapping[str, int]) -> Markup:
    """Return how much there is of each kind."""
    parts = [
        tag("span", mark(state), tag("b", counts[kind]), f" {one if counts[kind] == 1 else many}")
        for kind, (state, one, many) in _TALLY.items()
        if counts[kind]
    ]
    return tag("p", parts or [tag("span", mark("calm"), "no difference")], class_="tally")


def _matrix(named: Sequence[tuple[str, _Page]]) -> Markup:
    """Return the table of hosts by what differs, each a link to its own part."""
    used = [kind for kind in _TALLY if any(one.counts[kind] for _, one in named)]
    heads = ["Host", "Differs", *(_TALLY[kind][2] for kind in used)]
    head = tag("tr", [tag("th", text[0].upper() + text[1:], scope="col") for text in heads])
    rows = []
    for key, one in named:
        name = tag("a", one.name, href=f"#{key}") if one.shown else one.name
        cells = [tag("th", name, scope="row"), tag("td", "yes" if one.differs else "no")]
        for kind in used:
            state, count = _TALLY[kind][0], one.counts[kind]
            cells.append(tag("td", [mark(state), count] if count else None))
        rows.append(tag("tr", cells, class_=_worst(one)))
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag("div", table, class_="matrix", tabindex="0", role="region", aria_label="Hosts")


def _worst(one: _Page) -> str | None:
    """Return the class of a host: what its mark in the table looks like."""
    for kind in ("error", "warning", "opens", "closes", "no longer known", "changes"):
        if one.counts[kind]:
            return _TALLY[kind][0]
    return None


# -- one host -----------------------------------------------------------------------------------


def _host(key: str, one: _Page, *, alone: bool) -> Markup:
    change = one.change
    back = None if alone else tag("p", tag("a", "All hosts", href="#top"), class_="back")
    parts: list[object] = [back, tag("h1", one.name), _tally(one.counts)]
    rows = (_shift(change, shift, f"{key}-s{n}") for n, shift in enumerate(one.shifts))
    parts.append(_section("Who gets in", rows, len(one.shifts)))
    parts.append(_section("Listeners", _listeners(change, key), _changed(change)))
    if change.certificates:
        items = [_certificate(*pair) for pair in change.certificates]
        parts += [tag("h2", "Certificates"), tag("ul", items)]
    if change.found:
        found = [_finding(one) for one in change.found[:MAX_ROWS]]
        parts += [tag("h2", "New findings"), found, _others(len(change.found))]
    if change.gone:
        items = [_gone(one) for one in change.gone[:MAX_ROWS]]
        parts += [tag("h2", "Findings that are gone"), tag("ul", items), _others(len(change.gone))]
    if change.unread:
        items = [_named(clean(one["path"]), clean(one["reason"])) for one in change.unread]
        parts += [tag("h2", "No longer read"), tag("ul", items)]
    reasons = [*change.not_compared, *change.notes]
    if reasons:
        items = [tag("li", clean(reason)) for reason in reasons]
        parts += [tag("h2", "Not compared"), tag("ul", items)]
    parts += [_everything(change), legend(_LEGEND)]
    return tag("section", parts, class_="host diff", id=key)


def _section(head: str, rows: Iterator[Markup], count: int) -> Markup | None:
    if not count:
        return None
    some = [row for row, _ in zip(rows, range(MAX_ROWS), strict=False)]
    return joined([tag("h2", head), tag("div", some, class_="picture"), _others(count)])


def _others(count: int) -> Markup | None:
    return tag("p", f"and {count - MAX_ROWS} more: {_MORE}") if count > MAX_ROWS else None


# -- who gets in --------------------------------------------------------------------------------


def _shift(change: HostChange, shift: Shift, key: str) -> Markup:
    state = _MARKS[shift.verb]
    what = f"{shift.at} over {shift.over}{shift.who}"
    lead = tag("p", mark(state), tag("b", shift.verb), what, class_="lead")
    lanes = [
        *_lanes("Before", _before(shift), shift.old),
        *_lanes("After", _after(shift), shift.new),
    ]
    name = tag("h3", _heading(change, shift))
    row = tag("div", name, flow(lanes, key, dead=False), _box(change, shift, key), class_="row")
    return tag("article", lead, row, _evidence(change, shift, key), class_=state, id=key)


def _heading(change: HostChange, shift: Shift) -> Markup:
    (first, last), *more = shift.ports
    protocol = next(
        (one["protocol"] for one in _at(change.after, shift) or _at(change.before, shift)), ""
    )
    if more:
        return joined([f"{len(shift.ports)} ports ", tag("small", shift.transport)])
    number = str(first) if first == last else f"{first}-{last}"
    name = TITLES.get(protocol, clean(protocol)) or f"Port{'' if first == last else 's'} {number}"
    return joined([name, " ", tag("small", f"{number}/{shift.transport}")])


_OPEN: tuple[State, str] = ("open", "open")
_SHUT: tuple[State, str] = ("calm", "closed")
_UNKNOWN: tuple[State, str] = ("unknown", "not known")
_RATED: tuple[State, str] = ("limited", "at a limited rate")
_STATES: Mapping[str, tuple[tuple[State, str], tuple[State, str]]] = {
    "opens": (_SHUT, _OPEN),
    "closes": (_OPEN, ("closed", "closed")),
    "not known": (_UNKNOWN, _UNKNOWN),
    "limits": (_OPEN, _RATED),
    "lifts the limit": (_RATED, _OPEN),
}


def _before(shift: Shift) -> list[tuple[State, str]]:
    """Return how the sources stood: where that is known no more, some may have stood otherwise."""
    if shift.verb == "known now":
        return [_UNKNOWN]
    return _known(shift) if shift.verb == "no longer known" else [_STATES[shift.verb][0]]


def _after(shift: Shift) -> list[tuple[State, str]]:
    if shift.verb == "no longer known":
        return [_UNKNOWN]
    return _known(shift) if shift.verb == "known now" else [_STATES[shift.verb][1]]


def _known(shift: Shift) -> list[tuple[State, str]]:
    """Return how the sources stand on the side that is known: some may be let in, others not."""
    pairs = list(zip(shift.sources, shift.shut, strict=True))
    found = []
    if any(one.mask & ~shut.mask for one, shut in pairs):
        found.append(_OPEN)
    if any(one.mask & shut.mask for one, shut in pairs):
        found.append(_SHUT)
    return found


def _lanes(who: str, states: Sequence[tuple[State, str]], by: Decision | None) -> Iterator[Lane]:
    place = _decided(by)
    for state, word in states:
        said = word if len(states) == 1 else f"{word} to some"
        yield Lane(who, (), state, said, "", place)


def _decided(by: Decision | None) -> Place | None:
    if by is None or by.location is None:
        return None
    where = clean(by.location.path)
    return Place(where, where, by.location.line, text=clean(by.text))


def _at(listeners: Sequence[Report], shift: Shift) -> list[Report]:
    """Return the listeners at the ports."""
    return [
        one
        for one in listeners
        if one["transport"] == shift.transport
        and any(first <= one["port"] <= last for first, last in shift.ports)
    ]


def _box(change: HostChange, shift: Shift, key: str) -> Markup:
    """Return what listens at the ports, before and after."""
    sides = [_at(one, shift) for one in (change.before, change.after)]
    said = [list(dict.fromkeys(f"{one['server']}, {_tls(one)}" for one in side)) for side in sides]
    if not any(said):
        return tag("span", tag("small", "nothing listens"), class_="box none")
    parts: list[object] = [tag("span", clean(text)) for text in (said[1] or said[0])[:3]]
    if not said[0] or not said[1]:
        parts.append(tag("b", "new" if said[1] else "gone", class_="w"))
    more = len(said[1] or said[0]) - 3
    parts.append(tag("small", f"and {more} more") if more > 0 else None)
    return tag("a", joined(parts, " "), class_="box", href=f"#{key}-way")


def _tls(one: Report) -> str:
    return _TLS.get(one["tls"], "")


def _evidence(change: HostChange, shift: Shift, key: str) -> Markup:
    """Return exactly which sources it concerns, and the lines that decide."""
    parts: list[object] = [tag("summary", "Exactly who, and what decides")]
    way: list[object] = []
    for family, sources, shut in zip(shift.families, shift.sources, shift.shut, strict=True):
        for how, some in _parts(shift, sources, shut):
            way += _networks(f"IPv{family}{how}", some)
    if len(shift.ports) > 1:
        texts = [str(low) if low == high else f"{low}-{high}" for low, high in shift.ports]
        more = len(texts) - MAX_PORTS
        rest = f" and {more} more: {_MORE}" if more > 0 else ""
        way += [
            tag("h4", f"Ports ({shift.transport})"),
            tag("p", ", ".join(texts[:MAX_PORTS]), rest),
        ]
    elif ports := ports_of(change, shift):
        way += [tag("h4", "Port"), tag("p", f"{shift.transport}/{ports}")]
    for when, by in (("before", shift.old), ("after", shift.new)):
        if place := _decided(by):
            way += [tag("h4", f"Decided {when} by"), excerpt(place)]
    parts.append(tag("section", way, id=f"{key}-way"))
    return tag("details", parts)


def _parts(shift: Shift, sources: Sources, shut: Sources) -> Iterator[tuple[str, Sources]]:
    """Yield the sources by how they stand on the side that is known."""
    when = {"no longer known": ", before", "known now": ", now"}.get(shift.verb)
    if when is None:
        yield "", sources
        return
    for how, mask in (("open", ~shut.mask), ("closed", shut.mask)):
        if some := Sources(sources.universe, sources.mask & mask):
            yield f", {how}{when[1:]}", some


def _networks(head: str, sources: Sources) -> list[Markup]:
    every = sources.cidrs
    noun = "network" if len(every) == 1 else "networks"
    shown = [tag("code", text) for text in every[:MAX_NETWORKS]]
    more = len(every) - MAX_NETWORKS
    rest = f" and {more} more: {_MORE}" if more > 0 else None
    return [tag("h4", f"{head}: {len(every)} {noun}"), tag("p", joined(shown, ", "), rest)]


# -- listeners ----------------------------------------------------------------------------------


def _changed(change: HostChange) -> int:
    return len(change.appeared) + len(change.vanished) + len(change.changed)


def _listeners(change: HostChange, key: str) -> Iterator[Markup]:
    number = 0
    for verb, state, pairs in (
        ("listens", "open", [(None, one) for one in change.appeared]),
        ("no longer listens", "calm", [(one, None) for one in change.vanished]),
        ("changes", "info", [*change.changed]),
    ):
        for old, new in pairs:
            yield _listener(verb, state, old, new, f"{key}-l{number}")
            number += 1


def _listener(verb: str, state: str, old: Report | None, new: Report | None, key: str) -> Markup:
    one = new or old
    assert one is not None
    lead = tag(
        "p", mark(state), tag("b", verb), f" {clean(listener(one, tls=False))}", class_="lead"
    )
    protocol = clean(one["protocol"])
    name = tag(
        "h3", TITLES.get(protocol, protocol), " ", tag("small", f"{one['port']}/{one['transport']}")
    )
    lanes = [lane for who, side in (("Before", old), ("After", new)) if side is not None
             for lane in _reached(who, side)]  # fmt: skip
    if old is not None and new is not None:
        said = [
            tag("span", f"{what}: ", tag("del", clean(was)), " → ", tag("ins", clean(now)))
            for what, was, now in differing_fields(old, new)
        ]
    else:
        names = ", ".join(clean(name) for name in one["names"][:3])
        refs = [
            path(clean(ref["path"] or "certificate not known")) for ref in one["certificates"][:3]
        ]
        said = [tag("span", _tls(one)), tag("small", names), *(tag("code", ref) for ref in refs)]
    box = tag("a", joined(said, " "), class_="box", href=f"#{key}-way")
    row = tag("div", name, flow(lanes, key, dead=new is None), box, class_="row")
    way = [tag("p", tag("code", place_of(side)), f" {when}")
           for when, side in (("before", old), ("after", new)) if side is not None]  # fmt: skip
    body = tag("section", way, [_reasons(lane) for lane in lanes], id=f"{key}-way")
    evidence = tag("details", tag("summary", "Where it stands, and what decides"), body)
    return tag("article", lead, row, evidence, class_=state, id=key)


def _reasons(lane: Lane) -> Markup:
    head = tag("h4", f"{lane.who} over {lane.over}: {lane.word}")
    return joined([head, tag("p", lane.why) if lane.why else None,
                   excerpt(lane.place) if lane.place is not None else None])  # fmt: skip


def _reached(who: str, one: Report) -> list[Lane]:
    """Return who reaches a listener as lanes; the families that fare alike share one."""
    lanes = []
    for family in (4, 6):
        reach = one["reach"][f"ipv{family}"]
        if reach is None:
            continue
        state: State = "calm" if reach["verdict"] == "closed" else reach["verdict"]
        by = next(iter(reach["decided_by"]), None)
        place = by and Place(
            clean(by["path"]), clean(by["path"]), by["line"], text=clean(by["text"])
        )
        some = ", ".join(reach["open"][:3]) if state == "limited" else ""
        more = len(reach["open"]) - 3
        why = f"to {some}{f' and {more} more' if more > 0 else ''}" if some else ""
        why = why or "; ".join(clean(reason) for reason in reach["reasons"])
        lanes.append(Lane(who, (family,), state, reach["verdict"], why, place))
    return merged(lanes)


def _everything(change: HostChange) -> Markup | None:
    """Return all listeners with who reaches them, before and after."""
    sides: list[dict[tuple[object, ...], Report]] = [
        {(one["server"], one["transport"], one["address"], one["port"]): one for one in side}
        for side in (change.before, change.after)
    ]
    keys = dict.fromkeys((*sides[0], *sides[1]))
    if not keys:
        return None
    heads = ("Listener", "Before", "After", "Certificate")
    rows = []
    for key in list(keys)[:MAX_ROWS]:
        old, new = (side.get(key) for side in sides)
        one = new or old
        assert one is not None
        files = ", ".join(dict.fromkeys(clean(ref["path"] or "?") for ref in one["certificates"]))
        cells = [tag("td", _standing(side)) for side in (old, new)]
        same = old is not None and new is not None and cells[0] == cells[1]
        said = None if same else tag("small", " (differs)")
        name = tag("th", clean(listener(one)), said, scope="row")
        row = [name, cells, tag("td", tag("code", path(files)))]
        rows.append(tag("tr", row, class_=None if same else "limited"))
    head = tag("tr", [tag("th", text, scope="col") for text in heads])
    table = tag("table", tag("thead", head), tag("tbody", rows))
    box = tag(
        "div", table, class_="matrix", tabindex="0", role="region", aria_label="All listeners"
    )
    summary = tag("summary", f"All listeners before and after ({len(keys)})")
    return tag("details", summary, box, _others(len(keys)), class_="all")


def _standing(one: Report | None) -> object:
    """Return who reaches a listener in a cell."""
    if one is None:
        return "nothing listens"
    said = [
        tag(
            "span",
            mark(lane.state),
            f"{lane.word} over {lane.over}{f' {lane.why}' if lane.state == 'limited' else ''}",
        )
        for lane in _reached("", one)
    ]
    return [tag("div", part) for part in said] or "not reachable"


# -- certificates and findings ------------------------------------------------------------------


def _certificate(old: Served, new: Served) -> Markup:
    told = [
        tag("span", f"{what} ", tag("del", was), " → ", tag("ins", now))
        for what, was, now in renewed(old, new)
    ]
    where = tag("code", path(new.path))
    return tag("li", where, f" on {', '.join(new.ports)}: ", joined(told, ", "))


def _named(name: str, text: str) -> Markup:
    return tag("li", tag("code", path(name)), " ", text)


def _finding(one: Report) -> Markup:
    severity = one["severity"]
    parts: list[object] = [tag("h3", mark_of(severity), " ", clean(one["message"]))]
    if where := place_of(one):
        parts.append(tag("p", tag("code", path(where)), class_="at"))
    if one.get("clients"):
        parts.append(tag("p", tag("b", "Clients: "), clean(one["clients"])))
    fix = one["fix"]
    if fix is not None and fix["title"]:
        parts.append(tag("p", tag("b", "Fix: "), clean(fix["title"])))
    parts.append(tag("p", tag("code", f"sslint explain {clean(one['rule'])}"), class_="at"))
    return tag("article", parts, class_=f"finding {severity}")


def _gone(one: Report) -> Markup:
    return tag(
        "li", mark("open"), f"{one['severity']}[{clean(one['rule'])}]: {clean(one['message'])}"
    )
