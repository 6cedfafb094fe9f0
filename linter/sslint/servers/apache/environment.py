"""The environment that Apache is started with, as far as straight-line shell says it.

Debian's start script sources /etc/apache2/envvars; a drop-in of the unit may add to it.
"""

from __future__ import annotations

import re

from sslint.regex import regex
from sslint.tree import Tree
from sslint.values import dataclass, field

UNKNOWN = "\0"  # stands in a word for what the files do not decide

# What Debian's envvars exports; a tree that lacks the file has these.
_DEBIAN = {
    "APACHE_RUN_USER": "www-data",
    "APACHE_RUN_GROUP": "www-data",
    "APACHE_PID_FILE": "/var/run/apache2/apache2.pid",
    "APACHE_RUN_DIR": "/var/run/apache2",
    "APACHE_LOCK_DIR": "/var/lock/apache2",
    "APACHE_LOG_DIR": "/var/log/apache2",
    "LANG": "C",
    "APACHE_CONFDIR": "/etc/apache2",
}
_ASSIGNMENT = regex(
    r"(?:(?P<export>export)\s+)?(?P<name>[A-Za-z_]\w*)(?:=(?P<value>\"[^\"`]*\"|'[^']*'|[^\s;`\"']*))?"
    r"\s*(?:;.*|#.*)?$"
)
_DEFAULT = regex(r":\s+\"?\$\{(?P<name>[A-Za-z_]\w*):?=(?P<value>[^}\"`]*)\}\"?\s*$")
_OPENING = regex(r"\s*(if|case|for|while|until)\b|.*\{\s*$")
_CLOSING = regex(r"\s*(fi|esac|done)\b|\s*\}\s*$")
_STOCK_TEST = 'if [ "${APACHE_CONFDIR##/etc/apache2-}" != "${APACHE_CONFDIR}" ] ; then'
_VARIABLE = regex(r"\$(?:\{(?P<braced>[^}]*)\}|(?P<bare>[A-Za-z_]\w*)|\()")
_DEFINE = regex(r"-D\s*([^\s\"']+)")
_SETTING = regex(r"^[ \t]*(?:Environment|EnvironmentFile|ExecStart)[ \t]*=(?P<value>.*)$", re.M)


@dataclass(slots=True)
class Environment:
    """Variables (None: set, the value is not known) and what `-D` defines.

    `open`: more may be set by what was not read.
    """

    variables: dict[str, str | None] = field(default_factory=dict)
    defines: set[str] = field(default_factory=set)
    open: bool = False

    def value(self, name: str) -> str | None:
        """Return a variable's value, UNKNOWN in it for what is not known; None if it is unset."""
        if name in self.variables:
            found = self.variables[name]
            return UNKNOWN if found is None else found
        return UNKNOWN if self.open else None


def read(tree: Tree, directory: str) -> Environment:
    """Return what Apache's start scripts export; `directory` holds its main file."""
    found = Environment()
    if directory == "/etc/apache2" and _is_debian(tree):
        found.variables |= _DEBIAN
        file = tree.try_read("/etc/apache2/envvars", decisive=False)
        if file is not None:
            _shell(file.text, found)
        arguments = found.variables.get("APACHE_ARGUMENTS", "")
        found.open = found.open or arguments is None
        found.defines.update(_DEFINE.findall(arguments or ""))
    elif directory != "/etc/httpd/conf":
        found.open = True  # Gentoo, SUSE and others give -D by files of their own
    for unit in ("apache2", "httpd"):
        for path in (
            *tree.glob(f"/etc/systemd/system/{unit}.service.d/*.conf"),
            f"/etc/systemd/system/{unit}.service",
        ):
            file = tree.try_read(path, decisive=False)
            if file is not None:
                _unit(file.text, found)
    return found


def _is_debian(tree: Tree) -> bool:
    """Tell whether /etc/apache2 is laid out as Debian does it; SUSE and Gentoo have httpd.conf."""
    own = tree.exists("/etc/apache2/apache2.conf")
    return own or not tree.exists("/etc/apache2/httpd.conf")


def _unit(text: str, found: Environment) -> None:
    for match in _SETTING.finditer(text):
        value = match["value"]
        if "-D" in value:
            found.defines.update(_DEFINE.findall(value))
        found.open = found.open or not value.strip().startswith("/usr/sbin/")


def _shell(text: str, found: Environment) -> None:
    """Take assignments outside of conditions for what they say; inside, the names are unknown."""
    local: dict[str, str | None] = dict(found.variables)
    depth = 0
    stock = False
    for line in text.replace("\\\n", "").split("\n"):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line == _STOCK_TEST:
            stock = True
            depth += 1
            continue
        if _OPENING.match(line):
            depth += 1
        if (match := _ASSIGNMENT.match(line)) or (match := _DEFAULT.match(line)):
            name = match["name"]
            exported = "export" not in match.re.groupindex or match["export"] is not None
            if match["value"] is not None:
                known = not depth or (stock and depth == 1)
                local[name] = _expand(match["value"], local) if known else None
            if stock and depth:
                local[name] = ""  # /etc/apache2 is no other instance
            if exported or name in found.variables or name == "APACHE_ARGUMENTS":
                found.variables[name] = local.get(name)
        elif not re.match(r"(unset|if|then|else|elif|fi|ulimit|umask|:)\b", line):
            found.open = True
        if _CLOSING.match(line):
            depth = max(depth - 1, 0)
            stock = stock and depth > 0


def _expand(value: str, local: dict[str, str | None]) -> str | None:
    if value.startswith("'"):
        return value[1:-1]
    unknown = False

    def put(match: re.Match[str]) -> str:
        nonlocal unknown
        name = match["braced"] or match["bare"] or ""
        if name not in local or local[name] is None:
            unknown = unknown or not re.fullmatch(r"[A-Za-z_]\w*", name) or name in local
            return ""
        return local[name] or ""

    text = _VARIABLE.sub(put, value.strip('"'))
    return None if unknown else text
