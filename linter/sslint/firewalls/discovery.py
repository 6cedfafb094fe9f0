"""Find the rulesets that are in force when a host has booted, and read them into one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sslint.edges import Edge
from sslint.firewalls import commands, kept, managers, naming, ufw_settings, unseen
from sslint.firewalls.commands import Load, Script
from sslint.firewalls.errors import RulesetError, UnreadError
from sslint.firewalls.formats import detect
from sslint.netfilter.model import Missing, Ruleset, Source
from sslint.network import HostFacts
from sslint.network.packages import FIREWALLS
from sslint.reasons import Code
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree, TreeError
from sslint.values import dataclass, field

Given = tuple[str | None, str]
"""A ruleset named by the user: its kind (None = detect it) and its path in the tree."""

MAX_NAMED = 20  # files in a message
KINDS = ("iptables", "ip6tables", "nft", "nft-json", "ufw", "firewalld", "ipset", "script")
_FAMILIES: dict[str, tuple[int, ...]] = {"iptables": (4,), "ip6tables": (6,)}
_OF_FAMILY = {"iptables": "ip", "ip6tables": "ip6"}  # as a table says it

# nftables first: its ruleset starts with `flush ruleset`, and its unit is wanted by sysinit.
_NFTABLES = {
    "rhel": "/etc/sysconfig/nftables.conf",
    "fedora": "/etc/sysconfig/nftables.conf",
    "alpine": "/etc/nftables.nft",
    "gentoo": "/var/lib/nftables/rules-save",
    "": "/etc/nftables.conf",
}
_TEMPLATE = regex(r"\{\{[^{}\n]+\}\}|\{%|<%")  # of Jinja, Go and ERB; no ruleset has these


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ruleset that lies in the tree, and the services that load it.

    `inactive` says why it is not in force, or is "".
    """

    kind: str
    path: str
    units: tuple[str, ...] = ()
    inactive: str = ""
    location: Location | None = None


Part = tuple[Candidate, Ruleset]
"""A ruleset and what it loads by itself."""


@dataclass(slots=True)
class Found:
    """What a tree holds: rulesets, and what changes the ruleset but cannot be read as one."""

    candidates: list[Candidate] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    scripts: dict[str, Location] = field(default_factory=dict)  # that run at boot, by path

    def add(self, candidate: Candidate) -> None:
        """Add a ruleset once; one that is in force replaces the same one that is not."""
        for index, other in enumerate(self.candidates):
            if (other.kind, other.path) == (candidate.kind, candidate.path):
                if other.inactive and not candidate.inactive:
                    self.candidates[index] = candidate
                return
        self.candidates.append(candidate)


def load(tree: Tree, network: HostFacts, given: Sequence[Given] = ()) -> Ruleset:
    """Return the host's whole ruleset: what is given, else what is in force after a boot."""
    ruleset = Ruleset()
    if given:
        _load_given(tree, network, given, ruleset)
        _resolve_sets(ruleset)
        return ruleset
    found = candidates(tree, network)
    active = [candidate for candidate in found.candidates if not candidate.inactive]
    parts = []
    for candidate in active:
        part = Ruleset()
        _load(tree, network, candidate.kind, candidate.path, part)
        parts.append((candidate, part))
    _stack(parts, ruleset)
    ruleset.missing += found.missing
    ruleset.missing += managers.unread(tree, network)
    if found.scripts:
        _load_scripts(tree, found.scripts, ruleset, alone=not active and not ruleset.missing)
    elif not ruleset.missing and not any(
        _filters(part) or not _is_assumed(tree, network, one) for one, part in parts
    ):
        _load_kept(tree, network, ruleset)
    ruleset.assumptions += _set_aside(tree, found)
    ruleset.assumptions += managers.assumptions(tree, network)
    if {family for missing in ruleset.missing for family in missing.families} != {4, 6}:
        _judge_apart(tree, network, parts, ruleset)
    if not ruleset.alternatives:
        _note_order(tree, parts, ruleset)
    _resolve_sets(ruleset)
    return ruleset


def _set_aside(tree: Tree, found: Found) -> Iterator[str]:
    """Yield the rulesets that say who gets in and are not in force, each with why."""
    for one in found.candidates:
        if one.inactive and _decides(tree, one):
            yield f"{tree.name(one.path)} is not in force: {one.inactive}"


