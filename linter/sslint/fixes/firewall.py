"""Fixes of the firewall, in the format of the host's own: a port is opened or closed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

from sslint.engine import Fact, Finding
from sslint.fixes.edits import Edit, Fix, insert, is_whole_line
from sslint.host import Host
from sslint.values import replace

if TYPE_CHECKING:
    from sslint.netfilter.model import Chain, Table
    from sslint.netfilter.openings import Opening
    from sslint.netfilter.suggest import Suggestion
    from sslint.source import Location

Family = Literal[4, 6]
# A name that stands in a command: nft joins its arguments and parses them again, so that quotes
# do not keep `f i accept ; flush ruleset ; #` together, and what begins with `-` is an option.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+@-]{0,127}")

# Names of firewalld's stock services by port; where there is one it reads better than a port.
FIREWALLD_SERVICES = {
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


def _fact(finding: Finding) -> Any:
    """Return a finding's fact; which kind it is is said by its rule."""
    return finding.fact


def _open_port(host: Host, finding: Finding) -> Fix | None:
    about = _fact(finding)
    return _opened(host, about.transport, about.port, about.reach.closed_families())


def _open_port_ipv6(host: Host, finding: Finding) -> Fix | None:
    return _opened(host, _fact(finding).transport, _fact(finding).port, [6])


def _open_acme_port(host: Host, _finding: Finding) -> Fix | None:
    return _opened(host, "tcp", 80, [4])


def _open_acme_port_ipv6(host: Host, _finding: Finding) -> Fix | None:
    return _opened(host, "tcp", 80, [6])


def _open_services(host: Host, finding: Finding) -> Fix | None:
    """Accept what the services need beside their first packet: one cause shuts them all."""
    services: tuple[Fact, ...] = _fact(finding).source
    made = [_open_port(host, replace(finding, fact=service)) for service in services]
    fixes = [fix for fix in made if fix is not None]
    if not fixes:
        return None
    edits = dict.fromkeys(edit for fix in fixes for edit in fix.edits)
    commands = dict.fromkeys(command for fix in fixes for command in fix.commands)
    return Fix(finding.advice, "opens", tuple(edits), tuple(commands))


def _opened(
    host: Host, transport: Literal["tcp", "udp"], port: int, families: Sequence[Family]
) -> Fix | None:
    assert host.firewall is not None
    edits: dict[Edit, None] = {}
    commands: dict[str, None] = {}
    for family in families:
        for suggestion in host.firewall.suggest_open(transport, port, family) or ():
            edit, said = _insertion(host, suggestion, transport, family)
            commands.update(dict.fromkeys(said))
            if edit is not None:
                edits[edit] = None
    if not commands:
        return None
    return Fix(f"accept {transport}/{port}", "opens", tuple(edits), tuple(commands))


def _insertion(
    host: Host, suggestion: Suggestion, transport: str, family: Family
) -> tuple[Edit | None, tuple[str, ...]]:
    """Return the edit and the commands that insert one rule, as the table's owner would."""
    table, chain = suggestion.table, suggestion.chain
    owner: str = table.origin
    if owner == "ufw" and suggestion.purpose == "port":
        first = _denied_by_user(suggestion)
        command = f"ufw {'insert 1 ' if first else ''}allow {suggestion.port}/{transport}"
        return _ufw_edit(host, suggestion.port, transport, family, first=first), (command,)
    if owner == "firewalld" and suggestion.purpose == "port":
        return _zone_edit(host, suggestion, transport), _firewalld(suggestion, transport)
    if not (_NAME.fullmatch(table.name) and _NAME.fullmatch(chain.name)):
        return None, ()
    if owner in ("iptables", "iptables-legacy"):
        spec = _iptables_rule(suggestion, transport, table)
        program = "ip6tables" if table.family == "ip6" else "iptables"
        command = f"{program} -I {quote(chain.name)} {suggestion.index + 1} {spec}"
        if table.name != "filter":
            command = command.replace(program, f"{program} -t {quote(table.name)}", 1)
        return _edit(suggestion, f"-A {chain.name} {spec}"), (command,)
    spec = _nft_rule(suggestion, transport)
    where = f"{table.family} {quote(table.name)} {quote(chain.name)}"
    verb = "add" if suggestion.before is None else "insert"
    index = f" index {suggestion.index}" if suggestion.before and suggestion.index else ""
    return _edit(suggestion, spec), (f"nft {verb} rule {where}{index} {spec}",)


def _iptables_rule(suggestion: Suggestion, transport: str, table: Table) -> str:
    if suggestion.purpose == "established":
        return "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    if suggestion.purpose == "neighbour-discovery":
        return "-p ipv6-icmp -j ACCEPT"
    port = "--sport" if suggestion.purpose == "source-port" else "--dport"
    return f"-p {transport} -m {transport} {port} {suggestion.port} -j ACCEPT"


def _nft_rule(suggestion: Suggestion, transport: str) -> str:
    if suggestion.purpose == "established":
        return "ct state established,related accept"
    if suggestion.purpose == "neighbour-discovery":
        return "meta l4proto ipv6-icmp accept"
    port = "sport" if suggestion.purpose == "source-port" else "dport"
    return f"{transport} {port} {suggestion.port} accept"


def _edit(suggestion: Suggestion, text: str) -> Edit:
    """Return the insertion of a rule where it decides."""
    rules = suggestion.chain.rules
    if suggestion.before is not None:
        return insert(suggestion.before.location, text)
    if rules:
        return insert(rules[-1].location, text, after=True)
    if suggestion.table.origin == "nft":
        base = suggestion.chain.base
        place = (base and base.policy_location) or suggestion.chain.location
        return insert(place, text, after=True)
    return insert(_commit_after(suggestion.chain.location), text)


