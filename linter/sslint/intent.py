"""What files cannot say and the configuration does: who is meant to reach what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sslint.errors import UsageError
from sslint.regex import regex
from sslint.values import dataclass, field

Port = tuple[str, int]
PUBLIC = "public"
_PORT = regex(r"^(\d{1,5})(?:/(tcp|udp))?$")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An entry of `not_judged`: what cannot be read on hosts of a name, and need not be.

    `ports` are as the reports have them ("tcp/443"); without any it is all of its kind.
    """

    code: str
    ports: frozenset[str]
    host: str
    because: str
    place: str


@dataclass(frozen=True, slots=True)
class Intent:
    """`expose`: the networks that are meant to reach a port, None for everyone.

    `networks` are those that have a name.
    """

    expose: Mapping[Port, tuple[str, ...] | None] = field(default_factory=dict)
    internal: frozenset[Port] = frozenset()
    expected_open: frozenset[Port] = frozenset()
    terminated_elsewhere: frozenset[Port] = frozenset()
    renewed_elsewhere: tuple[str, ...] = ()
    nat: Mapping[Port, Port] = field(default_factory=dict)  # outer port -> this host's
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_judged: tuple[Acknowledged, ...] = ()


Refuse = Callable[[tuple[str | int, ...], str], UsageError]
"""Make the error that a key (its path) is not what it must be."""


def _refuse(where: tuple[str | int, ...], text: str) -> UsageError:
    return UsageError(f"{'.'.join(map(str, where))} {text}")


def parse(values: Mapping[str, Any], refuse: Refuse = _refuse) -> Intent:
    """Return the intent that a configuration states. Raise UsageError for what it cannot mean."""

    def ports(key: str) -> frozenset[Port]:
        texts = enumerate(values.get(key, ()))
        return frozenset(_port(str(text), (key, index), refuse) for index, text in texts)

    if PUBLIC in values.get("networks", {}):
        raise refuse(("networks", PUBLIC), "must have another name: public is everyone")
    networks = {
        name: tuple(
            _network(str(text), ("networks", name), refuse)
            for text in (value if isinstance(value, list) else [value])
        )
        for name, value in values.get("networks", {}).items()
    }
    return Intent(
        expose={
            _port(text, ("expose", text), refuse): _audience(text, names, networks, refuse)
            for text, names in values.get("expose", {}).items()
        },
        internal=ports("internal"),
        expected_open=ports("expected_open"),
        terminated_elsewhere=ports("terminated_elsewhere"),
        renewed_elsewhere=tuple(values.get("renewed_elsewhere", ())),
        nat={
            _port(outer, ("nat", outer), refuse): _port(str(inner), ("nat", outer), refuse)
            for outer, inner in values.get("nat", {}).items()
        },
        networks=networks,
        not_judged=tuple(
            _acknowledged(entry, ("not_judged", n), refuse)
            for n, entry in enumerate(values.get("not_judged", ()))
        ),
    )


def _acknowledged(
    entry: Mapping[str, Any], where: tuple[str | int, ...], refuse: Refuse
) -> Acknowledged:
    ports = []
    for index, text in enumerate(map(str, entry.get("ports", ()))):
        first, _, second = text.partition("/")  # the reports have tcp/443, the settings 443/tcp
        text = f"{second}/{first}" if first in ("tcp", "udp") else text
        ports.append("{}/{}".format(*_port(text, (*where, "ports", index), refuse)))
    if not entry["because"].strip():
        raise refuse((*where, "because"), "must say why")
    place = str(refuse(where, "")).rstrip(": ")
    return Acknowledged(
        entry["code"], frozenset(ports), entry.get("host", "*"), entry["because"], place
    )


def _port(text: str, where: tuple[str | int, ...], refuse: Refuse) -> Port:
    match = _PORT.match(text)
    if match is None or not 1 <= int(match.group(1)) <= 65535:
        raise refuse(where, "must be a port such as 8443 or 8443/tcp")
    return match.group(2) or "tcp", int(match.group(1))


def _audience(
    port: str, names: Iterable[str], networks: Mapping[str, tuple[str, ...]], refuse: Refuse
) -> tuple[str, ...] | None:
    """Return the networks that are named, or written as CIDRs; None for everyone."""
    found: list[str] = []
    for index, name in enumerate(names):
        if name == PUBLIC:
            return None
        if name in networks:
            found += networks[name]
        else:
            found.append(_network(name, ("expose", port, index), refuse))
    return tuple(found)


def _network(text: str, where: tuple[str | int, ...], refuse: Refuse) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        if where[0] == "expose":
            raise refuse(
                where, "must be a CIDR, public, or a name that is defined under networks"
            ) from None
        raise refuse(where, "must be a CIDR, or a list of them") from None
