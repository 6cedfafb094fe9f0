"""Every rule with an edit: the real programs and the kernel take what `fix --write` makes."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from sslint.cli import main
from sslint.fixes import kind_of
from tests import cases, pki
from tests.live import validators
from tests.live.kernel.lab import Lab, run
from tests.live.kernel.managers import DEFAULTS, UFW, FirewalldLab, UfwLab
from tests.live.kernel.packets import Packet
from tests.test_fixes import EDITABLE
from tests.test_rules import CASES, RULES, _host

pytestmark = pytest.mark.live(
    "nginx", "apache2", "postfix", "doveconf", "haproxy", "lighttpd", "nft",
    "iptables-nft-restore", "unshare", "ufw", "firewall-offline-cmd", "firewalld", "dbus-daemon",
)  # fmt: skip

CLIENT = {4: "8.8.4.4", 6: "2a00:1450::1"}
OWN = {4: "198.51.100.1", 6: "2001:db8:1::1"}
FILES = {"etc/nftables.conf": "nft", "etc/iptables/rules.v4": "v4", "etc/iptables/rules.v6": "v6"}
STARTS = ("apache-listen-order", "nginx-removed-directive")  # a server that does not start today
VERDICTS = {"open": True, "closed": False}


@pytest.mark.parametrize("rule", EDITABLE)
def test_what_is_written_holds(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: Kernel
) -> None:
    seen = set()
    for number, case in enumerate(one for one in CASES if one.rule == rule and one.fires):
        if case.running is not None:
            continue
        top = tmp_path / f"{number}"
        root = materialise(case, top)
        monkeypatch.chdir(top)
        before, old = _report(), _contents(root)
        _run("fix", "--write", "--allow-open", "--rule", rule)
        new = _contents(root)
        edited = tuple(sorted(path for path in new if new[path] != old[path]))
        if not edited:
            continue
        assert set(new) == set(old)
        after = _report()
        assert _found(after) < _found(before), f"{case}: {_found(after) - _found(before)}"
        assert {one for one in _found(after) if one[0] == rule} != {
            one for one in _found(before) if one[0] == rule
        }, case
        if kind_of(RULES[rule]) == "safe" and rule not in STARTS:
            assert _open(after) <= _open(before), case
        _run("fix", "--write", "--allow-open", "--rule", rule)
        assert _contents(root) == new, case
        if edited in seen:
            continue
        seen.add(edited)
        for command, (status, said) in validators.of(root, edited).items():
            assert status == 0, f"{case}: {command}: {said}"
            assert "overriding earlier entry" not in said, f"{case}: {said}"
        if any(path in FILES or path.startswith(("etc/ufw", "etc/firewalld")) for path in edited):
            assert kernel.differs(root, after) == [], case
    assert seen, "no case of it is mended"


def materialise(case: cases.Case, top: Path) -> Path:
    """Write a case's host below a directory, with its settings beside it; return its root."""
    tree = _host(case).tree
    root = top / "host"
    assert tree.root is not None
    shutil.copytree(tree.root, root, symlinks=True)
    for path, text in tree.overlay.items():
        place = root / path[1:]
        if text is None:
            place.unlink()
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode("utf-8", "surrogateescape"))
    for edit in case.edits:
        if "mode" in edit:
            (root / edit["mode"]).chmod(edit["is"])
    (top / ".sslint.yaml").write_text(yaml.safe_dump(case.settings) if case.settings else "")
    return root


def _run(*arguments: str) -> str:
    out = io.StringIO()
    where = ("host", "--config", ".sslint.yaml", "--now", pki.NOW.isoformat())
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        main([arguments[0], *where, *arguments[1:]])
    return out.getvalue()


def _report() -> dict[str, Any]:
    report: dict[str, Any] = json.loads(_run("check", "--format", "json"))
    return report


def _contents(root: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for path in files
    }


