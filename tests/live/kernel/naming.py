"""One ruleset under its three names: in the tree, by --firewall and by `firewall:`."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import random
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path

from sslint import cli
from tests.live.kernel.campaign import LABS
from tests.live.kernel.generators import Case, generate
from tests.live.kernel.judge import load
from tests.live.kernel.lab import INTERFACES, ROUTER4, ROUTER6, Lab, Refused, run

PORTS = ("22", "443", "993/tcp", "53/udp")
PLACES = {  # by the kind of the text: the flag's kind, and the place in a host's etc/
    "nft": ("nft", "nftables.conf"),
    "v4": ("iptables", "iptables/rules.v4"),
    "v6": ("ip6tables", "iptables/rules.v6"),
    "ipset": ("ipset", "iptables/ipsets"),
}
DIRECTORIES = {"ufw": "ufw", "firewalld": "firewalld"}
PIECES = {  # any of a manager's files names it whole
    "ufw": ("", "user.rules", "user6.rules", "before.rules", "after6.rules"),
    "firewalld": ("", "firewalld.conf"),
}
ORDER = ("nft", "ipset", "v4", "v6")  # in which a boot loads them

Answers = dict[str, list[str]]


@dataclass
class Names:
    """The figures of a comparison."""

    kind: str
    seed: int
    rulesets: int = 0
    packets: int = 0
    unknown: int = 0
    failures: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.rulesets} rulesets ({dict(self.kinds)}), {self.packets} packets "
            f"under each name, {self.unknown} unknown, {len(self.failures)} differ, "
            f"seed {self.seed}"
        )


def compare(kind: str, count: int, packets: int, seed: int) -> Names:
    """Compare the names of so many random rulesets, in a process with a lab of its own."""
    names = Names(kind, seed)
    tasks = [(kind, seed + number, packets) for number in range(count)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        for number, (kinds, answers, failure) in enumerate(pool.map(_one, tasks)):
            names.rulesets += bool(answers)
            names.kinds.update(kinds)
            names.packets += len(answers)
            names.unknown += sum("unknown" in answer for answer in answers)
            if failure:
                names.failures.append(f"{kind} seed {seed + number}: {failure}")
    return names


_labs: dict[str, Lab] = {}


def _one(task: tuple[str, int, int]) -> tuple[list[str], list[str], str]:
    """Load one ruleset, and ask for the same packets and ports under each of its names."""
    kind, seed, packets = task
    case = generate(kind, seed, packets)
    words = random.Random(f"names {kind} {seed}")
    try:
        lab = _labs.get(kind)
        if lab is None:
            lab = _labs[kind] = LABS.get(kind, Lab)()
        load(lab, case)
        accepted = lab.send(case.packets)
        listed = "" if case.files else run("nft", "-j", "list", "ruleset")
    except Refused:
        return [], [], ""
    try:
        with tempfile.TemporaryDirectory(prefix="sslint-names-") as directory:
            work = Work(Path(directory).resolve(), case, words)
            answers = work.ask()
            if "nft" in case.rulesets and set(case.rulesets) == {"nft"}:
                answers |= work.ask_listing(listed)
    except Exception:
        return [], [], traceback.format_exc()
    by_tree = answers["tree"]
    for name, found in answers.items():
        for one, (other, asked) in zip(by_tree, zip(found, work.asked, strict=True), strict=True):
            listing = name.startswith("json")  # what nft prints is not what was written
            if one != other and not (listing and "unknown" in one + other):
                return work.kinds, by_tree, f"{asked}\n  tree: {one}\n  {name}: {other}\n{work}"
    for answer, packet, passed in zip(by_tree, case.packets, accepted, strict=False):
        if answer not in ("unknown", "accept" if passed else "drop"):
            return work.kinds, by_tree, f"{packet}: {answer}, and the kernel: {passed}\n{work}"
    return work.kinds, by_tree, ""


class Work:
    """A work tree with a host, its ruleset beside it, and the same ruleset in its etc/."""

    def __init__(self, top: Path, case: Case, words: random.Random) -> None:
        self.top = top
        (top / ".git").mkdir()
        self.packets = top / "packets"
        self.packets.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in case.packets))
        self.asked = [str(packet) for packet in case.packets]
        self.asked += [f"{port} over IPv{family}" for port in PORTS for family in (4, 6)]
        self.beside = "deploy/etc" if words.random() < 0.6 else "deploy"
        self.named: list[str] = []
        self.kinds: list[str] = []
        for etc in ("host/etc", "tree/etc"):
            self._write(f"{etc}/nginx/nginx.conf", "events {}\nhttp {}\n")
            self._write(f"{etc}/network/interfaces", interfaces())
        files = _files(case, words, whole=self.beside.endswith("etc"))
        for path, text in files.items():
            self._write(f"{self.beside}/{path}", text)
            self._write(f"tree/etc/{path}", text)
        for manager, directory in DIRECTORIES.items():
            if any(path.startswith(f"{directory}/") for path in files):
                piece = words.choice(PIECES[manager])
                self._name(manager, f"{self.beside}/{directory}/{piece}".rstrip("/"))
        for text in ORDER:
            if text in case.rulesets:
                self._name(PLACES[text][0], f"{self.beside}/{PLACES[text][1]}")
        config = "".join(f"      - {name}\n" for name in self.named)
        self._write(".sslint.yaml", f"hosts:\n  h:\n    root: host\n    firewall:\n{config}")

    def _name(self, kind: str, path: str) -> None:
        self.named.append(f"{kind}={path}")
        self.kinds.append(kind)

    def _write(self, path: str, text: str) -> None:
        place = self.top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def __str__(self) -> str:
        parts = [f"  {' '.join(self.named)}"]
        for path in sorted((self.top / "tree").rglob("*")):
            if path.is_file():
                parts += [f"  --- {path.relative_to(self.top)}", path.read_text()]
        return "\n".join(parts)

    def ask(self) -> Answers:
        """Return the answers by name."""
        flags = [word for name in self.named for word in ("--firewall", name)]
        return {
            "tree": self._answers(["tree"], "--no-config"),
            "flag": self._answers(["host"], "--no-config", *flags),
            "configuration": self._answers([], "--config", str(self.top / ".sslint.yaml")),
        }

    def ask_listing(self, listed: str) -> Answers:
        """Return the answers for what `nft -j list ruleset` prints."""
        data = json.loads(listed)
        ours = ("sslint_lab",)
        data["nftables"] = [
            item
            for item in data["nftables"]
            if not any(
                isinstance(body, dict) and {body.get("table"), body.get("name")} & set(ours)
                for body in item.values()
            )
        ]
        self._write("listed.json", json.dumps(data))
        self.kinds.append("nft-json")
        found = {}
        config = "hosts:\n  h:\n    root: host\n    firewall: nft-json=listed.json\n"
        self._write("listed.yaml", config)
        flags = ("--no-config", "--firewall", "nft-json=listed.json")
        found["json flag"] = self._answers(["host"], *flags)
        found["json configuration"] = self._answers([], "--config", str(self.top / "listed.yaml"))
        return found

    def _answers(self, path: list[str], *flags: str) -> list[str]:
        here = os.getcwd()
        os.chdir(self.top)
        try:
            packets = ("--packets", str(self.packets), "--format", "json")
            lines = _said("trace", *path, *flags, *packets).splitlines()
            answers = [json.loads(line)["verdict"].replace("reject", "drop") for line in lines]
            for port in PORTS:
                data = json.loads(_said("trace", *path, port, *flags, "--format", "json"))
                for family in ("ipv4", "ipv6"):
                    found = data[family]
                    answers.append(f"{found['verdict']} {found['open']} {found['unknown']}")
        finally:
            os.chdir(here)
        return answers


def _said(*arguments: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = cli.main(list(arguments))
    if status not in (0, 3):
        raise RuntimeError(f"{arguments}: exit status {status}")
    return out.getvalue()


def _files(case: Case, words: random.Random, *, whole: bool) -> dict[str, str]:
    """Return the files of a ruleset by their place in etc/, an nft one perhaps in several."""
    if case.files:
        return {path.removeprefix("/etc/"): text for path, text in case.files.items()}
    files = {PLACES[text][1]: case.rulesets[text] for text in ORDER if text in case.rulesets}
    main = files.get("nftables.conf")
    pattern = words.choice(("", "parts/a.nft", "/etc/nftables.d/*.nft", "/etc/parts/a.nft"))
    if main is not None and pattern and (whole or pattern[0] != "/"):
        files["nftables.conf"] = f'include "{pattern}"\n'
        files[pattern.removeprefix("/etc/").replace("*", "a")] = main
    return files


def interfaces() -> str:
    """Return the lab's addresses as interfaces(5) writes them."""
    lines = []
    for name, addresses in INTERFACES.items():
        for text in addresses:
            version = ip_interface(text).version
            lines += [f"auto {name}", f"iface {name} inet{'6' if version == 6 else ''} static"]
            lines += [f"    address {text}"]
            if name == "eth0":
                lines += [f"    gateway {ROUTER4 if version == 4 else ROUTER6}"]
    return "\n".join([*lines, ""])
