"""Which protocols Debian's packages enable, where their files outside of /etc were not given.

Where dpkg's database is not there either, sections show it: `protocol imap` anywhere, and
`service imap-login` in dovecot.conf itself, as Debian's conf.d has one for each protocol.

Each of dovecot-imapd, -pop3d, -lmtpd, -managesieved and -submissiond puts one file into
/usr/share/dovecot/protocols.d and one into /etc/dovecot/conf.d; both of them since Debian 7.
"""

from __future__ import annotations

import re

from sslint.network.packages import Package, Packages
from sslint.network.whole import is_whole_etc
from sslint.regex import regex
from sslint.source import SourceFile
from sslint.tree import Tree
from sslint.values import dataclass

# protocol: package, its file in conf.d
_PACKAGES = {
    "imap": ("dovecot-imapd", "20-imap.conf"),
    "pop3": ("dovecot-pop3d", "20-pop3.conf"),
    "lmtp": ("dovecot-lmtpd", "20-lmtp.conf"),
    "sieve": ("dovecot-managesieved", "20-managesieve.conf"),
    "submission": ("dovecot-submissiond", "20-submission.conf"),
}
_NAMED = "(imap|pop3|sieve|managesieve|submission)"
_PROTOCOL = regex(rf"^[ \t]*protocol[ \t]+{_NAMED}[ \t]*\{{", re.M)
_LOGIN = regex(rf"^[ \t]*service[ \t]+{_NAMED}-login[ \t]*\{{", re.M)


@dataclass(frozen=True, slots=True)
class Packaged:
    """The protocols whose packages are installed; `whole` False: there may be others.

    `evidence` is what shows it, as reports name it.
    """

    protocols: tuple[str, ...]
    evidence: str
    whole: bool


def installed(tree: Tree, main: SourceFile) -> Packaged:
    """Return the protocols that are installed: by dpkg's database, else by what /etc has of them.

    `main` is dovecot.conf.
    """
    packages = Packages(tree)
    if packages.version(Package(("dovecot-core",))) is not None and packages.database:
        found = [
            p for p, (package, _) in _PACKAGES.items() if packages.version(Package((package,)))
        ]
        return Packaged(tuple(found), tree.name(packages.database), whole=True)
    directory = "/etc/dovecot/conf.d"
    present = tree.names(directory)
    found = [p for p, (_, file) in _PACKAGES.items() if file in present]
    shown = []
    if found:
        shown.append(f"{', '.join(_PACKAGES[p][1] for p in found)} in {tree.name(directory)}")
    given = [path for path in tree.glob(f"{directory}/*.conf") if path not in tree.supposed]
    for file in (main, *(tree.try_read(path, decisive=False) for path in given)):
        more = _sections(file, main).difference(found) if file is not None else ()
        if file is not None and more:
            found += [p for p in _PACKAGES if p in more]
            shown.append(f"the sections in {tree.name(file.path)}")
    # A whole /etc without conf.d is not as the packages left it.
    return Packaged(tuple(found), ", ".join(shown), whole=is_whole_etc(tree) and bool(present))


def _sections(file: SourceFile, main: SourceFile) -> set[str]:
    """Return the protocols that a file has sections for."""
    found = _PROTOCOL.findall(file.text)
    found += _LOGIN.findall(file.text) if file is main else []
    return {"sieve" if name == "managesieve" else name for name in found}
