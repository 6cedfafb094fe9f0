"""Which of several servers a name means, by SNI or by Host.

Exact names come first, then the longest leading wildcard, then the longest trailing one, then
regular expressions in their order (ngx_http_find_virtual_server).
"""

from __future__ import annotations

from collections.abc import Iterable

from sslint.servers.nginx import regex
from sslint.values import dataclass, field


@dataclass(slots=True)
class VirtualNames:
    """The name tables of one address and port; values are the servers' numbers."""

    exact: dict[str, int] = field(default_factory=dict)
    leading: dict[str, int] = field(default_factory=dict)  # "example.org" for "*.example.org"
    trailing: dict[str, int] = field(default_factory=dict)  # "www.example" for "www.example.*"
    patterns: list[tuple[str, int]] = field(default_factory=list)
    claimed: dict[int, list[str]] = field(default_factory=dict)

    @classmethod
    def build(cls, servers: Iterable[tuple[int, tuple[str, ...]]]) -> VirtualNames:
        """Enter the names of servers in their order; the first to claim a name keeps it."""
        table = cls()
        for number, names in servers:
            own = table.claimed.setdefault(number, [])
            for name in names:
                if name[:1] not in "~*." and name[-2:] != ".*" and name != "_":
                    if name not in table.exact:
                        table.exact[name] = number
                        own.append(name)
                elif name.startswith("~"):
                    table.patterns.append((name[1:], number))
                    own.append(name)
                elif name.startswith("*."):
                    _claim(table.leading, name[2:], number, name, own)
                elif name.startswith("."):
                    _claim(table.exact, name[1:], number, name[1:], own)
                    _claim(table.leading, name[1:], number, f"*{name}", own)
                elif name.endswith(".*"):
                    _claim(table.trailing, name[:-2], number, name, own)
                elif name:
                    _claim(table.exact, name, number, name, own)
        return table

    def find(self, name: str) -> int | None:
        """Return the server a name means; None for the default one. -1: not to be decided."""
        name = name.lower().rstrip(".")
        if (found := self.exact.get(name)) is not None:
            return found
        labels = name.split(".")
        if self.leading:
            for start in range(1, len(labels)):
                if (found := self.leading.get(".".join(labels[start:]))) is not None:
                    return found
        if self.trailing:
            for end in range(len(labels) - 1, 0, -1):
                if (found := self.trailing.get(".".join(labels[:end]))) is not None:
                    return found
        for pattern, number in self.patterns:
            matched = regex.search(pattern, name, ignore_case=True)
            if matched is None:
                return -1
            if matched:
                return number
        return None


def _claim(table: dict[str, int], key: str, number: int, shown: str, own: list[str]) -> None:
    if key not in table:
        table[key] = number
        if shown != "_":
            own.append(shown)
