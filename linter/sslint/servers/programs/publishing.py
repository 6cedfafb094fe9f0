"""What `ports:` of a compose file and `-p` of docker and podman publish."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sslint.firewalls.docker import Publication
from sslint.servers.listening import number
from sslint.servers.model import Transport
from sslint.source import Location

# Of each the first that is there is read, the second over the first (compose-go, cli/options.go).
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
MAX_SHIFTED = 64  # ports of a range that are other ones in the container
ANY_PORT = range(1, 65536)
CHOSEN = range(32768, 61000)  # net.ipv4.ip_local_port_range, from which Docker takes a free port
UNSET = "?"  # a variable that nothing in the files sets; Compose takes it for empty

# What a container or a socket unit behind one of these ports speaks is TLS, or can become it.
MAIL = (25, 110, 143, 465, 587, 993, 995, 4190)
WEB = (443, 6443, 8443, 8448, 9090, 9443, 10443)
OTHERS = (563, 636, 853, 989, 990, 992, 994, 3269, 5061, 5222, 5223, 5269, 5349, 5671, 6697, 8883)
TLS_PORTS = frozenset((*MAIL, *WEB, *OTHERS))


def may_be_tls(text: str) -> bool:
    """Tell whether a container serves TLS on a port of its own that is published somewhere."""
    inner = _range(text.partition("/")[0].rpartition(":")[2])
    return inner is None or not TLS_PORTS.isdisjoint(inner)


def published(
    text: str, service: str, location: Location, bridge: str = "", reason: str = ""
) -> Iterator[Publication]:
    """Yield what `[host:]published:target[/protocol]` publishes.

    A container's port alone gets a free one of the host's. Where a variable is not set in the
    files, the one who starts the project sets it: it is any port.
    """
    spec, _, protocol = text.partition("/")
    protocol = protocol.partition("/")[0].lower()
    if UNSET in protocol:
        reason = reason or "its protocol is not in the files"
        for either in ("tcp", "udp"):
            yield from published(f"{spec}/{either}", service, location, bridge, reason)
        return
    transport: Transport = "udp" if protocol == "udp" else "tcp"
    if protocol not in ("", "tcp", "udp"):
        return
    outer, _, inner = spec.rpartition(":")
    host, _, outside = outer.rpartition(":")
    outer_ports, inner_ports = _range(outside), _range(inner)
    if outer_ports is None:
        chosen = CHOSEN if inner_ports is not None and not outside else ANY_PORT
        why = "Docker chooses it" if chosen is CHOSEN else "it is not in the files"
        yield Publication(
            transport,
            chosen[0],
            inner_ports[0] if inner_ports is not None and len(inner_ports) == 1 else 0,
            host.strip("[]") if _is_address(host) else "",
            service,
            location,
            bridge,
            f"its port is not known: {why}",
            chosen[-1],
            floating=True,
        )
        return
    if UNSET in host:
        host, reason = "", reason or "its address is not in the files"
    inside_known = inner_ports is not None
    if inner_ports is None:  # a variable that is not set here
        inner_ports, reason = outer_ports, reason or "its port in the container is not known"
    count = len(outer_ports)
    if len(inner_ports) != count:
        reason = reason or "Docker chooses its port from a range"
    shifted = outer_ports != inner_ports and not reason
    if shifted and count > MAX_SHIFTED:
        reason = "its long port range maps to other ports"
    for index in range(count) if shifted and not reason else (0,):
        one = shifted and not reason
        yield Publication(
            transport,
            outer_ports[index],
            inner_ports[index if one else 0] if inside_known else 0,
            host.strip("[]"),
            service,
            location,
            bridge,
            reason,
            outer_ports[index] if one else outer_ports[-1],
        )


def _is_address(text: str) -> bool:
    return re.fullmatch(r"[\d.]+|\[?[\da-fA-F:.]+\]?", text) is not None


def _range(text: str) -> range | None:
    """Return the ports of `80` or `8000-8010`, None for what is neither."""
    first, _, last = text.partition("-")
    low, high = number(first), number(last) if last else number(first)
    if low is None or high is None or not 0 < low <= high:
        return None
    return range(low, high + 1)
