"""Who reaches a socket, as facts and in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sslint.engine import Span

if TYPE_CHECKING:
    from sslint.netfilter.reach import Reach


def family_values(reach: Reach | None) -> dict[str, Any] | None:
    """Return the facts of one family, None where the socket cannot take it."""
    if reach is None:
        return None
    known = reach.verdict != "unknown"
    return {
        "public": reach.verdict if known else None,
        "share": reach.public_share if known else None,
        "open_to": list(reach.open),
        "rejected": reach.rejected,
        "rate_limited": reach.rate_limited,
        "may_be_banned": reach.may_be_banned,
        "via": list(reach.via),
        "stage": reach.stage or None,
    }


def values(ipv4: Reach | None, ipv6: Reach | None) -> dict[str, Any]:
    """Return the facts over both families."""
    both = [("IPv4", ipv4), ("IPv6", ipv6)]
    present = [(name, reach) for name, reach in both if reach is not None]
    closed = [(name, reach) for name, reach in present if reach.verdict == "closed"]
    return {
        "public": combined([reach.verdict for _, reach in present]),
        "outcome": "rejected" if closed and all(r.rejected for _, r in closed) else "times-out",
        "closed_over": over([name for name, _ in closed], [name for name, _ in present]),
        "open_to": sorted({net for _, reach in present for net in reach.open}),
        "partly": any(reach.verdict == "limited" for _, reach in present),
        "rate_limited": any(reach.rate_limited for _, reach in present),
        "ipv4": family_values(ipv4),
        "ipv6": family_values(ipv6),
    }


def combined(verdicts: Sequence[str]) -> str | None:
    """Join the verdicts of a socket's families into one, None where it is not known."""
    if not verdicts:
        return None
    if len(set(verdicts)) == 1:
        return None if verdicts[0] == "unknown" else verdicts[0]
    if "unknown" in verdicts and not {"open", "limited"} & set(verdicts):
        return None
    if "unknown" in verdicts:
        return None if "limited" not in verdicts else "limited"
    return "limited"


def over(closed: Sequence[str], all_families: Sequence[str]) -> str:
    """Say over which families a port is closed: nothing if over all that it has."""
    if len(closed) == len(all_families) or not closed:
        return ""
    return f" over {' and '.join(closed)}"


def best(reaches: Iterable[Reach]) -> Reach | None:
    """Return the reach of several sockets of one family and port: the widest one."""
    rank = {"open": 0, "limited": 1, "unknown": 2, "closed": 3}
    return min(reaches, key=lambda reach: rank[reach.verdict], default=None)


def blocking_spans(reaches: Iterable[Reach | None], what: str) -> tuple[Span, ...]:
    """Return the lines that keep a port closed, each once, with what they do."""
    spans: dict[tuple[str, int], Span] = {}
    for reach in reaches:
        if reach is None or reach.verdict not in ("closed", "limited"):
            continue
        for decision in reach.decided_by:
            if decision.location is None:
                continue
            if decision.effect == "policy-drop":
                message = f"no rule before the policy accepts {what}"
            elif decision.effect in ("drop", "reject"):
                message = f"{decision.effect}s {what}"
            else:
                continue
            key = (decision.location.path, decision.location.line)
            spans.setdefault(key, Span(decision.location, message))
        for decision in reach.translated_by if not reach.reached_as else ():
            if decision.location is not None:
                key = (decision.location.path, decision.location.line)
                spans.setdefault(
                    key, Span(decision.location, f"translates {what} to another destination")
                )
    return tuple(spans.values())


def deciding_spans(reaches: Iterable[Reach | None]) -> tuple[Span, ...]:
    """Return every line that decides, whatever it decides."""
    spans: dict[tuple[str, int], Span] = {}
    for reach in reaches:
        for decision in reach.decided_by if reach is not None else ():
            if decision.location is not None:
                key = (decision.location.path, decision.location.line)
                spans.setdefault(key, Span(decision.location, decision.effect.replace("-", " ")))
    return tuple(spans.values())
