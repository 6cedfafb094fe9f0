"""Metrics for the textfile collector of Prometheus' node_exporter: no timestamps, one `*.prom`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sslint import __version__
from sslint.engine import SEVERITIES
from sslint.judged import COUNTS
from sslint.plain import clean, harmless
from sslint.reports.rows import rows

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.result import Result

Sample = tuple[Mapping[str, str], float]
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def report(result: Result) -> str:
    """Return the metrics."""
    found, names = rows(result), _names(result)
    by_rule = Counter((names[row.key], row.rule.name, row.severity) for row in found)
    by_severity = Counter((names[row.key], row.severity) for row in found)
    hosts = list(names.values())
    judged = result.judged
    lines = _metric("sslint_info", "The version of sslint.", [({"version": __version__}, 1)])
    lines += _metric(
        "sslint_run_success",
        "Whether the last run judged every host.",
        [({}, float(bool(result.hosts) and not result.incomplete))],
    )
    lines += _metric(
        "sslint_last_run_timestamp_seconds", "When the last run was.", [({}, _now(result))]
    )
    lines += _metric(
        "sslint_findings",
        "Findings by rule and severity.",
        (
            ({"host": host, "rule": rule, "severity": severity}, count)
            for (host, rule, severity), count in by_rule.items()
        ),
    )
    lines += _metric(
        "sslint_host_findings",
        "Findings of a host by severity; none is 0.",
        (
            ({"host": host, "severity": severity}, by_severity[host, severity])
            for host in hosts
            for severity in SEVERITIES
        ),
    )
    lines += _metric(
        "sslint_host_judged",
        "Whether a host was judged: 0 says that its findings mean nothing.",
        (({"host": names[one.host]}, float(one.enough)) for one in judged),
    )
    lines += _metric(
        "sslint_tls_listeners",
        "TLS listeners by verdict, each once for every address family it takes.",
        (
            ({"host": names[one.host], "verdict": verdict}, one.counts[verdict])
            for one in judged
            for verdict in COUNTS
        ),
    )
    lines += _metric(
        "sslint_certificate_not_after_seconds",
        "When a served certificate expires, in seconds since the epoch.",
        (one for host in result.hosts for one in _certificates(host, names[host.name])),
    )
    return "".join(f"{line}\n" for line in lines)


def _metric(name: str, text: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"{name}{_labels(labels)} {value:.17g}" for labels, value in samples]
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge", *lines] if lines else []


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    # What `harmless` escapes is escaped again here: Prometheus knows three escapes and no other.
    inside = ",".join(
        f'{key}="{harmless(value).translate(_ESCAPES)}"' for key, value in labels.items()
    )
    return f"{{{inside}}}"


def _now(result: Result) -> float:
    from datetime import UTC, datetime

    given = next((host.target.now for host in result.hosts), None)
    return round((given or datetime.now(UTC)).timestamp())


def _names(result: Result) -> dict[str, str]:
    """Return what each host is called; a series that is there twice spoils the whole file."""
    found: dict[str, str] = {}
    for host in result.hosts:
        name = clean(host.name)
        found[host.name] = name if name not in found.values() else f"{name} ({len(found)})"
    return found


def _certificates(host: Host, name: str) -> Iterable[Sample]:
    from sslint.reports.served import served

    for one in served(host):
        if one.not_after is not None:
            labels = {"host": name, "path": one.path}
            yield labels, round(one.not_after.timestamp())