def _decides(tree: Tree, one: Candidate) -> bool:
    """Tell whether a ruleset says who gets in."""
    if one.kind == "firewalld":
        return _configured(tree)
    if one.kind == "ipset":
        return False
    path = f"{one.path}/user.rules" if one.kind == "ufw" else one.path
    file = tree.try_read(path, decisive=False)
    return file is not None and _DECIDES.search(file.text) is not None


_DECIDES = regex(
    r"^[^#\n]*(?:\b(?:drop|reject|DROP|REJECT)\b|ufw-user-input [^\n]{0,300}-j ACCEPT)", re.M
)
_MANAGERS = {"nft": "nftables", "ufw": "ufw", "firewalld": "firewalld"}  # else iptables


def _judge_apart(
    tree: Tree,
    network: HostFacts,
    parts: Sequence[Part],
    ruleset: Ruleset,
) -> None:
    """Note what is in force where of several managers it is not known which one is.

    Each that is in force by assumption alone is judged by itself, beside those that are known to
    be: what all agree on is the verdict.
    """
    known: list[Part] = []
    assumed: dict[str, list[Part]] = {}
    for candidate, part in parts:
        if _is_assumed(tree, network, candidate):
            manager = _MANAGERS.get(candidate.kind, "iptables")
            assumed.setdefault(manager, []).append((candidate, part))
        else:
            known.append((candidate, part))
    worlds = [group for group in assumed.values() if any(_filters(part) for _, part in group)]
    known = known if any(_filters(part) for _, part in known) else []
    if len(worlds) + bool(known) < 2:
        return
    of_parts = [missing for _, part in parts for missing in part.missing]
    for world in ([known] if known else []) + [[*known, *group] for group in worlds]:
        alone = Ruleset(missing=[one for one in ruleset.missing if one not in of_parts])
        _stack(world, alone)
        _note_order(tree, world, alone)
        ruleset.alternatives.append(alone)
    names = dict.fromkeys(tree.name(group[0][0].path) for group in worlds)
    reason = f"whether {' or '.join(names)} is in force is not in the files"
    ruleset.assumptions.append(f"{reason}: each was judged by itself")


def _is_assumed(tree: Tree, network: HostFacts, candidate: Candidate) -> bool:
    """Tell whether nothing but its place says that a ruleset is in force."""
    if candidate.kind == "ufw" and tree.exists("/etc/ufw/ufw.conf"):
        return False  # which says that it is enabled
    states = {network.unit_state(unit) for unit in candidate.units}
    return bool(states) and "enabled" not in states


def _filters(ruleset: Ruleset) -> bool:
    """Tell whether a ruleset lets anything but everything in."""
    chains = [chain for table in ruleset.tables for chain in table.chains.values()]
    bases = [(chain, chain.base) for chain in chains if chain.base and chain.base.type == "filter"]
    return any(
        base.hook not in ("output", "postrouting") and (chain.parts or base.policy == "drop")
        for chain, base in bases
    )


def _load_scripts(tree: Tree, found: dict[str, Location], ruleset: Ruleset, *, alone: bool) -> None:
    """Read the script that runs at boot, if it alone changes the ruleset; else it is unknown."""
    if alone and len(found) == 1:
        from sslint.firewalls.scripts import possible

        for path, location in found.items():
            possible.load(tree, path, ruleset, location)
        return
    for path, location in found.items():
        reason = f"the script {path} manages the firewall"
        ruleset.missing.append(Missing(reason, (4, 6), location, may_open=True))


def _load_kept(tree: Tree, network: HostFacts, ruleset: Ruleset) -> None:
    """Read the ruleset that the tree keeps without what loads it; of several, none."""
    from sslint.network.whole import is_whole_etc

    if tree.live or network.units.recorded or is_whole_etc(tree):
        return  # what starts is known, and loads none
    found = kept.find(tree)
    if not found:
        _load_kept_script(tree, ruleset)
        return
    several = [files for files in found.values() if len(files) > 1]
    mixed = "nft" in found and len(found) > 1
    if several or mixed:
        every = [file for files in found.values() for file in files]
        reason = f"which of {_listed(every)} is loaded is not in the files"
        ruleset.missing.append(Missing(reason, (4, 6), may_open=True))
        return
    for kind, files in found.items():
        part = Ruleset()
        _load(tree, network, kind, files[0].path, part)
        name = files[0].name
        if not part.missing and not _says_who_enters(part):
            reason = f"{name} has no rules for input: what else is loaded is not in the files"
            part = Ruleset(missing=[Missing(reason, (4, 6), may_open=True)])
        _merge(part, ruleset)
        ruleset.assumptions.append(f"{name} is loaded at boot: what loads it is not in these files")


