"""What renews certificates: certbot's lineages and hooks, and who else is known to do it.

Sources: certbot's renewal configuration (certbot/_internal/storage.py, renewal.py, hooks.py).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from sslint.hooks import Effect, effect
from sslint.network.units import ETC, Units
from sslint.reasons import Code
from sslint.regex import is_number, regex
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass, field

MAX_RENEWAL = 65_536  # characters; real ones are a few hundred
DIRECTORY = "/etc/letsencrypt"
MAX_LINEAGES = 10_000
MAX_HOOKS = 200
TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})  # configobj, as_bool
HTTP01 = frozenset({"webroot", "standalone", "nginx", "apache"})
LETS_ENCRYPT = "acme-v02.api.letsencrypt.org"
STAGING = ("acme-staging", "pebble")
CRONTABS = ("/var/spool/cron/crontabs", "/var/spool/cron")
CERTBOT_UNITS = ("certbot", "certbot-renew", "snap.certbot.renew")
ByHand = Literal["autorenew", "manual"]
Idle = Literal["masked", "unscheduled"]
_RUNS = regex(r"certbot|letsencrypt|renew")
# Debian's package brings a cron job that ends at once where systemd runs.
DEBIAN_CRON = "/etc/cron.d/certbot"
_UNITS = (".service", ".timer")
_NOT_UNDER_SYSTEMD = "/run/systemd/system"
_OPENERS = regex(r"\b(?:ufw|iptables|ip6tables|nft|firewall-cmd)\b")
_OPTION = regex(r"--(pre|post|deploy|renew)-hook[= ]+(?:\"([^\"]*)\"|'([^']*)'|(\S+))")
_INI = regex(r"^\s*(pre|post|deploy|renew)[-_]hook\s*=\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Hook:
    """A command or script that certbot runs; `executable` None where modes mean nothing."""

    kind: str  # pre, deploy, post
    text: str
    location: Location
    executable: bool | None = None
    directory: bool = False

    @property
    def runs(self) -> bool:
        """Whether certbot runs it at all (hooks.list_hooks skips what is not executable)."""
        return self.executable is not False and not self.location.path.endswith("~")

    def effect(self) -> Effect:
        """Return what it does to services."""
        return effect(self.text)

    def opaque(self) -> bool:
        """Tell whether it calls something whose effect is not seen here."""
        return self.effect().opaque

    def opens_firewall(self) -> bool:
        """Tell whether it touches the firewall."""
        return bool(_OPENERS.search(self.text))

    def stops(self, service: str) -> bool:
        """Tell whether it stops a service."""
        return service in self.effect().stops


@dataclass(slots=True)
class Lineage:
    """One certificate that certbot renews, from renewal/NAME.conf."""

    name: str
    file: SourceFile
    parameters: Mapping[str, str]
    paths: Mapping[str, str]
    webroots: Mapping[str, str]
    hooks: list[Hook] = field(default_factory=list)

    def location(self, key: str | None = None) -> Location:
        """Return where a parameter is written, else the file's first line."""
        if key is not None:
            for number in range(1, len(self.file.starts) + 1):
                line = self.file.line(number)
                if re.match(rf"\s*{re.escape(key)}\s*=", line):
                    return self.file.at(number)
        return self.file.at(1)

    @property
    def authenticator(self) -> str:
        """How it proves its names."""
        return self.parameters.get("authenticator", "")

    @property
    def http01(self) -> bool | None:
        """Whether renewal needs port 80; None where the files do not say."""
        challenges = self.parameters.get("pref_challs", "")
        if "dns" in challenges and "http" not in challenges:
            return False
        if self.authenticator in HTTP01:
            return True
        if self.authenticator.startswith("dns") or not self.authenticator:
            return False
        if self.authenticator == "manual":
            return "http" in challenges
        return None

    @property
    def http01_port(self) -> int:
        """The port that certbot itself listens on for a challenge."""
        text = self.parameters.get("http01_port", "80")
        return int(text) if is_number(text) and len(text) <= 5 else 80

    @property
    def staging(self) -> bool:
        """Whether it is renewed from a test authority."""
        return any(mark in self.parameters.get("server", "") for mark in STAGING)

    @property
    def must_staple(self) -> bool:
        """Whether the next certificate is to require OCSP stapling (RFC 7633)."""
        return self.parameters.get("must_staple", "False").lower() in TRUE

    @property
    def live(self) -> str:
        """The directory of its links."""
        chain = self.paths.get("fullchain") or self.paths.get("cert") or ""
        return posixpath.dirname(chain) or f"{DIRECTORY}/live/{self.name}"

    def reloads(self) -> set[str]:
        """Return the services that are certainly reloaded after renewal."""
        found: set[str] = set()
        installer = self.parameters.get("installer", "")
        if installer in ("nginx", "apache"):
            found.add(installer)
        effects = [(hook.kind, hook.effect()) for hook in self.hooks if hook.runs]
        stopped = {name for _, done in effects for name in done.stops}
        for kind, done in effects:
            if kind in ("deploy", "post"):
                found |= done.reloads | (done.starts & stopped)
        return found

    @property
    def by_hand(self) -> ByHand | None:
        """Why `certbot renew` does not renew it; None if it does."""
        if self.parameters.get("autorenew", "True").lower() in FALSE:
            return "autorenew"
        if self.authenticator == "manual" and not _given(self.parameters, "manual_auth_hook"):
            return "manual"
        return None

    def webroot(self, name: str) -> str | None:
        """Return where the challenges of a name go: by the map, else the last `webroot_path`.

        Source: certbot/_internal/plugins/webroot.py, Authenticator._set_webroots.
        """
        own = self.webroots.get(name)
        texts = [own] if own is not None else self.parameters.get("webroot_path", "").split(",")
        found = [text.strip().rstrip(",").strip("'\"") for text in texts if text.strip(" ,")]
        return found[-1] if found else None

    def opaque(self) -> bool:
        """Tell whether some hook does what is not seen here."""
        return any(h.opaque() for h in self.hooks if h.kind in ("deploy", "post") and h.runs)


