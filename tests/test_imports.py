"""What a run imports and compiles is what it needs: a start is felt in every pre-commit run.

Imports inside functions are for start-up, and listed; import-linter sees to circles.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "linter/sslint"
ROOMS = ("netfilter", "network", "firewalls")
# What few hosts have, or few commands ask for.
LATE = {
    "netfilter.reach": {"explain", "loopback", "openings", "suggest", "trace"},
    "firewalls.discovery": {
        *("firewalld", "ipset", "iptables", "nftables", "nft_json", "ufw", "possible", "whole"),
    },
    "firewalls.docker": {"dump", "tables"},
    "firewalls.firewalld": {"direct"},
    "firewalls.firewalld.direct": {"iptables"},
    "firewalls.formats": {"possible"},
    "firewalls.ipset": {"xmlfile"},
    "firewalls.live": {"ipset", "iptables", "nft_json"},
    "firewalls.nftables.nft_json": {"lone_statement"},
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


# -- circles -----------------------------------------------------------------------------------


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a module imports somewhere, but for types alone."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sslint"):
            for alias in node.names:
                module = node.module or ""
                yield f"{module}.{alias.name}" if _is_module(module, alias.name) else module


def test_no_modules_need_each_other() -> None:
    """Facts know their collection by its type, and a room imports its reader when it is asked."""
    needs: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        needs[name] = {one for one in imports(path) if not f"{name}.".startswith(f"{one}.")}
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    assert not needs, "each of these is in a circle, or needs one that is"


# -- what a run imports ------------------------------------------------------------------------

_RUN = """
import sys
before = set(sys.modules)  # of what finds an editable installation, too
from sslint.cli import main
main(sys.argv[1:])
print(*sys.modules.keys() - before, file=sys.stderr)
"""
VERSION = set(
    "sslint sslint.arguments sslint.budgets sslint.cli sslint.errors sslint.plain sslint.regex"
    " sslint.reports sslint.reports.terminal sslint.usage sslint.values".split()
)
# Each takes 1 to 60 ms, and no host needs it that has a plain file of nginx alone.
DEAR = set(
    "ast asyncio concurrent configobj cryptography dataclasses decimal difflib dis dns email html"
    " http importlib.metadata importlib.resources inspect jsonschema logging multiprocessing"
    " random re2 shutil subprocess tempfile threading tokenize unittest uuid yaml".split()
)
MAX_MODULES = 173  # of sslint; each more takes 0.3 ms


def imported(*words: str | Path) -> set[str]:
    """Return the modules that a command imports."""
    command = [sys.executable, "-c", _RUN, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def of_sslint(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "sslint"}


def test_the_version_needs_the_command_line_alone() -> None:
    modules = imported("--version")
    assert of_sslint(modules) == VERSION
    assert not modules & (DEAR - {"shutil"} | {"ctypes", "json", "socket"})


@pytest.fixture(scope="module")
def nginx_alone(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    root = tmp_path_factory.mktemp("nginx")
    (root / "etc/nginx").mkdir(parents=True)
    (root / "etc/nginx/nginx.conf").write_text(
        "events {}\nhttp { server { listen 80; server_name a.example; } }\n"
    )
    return imported("check", root)


def test_a_check_imports_no_library_that_it_does_not_need(nginx_alone: set[str]) -> None:
    assert not nginx_alone & DEAR


def test_a_check_imports_the_readers_of_what_is_there(nginx_alone: set[str]) -> None:
    modules = of_sslint(nginx_alone)
    assert "sslint.servers.nginx.reader" in modules
    readers = {
        name for name in modules if name.startswith("sslint.servers.") and name.count(".") > 2
    }
    assert {name.split(".")[2] for name in readers} == {"nginx", "programs"}
    firewalls = ("firewalld", "iptables", "nftables", "nft_json", "ufw", "ipset", "speech")
    assert not {f"sslint.firewalls.{name}" for name in firewalls} & modules
    assert not {"sslint.netfilter.evaluation", "sslint.fixes"} & modules


def test_a_check_imports_few_modules(nginx_alone: set[str]) -> None:
    assert len(of_sslint(nginx_alone)) <= MAX_MODULES


# -- what is done while modules are imported ---------------------------------------------------


def at_import(path: Path) -> Iterator[ast.Call]:
    """Yield the calls of a module that are made when it is imported."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            yield node


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_no_pattern_is_compiled_that_nobody_may_ask_for(path: Path) -> None:
    compiled = [call.lineno for call in at_import(path) if ast.unparse(call.func) == "re.compile"]
    assert compiled == []  # `sslint.regex` compiles it when it is used
