"""Exim, Cyrus IMAP and stunnel: the ports they take."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.servers.model import Tls
from sslint.servers.others.common import Listener, files, lines, number, split_address, words
from sslint.source import Location, SourceFile
from sslint.tree import Tree

_SMTP = {25: "smtp", 465: "submissions", 587: "submission"}


def exim(tree: Tree) -> Iterator[Listener]:
    """Yield Exim's ports: its own configuration, else Debian's update-exim4.conf.conf."""
    values: dict[str, tuple[str, Location]] = {}
    for file in files(
        tree,
        "/etc/exim4/exim4.conf",
        "/etc/exim/exim.conf",
        "/etc/exim.conf",
        "/usr/exim/configure",
    ):
        _exim_options(file, values)
        values.setdefault("", ("", file.at(1)))
        break
    else:
        yield from _debian_exim(tree)
        return
    yield from _exim_listeners(values)


def _exim_options(file: SourceFile, values: dict[str, tuple[str, Location]]) -> None:
    for index, text in lines(file):
        if re.match(r"begin\s", text):
            return
        match = re.match(
            r"(daemon_smtp_ports?|tls_on_connect_ports|local_interfaces)\s*=\s*(.*)", text
        )
        if match:
            values[match.group(1).rstrip("s") + "s"] = (match.group(2), file.at(index))


def _debian_exim(tree: Tree) -> Iterator[Listener]:
    values: dict[str, tuple[str, Location]] = {}
    file = tree.try_read("/etc/exim4/update-exim4.conf.conf", decisive=False)
    if file is None:
        return
    values[""] = ("", file.at(1))
    for index, text in lines(file):
        name, _, value = text.partition("=")
        if name.strip() == "dc_local_interfaces":
            values["local_interfaces"] = ("<; " + value.strip().strip("'\""), file.at(index))
    split = re.search(r"^dc_use_split_config='?true", file.text, re.M) is not None
    patterns = ("/etc/exim4/conf.d/main/*",) if split else ("/etc/exim4/exim4.conf.template",)
    for other in files(tree, *patterns):
        if not split or re.fullmatch(r"[\w-]+", posixpath.basename(other.path)):
            _exim_options(other, values)
    interfaces = values.get("local_interfaces")
    if interfaces is not None and "MAIN_LOCAL_INTERFACES" in interfaces[0]:
        del values["local_interfaces"]
    defaults = tree.try_read("/etc/default/exim4", decisive=False)
    for index, text in lines(defaults) if defaults is not None else ():
        match = re.match(r"SMTPLISTENEROPTIONS=['\"]?.*-oX\s+([^'\"]+)", text)
        if match and defaults is not None:
            values["daemon_smtp_ports"] = (match.group(1), defaults.at(index))
    yield from _exim_listeners(values)


def _exim_listeners(values: dict[str, tuple[str, Location]]) -> Iterator[Listener]:
    fallback = values[""][1]
    ports, where = values.get("daemon_smtp_ports", ("smtp", fallback))
    wrapped = {number(p) for p in _exim_list(values.get("tls_on_connect_ports", ("", where))[0])}
    hosts = _exim_list(values.get("local_interfaces", ("", where))[0]) or [""]
    for host in hosts:
        own = re.fullmatch(r"\[([^\]]*)\]:(\d+)|((?:\d+\.){3}\d+)\.(\d+)", host)
        chosen = _exim_list(ports)
        if own:
            host = own.group(1) or own.group(3)
            chosen = [own.group(2) or own.group(4)]
        for text in chosen:
            port = number(text)
            if port is not None:
                tls: Tls = "implicit" if port in wrapped else "unknown"
                yield Listener(
                    "exim",
                    _SMTP.get(port, "smtp"),
                    port,
                    where,
                    host="::" if host == "::0" else host,
                    tls=tls,
                )


def _exim_list(text: str) -> list[str]:
    """Split an Exim list: `<;` names another separator, a doubled one stands for itself."""
    separator = ":"
    match = re.match(r"\s*<\s*([^\w\s])", text)
    if match:
        separator, text = match.group(1), text[match.end() :]
    marked = text.replace(separator * 2, "\0")
    parts = [part.replace("\0", separator).strip() for part in marked.split(separator)]
    return [part for part in parts if part]


def cyrus(tree: Tree) -> Iterator[Listener]:
    """Yield what the SERVICES of cyrus.conf listen on; `-s` is TLS from the first byte."""
    for file in files(tree, "/etc/cyrus.conf"):
        section = ""
        for index, text in lines(file):
            opening = re.match(r"(\w+)\s*\{", text)
            if opening:
                section = opening.group(1)
                text = text[opening.end() :]
            options = dict(re.findall(r'\b(\w+)="([^"]*)"', text))
            listen = options.get("listen", "")
            if section != "SERVICES" or not listen or listen.startswith("/"):
                continue
            host, port_text = split_address(listen)
            port = number(port_text)
            if port is None:
                continue
            name = text.split()[0]
            command = options.get("cmd", "").split()
            tls: Tls = "implicit" if "-s" in command[1:] else "unknown"
            udp = options.get("proto", "tcp").startswith("udp")
            yield Listener(
                "cyrus",
                command[0] if command else name,
                port,
                file.at(index),
                host=host,
                tls=tls,
                service=name,
                transport="udp" if udp else "tcp",
            )


def stunnel(tree: Tree) -> Iterator[Listener]:
    """Yield stunnel's `accept` sockets: plain in client mode, else TLS."""
    for file in files(tree, "/etc/stunnel/*.conf", "/etc/stunnel/conf.d/*.conf"):
        client_default, name = False, ""
        pending: list[tuple[str, str, Location]] = []
        client, protocol = False, ""
        for index, text in [*lines(file, "#;"), (0, "[]")]:
            section = re.match(r"\[([^\]]*)\]", text)
            key, _, value = (part.strip() for part in text.partition("="))
            if section:
                yield from _stunnel(pending, client, protocol)
                if not name and not pending:
                    client_default = client
                pending, client, protocol = [], client_default, ""
                name = section.group(1)
            elif key == "client":
                client = value.lower() == "yes"
            elif key == "protocol":
                protocol = value
            elif key == "accept":
                pending.append((name, words(value)[0] if words(value) else "", file.at(index)))


def _stunnel(
    pending: list[tuple[str, str, Location]], client: bool, protocol: str
) -> Iterator[Listener]:
    for name, spec, location in pending:
        host, port_text = split_address(spec)
        port = number(port_text)
        if port is not None:
            tls: Tls = "none" if client else "starttls" if protocol else "implicit"
            yield Listener(
                "stunnel",
                protocol or "stream",
                port,
                location,
                host="0.0.0.0" if host in ("", "*") else host,  # noqa: S104
                tls=tls,
                service=name,
                ipv6only=host != "::",  # `:::443` takes both families, nothing else does
            )
