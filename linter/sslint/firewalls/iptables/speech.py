"""Rules of iptables as iptables-save writes them (iptables(8))."""

from __future__ import annotations

from shlex import quote

from sslint.firewalls.speech import NAME, Insertion, beside
from sslint.netfilter.notes import Note
from sslint.netfilter.openings import Opening
from sslint.netfilter.suggest import Suggestion
from sslint.source import Location
from sslint.tree import Tree


def places(_note: Note) -> None:
    """Return None: a rule may stand anywhere."""


def insertion(_tree: Tree, suggestion: Suggestion) -> Insertion | None:
    """Return how the suggested rule is inserted, None where nothing is sure."""
    table, chain = suggestion.table, suggestion.chain
    if not (NAME.fullmatch(table.name) and NAME.fullmatch(chain.name)):
        return None
    program = "ip6tables" if table.family == "ip6" else "iptables"
    if table.name != "filter":
        program += f" -t {quote(table.name)}"
    rule = rule_of(suggestion)
    command = f"{program} -I {quote(chain.name)} {suggestion.index + 1} {rule}"
    place, after = beside(suggestion) or (_commit_after(chain.location), False)
    return Insertion((command,), place, f"-A {chain.name} {rule}", after)


def removal(_opening: Opening, _port: int, _other_served: bool) -> None:
    """Return None: the line is removed from its file."""


def rule_of(suggestion: Suggestion) -> str:
    """Return the suggested rule without its chain."""
    if suggestion.purpose == "established":
        return "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    if suggestion.purpose == "neighbour-discovery":
        return "-p ipv6-icmp -j ACCEPT"
    transport = suggestion.transport
    port = "--sport" if suggestion.purpose == "source-port" else "--dport"
    return f"-p {transport} -m {transport} {port} {suggestion.port} -j ACCEPT"


def _commit_after(place: Location) -> Location:
    """Return the COMMIT that ends the iptables-save table in which a chain is declared."""
    for number in range(place.line, len(place.file.starts) + 1):
        if place.file.line(number).strip() == "COMMIT":
            return place.file.at(number)
    return place
