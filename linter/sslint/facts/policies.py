"""Facts about MTA-STS policies: RFC 8461."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from sslint.certificates import covers, load
from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.records import is_told, served, target

if TYPE_CHECKING:
    from sslint.announcements.model import Announced, StsPolicy
    from sslint.facts.collection import Facts

_Problem = Literal["not-listed", "no-starttls", "wrong-name", "untrusted"]


def policies(facts: Facts) -> list[Policy]:
    """Return a fact for each MTA-STS policy."""
    return [Policy(facts, policy) for policy in facts.host.announced.policies]


class Policy(Fact):
    """An MTA-STS policy."""

    source: StsPolicy

    mode: str
    "enforce, testing or none."

    def __init__(self, facts: Facts, source: StsPolicy) -> None:
        self._domain = source.domain or _only_domain(facts.host.announced)
        entity = f"MTA-STS policy {self._domain}".rstrip()
        super().__init__(facts, source, entity, Span(source.location, "mail exchangers"))

    domain: str = of("_domain")
    'Whose it is, or "".'

    @field
    def problem(self) -> _Problem | None:
        """What is wrong with it: a mail exchanger is not in its mx lines, or does not offer
        STARTTLS, or has a certificate without its name or that is not trusted."""
        return self._found[0] if self._found is not None else None

    @field
    def exchanger(self) -> str | None:
        """That mail exchanger."""
        return self._found[1] if self._found is not None else None

    @field
    def mode_at(self) -> Places:
        """Where the mode is set."""
        return (Span(self.source.mode_location, "the mode"),)

    @field
    def _found(self) -> tuple[_Problem, str] | None:
        announced = self._host.announced
        if not is_told(announced, self.domain):
            return None  # nobody asks for the policy
        records = announced.find(self.domain, "MX") if self.domain else []
        exchangers = [target(record) for record in records]
        for name in exchangers:
            if not _fits(self.source.mx, name):
                return "not-listed", name
        for name in exchangers or self.source.mx:
            problem = self._untrusted(name)
            if problem is not None:
                return problem, name
        return None

    def _untrusted(self, name: str) -> _Problem | None:
        """Return what keeps a sender from trusting a mail exchanger of this host."""
        if name.startswith("*.") or not self.facts.whereabouts.here(name):
            return None
        for socket in self._host.sockets:
            endpoint = socket.endpoint
            if (endpoint.transport, endpoint.port) != ("tcp", 25) or socket.scope == "loopback":
                continue
            if endpoint.tls == "none":
                return "no-starttls"
            tree = self._host.tree
            found = [c for ref in served(socket, name) if (c := load(tree, ref)).leaf]
            if found and not any(covers(c.names, name) for c in found):
                return "wrong-name"
            if found and all(c.chain_status in ("leaf-only", "self-signed") for c in found):
                return "untrusted"
        return None


def _only_domain(announced: Announced) -> str:
    domains = {record.name for record in announced.records if record.type == "MX"}
    return domains.pop() if len(domains) == 1 else ""


def _fits(patterns: Iterable[str], name: str) -> bool:
    """Match as RFC 8461, section 4.1 does: `*.` stands for one label."""
    return any(
        pattern == name or (pattern.startswith("*.") and pattern[2:] == name.partition(".")[2])
        for pattern in patterns
    )