@dataclass(slots=True)
class Renewal:
    """All that renews certificates on a host. `others` are programs beside certbot."""

    lineages: list[Lineage] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    others: tuple[str, ...] = ()
    known: bool = False  # /etc/letsencrypt/renewal is in the tree


_OTHERS = {
    "acme.sh": ("/root/.acme.sh", "/etc/acme.sh", "/opt/acme.sh"),
    "dehydrated": ("/etc/dehydrated", "/var/lib/dehydrated"),
    "lego": ("/etc/lego", "/var/lib/lego", "/root/.lego"),
    "caddy": ("/etc/caddy",),
    "acmetool": ("/var/lib/acme", "/etc/default/acme-reload"),
    "certmonger": ("/var/lib/certmonger", "/etc/certmonger"),
    "step": ("/etc/step", "/root/.step"),
    "uacme": ("/etc/ssl/uacme", "/etc/uacme"),
    "getssl": ("/etc/getssl", "/root/.getssl"),
    "Traefik": ("/etc/traefik",),
    "Apache's mod_md": ("/etc/apache2/mods-enabled/md.load",),
    # panels, each of which renews what it was asked to
    "cPanel": ("/usr/local/cpanel",),
    "CyberPanel": ("/usr/local/CyberCP",),
    "DirectAdmin": ("/usr/local/directadmin",),
    "HestiaCP": ("/usr/local/hestia", "/usr/local/vesta"),
    "ISPConfig": ("/usr/local/ispconfig",),
    "Plesk": ("/usr/local/psa", "/etc/psa"),
}


def read(tree: Tree) -> Renewal:
    """Return what renews certificates. A file that cannot be parsed is reported."""
    others = tuple(name for name, places in _OTHERS.items() if any(map(tree.exists, places)))
    renewal = Renewal(others=others)
    directory = f"{DIRECTORY}/renewal"
    if tree.status(directory) is not Status.DIRECTORY:
        return renewal
    renewal.known = True
    renewal.hooks = _directory_hooks(tree)
    defaults = _configuration_hooks(tree)
    for name in tree.names(directory)[:MAX_LINEAGES]:
        if not name.endswith(".conf"):
            continue
        file = tree.try_read(f"{directory}/{name}", decisive=False)
        lineage = _lineage(tree, file, name.removesuffix(".conf")) if file is not None else None
        if lineage is not None:
            lineage.hooks = [*_own_hooks(lineage), *renewal.hooks, *defaults]
            renewal.lineages.append(lineage)
    return renewal


