"""The verdicts on single packets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sslint.ask import firewall
from sslint.errors import UsageError
from sslint.netfilter.trace import Packet, PacketVerdict
from sslint.plain import clean
from sslint.reports.data import decision_data
from sslint.reports.terminal import places

if TYPE_CHECKING:
    from sslint.host import Host

MAX_LINE = 1 << 16  # characters of a line of --packets


def packets(host: Host, lines: Iterable[str], *, as_json: bool) -> Iterator[str]:
    """Yield one verdict for each line of JSON. Raise UsageError if one is not a packet."""
    asked, shown = firewall(host), places(host.tree)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE:
                raise ValueError("the line is too long")
            data = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError("not an object")
            verdict = asked.judge(
                Packet(
                    data["proto"],
                    data["src"],
                    data["dst"],
                    _number(data.get("sport")),
                    _number(data.get("dport")),
                    data.get("iif"),
                )
            )
        except KeyError as error:
            raise UsageError(f"--packets, line {number}: {error} is missing") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"--packets, line {number}: {error}") from None
        found = verdict_data(data.get("id"), verdict)
        if as_json:
            yield json.dumps(found)
        else:
            by = ""
            if verdict.by is not None and verdict.by.location is not None:
                place = verdict.by.location
                by = f"  {clean(shown(place.path))}:{place.line}"
            reason = f"  {found['reason']}" if found["reason"] else ""
            name = number if found["id"] is None else found["id"]
            yield f"{name}: {found['verdict']}{by}{reason}"


def _number(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise ValueError(f"{value!r} is not a port")
    return value


def verdict_data(identity: object, verdict: PacketVerdict) -> dict[str, Any]:
    """Return the verdict on a packet."""
    return {
        "id": identity,
        "verdict": verdict.verdict,
        "by": decision_data(verdict.by),
        "reason": None if verdict.reason is None else clean(verdict.reason),
    }
