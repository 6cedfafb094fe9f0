"""Facts about the web roots by which names are proved to the certificate authority."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.renewal import ACME_PORT, own_certificate
from sslint.host import listeners, web_server

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.renewal import Lineage
    from sslint.servers.interface import Answer, Web

CHALLENGE = "/.well-known/acme-challenge/token"


def challenges(facts: Facts) -> list[Challenge]:
    """Return a fact for each web root of a lineage and each way in which it is answered for.

    Whether the directory exists does not matter: certbot makes it, with those above it
    (certbot/_internal/plugins/webroot.py, _create_challenge_dirs).
    """
    host = facts.host
    reading = web_server(host, ACME_PORT)
    if reading is None or reading.web is None:
        return []
    groups: dict[tuple[object, ...], tuple[Lineage, Answer, list[str]]] = {}
    for lineage in host.renewal.lineages:
        if lineage.authenticator != "webroot":
            continue
        leaf = None if lineage.webroots else own_certificate(host, lineage).leaf
        for name in lineage.webroots or (leaf.names if leaf is not None else ()):
            webroot = lineage.webroot(name)
            if webroot is None:
                continue
            answer = _answer(reading.web, name)
            key = (lineage.name, webroot, answer.kind, _served_from(answer))
            groups.setdefault(key, (lineage, answer, []))[2].append(name)
    return [Challenge(facts, reading.server, *group) for group in groups.values()]


def _answer(web: Web, name: str) -> Answer:
    """Return how a challenge is answered, redirects followed as the authority does."""
    answer = web.answer(ACME_PORT, name.removeprefix("*."), CHALLENGE)
    if answer.kind == "redirect" and (answer.url or "").startswith("https://"):
        # The authority follows redirects to 443 (and nowhere but 80 and 443).
        answer = web.answer(443, name.removeprefix("*."), CHALLENGE)
    return answer


def _served_from(answer: Answer) -> str | None:
    return answer.path.removesuffix(CHALLENGE) if answer.path else None


class Challenge(Fact):
    """A web root by which names of a lineage are proved to the authority."""

    source: Lineage

    def __init__(
        self, facts: Facts, server: str, source: Lineage, answer: Answer, names: Sequence[str]
    ) -> None:
        place = source.location(names[0])
        if place.line == 1:
            place = source.location("authenticator")
        super().__init__(
            facts,
            source,
            f"challenge {names[0]}",
            Span(place, "certbot writes challenges here"),
            frozenset({("lineage", source.name)}),
        )
        self._server = server
        self._answer = answer
        self._names = names

    @field
    def server(self) -> str:
        """The web server that answers on port 80."""
        return self._server

    @field
    def name(self) -> str:
        """The first of the names."""
        return self._names[0]

    @field
    def names(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self._names)

    lineage: str = of("source.name")
    "The lineage."

    @field
    def webroot(self) -> str:
        """Where certbot writes."""
        return self.source.webroot(self.name) or ""

    @field
    def answer(self) -> str | None:
        """How the web server answers the challenge: file, proxy, return, redirect, deny, auth,
        none."""
        return None if self._answer.kind == "unknown" else self._answer.kind

    @field
    def answered_at(self) -> Places:
        """What answers it."""
        place = self._answer.location
        return (Span(place, "answers the challenge"),) if place is not None else ()

    @field
    def served_from(self) -> str | None:
        """The directory that it is served from."""
        return _served_from(self._answer)

    @field
    def same_root(self) -> bool | None:
        """Both directories are one."""
        if self.served_from is None:
            return None
        return self._real(self.served_from) == self._real(self.webroot)

    def _real(self, path: str) -> str:
        target = self._host.tree.link_target(path)
        return posixpath.normpath(target if target is not None else path)

    @field
    def other_owner(self) -> bool:
        """Another program owns port 80."""
        others = listeners(self._host, "tcp", ACME_PORT)
        return any(endpoint.server != self._server for endpoint in others)
