"""The wheel carries every package and every file that the source tree has."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

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
