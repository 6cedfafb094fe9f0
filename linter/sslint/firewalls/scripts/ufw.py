"""What `ufw` commands make of ufw as Debian ships it (ufw(8)).

ufw keeps its rules in files and loads them with the shipped ones: the commands of a script become
the files that ufw would write, and ufw's reader reads these.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from sslint.firewalls import ufw as reader
from sslint.firewalls import ufw_settings
from sslint.firewalls.scripts.partial import has_hole
from sslint.netfilter.model import Missing, Ruleset
from sslint.network import services
from sslint.regex import regex
from sslint.source import Location
from sslint.tree import Tree, read_bundled
from sslint.values import dataclass, replace

RELEASE = "debian/13"
_STOCK = Path(__file__).parents[2] / "shipped" / "files.json"
_ACTIONS = frozenset(("allow", "deny", "reject", "limit"))
_POLICIES = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}
_SHIPPED = {"INPUT": "DROP", "OUTPUT": "ACCEPT", "FORWARD": "DROP"}
_HOOKS = {"incoming": "INPUT", "outgoing": "OUTPUT", "routed": "FORWARD", "in": "INPUT",
          "out": "OUTPUT"}  # fmt: skip
# Application profiles of Debian's and Ubuntu's packages.
_PROFILES = {
    "OpenSSH": "22/tcp", "SSH": "22/tcp", "Nginx Full": "80,443/tcp", "Nginx HTTP": "80/tcp",
    "Nginx HTTPS": "443/tcp", "Apache": "80/tcp", "Apache Secure": "443/tcp",
    "Apache Full": "80,443/tcp", "WWW": "80/tcp", "WWW Secure": "443/tcp",
    "WWW Full": "80,443/tcp", "Postfix": "25/tcp", "Postfix SMTPS": "465/tcp",
    "Postfix Submission": "587/tcp", "Dovecot IMAP": "143/tcp", "Dovecot POP3": "110/tcp",
    "Dovecot Secure IMAP": "993/tcp", "Dovecot Secure POP3": "995/tcp", "SMTP": "25/tcp",
    "IMAP": "143/tcp", "IMAPS": "993/tcp", "POP3": "110/tcp", "POP3S": "995/tcp",
}  # fmt: skip
_PORTS = regex(r"\d{1,5}(?::\d{1,5})?(?:,\d{1,5}(?::\d{1,5})?)*")
_HEAD = (
    "*filter\n:{p}-user-input - [0:0]\n:{p}-user-output - [0:0]\n:{p}-user-forward - [0:0]\n"
    ":{p}-user-limit - [0:0]\n:{p}-user-limit-accept - [0:0]\n"
)
_TAIL = "-A {p}-user-limit -j REJECT\n-A {p}-user-limit-accept -j ACCEPT\nCOMMIT\n"


class _RefusedError(Exception):
    """A command that ufw does not take."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One rule as ufw keeps it; what two rules must share to be one is `key`."""

    action: str
    chain: str = "input"
    interface_in: str = ""
    interface_out: str = ""
    protocol: str = "any"
    source: str = "any"
    destination: str = "any"
    source_port: str = ""
    port: str = ""
    where: Location | None = None

    @property
    def key(self) -> object:
        return replace(self, action="", where=None)

    @property
    def families(self) -> tuple[int, ...]:
        versions = {
            ipaddress.ip_network(text, strict=False).version
            for text in (self.source, self.destination)
            if text != "any"
        }
        if len(versions) > 1:
            raise _RefusedError
        return tuple(versions) or (4, 6)

    def lines(self, family: int) -> list[str]:
        """Return the lines of user.rules or user6.rules."""
        prefix = "ufw6" if family == 6 else "ufw"
        found = []
        protocols = [self.protocol]
        if self.protocol == "any" and (self.port or self.source_port):
            protocols = ["tcp", "udp"]
        for protocol in protocols:
            words = [f"-A {prefix}-user-{self.chain}"]
            words += [f"-i {self.interface_in}"] if self.interface_in else []
            words += [f"-o {self.interface_out}"] if self.interface_out else []
            words += [f"-p {protocol}"] if protocol != "any" else []
            words += [f"-s {self.source}"] if self.source != "any" else []
            words += [f"-d {self.destination}"] if self.destination != "any" else []
            words += [f"-m multiport --dports {self.port}"] if self.port else []
            words += [f"-m multiport --sports {self.source_port}"] if self.source_port else []
            text = " ".join(words)
            if self.action == "limit":
                new = "-m conntrack --ctstate NEW -m recent"
                found += [
                    f"{text} {new} --set",
                    f"{text} {new} --update --seconds 30 --hitcount 6 -j {prefix}-user-limit",
                    f"{text} -j {prefix}-user-limit-accept",
                ]
            else:
                found.append(f"{text} -j {_TARGETS[self.action]}")
        return found


_TARGETS = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}


