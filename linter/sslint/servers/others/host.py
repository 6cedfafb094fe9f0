"""systemd sockets, OpenSSH, Docker and Compose: ports taken outside the servers proper."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.servers.model import Transport
from sslint.servers.others.common import (
    WILDCARDS,
    Listener,
    files,
    lines,
    number,
    ports,
    split_address,
    words,
)
from sslint.source import Location, SourceFile
from sslint.tree import Tree

MAX_COMPOSE_FILES = 100
MAX_COMPOSE_SIZE = 1 << 20  # characters
MAX_NODES = 100_000

_COMPOSE_NAMES = (
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
)
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
        section = ""
        for index, text in lines(file, "#;"):
            if text.startswith("["):
                section = text
            key, _, value = (part.strip() for part in text.partition("="))
            if section != "[Socket]":
                continue
            if key in ("ListenStream", "ListenDatagram"):
                found = [] if not value else [*found, (key, value, file.at(index))]
            elif key == "BindIPv6Only":
                ipv6only = value == "ipv6-only"
    for key, value, location in found:
        host, port_text = split_address(value)
        port = number(port_text) if port_text.isdigit() else None
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
            pairs = [(int(own), where)] if own else chosen
        for port, place in pairs:
            if port is not None:
                at = where if addresses else place
                yield Listener("openssh", "ssh", port, at, host=host, tls="none")


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
    for match in re.finditer(r'"tcp://([^"/]{0,255}):(\d{1,5})"', file.text):
        yield Listener(
            "docker",
            "docker",
            int(match.group(2)),
            file.span(match.start(), match.end()),
            host=match.group(1),
            tls="implicit" if secured else "none",
            service="dockerd",
        )


def compose(tree: Tree) -> Iterator[Listener]:
    """Yield the ports that compose files in the usual places publish."""
    for count, file in enumerate(files(tree, *_compose_paths(tree))):
        if count >= MAX_COMPOSE_FILES:
            tree.problem(file, "more compose files than are read", decisive=False)
            return
        if len(file.text) > MAX_COMPOSE_SIZE:
            tree.problem(file, "is too large for a compose file", decisive=False)
        else:
            yield from _compose_file(tree, file)


def _compose_paths(tree: Tree) -> Iterator[str]:
    parents = ["/"]
    for directory in ("/etc", "/opt", "/srv", "/root", "/home"):
        parents += [directory, *(posixpath.join(directory, n) for n in tree.names(directory))]
    for parent in parents:
        present = tree.names(parent)
        yield from (posixpath.join(parent, n) for n in _COMPOSE_NAMES if n in present)


def _compose_file(tree: Tree, file: SourceFile) -> Iterator[Listener]:
    import yaml

    try:
        root = yaml.compose(file.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError, UnicodeError):
        tree.problem(file, "is not YAML", decisive=False)
        return
    for service, body in _pairs(_member(root, "services")):
        listed = _member(body, "ports")
        items = listed.value if isinstance(listed, yaml.SequenceNode) else []
        for node in items[:MAX_NODES]:
            location = file.at(node.start_mark.line + 1)
            if isinstance(node, yaml.ScalarNode):
                yield from _published(_defaulted(node.value), service, location)
            else:
                fields = {
                    name: _defaulted(value.value)
                    for name, value in _pairs(node)
                    if isinstance(value, yaml.ScalarNode)
                }
                if "published" in fields:
                    host = fields.get("host_ip", "")
                    host = f"[{host}]:" if ":" in host else f"{host}:" if host else ""
                    text = f"{host}{fields['published']}:{fields.get('target', '0')}"
                    yield from _published(
                        f"{text}/{fields.get('protocol', 'tcp')}", service, location
                    )


def _pairs(node: object) -> Iterator[tuple[str, object]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key.value, value


def _member(node: object, name: str) -> object:
    return next((value for key, value in _pairs(node) if key == name), None)


def _defaulted(text: str) -> str:
    """Replace `${NAME:-8080}` by its default."""
    return re.sub(r"\$\{\w+:?-([^{}]*)\}", r"\1", text)


def _published(text: str, service: str, location: Location) -> Iterator[Listener]:
    """Yield the host's side of `[host:]published:target[/protocol]`."""
    spec, _, protocol = text.partition("/")
    transport: Transport = "udp" if protocol == "udp" else "tcp"
    if protocol not in ("", "tcp", "udp") or "$" in spec:
        return
    outer, colon, _target = spec.rpartition(":")
    if not colon:  # a container's port alone is published on a random one
        return
    host, _, published = outer.rpartition(":")
    for port in ports(published):
        for address in (host.strip("[]"),) if host else WILDCARDS:
            yield Listener(
                "docker",
                "container",
                port,
                location,
                host=address,
                transport=transport,
                service=service,
            )
