"""Whether a server speaks TLS, and with which certificates.

Sources: ssl_init_Module, ssl_init_server_certs (ssl_engine_init.c) and the merges of
ssl_engine_config.c.
"""

from __future__ import annotations

from typing import Literal

from sslint.servers.apache.environment import UNKNOWN
from sslint.servers.apache.hosts import Host
from sslint.servers.apache.listen import Listeners, Record
from sslint.servers.apache.loader import Loader
from sslint.servers.apache.syntax import Directive
from sslint.servers.apache.vhosts import Chain
from sslint.servers.model import CertificateRef
from sslint.values import dataclass, field, replace

State = Literal["on", "off", "unknown"]
MERGED = 3  # pairs that are inherited one by one, CERTKEYS_IDX_MAX + 1
_MD = "mod_md obtains it"


@dataclass(frozen=True, slots=True)
class Engine:
    """Whether a server has TLS, and why that is not known."""

    state: State
    reason: str = ""


@dataclass(slots=True)
class Servers:
    """What all servers of a configuration say of TLS."""

    loader: Loader
    listeners: Listeners
    main: Host
    managed: frozenset[str] = frozenset()  # names that mod_md has certificates for
    _engines: dict[int, Engine] = field(default_factory=dict)
    _certificates: dict[int, tuple[CertificateRef, ...]] = field(default_factory=dict)

    def engine(self, host: Host) -> Engine:
        """Tell whether a server has TLS."""
        found = self._engines.get(host.number)
        if found is None:
            found = self._engines[host.number] = self._engine(host)
        return found

    def _engine(self, host: Host) -> Engine:
        loaded = self.loader.modules.has("ssl_module")
        directive = host.last("sslengine")
        if loaded is False:
            return self._without(host)
        if directive is not None:
            value = directive.value.lower()
            if directive.doubt or UNKNOWN in value:
                return Engine("unknown", directive.doubt or "SSLEngine is not known")
            # `optional` is plain, and has no certificate that is loaded (RFC 2817).
            return Engine("on" if value == "on" else "off")
        if host.lost is not None:
            return Engine("unknown", host.lost.doubt)
        return self._by_protocol(host)

    def _without(self, host: Host) -> Engine:
        """Answer for a server without mod_ssl: another module may have TLS."""
        modules = self.loader.modules
        for switch, module in (("gnutlsenable", "gnutls_module"), ("nssengine", "nss_module")):
            if modules.has(module) and host.on(switch):
                return Engine("on")
        if modules.has("tls_module") and self.main.own.get("tlsengine"):
            return Engine("unknown", "mod_tls is not read")
        return Engine("off")

    def _by_protocol(self, host: Host) -> Engine:
        """Answer without SSLEngine: on where the Listen is for https and it has a certificate."""
        own = _names_in(host.directive.block or []) if host.directive is not None else set()
        if not self._pairs(host) or not any(self.loader.modules.is_core(name) for name in own):
            return Engine("off")
        record = self._record(host)
        if record is None or record.listen.protocol != "https":
            doubtful = any(r.listen.protocol == "https" for r in self.listeners.doubtful)
            return Engine("unknown", "a Listen may not be read") if doubtful else Engine("off")
        return Engine("on")

    def _record(self, host: Host) -> Record | None:
        """Return the first socket whose address is one of the host's."""
        for address in host.addresses:
            for record in self.listeners.records:
                if (record.address, record.port) == (address.address, address.port):
                    return record
        return None

    # -- certificates --------------------------------------------------------------------------

    def certificates(self, host: Host) -> tuple[CertificateRef, ...]:
        """Return what a server sends, one for each kind of key."""
        found = self._certificates.get(host.number)
        if found is None:
            found = self._certificates[host.number] = self._references(host)
        return found

    def _references(self, host: Host) -> tuple[CertificateRef, ...]:
        pairs = self._pairs(host)
        if not pairs:
            where = host.where
            if self.managed.intersection(host.names):
                return (CertificateRef(None, None, where, reason=_MD),)
            if host.lost is not None:
                return (CertificateRef(None, None, where, reason=host.lost.doubt),)
            return ()
        chain, issuers = self._extra(host)
        return tuple(self._reference(pair, chain, issuers) for pair in pairs)

    def _pairs(self, host: Host) -> list[tuple[Directive, Directive | None]]:
        files = _merged(host, "sslcertificatefile")
        keys = _merged(host, "sslcertificatekeyfile")
        return [(f, keys[n] if n < len(keys) else None) for n, f in enumerate(files)]

    def _extra(self, host: Host) -> tuple[tuple[str, ...], tuple[str, ...]]:
        chain = self._path(host.last("sslcertificatechainfile"))
        issuer = self._path(host.last("sslcacertificatefile"))
        return (chain,) if chain else (), (issuer,) if issuer else ()

    def _path(self, directive: Directive | None) -> str | None:
        if directive is None or not directive.value or UNKNOWN in directive.value:
            return None
        return self.loader.path(directive.value)

    def _reference(
        self,
        pair: tuple[Directive, Directive | None],
        chain: tuple[str, ...],
        issuers: tuple[str, ...],
    ) -> CertificateRef:
        file, key = pair
        where = file.location
        if file.value.lower().startswith("pkcs11:") or UNKNOWN in file.value:
            said = "it is in a token" if UNKNOWN not in file.value else "its name is not known"
            return CertificateRef(None, None, where, reason=said)
        path = self.loader.path(file.value)
        key_path = self._path(key) if key is not None else path
        return CertificateRef(
            path,
            key_path,
            where,
            key.location if key is not None else None,
            chain_files=tuple(one for one in chain if one != path),
            issuer_files=issuers,
        )

    def for_name(
        self, chain: Chain | None, name: str | None, main_name: str | None
    ) -> tuple[CertificateRef, ...] | None:
        """Return what a client gets for an SNI name; None where that is not known."""
        base = chain.hosts[0] if chain is not None else self.main
        host = chain.find(name, main_name) if chain is not None and name else None
        if chain is not None and chain.doubtful:
            return None
        if host is not None and self.engine(host).state == "unknown":
            return None
        if host is None or self.engine(host).state == "off":
            host = base
        return self.certificates(host)

    def served(self, chain: Chain | None, main_name: str | None) -> tuple[CertificateRef, ...]:
        """Return the default certificate of a chain, then those of its other hosts by name."""
        if chain is None:
            return self.certificates(self.main)
        base = chain.hosts[0]
        found = list(self.certificates(base))
        if len(chain.hosts) == 1:
            return tuple(found)
        claimed = chain.claimed(main_name)
        for host in chain.hosts[1:]:
            names = claimed[host.number]
            if names and self.engine(host).state != "off":
                found += [replace(reference, names=names) for reference in self.certificates(host)]
        return tuple(found)


def _merged(host: Host, name: str) -> list[Directive]:
    """Return a list of files with the main server's where it has none of its own."""
    own = host.own.get(name, [])
    base = host.main.own.get(name, []) if host.main is not None else []
    if not base:
        return own
    found = [
        own[n] if n < len(own) else base[n] for n in range(MERGED) if n < max(len(own), len(base))
    ]
    return found + own[MERGED:]


def _names_in(block: list[Directive]) -> set[str]:
    """Return the names of all statements of a block and of the sections in it."""
    found: set[str] = set()
    pending = list(block)
    while pending:
        directive = pending.pop()
        found.add(directive.name)
        pending += directive.block or ()
    return found
