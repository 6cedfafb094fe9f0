"""What makes two rules one to `iptables -D` and `-C`: more than the packets that they match.

A comment, another match that says the same, or the same matches in another order make another
rule; `--dports 80,443` and `--dports 443,80` are two (run on iptables 1.8.11).
"""

from __future__ import annotations

from sslint.firewalls.iptables.arguments import Arguments
from sslint.values import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of a rule's matches and target in their order, and all their arguments."""

    names: tuple[str, ...]
    comments: tuple[str, ...]
    arguments: tuple[str, ...]


def identity(arguments: Arguments) -> Identity:
    """Return what iptables compares beside addresses, interfaces and the protocol."""
    target = [arguments.target] if arguments.target is not None else []
    extensions = [*arguments.matches, *target]
    return Identity(
        (*(one.name for one in arguments.matches), arguments.jump, str(arguments.goto)),
        tuple(repr(one.given) for one in arguments.matches if one.name == "comment"),
        tuple(f"{sorted(one.given.items())!r} {one.words!r}" for one in extensions),
    )


def same_rule(one: Identity | None, other: Identity | None) -> bool | None:
    """Tell whether rules that match the same packets are one; None: that is not known."""
    if one is None or other is None:
        return None
    if one.names != other.names or one.comments != other.comments:
        return False
    return True if one.arguments == other.arguments else None
