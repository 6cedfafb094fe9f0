"""lighttpd: server.port and server.bind, and the sockets of conditions (network.c)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from sslint.network.hosts import Hosts, scoped
from sslint.reasons import Code, Reason
from sslint.regex import is_number
from sslint.servers.filled import has_mark
from sslint.servers.lighttpd.syntax import (
    MAX_DEPTH,
    Block,
    Including,
    RefusedError,
    Value,
    all_of,
    parse,
)
from sslint.servers.listening import Listener, collect, conflicts, files, not_known
from sslint.servers.model import Knows, ServerReading, Tls
from sslint.source import Location
from sslint.tree import Tree
from sslint.values import replace

NAME = "lighttpd"
MAIN = "/etc/lighttpd/lighttpd.conf"
ENABLED = "/etc/lighttpd/conf-enabled"
ANY = {"4": "0.0.0.0", "6": "::"}  # noqa: S104
_IPV6 = "/use-ipv6.pl"  # Debian's: a socket for IPv6 beside that of server.port
_SWITCHES = {"enable": True, "enabled": True, "true": True, "1": True} | dict.fromkeys(
    ("disable", "disabled", "false", "0"), False
)
_INCLUDED = "what it includes"


def read(tree: Tree, no_ipv6: Location | None = None) -> ServerReading | None:
    """Read lighttpd; None if the tree has no socket of it.

    `no_ipv6`: what leaves the kernel without sockets of IPv6: lighttpd does without them.
    """
    knows = Knows(tls=False, certificates=False, sites=False)
    refusals: list[Reason] = []
    listeners = _listeners(tree, refusals, ipv6=no_ipv6 is None)
    reading = collect(tree, NAME, listeners, mains=(MAIN,), knows=knows)
    if reading is not None:
        bound = [e for e in reading.endpoints if no_ipv6 is None or ":" not in e.address]
        reading.conflicts = list(conflicts(bound))
        reading.refusals += [*refusals, *(conflict.reason for conflict in reading.conflicts)]
    return reading


def _listeners(tree: Tree, refusals: list[Reason], *, ipv6: bool) -> Iterator[Listener]:
    main = tree.try_read(MAIN, decisive=False)
    if main is None:
        return
    config = _Config(tree, Block(main.at(1)))
    try:
        config.read(MAIN)
    except RefusedError as error:
        if has_mark(error.where):
            yield not_known(NAME, error.where, "what a template fills in")
        else:
            refusals.append(Reason(Code.REFUSED, error.where, error.text))
    if config.missing:
        yield not_known(NAME, main.at(1), _INCLUDED)
    seen: set[tuple[str, int]] = set()
    for listener in config.listeners():
        key = (listener.host, listener.port)
        if key not in seen:  # the first that names an address decides about it
            if listener.certain:
                seen.add(key)
            yield listener if ipv6 else replace(listener, ipv6only=True)


class _Config(Including):
    """The configuration as far as it is read."""

    def __init__(self, tree: Tree, block: Block) -> None:
        self.tree = tree
        self.block = block
        self._hosts = Hosts(tree)
        self._depth = 0

    # -- files -----------------------------------------------------------------------------------

    def read(self, pattern: str, block: Block | None = None, where: Location | None = None) -> bool:
        """Read files into a block; return whether there are any."""
        found = list(files(self.tree, pattern, location=where)) if self._depth < MAX_DEPTH else []
        self._depth += 1
        for file in found:
            parse(file, block or self.block, self)
        self._depth -= 1
        return bool(found)

    def include(self, value: Value, block: Block, where: Location) -> None:
        """Read what is included: below the directory of the main file."""
        if not isinstance(value, str):
            self.missing = True
            return
        path = posixpath.normpath(posixpath.join(posixpath.dirname(MAIN), value))
        if not self.read(path, block, where) and not any(c in path for c in "*?[{"):
            self.missing = True

    def include_shell(self, value: Value, block: Block, where: Location) -> None:
        """Read what a command prints, which is known of Debian's commands alone."""
        command, _, argument = str(value).strip().partition(" ")
        if command.endswith(_IPV6):
            port = _number(argument) or 80
            place = f"[::]:{port}"
            inner = Block(where, block, is_socket=True, socket=place)
            if port == 443:
                inner.values["ssl.engine"] = "enable"
            block.inner.setdefault(("SERVER", "socket", "==", place), inner)
        elif "include-conf-enabled" in command:
            self.read(f"{ENABLED}/*.conf", block, where)
        elif "create-mime" not in command:
            self.missing = True

    # -- sockets ---------------------------------------------------------------------------------

    def listeners(self) -> Iterator[Listener]:
        """Yield the sockets of conditions, then that of server.bind and server.port."""
        top = self.block
        for block in all_of(top):
            if block.is_socket:
                yield from self._listener(block, block.socket, block.where)
        bind = top.values.get("server.bind", "")
        where = top.places.get("server.port") or top.places.get("server.bind") or top.where
        if isinstance(bind, str) and not bind.startswith(("/", "\\")):
            bind = f"{bind}:{self._port() or ''}"
        sure = not self.missing or {"server.bind", "server.port"} <= set(top.values)
        reasons = () if sure else _not_sure(top.where, _INCLUDED)
        for listener in self._listener(top, bind, where):
            yield replace(
                listener,
                certain=listener.certain and sure,
                reasons=(*listener.reasons, *reasons),
            )

    def _port(self) -> int | None:
        """Return server.port, which is 443 with TLS and else 80 where it is 0 or not there."""
        said = self.block.values.get("server.port", 0)
        port = _number(said) if isinstance(said, str) else said
        if port == 0:
            secure = self._switch(self.block, "ssl.engine", default=False)
            return None if secure is None else 443 if secure else 80
        return port if isinstance(port, int) and port < 65536 else None

    def _listener(self, block: Block, spec: Value, where: Location) -> Iterator[Listener]:
        """Yield the sockets of what `$SERVER["socket"]` or server.bind is."""
        if not isinstance(spec, str):
            yield not_known(NAME, where, where.text.strip())
            return
        if spec.startswith(("/", "\\")):
            return
        secure = self._switch(block, "ssl.engine", default=False)
        tls: Tls = "implicit" if secure else "unknown" if self.missing or secure is None else "none"
        six = self._switch(block, "server.use-ipv6", default=False)
        host, port = self._split(spec)
        addresses = self._addresses(host, six)
        alone = self._ipv6only(block)
        made = Listener(NAME, "https" if secure else "http", port or 0, where, tls=tls)
        if addresses is None:
            unsure = _not_sure(where, "server.use-ipv6") if not host else ()
            yield replace(made, host=host, certain=False, reasons=unsure)
        for address in addresses or ():
            yield replace(made, host=address, ipv6only=alone is not False)
            if address == "::" and alone is None:
                reasons = _not_sure(where, "server.set-v6only")
                yield replace(made, host=ANY["4"], certain=False, reasons=reasons)

    def _split(self, spec: str) -> tuple[str, int | None]:
        """Return host and port; of server.bind a port of its own comes before server.port."""
        if spec.startswith("["):
            host, _, rest = spec.partition("]")
            text = rest[1:].partition(":")[0] if rest.startswith(":") else ""
            host += "]"
        else:
            host, _, text = spec.rpartition(":") if ":" in spec else (spec, "", "")
        if not text:
            return host, self._port()
        return host, _number(text)

    def _addresses(self, host: str, six: bool | None) -> tuple[str, ...] | None:
        """Return the address that a host means: of a name the first of its family."""
        if host.startswith("["):
            return (scoped(host) or "::",) if host == "[]" or scoped(host) else None
        if host == "*":
            return (ANY["4"],)
        literal = scoped(host)
        if literal is not None:
            return (literal,)
        if six is None:
            return None
        family = "6" if six else "4"
        if not host:
            return (ANY[family],)
        found = self._hosts.addresses(host, family)
        return (found[0],) if found else None

    def _ipv6only(self, block: Block) -> bool | None:
        """Tell whether `[::]` takes IPv6 alone: a socket of its own is what is asked for."""
        mapped = self._switch(block, "server.v4mapped", default=None)
        if mapped is not None:
            return not mapped
        if "server.v4mapped" in self.block.values or "server.v4mapped" in block.values:
            return None
        return self._switch(block, "server.set-v6only", default=True)

    def _switch(self, block: Block, name: str, *, default: bool | None) -> bool | None:
        """Return a setting of a socket: its block's, else the global one; None if not known."""
        for each in (block, self.block):
            if name in each.values:
                value = each.values[name]
                return bool(value) if isinstance(value, int) else _SWITCHES.get(str(value).lower())
        return default


def _number(text: str) -> int | None:
    """Return a port, or 0; None if it is neither."""
    return int(text) if is_number(text) and len(text) < 6 and int(text) < 65536 else None


def _not_sure(where: Location, what: str) -> tuple[str, ...]:
    return not_known(NAME, where, what).reasons
