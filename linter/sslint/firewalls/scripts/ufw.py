"""What `ufw` commands make of ufw as Debian ships it (ufw(8)).

ufw keeps its rules in files and loads them with the shipped ones: the commands of a script become
the files that ufw would write, and ufw's reader reads these.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sslint.firewalls import ufw as reader
from sslint.firewalls import ufw_settings
from sslint.firewalls.scripts.ends import UnsureError
from sslint.firewalls.scripts.partial import has_hole
from sslint.firewalls.scripts.ufw_applications import Applications, valid_name
from sslint.firewalls.scripts.ufw_commands import VERBS, Command, parsed
from sslint.firewalls.scripts.ufw_rules import Kept, RefusedError, Rule
from sslint.netfilter.model import Missing, Ruleset
from sslint.regex import regex
from sslint.source import Location
from sslint.tree import Tree, read_bundled
from sslint.values import dataclass, replace

RELEASE = "debian/13"
_STOCK = Path(__file__).parents[2] / "shipped" / "files.json"
_RULE_VERBS = ("limit", "insert", "delete", "prepend")  # no word of `ufw default`
_LOOKS = frozenset(("status", "version", "--version", "show", "help", "--help", "-h", ""))
_LEVELS = frozenset(("on", "off", "low", "medium", "high", "full"))
_POLICIES = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}
_SHIPPED = {"INPUT": "DROP", "OUTPUT": "ACCEPT", "FORWARD": "DROP"}
_HOOKS = {"incoming": "INPUT", "input": "INPUT", "outgoing": "OUTPUT", "output": "OUTPUT",
          "routed": "FORWARD", "forward": "FORWARD"}  # fmt: skip
_HEAD = (
    "*filter\n:{p}-user-input - [0:0]\n:{p}-user-output - [0:0]\n:{p}-user-forward - [0:0]\n"
    ":{p}-user-limit - [0:0]\n:{p}-user-limit-accept - [0:0]\n"
)
_TAIL = "-A {p}-user-limit -j REJECT\n-A {p}-user-limit-accept -j ACCEPT\nCOMMIT\n"


_DEFAULT = regex(r'DEFAULT_(INPUT|OUTPUT|FORWARD)_POLICY="(ACCEPT|DROP|REJECT)"')


def _stock() -> dict[str, str]:
    """Return the files that Debian ships, by path."""
    files: dict[str, str] = json.loads(read_bundled(_STOCK))[RELEASE]["ufw"]
    return files


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where a command stands, and what it reads when it asks; None: that is not known."""

    where: Location
    answer: str | None

    def agreed(self, command: str) -> bool:
        """Tell whether the answer is yes. Raise UnsureError."""
        if self.answer is None or has_hole([self.answer]):
            raise UnsureError(f"{command} asks before it acts, unless it is told --force")
        return self.answer.split("\n")[0].strip().lower() in ("y", "yes")


