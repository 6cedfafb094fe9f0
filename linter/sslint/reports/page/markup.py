"""HTML that is built from elements: what is not markup already is text, and is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "line", "path", "rect", "circle", "use"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element. `class_` is the attribute class, `aria_label` is aria-label.

    An attribute that is None or False is left out, one that is True has no value; so is a child
    that is None. A list is its items.
    """
    head = name + "".join(
        f" {key.strip('_').replace('_', '-')}" + ("" if value is True else f'="{_quoted(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID and not children:
        return Markup(f"<{head}>" if name == "meta" else f"<{head}/>")
    return Markup(f"<{head}>{joined(children)}</{name}>")


def joined(children: Iterable[object], between: str = "") -> Markup:
    """Return children one after the other."""
    return Markup(between.join(_child(child) for child in children if child is not None))


def _child(child: object) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, (list, tuple)):
        return joined(child)
    return escape(str(child), quote=False)


def _quoted(value: object) -> str:
    return escape(str(value))