def _commit_after(place: Location) -> Location:
    """Return the COMMIT that ends the iptables-save table in which a chain is declared."""
    for number in range(place.line, len(place.file.starts) + 1):
        if place.file.line(number).strip() == "COMMIT":
            return place.file.at(number)
    return place


def _denied_by_user(suggestion: Suggestion) -> bool:
    """Tell whether one of the user's own ufw rules decides first: a new one would come too late."""
    before = suggestion.before
    return before is not None and "-user-" in before.location.text


def _ufw_edit(host: Host, port: int, transport: str, family: Family, *, first: bool) -> Edit | None:
    """Return the rule as ufw itself writes it: it reads back the comment, and loads the line."""
    six = "6" if family == 6 else ""
    file = host.tree.try_read(f"/etc/ufw/user{six}.rules", decisive=False)
    if file is None:
        return None
    heading = "### RULES ###" if first else "### END RULES ###"
    lines = [number for number in range(1, len(file.starts) + 1) if file.line(number) == heading]
    if len(lines) != 1:
        return None
    everyone = "::/0" if six else "0.0.0.0/0"
    tuple_ = f"### tuple ### allow {transport} {port} {everyone} any {everyone} in"
    rule = f"-A ufw{six}-user-input -p {transport} --dport {port} -j ACCEPT"
    text = f"\n{tuple_}\n{rule}" if first else f"{tuple_}\n{rule}\n"
    return insert(file.at(lines[0]), text, after=first)


def _zone_edit(host: Host, suggestion: Suggestion, transport: str) -> Edit | None:
    """Return the element in the zone's file, if the host has one of its own."""
    zone = _zone(suggestion.chain)
    path = f"/etc/firewalld/zones/{zone}.xml"
    if not _NAME.fullmatch(zone) or not host.tree.exists(path):
        return None
    file = host.tree.try_read(path, decisive=False)
    ends = (
        [n for n in range(1, len(file.starts) + 1) if file.line(n).strip() == "</zone>"]
        if file
        else []
    )
    if file is None or len(ends) != 1:
        return None
    service = FIREWALLD_SERVICES.get((transport, suggestion.port))
    port = f'<port port="{suggestion.port}" protocol="{transport}"/>'
    element = f'<service name="{service}"/>' if service else port
    return insert(file.at(ends[0]), f"  {element}")


def _firewalld(suggestion: Suggestion, transport: str) -> tuple[str, ...]:
    zone = _zone(suggestion.chain)
    if zone and not _NAME.fullmatch(zone):
        return ()
    service = FIREWALLD_SERVICES.get((transport, suggestion.port))
    what = f"--add-service={service}" if service else f"--add-port={suggestion.port}/{transport}"
    where = f" --zone={quote(zone)}" if zone else ""
    return (f"firewall-cmd --permanent{where} {what}", "firewall-cmd --reload")


def _zone(chain: Chain) -> str:
    name = chain.name.removeprefix("filter_IN_")
    for suffix in ("_pre", "_log", "_deny", "_allow", "_post"):
        name = name.removesuffix(suffix)
    return name if name != chain.name else ""


# -- closing a port, moving an accept -------------------------------------------------------


def _close_port(host: Host, finding: Finding) -> Fix | None:
    about = _fact(finding)
    port = f"{about.port}/{about.transport}"
    openings: tuple[Opening, ...] = _fact(finding).accepts
    owner = openings[0].table.origin
    place = openings[0].location
    title = f"close {port}, or enable the service"
    if owner == "ufw":
        return Fix(title, "advice", commands=_ufw_deletion(finding, place))
    if owner == "firewalld":
        return Fix(title, "advice")
    where = f"{place.path}:{place.line}"
    return Fix(f"remove {about.port} from {where}, or enable the service", "advice")


def _ufw_deletion(finding: Finding, place: Location) -> tuple[str, ...]:
    """Return the commands that take a rule back: ufw deletes only what was typed."""
    from sslint.firewalls import ufw

    about = _fact(finding)
    written = ufw.written(place)
    if written is None or written.port != about.port:  # it would close others as well
        return ()
    delete = f"ufw delete {written.action} {written.what}"
    if not written.both or not about.other_served:
        return (delete,)
    other = "tcp" if about.transport == "udp" else "udp"
    return (delete, f"ufw {written.action} {about.port}/{other}")


def _move_accept(host: Host, finding: Finding) -> Fix | None:
    openings: tuple[Opening, ...] = _fact(finding).accepts
    opening = openings[0]
    place = opening.location
    blocker = opening.shadowed_by.location if opening.shadowed_by is not None else None
    port = f"{opening.port}/{opening.transport}"
    if opening.table.origin == "ufw":
        return Fix("put it first", "opens", commands=(f"ufw insert 1 allow {port}",))
    if blocker is None or blocker.file is not place.file or blocker.line >= place.line:
        return None
    line = place.file.line(place.line)
    if not is_whole_line(place):
        return None
    edits = (
        Edit(place.path, blocker.line, "before", line, place.file.path),
        Edit(place.path, place.line, "delete", line, place.file.path),
    )
    return Fix(f"move it before line {blocker.line}", "opens", edits)


MAKERS: dict[str, Callable[[Host, Finding], Fix | None]] = {
    "open-port": _open_port,
    "open-port-ipv6": _open_port_ipv6,
    "open-acme-port": _open_acme_port,
    "open-acme-port-ipv6": _open_acme_port_ipv6,
    "open-services": _open_services,
    "close-port": _close_port,
    "move-accept": _move_accept,
}
