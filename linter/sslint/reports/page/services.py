"""The picture: a row a service, with its lanes as thick lines, and the evidence below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sslint.plain import clean
from sslint.reports.page.fixes import remedy
from sslint.reports.page.markup import Markup, joined, tag
from sslint.reports.page.picture import HERE, Lane, Service, grouped
from sslint.reports.rows import Place
from sslint.reports.way import Turn

if TYPE_CHECKING:
    from sslint.tree import Tree

MAX_NAMES = 3
GATE = 78  # per cent of a lane's width at which the firewall stands
PASSES = ("open", "limited", "breach")
MARKS = {
    "closed": "closed, and should not be",
    "breach": "open, and should not be",
    "limited": "open to some",
    "unknown": "not judged",
    "open": "open",
    "calm": "closed, and no finding about it",
}
_HEADS = ("Service", "Who", "Firewall, and the line that decides", "Listener", "Certificate",
          "Published")  # fmt: skip


def mark(state: str) -> Markup:
    """Return the mark of a state."""
    use = tag("use", href=f"#m-{state}")
    return tag("svg", use, class_=f"m {state}", viewBox="0 0 20 20", aria_hidden="true")


def services(found: Sequence[Service], host: str, tree: Tree, numbers: Mapping[int, int]) -> Markup:
    """Return the picture of a host's services. `numbers` has those of its findings by identity."""
    head = tag("div", [tag("span", text) for text in _HEADS], class_="head", aria_hidden="true")
    parts: list[Markup] = [head]
    for group, rows in grouped(found):
        parts.append(
            tag(
                "section",
                tag("h3", group),
                [_service(one, key_of(host, one), tree, numbers) for one in rows],
                class_="group",
            )
        )
    return joined(parts)


def key_of(host: str, service: Service) -> str:
    """Return the id of a service's row; `host` is the host's."""
    return f"{host}-{service.server or 'no'}-{service.port}{service.transport[0]}"


def _service(one: Service, key: str, tree: Tree, numbers: Mapping[int, int]) -> Markup:
    name = tag("h4", one.title, " ", tag("small", f"{one.port}/{one.transport}"))
    parts = [name, _lanes(one, key), _listener(one, key), _papers(one, key), _told(one, key)]
    picture = tag("div", parts, class_="row")
    return tag("article", picture, _evidence(one, key, tree, numbers), class_=one.standing, id=key)


# -- the lanes ------------------------------------------------------------------------------


def _lanes(one: Service, key: str) -> Markup:
    return flow(one.lanes, key, dead=not one.places or not one.starts, before=one.before)


def flow(lanes: Sequence[Lane], key: str, *, dead: bool, before: Sequence[str] = ()) -> Markup:
    """Return clients on their way; nothing listens where it is `dead`."""
    items = [_lane(lane, before, key) for lane in lanes]
    count = max(1, len(items))
    paths = [path for n, lane in enumerate(lanes) for path in _paths(lane, n, count, dead)]
    paths.sort(key=lambda path: 'class="ghost"' not in path)  # what passes is drawn over them
    arrives = any(lane.state in PASSES for lane in lanes)
    drawn = tag("svg", paths, viewBox="0 0 100 100", preserveAspectRatio="none", aria_hidden="true")
    end = mark("closed") if dead and arrives else tag("i") if arrives else None
    return tag(
        "div", drawn, tag("ul", items) if items else None, end, class_="flow", style=f"--n:{count}"
    )


def _paths(lane: Lane, number: int, count: int, dead: bool) -> list[Markup]:
    y = round((number + 0.5) / count * 100, 1)
    start = 0 if lane.who != HERE else GATE
    bend = round((GATE + 100) / 2)
    beyond = f"M{GATE} {y}C{bend} {y} {bend} 50 100 50"
    if lane.who == HERE:
        return [tag("path", class_=lane.state, d=beyond)]
    before = tag("path", class_=lane.state, d=f"M{start} {y}H{GATE}")
    after = "ghost" if lane.state not in PASSES else "closed" if dead else lane.state
    return [tag("path", class_=after, d=beyond), before]


