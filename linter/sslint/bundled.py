"""What comes with sslint beside its code: the rules and the JSON Schemas."""

from __future__ import annotations

from pathlib import Path

from sslint.tree import read_bundled


def directory(name: str) -> Path:
    """Return where the data of a package lies; importlib.resources would cost 10 ms at start."""
    from importlib import import_module

    return Path(import_module(f"sslint.{name}").__path__[0])


def schema_path(name: str) -> Path:
    """Return where one of the JSON Schemas lies that come with sslint."""
    return directory("schemas") / f"{name}.schema.json"


def schema_text(name: str) -> str:
    """Return one of the JSON Schemas that come with sslint."""
    text: str = read_bundled(schema_path(name))
    return text
