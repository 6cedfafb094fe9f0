"""What files cannot say and the configuration does: who is meant to reach what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sslint.errors import UsageError
from sslint.values import dataclass, field

Port = tuple[str, int]
PUBLIC = "public"
_PORT = re.compile(r"^(\d{1,5})(?:/(tcp|udp))?$")


@dataclass(frozen=True, slots=True)
class Intent:
    """`expose`: the networks that are meant to reach a port, None for everyone."""

    expose: Mapping[Port, tuple[str, ...] | None] = field(default_factory=dict)
    internal: frozenset[Port] = frozenset()
    expected_open: frozenset[Port] = frozenset()
    terminated_elsewhere: frozenset[Port] = frozenset()
    renewed_elsewhere: tuple[str, ...] = ()
    nat: Mapping[Port, Port] = field(default_factory=dict)  # outer port -> this host's


def parse(values: Mapping[str, Any]) -> Intent:
    """Return the intent that a configuration states. Raise UsageError for what it cannot mean."""
    networks = {name: _cidrs(name, value) for name, value in values.get("networks", {}).items()}
    return Intent(
        expose={
            _port(text): _audience(text, names, networks)
            for text, names in values.get("expose", {}).items()
        },
        internal=_ports(values.get("internal", ())),
        expected_open=_ports(values.get("expected_open", ())),
        terminated_elsewhere=_ports(values.get("terminated_elsewhere", ())),
        renewed_elsewhere=tuple(values.get("renewed_elsewhere", ())),
        nat={_port(str(o)): _port(str(i)) for o, i in values.get("nat", {}).items()},
    )


def _ports(texts: Iterable[object]) -> frozenset[Port]:
    return frozenset(_port(str(text)) for text in texts)


def _port(text: str) -> Port:
    match = _PORT.match(str(text))
    if match is None or not 1 <= int(match.group(1)) <= 65535:
        raise UsageError(f"{text!r} is not a port such as 8443 or 8443/tcp")
    return match.group(2) or "tcp", int(match.group(1))


def _audience(
    port: str, names: Iterable[str], networks: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...] | None:
    found: list[str] = []
    for name in names:
        if name == PUBLIC:
            return None
        if name not in networks:
            raise UsageError(f"expose: {port}: no network is named {name!r}")
        found += networks[name]
    return tuple(found)


def _cidrs(name: str, value: object) -> tuple[str, ...]:
    from sslint.netfilter import addresses

    texts = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    for text in texts:
        try:
            addresses.network(text)
        except ValueError:
            raise UsageError(f"networks: {name}: {text!r} is not a network") from None
    return tuple(texts)
