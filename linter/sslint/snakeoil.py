"""A glance at Debian's snakeoil certificate, which every host with ssl-cert has.

It is self-signed by definition (make-ssl-cert(8)), so its dates are all there is to say of it.
Reading it with cryptography would be a third of the time of a run on a stock /etc.
"""

from __future__ import annotations

import binascii
import posixpath
from datetime import UTC, datetime

from sslint.tree import Tree, TreeError

CERTIFICATE, KEY = "ssl-cert-snakeoil.pem", "ssl-cert-snakeoil.key"
MAX_SIZE = 16_384  # bytes; it has one or two kilobytes


def is_pair(tree: Tree, path: str | None, key: str | None) -> bool:
    """Tell whether two paths lead to the certificate and key that make-ssl-cert made together."""
    try:
        return (
            path is not None
            and key is not None
            and posixpath.basename(tree.resolve(path)) == CERTIFICATE
            and posixpath.basename(tree.resolve(key)) == KEY
        )
    except TreeError:
        return False


def validity(tree: Tree, path: str) -> tuple[datetime, datetime] | None:
    """Return from when to when it is valid; None unless it is one self-issued certificate."""
    try:
        pem = tree.read_bytes(path)
        if len(pem) > MAX_SIZE or pem.count(b"-----BEGIN") != 1:
            return None
        body = pem.split(b"-----BEGIN CERTIFICATE-----", 1)[1].split(b"-----END", 1)[0]
        return _validity(binascii.a2b_base64(body))
    except (TreeError, ValueError, IndexError):
        return None


def _validity(der: bytes) -> tuple[datetime, datetime] | None:
    """Read issuer, validity and subject of a certificate (RFC 5280, section 4.1)."""
    certificate = _content(der, 0)[1]
    fields = _children(_content(certificate, 0)[1])
    if fields[0][0] == 0xA0:  # version
        fields = fields[1:]
    issuer, dates, subject = fields[2][1], _children(fields[3][1]), fields[4][1]
    if issuer != subject:
        return None
    return _time(*dates[0]), _time(*dates[1])


def _content(der: bytes, start: int) -> tuple[int, bytes, int]:
    """Return (tag, contents, end) of the DER element at an offset. Raise ValueError."""
    tag, length, start = der[start], der[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    if start + length > len(der):
        raise ValueError("truncated")
    return tag, der[start : start + length], start + length


def _children(der: bytes) -> list[tuple[int, bytes]]:
    found, position = [], 0
    while position < len(der):
        tag, contents, position = _content(der, position)
        found.append((tag, contents))
    return found


def _time(tag: int, text: bytes) -> datetime:
    style = "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), style).replace(tzinfo=UTC)
