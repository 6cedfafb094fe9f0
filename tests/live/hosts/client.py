"""What a client gets on a port: nothing, silence, plain text, STARTTLS, or TLS from the start."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

CONNECT, ANSWER = 0.8, 4.0  # seconds; everything is one hop away
BANNER = 1.0  # a server that speaks first does so at once, or waits for the client

Outcome = Literal["nothing", "silent", "plain", "starttls", "tls", "broken"]
ASK = {  # a banner, what to ask, the answer that offers STARTTLS, what begins it
    b"220": (b"EHLO client.example\r\n", b"STARTTLS", b"STARTTLS\r\n"),
    b"* OK": (b"a CAPABILITY\r\n", b"STARTTLS", b"b STARTTLS\r\n"),
    b"+OK": (b"CAPA\r\n", b"STLS", b"STLS\r\n"),
    b'"IMPLEMENTATION"': (b"CAPABILITY\r\n", b'"STARTTLS"', b"STARTTLS\r\n"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What one source gets on one port of one address; `certificate` is a SHA-256 of its DER."""

    port: int
    address: str
    source: str
    outcome: Outcome
    certificate: str = ""


def probe(address: str, port: int, source: str) -> Cell:
    """Connect as a client would, at most three times."""
    first = _connect(address, port, source)
    if first is None:
        return Cell(port, address, source, "nothing")
    certificate = _handshake(first)
    if certificate:
        return Cell(port, address, source, "tls", certificate)
    second = _connect(address, port, source)
    if second is None:
        return Cell(port, address, source, "broken")
    with second:
        banner = _read(second, BANNER)
        for start, (question, offer, begin) in ASK.items():
            if banner.startswith(start):
                second.sendall(question)
                if offer not in _read(second, BANNER):
                    return Cell(port, address, source, "plain")
                second.sendall(begin)
                _read(second, BANNER)
                return Cell(port, address, source, "starttls", _handshake(second))
    return Cell(port, address, source, _without_banner(address, port, source, banner))


def _without_banner(address: str, port: int, source: str, banner: bytes) -> Outcome:
    if banner:
        return "plain"
    third = _connect(address, port, source)
    if third is None:
        return "broken"
    with third:
        third.sendall(b"GET / HTTP/1.0\r\nHost: client.example\r\n\r\n")
        return "plain" if _read(third, ANSWER).startswith(b"HTTP/") else "silent"


def _connect(address: str, port: int, source: str) -> socket.socket | None:
    try:
        return socket.create_connection((address, port), CONNECT, (source, 0))
    except OSError:
        return None


def _handshake(connection: socket.socket) -> str:
    """Return the fingerprint of what the server shows, "" if there is no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection.settimeout(ANSWER)
    try:
        with context.wrap_socket(connection) as secured:
            return hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()
    except OSError:
        return ""
    finally:
        connection.close()


def _read(connection: socket.socket, seconds: float) -> bytes:
    connection.settimeout(seconds)
    with contextlib.suppress(OSError):
        return connection.recv(4096)
    return b""
