"""Openings of firewalld: an element of a zone (firewalld.zone(5)), or firewall-cmd(1)."""

from __future__ import annotations

from shlex import quote

from sslint.firewalls.speech import NAME, Insertion, only_line
from sslint.netfilter.model import Chain
from sslint.netfilter.openings import Opening
from sslint.netfilter.suggest import Suggestion
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


def insertion(tree: Tree, suggestion: Suggestion) -> Insertion | None:
    """Return how the suggested port is opened; None for what firewalld itself always accepts."""
    zone = _zone(suggestion.chain)
    if suggestion.purpose != "port" or (zone and not NAME.fullmatch(zone)):
        return None
    service = _SERVICES.get((suggestion.transport, suggestion.port))
    port = f"{suggestion.port}/{suggestion.transport}"
    what = f"--add-service={service}" if service else f"--add-port={port}"
    where = f" --zone={quote(zone)}" if zone else ""
    commands = (f"firewall-cmd --permanent{where} {what}", "firewall-cmd --reload")
    path = f"/etc/firewalld/zones/{zone}.xml"
    file = tree.try_read(path, decisive=False) if zone and tree.exists(path) else None
    end = only_line(file, _ends_zone) if file is not None else None
    if end is None:
        return Insertion(commands)
    element = f'<port port="{suggestion.port}" protocol="{suggestion.transport}"/>'
    if service:
        element = f'<service name="{service}"/>'
    return Insertion(commands, end, f"  {element}")


def removal(_opening: Opening, _port: int, _other_served: bool) -> tuple[str, ...]:
    """Return no command: a service may open more than the port."""
    return ()


def first(_opening: Opening) -> None:
    """Return None: a zone has no order."""


def _ends_zone(line: str) -> bool:
    return line.strip() == "</zone>"


def _zone(chain: Chain) -> str:
    name = chain.name.removeprefix("filter_IN_")
    for suffix in ("_pre", "_log", "_deny", "_allow", "_post"):
        name = name.removesuffix(suffix)
    return name if name != chain.name else ""
