"""The running kernel's firewall, asked for with the tools that list it. Needs root.

nft lists everything but loses the arguments of iptables' matches; iptables-save has them, for the
tables that iptables wrote. Legacy tables are seen by iptables-legacy-save alone.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from sslint.errors import UsageError
from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import Missing, Ruleset, Source, Table
from sslint.source import SourceFile
from sslint.tree import read_named

DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
TIMEOUT = 20  # seconds for one command
ENVIRONMENT = {"PATH": ":".join(DIRECTORIES), "LC_ALL": "C"}
Family = Literal[4, 6]
_PREFIX: dict[Family, str] = {4: "ip", 6: "ip6"}  # of tools' names, and the families of nft


class _CommandError(Exception):
    """A command that failed or did not end."""


def load_live() -> Ruleset:
    """Return the ruleset that is loaded now; its sources are named live:nft, live:iptables ..."""
    if os.geteuid() != 0:
        raise UsageError("--live needs root: the kernel lists its rules to root only")
    ruleset = Ruleset(families={4, 6})
    objects = _nft(ruleset)
    saved = [table for family in (4, 6) for table in _iptables_nft(ruleset, family, objects)]
    _read_json(ruleset, objects, saved)
    ruleset.tables += saved
    for family in (4, 6):
        _legacy(ruleset, family)
    _ipsets(ruleset)
    return ruleset


# -- nft --------------------------------------------------------------------------------------


def _nft(ruleset: Ruleset) -> list[dict[str, Any]]:
    command = _find("nft")
    if command is None:
        ruleset.missing.append(Missing("nft is not installed: its tables cannot be listed"))
        return []
    try:
        listing = json.loads(_run([command, "-j", "list", "ruleset"]))["nftables"]
    except (_CommandError, ValueError, KeyError, TypeError, RecursionError) as error:
        ruleset.missing.append(Missing(f"nft -j list ruleset: {error}", may_open=True))
        return []
    return [item for item in listing if isinstance(item, dict)]


def _read_json(ruleset: Ruleset, objects: list[dict[str, Any]], saved: list[Table]) -> None:
    """Read what iptables-save does not show: whole tables, and base chains beside iptables'."""
    shown: dict[tuple[str, str], Table] = {(t.family, t.name): t for t in saved}
    kept = [item for item in objects if not _shown(item, shown)]
    beside = {_owner(item) for item in kept if "chain" in item}
    kept = [
        item
        for item in objects
        if not _shown(item, shown) or ("table" in item and _owner(item) in beside)
    ]
    if not any("table" in item or "chain" in item for item in kept):
        return
    lines = ",\n".join(json.dumps(item) for item in kept)
    file = _file("nft", f'{{"nftables": [\n{lines}\n]}}\n')
    from sslint.firewalls.nftables import nft_json

    try:
        nft_json.read(file, into=ruleset)
    except RulesetError as error:
        ruleset.missing.append(Missing(f"live:nft: {error}", may_open=True))
    ruleset.sources[:] = [source for source in ruleset.sources if source.path != file.name]
    ruleset.sources.insert(0, Source("nft-json", file.name))


def _shown(item: dict[str, Any], shown: dict[tuple[str, str], Table]) -> bool:
    """Tell whether iptables-save shows an object: a table, or what is of one of its chains."""
    table = shown.get(_owner(item))
    if table is None:
        return False
    kind, value = next(iter(item.items()))
    chain = value.get("name" if kind == "chain" else "chain")
    return kind not in ("chain", "rule") or chain in table.chains


def _owner(item: dict[str, Any]) -> tuple[str, str]:
    kind, value = next(iter(item.items()), ("", None))
    if not isinstance(value, dict):
        return "", ""
    return str(value.get("family")), str(value.get("name" if kind == "table" else "table"))


# -- iptables ---------------------------------------------------------------------------------


def _iptables_nft(
    ruleset: Ruleset, family: Family, objects: list[dict[str, Any]]
) -> Iterator[Table]:
    """Yield the tables that iptables-nft wrote, as its own save command shows them."""
    tables = {
        item["table"]["name"]
        for item in objects
        if isinstance(item.get("table"), dict)
        and item["table"].get("family") == _PREFIX[family]
        and isinstance(item["table"].get("name"), str)
    }
    tables &= {"filter", "nat", "mangle", "raw", "security"}
    tables -= _native(objects, family)
    command = _nft_variant(f"{_PREFIX[family]}tables-save")
    if not tables or command is None:
        return
    found = _read_save(ruleset, family, command, "iptables")
    for table in found.tables if found is not None else ():
        if table.name in tables:
            yield table


def _native(objects: list[dict[str, Any]], family: Family) -> set[str]:
    """Name the tables with rules that iptables-save would print wrongly: anonymous sets."""
    names = set()
    for item in objects:
        rule = item.get("rule")
        if isinstance(rule, dict) and rule.get("family") == _PREFIX[family]:
            text = json.dumps(rule.get("expr"))
            if '"set":' in text or '"vmap":' in text or '"map":' in text:
                names.add(str(rule.get("table")))
    return names


