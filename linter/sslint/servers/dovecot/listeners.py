"""The sockets Dovecot opens: services, their listeners, ports, addresses and TLS modes.

Sources: src/master/master-settings.c and src/master/service.c.
"""

from __future__ import annotations

from sslint.reasons import Code, Reason
from sslint.regex import is_number, regex
from sslint.servers.dovecot import names
from sslint.servers.dovecot.settings import (
    Block,
    Choices,
    Configuration,
    Event,
    Lookup,
    Value,
    default_protocols,
)
from sslint.servers.dovecot.syntax import unescape
from sslint.servers.model import Dormant
from sslint.source import Location
from sslint.values import dataclass

# An item of a list in quotes or without (settings_parse_boollist_string).
_ITEM = regex(r'(?:"((?:[^"\\]|\\.)*)"|([^" ,]+))(?=[ ,]|$)')
ROOT = Event()
UNDECIDED = "the enabled protocols are set in files that were not given"


@dataclass(frozen=True, slots=True)
class Protocols:
    """The protocols that are enabled; `unknown` says that others may be.

    `shown`: the files show which are, so that another counts only where they name its listener.
    """

    enabled: dict[str, Value | None]
    disabled: dict[str, Value]
    unknown: bool
    shown: bool
    last: Location | None

    def state(self, protocol: str) -> bool | None:
        """Tell whether a protocol is enabled; None where that is not known."""
        if protocol in self.enabled:
            return True
        return None if self.unknown and protocol not in self.disabled else False


@dataclass(frozen=True, slots=True)
class Socket:
    """A listener with one address as it stands (`*`, `::`, a host name)."""

    service: str
    listener: str
    protocol: str
    login: bool
    address: str
    port: int
    ssl: bool | None
    haproxy: bool | None
    reuse_port: bool
    reasons: tuple[str, ...]  # why it may not be opened
    location: Location


@dataclass(slots=True)
class Listening:
    """All listeners. `errors` make the server refuse to start; `gaps` are not known."""

    sockets: list[Socket]
    dormant: list[Dormant]
    errors: list[Reason]
    gaps: list[Reason]


def read_protocols(lookup: Lookup) -> Protocols:
    """Return the protocols, from `protocols = a b` and `protocols { a = yes }`."""
    enabled: dict[str, Value | None] = {}
    disabled: dict[str, Value] = {}
    unknown, shown, last, whole = False, False, None, False
    for choices in lookup.choices("protocols", ROOT):
        last = last or choices.last
        for item, value in choices.items.items():
            if item not in enabled and item not in disabled:
                flag = boolean(value)
                if flag is None:
                    unknown = True
                elif flag:
                    enabled[item] = value
                else:
                    disabled[item] = value
        unknown, shown = unknown or choices.unknown, shown or choices.shown
        if choices.whole is not None:
            words = split(choices.whole, modern=lookup.configuration.modern)
            if words is None:
                unknown = True
            for word in words or ():
                if word != "none" and word not in disabled:
                    enabled.setdefault(word, choices.whole)
            whole = True
            break
    if not whole and not unknown:  # else files that are not known may set it
        for word in default_protocols(lookup.configuration).split():
            if word not in disabled:
                enabled.setdefault(word, None)
    return Protocols(enabled, disabled, unknown, shown, last)


def boolean(value: Value | None) -> bool | None:
    """Return what Dovecot takes a value for; None where it is unknown or refused."""
    text = None if value is None or value.read else value.text
    if text is None:
        return None
    if text.lower() in ("yes", "y") or text == "1":
        return True
    return False if text.lower() == "no" else None


def port_valid(text: str) -> bool:
    """Tell whether a port number is one that Dovecot takes."""
    return is_number(text) and len(text) < 10 and int(text) < 65536


def split(value: Value, *, modern: bool) -> list[str] | None:
    """Split a list at spaces and commas, not at tabs; None where it is unknown or refused."""
    if value.text is None or value.read:
        return None
    if '"' not in value.text or not modern:
        return [word for word in value.text.replace(",", " ").split(" ") if word]
    words, rest = [], value.text
    while rest := rest.lstrip(" ,"):
        if not (found := _ITEM.match(rest)):
            return None
        words.append(unescape(found[1]) if found[1] is not None else found[2])
        rest = rest[found.end() :]
    return words


