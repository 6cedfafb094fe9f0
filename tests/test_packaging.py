"""The wheel carries every package and every file of the source tree, and the rules as one file."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from sslint.engine import compiled

TOP = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_and_file_is_named() -> None:
    package = TOP / "linter/sslint"
    directories = {path.parent for path in package.rglob("*.py")}
    names = {".".join(("sslint", *path.relative_to(package).parts)) for path in directories}
    assert names | {"sslint.rules", "sslint.schemas"} == set(SETUPTOOLS["packages"])
    for path in package.rglob("*"):
        if path.is_dir() or path.suffix in (".py", ".pyc"):
            continue
        name = ".".join(("sslint", *path.parent.relative_to(package).parts))
        patterns = SETUPTOOLS["package-data"].get(name, [])
        assert any(fnmatch(path.name, pattern) for pattern in patterns), path


# -- the rules, compiled ------------------------------------------------------------------------

RULE = "name: {}\nsummary: x\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a directory of rules with the file that is made of them."""
    for path in ("a/one.yaml", "a/two.yaml", "b/three.yaml"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(RULE.format(Path(path).stem))
    compiled.write(tmp_path, tmp_path)
    return tmp_path


def names(rules: Path) -> dict[str, list[str]]:
    found = compiled.documents(rules)
    return {family: [one["name"] for one in documents] for family, documents in found.items()}


def test_the_compiled_rules_are_those_of_the_files(rules: Path) -> None:
    read = names(rules)
    assert read == {"a": ["one", "two"], "b": ["three"]}
    (rules / compiled.NAME).unlink()
    assert names(rules) == read


def test_compiled_rules_need_no_files(rules: Path) -> None:
    read = names(rules)
    for path in rules.glob("*/*.yaml"):
        path.unlink()
    assert names(rules) == read
    (rules / compiled.NAME).unlink()
    with pytest.raises(FileNotFoundError):
        names(rules)


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename", "move", "old form"])
def test_compiled_rules_of_other_files_are_not_used(rules: Path, change: str) -> None:
    one = rules / "a/one.yaml"
    if change == "edit":
        one.write_text(RULE.format("own"))  # as long, and in the same second
    elif change == "add":
        (rules / "b/four.yaml").write_text(RULE.format("four"))
    elif change == "remove":
        one.unlink()
    elif change == "rename":
        one.rename(rules / "a/zero.yaml")
    elif change == "move":
        one.rename(rules / "b/one.yaml")
    else:
        (rules / compiled.NAME).write_text(json.dumps({"a": [], "b": []}))
    read = names(rules)
    (rules / compiled.NAME).unlink()
    assert read == names(rules)


def test_the_build_compiles_the_rules(tmp_path: Path) -> None:
    """What pip and `python -m build` do, without the network that they fetch setuptools from."""
    pytest.importorskip("setuptools", minversion="77")
    command = ["setup.py", "-q", "egg_info", "-e", tmp_path, "build", "-b", tmp_path / "build"]
    subprocess.run([sys.executable, *command], cwd=TOP, check=True, capture_output=True)
    built = next((tmp_path / "build").glob("lib*/sslint/rules"))
    assert [path.name for path in built.rglob("*")] == [compiled.NAME]
    assert compiled.documents(built) == compiled.documents(TOP / "rules")
