"""What rules say: templates filled with the fields of a fact, and the words for their codes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sslint.engine.language import Fact, Span, reader
from sslint.regex import regex

_PLACEHOLDER = regex(r"\{([a-z_][a-z0-9_.]*)(?:\|(and|or|blank))?\}")
_OBEYED = regex(r"[;&|`$<>\\\n'\"#!]|\s-")
MAX_NAMED = 5  # names of a list that a sentence tells before it only counts them

Words = Mapping[str, str | Mapping[str, str]]
"""For a field: what each code means ("*": any other, "unknown": none), or what is written where it
is not known. They may name other fields in their turn."""


def fill(
    template: str, fact: Fact, words: Words = MappingProxyType({}), *, to_paste: bool = False
) -> str:
    """Fill `{field}` placeholders from a fact.

    A list is joined by commas, as `{field|or}` with "or" before its last item, as
    `{field|blank}` by blanks, for a command. What has no word in
    `words` is shown as it is, or as `?` where it is not known. `to_paste`: it may be pasted into a
    shell, so what a shell would obey is quoted.
    """

    if "{" not in template:
        return template

    def value(match: re.Match[str]) -> str:
        name, conjunction = match[1], match[2]
        if name not in words:
            found = reader(name)(fact)
            if isinstance(found, (str, int)):
                return _quoted(str(found)) if to_paste else str(found)
        rest = {other: word for other, word in words.items() if other != name}

        def said(item: object) -> str:
            word = _word(words.get(name, {}), item)
            if word is not None:
                return fill(word, fact, rest, to_paste=to_paste)
            text = _shown(item)
            return _quoted(text) if to_paste else text

        found = reader(name)(fact)
        if not isinstance(found, (list, tuple)):
            return said(found)
        if not found and name in words:
            return said(None)
        texts = [said(item) for item in found]
        if conjunction == "blank":
            return " ".join(texts)
        return enumerated(texts, conjunction) if conjunction else ", ".join(texts)

    return _PLACEHOLDER.sub(value, template)


def _word(own: str | Mapping[str, str], item: object) -> str | None:
    """Return the rule's own word for a value, None if it has none."""
    if isinstance(own, str):
        return own if item is None else None
    return own.get("unknown" if item is None else str(item), own.get("*"))


def _shown(item: object) -> str:
    if isinstance(item, Span):
        return f"{item.location.path}:{item.location.line}"
    return "?" if item is None else str(item)


def _quoted(text: str) -> str:
    """Return what a shell takes for one word as it stands."""
    if text.startswith("-"):  # quotes keep no option from being one
        return "NAME"
    if not _OBEYED.search(text):
        return text
    from shlex import quote

    return quote(text)


def enumerated(items: Sequence[Any], conjunction: str = "and") -> str:
    """Return a list as a sentence has it: "a, b and c"; of a long one only the first names."""
    texts = [str(item) for item in items]
    if len(texts) > MAX_NAMED + 1:
        texts = [*texts[:MAX_NAMED], f"{len(texts) - MAX_NAMED} more"]
        conjunction = "and"
    head, last = ", ".join(texts[:-1]), texts[-1:]
    return f" {conjunction} ".join([*([head] if head else []), *last])


def described(template: str, words: Words) -> str:
    """Return a template for the manual: its fields as what they mean, not as one host has them."""

    def meaning(match: re.Match[str]) -> str:
        found = words.get(match[1])
        if found is None:  # a user's own rule
            return "the " + match[1].rsplit(".", 1)[-1].replace("_", " ")
        rest = {other: word for other, word in words.items() if other != match[1]}
        texts = [found] if isinstance(found, str) else found.values()
        return ", or ".join(dict.fromkeys(described(text, rest) for text in texts))

    return _PLACEHOLDER.sub(meaning, template)


def placeholders(template: str) -> list[str]:
    """Return the fields that a template names."""
    return [match[1] for match in _PLACEHOLDER.finditer(template)]
