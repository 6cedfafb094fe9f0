"""Join Dovecot's settings, listeners and certificates into endpoints."""

from __future__ import annotations

from sslint.reasons import Code, Reason
from sslint.servers.dovecot import certificates, names, refusals
from sslint.servers.dovecot.addresses import Resolver
from sslint.servers.dovecot.listeners import (
    UNDECIDED,
    Socket,
    boolean,
    read_listeners,
    read_protocols,
)
from sslint.servers.dovecot.loader import load
from sslint.servers.dovecot.settings import Configuration, Event, Lookup, Value
from sslint.servers.dovecot.upgrade import instead
from sslint.servers.model import CertificateRef, Endpoint, ServerReading, Setting, Tls
from sslint.source import Location
from sslint.tree import Status, Tree

ENTRIES = ("/etc/dovecot/dovecot.conf", "/usr/local/etc/dovecot/dovecot.conf")

# What was not given and what a template fills in is known to be missing: nothing failed.
_FAILED = frozenset(Code) - {Code.NOT_GIVEN, Code.PACKAGES, Code.TEMPLATE, Code.UNKNOWN}

# Statements that rules ask for as they stand.
_ASKED = frozenset(
    """
    ssl ssl_min_protocol ssl_protocols auth_allow_cleartext disable_plaintext_auth ssl_ca
    ssl_server_ca_file ssl_verify_client_cert ssl_server_request_client_cert
    auth_ssl_require_client_cert login_trusted_networks haproxy_trusted_networks protocols
    listen dovecot_config_version
    """.split()
)

PASSWORDS = frozenset({"imap", "pop3", "sieve", "submission"})  # protocols with logins


def read(
    tree: Tree, entry: str = ENTRIES[0], *, version: tuple[int, ...] | None = None
) -> ServerReading | None:
    """Return what Dovecot would do with the files of a tree; None if it has no configuration.

    `version` is the installed Dovecot's, if it is known.
    """
    paths = ENTRIES if entry == ENTRIES[0] else (entry,)
    path = next((p for p in paths if tree.status(p) not in (Status.ABSENT,)), None)
    if path is None:
        return None
    file = tree.try_read(path)
    if file is None:
        gap = Reason(Code.UNREADABLE, None, f"{tree.name(path)} cannot be read")
        return ServerReading("dovecot", gaps=[gap], version=version)
    return _Reader(tree, load(tree, file), version).read()


