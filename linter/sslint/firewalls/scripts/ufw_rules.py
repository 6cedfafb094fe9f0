"""The rules that ufw keeps: a list for IPv4 and one for IPv6, and how a command changes them.

After ufw 0.36.2: `UFWRule` of common.py, `set_rule` of frontend.py and of backend_iptables.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Literal

from sslint.firewalls.scripts.ends import UnsureError
from sslint.regex import is_number
from sslint.source import Location
from sslint.values import dataclass, replace

Families = Literal["v4", "v6", "both"]
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_ANY = frozenset(ANYWHERE.values())
_TARGETS = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}


class RefusedError(Exception):
    """A command that ufw does not take."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as ufw keeps it. `port` and `source_port`: "any" or a list of ports and ranges."""

    action: str
    log: str = ""
    comment: str = ""
    direction: str = "in"
    forward: bool = False
    interface_in: str = ""
    interface_out: str = ""
    protocol: str = "any"
    destination: str = ANYWHERE[4]
    source: str = ANYWHERE[4]
    port: str = "any"
    source_port: str = "any"
    application: str = ""  # of the destination
    source_application: str = ""
    where: Location | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What two rules share that are one rule with another action, log or comment."""
        return (
            self.port, self.source_port, self.protocol, self.source, self.destination,
            self.application, self.source_application, self.interface_in, self.interface_out,
            self.direction, self.forward,
        )  # fmt: skip

    @property
    def several(self) -> bool:
        """Whether a side has several ports."""
        return "," in self.port + self.source_port or ":" in self.port + self.source_port

    @property
    def of_application(self) -> tuple[str, ...]:
        """What the rules that a command made of application profiles share, () for others."""
        if not (self.application or self.source_application):
            return ()
        sides = (
            self.application or self.port,
            self.destination,
            self.source_application or self.source_port,
            self.source,
        )
        if not (self.interface_in or self.interface_out):
            return (*sides, self.direction)
        return (*sides, f"in_{self.interface_in}", f"out_{self.interface_out}")

    def in_family(self, family: int) -> Rule:
        """Return the rule as the list of a family has it. Raise RefusedError."""
        return replace(
            self,
            destination=_normal(self.destination, family),
            source=_normal(self.source, family),
            port=_sorted(self.port),
            source_port=_sorted(self.source_port),
        )

    def kept(self) -> Rule:
        """Return the rule as ufw reads it again."""
        both = self.interface_in and self.interface_out
        return replace(self, direction="in") if both and self.direction == "out" else self

    def lines(self, family: int) -> list[str]:
        """Return the lines of user.rules or user6.rules, without those that log."""
        prefix = "ufw6" if family == 6 else "ufw"
        out = self.direction == "out"
        chain = "forward" if self.forward else "output" if out else "input"
        protocols = [self.protocol]
        if self.protocol == "any" and (self.port, self.source_port) != ("any", "any"):
            protocols = ["tcp", "udp"]
        found = []
        for protocol in protocols:
            words = [f"-A {prefix}-user-{chain}"]
            words += [f"-i {self.interface_in}"] if self.interface_in else []
            words += [f"-o {self.interface_out}"] if self.interface_out else []
            words += [f"-p {protocol}"] if protocol != "any" else []
            words += [f"-s {_network(self.source)}"] if self.source not in _ANY else []
            words += [f"-d {_network(self.destination)}"] if self.destination not in _ANY else []
            words += [f"-m multiport --dports {self.port}"] if self.port != "any" else []
            if self.source_port != "any":
                words.append(f"-m multiport --sports {self.source_port}")
            text = " ".join(words)
            if self.action == "limit":
                new = "-m conntrack --ctstate NEW -m recent"
                found += [
                    f"{text} {new} --set",
                    f"{text} {new} --update --seconds 30 --hitcount 6 -j {prefix}-user-limit",
                    f"{text} -j {prefix}-user-limit-accept",
                ]
            else:
                reset = " --reject-with tcp-reset" if (self.action, protocol) == _RESET else ""
                found.append(f"{text} -j {_TARGETS[self.action]}{reset}")
        return found


_RESET = ("reject", "tcp")


def _sorted(ports: str) -> str:
    """Sort a list of ports as ufw does (`human_sort`)."""
    return ",".join(sorted(ports.split(","), key=_parts))


def _parts(text: str) -> list[tuple[int, str]]:
    pieces = re.split("([0-9]+)", text)
    return [(int(one), "") if is_number(one) else (-1, one.lower()) for one in pieces]


def _normal(address: str, family: int) -> str:
    """Return an address in ufw's standard form (`normalize_address`): IPv6 keeps its host bits."""
    if address in _ANY:
        return ANYWHERE[family]
    host, slash, bits = address.partition("/")
    if family == 6:
        host = str(ipaddress.IPv6Address(host))
        return host if bits in ("", "128") else f"{host}/{bits}"
    if not slash or bits in ("32", "255.255.255.255"):
        return host
    try:
        network = ipaddress.IPv4Network(address, strict=False)
    except ValueError:
        raise UnsureError("a netmask with gaps is not read") from None
    return f"{network.network_address}/{network.prefixlen if '.' in bits else bits}"


