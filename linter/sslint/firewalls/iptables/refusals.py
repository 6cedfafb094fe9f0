"""What iptables or the kernel refuses of a rule's extensions: its whole table is then not loaded.

Beyond the kinds of arguments in options.py. Each was put to iptables 1.8.11 and Linux 6.18, in both
their forms; what depends on modules, users or objects of the host is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import values
from sslint.firewalls.iptables.arguments import Arguments, Extension
from sslint.regex import is_number, regex

_SCTP = frozenset(
    ("DATA", "INIT", "INIT_ACK", "SACK", "HEARTBEAT", "HEARTBEAT_ACK", "ABORT", "SHUTDOWN",
     "SHUTDOWN_ACK", "ERROR", "COOKIE_ECHO", "COOKIE_ACK", "ECN_ECNE", "ECN_CWR",
     "SHUTDOWN_COMPLETE", "I_DATA", "RE_CONFIG", "PAD", "ASCONF", "ASCONF_ACK", "FORWARD_TSN",
     "I_FORWARD_TSN", "ALL", "NONE")
)  # fmt: skip
_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_TCP_OPTIONS = ("wscale", "mss", "sack-permitted", "sack", "timestamp", "md5")
_CLOCK = regex(r"\+?([0-9]*):([0-9]*)(?::([0-9]*))?")
_DATE = regex(
    r"([0-9]+)(?:-([0-9]*)(?:-([0-9]*)(?:T([0-9]*)(?::([0-9]*)(?::([0-9]*))?)?)?)?)?"
).fullmatch


def check(extension: Extension, arguments: Arguments) -> None:
    """Raise RulesetError if an extension's options do not go together."""
    checker = _CHECKS.get(extension.name)
    if checker is not None and extension.options is not None:
        checker(extension, arguments)


def _text(extension: Extension, name: str) -> str | None:
    given = extension.first(name)
    return None if given is None else str(given.value)


def _addrtype(extension: Extension, arguments: Arguments) -> None:
    kinds = f"{_text(extension, 'src-type')},{_text(extension, 'dst-type')}".upper().split(",")
    barred = ("BROADCAST", "BLACKHOLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE")
    if arguments.family == 6 and any(kind in barred for kind in kinds):
        raise RulesetError("addrtype: IPv6 has no such type to match")


def _bpf(extension: Extension, arguments: Arguments) -> None:
    program = _text(extension, "bytecode")
    if program is not None and not re.match(r"[0-9]+\s*,", program):
        raise RulesetError("bpf: error parsing program length")


def _cluster(extension: Extension, arguments: Arguments) -> None:
    node = extension.first("cluster-local-node")
    total = cast(int, extension.given["cluster-total-nodes"][0].value)
    if node is not None and cast(int, node.value) > total:
        raise RulesetError("cluster: the local node is beyond the total of nodes")


def _connlimit(extension: Extension, arguments: Arguments) -> None:
    if {"connlimit-saddr", "connlimit-daddr"} <= set(extension.given):
        raise RulesetError("connlimit: --connlimit-saddr and --connlimit-daddr exclude each other")


def _frag(extension: Extension, arguments: Arguments) -> None:
    if {"fragmore", "fraglast"} <= set(extension.given):
        raise RulesetError("frag: --fragmore and --fraglast exclude each other")


_BYTES = regex(r"([0-9]+)([kmg]?)b", re.I)
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _bytes(text: str) -> int | None:
    found = _BYTES.match(text)
    return None if found is None else int(found[1]) * _FACTORS[found[2].lower()]


def _hashlimit(extension: Extension, arguments: Arguments) -> None:
    rate = extension.first("hashlimit-upto", "hashlimit", "hashlimit-above")
    burst = _text(extension, "hashlimit-burst")
    if rate is None or burst is None:
        return
    amount = _bytes(str(rate.value))
    if amount is None:
        if _bytes(burst) is None and not 1 <= (values.number(burst) or 0) <= 1_000_000:
            raise RulesetError("hashlimit: --hashlimit-burst is not between 1 and 1000000")
    elif amount < 16 or (_bytes(burst) or 0) < amount:
        raise RulesetError("hashlimit: the burst is smaller than the rate")


def _osf(extension: Extension, arguments: Arguments) -> None:
    if arguments.family == 6:
        raise RulesetError("Couldn't load match `osf'")


