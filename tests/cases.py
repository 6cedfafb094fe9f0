"""Cases of rules: a sound host and a short list of edits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sslint.firewalls import nftables
from sslint.netfilter.model import Ruleset, Source
from sslint.reasons import Code
from sslint.targets import Target
from sslint.tree import Status, Tree
from sslint.tree.layers import Resolved
from tests import pki

HERE = Path(__file__).parent
SOUND = HERE / "sound"
EXAMPLES = HERE.parent / "examples"


def sound_hosts() -> list[str]:
    """Return the names of the sound hosts."""
    return sorted(path.name for path in SOUND.iterdir() if path.is_dir())


@dataclass(frozen=True)
class Case:
    """One case: a sound host, edits on it, and what the rule must say ("fires") or not."""

    rule: str
    name: str
    fires: bool
    host: str
    edits: tuple[dict[str, Any], ...]
    expect: dict[str, Any]
    settings: dict[str, Any]
    running: str | None = None

    def __str__(self) -> str:
        return f"{self.rule}: {'fires' if self.fires else 'silent'}: {self.name}"


def load_cases() -> list[Case]:
    """Return all cases of tests/rules."""
    cases = []
    for path in sorted((HERE / "rules").glob("*.yaml")):
        document = yaml.safe_load(path.read_text())
        for key in ("fires", "silent"):
            for entry in document.get(key, ()):
                cases.append(
                    Case(
                        path.stem,
                        entry["case"],
                        key == "fires",
                        entry.get("host", document.get("host", "")),
                        tuple(entry.get("edits", ())),
                        entry.get("expect", {}),
                        entry.get("settings", {}),
                        entry.get("running"),
                    )
                )
    return cases


def ruleset(text: str) -> Ruleset:
    """Return the ruleset that a text of nft makes."""
    found = Ruleset()
    tree = Tree(None, overlay={"/running.nft": text})
    nftables.read(tree, "/running.nft", found)
    found.sources.append(Source("nft", "running"))
    found.families = {4, 6}
    return found


def target(host: str, edits: tuple[dict[str, Any], ...] = (), **settings: Any) -> Target:
    """Return a sound host with edits on it. An edit that changes nothing is an error."""
    root = (SOUND / host).resolve()
    assert root.is_dir(), f"no sound host {host}"
    overlay: dict[str, str | None] = {}
    modes: dict[str, int] = {}
    denied: set[str] = set()
    owners: dict[str, tuple[int, int]] = {}
    for edit in edits:
        if "deny" in edit:
            denied.add("/" + edit["deny"])
        elif "owner" in edit:
            owners["/" + edit["owner"]] = tuple(edit["is"])
        elif "mode" in edit:
            modes["/" + edit["mode"]] = edit["is"]
        elif "remove" in edit:
            assert (root / edit["remove"]).exists(), edit
            overlay["/" + edit["remove"]] = None
        elif "certificate" in edit:
            chain, key = pki.files(edit["certificate"])
            overlay["/" + edit["chain"]] = chain
            if "key" in edit:
                overlay["/" + edit["key"]] = key
        elif "write" in edit:
            overlay["/" + edit["write"]] = edit["text"]
        else:
            path = "/" + edit["in"]
            text = overlay.get(path)
            if text is None:
                text = (root / edit["in"]).read_text()
            if "append" in edit:
                changed = text + edit["append"].replace("%SPKI%", pki.spki_hash())
            elif "prepend" in edit:
                changed = edit["prepend"] + text
            else:
                assert edit["replace"] in text, f"{edit['in']} has no {edit['replace']!r}"
                changed = text.replace(edit["replace"], edit["by"])
            assert changed != text, f"{edit} changes nothing"
            overlay[path] = changed
    tree = Tree(root, overlay=overlay)
    if denied:
        resolve = tree._layers.resolve
        why = (Code.DENIED, "Permission denied")
        tree._layers.resolve = lambda path: (
            Resolved("/denied", Status.UNKNOWN, why=why) if path in denied else resolve(path)
        )
    if owners:
        tree.owner = owners.get
    if modes:
        own = tree.mode
        tree.mode = lambda path: modes.get(path, own(path))
    return Target(host, tree, now=pki.NOW, **settings)
