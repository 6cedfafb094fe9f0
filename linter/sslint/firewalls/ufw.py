"""ufw: the chains that ufw-init builds from /etc/default/ufw and /etc/ufw (ufw-framework(8)).

What is loaded, and in which order, is what ufw-init-functions of ufw 0.36 does: each piece goes
through `ip[6]tables-restore -n`, and a piece that does not load is left out while the rest is.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import Literal
from urllib.parse import unquote

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables.dump import Reader
from sslint.firewalls.iptables.tables import Loading
from sslint.firewalls.ufw_settings import (
    CONF,
    DEFAULTS,
    DIRECTORY,
    Setting,
    command,
    is_enabled,
    settings,
    taken_for_enabled,
)
from sslint.netfilter.model import Interval, Missing, Ruleset, Source
from sslint.network import services
from sslint.regex import is_number, regex
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass, replace

# Where user.rules lies: ufw before 0.34 kept it with its code.
_USER_RULES = ("/etc/ufw", "/lib/ufw", "/usr/lib/ufw", "/var/lib/ufw")
_ANYWHERE = {"0.0.0.0/0", "::/0"}
_HOOKS = ("input", "output", "forward")


@dataclass(frozen=True, slots=True)
class Profile:
    """An application profile of applications.d: its ports by protocol."""

    name: str
    ports: dict[str, tuple[Interval, ...]]  # "tcp", "udp"
    location: Location
    title: str = ""
    written: str = ""  # its ports as they are written


def read(tree: Tree, into: Ruleset, *, named: bool = False) -> bool:
    """Add what ufw loads at boot; return False if it is absent or not enabled.

    Files that ufw-init would skip are reported as problems of the tree. `named`: the user says
    that this is the firewall.
    """
    named = named or taken_for_enabled(tree)
    enabled = is_enabled(tree)
    if not tree.exists(DIRECTORY) or not (named or enabled is not False):
        return False
    into.sources.append(Source("ufw", tree.name(DIRECTORY)))
    into.families |= {4, 6}
    if enabled is None:
        reason = f"a template decides whether ufw is enabled in {tree.name(CONF)}"
        into.missing.append(Missing(reason, may_open=True))
        return True
    if tree.status(DEFAULTS) is not Status.FILE or not tree.read(DEFAULTS).text:
        reason = "which is missing" if not tree.live else "which is missing: ufw does not start"
        into.missing.append(
            Missing(f"ufw's default policy is in {tree.name(DEFAULTS)}, {reason}", may_open=True)
        )
        return True
    stops = command(tree)
    if stops is not None:
        reason = f"{stops} is not a setting but a shell command, which may stop ufw from starting"
        into.missing.append(Missing(reason, location=stops, may_open=True))
        return True
    known = settings(tree)
    if named and not _switched_on(tree, known, into):
        return True
    _scripts(tree, into)
    if _value(known, "MANAGE_BUILTINS") != "yes":
        into.assumptions.append("only ufw adds rules to the built-in chains")
    four = _Init(tree, known, 4, 0)
    four.run()
    six = _Init(tree, known, 6, four.order)
    if _value(known, "IPV6") in ("yes", "YES"):
        six.run()
    else:
        six.close()
    for init in (four, six):
        into.tables += [loading.table for loading in init.tables.values()]
        into.missing += init.missing
    return True


def _switched_on(tree: Tree, settings: dict[str, Setting], into: Ruleset) -> bool:
    """Tell whether what was named is loaded; without ufw.conf it is assumed to be."""
    if "ENABLED" not in settings and tree.status(CONF) is Status.ABSENT:
        settings["ENABLED"] = Setting("yes", tree.read(DEFAULTS).at(1))
        into.assumptions.append("ufw is enabled: ufw.conf, which would say so, is missing")
        return True
    setting = settings.get("ENABLED")
    if setting is not None and setting.value in ("yes", "YES"):
        return True
    reason = f"ufw is not enabled in {tree.name(CONF)}: it loads nothing until `ufw enable`"
    location = setting.location if setting is not None else None
    into.missing.append(Missing(reason, location=location, may_open=True))
    return False


def _scripts(tree: Tree, into: Ruleset) -> None:
    """Note before.init and after.init, which ufw-init runs if they are executable."""
    for name in ("before.init", "after.init"):
        path = f"{DIRECTORY}/{name}"
        if (tree.mode(path) or 0) & 0o111 and tree.status(path) is Status.FILE:
            into.missing.append(Missing(f"ufw runs the script {tree.name(path)}", may_open=True))


# -- settings -----------------------------------------------------------------------------------


def _value(settings: dict[str, Setting], name: str) -> str:
    setting = settings.get(name)
    return setting.value if setting is not None else ""


# -- ufw-init -------------------------------------------------------------------------------------


class _Init:
    """Runs ufw_start for one family."""

    def __init__(
        self, tree: Tree, settings: dict[str, Setting], family: Literal[4, 6], order: int
    ) -> None:
        self.tree = tree
        self.settings = settings
        self.family = family
        self.order = order
        self.tables: dict[str, Loading] = {}
        self.missing: list[Missing] = []
        self.enabled = settings["ENABLED"].location
        self.prefix = "ufw6" if family == 6 else "ufw"

    def run(self) -> None:
        """Load everything in ufw-init's order."""
        prefix = self.prefix
        self.piece(
            *(f":{prefix}-{kind}-{hook} - [0:0]" for kind in _PRIMARY for hook in _HOOKS),
            *(
                f"-A {hook.upper()} -j {prefix}-{kind}-{hook}"
                for hook in _HOOKS
                for kind in _PRIMARY
            ),
        )
        for hook in _HOOKS:
            if self.policy(hook) == "REJECT":
                self.piece(f"-A {prefix}-reject-{hook} -j REJECT", hook=hook)
        for hook in _HOOKS:
            if self.policy(hook) == "ACCEPT":
                chain, new = f"{prefix}-track-{hook}", "-m conntrack --ctstate NEW -j ACCEPT"
                self.piece(f"-A {chain} -p tcp {new}", f"-A {chain} -p udp {new}", hook=hook)
        self.piece(f":{prefix}-logging-deny - [0:0]", f":{prefix}-logging-allow - [0:0]")
        self.piece(
            *(f":{prefix}-skip-to-policy-{hook} - [0:0]" for hook in _HOOKS),
            *(f"-A {prefix}-skip-to-policy-{hook} -j {self.policy(hook)}" for hook in _HOOKS),
            hook="input",
        )
        suffix = "6" if self.family == 6 else ""
        self.file(f"{DIRECTORY}/before{suffix}.rules")
        self.file(f"{DIRECTORY}/after{suffix}.rules")
        self.user_rules(suffix)
        policies = {hook: self.policy(hook).replace("REJECT", "DROP") for hook in _HOOKS}
        self.piece(
            f":INPUT {policies['input']} [0:0]",
            f":FORWARD {policies['forward']} [0:0]",
            f":OUTPUT {policies['output']} [0:0]",
            hook="input",
        )
        self.place_policies()

    def close(self) -> None:
        """Load what IPV6=no gives IPv6: nothing passes but loopback."""
        setting = self.settings.get("IPV6")
        where = setting.location if setting is not None else self.enabled
        self.piece(
            ":INPUT DROP [0:0]",
            ":FORWARD DROP [0:0]",
            ":OUTPUT DROP [0:0]",
            "-A INPUT -i lo -j ACCEPT",
            "-A OUTPUT -o lo -j ACCEPT",
            location=where,
        )

    def policy(self, hook: str) -> str:
        """Return a default policy as it is written."""
        return _value(self.settings, f"DEFAULT_{hook.upper()}_POLICY")

    def policy_location(self, hook: str) -> Location:
        """Return where a default policy is written."""
        setting = self.settings.get(f"DEFAULT_{hook.upper()}_POLICY")
        return setting.location if setting is not None else self.enabled

    # -- loading ------------------------------------------------------------------------------

    def piece(self, *lines: str, hook: str = "", location: Location | None = None) -> None:
        """Load lines of the filter table that ufw-init writes itself.

        Their place is the setting that they come from.
        """
        where = location or (self.policy_location(hook) if hook else self.enabled)
        text = "\n".join(("*filter", *lines, "COMMIT", ""))
        file = SourceFile(where.file.path, where.file.name, text)
        try:
            tables = self.restore(file)
        except RulesetError as error:
            self.tree.problem(
                where, f"ufw-init cannot load the rules of this setting: {error.reason}"
            )
            return
        for loading in tables.values():
            if loading.table.location is not None and loading.table.location.file is file:
                loading.table.location = where
            for chain in loading.table.chains.values():
                if chain.location.file is file:
                    chain.location = where
                base = chain.base
                if base and base.policy_location and base.policy_location.file is file:
                    chain.base = replace(base, policy_location=where)
                for index, rule in enumerate(chain.rules):
                    if rule.location.file is file:
                        chain.rules[index] = replace(rule, location=where)
        self.tables = tables

    def place_policies(self) -> None:
        """Let each policy's place be the line of /etc/default/ufw that sets it."""
        chains = self.tables["filter"].table.chains
        for hook in _HOOKS:
            chain = chains[hook.upper()]
            if chain.base is not None:
                where = self.policy_location(hook)
                chain.base = replace(chain.base, policy_location=where)

    def restore(self, file: SourceFile, last_line: int | None = None) -> dict[str, Loading]:
        """Return the tables with a file added. Raise RulesetError."""
        reader = Reader(
            file,
            self.family,
            "ufw",
            strict=True,
            order=self.order,
            tables={name: loading.copy() for name, loading in self.tables.items()},
            noflush=True,
            label_of=application,
            last_line=last_line,
        )
        tables = reader.read()
        self.order = reader.order
        self.missing += reader.missing
        return tables

    def file(self, path: str) -> bool:
        """Load a file of the administrator's; return False if it is missing or empty."""
        file = self.tree.try_read(path)
        if file is None or not file.text:
            absent = file is None and self.tree.status(path) is Status.ABSENT
            if absent and not self.tree.live:
                reason = f"ufw loads {self.tree.name(path)}, which is missing"
                self.missing.append(Missing(reason, (self.family,), may_open=True))
            elif file is not None or absent:
                self.tree.problem(path, "ufw-init skips it and continues", decisive=False)
            else:
                self.missing.append(
                    Missing(f"{self.tree.name(path)} cannot be read", (self.family,), may_open=True)
                )
            return False
        try:
            self.tables = self.restore(file)
        except RulesetError as error:
            self.tree.problem(
                error.location or file, f"ufw-init cannot load it and continues: {error.reason}"
            )
            self.committed(file, error.location)
        return True

    def committed(self, file: SourceFile, location: Location | None) -> None:
        """Load the tables of a file that were committed before an error."""
        lines = file.text.split("\n")
        error_line = location.line if location is not None else len(lines)
        commits = [n for n, line in enumerate(lines[: error_line - 1], 1) if line == "COMMIT"]
        if commits:
            with suppress(RulesetError):  # what it holds depends on what was not loaded
                self.tables = self.restore(file, commits[-1] + 1)

    def user_rules(self, suffix: str) -> None:
        """Load the rules that the ufw command wrote, and hook them in."""
        prefix = self.prefix
        name = f"user{suffix}.rules"
        paths = [f"{directory}/{name}" for directory in _USER_RULES]
        path = next((path for path in paths if self.tree.exists(path)), paths[0])
        before = self.tables
        self.piece(
            *(f":{prefix}-user-{hook} - [0:0]" for hook in _HOOKS),
            *(f":{prefix}-user-logging-{hook} - [0:0]" for hook in _HOOKS),
            f":{prefix}-user-limit - [0:0]",
            f":{prefix}-user-limit-accept - [0:0]",
        )
        if not self.file(path):
            self.tables = before
            return
        self.piece(*(f"-A {prefix}-before-{hook} -j {prefix}-user-{hook}" for hook in _HOOKS))