class Ufw:
    """ufw's settings and rules. Commands return the exit status."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.kept = Kept()
        self.policies = dict(_SHIPPED)
        self.enabled: Location | None = None
        self.last: Location | None = None
        self.written: Location | None = None  # where a file of its is changed
        self.lost: Missing | None = None
        self.was_reset = False
        self.applications: Applications | None = None

    @property
    def touched(self) -> bool:
        """Whether ufw was told anything."""
        told = len(self.kept) or self.policies != _SHIPPED
        return bool(self.enabled or self.lost or told)

    def copy(self) -> Ufw:
        """Return a copy that can be changed alone."""
        twin = Ufw(self.tree)
        twin.kept, twin.policies = self.kept.copy(), dict(self.policies)
        twin.enabled, twin.last, twin.lost = self.enabled, self.last, self.lost
        twin.written = self.written
        twin.was_reset, twin.applications = self.was_reset, self.applications
        return twin

    def same(self, other: Ufw) -> bool:
        """Tell whether two states decide alike."""
        return (
            self.kept.same(other.kept)
            and self.policies == other.policies
            and (self.enabled is None) == (other.enabled is None)
            and (self.written is None) == (other.written is None)
            and (self.lost is None) == (other.lost is None)
        )

    def join(self, other: Ufw, where: Location) -> Ufw:
        """Return both, if they are alike; else nothing is known."""
        joined = self.copy()
        joined.last, joined.written = self.last or other.last, self.written or other.written
        if not self.same(other):
            joined.lose("what ufw is told is not known", where)
        return joined

    def lose(self, reason: str, where: Location) -> None:
        """Give up what ufw holds."""
        self.last = where
        self.lost = self.lost or Missing(reason, (4, 6), where, may_open=True)

    # -- commands -----------------------------------------------------------------------------

    def run(self, words: list[str], where: Location, answer: str | None = None) -> int | None:
        """Run a command; `answer` is its input, None if that is not known."""
        if words[:1] and words[0].lower() == "--dry-run":
            return self.copy().run(words[1:], where, answer)
        # ufw looks for the word of a rule only before it takes --force away.
        of_rule = len(words) > 1 and words[0].lower() in VERBS
        force = words[:1] and words[0].lower() in ("--force", "-f")
        words = words[1:] if force else words
        verb = words[0].lower() if words else ""
        if verb in _LOOKS or (verb == "app" and not {"default", "--add-new"}.intersection(words)):
            return None
        self.last = where
        if has_hole(words):
            self.lose("a value that ufw is told is not known", where)
            return None
        asked = _Asked(where, "y" if force else answer)
        try:
            if of_rule or verb in ("route", "rule", *_RULE_VERBS):
                self._rule(words, asked)
            else:
                self._command(verb, words[1:], asked)
        except UnsureError as error:
            self.lose(str(error), where)
        except RefusedError:
            return 1
        return 0 if self.lost is None else None

    def _command(self, verb: str, rest: list[str], asked: _Asked) -> None:
        """Run what is about no rule. Raise RefusedError, UnsureError."""
        if verb in ("enable", "disable", "reload", "reset") and rest:
            raise RefusedError
        if verb == "enable":
            self.enabled = asked.where
        elif verb == "disable":
            self.enabled = None
        elif verb == "reset":
            self._reset(asked)
        elif verb == "default" or verb in _POLICIES:
            self._default(rest)
        elif verb == "app":
            raise UnsureError("ufw may add the rules of a new application")
        elif verb == "logging":
            if not rest or rest[0].lower() not in _LEVELS:
                raise RefusedError
        elif verb != "reload":
            raise RefusedError

    def _reset(self, asked: _Asked) -> None:
        """Drop the rules; the default policies stay as they are."""
        if not (len(self.kept) or self.enabled) or not asked.agreed("ufw reset"):
            return
        if self.was_reset:  # the copies that it makes are named for the second
            raise UnsureError("ufw is reset twice, which fails within a second")
        self.kept.clear()
        self.enabled, self.was_reset = None, True

    def _default(self, rest: list[str]) -> None:
        policy = _POLICIES.get(rest[0].lower() if rest else "")
        hook = _HOOKS.get(rest[1].lower() if len(rest) > 1 else "incoming")
        if policy is None or hook is None:
            raise RefusedError
        self.policies[hook] = policy

    def _rule(self, words: list[str], asked: _Asked) -> None:
        """Run what is about a rule. Raise RefusedError, UnsureError."""
        if not "".join(words).isascii() and "comment" not in words:
            raise UnsureError("a word that ufw is told is not read")
        command = parsed(words, asked.where)
        if command.number is not None:
            found, families = self.kept.by_number(command.number)
            if asked.agreed("ufw delete"):
                self.kept.remove(found, families)
            return
        rule = self._with_profiles(command)
        if command.remove:
            self.kept.remove(rule, command.families)
            return
        rules = [rule]
        if rule.of_application:
            rules = self._known_profiles().rules(rule)
        self.kept.add(rules, command.families, command.position)

    def _known_profiles(self) -> Applications:
        if self.applications is None:
            self.applications = Applications(self.tree)
        return self.applications

    def _with_profiles(self, command: Command) -> Rule:
        """Return a rule with the names of profiles as they are written."""
        rule = command.rule
        for field in ("application", "source_application"):
            given: str = getattr(rule, field)
            if not given:
                continue
            try:
                name = self._known_profiles().name(given)
            except RefusedError:
                if not command.remove:
                    raise
                if not valid_name(given):
                    raise RefusedError from None
                continue  # a rule may be there whose profile is gone
            if name != given and field != "application":
                raise UnsureError("ufw takes the name of an application for a port")
            rule = replace(rule, **{field: name})  # type: ignore[arg-type]
        return rule

    def substitute(self, changes: list[tuple[str, str, bool]]) -> bool:
        """Let sed change /etc/default/ufw; return False where that is not followed.

        A change: a text that may start with ^ and end with .*, a text, whether it is done again.
        """
        text = self._defaults()
        lines = text.split("\n")
        for old, new, again in changes:
            literal = re.escape(old.removeprefix("^").removesuffix(".*"))
            start, rest = "^" if old.startswith("^") else "", ".*" if old.endswith(".*") else ""
            pattern = re.compile(f"{start}{literal}{rest}")
            lines = [pattern.sub(new, one, count=0 if again else 1) for one in lines]
        changed = "\n".join(lines)
        policies = dict(_DEFAULT.findall(changed))
        followed = _DEFAULT.sub("", text) == _DEFAULT.sub("", changed)
        if not changes or not followed or policies.keys() != _SHIPPED.keys():
            return False
        self.policies = policies
        return True

    def _defaults(self) -> str:
        """Return /etc/default/ufw."""
        return _DEFAULT.sub(
            lambda found: f'DEFAULT_{found[1]}_POLICY="{self.policies[found[1]]}"',
            _stock()[ufw_settings.DEFAULTS],
        )

    # -- what is loaded -----------------------------------------------------------------------

    def finish(self, into: Ruleset) -> None:
        """Put what ufw loads into a ruleset."""
        assert self.last is not None
        if self.written is not None:
            self.lose("the script changes a file of ufw", self.written)
        if self.lost is None and self.enabled is None:
            self.lose("ufw is not enabled here, and loads nothing until `ufw enable`", self.last)
        if self.lost is not None:
            into.missing.append(self.lost)
            return
        files = {**_stock(), ufw_settings.DEFAULTS: self._defaults()}
        files[ufw_settings.CONF] = "ENABLED=yes\n"
        places: dict[str, list[Location | None]] = {}
        for family, name in ((4, "user.rules"), (6, "user6.rules")):
            prefix = "ufw6" if family == 6 else "ufw"
            text = _HEAD.format(p=prefix)
            path = f"{ufw_settings.DIRECTORY}/{name}"
            where: list[Location | None] = [None] * text.count("\n")
            for rule in self.kept.lists[family]:
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
        part.sources.clear()  # the script is the source
        into.add(part)
        into.assumptions.append("ufw's own files are as Debian 13 ships them")


def _moved(location: Location, places: dict[str, list[Location | None]]) -> Location:
    """Return the line of the script that a line of ufw's rules comes from."""
    lines = places.get(location.file.path, [])
    found = lines[location.line - 1] if location.line <= len(lines) else None
    return found or location
