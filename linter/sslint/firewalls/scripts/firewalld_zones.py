"""Zones as firewalld's permanent configuration keeps them, and how firewall-cmd changes them.

After firewalld 2.3: `FirewallDConfigZone` of server/config_zone.py, command.py, functions.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.sax.saxutils import quoteattr  # nosec B406

from sslint.firewalls.firewalld import stock
from sslint.firewalls.firewalld.values import TRANSPORTS, address, is_mac, port_range, protocol
from sslint.firewalls.scripts import firewalld_rich
from sslint.firewalls.scripts.ends import UnsureError
from sslint.netfilter.model import Interval
from sslint.regex import regex
from sslint.values import dataclass, field

INVALID_PORT, INVALID_PROTOCOL, INVALID_INTERFACE, INVALID_ADDR = 102, 103, 104, 105
INVALID_FORWARD = 106
FLAGS = ("masquerade", "forward", "icmp-block-inversion")
_ATTRIBUTE = {"service": "name", "protocol": "value", "source": "address", "interface": "name",
              "icmp-block": "name"}  # fmt: skip
KINDS = (*_ATTRIBUTE, "port", "source-port", "forward-port", "rich-rule")
_TARGET = regex(r'<zone target="([^"]*)"')  # as stock.file writes it
_ELEMENT = regex(r'<([\w-]+)(?: \w+="([^"]*)")?/>')
_INTERFACE = regex(r"[\w.:@-]{1,15}", re.ASCII)


class RefusedError(Exception):
    """A value that firewall-cmd does not take."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class Zone:
    """One zone: its target, and what it holds by kind, as firewall-cmd takes the values."""

    target: str = "default"
    held: dict[str, list[str]] = field(default_factory=dict)

    def copy(self) -> Zone:
        """Return a copy that can be changed alone."""
        return Zone(self.target, {kind: list(values) for kind, values in self.held.items()})

    def of(self, kind: str) -> list[str]:
        """Return the values of a kind."""
        return self.held.setdefault(kind, [])

    def add(self, kind: str, value: str) -> None:
        """Add a value that is not there; ports that overlap become one range."""
        held = self.of(kind)
        if kind not in ("port", "source-port"):
            if value not in held:
                held.append(value)
            return
        new, transport = _range(value)
        if self.has(kind, value):
            return
        for one in [*held]:
            old, other = _range(one)
            if other == transport and old[0] <= new[1] and new[0] <= old[1]:
                held.remove(one)
                new = (min(old[0], new[0]), max(old[1], new[1]))
        held.append(_written(new, transport))

    def remove(self, kind: str, value: str) -> None:
        """Remove a value; a range of ports is broken."""
        held = self.of(kind)
        if not self.has(kind, value):
            return
        if kind not in ("port", "source-port"):
            held.remove(value)
            return
        gone, transport = _range(value)
        for one in [*held]:
            old, other = _range(one)
            if other == transport and old[0] <= gone[1] and gone[0] <= old[1]:
                held.remove(one)
                if old[0] < gone[0]:
                    held.append(_written((old[0], gone[0] - 1), transport))
                if gone[1] < old[1]:
                    held.append(_written((gone[1] + 1, old[1]), transport))

    def has(self, kind: str, value: str) -> bool:
        """Tell whether a value is there, for ports within one range."""
        if kind not in ("port", "source-port"):
            return value in self.of(kind)
        wanted, transport = _range(value)
        return any(
            other == transport and low <= wanted[0] and wanted[1] <= high
            for (low, high), other in map(_range, self.of(kind))
        )

    def file(self) -> str:
        """Return the zone file."""
        attribute = "" if self.target == "default" else f' target="{self.target}"'
        lines = [f"<zone{attribute}>"]
        for kind, values in self.held.items():
            lines += [_element(kind, value) for value in values]
        return "\n".join([*lines, "</zone>", ""])


def shipped(name: str) -> Zone:
    """Return a zone of firewalld's own. Raise KeyError."""
    file = stock.file("zones", name)
    if file is None:
        raise KeyError(name)
    target = _TARGET.match(file.text)
    zone = Zone(target[1] if target else "default")
    for kind, value in _ELEMENT.findall(file.text):
        zone.of(kind).append(value)
    return zone