def _listed(files: Sequence[SourceFile]) -> str:
    """Return the names of files as a list in a sentence."""
    names = [file.name for file in files]
    if len(names) > MAX_NAMED:
        names[MAX_NAMED - 1 :] = [f"{len(names) - MAX_NAMED + 1} others"]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _says_who_enters(ruleset: Ruleset) -> bool:
    """Tell whether a ruleset has a chain for what comes in, and is not a piece of another."""
    return any(
        chain.base is not None and chain.base.type == "filter" and chain.base.hook != "output"
        for table in ruleset.tables
        for chain in table.chains.values()
    )


def _load_kept_script(tree: Tree, ruleset: Ruleset) -> None:
    """Read the script of firewall commands that the tree keeps; of several, none."""
    from sslint.firewalls.scripts import possible

    found = possible.kept(tree)
    starts = [file for file in found if not possible.stops(file.path)]
    if len(starts) == 1 or len(found) == 1:
        chosen = (starts or found)[0]
        possible.load(tree, chosen.path, ruleset)
        others = [file.name for file in found if file is not chosen]
        if others:
            said = f"{' and '.join(others)} is not run at boot, as the name says"
            ruleset.assumptions.append(said)
    elif found:
        reason = f"which of {_listed(found)} is run is not in the files"
        ruleset.missing.append(Missing(reason, (4, 6), may_open=True))


def _resolve_sets(ruleset: Ruleset) -> None:
    """Let the iptables rules that name an ipset compare what that set holds."""
    if any(table.origin != "nft" and table.name != "firewalld" for table in ruleset.tables):
        from sslint.firewalls import ipset

        ipset.resolve(ruleset)


def candidates(tree: Tree, network: HostFacts) -> Found:
    """Return every ruleset at a place that something loads at boot, in the order of loading."""
    found = Found()
    _find_nftables(tree, network, found)
    _find_iptables(tree, network, found)
    known = {unit for one in found.candidates if not one.inactive for unit in one.units}
    for command in commands.boot_commands(tree, network, known):
        _add_command(tree, command, found)
    found.missing += unseen.changes(tree, network)
    _find_ufw(tree, network, found)
    _find_firewalld(tree, network, found)
    return found


# -- finding ----------------------------------------------------------------------------------


def _inactive(network: HostFacts, *units: str) -> str:
    """Say why none of the units starts, or "" if one does or may."""
    states = {unit: network.unit_state(unit) for unit in units}
    if any(state in ("enabled", "unknown") for state in states.values()):
        return ""
    return " and ".join(f"{unit}.service is {state}" for unit, state in states.items())


def _is_there(tree: Tree, path: str) -> bool:
    """What may not be read, or is a link that leads out, is there: its layer is not known."""
    return tree.status(path) in (Status.FILE, Status.UNKNOWN) or _leads_out(tree, path)


def _leads_out(tree: Tree, path: str) -> bool:
    """Tell whether a path is a link to what was not given."""
    return tree.status(path) is Status.ABSENT and tree.link_target(path) is not None


def _find_nftables(tree: Tree, network: HostFacts, found: Found) -> None:
    inactive = _inactive(network, "nftables")
    loads = commands.unit_loads(tree, network, "nftables")
    if loads:
        for command in loads:
            _add_command(tree, command, found, "nftables", inactive)
        return
    distribution = network.distribution[0]
    preferred = _NFTABLES.get(distribution, _NFTABLES[""])
    places = dict.fromkeys((preferred, *_NFTABLES.values()))
    present = next((path for path in places if _is_there(tree, path)), None)
    if present is not None:
        found.add(Candidate("nft", present, ("nftables",), inactive))
    elif network.unit_state("nftables") == "enabled":
        found.missing.append(
            Missing(f"nftables.service loads {preferred}, which is missing", may_open=True)
        )


