"""Cyrus IMAP: the SERVICES of cyrus.conf(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sslint.network.hosts import Hosts, scoped
from sslint.regex import regex
from sslint.servers.listening import (
    WILDCARDS,
    Listener,
    collect,
    files,
    lines,
    number,
    split_address,
)
from sslint.servers.model import Knows, ServerReading, Tls, Transport
from sslint.tree import Tree
from sslint.values import replace

NAME = "cyrus"
MAIN = "/etc/cyrus.conf"
_OPTION = regex(r'\b(\w+)=(?:"([^"]*)"|([^\s"]+))')
_PROTO: dict[str, tuple[Transport, str]] = {  # the families too; with another word none is opened
    "tcp": ("tcp", "46"), "tcp4": ("tcp", "4"), "tcp6": ("tcp", "6"),
    "udp": ("udp", "46"), "udp4": ("udp", "4"), "udp6": ("udp", "6"),
}  # fmt: skip
# What a program speaks, without TLS and with it from the first byte.
_PROTOCOLS = {
    "imapd": ("imap", "imaps"),
    "pop3d": ("pop3", "pop3s"),
    "timsieved": ("sieve", "sieve"),
    "lmtpd": ("lmtp", "lmtp"),
    "httpd": ("http", "https"),
    "nntpd": ("nntp", "nntps"),
}


def read(tree: Tree) -> ServerReading | None:
    """Read Cyrus IMAP; None if the tree has no socket of it.

    Whether STARTTLS is offered depends on imapd.conf, which is not read.
    """
    knows = Knows(tls=False, certificates=False, sites=False)
    return collect(tree, NAME, _listeners(tree), mains=(MAIN,), knows=knows)


def _listeners(tree: Tree) -> Iterator[Listener]:
    """Yield what the SERVICES listen on; `-s` is TLS from the first byte."""
    hosts = Hosts(tree)
    for file in files(tree, MAIN):
        section = ""
        for index, text in lines(file):
            opening = re.match(r"(\w+)\s*\{", text)
            if opening:
                section = opening.group(1)
                text = text[opening.end() :]
            options = {key: quoted or bare for key, quoted, bare in _OPTION.findall(text)}
            listen = options.get("listen", "")
            if section != "SERVICES" or not listen or listen.startswith("/"):
                continue
            transport, families = _PROTO.get(options.get("proto", "tcp"), ("tcp", ""))
            host, port = split_address(listen)
            name = text.split()[0]
            command = options.get("cmd", "").split() or [name]
            tls: Tls = "implicit" if "-s" in command[1:] else "unknown"
            program = command[0].rsplit("/", 1)[-1]
            made = Listener(
                NAME,
                _PROTOCOLS.get(program, (program, program))[tls == "implicit"],
                number(port) or 0,
                file.at(index),
                tls=tls,
                service=name,
                transport=transport,
            )
            for address in _addresses(host, families, hosts):
                yield replace(made, host=address)


def _addresses(host: str, families: str, hosts: Hosts) -> list[str]:
    """Return all addresses of the families that getaddrinfo(3) finds."""
    if host in ("", "*"):
        return [address for address in WILDCARDS if _family(address) in families]
    literal = scoped(host)
    if literal is not None:
        return [literal] if _family(literal) in families else []
    found = hosts.addresses(host, families) if families else []
    return [host] if found is None else found


def _family(address: str) -> str:
    return "6" if ":" in address else "4"
