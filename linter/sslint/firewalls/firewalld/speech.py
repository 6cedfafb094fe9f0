"""Openings of firewalld: an element of a zone (firewalld.zone(5)), or firewall-cmd(1)."""

from __future__ import annotations

from shlex import quote

from sslint.firewalls.speech import NAME, Insertion, only_line
from sslint.netfilter.model import Chain
from sslint.netfilter.notes import Note
from sslint.netfilter.openings import Opening
from sslint.netfilter.suggest import Suggestion, purpose_of
from sslint.regex import regex
from sslint.tree import Tree

# Names of firewalld's stock services by port; where there is one it reads better than a port.
_SERVICES = {
    ("tcp", 25): "smtp",
    ("tcp", 80): "http",
    ("tcp", 110): "pop3",
    ("tcp", 143): "imap",
    ("tcp", 443): "https",
    ("tcp", 465): "smtps",
    ("tcp", 587): "smtp-submission",
    ("tcp", 993): "imaps",
    ("tcp", 995): "pop3s",
    ("tcp", 4190): "managesieve",
    ("udp", 443): "http3",
}
_INPUT, _POLICY = "filter_IN_", "policy_"
_PRIORITY = regex(r"""priority=["'](-[0-9]{1,5})["']""")
_LOWEST = -32768


def places(note: Note) -> list[tuple[Chain, int]]:
    """Return where an element of the zone or policy that decides goes, and a rich rule before all.

    What firewalld itself always accepts is in no zone.
    """
    name = _owner(note.chain) or _ended(note)
    chains = [note.table.chains.get(f"{_INPUT}{name}_{part}") for part in ("allow", "pre")]
    allow, pre = chains
    if purpose_of(note) != "port" or allow is None or pre is None:
        return []
    return [(allow, len(allow.rules)), (pre, 0)]


def insertion(tree: Tree, suggestion: Suggestion) -> Insertion | None:
    """Return how the suggested port is opened in its zone or policy."""
    owner = _owner(suggestion.chain)
    name = owner.removeprefix(_POLICY)
    if not NAME.fullmatch(name):
        return None
    kind = "zone" if name == owner else "policy"
    said = _accept(tree, suggestion)
    if said is None:
        return None
    option, element = said
    command = f"firewall-cmd --permanent --{kind}={quote(name)} {option}"
    commands = (command, "firewall-cmd --reload")
    folder = "zones" if kind == "zone" else "policies"
    path = f"/etc/firewalld/{folder}/{name}.xml"
    file = tree.try_read(path, decisive=False) if tree.exists(path) else None
    end = only_line(file, lambda line: line.strip() == f"</{kind}>") if file is not None else None
    return Insertion(commands, end, f"  {element}")


def _accept(tree: Tree, suggestion: Suggestion) -> tuple[str, str] | None:
    """Return what accepts the port: an option of firewall-cmd, and the element that it writes."""
    transport, port = suggestion.transport, suggestion.port
    service = _SERVICES.get((transport, port))
    if service and tree.exists(f"/etc/firewalld/services/{service}.xml"):  # it may be another
        service = None
    words = f'service name="{service}"' if service else f'port port="{port}" protocol="{transport}"'
    priority = _priority(suggestion)
    if priority is None:
        return None
    if not priority and suggestion.only is None:
        option = f"--add-service={service}" if service else f"--add-port={port}/{transport}"
        return option, f"<{words}/>"
    rule = "rule"
    rule += f' family="ipv{suggestion.only}"' if suggestion.only is not None else ""
    rule += f' priority="{priority}"' if priority else ""
    option = "--add-rich-rule=" + quote(f"{rule} {words} accept")
    return option, f"<{rule}><{words}/><accept/></rule>"


def _priority(suggestion: Suggestion) -> int | None:
    """Return the priority of a rich rule that decides first, 0 where none has to."""
    if not suggestion.chain.name.endswith("_pre"):
        return 0
    if suggestion.before is None:
        return -1
    known = _PRIORITY.search(suggestion.before.location.text)
    first = int(known[1]) - 1 if known is not None else _LOWEST - 1
    return first if first >= _LOWEST else None


def removal(_opening: Opening, _port: int, _other_served: bool) -> tuple[str, ...]:
    """Return no command: a service may open more than the port."""
    return ()


def _owner(chain: Chain) -> str:
    """Return the zone whose chain it is, or the policy with its prefix; "" for no such chain."""
    name = chain.name.removeprefix(_INPUT)
    for suffix in ("_pre", "_log", "_deny", "_allow", "_post"):
        name = name.removesuffix(suffix)
    return name if chain.name.startswith(_INPUT) else ""


def _ended(note: Note) -> str:
    """Return the zone whose target closes where its chain is left."""
    kind, _, name = (note.rule.label if note.rule is not None else "").partition(" ")
    return name if kind == "zone" else ""
