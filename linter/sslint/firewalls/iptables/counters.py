"""The matches that count: rates, connections, bytes and recent sources, all at their start."""

from __future__ import annotations

import re
from typing import cast

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import values
from sslint.firewalls.iptables.arguments import Arguments, Extension
from sslint.firewalls.iptables.terms import any_of, compare
from sslint.netfilter.model import CtState, Interval, Limit, Recent, RuleItem, Unknown
from sslint.regex import is_number, regex

_NO_CONNECTION = CtState.INVALID | CtState.UNTRACKED

_RATE = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def _rate(text: str, fastest: int = 10_000) -> bool:
    """Tell whether a text is a rate such as 3/min, at most `fastest` a second."""
    count, slash, unit = text.partition("/")
    seconds = 1
    if slash:
        found = [s for name, s in _RATE.items() if unit and name.startswith(unit.lower())]
        if not found:
            return False
        seconds = found[0]
    digits = count.strip()
    return is_number(digits) and len(digits) < 12 and 0 < int(digits) <= fastest * seconds


def limit(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m limit`: a first packet is within it."""
    given = extension.first("limit")
    if given is not None and not _rate(str(given.value)):
        raise RulesetError(f'bad rate "{given.value}"')
    return [Limit(True, f"limit {given.value}" if given else "limit 3/hour")]


def hashlimit(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m hashlimit`, where `above` turns the outcome around."""
    given = extension.first("hashlimit-upto", "hashlimit", "hashlimit-above")
    if given is None:
        raise RulesetError("You have to specify --hashlimit-upto or --hashlimit-above")
    above = "hashlimit-above" in extension.given
    text = str(given.value)
    if not is_number(text[:1]) or not _hashlimit_rate(text):
        raise RulesetError(f'bad rate "{text}"')
    mode = extension.first("hashlimit-mode")
    known = {"srcip", "srcport", "dstip", "dstport"}
    if mode is not None and not known.issuperset(str(mode.value).replace("|", ",").split(",")):
        raise RulesetError(f'hashlimit: Bad value for "--hashlimit-mode": "{mode.value}"')
    for name in ("hashlimit-srcmask", "hashlimit-dstmask"):
        prefix = extension.first(name)
        if prefix and cast(int, prefix.value) > values.width(arguments.family):
            raise RulesetError(f"--{name}: {prefix.value} is not a prefix length")
    if "hashlimit-rate-match" in extension.given:
        return [Unknown("--hashlimit-rate-match compares a measured rate")]
    return [Limit(above == given.negate, f"hashlimit {text}")]


_BYTE_RATE = regex(r"[0-9]{1,12}[kmg]?b(?:/(.+))?", re.IGNORECASE).fullmatch


def _hashlimit_rate(text: str) -> bool:
    found = _BYTE_RATE(text)
    if found is not None:  # the first packet passes, however long it is
        unit = found[1]
        return unit is None or any(name.startswith(unit.lower()) for name in _RATE)
    return _rate(text, 1_000_000)


def connlimit(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m connlimit`, which counts this connection too."""
    above, upto = extension.first("connlimit-above"), extension.first("connlimit-upto")
    given = above or upto
    if given is None or (above and upto):
        raise RulesetError("You must specify one of --connlimit-above and --connlimit-upto")
    bound = cast(int, given.value)
    matches = bound < 1 if above else bound >= 1
    word = "above" if above else "up to"
    return [Limit(matches != given.negate, f"{word} {bound} connections", bound, tracked=True)]


def connbytes(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m connbytes`: certain for the first packet, as the counts grow with the others."""
    given = extension.given["connbytes"][0]
    direction = str(extension.given["connbytes-dir"][0].value)
    mode = str(extension.given["connbytes-mode"][0].value)
    if direction not in ("original", "reply", "both") or mode not in ("packets", "bytes", "avgpkt"):
        raise RulesetError("Unknown --connbytes-dir or --connbytes-mode")
    low, high = cast(Interval, given.value)
    # xt_connbytes.c: nothing is counted without a connection, and `!` is false too then
    items: list[RuleItem] = [any_of("ct.state", _NO_CONNECTION, True)]
    text = f"connbytes {low}:{high} {mode}"
    if mode != "packets" and direction != "reply":
        return [
            *items,
            compare("meta.length", low, high, negate=given.negate),
            Limit(True, text, tracked=True, growing=True),
        ]
    count = 0 if direction == "reply" else 1
    first = (low <= count <= high) != given.negate
    return [*items, Limit(first, text, tracked=True, growing=True)]


def quota(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m quota`, which holds until its bytes are used up."""
    given = extension.given["quota"][0]
    if cast(int, given.value) < 140:
        return [Unknown(f"--quota {given.value} depends on the packet's size")]
    return [Limit(not given.negate, f"quota {given.value} bytes")]


def recent(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m recent`; a list of destinations has a name of its own."""
    actions = [name for name in ("set", "rcheck", "update", "remove") if name in extension.given]
    if len(actions) != 1:
        raise RulesetError(
            "recent: you must specify one of `--set', `--rcheck' `--update' or `--remove'"
        )
    action = actions[0]
    hits = extension.first("hitcount")
    if action in ("set", "remove") and (hits or "seconds" in extension.given):
        raise RulesetError(f"recent: --hitcount and --seconds do not go with --{action}")
    if action in ("set", "remove") and "rttl" in extension.given:
        raise RulesetError(f"recent: --rttl does not go with --{action}")
    if "reap" in extension.given and "seconds" not in extension.given:
        raise RulesetError("recent: --reap needs --seconds")
    name = extension.first("name")
    label = str(name.value) if name else "DEFAULT"
    if not label or len(label) > 199 or "/" in label:
        raise RulesetError("recent: invalid --name")
    if "rdest" in extension.given:
        label += " (destinations)"
    count = cast(int, hits.value) if hits else 0
    if count > 65535:
        raise RulesetError("recent: --hitcount is larger than 65535")
    negate = extension.given[action][0].negate
    return [Recent(label, action, count, negate)]