def _lineage(tree: Tree, file: SourceFile, name: str) -> Lineage | None:
    from configobj import ConfigObj, ConfigObjError

    if len(file.text) > MAX_RENEWAL:
        tree.problem(
            file,
            "is too large for certbot's renewal configuration",
            decisive=False,
            code=Code.UNUSABLE,
        )
        return None
    try:
        parsed = ConfigObj(file.text.splitlines(), interpolation=False, list_values=False)
    except (ConfigObjError, RecursionError) as error:
        tree.problem(file, f"certbot's renewal configuration: {error}", decisive=False)
        return None
    parameters = parsed.get("renewalparams", {})
    if not isinstance(parameters, Mapping):
        parameters = {}
    webroots = parameters.get("webroot_map", parsed.get("webroot_map", {}))
    return Lineage(
        name,
        file,
        {str(k): str(v) for k, v in parameters.items() if not isinstance(v, Mapping)},
        {str(k): str(v) for k, v in parsed.items() if not isinstance(v, Mapping)},
        {str(k): str(v) for k, v in webroots.items()} if isinstance(webroots, Mapping) else {},
    )


def _own_hooks(lineage: Lineage) -> list[Hook]:
    keys = {
        "pre_hook": "pre",
        "post_hook": "post",
        "renew_hook": "deploy",
        "deploy_hook": "deploy",
        "manual_auth_hook": "auth",
    }
    return [
        Hook(kind, lineage.parameters[key], lineage.location(key))
        for key, kind in keys.items()
        if _given(lineage.parameters, key)
    ]


def _given(parameters: Mapping[str, str], key: str) -> bool:
    return parameters.get(key, "None") not in ("None", "")


def _directory_hooks(tree: Tree) -> list[Hook]:
    hooks = []
    for kind in ("pre", "deploy", "post"):
        directory = f"{DIRECTORY}/renewal-hooks/{kind}"
        for name in tree.names(directory)[:MAX_HOOKS]:
            path = f"{directory}/{name}"
            if tree.status(path) is not Status.FILE:
                continue
            file = tree.try_read(path, decisive=False)
            if file is not None:
                mode = tree.mode(path)
                executable = None if mode is None else bool(mode & 0o111)
                hooks.append(Hook(kind, file.text, file.at(1), executable, directory=True))
    return hooks


def _configuration_hooks(tree: Tree) -> list[Hook]:
    """Return the hooks of cli.ini, of units, of cron and logrotate: whatever reloads by itself."""
    hooks: list[Hook] = []
    for path in (f"{DIRECTORY}/cli.ini", "/etc/default/certbot", "/etc/sysconfig/certbot"):
        file = tree.try_read(path, decisive=False)
        if file is not None:
            hooks += _options(file, _INI)
    for file, fields in _cron(tree, "logrotate.d"):
        hooks += _options(file)
        hooks += _reloading(file, fields)
    return [*hooks, *_unit_hooks(tree)]


def _cron(tree: Tree, *beside: str) -> Iterator[tuple[SourceFile, int]]:
    """Yield what runs at certain times, with the number of words before a command.

    `beside`: directories of /etc that count like cron.daily.
    """
    paths = {"/etc/crontab": 6, "/etc/anacrontab": 3, **dict.fromkeys(_in(tree, "/etc/cron.d"), 6)}
    for directory in CRONTABS:
        paths |= dict.fromkeys(_in(tree, directory), 5)
    for name in ("cron.hourly", "cron.daily", "cron.weekly", "cron.monthly", *beside):
        paths |= dict.fromkeys(_in(tree, f"/etc/{name}"), 0)
    for path, fields in paths.items():
        file = tree.try_read(path, decisive=False)
        if file is not None:
            yield file, fields


