"""Imports inside functions are for start-up, and listed; import-linter sees to circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "linter/sslint"
ROOMS = ("netfilter", "network", "firewalls")
# What few hosts have, or few commands ask for.
LATE = {
    "netfilter.reach": {"explain", "openings", "suggest", "trace"},
    "firewalls.discovery": {
        *("firewalld", "ipset", "iptables", "nftables", "nft_json", "ufw", "possible", "whole"),
    },
    "firewalls.docker": {"dump", "tables"},
    "firewalls.firewalld": {"direct"},
    "firewalls.firewalld.direct": {"iptables"},
    "firewalls.formats": {"possible"},
    "firewalls.ipset": {"xmlfile"},
    "firewalls.live": {"ipset", "iptables", "nft_json"},
    "firewalls.nftables.nft_json": {"inner"},
    "firewalls.nftables.cursor": {"datatypes"},
}


def late_imports(path: Path) -> Iterator[str]:
    """Yield the modules of sslint that functions import, by their last name."""
    tree = ast.parse(path.read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sslint"):
                named = [alias.name for alias in node.names]
                modules = [name for name in named if _is_module(node.module or "", name)]
                yield from modules or [(node.module or "").rpartition(".")[2]]


def _is_module(package: str, name: str) -> bool:
    place = PACKAGE.parent / Path(*package.split(".")) / name
    return place.is_dir() or place.with_suffix(".py").is_file()


def test_late_imports_are_those_that_are_listed() -> None:
    found: dict[str, set[str]] = {}
    for path in (path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")):
        if "scripts" in path.parts:
            continue  # a shell, which calls itself
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if late := set(late_imports(path)):
            found[name.removesuffix(".__init__")] = late
    assert found == LATE