def read_listeners(lookup: Lookup, protocols: Protocols) -> Listening:
    """Return every listener of every service."""
    listening = Listening([], [], [], [])
    configuration = lookup.configuration
    services = dict(names.SERVICES)
    if not configuration.modern:
        services["submission-login"] = names.SUBMISSION_23
    blocks = _service_blocks(configuration)
    shared = _listener_names(configuration.root)
    for name in [*services, *(n for n in blocks if n not in services)]:
        built_in = services.get(name, names.Service())
        own = [n for block in blocks.get(name, ()) for n in _listener_names(block)]
        known = {listener.name: listener for listener in built_in.listeners}
        listener_names = dict.fromkeys([*known, *own, *shared])
        if listener_names:
            service = _ServiceReader(lookup, protocols, listening, name, built_in)
            for listener in listener_names:
                service.read(listener, known.get(listener))
    return listening


def _service_blocks(configuration: Configuration) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in configuration.blocks:
        if block.kind != "service" or block.parent is None:
            continue
        outer = block.parent
        if outer.parent is None or (outer.kind.startswith("@") and _included(configuration, outer)):
            found.setdefault(block.name, []).append(block)
    return found


def _included(configuration: Configuration, group: Block) -> bool:
    included = configuration.root.groups.get(group.kind)
    return included is not None and included[0] == group.name


def _listener_names(block: Block) -> list[str]:
    return [name for kind, name in block.children if kind == "inet_listener"]


