"""What /etc/default/ufw and ufw.conf set, and whether ufw starts at boot."""

from __future__ import annotations

from sslint.regex import regex
from sslint.source import Location
from sslint.tree import Status, Tree
from sslint.values import dataclass

DIRECTORY = "/etc/ufw"
DEFAULTS = "/etc/default/ufw"
CONF = "/etc/ufw/ufw.conf"

_ASSIGNMENT = regex(
    r"""\s*(?:export\s+)?([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s#;]*)""",
)

_PLAIN = regex(r"[ \t]*(?:;[ \t]*)?(?:#.*)?")
_TEMPLATE = regex(r"\{\{|\{%|<%|\$|@\w+@")


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable and its place."""

    value: str
    location: Location


def is_enabled(tree: Tree) -> bool | None:
    """Tell whether ufw starts at boot: only ENABLED=yes or YES counts. None: a template says it."""
    setting = settings(tree).get("ENABLED")
    if setting is not None and _TEMPLATE.search(setting.value):
        return None
    return setting is not None and setting.value in ("yes", "YES")


def taken_for_enabled(tree: Tree) -> bool:
    """Tell whether the rules are here, and ufw.conf, which says if they are loaded, is not."""
    absent = not tree.live and tree.status(CONF) is Status.ABSENT
    return absent and tree.exists(f"{DIRECTORY}/user.rules")


def settings(tree: Tree) -> dict[str, Setting]:
    """Return the variables of /etc/default/ufw and ufw.conf, in the order a shell reads them."""
    found: dict[str, Setting] = {}
    for path in (DEFAULTS, CONF):
        file = tree.try_read(path)
        if file is None:
            continue
        for number, line in enumerate(file.text.split("\n"), 1):
            match = _ASSIGNMENT.match(line)
            if match:
                value = match.group(2)
                if value[:1] in ("'", '"'):
                    value = value[1:-1]
                if line[match.end() :] == "\r":  # to a shell it is a part of the word
                    value += "\r"
                found[match.group(1)] = Setting(value, file.at(number))
    return found


def command(tree: Tree) -> Location | None:
    """Return the first line of the settings that the shell runs (ufw-init has set -e)."""
    for path in (DEFAULTS, CONF):
        file = tree.try_read(path)
        for number, line in enumerate(file.text.split("\n") if file is not None else (), 1):
            match = _ASSIGNMENT.match(line)
            rest = line[match.end() :] if match else line
            if not _PLAIN.fullmatch(rest) and not (match and rest == "\r"):
                return file.at(number) if file is not None else None
    return None
