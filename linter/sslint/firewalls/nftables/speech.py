"""Rules of nft as nft writes them (nft(8))."""

from __future__ import annotations

from shlex import quote

from sslint.firewalls.formats import detect
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
    rule = _rule(suggestion)
    verb = "add" if suggestion.before is None else "insert"
    index = f" index {suggestion.index}" if suggestion.before and suggestion.index else ""
    where = f"{table.family} {quote(table.name)} {quote(chain.name)}{index}"
    command = f"nft {verb} rule {where} {rule}"
    policy = (chain.base and chain.base.policy_location) or chain.location
    place, after = beside(suggestion) or (policy, True)
    if detect(place.file) == "nft-json":
        return Insertion((command,))
    if after:
        place = _end(place)
    return Insertion((command,), place, rule, after)


def removal(_opening: Opening, _port: int, _other_served: bool) -> None:
    """Return None: the line is removed from its file."""


def _rule(suggestion: Suggestion) -> str:
    only = f"meta nfproto ipv{suggestion.only} " if suggestion.only is not None else ""
    if suggestion.purpose == "established":
        return f"{only}ct state established,related accept"
    if suggestion.purpose == "neighbour-discovery":
        return "meta l4proto ipv6-icmp accept"
    port = "sport" if suggestion.purpose == "source-port" else "dport"
    return f"{only}{suggestion.transport} {port} {suggestion.port} accept"


def _end(place: Location) -> Location:
    """Return the last line of a rule: a set goes on until its bracket, a line after a backslash."""
    depth = 0
    for number in range(place.line, len(place.file.starts) + 1):
        code = "".join(place.file.line(number).split('"')[::2]).partition("#")[0].rstrip()
        depth += code.count("{") - code.count("}")
        if depth <= 0 and not code.endswith("\\"):
            return place.file.at(number)
    return place