class Ufw:
    """ufw's settings and rules. Commands return the exit status."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.rules: list[_Rule] = []
        self.policies = dict(_SHIPPED)
        self.enabled: Location | None = None
        self.last: Location | None = None
        self.lost: Missing | None = None

    @property
    def touched(self) -> bool:
        """Whether ufw was told anything."""
        told = self.rules or self.policies != _SHIPPED
        return bool(self.enabled or self.lost or told)

    def copy(self) -> Ufw:
        """Return a copy that can be changed alone."""
        twin = Ufw(self.tree)
        twin.rules, twin.policies = list(self.rules), dict(self.policies)
        twin.enabled, twin.last, twin.lost = self.enabled, self.last, self.lost
        return twin

    def same(self, other: Ufw) -> bool:
        """Tell whether two states decide alike."""
        mine = [replace(rule, where=None) for rule in self.rules]
        return (
            mine == [replace(rule, where=None) for rule in other.rules]
            and self.policies == other.policies
            and (self.enabled is None) == (other.enabled is None)
            and (self.lost is None) == (other.lost is None)
        )

    def join(self, other: Ufw, where: Location) -> Ufw:
        """Return both, if they are alike; else nothing is known."""
        joined = self.copy()
        joined.last = self.last or other.last
        if not self.same(other):
            joined.lose("what ufw is told is not known", where)
        return joined

    def lose(self, reason: str, where: Location) -> None:
        """Give up what ufw holds."""
        self.last = where
        self.lost = self.lost or Missing(reason, (4, 6), where, may_open=True)

    def run(self, words: list[str], where: Location) -> int | None:
        """Run a command."""
        words = [word for word in words if word not in ("--force", "-f", "--dry-run")]
        verb = words[0] if words else ""
        if verb in ("status", "version", "--version", "show", "app", "help", ""):
            return None
        self.last = where
        if has_hole(words):
            self.lose("a value that ufw is told is not known", where)
            return None
        try:
            return self._command(verb, words[1:], where)
        except (_RefusedError, ValueError, IndexError):
            return 1

    def _command(self, verb: str, rest: list[str], where: Location) -> int | None:
        if verb == "enable":
            self.enabled = where
        elif verb == "disable":
            self.enabled = None
        elif verb == "reset":
            self.rules, self.policies, self.enabled = [], dict(_SHIPPED), None
        elif verb == "default":
            hook = _HOOKS.get(rest[1] if len(rest) > 1 else "incoming")
            if not rest or hook is None or rest[0] not in _POLICIES:
                raise _RefusedError
            self.policies[hook] = _POLICIES[rest[0]]
        elif verb not in ("logging", "reload"):
            self._rule(verb, rest, where)
        return 0 if self.lost is None else None

    def _rule(self, verb: str, rest: list[str], where: Location) -> None:
        words = [verb, *rest]
        route = words[0] == "route"
        words = words[1:] if route else words
        delete = bool(words) and words[0] == "delete"
        words = words[1:] if delete else words
        at = ""
        if words[:1] == ["prepend"]:
            at, words = "top", words[1:]
        elif words[:1] == ["insert"]:
            at, words = words[1], words[2:]
            if not self.rules:
                raise _RefusedError
        if delete and words and words[0].isdigit():
            self.lose("a rule is deleted by its number", where)
            return
        if not words or words[0] not in _ACTIONS:
            raise _RefusedError
        for rule in _parsed(self.tree, words, route, where):
            self._put(rule, delete, at, where)

    def _put(self, rule: _Rule, delete: bool, at: str, where: Location) -> None:
        families = rule.families  # which refuses two families in one rule
        same = [index for index, one in enumerate(self.rules) if one.key == rule.key]
        if delete:
            for index in reversed(same):
                if self.rules[index].action == rule.action:
                    del self.rules[index]
            return
        if any(self.rules[index].action == rule.action for index in same):
            return
        if at:
            held = {family for one in self.rules for family in one.families}
            if same:
                return  # ufw skips it, whatever its action
            if at == "1" and families != (4, 6) and families[0] != min(held):
                raise _RefusedError  # the numbers of IPv6 rules follow those of IPv4
            if at not in ("top", "1") or (at == "1" and held != {4, 6}):
                self.lose("a rule is inserted by a number", where)
                return
            self.rules = [rule, *(one for one in self.rules if one.key != rule.key)]
        elif same:
            self.rules[same[0]] = rule
        else:
            self.rules.append(rule)

    # -- what is loaded -----------------------------------------------------------------------

    def finish(self, into: Ruleset) -> None:
        """Put what ufw loads into a ruleset."""
        assert self.last is not None
        if self.lost is None and self.enabled is None:
            self.lose("ufw is not enabled here, and loads nothing until `ufw enable`", self.last)
        if self.lost is not None:
            into.missing.append(self.lost)
            return
        stock: dict[str, str] = json.loads(read_bundled(_STOCK))[RELEASE]["ufw"]
        files = dict(stock)
        for hook, policy in self.policies.items():
            setting = f'DEFAULT_{hook}_POLICY="'
            shipped = f'{setting}{_SHIPPED[hook]}"'
            files[ufw_settings.DEFAULTS] = files[ufw_settings.DEFAULTS].replace(
                shipped, f'{setting}{policy}"'
            )
        files[ufw_settings.CONF] = "ENABLED=yes\n"
        places: dict[str, list[Location | None]] = {}
        for family, name in ((4, "user.rules"), (6, "user6.rules")):
            prefix = "ufw6" if family == 6 else "ufw"
            text = _HEAD.format(p=prefix)
            path = f"{ufw_settings.DIRECTORY}/{name}"
            where: list[Location | None] = [None] * text.count("\n")
            for rule in self.rules:
                if family in rule.families:
                    lines = rule.lines(family)
                    text += "".join(f"{line}\n" for line in lines)
                    where += [rule.where] * len(lines)
            files[path], places[path] = text + _TAIL.format(p=prefix), where
        part = Ruleset()
        reader.read(self.tree.with_overlay(files), part)
        for table in part.tables:
            for chain in table.chains.values():
                chain.rules[:] = [
                    replace(one, location=_moved(one.location, places)) for one in chain.rules
                ]
        into.tables += part.tables
        into.missing += part.missing
        into.families |= {4, 6}
        into.assumptions += part.assumptions
        into.assumptions.append("ufw's own files are as Debian 13 ships them")


def _moved(location: Location, places: dict[str, list[Location | None]]) -> Location:
    """Return the line of the script that a line of ufw's rules comes from."""
    lines = places.get(location.file.path, [])
    found = lines[location.line - 1] if location.line <= len(lines) else None
    return found or location


