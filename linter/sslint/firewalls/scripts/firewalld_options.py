"""What the words of a `firewall-cmd` command say, as its own parser takes them apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sslint.firewalls.scripts.ends import UnsureError
from sslint.firewalls.scripts.firewalld_zones import FLAGS, KINDS, RefusedError
from sslint.firewalls.scripts.partial import HOLE, HOLES
from sslint.regex import regex
from sslint.values import dataclass, field

USAGE = 2
_LOOKS = regex(
    r"--(?:state|version|help|check-config|get-[\w-]{1,40}|list-[\w-]{1,40}|info-[\w-]{1,40}"
    r"|path-[\w-]{1,40}|query-[\w-]{1,40})",
    re.ASCII,
)
_ALONE = ("--reload", "--complete-reload", "--set-default-zone")
_BARE = frozenset(
    (
        *("--permanent", "-q", "--quiet", "--reload", "--complete-reload"),
        *(f"--{verb}-{flag}" for verb in ("add", "remove", "query") for flag in FLAGS),
    )
)
_EDITS = frozenset(
    (
        *(f"--{verb}-{kind}" for verb in ("add", "remove") for kind in (*KINDS, *FLAGS)),
        *("--change-interface", "--change-source", "--set-target"),
    )
)
_QUERIES = frozenset(f"--query-{kind}" for kind in KINDS)
_VALUED = (
    frozenset((*_EDITS, *_QUERIES, "--zone", "--set-default-zone", "--new-zone", "--timeout"))
    - _BARE
)


@dataclass(slots=True)
class Options:
    """The options of a command, with all values of each."""

    given: dict[str, list[str]] = field(default_factory=dict)

    @property
    def permanent(self) -> bool:
        """Whether the command is for what lasts."""
        return "--permanent" in self.given

    def last(self, name: str) -> str:
        """Return the value of an option that is told once, "" for none."""
        return self.given.get(name, [""])[-1]

    @property
    def edit(self) -> str:
        """The one option that changes a zone, "" for none."""
        return next((name for name in self.given if name in _EDITS), "")

    @property
    def query(self) -> str:
        """The one option that asks for an element of a zone, "" for none."""
        return next((name for name in self.given if name in _QUERIES), "")

    @property
    def alone(self) -> str:
        """The one option that stands alone, "" for none."""
        return next((name for name in self.given if name in _ALONE), "")


def only_looks(words: Sequence[str]) -> bool:
    """Tell whether a command changes nothing, whatever its values are."""
    if any(HOLES in word or word.startswith(HOLE) for word in words):
        return False  # which may be an option
    names = {word.partition("=")[0] for word in words if word.startswith("-")}
    looks = {name for name in names if _LOOKS.fullmatch(name)}
    return bool(looks) and names - looks <= {"--permanent", "--zone", "-q", "--quiet", "--policy"}


def options(words: Sequence[str]) -> Options:
    """Read the words. Raise RefusedError, UnsureError."""
    found = Options()
    stray = False
    rest = [*words]
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            stray = True
            continue
        if name == "--change-zone":
            name = "--change-interface"
        if name not in _BARE and name not in _VALUED:
            raise UnsureError(f"firewall-cmd with {_shown(name)} is not read")
        if name in _VALUED and not equals:
            if not rest or rest[0].startswith("-"):
                stray = True
                continue
            value = rest.pop(0)
        stray = stray or (name in _BARE and bool(equals))
        found.given.setdefault(name, []).append(value)
    given = set(found.given)
    of_zone = given & (_EDITS | _QUERIES)
    others = given - {"-q", "--quiet", *_ALONE}
    if stray or len(of_zone) > 1 or len(given & {*_ALONE}) > 1 or (given & {*_ALONE} and others):
        raise RefusedError(USAGE)
    if found.alone:
        return found
    if "--new-zone" in given:
        if of_zone or "--zone" in given or "--timeout" in given:
            raise UnsureError("firewall-cmd with --new-zone and other options is not read")
        if not found.permanent:
            raise RefusedError(USAGE)
        return found
    if not of_zone or (found.permanent and "--timeout" in given):
        raise RefusedError(USAGE)
    if "--set-target" in given and not found.permanent:
        raise RefusedError(USAGE)
    return found


def _shown(option: str) -> str:
    return option if re.fullmatch(r"-{1,2}[a-z-]{1,40}", option) else "an option"