# path, kind, units of which one loads it
_IPTABLES_PLACES = (
    ("/etc/iptables/ipsets", "ipset", ("netfilter-persistent",)),
    ("/etc/sysconfig/ipset", "ipset", ("ipset",)),
    ("/var/lib/ipset/rules-save", "ipset", ("ipset",)),
    ("/etc/ipset.conf", "ipset", ("ipset",)),
    ("/etc/iptables/rules.v4", "iptables", ("netfilter-persistent", "iptables")),
    ("/etc/iptables/rules.v6", "ip6tables", ("netfilter-persistent", "ip6tables")),
    ("/etc/sysconfig/iptables", "iptables", ("iptables",)),
    ("/etc/sysconfig/ip6tables", "ip6tables", ("ip6tables",)),
    ("/etc/iptables/iptables.rules", "iptables", ("iptables",)),
    ("/etc/iptables/ip6tables.rules", "ip6tables", ("ip6tables",)),
    ("/etc/iptables/rules-save", "iptables", ("iptables",)),
    ("/etc/iptables/rules6-save", "ip6tables", ("ip6tables",)),
    ("/var/lib/iptables/rules-save", "iptables", ("iptables", "iptables-restore")),
    ("/var/lib/ip6tables/rules-save", "ip6tables", ("ip6tables", "ip6tables-restore")),
)


def _find_iptables(tree: Tree, network: HostFacts, found: Found) -> None:
    parents: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("/etc/iptables", ("netfilter-persistent", "iptables", "ip6tables")),
        ("/etc/sysconfig", ("iptables", "ip6tables")),
    )
    for directory, units in parents:
        _miss_linked(tree, network, found, directory, *units)
    for unit in ("iptables", "ip6tables"):
        for command in commands.unit_loads(tree, network, unit) or ():
            if isinstance(command, Load):
                _add_command(tree, command, found, unit, _inactive(network, unit))
    for path, kind, units in _IPTABLES_PLACES:
        if _is_there(tree, path):
            found.add(Candidate(kind, path, units, _inactive(network, *units)))
    for path in tree.glob("/etc/sysconfig/ipset.d/*.set"):
        found.add(Candidate("ipset", path, ("ipset",), _inactive(network, "ipset")))


def _add_command(
    tree: Tree, command: Load | Script, found: Found, unit: str = "", inactive: str = ""
) -> None:
    if isinstance(command, Load):
        if _is_there(tree, command.path):
            units = (unit,) if unit else ()
            found.add(Candidate(command.kind, command.path, units, inactive, command.location))
        elif not inactive:
            families = _FAMILIES.get(command.kind, (4, 6))
            reason = f"{command.path} is loaded at boot but is missing"
            found.missing.append(Missing(reason, families, command.location, may_open=True))
    elif command.path and not inactive:
        found.scripts.setdefault(command.path, command.location)
    elif not inactive:
        reason = f"the script {command.name} manages the firewall"
        found.missing.append(Missing(reason, (4, 6), command.location, may_open=True))


def _find_ufw(tree: Tree, network: HostFacts, found: Found) -> None:
    if not tree.exists("/etc/ufw"):
        _miss_linked(tree, network, found, "/etc/ufw", "ufw")
        return
    inactive = _inactive(network, "ufw")
    if ufw_settings.is_enabled(tree) is False and not ufw_settings.taken_for_enabled(tree):
        inactive = "ENABLED=no in /etc/ufw/ufw.conf"
    found.add(Candidate("ufw", "/etc/ufw", ("ufw",), inactive))


_LINKED = "is a symbolic link to what was not given"


def _miss_linked(tree: Tree, network: HostFacts, found: Found, directory: str, *units: str) -> None:
    """Note a directory of rulesets that is a link to what was not given."""
    if _leads_out(tree, directory) and not _inactive(network, *units):
        reason = f"{tree.name(directory)} {_LINKED}"
        found.missing.append(Missing(reason, (4, 6), may_open=True))