def _parsed(tree: Tree, words: list[str], route: bool, where: Location) -> list[_Rule]:
    """Return the rules of one command: more than one where a profile has two protocols."""
    rule = _Rule(words[0], "forward" if route else "input", where=where)
    words = words[1:]
    while words and words[0] in ("in", "out", "on", "log", "log-all"):
        word, words = words[0], words[1:]
        if word not in ("in", "out"):
            continue
        if not route:
            rule = replace(rule, chain="input" if word == "in" else "output")
        if words[:1] == ["on"]:
            side = "interface_in" if word == "in" else "interface_out"
            rule, words = _with(rule, side, words[1]), words[2:]
    if "comment" in words:
        words = words[: words.index("comment")]
    if not words:
        if not (rule.interface_in or rule.interface_out):
            raise _RefusedError
        return [rule]
    if len(words) == 1:
        return _with_ports(tree, rule, words[0], "port")
    found: list[_Rule] = [rule]
    side = "destination"
    index = 0
    while index < len(words):
        word = words[index]
        value = words[index + 1] if index + 1 < len(words) else ""
        index += 2
        if word == "proto":
            found = [replace(one, protocol=value) for one in found]
        elif word in ("from", "to"):
            side = "source" if word == "from" else "destination"
            address = "any" if value in ("any", "0.0.0.0/0") else _address(value)
            found = [_with(one, side, address) for one in found]
        elif word in ("port", "app"):
            where_port = "source_port" if side == "source" else "port"
            found = [
                each for one in found for each in _with_ports(tree, one, value, where_port, word)
            ]
        else:
            raise _RefusedError
    for one in found:
        ports = one.port + one.source_port
        if one.protocol == "any" and ("," in ports or ":" in ports):
            raise _RefusedError
    return found


def _with(rule: _Rule, field: str, value: str) -> _Rule:
    return replace(rule, **{field: value})  # type: ignore[arg-type]


def _address(text: str) -> str:
    network = ipaddress.ip_network(text, strict=False)
    return str(network)


def _with_ports(tree: Tree, rule: _Rule, text: str, side: str, kind: str = "") -> list[_Rule]:
    """Return a rule for a port, a list, a service or an application profile."""
    number, slash, protocol = text.partition("/")
    if _PORTS.fullmatch(number) and kind != "app":
        listed = "," in number or ":" in number
        if slash and protocol not in ("tcp", "udp"):
            raise _RefusedError
        if listed and not slash and rule.protocol == "any" and not kind:
            raise _RefusedError
        found = _with(rule, side, number)
        return [replace(found, protocol=protocol)] if slash else [found]
    profile = reader.profiles(tree).get(text)
    if profile is not None:
        return [
            replace(_with(rule, side, _listed(ports)), protocol=protocol)
            for protocol, ports in profile.ports.items()
        ]
    if text in _PROFILES:
        number, _, protocol = _PROFILES[text].partition("/")
        return [replace(_with(rule, side, number), protocol=protocol)]
    tcp, udp = services.port_number(number, "tcp"), services.port_number(number, "udp")
    if slash:
        port = tcp if protocol == "tcp" else udp if protocol == "udp" else None
    else:
        port = tcp if tcp is not None else udp
        protocol = "any" if tcp is not None and udp is not None else "udp" if tcp is None else "tcp"
    if port is None:
        raise _RefusedError
    if rule.protocol != "any":
        protocol = rule.protocol
    return [replace(_with(rule, side, str(port)), protocol=protocol)]


def _listed(ports: tuple[tuple[int, int], ...]) -> str:
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ports)
