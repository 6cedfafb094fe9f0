"""What the headers of a web server mean."""

from __future__ import annotations

import re

from sslint.regex import is_number

_ALTERNATIVE = (
    r"(?<![A-Za-z0-9%!#$&'*+.^_`|~-])(?P<protocol>[A-Za-z0-9%!#$&'*+.^_`|~-]+)\s*="
    r"\s*\"(?P<authority>[^\"]*)\"[^,]*"
)


def alternatives(value: str) -> tuple[tuple[str, str, int | None], ...]:
    """Parse an Alt-Svc value (RFC 7838): (protocol, host or "", port or None if a variable)."""
    found = []
    for match in re.finditer(_ALTERNATIVE, value[:4096]):
        host, _, port = match["authority"].rpartition(":")
        number = int(port) if is_number(port) and len(port) < 6 else None
        found.append((match["protocol"], host, number))
    return tuple(found)