def idle(tree: Tree, units: Units) -> Idle | None:
    """Tell why nothing in the files starts certbot; None where something does, or may."""
    states = {units.state(f"{unit}.timer") for unit in CERTBOT_UNITS}
    if not states <= {"disabled", "masked"}:
        return None
    own = (f"{ETC}/{name}" for name in tree.names(ETC)[: MAX_HOOKS * 10] if name.endswith(_UNITS))
    started = [tree.try_read(p, decisive=False) for p in own if tree.status(p) is Status.FILE]
    for file in (*started, *(file for file, _ in _cron(tree))):
        lines = (*file.text.splitlines(), file.path) if file is not None and file.text else ()
        if any(map(_runs_certbot, lines)):
            return None
    return "masked" if "masked" in states else "unscheduled"


def _runs_certbot(line: str) -> bool:
    text = line.lstrip()
    nothing = text[:1] == "#" or _NOT_UNDER_SYSTEMD in text or text == DEBIAN_CRON
    return not nothing and bool(_RUNS.search(text))


def starters_known(tree: Tree, units: Units) -> bool:
    """Tell whether the files have all that may start certbot: users' crontabs, no containers."""
    docker = {units.state("docker.service"), units.state("podman.service")}
    crontabs = any(map(tree.holds, CRONTABS)) and all(map(tree.listable, CRONTABS))
    return crontabs and docker <= {"disabled", "masked"}


def _in(tree: Tree, directory: str) -> list[str]:
    names = tree.names(directory)[:MAX_HOOKS]
    paths = [f"{directory}/{name}" for name in names]
    return [path for path in paths if tree.status(path) is Status.FILE]


def _options(file: SourceFile, setting: re.Pattern[str] | None = None) -> list[Hook]:
    """Return the hooks of certbot's options on a command line, or of its settings."""
    hooks = []
    for number, line in enumerate(file.text.splitlines(), 1):
        if line.lstrip().startswith("#") or "hook" not in line:
            continue
        kinds = {"renew": "deploy"}
        for match in _OPTION.finditer(line):
            text = match.group(2) or match.group(3) or match.group(4) or ""
            hooks.append(Hook(kinds.get(match[1], match[1]), text, file.at(number)))
        if setting is not None and (own := setting.match(line)):
            hooks.append(Hook(kinds.get(own[1], own[1]), own[2].strip(), file.at(number)))
    return hooks


def _reloading(file: SourceFile, fields: int) -> list[Hook]:
    """Return the lines that reload a service: whenever they run, they serve as well.

    `fields` words (when, and who) stand before the command.
    """
    hooks = []
    for number, line in enumerate(file.text.splitlines(), 1):
        skip = 1 + (fields == 6) if fields and line.startswith("@") else fields
        words = line.split(None, skip)
        command = _OPTION.sub("", words[skip]) if len(words) > skip else ""
        if command and not command.startswith("#") and effect(command).reloads:
            hooks.append(Hook("post", command, file.at(number)))
    return hooks


def _unit_hooks(tree: Tree) -> list[Hook]:
    """Return the commands of certbot's units, and of those that reload a service."""
    hooks: list[Hook] = []
    directory = ETC
    for name in tree.names(directory)[: MAX_HOOKS * 10]:
        unit, dot, rest = name.partition(".service")
        if not dot or rest not in ("", ".d"):
            continue
        own = unit in CERTBOT_UNITS
        for path in _in(tree, f"{directory}/{name}") if rest else [f"{directory}/{name}"]:
            file = tree.try_read(path, decisive=False)
            if file is None:
                continue
            hooks += _options(file) if own else []
            for number, line in enumerate(file.text.splitlines(), 1):
                match = re.match(r"\s*ExecStart(Pre|Post|)\s*=\s*[-+!@:]*(.*)", line)
                if match is None:
                    continue
                command = _OPTION.sub("", match[2])
                if own or effect(command).reloads:
                    kind = "pre" if match[1] == "Pre" else "post"
                    hooks.append(Hook(kind, command, file.at(number)))
    return hooks