_PRIMARY = ("before-logging", "before", "after", "after-logging", "reject", "track")


# -- what ufw's own comments and profiles say -----------------------------------------------------


def _fields(comment: str) -> list[str]:
    """Return the fields of a `### tuple ###` comment of user.rules; none of another line.

    They are action, protocol, port, destination, port, source, and for rules with applications
    theirs (destination's, source's), then the direction.
    """
    if not comment.startswith("### tuple ### "):
        return []
    return [field for field in comment.split()[3:] if not field.startswith("comment=")]


def application(comment: str) -> str:
    """Return the application of a `### tuple ###` comment of user.rules, or ""."""
    fields = _fields(comment)
    if len(fields) < 9:
        return ""
    name = fields[6] if fields[6] != "-" else fields[7]
    return "" if name == "-" else unquote(name)


@dataclass(frozen=True, slots=True)
class Written:
    """What was typed for a rule of user.rules: `ufw ACTION WHAT`, each as one may paste it.

    `both`: for TCP and UDP. `port`: the one port it is for, None if it is for several.
    """

    action: str
    what: str
    both: bool
    port: int | None


_ACTION = regex(r"(allow|deny|reject|limit)(?:_(log|log-all))?")
_PORTS = regex(r"[0-9]{1,5}(?:[,:][0-9]{1,5})*")


