"""What sends clients to each port of a host, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sslint.host import Host

Port = tuple[str, int]


def told(host: Host) -> dict[Port, list[str]]:
    """Return, by transport and port, the documents and redirects that send clients there."""
    found: dict[Port, dict[str, None]] = {}
    if host.announced.announcements:
        from sslint.facts.announcements import Whereabouts

        whereabouts = Whereabouts(host)
        for entry in host.announced.announcements:
            if whereabouts.here(entry.host):
                words = f"SRV {entry.label}" if entry.kind == "srv" else entry.kind
                words = words.replace("https-record", "HTTPS record").replace("mx", "MX")
                found.setdefault((entry.transport, entry.port), {})[words] = None
    known: dict[int, list[int]] = {}  # the ports of sockets: many blocks have the same ones
    for reading in host.readings:
        for redirect in reading.redirects:
            site = reading.sites[redirect.site] if redirect.site < len(reading.sites) else None
            own = redirect.own_name or (site is not None and redirect.host in site.names)
            if not own or redirect.port is None or site is None:
                continue
            ports = known.get(id(site.listens))
            if ports is None:
                ports = sorted({listen[2] for listen in site.listens})
                known[id(site.listens)] = ports
            for port in ports:
                if port != redirect.port:
                    found.setdefault(("tcp", redirect.port), {})[f"redirect from :{port}"] = None
    return {port: list(words) for port, words in found.items()}