class _Reader:
    def __init__(
        self, tree: Tree, configuration: Configuration, version: tuple[int, ...] | None
    ) -> None:
        self.tree = tree
        self.configuration = configuration
        self.version = version
        self.lookup = Lookup(configuration)
        self.reading = ServerReading("dovecot", version=version, keys_apart=True)
        self.resolver = Resolver(tree)
        self.served: dict[Event, tuple[CertificateRef, ...]] = {}

    def read(self) -> ServerReading:
        configuration, reading = self.configuration, self.reading
        reading.files = configuration.files
        protocols = read_protocols(self.lookup)
        listening = read_listeners(self.lookup, protocols)
        self._settings()
        for gap in (*configuration.gaps, *listening.gaps):
            self._incomplete(gap)
        for error in configuration.errors:
            self.tree.problem(error.location or "/etc/dovecot", error.text, code=error.code)
        reading.refusals = [*configuration.errors, *listening.errors]
        if configuration.assumed and self._rests_on_packages():
            reading.assumptions.append(configuration.assumed)
        if protocols.unknown:
            place = configuration.packaged or protocols.last
            self._incomplete(Reason(Code.PACKAGES, place, UNDECIDED))
        for socket in listening.sockets:
            self._endpoint(socket)
        reading.dormant = listening.dormant
        reading.conflicts = refusals.conflicts(reading.endpoints, listening)
        reading.refusals += refusals.find(
            self.tree, self.lookup, protocols, reading.conflicts, self.version
        )
        return reading

    def _rests_on_packages(self) -> bool:
        """Tell whether no later statement replaces what the packages enable."""
        choices = self.configuration.root.choices.get("protocols")
        whole = choices.whole if choices is not None else None
        return (
            whole is None
            or whole.location == self.configuration.packaged
            or "$protocols" in whole.location.text
        )

    # -- endpoints --------------------------------------------------------------------------

    def _endpoint(self, socket: Socket) -> None:
        addresses = self.resolver.resolve(socket.address)
        if addresses is None:
            said = f"the address {socket.address} cannot be resolved from the files"
            self._incomplete(Reason(Code.UNKNOWN, socket.location, said))
            return
        for address in addresses:
            self.reading.endpoints.append(self._at(socket, address))

    def _at(self, socket: Socket, address: str) -> Endpoint:
        event = self._event(socket, address)
        tls = self._tls(socket, event)
        refs = self._certificates(socket, event) if tls != "none" else ()
        protocol = self._protocol(socket, tls)
        return Endpoint(
            server="dovecot",
            protocol=protocol,
            transport="tcp",
            address=address,
            port=socket.port,
            tls=tls,
            location=socket.location,
            tls_required=self._tls_required(socket, tls, event),
            names=tuple(dict.fromkeys(name for ref in refs for name in ref.names)),
            certificates=refs,
            service=socket.listener,
            proxy_protocol=socket.haproxy is True,
            certain=not socket.reasons,
            reasons=socket.reasons,
            settings=self._effective(event),
            explicit=_is_explicit(socket.location, protocol),
            named_tls=socket.listener.startswith(("imaps", "pop3s")),
            takes_passwords=protocol in PASSWORDS,
        )

    @staticmethod
    def _event(socket: Socket, address: str) -> Event:
        """Return what the service's own settings are looked up with.

        Only the logins know their service. LMTP does not look at the address it was reached
        at, doveadm not at the name (seen with 2.4.1).
        """
        wildcard = address in ("0.0.0.0", "::")  # noqa: S104
        local = None if wildcard or socket.protocol == "lmtp" else address
        service = socket.service if socket.login else None
        return Event(service, None, socket.protocol, None, local, ("ssl_server",))

    def _certificates(self, socket: Socket, event: Event) -> tuple[CertificateRef, ...]:
        ssl = self.lookup.value("ssl", event)
        if socket.login and ssl is not None and ssl.text == "no":
            # `protocol imap { ssl = no }` leaves 993 open, and every handshake fails.
            return ()
        refs = self.served.get(event)
        if refs is None:
            refs = self.served[event] = certificates.references(
                self.lookup,
                event,
                by_name=socket.login or socket.protocol == "lmtp",
                by_address=socket.protocol != "lmtp",
            )
        return refs

    @staticmethod
    def _protocol(socket: Socket, tls: Tls) -> str:
        """Return imap, imaps ...; a service that is not a mail protocol keeps its own name."""
        if socket.login and tls == "implicit" and socket.protocol in ("imap", "pop3", "submission"):
            return f"{socket.protocol}s"
        return socket.protocol

    def _tls(self, socket: Socket, event: Event) -> Tls:
        if socket.ssl is None:
            return "unknown"
        if socket.ssl:
            ssl = self.lookup.value("ssl", event)
            if socket.login and ssl is not None and self._contradicts(event, ssl):
                return "unknown"
            secured = socket.login or socket.service in names.TLS_SERVICES
            return "implicit" if secured or socket.listener == "http" else "unknown"
        if socket.protocol == "lmtp":
            # LMTP announces STARTTLS only with a certificate, logins even without one.
            return self._lmtp(event)
        if not socket.login:
            return "none"
        value = self.lookup.value("ssl", event)
        if value is not None and (value.text is None or self._contradicts(event, value)):
            return "unknown"
        return "none" if value is not None and value.text == "no" else "starttls"

    def _contradicts(self, event: Event, ssl: Value) -> bool:
        """Tell whether the login process refuses its settings and dies on each connection."""
        return ssl.text == "required" and bool(
            boolean(self.lookup.value("auth_allow_cleartext", event))
        )

    def _lmtp(self, event: Event) -> Tls:
        ssl = self.lookup.value("ssl", event)
        name = "ssl_server_cert_file" if self.configuration.modern else "ssl_cert"
        certificate = self.lookup.value(name, event)
        if (ssl is not None and ssl.text == "no") or certificate is None or certificate.text == "":
            return "none"
        return "unknown" if ssl is not None and ssl.text is None else "starttls"

    def _tls_required(self, socket: Socket, tls: Tls, event: Event) -> bool | None:
        """Tell whether the password must wait for TLS; None where there is none to send."""
        if tls == "implicit":
            return True
        if not socket.login:
            return None
        ssl = self.lookup.value("ssl", event)
        if ssl is not None and ssl.text == "required":
            return True
        if socket.haproxy is not False:
            return None  # the proxy says whether the client came over TLS
        if self.configuration.modern:
            allowed = self.lookup.value("auth_allow_cleartext", event)
            flag = boolean(allowed)
            return True if allowed is None else None if flag is None else not flag
        disabled = self.lookup.value("disable_plaintext_auth", event)
        return True if disabled is None else boolean(disabled)

    def _effective(self, event: Event) -> tuple[tuple[str, str | None], ...]:
        cleartext = (
            "auth_allow_cleartext" if self.configuration.modern else "disable_plaintext_auth"
        )
        found = []
        for name in ("ssl", "ssl_min_protocol", cleartext):
            value = self.lookup.value(name, event)
            found.append((name, names.DEFAULTS[name] if value is None else value.text))
        return tuple(found)

    # -- statements -------------------------------------------------------------------------

    def _settings(self) -> None:
        modern = self.configuration.modern or (self.version is not None and self.version >= (2, 4))
        for named in self.configuration.statements:
            value = named.value
            if named.name in _ASKED or named.name.startswith("inet_listener_"):
                self._setting(named.name, value, named.scope)
            if modern and value.read and named.name in names.FILES:
                self._setting(named.name, value, "file-prefix")
            now = instead(named) if modern else None
            if now is not None:
                self.reading.settings.append(
                    Setting("dovecot", named.name, value.text, value.location, "legacy", (now,))
                )

    def _setting(self, name: str, value: Value, scope: str) -> None:
        self.reading.settings.append(Setting("dovecot", name, value.text, value.location, scope))

    def _incomplete(self, gap: Reason) -> None:
        if gap in self.reading.gaps:
            return
        self.reading.gaps.append(gap)
        if gap.location is not None:
            failed = gap.code in _FAILED
            self.tree.problem(gap.location, gap.text, decisive=failed, code=gap.code)


def _is_explicit(location: Location, protocol: str) -> bool:
    """Tell whether the configuration itself names a port.

    Listeners have ports by default, and Debian's files name them with empty blocks; ManageSieve is
    there only if it is configured.
    """
    name = location.text.split("=")[0]
    return "port" in name or (protocol == "sieve" and name.strip() == "protocols")
