"""A host that is read again after an edit is the host that the edited files describe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from sslint import host
from sslint.checker import findings
from sslint.fixes import propose
from sslint.fixes.edits import Edit
from sslint.fixes.proof import asks_firewall, edited
from sslint.host import Host
from sslint.kept import Parts
from sslint.tree.door import Door
from sslint.values import replace
from tests.cases import Case, target
from tests.support import tree_of
from tests.test_fixes import EDITABLE
from tests.test_rules import CASES, RULES, _host

EVERY = list(RULES.values())
APART = {rule.name for rule in EVERY if not asks_firewall(rule)}


def _judged(found: Host) -> Counter[tuple[str, str, str]]:
    return Counter((f.rule.name, f.fact.entity, f.severity) for f in findings(found, EVERY))


def _described(found: Host) -> list[object]:
    """Return what a host comes to: of its parts what can be compared."""
    sockets = [
        (
            repr(one.endpoint),
            one.scope,
            [(r.verdict, r.open, repr(r.decided_by)) for r in one.reaches],
        )
        for one in found.sockets
    ]
    readings = [
        (r.server, r.starts, repr((r.gaps, r.refusals, r.dormant, r.sites, r.settings)))
        for r in found.readings
    ]
    programs = repr([r.endpoints for r in found.programs])
    lineages = [(one.name, [hook.runs for hook in one.hooks]) for one in found.renewal.lineages]
    said = sorted(problem.sentence for problem in found.problems)
    return [
        sockets,
        readings,
        programs,
        repr(found.published),
        repr(found.announced),
        lineages,
        said,
    ]


def _anew(found: Host, texts: dict[str, str], executable: Sequence[str]) -> Host:
    """Read the edited files as a run does that knows nothing of the host before."""
    tree = (found.bare or found.tree).with_overlay(texts)
    for path in executable:
        tree.make_executable(path)
    return host.read(replace(found.target, tree=tree))


@pytest.mark.parametrize("case", [c for c in CASES if c.rule in EDITABLE and c.fires], ids=str)
def test_what_is_read_again_is_what_the_files_say(case: Case) -> None:
    """Each rule with a fix breaks a host; its edits alone, then all edits together, are made."""
    found = host.read(_host(case))
    before = findings(found, EVERY)
    fixes = propose(found, before, before, lambda one: findings(one, EVERY), lambda *_: False)
    own = [fixes[id(f)].edits for f in before if f.rule.name == case.rule and id(f) in fixes]
    made = [edits for edits in own if edits]
    every = [edit for fix in fixes.values() for edit in fix.edits]
    if not every:
        pytest.skip("advice alone")
    for edits in (*(list(edits) for edits in made[:1]), every):
        _compare(found, edits)


def _compare(found: Host, edits: list[Edit]) -> None:
    again = edited(found, edits)
    texts = {p: t for p, t in again.tree.overlay.items() if t != found.tree.overlay.get(p)}
    run = [found.tree.resolve(e.host_path) for e in edits if e.action == "executable"]
    fresh = _anew(found, {path: text or "" for path, text in texts.items()}, run)
    assert _described(again) == _described(fresh)
    judged, expected = _judged(again), _judged(fresh)
    if again.differs:  # what rests on no firewall is not judged again
        expected = Counter({k: n for k, n in expected.items() if k[0] not in APART})
    assert judged == expected


@pytest.mark.parametrize(
    ("name", "path", "parts"),
    [
        ("web-nftables", "/etc/nftables.conf", ["firewall"]),
        ("web-nftables", "/etc/nginx/sites-enabled/www", ["nginx"]),
        ("mail-nftables", "/etc/postfix/master.cf", ["shipped", "postfix"]),
        ("mail-nftables", "/etc/dovecot/dovecot.conf", ["shipped", "dovecot"]),
        ("mail-announced", "/etc/bind/db.example.org", ["announcements"]),
    ],
)
def test_an_edit_reads_again_what_it_touches(
    name: str, path: str, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = host.read(target(name))
    opened: list[str] = []
    read = Door.read
    monkeypatch.setattr(Door, "read", lambda *given: opened.append(given[2]) or read(*given))
    again = host.reread(found, {path: f"{found.tree.read(path).text}\n"})
    assert opened == []
    assert again.parts.again == parts
    assert (again.firewall is found.firewall) == ("firewall" not in parts)
    kept = {one.server for one in found.readings} - {*parts}
    assert all(again.reading(server) is found.reading(server) for server in kept)


def test_what_a_part_reads_later_counts_for_it() -> None:
    tree = tree_of({"/etc/a": "a", "/etc/b": "b", "/etc/c": "c"})
    parts = Parts()
    first = parts.read("first", tree, None, lambda view: view)
    parts.read("second", tree, None, lambda view: view.read("/etc/a"))
    parts.read("third", tree, None, lambda view: view.read("/etc/c"))
    first.read("/etc/b")
    first.mode("/etc/a")
    first.try_read("/etc/none")
    known = parts.without(tree, {"/etc/a"})
    assert [name for name in ("first", "second", "third") if known.has(name)] == ["third"]
    known = parts.without(tree, {"/etc/b"})
    assert [name for name in ("first", "second", "third") if known.has(name)] == ["second", "third"]
    assert not parts.without(tree, {"/etc/none"}).has("first")


def test_a_part_is_read_again_for_what_it_rests_on_beside_files() -> None:
    tree = tree_of({"/etc/a": "a"})
    parts = Parts()
    parts.read("one", tree, ["/srv"], lambda view: view.problem("/etc/a", "is odd"))
    known = parts.without(tree, {"/etc/b"})
    other = tree.edited({})
    known.read("one", other, ["/srv"], pytest.fail)
    assert [problem.reason for problem in other.problems] == ["is odd"]
    assert parts.without(tree, set()).read("one", tree, ["/home"], lambda _: "again") == "again"
