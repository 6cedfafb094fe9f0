"""Docker: the chains that it adds for the ports that containers publish.

They are in no file. Where the files hold none of Docker's, those of its default bridge are
assumed, as Docker 26 writes them (moby, integration/network/bridge/iptablesdoc): nat PREROUTING
translates, and the head of FORWARD accepts what was translated. IPv6 is taken by docker-proxy, a
process of the host, so that INPUT decides. What else Docker may do leaves the port unknown.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address
from typing import Literal

from sslint.netfilter.model import (
    Base,
    Chain,
    Doubt,
    Intervals,
    Match,
    Names,
    Nat,
    Rule,
    Ruleset,
    SetRef,
    Table,
)
from sslint.network import HostFacts
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, replace

DAEMON = "/etc/docker/daemon.json"
BRIDGE = "br-compose"
"""It stands for the bridge of a project's own network, of which Docker makes up the name."""

_CONTAINERS = {"docker0": "172.17.0.2", BRIDGE: "172.18.0.2"}

_POOLS = {"docker0": (0xAC110000, 0xAC11FFFF), "": (0xAC100000, 0xAC1FFFFF)}
"""172.17.0.0/16, and 172.16.0.0/12, from which Docker takes the first networks of projects."""

# Settings that change nothing about published ports, dockerd(8).
_HARMLESS = {
    "builder", "cgroup-parent", "containerd", "data-root", "debug", "default-cgroupns-mode",
    "default-runtime", "default-shm-size", "default-ulimits", "dns", "dns-opts", "dns-search",
    "exec-opts", "features", "group", "hosts", "icc", "init", "insecure-registries", "labels",
    "live-restore", "log-driver", "log-level", "log-opts", "max-concurrent-downloads",
    "max-concurrent-uploads", "max-download-attempts", "metrics-addr", "mtu",
    "no-new-privileges", "oom-score-adjust", "pidfile", "proxies", "registry-mirrors",
    "runtimes", "seccomp-profile", "selinux-enabled", "shutdown-timeout", "storage-driver",
    "storage-opts", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify", "userns-remap",
}  # fmt: skip
_DEFAULTS = {"iptables": True, "ip-forward": True, "userland-proxy": True, "ipv6": False}
_FLAGS = (
    "--iptables", "--ip6tables", "--ipv6", "--ip", "--ip-forward", "--userland-proxy", "--bridge",
    "--bip", "--fixed-cidr", "--firewall-backend", "--default-network-opt", "--config-file",
    "--default-address-pool",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Publication:
    """Ports that a container publishes, `port` to `last` of the host from `target` of its own on.

    `host` is the address it is bound to, "" for all; `bridge` "" is the project's own network.
    `reason` says why it is not known what becomes of it, or is "".
    """

    transport: Literal["tcp", "udp"]
    port: int
    target: int
    host: str
    service: str
    location: Location
    bridge: str = ""
    reason: str = ""
    last: int = 0  # 0: `port` alone
    floating: bool = False  # it is one of these, and not known which

    @property
    def key(self) -> tuple[Literal["tcp", "udp"], int]:
        """Its transport and the host's first port."""
        return self.transport, self.port

    @property
    def ports(self) -> range:
        """The host's ports."""
        return range(self.port, max(self.port, self.last) + 1)

    @property
    def text(self) -> str:
        """The host's ports as text, `443` or `5430-5440`."""
        return str(self.port) if len(self.ports) == 1 else f"{self.port}-{self.last}"

    def takes(self, transport: str, port: int) -> bool:
        """Tell whether a port of the host is one of them."""
        return not self.floating and transport == self.transport and port in self.ports

    @property
    def loopback(self) -> bool:
        """Whether it is bound to this host's loopback."""
        return not self.unbound and self.host != "" and ip_address(self.host).is_loopback

    @property
    def unbound(self) -> str:
        """Why its address is not known, or ""."""
        try:
            ip_address(self.host or "::")
        except ValueError:
            return f"{self.host[:40]} is not an address"
        return ""

    @property
    def families(self) -> tuple[int, ...]:
        """The families that it is bound to."""
        if not self.host or self.unbound:
            return (4, 6)
        return (ip_address(self.host).version,)


def assume(
    tree: Tree,
    network: HostFacts,
    ruleset: Ruleset,
    published: Sequence[Publication],
    taken: Collection[tuple[str, int]] = (),
) -> Ruleset:
    """Return a ruleset with what Docker adds for published ports, and what is not known of them.

    `taken` are the ports of other programs, which no container can have. The ruleset itself stays
    as it is.
    """
    outward = [one for one in published if not one.loopback]
    if not outward:
        return ruleset
    doubt = _elsewhere(tree, network)
    known: list[Publication] = []
    doubts: list[Doubt] = []
    own = _written(ruleset)
    separated: dict[str, str] = {}
    for one in outward:
        if own is not None and own.issuperset(one.ports):
            continue  # the files hold Docker's rules for it
        written = _WRITTEN if own is not None else ""
        if one.bridge not in separated:
            separated[one.bridge] = _separated(ruleset, one)
        reason = one.reason or one.unbound or doubt or written or separated[one.bridge]
        if reason:
            what = "a port" if one.floating else f"{one.transport}/{one.text}"
            said = f"{one.location} publishes {what}, and it is not known who gets in: {reason}"
            doubts += (
                Doubt(one.transport, ports, said, one.location, one.families)
                for ports in (_free(one, taken) if one.floating else (one.ports,))
            )
        else:
            known.append(one)
    four = [one for one in known if 4 in one.families]
    whole = replace(ruleset, unknown_ports=[*ruleset.unknown_ports, *doubts])
    if not four:
        return whole
    whole.tables = _with_chains(ruleset, four)
    names = dict.fromkeys(one.location.path for one in four)
    whole.assumptions = [
        *(text for text in ruleset.assumptions if text != ADDS_CHAINS),
        f"Docker runs the containers of {', '.join(names)} on its default bridge, with its own "
        "rules: over IPv4 a published port passes FORWARD and not INPUT",
    ]
    return whole


def _free(one: Publication, taken: Collection[tuple[str, int]]) -> Iterator[range]:
    """Yield the ports of a publication that no other program has."""
    first = one.port
    used = sorted(port for transport, port in taken if transport == one.transport)
    for port in (*(port for port in used if port in one.ports), one.last + 1):
        if first < port:
            yield range(first, port)
        first = max(first, port + 1)


ADDS_CHAINS = (
    "Docker adds its own chains at run time; the ports it publishes are not in these files"
)
_WRITTEN = "the rules of Docker in the files do not publish it"


# -- what else Docker may do ----------------------------------------------------------------------


def _elsewhere(tree: Tree, network: HostFacts) -> str:
    """Return what makes the daemon do anything but by default, or ""."""
    state = network.unit_state("docker")
    if state in ("disabled", "masked"):
        return f"docker.service is {state}"
    for command in network.exec_start("docker") or ():
        for word in command.words:
            if word.partition("=")[0] in _FLAGS:
                return f"dockerd runs with {word}"
    file = tree.try_read(DAEMON, decisive=False)
    if file is None:
        return "" if not tree.exists(DAEMON) else f"{tree.name(DAEMON)} cannot be read"
    try:
        settings = json.loads(file.text or "{}")
    except (ValueError, RecursionError):
        return f"{file.name} is not JSON"
    if not isinstance(settings, dict):
        return f"{file.name} is not an object"
    for name, value in settings.items():
        if name not in _HARMLESS and _DEFAULTS.get(name) is not value:
            return f"{file.name} sets {str(name)[:40]}"
    return ""


def _written(ruleset: Ruleset) -> set[int] | None:
    """Return the ports that Docker's own rules in the files publish, None if they hold none."""
    found: set[int] | None = None
    for table in ruleset.tables:
        for name, chain in table.chains.items():
            if name == "DOCKER" or table.name == "docker-bridges":
                found = set() if found is None else found
                for rule in chain.rules:
                    if any(isinstance(item, Nat) for item in rule.items):
                        found.update(_ports(rule))
    return found


def _ports(rule: Rule) -> Iterator[int]:
    for item in rule.items:
        if isinstance(item, Match) and item.keys[0].name.endswith("dport"):
            for low, high in item.values.items if isinstance(item.values, Intervals) else ():
                yield from range(low, min(high, low + 1000) + 1)


def _separated(ruleset: Ruleset, one: Publication) -> str:
    """Return which rule tells containers apart by an address or a bridge that is not known."""
    for table in ruleset.tables:
        for chain in table.chains.values():
            if chain.base is not None and chain.base.hook in ("input", "output"):
                continue
            for rule in chain.rules:
                if any(_tells_apart(item, one) for item in rule.items if isinstance(item, Match)):
                    return f"it depends on the container's network, which {rule.location} names"
    return ""


def _tells_apart(item: Match, one: Publication) -> bool:
    names = [key.name for key in item.keys]
    if isinstance(item.values, (tuple, SetRef)):
        return "ip.daddr" in names
    if names[0] in ("meta.oifname", "meta.iifname", "meta.oif", "meta.iif"):
        found = item.values.items if isinstance(item.values, Names) else ()
        return not one.bridge and any(n.startswith("br-") and n != "br-*" for n in found)
    if names[0] != "ip.daddr" or not isinstance(item.values, Intervals):
        return False
    low, high = _POOLS[one.bridge]
    return any(
        low <= b and a <= high and not (a <= low and high <= b) for a, b in item.values.items
    )


# -- its chains -----------------------------------------------------------------------------------


def _with_chains(ruleset: Ruleset, published: Sequence[Publication]) -> list[Table]:
    """Return the tables with Docker's rules, at the head of FORWARD where iptables has it."""
    from sslint.firewalls.iptables.dump import Reader
    from sslint.firewalls.iptables.tables import Loading

    place = published[0].location
    loaded: dict[str, Loading] = {}
    kept: list[Table] = []
    for table in ruleset.tables:
        mine = table.family == "ip" and table.name in _CHAINS and table.name not in loaded
        if mine and table.origin != "iptables-legacy":
            loaded[table.name] = Loading(table).copy()
        else:
            kept.append(table)
    order = max((c.order for t in ruleset.tables for c in t.chains.values()), default=0)
    for name, (chain, base) in _CHAINS.items():
        if name not in loaded:
            loaded[name] = Loading(Table("ip", name, origin="iptables", location=place))
        table = loaded[name].table
        if chain not in table.chains:
            order += 1
            table.chains[chain] = Chain(
                chain, place, replace(base, policy_location=place), [], order
            )
        loaded[name].names = frozenset(table.chains)
    user = "DOCKER-USER" in loaded["filter"].names
    lines = list(_lines(published, has_user_chain=user))
    text = "\n".join((*(line for line, _ in lines), ""))
    file = SourceFile(place.file.path, place.file.name, text)
    tables = Reader(
        file, 4, "iptables", strict=True, order=order, tables=loaded, noflush=True
    ).read()
    for loading in tables.values():
        for filled in loading.table.chains.values():
            _locate(filled, file, [where for _, where in lines])
    return [*kept, *(loading.table for loading in tables.values())]


_CHAINS = {
    "filter": ("FORWARD", Base("filter", "forward", 0)),
    "nat": ("PREROUTING", Base("nat", "prerouting", -100)),
}


def _lines(
    published: Sequence[Publication], *, has_user_chain: bool
) -> Iterator[tuple[str, Location]]:
    """Yield what Docker runs, as lines of iptables-restore -n, each with its cause."""
    place = published[0].location
    bridges = {_bridge(one): one.location for one in reversed(published)}
    yield "*filter", place
    if not has_user_chain:
        yield "-N DOCKER-USER", place
    yield "-N DOCKER", place
    for bridge, where in bridges.items():
        for rule in (
            f"-i {bridge} -o {bridge} -j ACCEPT",
            f"-i {bridge} ! -o {bridge} -j ACCEPT",
            f"-o {bridge} -j DOCKER",
            f"-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ):
            yield f"-I FORWARD {rule}", where  # the last of them is the first
    yield "-I FORWARD -j DOCKER-USER", place
    for one in published:
        bridge = _bridge(one)
        yield (
            f"-A DOCKER -d {_CONTAINERS[bridge]} ! -i {bridge} -o {bridge} -p {one.transport} "
            f"--dport {_span(one.target, len(one.ports))} -j ACCEPT",
            one.location,
        )
    yield "COMMIT", place
    yield "*nat", place
    yield "-N DOCKER", place
    yield "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER", place
    for one in published:
        bridge = _bridge(one)
        to = f"-d {one.host} " if one.host.strip("0.") else ""
        yield (
            f"-A DOCKER {to}! -i {bridge} -p {one.transport} "
            f"--dport {_span(one.port, len(one.ports))} "
            f"-j DNAT --to-destination {_CONTAINERS[bridge]}{_inner_port(one)}",
            one.location,
        )
    yield "COMMIT", place


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}:{first + count - 1}"


def _inner_port(one: Publication) -> str:
    """Return the port to translate to; ports that stay the same need none."""
    if len(one.ports) == 1:
        return f":{one.target}"
    assert one.target == one.port
    return ""


def _bridge(one: Publication) -> str:
    return one.bridge or BRIDGE


def _locate(chain: Chain, file: SourceFile, places: Sequence[Location]) -> None:
    """Let the cause of each of Docker's rules be its place."""
    if chain.location.file is file:
        chain.location = places[chain.location.line - 1]
    for index, rule in enumerate(chain.rules):
        if rule.location.file is file:
            chain.rules[index] = replace(rule, location=places[rule.location.line - 1])
