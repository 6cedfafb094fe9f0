"""The documents of the bundled rules: YAML files, and the one JSON file that is made of them.

To parse the YAML would be a third of a run's time. A wheel holds the JSON file alone, which
setup.py makes when the wheel is built. A checkout holds the YAML files; `make` lays the JSON file
beside them (`python -m sslint.engine.compiled`), where it counts only while it is made of their
very texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslint.tree import kinds, read_bundled, replace_named

Documents = dict[str, list[dict[str, Any]]]  # by family
NAME = "compiled.json"


def documents(directory: Path) -> Documents:
    """Return the rules in a directory. Raise OSError if it holds neither kind of file."""
    import json

    texts = _texts(directory)
    try:
        compiled = json.loads(read_bundled(directory / NAME))
    except FileNotFoundError:
        if not texts:
            raise
        return _parse(texts)
    if texts and compiled.get("made_of") != _made_of(texts):
        return _parse(texts)
    found: Documents = compiled["rules"]
    return found


def write(directory: Path, to: Path) -> None:
    """Write the JSON file of the rules in a directory into another one. Raise OSError."""
    import json

    texts = _texts(directory)
    compiled = {"made_of": _made_of(texts), "rules": _parse(texts)}
    replace_named(str(to / NAME), json.dumps(compiled, ensure_ascii=False, indent=0) + "\n")


def _texts(directory: Path) -> dict[str, str]:
    """Return the YAML files, by their paths below the directory."""
    return {
        f"{family}/{name}": read_bundled(directory / family / name)
        for family, kind in sorted(kinds(directory).items())
        if kind == "directory"
        for name in sorted(kinds(directory / family))
        if name.endswith(".yaml")
    }


def _parse(texts: Mapping[str, str]) -> Documents:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: Documents = {}
    for path, text in texts.items():
        family = path.partition("/")[0]
        document = yaml.load(text, loader)  # noqa: S506 - a safe loader # nosec B506
        found.setdefault(family, []).append(document)
    return found


def _made_of(texts: Mapping[str, str]) -> str:
    """Return the hash by which Python, too, tells whether what it compiled is of a source."""
    from importlib.util import source_hash

    return source_hash("\0".join(part for pair in texts.items() for part in pair).encode()).hex()


if __name__ == "__main__":
    from sslint.bundled import directory

    write(directory("rules"), directory("rules"))
