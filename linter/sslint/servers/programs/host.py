"""systemd sockets, OpenSSH, Docker: ports taken outside the servers proper."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.inifile import sections
from sslint.regex import is_number
from sslint.servers.listening import Listener, files, lines, number, split_address, words
from sslint.source import Location, SourceFile
from sslint.tree import Tree

_UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


# -- systemd.socket(5) ---------------------------------------------------------------------------


def systemd(tree: Tree) -> Iterator[Listener]:
    """Yield what enabled socket units listen on; all of them if no unit is known to be off."""
    from sslint.network.units import Units

    units = Units(tree)
    seen: set[str] = set()
    for directory in _UNIT_DIRECTORIES:
        for name in tree.names(directory):
            if not name.endswith(".socket") or name in seen or name.startswith("."):
                continue
            seen.add(name)
            if units.state(name) not in ("disabled", "masked"):
                path = posixpath.join(directory, name)
                yield from _socket_unit(name, files(tree, path, *units.drop_ins(name)))


def _socket_unit(name: str, parts: Iterator[SourceFile]) -> Iterator[Listener]:
    found: list[tuple[str, str, Location]] = []
    ipv6only = False
    for file in parts:
        sockets = (s for s in sections(file.text, systemd=True) if s.title == "Socket")
        for entry in (entry for section in sockets for entry in section.entries):
            key, value = entry.key, entry.value
            if key in ("ListenStream", "ListenDatagram"):
                found = [] if not value else [*found, (key, value, file.at(entry.line))]
            elif key == "BindIPv6Only":
                ipv6only = value == "ipv6-only"
    for key, value, location in found:
        host, port_text = split_address(value)
        port = number(port_text) if is_number(port_text) else None
        if value[0] in "/@" or port is None or value.startswith("vsock:"):
            continue
        udp = key == "ListenDatagram"
        yield Listener(
            "systemd",
            name.removesuffix(".socket"),
            port,
            location,
            host=host or "::",
            service=name,
            transport="udp" if udp else "tcp",
            ipv6only=ipv6only,
        )


# -- sshd_config(5) ------------------------------------------------------------------------------


def openssh(tree: Tree) -> Iterator[Listener]:
    """Yield sshd's sockets: Port and ListenAddress up to the first Match."""
    file = tree.try_read("/etc/ssh/sshd_config", decisive=False)
    if file is None:
        return
    found: list[tuple[str, str, Location]] = []
    _sshd(tree, file, found, 0)
    chosen = [(number(value), where) for key, value, where in found if key == "port"]
    chosen = chosen or [(22, file.at(1))]
    addresses = [(value, where) for key, value, where in found if key == "listenaddress"]
    for address, where in addresses or [("", chosen[0][1])]:
        match = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?|([^:]*):(\d+)", address)
        host = address
        pairs = chosen
        if match:
            host = match.group(1) or match.group(3) or ""
            own = match.group(2) or match.group(4)
            pairs = [(number(own), where)] if own else chosen
        for port, place in pairs:
            at = where if addresses else place
            yield Listener("openssh", "ssh", port or 0, at, host=host, tls="none")


def _sshd(tree: Tree, file: SourceFile, found: list[tuple[str, str, Location]], depth: int) -> None:
    for index, text in lines(file):
        parts = words(text.replace("=", " ", 1))
        key = parts[0].lower() if parts else ""
        if key == "match":
            return
        if key == "include" and depth < 16:
            for pattern in parts[1:]:
                for other in files(tree, posixpath.join("/etc/ssh", pattern)):
                    _sshd(tree, other, found, depth + 1)
        elif key in ("port", "listenaddress") and len(parts) > 1:
            found.append((key, parts[1], file.at(index)))


# -- Docker --------------------------------------------------------------------------------------


def docker(tree: Tree) -> Iterator[Listener]:
    """Yield the TCP addresses of Docker's own API."""
    file = tree.try_read("/etc/docker/daemon.json", decisive=False)
    if file is None:
        return
    secured = bool(re.search(r'"tls(verify)?"\s*:\s*true', file.text))
    for match in re.finditer(r'"tcp://([^"/]{0,255}):(\d{1,10})"', file.text):
        yield Listener(
            "docker",
            "docker",
            int(match.group(2)),
            file.span(match.start(), match.end()),
            host=match.group(1),
            tls="implicit" if secured else "none",
            service="dockerd",
        )
