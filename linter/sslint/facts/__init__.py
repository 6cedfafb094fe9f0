"""Facts: what a host's readings say once they are joined. A fact describes and never judges.

The fields of each kind stand in schemas/facts.schema.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sslint.engine.vocabulary import plural
from sslint.facts.fact import Loose

if TYPE_CHECKING:
    from sslint.host import Host


class Facts:
    """All facts of a host, by collection: `services`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        for kind, found in _all(host).items():
            setattr(self, plural(kind), found)

    if TYPE_CHECKING:

        def __getattr__(self, collection: str) -> list[Any]:
            """Return the facts of a collection."""


def _all(host: Host) -> dict[str, list[Loose]]:
    """Return all facts of a host by kind."""
    from sslint.facts import (
        announcements,
        certificates,
        coexistence,
        firewall,
        port_pairs,
        records,
        renewal,
        services,
        translations,
    )
    from sslint.facts import sites as server_blocks

    whereabouts = announcements.Whereabouts(host)
    facts: dict[str, list[Loose]] = {}
    facts["opening"] = firewall.openings(host)
    facts["redirect"] = server_blocks.redirects(host, whereabouts)
    facts["upstream"] = server_blocks.upstreams(host)
    facts["announcement"] = announcements.announcements(host, whereabouts)
    facts["lineage"] = renewal.lineages(host, whereabouts)
    facts["challenge"] = renewal.challenges(host)
    facts["hook"] = renewal.hooks(host)
    facts["record"] = records.records(host, whereabouts)
    facts["policy"] = records.policies(host, whereabouts)
    facts["endpoint"] = services.endpoints(host)
    facts["service"] = services.services(host, facts)
    facts["port_pair"] = port_pairs.port_pairs(host, facts)
    facts["dormant"] = services.dormant(host, facts)
    facts["site"] = server_blocks.sites(host)
    facts["setting"] = server_blocks.settings(host)
    facts["certificate"] = certificates.certificates(host, facts)
    facts["conflict"] = firewall.conflicts(host)
    facts["manager"] = coexistence.managers(host)
    facts["breakage"] = coexistence.breakages(host, facts)
    facts["zone"] = coexistence.zones(host, facts)
    facts["published"] = coexistence.published(host, facts)
    facts["translation"] = translations.translations(host)
    facts["host"] = firewall.hosts(host)
    coexistence.add_profiles(host, facts)
    facts["problem"] = firewall.problems(host)
    if host.target.expect:
        from sslint.facts import expectations

        facts["expectation"] = expectations.expectations(host)
    services.add_targets(host, facts)
    services.add_unserved(facts)
    return facts
