"""WireGuard, OpenVPN, BIND and Unbound: tunnels and name servers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sslint.inifile import sections
from sslint.servers.listening import WILDCARDS, Listener, files, lines, number, words
from sslint.servers.model import Tls, Transport
from sslint.source import Location, SourceFile
from sslint.tree import Tree

_PROTOCOLS = {53: "dns", 853: "dot", 443: "doh"}


def wireguard(tree: Tree) -> Iterator[Listener]:
    """Yield WireGuard's UDP ports (wg-quick and systemd.netdev)."""
    for file in files(tree, "/etc/wireguard/*.conf", "/etc/systemd/network/*.netdev"):
        for section in sections(file.text, systemd=file.name.endswith(".netdev")):
            if section.title.lower() not in ("interface", "wireguard"):
                continue
            for entry in section.entries:
                port = re.match(r"(\d{1,10})\s*(#.*)?$", entry.value)
                if entry.key.lower() == "listenport" and port:
                    yield Listener(
                        "wireguard",
                        "wireguard",
                        int(port.group(1)),
                        file.at(entry.line),
                        transport="udp",
                        tls="none",
                    )


def openvpn(tree: Tree) -> Iterator[Listener]:
    """Yield the sockets of OpenVPN servers; a client binds nothing that waits."""
    for file in files(tree, "/etc/openvpn/*.conf", "/etc/openvpn/server/*.conf"):
        options: dict[str, list[tuple[str, Location]]] = {}
        for index, text in lines(file, "#;"):
            parts = words(text)
            if parts:
                value = parts[1] if len(parts) > 1 else ""
                options.setdefault(parts[0], []).append((value, file.at(index)))
        if not options.keys() & {"server", "server-bridge", "tls-server", "mode"}:
            continue
        port_text, where = (options.get("lport") or options.get("port") or [("1194", file.at(1))])[
            -1
        ]
        protocol = options.get("proto", [("udp", where)])[-1][0]
        host = options.get("local", [("", where)])[-1][0]
        yield Listener(
            "openvpn",
            "openvpn",
            number(port_text) or 0,
            where,
            host=host,
            transport="tcp" if protocol.startswith("tcp") else "udp",
        )


# -- name servers --------------------------------------------------------------------------------


def bind(tree: Tree) -> Iterator[Listener]:
    """Yield BIND's listen-on and listen-on-v6, by default port 53 everywhere."""
    parts = list(
        files(tree, "/etc/bind/named.conf", "/etc/bind/named.conf.options", "/etc/named.conf")
    )
    if not parts:
        return
    found: dict[str, Iterable[Listener]] = {}
    for file in parts:
        for match in re.finditer(
            r"^[ \t]*listen-on(-v6)?((?:[ \t]+[\w.-]+){0,8})\s*\{([^{}]{0,4000})\}",
            file.text,
            re.MULTILINE,
        ):
            options = match.group(2).split()
            pairs = dict(zip(options[::2], options[1::2], strict=False))
            port = number(pairs.get("port", "853" if "tls" in pairs else "53")) or 0
            place = file.span(match.start(), match.end())
            family = match.group(1) or ""
            listeners = _bind(family, match.group(3), port, "tls" in pairs, place)
            found[family] = [*found.get(family, ()), *listeners]  # none, where it says so
    for family in ("", "-v6"):
        default = _bind(family, "any;", 53, False, parts[0].at(1))
        yield from found.get(family, default)


def _bind(
    family: str, addresses: str, port: int, encrypted: bool, place: Location
) -> Iterator[Listener]:
    for item in re.findall(r"[^\s;]+", addresses):
        if item in ("none", "none;") or item.startswith("!"):
            continue
        host = WILDCARDS[family == "-v6"] if item == "any" else item
        tls: Tls = "implicit" if encrypted else "none"
        transports: tuple[Transport, ...] = ("tcp",) if encrypted else ("udp", "tcp")
        for transport in transports:
            yield Listener(
                "named",
                _PROTOCOLS.get(port, "dns"),
                port,
                place,
                host=host,
                transport=transport,
                tls=tls,
            )


def unbound(tree: Tree) -> Iterator[Listener]:
    """Yield Unbound's interfaces, by default port 53 on the loopback addresses."""
    parts = list(files(tree, "/etc/unbound/unbound.conf", "/etc/unbound/unbound.conf.d/*.conf"))
    if not parts:
        return
    port: int | None = 53  # 0: not opened
    tls_ports, https_port = {853}, 443
    interfaces: list[tuple[str, Location]] = []
    for file in parts:
        for index, text in lines(file):
            key, _, value = text.partition(":")
            value = value.partition("#")[0].strip().strip("\"'")
            if key in ("interface", "ip-address"):
                interfaces.append((value, file.at(index)))
            elif key in ("port", "tls-port", "https-port", "tls-additional-port"):
                each = number(value)
                if key == "port":
                    port = each
                elif each is None:
                    continue
                elif key == "https-port":
                    https_port = each
                else:
                    tls_ports.add(each)
    for value, where in interfaces or _unbound_default(parts[0]):
        host, _, own = value.partition("@")
        if port == 0 and not own:
            continue
        each = (number(own) if own else port) or 0
        encrypted = each in tls_ports or each == https_port
        transports: tuple[Transport, ...] = ("tcp",) if encrypted else ("udp", "tcp")
        for transport in transports:
            yield Listener(
                "unbound",
                _PROTOCOLS.get(each, "dot" if encrypted else "dns"),
                each,
                where,
                host="::" if host in ("::", "::0") else host,
                transport=transport,
                tls="implicit" if encrypted else "none",
            )


def _unbound_default(file: SourceFile) -> list[tuple[str, Location]]:
    return [("127.0.0.1", file.at(1)), ("::1", file.at(1))]