class _ServiceReader:
    """Read the listeners of one service."""

    def __init__(
        self,
        lookup: Lookup,
        protocols: Protocols,
        listening: Listening,
        name: str,
        built_in: names.Service,
    ) -> None:
        self.lookup = lookup
        self.protocols = protocols
        self.listening = listening
        self.name = name
        self.login = built_in.login
        event = Event(service=name)
        protocol = lookup.value("service_protocol", event)
        self.protocol = built_in.protocol if protocol is None else protocol.text
        executable = lookup.value("service_executable", event)
        # Without a program the service is left out in silence (service_want in service.c).
        self.runs = name in names.SERVICES if executable is None else executable.text != ""
        kind = lookup.value("service_type", event)
        if kind is not None:
            self.login = kind.text == "login"
        self.enabled: bool | None = None
        if self.protocol is not None:
            self.enabled = protocols.state(self.protocol) if self.protocol else True
        self.ssl_off = lookup.value("ssl", ROOT)

    def read(self, name: str, built_in: names.Listener | None) -> None:
        """Add the sockets of one listener, or why it has none."""
        event = Event(service=self.name, listener=name)
        port_value = self.lookup.value("inet_listener_port", event)
        ssl_value = self.lookup.value("inet_listener_ssl", event)
        location = self._location(name, port_value, ssl_value)
        port = self._port(port_value, built_in)
        if port is None or not self.runs:
            return
        ssl = self._flag(ssl_value, built_in is not None and built_in.ssl)
        known = port or (built_in.port if built_in else 0)
        if port == 0:
            if built_in is not None and self.enabled is not False:
                self._dormant("port-zero", name, known, location, None)
            return
        explicit = self._explicit(name, port_value, ssl_value)
        if self.enabled is False:
            if self.protocol in names.WELL_KNOWN and (
                explicit is not None or self.protocols.last is not None
            ):
                place = self._protocol_place() or location
                self._dormant("protocol-off", name, known, place, explicit)
            return
        if self.enabled is None and self.protocols.shown and explicit is None:
            return
        off = self.ssl_off
        if ssl is not False and off is not None and off.text == "no":
            if ssl is None:
                self._gap(location, f"whether {name} uses TLS is not known")
            else:
                self._dormant("ssl-off", name, known, off.location, explicit)
            return
        self._sockets(event, name, port, ssl, location)

    def _sockets(
        self,
        event: Event,
        name: str,
        port: int,
        ssl: bool | None,
        location: Location,
    ) -> None:
        addresses = self._addresses(event)
        if addresses is None:
            return
        reasons = [UNDECIDED] if self.enabled is None else []
        if ssl is not False and self.ssl_off is not None and self.ssl_off.text is None:
            reasons.append(f"ssl: {self.ssl_off.reason}")
        haproxy = self._flag(self.lookup.value("inet_listener_haproxy", event), False)
        reuse_port = self._flag(self.lookup.value("inet_listener_reuse_port", event), False)
        for address in addresses:
            self.listening.sockets.append(
                Socket(
                    service=self.name,
                    listener=name,
                    protocol=self.protocol or self.name,
                    login=self.login,
                    address=address,
                    port=port,
                    ssl=ssl,
                    haproxy=haproxy,
                    reuse_port=reuse_port is True,
                    reasons=tuple(reasons),
                    location=location,
                )
            )

    def _addresses(self, event: Event) -> list[str] | None:
        """Return the addresses as they stand: the listener's own, else those of `listen`."""
        own = self.lookup.value("inet_listener_address", event)
        if own is not None and own.text != "":
            return self._split(own)  # 2.4 refuses it; it still says what is meant
        if not self.lookup.configuration.modern:
            event = ROOT
        found: list[str] = []
        removed: set[str] = set()
        for choices in self.lookup.choices("listen", event):
            found += self._chosen(choices, found, removed)
            if choices.whole is not None:
                words = self._split(choices.whole)
                if words is None:
                    return None
                found += [w for w in words if w not in removed and w not in found]
                if not found:
                    self._error(choices.whole.location, "listen can't be set empty")
                return found
        return found + [a for a in ("*", "::") if a not in removed and a not in found]

    @staticmethod
    def _chosen(choices: Choices, found: list[str], removed: set[str]) -> list[str]:
        added = []
        for item, value in choices.items.items():
            if boolean(value) is False:
                removed.add(item)
            elif item not in removed and item not in found:
                added.append(item)
        return added

    def _split(self, value: Value) -> list[str] | None:
        words = split(value, modern=self.lookup.configuration.modern)
        if words is None:
            self._gap(value.location, value.reason or "the addresses are not known", value.code)
        return words

    def _port(self, value: Value | None, built_in: names.Listener | None) -> int | None:
        """Return the port, 0 for none, None where it is unknown or refused."""
        if value is None:
            return 0 if built_in is None else built_in.port
        text = value.text
        if text is None or value.read:
            self._gap(value.location, value.reason or "the port is a file's contents", value.code)
            return None
        return int(text) if port_valid(text) else None  # another is refused as it is read

    def _flag(self, value: Value | None, default: bool) -> bool | None:
        if value is None:
            return default
        return boolean(value)

    # -- places -----------------------------------------------------------------------------

    def _blocks(self, name: str) -> list[Block]:
        event = Event(service=self.name, listener=name)
        return [b for b in self.lookup.blocks(event) if b.kind == "inet_listener"]

    def _location(self, name: str, *values: Value | None) -> Location:
        """Return where the listener comes from: its port, its block, its protocol."""
        for value in values:
            if value is not None:
                return value.location
        for block in self._blocks(name):
            if block.location is not None:
                return block.location
        return self._protocol_place() or self.lookup.configuration.first

    def _protocol_place(self) -> Location | None:
        off = self.protocols.disabled.get(self.protocol or "")
        value = self.protocols.enabled.get(self.protocol or "", off)
        place = value.location if value is not None else self.protocols.last
        packaged = self.lookup.configuration.packaged
        if packaged is not None and (place is None or "/protocols.d/" in place.file.path):
            return packaged
        return place

    def _explicit(self, name: str, *values: Value | None) -> Location | None:
        """Return where the files ask for this listener: a port or ssl in its own block."""
        own = {id(v) for b in self._blocks(name) for v in b.values.values()}
        for value in values:
            if value is not None and id(value) in own:
                return value.location
        return None

    def _dormant(
        self, reason: str, name: str, port: int, location: Location, explicit: Location | None
    ) -> None:
        secure = name in ("imaps", "pop3s", "submissions")
        protocol = (self.protocol or self.name) + ("s" if secure else "")
        self.listening.dormant.append(
            Dormant(
                "dovecot",
                name,
                protocol,
                "tcp",
                port,
                reason,  # type: ignore[arg-type]
                location,
                explicit is not None,
                explicit,
            )
        )

    def _gap(self, location: Location, text: str, code: Code = Code.UNKNOWN) -> None:
        self.listening.gaps.append(Reason(code, location, text))

    def _error(self, location: Location, text: str) -> None:
        self.listening.errors.append(Reason(Code.REFUSED, location, text))