def _legacy(ruleset: Ruleset, family: Family) -> None:
    """Read the legacy tables, if their module is loaded; asking the tool would load it."""
    names = _tables_loaded(family)
    if not names:
        return
    command = _find(f"{_PREFIX[family]}tables-legacy-save")
    if command is not None:
        found = _read_save(ruleset, family, command, "iptables-legacy")
        ruleset.tables += found.tables if found is not None else []
        return
    text = _python_iptables(family, names)
    if text is None:
        reason = "legacy tables are loaded, and neither iptables-legacy-save nor iptc is installed"
        ruleset.missing.append(Missing(reason, (family,), may_open=True))
        return
    found = _read_text(ruleset, family, text, "iptables-legacy")
    ruleset.tables += found.tables if found is not None else []


def _tables_loaded(family: Family) -> list[str]:
    try:
        return read_named(f"/proc/net/{_PREFIX[family]}_tables_names").decode().split()
    except OSError:
        return []


def _read_save(
    ruleset: Ruleset, family: Family, command: str, origin: Literal["iptables", "iptables-legacy"]
) -> Ruleset | None:
    try:
        text = _run([command])
    except _CommandError as error:
        ruleset.missing.append(Missing(f"{command}: {error}", (family,), may_open=True))
        return None
    return _read_text(ruleset, family, text, origin)


def _read_text(
    ruleset: Ruleset, family: Family, text: str, origin: Literal["iptables", "iptables-legacy"]
) -> Ruleset | None:
    name = ("iptables" if family == 4 else "ip6tables") + origin.removeprefix("iptables")
    file = _file(name, text)
    found = Ruleset()
    from sslint.firewalls import iptables

    try:
        iptables.read(file, family, origin=origin, into=found)
    except RulesetError as error:
        ruleset.missing.append(Missing(f"live:{name}: {error}", (family,), may_open=True))
        return None
    ruleset.sources.append(Source("iptables" if family == 4 else "ip6tables", file.name))
    if origin == "iptables-legacy":  # nft's tables are read beside it
        ruleset.missing += found.missing
    return found


def _python_iptables(family: Family, names: list[str]) -> str | None:
    """Write the legacy tables as a dump, with python-iptables; None if it is not installed."""
    try:
        import iptc
    except ImportError:
        return None
    kind = iptc.Table if family == 4 else iptc.Table6
    lines = []
    for name in names:
        table = kind(name)
        table.refresh()
        lines.append(f"*{name}")
        for chain in table.chains:
            policy = chain.get_policy() if chain.is_builtin() else None
            lines.append(f":{chain.name} {policy.name if policy is not None else '-'} [0:0]")
        for chain in table.chains:
            lines += [f"-A {chain.name} {_iptc_rule(rule)}" for rule in chain.rules]
        lines.append("COMMIT")
    return "\n".join([*lines, ""])


def _iptc_rule(rule: Any) -> str:
    words: list[str] = []
    anywhere = ("0.0.0.0/0.0.0.0", "0.0.0.0/0", "::/0", "::/::", None, "")
    for option, value in (
        ("-p", rule.protocol if rule.protocol not in ("ip", "ipv6") else None),
        ("-s", rule.src if rule.src not in anywhere else None),
        ("-d", rule.dst if rule.dst not in anywhere else None),
        ("-i", rule.in_interface),
        ("-o", rule.out_interface),
    ):
        if value:
            words += ["!", option, value[1:]] if value.startswith("!") else [option, value]
    for match in rule.matches:
        words += ["-m", match.name, *_iptc_parameters(match)]
    if rule.target is not None and rule.target.name:
        jump = "-g" if getattr(rule.target, "goto", False) else "-j"
        words += [jump, rule.target.name, *_iptc_parameters(rule.target)]
    return " ".join(words)


def _iptc_parameters(part: Any) -> list[str]:
    words = []
    for name, values in part.get_all_parameters().items():
        values = list(values)
        if values[:1] == ["!"]:
            words.append("!")
            values = values[1:]
        words += [f"--{name}", *(json.dumps(v) if " " in v else v for v in values)]
    return words


# -- ipset ------------------------------------------------------------------------------------


def _ipsets(ruleset: Ruleset) -> None:
    command = _find("ipset")
    if command is None or not Path("/sys/module/ip_set").exists():
        return
    from sslint.firewalls import ipset

    try:
        file = _file("ipset", _run([command, "save"]))
        ipset.read(file, into=ruleset)
        ipset.resolve(ruleset)
    except (_CommandError, RulesetError) as error:
        ruleset.missing.append(Missing(f"ipset save: {error}", may_open=True))


# -- commands ---------------------------------------------------------------------------------


def _find(name: str) -> str | None:
    """Find a command where root's commands are; PATH is the caller's and is not asked."""
    paths = (f"{directory}/{name}" for directory in DIRECTORIES)
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _nft_variant(name: str) -> str | None:
    """Find the save command that speaks to nf_tables, whatever the alternatives say."""
    variant = _find(name.replace("tables-", "tables-nft-"))
    if variant is not None:
        return variant
    plain = _find(name)
    if plain is not None and "legacy" not in os.path.basename(os.path.realpath(plain)):
        return plain
    return None


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - absolute path, fixed arguments, no shell # nosec B603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            env=ENVIRONMENT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _CommandError(str(error)) from None
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
        raise _CommandError(reason or f"exit status {done.returncode}")
    return done.stdout.decode("utf-8", "surrogateescape")


def _file(name: str, text: str) -> SourceFile:
    return SourceFile(f"live:{name}", f"live:{name}", text)