def _lane(lane: Lane, before: Sequence[str], key: str) -> Markup:
    who = tag("span", tag("b", lane.who), " ", tag("small", lane.over), class_="who")
    rule = rule_of(lane.place) if lane.place is not None else ""
    line: list[Markup] = [tag("code", str(lane.place))] if lane.place is not None else []
    line += [tag("em", note) for note in (*before, *lane.notes)]
    if lane.state in ("open", "breach"):
        why = tag("i", rule) if rule else None
    else:
        why = tag("span", lane.why) if lane.why else None
        line += [tag("span", rule)] if rule else []
    said = [tag("b", lane.word)] + ([Markup(" "), why] if why is not None else [])
    edge = tag(
        "span",
        tag("span", said, class_="t"),
        mark(lane.state),
        " ",
        tag("span", joined(line, " "), class_="u"),
        class_="edge",
    )
    return tag("li", tag("a", who, " ", edge, href=f"#{key}-way"), class_=lane.state)


def rule_of(place: Place) -> str:
    """Return what is meant in a line; a rule of iptables without its chain and modules."""
    low, high = place.mark
    words = (place.text[low:high] or place.text).split()
    if words[:1] == ["-A"]:
        words = words[2:]
        modules = [n for n, (one, after) in enumerate(zip(words, words[2:], strict=False))
                   if one == "-m" and after.startswith("--")]  # fmt: skip
        words = [word for n, word in enumerate(words) if not {n, n - 1} & {*modules}]
    return " ".join(words)


# -- the boxes ------------------------------------------------------------------------------


def path(text: str) -> Markup:
    """Return a path that is broken after a slash, and elsewhere only if a part is too long."""
    *parts, last = text.split("/")
    return joined(tag("span", part) for part in (*(f"{part}/" for part in parts), last))


def _listener(one: Service, key: str) -> Markup:
    if not one.places:
        said = [tag("b", "Nothing listens"), tag("span", "; ".join(one.notes))]
        said += [tag("code", path(str(one.spot)))] if one.spot is not None else []
        return tag("a", joined(said, " "), class_="box closed", href=f"#{key}-ev")
    lines: dict[str, list[str]] = {}
    for place in one.places:
        lines.setdefault(place.path, []).append(str(place.line))
    where = [
        tag("code", path(f"{name}:{', '.join(dict.fromkeys(at))}")) for name, at in lines.items()
    ][:2]
    more, others = len(lines) - 2, len(one.addresses) - 2
    parts = [
        tag("span", tag("b", one.server), f" {one.mode}"),
        tag("small", ", ".join(one.addresses[:2]) + (f" and {others} more" if others > 0 else "")),
        where,
        tag("small", f"and {more} more") if more > 0 else None,
    ]
    if not one.starts:
        parts.append(tag("b", "does not start", class_="w"))
    elif one.notes:
        parts.append(tag("b", "may not be opened", class_="w"))
    bad = _worst(one, ("tls", "hygiene"))
    return tag(
        "a",
        joined(parts, " "),
        class_=f"box {'error' if not one.starts else bad}",
        href=f"#{key}-lis",
    )


def _papers(one: Service, key: str) -> Markup:
    if not one.papers:
        none = {"": "no listener", "no TLS": "no TLS"}.get(one.mode, "none named")
        return tag("span", tag("small", none), class_="box none")
    first, *others = one.papers
    names = [tag("span", name) for name in first.names[:2]] or [
        tag("code", path("/".join(first.path.split("/")[-2:])))
    ]
    more = [tag("small", f"and {len(others)} more")] if others else []
    parts = [tag("b", first.left, class_=f"days {first.health}"), names, more]
    bad = _worst(one, ("certificate", "renewal"))
    bad = "error" if first.health == "expired" else bad
    return tag("a", joined(parts, " "), class_=f"box {bad}", href=f"#{key}-crt")