def _range(value: str) -> tuple[Interval, str]:
    number, _, transport = value.partition("/")
    found = port_range(number)
    assert found is not None
    return found, transport


def _written(ports: Interval, transport: str) -> str:
    low, high = ports
    return f"{low}/{transport}" if low == high else f"{low}-{high}/{transport}"


def _element(kind: str, value: str) -> str:
    if kind == "rich-rule":
        return value
    if kind in FLAGS:
        return f"<{kind}/>"
    if kind in ("port", "source-port"):
        number, _, transport = value.partition("/")
        return f'<{kind} port="{number}" protocol="{transport}"/>'
    if kind == "forward-port":
        names = ("port", "protocol", "to-port", "to-addr")
        pairs = zip(names, value.split(" "), strict=True)
        inner = " ".join(f"{name}={quoteattr(one)}" for name, one in pairs if one)
        return f"<forward-port {inner}/>"
    return f"<{kind} {_ATTRIBUTE[kind]}={quoteattr(value)}/>"


# -- values -----------------------------------------------------------------------------------


def value_of(kind: str, text: str) -> str:
    """Return a value as a zone keeps it. Raise RefusedError, UnsureError."""
    return _VALUES[kind](text)


def _port(text: str) -> str:
    number, slash, transport = text.partition("/")
    found = port_range(number) if slash and "/" not in transport else None
    if found is None:
        raise RefusedError(INVALID_PORT)
    if transport not in TRANSPORTS:
        raise RefusedError(INVALID_PROTOCOL)
    return _written(found, transport)


def _source(text: str) -> str:
    if text.startswith("ipset:") or "[" in text or "." in text.partition("/")[2]:
        raise UnsureError("a source that firewall-cmd is told is not read")
    if address(text) is None and not is_mac(text):
        raise RefusedError(INVALID_ADDR)
    return text


def _interface(text: str) -> str:
    if not text or len(text) > 16 or set(text) & set(" /!*"):
        raise RefusedError(INVALID_INTERFACE)
    if not _INTERFACE.fullmatch(text):
        raise UnsureError("an interface that firewall-cmd is told is not read")
    return text


def _protocol(text: str) -> str:
    if protocol(text) is None:
        raise RefusedError(INVALID_PROTOCOL)
    return text


def _service(text: str) -> str:
    if text not in stock.names("services"):
        raise UnsureError("a service is not firewalld's own")
    return text


def _icmp_block(text: str) -> str:
    if text not in stock.names("icmptypes"):
        raise UnsureError("an ICMP type is not firewalld's own")
    return text


def _forward_port(text: str) -> str:
    """Read `port=80:proto=tcp:toport=8080:toaddr=192.0.2.1` (`parse_forward_port`)."""
    found = dict.fromkeys(("port", "proto", "toport", "toaddr"), "")
    while "=" in text:
        name, _, text = text.partition("=")
        value, _, rest = text.partition(":") if "=" in text else (text, "", "")
        if name not in found:
            raise RefusedError(INVALID_FORWARD)
        found[name], text = value, rest
    if not (found["port"] and found["proto"] and (found["toport"] or found["toaddr"])):
        raise RefusedError(INVALID_FORWARD)
    if any(one and port_range(one) is None for one in (found["port"], found["toport"])):
        raise RefusedError(INVALID_PORT)
    if found["proto"] not in TRANSPORTS:
        raise RefusedError(INVALID_PROTOCOL)
    if found["toaddr"] and address(found["toaddr"], single=True) is None:
        raise RefusedError(INVALID_ADDR)
    if any(" " in one for one in found.values()):
        raise UnsureError("a port that firewall-cmd forwards is not read")
    return " ".join(found.values())


_VALUES: dict[str, Callable[[str], str]] = {
    "port": _port,
    "source-port": _port,
    "source": _source,
    "interface": _interface,
    "protocol": _protocol,
    "service": _service,
    "icmp-block": _icmp_block,
    "forward-port": _forward_port,
    "rich-rule": firewalld_rich.element,
}
