"""Cyrus IMAP: the SERVICES of cyrus.conf(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sslint.servers.listening import Listener, collect, files, lines, number, split_address
from sslint.servers.model import Knows, ServerReading, Tls
from sslint.tree import Tree

NAME = "cyrus"
MAIN = "/etc/cyrus.conf"
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
    for file in files(tree, MAIN):
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
            host, port = split_address(listen)
            name = text.split()[0]
            command = options.get("cmd", "").split() or [name]
            tls: Tls = "implicit" if "-s" in command[1:] else "unknown"
            program = command[0].rsplit("/", 1)[-1]
            yield Listener(
                NAME,
                _PROTOCOLS.get(program, (program, program))[tls == "implicit"],
                number(port) or 0,
                file.at(index),
                host=host,
                tls=tls,
                service=name,
                transport="udp" if options.get("proto", "tcp").startswith("udp") else "tcp",
            )