def _policy(extension: Extension, arguments: Arguments) -> None:
    given = set(extension.given)
    if "next" in given and "strict" not in given:
        raise RulesetError("policy: --next needs --strict")
    if "strict" in given and str(_text(extension, "pol")).lower() == "none":
        raise RulesetError("policy match: policy none but --strict given")


def _recent(extension: Extension, arguments: Arguments) -> None:
    mask = _text(extension, "mask")
    if mask is not None and values.numeric_address(mask, arguments.family) is None:
        raise RulesetError(f"recent: --mask {mask} is not an address")


def _rt(extension: Extension, arguments: Arguments) -> None:
    kind = extension.first("rt-type")
    if any(name.startswith("rt-0-") for name in extension.given) and (
        kind is None or kind.value != 0 or kind.negate
    ):
        raise RulesetError("`--rt-type 0' required before `--rt-0-...'")


def _sctp(extension: Extension, arguments: Arguments) -> None:
    given = extension.first("chunk-types")
    if given is None:
        return
    names = [part.partition(":")[0].upper() for part in given.second.split(",")]
    if given.value not in ("all", "any", "none") or not _SCTP.issuperset(names):
        raise RulesetError("Unknown sctp chunk")


def _statistic(extension: Extension, arguments: Arguments) -> None:
    probability = _text(extension, "probability")
    if probability is not None:
        try:
            inside = 0 <= float(probability) <= 1
        except ValueError:
            inside = False
        if not inside:
            raise RulesetError("statistic: --probability is not between 0 and 1")
    every, packet = extension.first("every"), extension.first("packet")
    beyond = every and packet and cast(int, packet.value) >= cast(int, every.value)
    if beyond:
        raise RulesetError("the --packet p must be 0 <= p <= n-1")


def _string(extension: Extension, arguments: Arguments) -> None:
    if _text(extension, "algo") not in ("bm", "kmp", "fsm"):
        raise RulesetError("string: unknown --algo")
    if len({"string", "hex-string"} & set(extension.given)) != 1:
        raise RulesetError("STRING match: You must specify `--string' or `--hex-string'")


def _time(extension: Extension, arguments: Arguments) -> None:
    for name in ("timestart", "timestop"):
        text = _text(extension, name)
        if text is not None and not _within(_CLOCK.fullmatch(text), (23, 59, 59)):
            raise RulesetError(f'invalid time "{text}" specified')
    for name in ("datestart", "datestop"):
        text = _text(extension, name)
        found = _DATE(text) if text is not None else None
        # A month without the 31st goes on in the next one; a kernel's date ends in 2038.
        if text is not None and not (
            _within(found, (2038, 12, 31, 23, 59, 59)) and found and int(found[1]) >= 1970
        ):
            raise RulesetError(f'Invalid date "{text}" specified')
    _weekdays(_text(extension, "weekdays"))
    _month_days(_text(extension, "monthdays"))


def always(extension: Extension) -> bool:
    """Whether a -m time holds at any time: whole days, on all days, from no date to no other."""
    given = extension.given
    if {"datestart", "datestop"} & set(given) or any(one.negate for (one, *_) in given.values()):
        return False
    start, stop = (
        _seconds(_text(extension, name), default)
        for name, default in (("timestart", 0), ("timestop", 86399))
    )
    return (
        (stop - start) % 86400 in (0, 86399)  # one that stops as it starts goes round the clock
        and ("weekdays" not in given or _weekdays(_text(extension, "weekdays")) >= set(range(1, 8)))
        and (
            "monthdays" not in given
            or _month_days(_text(extension, "monthdays")) >= set(range(1, 32))
        )
    )


def _seconds(text: str | None, default: int) -> int:
    found = _CLOCK.fullmatch(text) if text is not None else None
    if found is None:
        return default
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (hours * 60 + minutes) * 60 + seconds


def _within(found: re.Match[str] | None, tops: tuple[int, ...]) -> bool:
    """Whether numbers were found and none is above its bound; one that is left out is 0."""
    return found is not None and all(
        int(given or 0) <= top for given, top in zip(found.groups(), tops, strict=True)
    )


def _month_days(text: str | None) -> set[int]:
    """Return the days of the month. Raise RulesetError for what is none."""
    found: set[int] = set()
    for day in (text or "").split(","):
        number = _c_number(day[:2])  # what follows two characters is not read
        if number is None or number > 31:
            raise RulesetError(f"{day[:2]} is not a valid day for --monthdays")
        found.add(number)
    return found