def _told(one: Service, key: str) -> Markup:
    if not one.told:
        return tag("span", tag("small", "not published"), class_="box none")
    more = len(one.told) - MAX_NAMES
    parts = [tag("span", text) for text in one.told[:MAX_NAMES]]
    parts += [tag("small", f"and {more} more")] if more > 0 else []
    return tag(
        "a", joined(parts, " "), class_=f"box {_worst(one, ('announcements',))}", href=f"#{key}-pub"
    )


def _worst(one: Service, families: Sequence[str]) -> str:
    found = [row.severity for row in one.findings if row.rule.family in families]
    return next((level for level in ("error", "warning", "info") if level in found), "")


# -- the evidence ---------------------------------------------------------------------------


def _evidence(one: Service, key: str, tree: Tree, numbers: Mapping[int, int]) -> Markup:
    host = key.split("-", 1)[0]
    said = [joined([mark_of(row.severity), " ", row.message]) for row in one.findings[:2]]
    more = len(one.findings) - len(said)
    said += [Markup(f"{more} more")] if more > 0 else []
    heading = joined([tag("span", text) for text in said] or [tag("span", "Evidence")])
    parts = [tag("summary", heading)]
    parts.append(tag("section", [_way(lane) for lane in one.lanes], id=f"{key}-way"))
    if one.places:
        lines = [excerpt(place) for place in one.places]
        notes = [tag("p", note) for note in one.notes]
        parts.append(tag("section", tag("h5", "Listener"), lines, notes, id=f"{key}-lis"))
    if one.papers:
        lines = [tag("p", tag("code", p.path), " ", ", ".join(p.names[:8]), f" ({p.left})")
                 for p in one.papers]  # fmt: skip
        parts.append(tag("section", tag("h5", "Certificate"), lines, id=f"{key}-crt"))
    if one.told:
        lines = [tag("p", ", ".join(one.told))]
        parts.append(tag("section", tag("h5", "Published"), lines, id=f"{key}-pub"))
    for row in one.findings:
        number = numbers[id(row)]
        link = tag("a", row.message, href=f"#{host}-f{number}")
        shown = {(place.path, place.line) for place in one.places}
        lines = [
            excerpt(place)
            for place in (row.place, *row.related)[:4]
            if (place.path, place.line) not in shown
        ]
        head = tag("h5", f"Finding: {row.rule.name}")
        parts.append(tag("section", head, tag("p", link), lines, remedy(row, tree)))
    return tag("details", parts, id=f"{key}-ev")


def mark_of(severity: str) -> Markup:
    """Return the mark of a severity with its word."""
    return joined([mark(severity), tag("b", severity, class_=severity)])


def _way(lane: Lane) -> Markup:
    head = f"{lane.who} over {lane.over}: {lane.word}"
    why = tag("p", lane.why, *([f" ({lane.place})"] if lane.place else [])) if lane.why else None
    steps = [_turn(turn) for turn in lane.turns]
    return joined([tag("h5", head), why, tag("ol", steps) if steps else None])


def _turn(turn: Turn) -> Markup:
    where = turn.location
    place = tag("code", f"{clean(where.path)}:{where.line}") if where is not None else None
    bad = turn.effect in ("drop", "reject", "policy-drop")
    small = tag("small", turn.chain)
    return tag("li", place, " ", turn.text, " ", small, class_="drop" if bad else None)


def excerpt(place: Place) -> Markup:
    """Return a line of a file with what is meant in it marked."""
    low, high = place.mark
    text = place.text
    line = joined([text[:low], tag("mark", text[low:high]), text[high:]] if low < high else [text])
    said = [" ", place.message] if place.message else []
    head = tag("p", tag("code", str(place)), said, class_="at")
    return joined([head, tag("pre", line, tabindex="0") if text.strip() else None])
