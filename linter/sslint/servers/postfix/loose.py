"""What of Postfix is known by its text: master.cf and main.cf, which include nothing."""

from __future__ import annotations

import re

from sslint.regex import regex

_MASTER = regex(r"^\S+[ \t]+(inet|unix|pass)[ \t]+[-yn][ \t]+[-yn][ \t]+[-yn][ \t]", re.M)
_MAIN = regex(r"^[ \t]*(smtpd_|myhostname|mydestination|inet_interfaces)\w*[ \t]*=", re.M)


def recognise(text: str) -> str | None:
    """Return the place of the file that a text is, None for another text."""
    if _MASTER.search(text):
        return "/etc/postfix/master.cf"
    return "/etc/postfix/main.cf" if _MAIN.search(text) else None