def _find_firewalld(tree: Tree, network: HostFacts, found: Found) -> None:
    if not tree.exists("/etc/firewalld"):
        _miss_linked(tree, network, found, "/etc/firewalld", "firewalld")
        if not _leads_out(tree, "/etc/firewalld") and network.unit_state("firewalld") == "enabled":
            found.add(Candidate("firewalld", "/etc/firewalld", ("firewalld",)))
        return
    inactive = _inactive(network, "firewalld")
    if network.unit_state("firewalld") == "unknown" and not _configured(tree):
        others = any(not candidate.inactive for candidate in found.candidates)
        if others:  # the package may be there unused, beside what is used
            inactive = "/etc/firewalld holds no configuration"
    found.add(Candidate("firewalld", "/etc/firewalld", ("firewalld",), inactive))


def _configured(tree: Tree) -> bool:
    """Tell whether an administrator has written anything into /etc/firewalld."""
    if tree.exists("/etc/firewalld/direct.xml"):
        return True
    directories = ("zones", "policies", "services", "ipsets", "icmptypes", "helpers")
    return any(
        name.endswith(".xml") or tree.names(f"/etc/firewalld/{directory}/{name}")
        for directory in directories
        for name in tree.names(f"/etc/firewalld/{directory}")
    )


# -- reading ----------------------------------------------------------------------------------


def _load_given(tree: Tree, network: HostFacts, given: Sequence[Given], ruleset: Ruleset) -> None:
    """Read what is named; two files of one manager are parts of one ruleset."""
    settled: dict[tuple[str, str], naming.Named] = {}
    for kind, path in given:
        try:
            kind = kind or _detect_given(tree, path)
        except TreeError as error:
            tree.problem(path, error.reason, code=error.code)
            ruleset.missing.append(Missing(error.of(tree.name(path)), may_open=True))
            continue
        if kind is None:
            tree.problem(path, "is not in a known ruleset format", code=Code.UNUSABLE)
            ruleset.missing.append(
                Missing(f"the format of {tree.name(path)} is not known", may_open=True)
            )
            continue
        named = naming.settle(tree, kind, path)
        settled.setdefault((kind, named.path), named).missing += named.missing
    parts: list[Part] = []
    for named in settled.values():
        ruleset.missing += named.missing
        ruleset.assumptions += named.assumptions
        if named.kind == "script":
            from sslint.firewalls.scripts import possible

            possible.load(tree, named.path, ruleset)
            continue
        part = Ruleset()
        _load(tree, network, named.kind, named.path, part, named=named)
        parts.append((Candidate(named.kind, named.path), part))
    _stack(parts, ruleset)
    _note_order(tree, parts, ruleset)


def _unreadable(tree: Tree, path: str, error: TreeError) -> str:
    name = tree.name(path)
    return f"{name} {_LINKED}" if _leads_out(tree, path) else error.of(name)


def _detect_given(tree: Tree, path: str) -> str | None:
    """Return the kind of what is named, if it is known. Raise TreeError."""
    if tree.status(path) is Status.DIRECTORY:
        return naming.kind_of_directory(tree, path)
    file = tree.read(path)
    return naming.kind_of_file(file) or detect(file)


def _load(
    tree: Tree,
    network: HostFacts,
    kind: str,
    path: str,
    ruleset: Ruleset,
    *,
    named: naming.Named | None = None,
) -> None:
    """Read one ruleset; one that cannot be loaded leaves its whole layer unknown.

    One that is not `named` is loaded at boot: the real tool takes nothing but its own format.
    """
    families = _FAMILIES.get(kind, (4, 6))
    part = Ruleset()
    reason, location = "", None
    with Edge(tree, f"{kind}:", path) as edge:
        try:
            _read(tree, network, kind, path, part, named)
        except RulesetError as error:
            location = error.location
            where = location or tree.name(path)
            if location is not None and _TEMPLATE.search(location.file.text):
                reason = f"{where}: a template decides which rules stand here"
                said = "a template decides which rules stand here"
                tree.problem(location, said, decisive=False, code=Code.TEMPLATE)
            elif isinstance(error, UnreadError):
                reason = f"{where} includes what is not known: {error.reason}"
                tree.problem(location or path, error.reason, code=error.code)
            else:
                reason = f"{tree.name(path)} cannot be loaded: {where}: {error.reason}"
                tree.problem(location or path, error.reason, code=error.code)
        except TreeError as error:
            if _leads_out(tree, path):
                tree.problem(path, _LINKED, code=Code.UNUSABLE)
            else:
                tree.problem(path, error.reason, code=error.code)
            reason = _unreadable(tree, path, error)
    if edge.reason:
        reason, location = f"{tree.name(path)} {edge.reason}", edge.location
    if reason:
        part = Ruleset(missing=[Missing(reason, families, location, may_open=True)])
    if not any(source.kind == kind for source in part.sources):
        ruleset.sources.append(Source(kind, tree.name(path)))
    _merge(part, ruleset)
    if kind != "ipset":
        ruleset.families.update(families)


