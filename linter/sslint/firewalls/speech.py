"""How the owner of a ruleset is told to change it: in its own files and in its own commands.

Each format has a module `speech` in its room, which is a `Speech`; `of` finds it by the table's
origin. What is said is of this host's ruleset alone: names that a command would take for something
else get no command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast

from sslint.regex import regex
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.netfilter.model import Chain
    from sslint.netfilter.notes import Note
    from sslint.netfilter.openings import Opening
    from sslint.netfilter.suggest import Suggestion
    from sslint.source import Location, SourceFile
    from sslint.tree import Tree

Transport = Literal["tcp", "udp"]
# A name that stands in a command: nft joins its arguments and parses them again, so that quotes
# do not keep `f i accept ; flush ruleset ; #` together, and what begins with `-` is an option.
NAME = regex(r"[A-Za-z0-9_][A-Za-z0-9_.:/+@-]{0,127}")


@dataclass(frozen=True, slots=True)
class Insertion:
    """One rule to insert: commands that do it, and the text beside a line of the owner's file.

    `place` is None where the host's files do not hold what the rule belongs to.
    """

    commands: tuple[str, ...]
    place: Location | None = None
    text: str = ""
    after: bool = False  # the line, not before it


class Speech(Protocol):
    """What a format says of a change: a module."""

    def places(self, note: Note, /) -> Sequence[tuple[Chain, int]] | None:
        """Return where its own program inserts a rule against what closes a port.

        None where it may stand anywhere.
        """

    def insertion(self, tree: Tree, suggestion: Suggestion, /) -> Insertion | None:
        """Return how the suggested rule is inserted, None where nothing is sure."""

    def removal(self, opening: Opening, port: int, other_served: bool, /) -> tuple[str, ...] | None:
        """Return the commands that take back what opens a port, none where they close more.

        None where the line is to be removed from its file instead. `other_served`: the same port
        of the other transport has a listener.
        """


_MODULES = {
    "ufw": "sslint.firewalls.ufw_speech",
    "firewalld": "sslint.firewalls.firewalld.speech",
    "iptables": "sslint.firewalls.iptables.speech",
    "iptables-legacy": "sslint.firewalls.iptables.speech",
    "nft": "sslint.firewalls.nftables.speech",
}


def of(origin: str) -> Speech:
    """Return the speech of the format that a table comes from (`Table.origin`)."""
    return cast(Speech, import_module(_MODULES[origin]))


def places(note: Note) -> Sequence[tuple[Chain, int]] | None:
    """Return where the owner of the table that closes a port inserts a rule, None for anywhere."""
    return of(note.table.origin).places(note)


def beside(suggestion: Suggestion) -> tuple[Location, bool] | None:
    """Return the line beside which a rule is inserted where it decides, and whether after it.

    None for a chain that holds no rule: each format knows where the first one stands.
    """
    if suggestion.before is not None:
        return suggestion.before.location, False
    rules = suggestion.chain.rules
    return (rules[-1].location, True) if rules else None


def only_line(file: SourceFile, fits: Callable[[str], bool]) -> Location | None:
    """Return the one line of a file that fits, None if there is not just one."""
    lines = [n for n in range(1, len(file.starts) + 1) if fits(file.line(n))]
    return file.at(lines[0]) if len(lines) == 1 else None
