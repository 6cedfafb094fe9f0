"""Find words that a reader of messages, rules and documentation stumbles over.

`python -m tests.words` lists them, with file and line, and fails if there are any.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parent.parent

WORDS = {
    r"\bwhom\b": "name the clients or the host",
    r"\banew\b": "again, or rebuilt",
    r"\b(?:some|no)body (?:else )?(?:counts|wrote|opened|copied|is told|tells)\b": "name who",
    r"\bmeant for (?:nobody|everyone)\b": "declared internal, or the whole Internet",
    r"\bwhoever\b": "clients, addresses outside ...",
    r"\bcomes? about\b": "fails, is established",
    r"\bcounts? on (?:it|the port|a port)\b": "is published, is named by a rule",
    r"\b(?:is|are) told (to|of)\b": "published for clients",
    r"\b(?:clients|browsers|senders) are told\b": "published for clients",
    r"\blet (?:in|through)\b": "accepted, passes",
    r"\bmend(?:s|ed)?\b": "correct",
    r"\btongues?\b": "protocol",
    r"\bnext door\b": "say where",
    r"\bharms nobody\b": "does no harm",
    r"(?<!\bthere )\bis no (?!longer\b|release\b|finding\b)[a-z]+": "is not a ...",
    r"\bthe one [^.;]{1,40}, the other\b": "name both",
    r"\bof (?:one's|its) own choice\b": "another",
    r"\bwithout a word\b": "silently, logs nothing",
    r"\binto the void\b": "say where",
    r"\bgoes without saying\b": "leave out",
    r"\b(?:is|are) taken to be\b": "is assumed to be",
    r"\bis not here\b": "is missing",
    r"\bwould not load\b": "cannot be loaded",
    r"\bmade anew\b": "rebuilt",
    r"\btake (?:it|them|the \w+) out\b": "remove",
    r"\bkeeps? (?:it|the port) closed\b": "closes the port",
}
_BAD = {re.compile(pattern): better for pattern, better in WORDS.items()}


def texts() -> Iterator[tuple[str, int, str]]:
    """Yield each line or message that a user may read: its file, its line and its text."""
    pages = (TOP / "README.md", TOP / "CONTRIBUTING.md")
    for path in (*pages, *sorted(TOP.glob("rules/*/*.yaml"))):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield str(path.relative_to(TOP)), number, line
    for path in sorted((TOP / "linter").rglob("*.py")):
        for number, text in _literals(ast.parse(path.read_text())):
            yield str(path.relative_to(TOP)), number, text


def _literals(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the string literals of a module that are not docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, "" if id(node) in docstrings else node.value


def faults(text: str) -> list[str]:
    """Return the words of the list that are in a text, each with what to write instead."""
    return [
        f"{match[0]!r}: {better}"
        for pattern, better in _BAD.items()
        for match in pattern.finditer(text)
    ]


def found() -> list[str]:
    """Return each word of the list with its place."""
    return [f"{path}:{number}: {fault}" for path, number, text in texts() for fault in faults(text)]


if __name__ == "__main__":
    print("\n".join(bad := found()))
    sys.exit(1 if bad else 0)
