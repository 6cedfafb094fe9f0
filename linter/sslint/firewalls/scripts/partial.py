"""iptables commands of which some arguments are not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sslint.netfilter.model import Match, Nat, Rule, RuleItem, Unknown, Unmodelled, Verdict
from sslint.source import Location
from sslint.values import dataclass, replace

# What stands in a text for what is not known. Surrogates that no decoded file holds: "\udc80" to
# "\udcff" are bytes that are not UTF-8.
HOLE = "\udffe"  # some text
HOLES = "\udfff"  # some text that is split into any number of words

_COMMANDS = {
    "-A": "A", "--append": "A", "-I": "I", "--insert": "I", "-D": "D", "--delete": "D",
    "-R": "R", "--replace": "R", "-N": "N", "--new-chain": "N", "-X": "X", "--delete-chain": "X",
    "-F": "F", "--flush": "F", "-P": "P", "--policy": "P", "-C": "C", "--check": "C",
    "-L": "L", "--list": "L", "-S": "S", "--list-rules": "S", "-Z": "Z", "--zero": "Z",
    "-E": "E", "--rename-chain": "E",
}  # fmt: skip
# Options of iptables itself with one argument.
_WITH_ARGUMENT = frozenset(
    (
        *("-p", "--protocol", "-s", "--source", "--src", "-d", "--destination", "--dst"),
        *("-i", "--in-interface", "-o", "--out-interface"),
    )
)
_LOGGING = frozenset(("LOG", "NFLOG", "ULOG", "AUDIT", "TRACE"))
_VERDICTS: dict[str, Verdict] = {
    "ACCEPT": Verdict("accept"),
    "DROP": Verdict("drop"),
    "REJECT": Verdict("reject"),
    "RETURN": Verdict("return"),
}
_NATS: dict[str, Literal["dnat", "redirect", "snat", "masquerade"]] = {
    "DNAT": "dnat",
    "REDIRECT": "redirect",
    "SNAT": "snat",
    "MASQUERADE": "masquerade",
}


def has_hole(words: Sequence[str]) -> bool:
    """Tell whether a part of some words is not known."""
    return any(HOLE in word or HOLES in word for word in words)


@dataclass(slots=True)
class Partial:
    """A command without the arguments that are not known.

    `lost` names what is not known if that is too much. `target` has unknown arguments.
    """

    words: list[str]
    command: str = ""
    chain: str = ""
    table: str = "filter"
    jump: str = ""
    target: bool = False
    lost: str = ""

    def reason(self, where: Location) -> str:
        """Say what is not known."""
        return f"a value in line {where.line} of {where.path}"

    def verdict(self) -> RuleItem | None:
        """Return what the rule's target does, if that does not depend on its arguments."""
        if self.jump in _VERDICTS:
            return _VERDICTS[self.jump]
        return Verdict("continue") if self.jump in _LOGGING else None

    def applied(self, rule: Rule, where: Location) -> Rule:
        """Return the rule with what is not known about it."""
        reason = self.reason(where)
        items = rule.items
        if self.target:
            matches = tuple(item for item in items if isinstance(item, Match | Unknown))
            kind = _NATS.get(self.jump)
            done: RuleItem | None = self.verdict()
            if kind is not None:
                done = Nat(kind, unknown=reason)
            items = (*matches, done or Unmodelled(reason))
        return replace(rule, items=(Unknown(reason), *items))


def parted(words: list[str]) -> Partial:
    """Return a command without what is not known in it."""
    found = Partial([])
    segments = _segments(words)
    for segment in segments:
        first = segment[0]
        negated = first == "!"
        option = segment[1] if negated and len(segment) > 1 else first
        name = option.partition("=")[0]
        if name in _COMMANDS:
            found.command = _COMMANDS[name]
            found.chain = segment[1] if len(segment) > 1 else ""
            if has_hole(segment[:2]) or (has_hole(segment) and found.command != "P"):
                found.lost = "a chain or the place of a rule"
                return found
            if has_hole(segment):
                segment = [*segment[:2], "DROP"]
        elif name in ("-t", "--table"):
            if has_hole(segment):
                found.lost = "the table of a rule"
                return found
            found.table = segment[1] if len(segment) > 1 else option.partition("=")[2]
        elif name in ("-j", "--jump", "-g", "--goto"):
            found.jump = segment[1] if len(segment) > 1 else ""
            if has_hole(segment):
                found.target = True
                if has_hole(segment[:2]):
                    found.jump, segment = "", []
                elif found.jump in _VERDICTS or found.jump in _LOGGING:
                    segment = segment[:2]
                else:
                    segment = []
        elif has_hole(segment):
            segment = []
        found.words += segment
    if not found.command:
        found.lost = "a command"
    return found


def _segments(words: list[str]) -> list[list[str]]:
    """Split arguments into what belongs together: an option of iptables, a match, the target."""
    segments: list[list[str]] = []
    index = 0
    while index < len(words):
        start = index
        if words[index] == "!" and index + 1 < len(words):
            index += 1
        name = words[index].partition("=")[0]
        index += 1
        if name in _COMMANDS or name in _WITH_ARGUMENT or name in ("-t", "--table"):
            limit = 2 if name in ("-I", "-R", "-D", "-P", "-E", "--insert", "--policy") else 1
            while limit and index < len(words) and words[index][:1] not in ("-", "!"):
                index += 1
                limit -= 1
        elif name in ("-m", "--match", "-j", "--jump", "-g", "--goto"):
            index += 1
            while index < len(words) and not _starts(words, index):
                index += 1
        else:
            while index < len(words) and words[index][:1] not in ("-", "!"):
                index += 1
        segments.append(words[start:index])
    return segments


def _starts(words: list[str], index: int) -> bool:
    """Tell whether something of iptables itself, or the next match, stands here."""
    if words[index] == "!" and index + 1 < len(words):
        index += 1
    name = words[index].partition("=")[0]
    return (
        name in _COMMANDS
        or name in _WITH_ARGUMENT
        or name in ("-t", "--table", "-m", "--match", "-j", "--jump", "-g", "--goto", "-f")
    )