def written(location: Location) -> Written | None:
    """Return what made a rule, as the comment above says; None for any but a plain one.

    A word that ufw does not know is not repeated: the file may be anyone's.
    """
    number = location.line - 1
    while number > 0 and location.file.line(number).startswith("-A "):
        number -= 1  # one command makes several rules
    comment = location.file.line(number) if number else ""
    fields = _fields(comment)
    if len(fields) < 7 or fields[-1] != "in" or not {fields[3], fields[5]} <= _ANYWHERE:
        return None
    action, port = _ACTION.fullmatch(fields[0]), fields[2]
    protocol = fields[1] if fields[1] in ("any", "tcp", "udp") else None
    if action is None or protocol is None or fields[4] != "any" or not _PORTS.fullmatch(port):
        return None
    what = port if protocol == "any" else f"{port}/{protocol}"
    name = application(comment)
    return Written(
        " ".join(filter(None, action.groups())),
        shlex.quote(name) if name else what,
        both=protocol == "any" and not name,
        port=int(port) if is_number(port) else None,
    )


_SECTION = regex(r"\[([^\]]{1,200})\]\s*$")
_OPTION = regex(r"([A-Za-z]{1,40})\s*[=:]\s*(.*?)\s*$")


def profiles(tree: Tree) -> dict[str, Profile]:
    """Return the application profiles by name; of two with one name the last file's."""
    found: dict[str, Profile] = {}
    directory = f"{DIRECTORY}/applications.d"
    for name in tree.names(directory):
        path = f"{directory}/{name}"
        if name.startswith(".") or tree.status(path) is not Status.FILE:
            continue
        file = tree.try_read(path, decisive=False)
        if file is None:
            continue
        section, title, location = "", "", None
        for number, line in enumerate(file.text.split("\n"), 1):
            header = _SECTION.match(line)
            option = _OPTION.match(line)
            if header:
                section, title, location = header.group(1), "", file.at(number)
            elif option and section and location is not None:
                key, value = option.group(1).lower(), option.group(2)
                if key == "title":
                    title = value
                elif key == "ports":
                    found[section] = Profile(section, _ports(value), location, title, value)
    return found


def _ports(text: str) -> dict[str, tuple[Interval, ...]]:
    """Read `80,443/tcp|443/udp|53`; without a protocol it is both."""
    ports: dict[str, list[Interval]] = {}
    for part in text.split("|"):
        numbers, _, protocol = part.strip().partition("/")
        for protocol_name in (protocol,) if protocol else ("tcp", "udp"):
            for number in numbers.split(","):
                low, colon, high = number.strip().partition(":")
                bounds = [_port(low, protocol_name), _port(high if colon else low, protocol_name)]
                if None not in bounds:
                    ports.setdefault(protocol_name, []).append((bounds[0] or 0, bounds[1] or 0))
    return {name: tuple(intervals) for name, intervals in ports.items()}


def _port(text: str, protocol: str) -> int | None:
    if is_number(text) and len(text) < 6:
        return int(text)
    return services.port_number(text, protocol)
