"""Fixes of the firewall, in the format of the host's own: a port is opened or closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint.engine import Fact, Finding
from sslint.firewalls import speech
from sslint.fixes.edits import (
    Edit,
    Fix,
    above_comments,
    delete,
    each,
    insert,
    is_whole_line,
    together,
)
from sslint.host import Host, listeners
from sslint.values import replace

if TYPE_CHECKING:
    from sslint.netfilter.openings import Opening
    from sslint.source import Location

_MOST = 0.5  # of the public: whoever lets in more bans the others


def _fact(finding: Finding) -> Any:
    """Return a finding's fact; which kind it is is said by its rule."""
    return finding.fact


def _open_port(host: Host, finding: Finding) -> Fix | None:
    about = _fact(finding)
    families = about.reach.closed_families()
    made = _opened_as_its_twin(host, about.transport, _outer(about), families)
    if made is None or not _has_http3(host, about):
        return made
    beside = _opened_as_its_twin(host, "udp", _outer(about), families)
    return together([made, beside]) if beside is not None else made


def _has_http3(host: Host, about: Any) -> bool:
    """Whether the server of a TCP port has HTTP/3 beside it, which the firewall closes as well."""
    assert host.firewall is not None
    server = getattr(about, "server", "")
    beside = [
        endpoint
        for endpoint in listeners(host, "udp", about.port)
        if (about.transport, endpoint.server, endpoint.protocol) == ("tcp", server, "h3")
    ]
    reach = host.firewall.reach("udp", _outer(about), 4)
    return bool(beside) and reach.verdict == "closed"


def _open_port_ipv6(host: Host, finding: Finding) -> Fix | None:
    return _opened_as_its_twin(host, _fact(finding).transport, _outer(_fact(finding)), [6])


def _opened_as_its_twin(
    host: Host, transport: Literal["tcp", "udp"], port: int, families: Sequence[Literal[4, 6]]
) -> Fix | None:
    """Open a port, but to no more clients than its other family, or TCP beside UDP, lets in.

    Most of the public are kept out there for a reason, and an accept for all would lead around it.
    """
    assert host.firewall is not None
    every: tuple[Literal[4, 6], ...] = (4, 6)
    twins: list[tuple[Literal["tcp", "udp"], Literal[4, 6]]] = [
        (transport, family) for family in every if family not in families
    ]
    if transport == "udp":
        twins += [("tcp", family) for family in every]
    for beside, family in twins:
        twin = host.firewall.reach(beside, port, family)
        if twin.verdict == "limited" and twin.public_share < _MOST:
            same = f"{beside}/{port}" if beside != transport else f"over IPv{family}"
            return Fix(f"accept {transport}/{port} from the same clients as {same}", "advice")
    return _opened(host, transport, port, families)


def _outer(about: Any) -> int:
    """Return the port of the host by which clients come: a container's is another one."""
    port: int = getattr(about, "outer_ports", (about.port,))[0]
    return port


def _open_acme_port(host: Host, _finding: Finding) -> Fix | None:
    return _opened(host, "tcp", 80, [4])


def _open_acme_port_ipv6(host: Host, _finding: Finding) -> Fix | None:
    return _opened(host, "tcp", 80, [6])


def _open_services(host: Host, finding: Finding) -> Fix | None:
    """Accept what the services need beside their first packet: one cause shuts them all."""
    services: tuple[Fact, ...] = _fact(finding).source
    made = [_open_port(host, replace(finding, fact=service)) for service in services]
    fixes = [fix for fix in made if fix is not None]
    return replace(together(fixes), title=finding.advice) if fixes else None


def _opened(
    host: Host, transport: Literal["tcp", "udp"], port: int, families: Sequence[Literal[4, 6]]
) -> Fix | None:
    assert host.firewall is not None
    edits: list[Edit] = []
    commands: list[str] = []
    found = host.firewall.suggest_open(transport, port, *families, places=speech.places) or ()
    for suggestion in found:
        said = speech.of(suggestion.table.origin).insertion(host.tree, suggestion)
        if said is None:
            return None
        commands += said.commands
        if said.place is not None:
            place = said.place if said.after else above_comments(said.place)
            edits.append(insert(place, said.text, after=said.after))
    if not (edits or commands):
        return None
    return Fix(f"accept {transport}/{port}", "opens", tuple(dict.fromkeys(edits)), each(commands))


# -- closing a port, moving an accept -------------------------------------------------------


def _close_port(host: Host, finding: Finding) -> Fix | None:
    about = _fact(finding)
    port = f"{about.port}/{about.transport}"
    openings: tuple[Opening, ...] = _fact(finding).accepts
    spoken = speech.of(openings[0].table.origin)
    commands = spoken.removal(openings[0], about.port, about.other_served)
    if commands is not None:
        return Fix(f"close {port}, or enable the service", "advice", commands=commands)
    place = openings[0].location
    where = f"{place.path}:{place.line}"
    return Fix(f"remove {about.port} from {where}, or enable the service", "advice")


def _move_accept(host: Host, finding: Finding) -> Fix | None:
    openings: tuple[Opening, ...] = _fact(finding).accepts
    opening = openings[0]
    place = opening.location
    if opening.table.origin in ("ufw", "firewalld"):  # whose programs keep the order
        if not _fact(finding).public:
            return None
        families = [one.family for one in openings]
        return _opened(host, opening.transport, opening.port, families)
    blocker = _blocker(host, opening)
    if blocker is None or blocker.file is not place.file or blocker.line >= place.line:
        return None
    if not is_whole_line(place):
        return None
    file, to = place.file, above_comments(blocker).line
    numbers = range(above_comments(place).line, place.line + 1)
    lines = [file.line(number) for number in numbers]
    edits = (
        Edit(file.name, to, "before", "\n".join(lines), file.path),
        *(delete(file, number) for number in numbers),
    )
    return Fix(f"move it before line {blocker.line}", "opens", edits)


def _blocker(host: Host, opening: Opening) -> Location | None:
    """Return the rule of the chain before which an accept opens the port, and lifts no ban."""
    assert host.firewall is not None
    found = host.firewall.suggest_open(opening.transport, opening.port, opening.family)
    before = [one.before for one in found or () if one.chain is opening.chain]
    return before[0].location if len(before) == 1 and before[0] is not None else None


MAKERS: dict[str, Callable[[Host, Finding], Fix | None]] = {
    "open-port": _open_port,
    "open-port-ipv6": _open_port_ipv6,
    "open-acme-port": _open_acme_port,
    "open-acme-port-ipv6": _open_acme_port_ipv6,
    "open-services": _open_services,
    "close-port": _close_port,
    "move-accept": _move_accept,
}