def _read(
    tree: Tree,
    network: HostFacts,
    kind: str,
    path: str,
    into: Ruleset,
    named: naming.Named | None,
) -> None:
    boot = named is None or named.boot
    if kind in ("iptables", "ip6tables"):
        from sslint.firewalls import iptables

        iptables.read(tree.read(path), 4 if kind == "iptables" else 6, into=into, strict=boot)
    elif kind == "nft":
        from sslint.firewalls import nftables

        nftables.read(tree, path, into, listing=not boot)
    elif kind == "nft-json":
        from sslint.firewalls.nftables import nft_json

        nft_json.read(tree.read(path), into=into)
    elif kind == "ipset":
        from sslint.firewalls import ipset

        ipset.read(tree.read(path), into=into)
    elif kind == "ufw":
        from sslint.firewalls import ufw

        ufw.read(tree, into, named=named is not None)
    elif kind == "firewalld":
        from sslint.firewalls import firewalld

        firewalld.read(
            tree, into, version=network.package_version(FIREWALLS["firewalld"]), zones=network.zones
        )
    else:
        raise RulesetError(f"{kind} is not a known kind of ruleset")


def _merge(part: Ruleset, into: Ruleset) -> None:
    offset = max(
        (chain.order for table in into.tables for chain in table.chains.values()), default=0
    )
    for table in part.tables:
        for chain in table.chains.values():
            chain.order += offset
    into.add(part)


def _stack(parts: Sequence[Part], into: Ruleset) -> None:
    """Merge what is loaded together. A dump of ufw's own chains replaces what ufw loads.

    ufw-init loads nothing where it finds them, and iptables-restore flushes what ufw has loaded.
    """
    dump = _dump_of_ufw(parts)
    for candidate, part in parts:
        if dump is not None and candidate.kind == "ufw":
            part = Ruleset(sources=part.sources, missing=part.missing)
        _merge(part, into)


def _dump_of_ufw(parts: Sequence[Part]) -> str | None:
    """Return the name of the saved dump by which ufw-init takes ufw for started."""
    for candidate, part in parts:
        filters = [table for table in part.tables if table.name == "filter"]
        if candidate.kind == "iptables" and any("ufw-user-input" in t.chains for t in filters):
            return part.sources[0].path
    return None


def _note_order(tree: Tree, parts: Sequence[Part], ruleset: Ruleset) -> None:
    """Note what is not known as ufw and iptables-restore write the same chains in any order."""
    ufw = next((part for candidate, part in parts if candidate.kind == "ufw"), None)
    dumps = [
        (candidate, part.tables, file)
        for candidate, part in parts
        if candidate.kind in _FAMILIES
        and (file := tree.try_read(candidate.path)) is not None
        and not commands.is_empty(file)
    ]
    if ufw is None or not dumps:
        return
    unsure = {candidate.kind: (file.name, candidate.location) for candidate, _, file in dumps}
    dump = _dump_of_ufw(parts)
    if dump is not None:
        said = f"ufw is not in force: {dump} holds its chains, and is loaded in place of its rules"
        ruleset.assumptions.append(said)
        # Of what no dump flushes, it depends on who comes first whether ufw has loaded it.
        held = {(table.family, table.name) for _, tables, _ in dumps for table in tables}
        rest = {table.family for table in ufw.tables if (table.family, table.name) not in held}
        unsure = {kind: (dump, None) for kind, family in _OF_FAMILY.items() if family in rest}
    for kind, (name, location) in unsure.items():
        reason = f"ufw and {name} fill the same chains, and their order is not known"
        ruleset.missing.append(Missing(reason, _FAMILIES[kind], location, may_open=True))


def inactive(tree: Tree, network: HostFacts) -> Iterator[Candidate]:
    """Yield the rulesets that lie in the tree and are not in force, with the reason."""
    for candidate in candidates(tree, network).candidates:
        if candidate.inactive:
            yield candidate
