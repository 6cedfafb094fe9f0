"""Rules of ufw as it writes them (ufw(8)): user.rules is its own, with a comment above each."""

from __future__ import annotations

from sslint.firewalls import ufw
from sslint.firewalls.iptables.speech import rule_of
from sslint.firewalls.speech import Insertion, only_line
from sslint.netfilter.model import Chain
from sslint.netfilter.notes import Note
from sslint.netfilter.openings import Opening
from sslint.netfilter.suggest import Suggestion, purpose_of
from sslint.tree import Tree


def places(note: Note) -> list[tuple[Chain, int]]:
    """Return the end and the start of the user's rules, or the start of the framework's."""
    assert note.base is not None
    six = "6" if note.table.family == "ip6" else ""
    kind = "user" if purpose_of(note) == "port" else "before"
    chain = note.table.chains.get(f"ufw{six}-{kind}-{note.base.name.lower()}")
    if chain is None:
        return []
    return [(chain, len(chain.rules)), (chain, 0)] if kind == "user" else [(chain, 0)]


def insertion(tree: Tree, suggestion: Suggestion) -> Insertion | None:
    """Return how the suggested rule is inserted, None where nothing is sure."""
    if suggestion.purpose != "port":
        return _framework(tree, suggestion)
    first_of_all = suggestion.before is not None
    where = "insert 1 " if first_of_all else ""
    command = f"ufw {where}allow {suggestion.port}/{suggestion.transport}"
    return _written(tree, suggestion, command, first_of_all=first_of_all)


def removal(opening: Opening, port: int, other_served: bool) -> tuple[str, ...]:
    """Return the commands that take back what opens a port: ufw deletes only what was typed."""
    written = ufw.written(opening.location)
    if written is None or written.port != port:  # it would close others as well
        return ()
    delete = f"ufw delete {written.action} {written.what}"
    if not written.both or not other_served:
        return (delete,)
    other = "tcp" if opening.transport == "udp" else "udp"
    return (delete, f"ufw {written.action} {port}/{other}")


def _framework(tree: Tree, suggestion: Suggestion) -> Insertion | None:
    """Return a rule for before.rules: no command of ufw writes what every host needs."""
    six = "6" if suggestion.table.family == "ip6" else ""
    chain = suggestion.chain.name
    file = tree.try_read(f"/etc/ufw/before{six}.rules", decisive=False)
    if file is None:
        return None
    for number in range(1, len(file.starts) + 1):
        if file.line(number).startswith(f"-A {chain} "):
            return Insertion((), file.at(number), f"-A {chain} {rule_of(suggestion)}")
    return None


def _written(tree: Tree, suggestion: Suggestion, command: str, *, first_of_all: bool) -> Insertion:
    """Return the rule as ufw itself writes it: it reads back the comment, and loads the line."""
    six = "6" if suggestion.table.family == "ip6" else ""
    file = tree.try_read(f"/etc/ufw/user{six}.rules", decisive=False)
    heading = "### RULES ###" if first_of_all else "### END RULES ###"
    place = only_line(file, heading.__eq__) if file is not None else None
    if place is None:
        return Insertion((command,))
    transport, port = suggestion.transport, suggestion.port
    everyone = "::/0" if six else "0.0.0.0/0"
    tuple_ = f"### tuple ### allow {transport} {port} {everyone} any {everyone} in"
    rule = f"-A ufw{six}-user-input -p {transport} --dport {port} -j ACCEPT"
    text = f"\n{tuple_}\n{rule}" if first_of_all else f"{tuple_}\n{rule}\n"
    return Insertion((command,), place, text, first_of_all)
