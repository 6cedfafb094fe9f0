"""No program looks at a sentence: what decides is a code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sslint.reasons import Code, Problem, Reason, about
from sslint.source import SourceFile
from sslint.tree import Tree

PACKAGE = Path(__file__).parents[1] / "linter/sslint"
SENTENCES = frozenset(("reason", "reasons", "sentence", "message", "said", "why"))
LOOKS = frozenset(
    ("startswith", "endswith", "find", "index", "partition", "removeprefix", "replace", "split")
)
SEARCHES = frozenset(("search", "match", "fullmatch", "findall", "finditer", "sub"))
KNOWN = {
    ("arguments.py", "message"),  # argparse's own loses a word before it is shown
    ("silence.py", "reason"),  # the user's, up to the end of the comment
    ("reports/fields.py", "said"),  # a schema
    ("revisions.py", "said"),  # git's protocol
}


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str":
        return _name(node.args[0]) if node.args else ""
    return node.id if isinstance(node, ast.Name) else ""


def looked_at(source: str) -> set[str]:
    """Return the names of sentences that a module searches, takes apart or looks into."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in LOOKS:
                found.add(_name(node.func.value))
            if node.func.attr in SEARCHES:
                found |= {_name(argument) for argument in node.args}
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            left = node.left
            if not isinstance(left, ast.Constant) or isinstance(left.value, str):
                found |= {_name(one) for one in node.comparators if isinstance(left, ast.Constant)}
    return found & SENTENCES


@pytest.mark.parametrize(
    "source",
    [
        "if problem.reason.endswith('denied'): pass",
        "if 'excluded' in reason: pass",
        "_HAS_RULE.search(reason)",
        "str(error.message).partition(':')",
    ],
)
def test_what_looks_at_a_sentence_is_found(source: str) -> None:
    assert looked_at(source)


def test_nothing_looks_at_a_sentence() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        for name in looked_at(path.read_text())
    }
    assert found == KNOWN


def test_what_is_excluded_is_no_problem_whatever_its_words(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.problem("/etc/x", "is excluded by the configuration of its owner")
    tree.problem("/etc/y", "left out", code=Code.EXCLUDED)
    assert [problem.path for problem in tree.problems] == ["etc/x"]


def test_sentences_follow_from_the_code() -> None:
    assert about("a", Code.DENIED, "EACCES") == "a cannot be read: permission denied"
    assert about("a", Code.UNREADABLE, "Too many links") == "a cannot be read: Too many links"
    assert about("a", Code.UNUSABLE, "is not YAML") == "a is not YAML"
    assert about("a", Code.TEMPLATE, "a template") == "a: a template"
    place = SourceFile("/etc/a", "etc/a", "x\ny\n").at(2)
    assert str(Reason(Code.REFUSED, place, "no")) == "etc/a:2: no"
    problem = Problem("etc/a", "", place, subject="/etc/b", code=Code.DENIED)
    assert problem.sentence == "etc/a:2:1: /etc/b cannot be read: permission denied"
