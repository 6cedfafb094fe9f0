"""Names of hosts in /etc/hosts, as getaddrinfo(3) of glibc finds them there."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from sslint.source import SourceFile
from sslint.tree import Tree

PATH = "/etc/hosts"
LOCALHOST = ("127.0.0.1", "::1")  # what Debian writes there, and nss-myhostname(8) says
_MAPPED = "::ffff:"


class Hosts:
    """The names of one tree; the file is read when one is asked for."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._names: dict[str, list[str]] | None = None
        self.file: SourceFile | None = None

    def addresses(self, name: str, families: str = "46") -> list[str] | None:
        """Return a name's addresses for a lookup of the families "46", "4" or "6".

        None if only DNS can tell, [] if the name is there with others alone. A lookup of IPv4 alone
        takes `::1` for 127.0.0.1 (nss_files/files-hosts.c), one of both families does not. A name
        that ends in a dot is another name.
        """
        if self._names is None:
            self._names = self._read()
        known = self._names.get(name.lower())
        if known is None or (families == "46" and any(map(_is_mapped, known))):
            return None
        if families == "46":
            return known
        ours = [a for a in map(_as_ipv4, known) if a] if families == "4" else _ipv6(known)
        return list(dict.fromkeys(ours))

    def _read(self) -> dict[str, list[str]]:
        self.file = self._tree.try_read(PATH, decisive=False)
        names: dict[str, list[str]] = {}
        for line in self.file.text.split("\n") if self.file is not None else ():
            address, *found = line.partition("#")[0].split() or [""]
            canonical = literal(address)
            for name in found if canonical is not None else ():
                known = names.setdefault(name.lower(), [])
                if canonical not in known:
                    known.append(str(canonical))
        names.setdefault("localhost", list(LOCALHOST))
        return names


def literal(text: str) -> str | None:
    """Return an address, perhaps in brackets, in its canonical spelling; None if it is none."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    family = AF_INET6 if ":" in text else AF_INET
    try:
        return inet_ntop(family, inet_pton(family, text))
    except (OSError, ValueError):
        return None


def scoped(text: str) -> str | None:
    """Return what `literal` does, and keep an interface that follows (`fe80::1%eth0`)."""
    bare, percent, zone = text.strip("[]").partition("%")
    canonical = literal(bare)
    return None if canonical is None else canonical + percent + zone


def _is_mapped(address: str) -> bool:
    return address.startswith(_MAPPED) and "." in address


def _as_ipv4(address: str) -> str | None:
    if ":" not in address:
        return address
    if address == "::1":
        return "127.0.0.1"
    return address.removeprefix(_MAPPED) if _is_mapped(address) else None


def _ipv6(addresses: list[str]) -> list[str]:
    return [address for address in addresses if ":" in address]
