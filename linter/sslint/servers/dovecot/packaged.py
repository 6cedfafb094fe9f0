"""Which protocols Debian's packages enable, where their files outside of /etc were not given.

Each of dovecot-imapd, -pop3d, -lmtpd, -managesieved and -submissiond puts one file into
/usr/share/dovecot/protocols.d and one into /etc/dovecot/conf.d; both of them since Debian 7.
"""

from __future__ import annotations

from sslint.network.packages import Package, Packages
from sslint.network.whole import is_whole_etc
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


@dataclass(frozen=True, slots=True)
class Packaged:
    """The protocols whose packages are installed; `whole` False: there may be others.

    `evidence` is what shows it, as reports name it.
    """

    protocols: tuple[str, ...]
    evidence: str
    whole: bool


def installed(tree: Tree) -> Packaged:
    """Return the protocols that are installed: by dpkg's database, else by their conf.d files."""
    packages = Packages(tree)
    if packages.version(Package(("dovecot-core",))) is not None and packages.database:
        found = [
            p for p, (package, _) in _PACKAGES.items() if packages.version(Package((package,)))
        ]
        return Packaged(tuple(found), tree.name(packages.database), whole=True)
    directory = "/etc/dovecot/conf.d"
    present = tree.names(directory)
    found = [p for p, (_, file) in _PACKAGES.items() if file in present]
    shown = f"{', '.join(_PACKAGES[p][1] for p in found)} in {tree.name(directory)}"
    return Packaged(tuple(found), shown, whole=is_whole_etc(tree))