def _weekdays(text: str | None) -> set[int]:
    """Return the days of the week, Monday as 1. Raise RulesetError for what is none."""
    found: set[int] = set()
    for day in text.removesuffix(",").split(",") if text is not None else []:
        number = _c_number(day)
        if number == 0:
            raise RulesetError("No, the week does NOT begin with Sunday.")
        if number is None and day[:2] not in _DAYS:  # nothing after two letters is compared
            raise RulesetError(f"{day} is not a valid day specifier")
        found.add(_DAYS.index(day[:2]) + 1 if number is None else number)
    return found


def _c_number(text: str) -> int | None:
    """Return a number as strtoul reads it in any base; nothing is 0."""
    text = text.strip().removeprefix("+")
    found = values.number(text) if text else 0
    return int(text) if found is None and is_number(text) and text[0] != "0" else found


def _u32(extension: Extension, arguments: Arguments) -> None:
    if not re.match(r"\s*[0-9]", _text(extension, "u32") or ""):
        raise RulesetError("u32: not a number or out of range")


def _ct(extension: Extension, arguments: Arguments) -> None:
    if "helper" in extension.given and arguments.only_protocol is None:
        raise RulesetError("CT --helper needs a protocol")


def _tcpoptstrip(extension: Extension, arguments: Arguments) -> None:
    if arguments.only_protocol != 6:
        raise RulesetError("TCPOPTSTRIP needs -p tcp")
    for name in (_text(extension, "strip-options") or "").split(","):
        number = values.number(name)
        if name and name not in _TCP_OPTIONS and (number is None or number > 255):
            raise RulesetError(f'Bad TCP option value "{name}"')


_CHECKS: dict[str, Callable[[Extension, Arguments], None]] = {
    "addrtype": _addrtype,
    "bpf": _bpf,
    "cluster": _cluster,
    "connlimit": _connlimit,
    "frag": _frag,
    "hashlimit": _hashlimit,
    "osf": _osf,
    "policy": _policy,
    "recent": _recent,
    "rt": _rt,
    "sctp": _sctp,
    "statistic": _statistic,
    "string": _string,
    "time": _time,
    "u32": _u32,
    "CT": _ct,
    "TCPOPTSTRIP": _tcpoptstrip,
}


# Of old kernels, of modules that few have, or of objects that something else must have made.
_FEW_HAVE = frozenset(("CLUSTERIP", "LED", "QUEUE", "SECMARK", "ULOG", "ipvs", "nfacct", "rateest"))


def host_decides(extension: Extension) -> bool:
    """Tell whether a host may well refuse an extension that iptables itself knows."""
    label = _text(extension, "label") or ""
    return (
        extension.name in _FEW_HAVE
        or (extension.name == "CT" and "timeout" in extension.given)
        or (extension.name == "cgroup" and "path" in extension.given)
        or (extension.name == "connlabel" and not is_number(label))
    )


def legacy(arguments: Arguments, table: str) -> None:
    """Raise RulesetError for what iptables-legacy alone refuses."""
    for match in arguments.matches:
        if match.name == "limit":
            _legacy_limit(match)
    target = arguments.target
    if target is not None and target.name == "TRACE" and table != "raw":
        raise RulesetError("TRACE is only valid in the raw table")
    if target is not None and target.name == "TCPMSS" and not _asks_for_syn(arguments):
        raise RulesetError("TCPMSS only works on TCP SYN packets")


def _asks_for_syn(arguments: Arguments) -> bool:
    for match in arguments.matches:
        for name in ("syn", "tcp-flags"):
            given = match.first(name) if match.name == "tcp" else None
            if given is not None and not given.negate:
                return name == "syn" or "SYN" in given.second.upper().split(",")
    return False


_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def _legacy_limit(match: Extension) -> None:
    """Refuse a burst of 0 and one that overflows (limit_mt_check in xt_limit.c)."""
    burst = match.first("limit-burst")
    count, slash, unit = (_text(match, "limit") or "3/hour").partition("/")
    seconds = next((s for name, s in _SECONDS.items() if slash and name.startswith(unit)), 1)
    average = 10_000 * seconds // max(1, int(count))
    product = average * (5 if burst is None else cast(int, burst.value)) & values.ALL32
    if product == 0 or product < average:
        raise RulesetError("limit: Overflow, try lower: rate and burst")
