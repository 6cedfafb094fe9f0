"""What of Dovecot is known by its text: dovecot.conf, a part of it, what includes what."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sslint.firewalls.marks import NFT
from sslint.regex import regex
from sslint.tree import Tree

DIRECTORY = "/etc/dovecot"
MAIN = f"{DIRECTORY}/dovecot.conf"
HOLDER = "it"
SITES = False
_MAIN = regex(r"^[ \t]*(dovecot_config_version[ \t]*=|!include[ \t]+conf\.d)", re.M)
_PART = regex(
    r"^[ \t]*(protocols[ \t]*=|inet_listener[ \t]|service[ \t]+\S+[ \t]*\{|ssl_(server_)?cert"
    r"(_file)?[ \t]*=|protocol[ \t]+\S+[ \t]*\{)",
    re.M,
)
_INCLUDE = regex(r"^[ \t]*!include(?:_try)?[ \t]+(\S{1,400})", re.M)
# A setting that only one of the two syntaxes has: the file says which release it is of.
_NEW = regex(r"^[ \t]*(dovecot_config_version|ssl_server_\w+|mail_driver)\s*=", re.M)
_OLD = regex(r"^[ \t]*(ssl_cert|ssl_key|mail_location|ssl_protocols)\s*=", re.M)


def recognise(text: str) -> str | None:
    """Return the place of dovecot.conf, its directory for a part of it, None for another text."""
    if _MAIN.search(text):
        return MAIN
    return DIRECTORY if _PART.search(text) and not NFT.search(text) else None


def is_main(text: str) -> bool:
    """Tell whether a file that is called dovecot.conf is one."""
    return True


def includes(text: str) -> list[str]:
    """Return what the `!include` statements name."""
    return [match[1] for match in _INCLUDE.finditer(text)]


def belongs(text: str) -> bool:
    """Tell whether a file in a directory that is not known is a part of a configuration."""
    return True


def further(tree: Tree, known: Sequence[str]) -> list[str]:
    """Return what a dovecot.conf that is not there may include beside the usual places."""
    return []


def main(places: Sequence[str], texts: Sequence[str]) -> str:
    """Return a dovecot.conf that includes its parts.

    The protocols are those whose packages have files there; what these do not say may be in the
    rest.
    """
    named = re.findall(r"/\d\d-(imap|pop3|lmtp|submission|managesieve)\.conf", " ".join(places))
    protocols = " ".join(name.replace("managesieve", "sieve") for name in dict.fromkeys(named))
    lines = [f"protocols = {protocols}"] if protocols else []
    if any("ssl_server_cert_file" in text for text in texts):
        version = "2.4.0"
        lines = [f"dovecot_{what}_version = {version}" for what in ("config", "storage")] + lines
    lines += [f"!include {place}" for place in places]
    listed = any(re.search(r"^[ \t]*protocols\b", text, re.M) for text in texts)
    certified = any(re.search(r"^[ \t]*ssl_(server_)?cert", text, re.M) for text in texts)
    if not certified or not (protocols or listed):
        lines.append("!include /elsewhere/the-rest-of-dovecot.conf")
    return "\n".join(lines) + "\n"


def syntax(texts: Sequence[str]) -> str:
    """Return the version whose syntax the texts have, "" if they have neither's."""
    if any(_NEW.search(text) for text in texts):
        return "2.4"
    return "2.3" if any(_OLD.search(text) for text in texts) else ""