def _network(address: str) -> str:
    return str(ipaddress.ip_network(address, strict=False))


def numbered(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules that `ufw status numbered` counts: of an application's the first."""
    found: list[Rule] = []
    seen: set[tuple[str, ...]] = set()
    for rule in rules:
        group = rule.of_application
        if group not in seen:
            found.append(rule)
        if group:
            seen.add(group)
    return found


class Kept:
    """The two lists."""

    def __init__(self) -> None:
        self.lists: dict[int, list[Rule]] = {4: [], 6: []}

    def __len__(self) -> int:
        return len(self.lists[4]) + len(self.lists[6])

    def copy(self) -> Kept:
        """Return a copy that can be changed alone."""
        twin = Kept()
        twin.lists = {family: list(rules) for family, rules in self.lists.items()}
        return twin

    def same(self, other: Kept) -> bool:
        """Tell whether both decide alike."""
        return all(
            len(mine) == len(theirs)
            and all(
                _told(one) == _told(two) and one.key == two.key
                for one, two in zip(mine, theirs, strict=True)
            )
            for mine, theirs in zip(self.lists.values(), other.lists.values(), strict=True)
        )

    def clear(self) -> None:
        """Drop all rules."""
        self.lists = {4: [], 6: []}

    # -- commands -----------------------------------------------------------------------------

    def add(self, rules: Sequence[Rule], families: Families, position: int) -> None:
        """Add the rules of one command: 0 appends, -1 prepends, others insert.

        Raise RefusedError; what was done before stays.
        """
        if position:
            rules = [*reversed(rules)]
        counts = self._counts() if position else {4: 0, 6: 0}
        for number, rule in enumerate(rules):
            if position > counts[4] + counts[6]:
                raise RefusedError
            try:
                self._add(rule, families, position, number, counts)
            except RefusedError:
                if number:  # ufw takes back the ones before, if it can
                    raise UnsureError("an application's rules are added in part") from None
                raise

    def _counts(self) -> dict[int, int]:
        return {family: len(numbered(rules)) for family, rules in self.lists.items()}

    def _add(
        self, rule: Rule, families: Families, position: int, number: int, counts: dict[int, int]
    ) -> None:
        """Add one rule, the `number`th of its command."""
        first = {family: 0 if number == 0 and not counts[family] else 1 for family in (4, 6)}
        if families == "both":
            self._add_to_both(rule, position, number, counts, first)
        elif position == -1:
            family = 6 if families == "v6" else 4
            self._put(rule, family, first[family])
        elif families == "v4":
            if position > counts[4]:
                raise RefusedError
            self._put(rule, 4, position)
        else:
            if position and position <= counts[4]:
                raise RefusedError
            self._put(rule, 6, max(0, position - counts[4]))

    def _add_to_both(
        self,
        rule: Rule,
        position: int,
        number: int,
        counts: dict[int, int],
        first: dict[int, int],
    ) -> None:
        at = position
        if position == -1:
            at = first[4]
        elif position > counts[4]:
            at = self._place_in_other(position - counts[4] + number, 6)
        self._put(rule, 4, at)
        if position > 0:
            counts[4] = len(numbered(self.lists[4]))
            at = position + 1
            if at <= counts[4]:
                found = self._place_in_other(at, 4)
                at = found - number if found else 0
            if at > counts[4]:
                at -= counts[4]
        elif position == -1:
            at = first[6]
        self._put(rule, 6, at)

    def _place_in_other(self, position: int, family: int) -> int:
        """Return where the other list has the rule at a position of one list, 0 for nowhere.

        Raise RefusedError (ufw: ValueError, IndexError).
        """
        rules, others = self.lists[family], self.lists[10 - family]
        if not 1 <= position <= len(rules):
            raise RefusedError
        before = rules[:position]
        index = position - 1 + len(before) - len(numbered(before))
        if index >= len(rules):
            raise RefusedError
        wanted = rules[index]
        other = {ANYWHERE[family]: ANYWHERE[10 - family]}
        wanted = replace(
            wanted,
            source=other.get(wanted.source, wanted.source),
            destination=other.get(wanted.destination, wanted.destination),
        )
        for number, one in enumerate(others, 1):
            if one.key == wanted.key and _told(one) == _told(wanted):
                return number
        return 0

    def _put(self, rule: Rule, family: int, at: int) -> None:
        """Append a rule to a list, insert it, or replace what has its key."""
        rules = self.lists[family]
        if rule.several and rule.protocol not in ("tcp", "udp"):
            raise RefusedError
        if not 0 <= at <= len(rules):
            raise RefusedError
        rule = rule.in_family(family)
        key, kept = rule.key, rule.kept()
        index = _insertion(rules, at) if at else None
        if not any(one.key == key for one in rules):
            rules.insert(len(rules) if index is None else index, kept)
        elif index is None:  # else ufw skips it, whatever the action
            self.lists[family] = [
                kept if one.key == key and _told(one) != _told(rule) else one for one in rules
            ]

    def remove(self, rule: Rule, families: Families) -> None:
        """Remove a rule with this action and log, for an application all that are its.

        Raise RefusedError.
        """
        rules = [rule]
        if rule.of_application:
            group = rule.in_family(6 if families == "v6" else 4).of_application
            rules = [
                replace(one, action=rule.action, log=rule.log)
                for one in self.lists[6 if families == "v6" else 4]
                if one.of_application == group
            ]
        for one in rules:
            for family in {"v4": (4,), "v6": (6,), "both": (4, 6)}[families]:
                self._take(one, family)

    def by_number(self, number: int) -> tuple[Rule, Families]:
        """Return the rule that has this number over both lists. Raise RefusedError."""
        rules = numbered([*self.lists[4], *self.lists[6]])
        if not 1 <= number <= len(rules):
            raise RefusedError
        rule = rules[number - 1]
        return rule, "v4" if any(one is rule for one in self.lists[4]) else "v6"

    def _take(self, rule: Rule, family: int) -> None:
        if rule.several and rule.protocol not in ("tcp", "udp"):
            raise RefusedError
        rule = rule.in_family(family)
        key = rule.key
        left: list[Rule] = []
        found = False
        for one in self.lists[family]:
            like = one.key == key and (one.action, one.log) == (rule.action, rule.log)
            if like and (not found if one.comment == rule.comment else not rule.comment):
                found = True
            else:
                left.append(one)
        self.lists[family] = left


def _told(rule: Rule) -> tuple[str, str, str]:
    return rule.action, rule.log, rule.comment


def _insertion(rules: Sequence[Rule], at: int) -> int | None:
    """Return the index of a position; it never lies among the rules of an application."""
    last = ("", "", "", "")
    for number, one in enumerate(rules, 1):
        sides = (one.destination, one.source, one.application, one.source_application)
        if number == at:
            alone = not any(sides[2:]) or (not any(last[2:]) and number > 1)
            if alone or last != sides:
                return number - 1
            at += 1
        last = sides
    return None