def _found(report: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the rules and entities of all findings, and of what follows from them."""
    every = [one for f in report["findings"] for one in (f, *f["also_affects"])]
    return {(one["rule"], one["entity"]) for one in every}


def _open(report: dict[str, Any]) -> set[tuple[str, int, int]]:
    return {
        (endpoint["transport"], endpoint["port"], family)
        for endpoint in report["endpoints"]
        for family in (4, 6)
        if (reach := endpoint["reach"][f"ipv{family}"]) and reach["verdict"] != "closed"
    }


# -- the kernel -----------------------------------------------------------------------------------


class Kernel:
    """Loads a tree's firewall, each kind in a process of its own, and sends packets."""

    def __init__(self) -> None:
        self._pools: dict[type[Lab], ProcessPoolExecutor] = {}

    def differs(self, root: Path, report: dict[str, Any]) -> list[str]:
        """Return where the kernel lets a client in and the report does not say so, or the reverse.

        What is unknown, or differs by source, is not asked.
        """
        asked = {}
        for endpoint in report["endpoints"]:
            for family in (4, 6):
                reach = endpoint["reach"][f"ipv{family}"]
                if reach and reach["verdict"] in VERDICTS and not endpoint["reached_as"]:
                    key = (endpoint["transport"], endpoint["port"], family)
                    asked[key] = VERDICTS[reach["verdict"]] or asked.get(key, False)
        packets = [
            Packet(transport, CLIENT[family], OWN[family], "eth0", 40000, port)
            for transport, port, family in asked
        ]
        passed = self._of(root).submit(_send, root, packets).result(timeout=60)
        return [
            f"{packet}: {got}"
            for packet, got, said in zip(packets, passed, asked.values(), strict=True)
            if got is not said
        ]

    def _of(self, root: Path) -> ProcessPoolExecutor:
        kind: type[Lab] = Lab
        if (root / "etc/ufw").exists():
            kind = UfwTree
        elif (root / "etc/firewalld").exists():
            kind = FirewalldTree
        if kind not in self._pools:
            context = multiprocessing.get_context("fork")
            self._pools[kind] = ProcessPoolExecutor(1, context, _begin, (kind,))
        return self._pools[kind]

    def close(self) -> None:
        """End the processes, and with them what they made."""
        for pool in self._pools.values():
            pool.shutdown()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Yield the kernel's own judgement, made when it is asked for."""
    made = Kernel()
    yield made
    made.close()


class UfwTree(UfwLab):
    """A host with the ufw files of a tree."""

    def _write(self, rulesets: Any) -> None:
        super()._write({})
        root = Path(rulesets["root"])
        shutil.copytree(root / "etc/ufw", UFW, dirs_exist_ok=True)
        text = (root / "etc/default/ufw").read_text()
        DEFAULTS.write_text(text.replace("IPT_SYSCTL=", "#IPT_SYSCTL="))

    def _add(self, _rulesets: Any) -> None:
        for path in UFW.rglob("*"):
            os.chown(path, 0, 0)


class FirewalldTree(FirewalldLab):
    """A host with the firewalld files of a tree."""

    def load(self, rulesets: Any) -> None:
        """Write the files and reload the daemon."""
        etc = Path(rulesets["root"], "etc/firewalld")
        files = {p.relative_to(etc).as_posix(): p.read_text() for p in etc.rglob("*.*ml")}
        settings = etc / "firewalld.conf"  # without it firewalld takes its own values
        text = settings.read_text() if settings.exists() else ""
        super().load(files | {"firewalld.conf": text})


_lab: list[Lab] = []


def _begin(kind: type[Lab]) -> None:
    _lab[:] = [kind()]


def _send(root: Path, packets: list[Packet]) -> list[bool]:
    (lab,) = _lab
    rulesets = {kind: (root / path).read_text() for path, kind in FILES.items()
                if (root / path).exists()}  # fmt: skip
    lab.load(rulesets if type(lab) is Lab else {"root": str(root)})
    run("ip", "link", "show", "eth0")
    return lab.send(packets)
