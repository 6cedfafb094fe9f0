"""One possible firewall: all that a script has told iptables, ip6tables, nft and ipset."""

from __future__ import annotations

import re

from sslint.firewalls.iptables.dump import Origin
from sslint.firewalls.scripts.firewalld import Firewalld
from sslint.firewalls.scripts.nft import Ipset, Nft, placed
from sslint.firewalls.scripts.partial import has_hole
from sslint.firewalls.scripts.tables import Iptables
from sslint.firewalls.scripts.ufw import Ufw
from sslint.netfilter.model import Ruleset
from sslint.regex import is_number, regex
from sslint.source import Location
from sslint.tree import Tree, TreeError

IPTABLES = regex(r"(?P<name>ip6?tables)(?:-(?P<kind>nft|legacy))?(?P<restore>-restore)?$")
_FLUSH = regex(r"^[ \t]*flush\s+ruleset[ \t]*(?:;|$)", re.M)
_OF_XTABLES = regex(r"\bip6?\s+(?:filter|nat|mangle|raw|security)\b")


class World:
    """The tables of every tool; commands return an exit status, None where it is not known."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.iptables: dict[tuple[int, Origin], Iptables] = {}
        self.nft = Nft(tree)
        self.ipset = Ipset()
        self.ufw = Ufw(tree)
        self.firewalld = Firewalld(tree)

    def copy(self) -> World:
        """Return a copy that can be changed alone."""
        twin = World(self.tree)
        twin.iptables = {key: state.copy() for key, state in self.iptables.items()}
        twin.nft, twin.ipset = self.nft.copy(), self.ipset.copy()
        twin.ufw, twin.firewalld = self.ufw.copy(), self.firewalld.copy()
        return twin

    def size(self) -> int:
        """Return about how much a copy costs, in rules."""
        rules = sum(state.size() for state in self.iptables.values())
        return rules + self.nft.size() + len(self.ipset.told)

    def join(self, other: World, where: Location) -> World:
        """Return what is certain of both, and the rest as doubtful."""
        joined = World(self.tree)
        for key in dict.fromkeys((*self.iptables, *other.iptables)):
            empty = Iptables(*key)
            left, right = self.iptables.get(key, empty), other.iptables.get(key, empty)
            joined.iptables[key] = left.join(right)
        joined.nft = self.nft.join(other.nft, where)
        joined.ipset = self.ipset.join(other.ipset)
        joined.ufw = self.ufw.join(other.ufw, where)
        joined.firewalld = self.firewalld.join(other.firewalld, where)
        return joined

    def same(self, other: World) -> bool:
        """Tell whether both decide alike."""
        keys = {*self.iptables, *other.iptables}
        tables = all(
            self.iptables.get(key, Iptables(*key)).same(other.iptables.get(key, Iptables(*key)))
            for key in keys
        )
        told = [(one.words, one.doubt) for one in self.ipset.told]
        return (
            tables
            and self.nft.same(other.nft)
            and self.ufw.same(other.ufw)
            and self.firewalld.same(other.firewalld)
            and told == [(one.words, one.doubt) for one in other.ipset.told]
        )

    def write(self, path: str, where: Location) -> None:
        """Note that a file is written, which may be one of a manager's."""
        if re.search(r"\.rules\.[\d*]", path):
            return  # what `ufw reset` has put aside
        if re.match(r"/etc/(?:default/)?ufw\b", path):
            self.ufw.written = self.ufw.written or where
        elif re.match(r"/etc/firewalld\b", path):
            self.firewalld.written = self.firewalld.written or where

    @property
    def touched(self) -> bool:
        """Whether anything was told that decides about packets."""
        tables = any(state.touched for state in self.iptables.values())
        managers = self.ufw.touched or self.firewalld.touched
        return tables or managers or self.nft.touched or self.nft.lost is not None

    def finish(self, into: Ruleset) -> None:
        """Put everything into a ruleset."""
        if self.ufw.touched:
            if any(state.touched for state in self.iptables.values()):
                assert self.ufw.last is not None
                self.ufw.lose("ufw and iptables both change the tables", self.ufw.last)
            self.ufw.finish(into)
        if self.firewalld.touched:
            self.firewalld.finish(into)
        for (family, _), state in self.iptables.items():
            if state.lost is not None:
                into.missing.append(state.lost)
            else:
                into.tables += state.finish()
            if state.touched:
                into.families.add(family)
        if self.nft.touched or self.nft.lost is not None:
            into.families |= {4, 6}
        if self.nft.lost is not None:
            into.missing.append(self.nft.lost)
        else:
            into.tables += self.nft.finish()
        self.ipset.finish(into)

    # -- commands -----------------------------------------------------------------------------

    def of_iptables(self, name: str) -> Iptables:
        """Return the state that a command of this name works on."""
        found = IPTABLES.match(name)
        assert found is not None
        origin: Origin = "iptables-legacy" if found["kind"] == "legacy" else "iptables"
        key = (6 if found["name"] == "ip6tables" else 4, origin)
        if key not in self.iptables:
            state = self.iptables[key] = Iptables(*key)
            state.order = max((one.order for one in self.iptables.values()), default=0)
        return self.iptables[key]

    def run_iptables(self, name: str, words: list[str], where: Location) -> int | None:
        """Run iptables or ip6tables."""
        state = self.of_iptables(name)
        if self._nft_has(state):
            state.lose("nft and iptables both change the tables of iptables", where)
        return state.run(words, where)

    def run_restore(
        self, name: str, words: list[str], text: str | None, where: Location
    ) -> int | None:
        """Run iptables-restore; `text` is its input, None if that is not known."""
        state = self.of_iptables(name)
        noflush = False
        for word in words:
            if word in ("-n", "--noflush"):
                noflush = True
            elif word in ("-t", "--test"):
                return None
            elif word not in ("-w", "--wait", "-c", "--counters", "-v", "--verbose") and not (
                is_number(word)
            ):
                text = self._text_of(word) if not has_hole([word]) else None
        if text is None or has_hole([text]):
            state.touched = True
            state.lose(f"what {name} reads is not known", where)
            return None
        return state.restore(placed(text, where), noflush=noflush, where=where)

    def _text_of(self, path: str) -> str | None:
        try:
            return self.tree.read(path).text if path.startswith("/") else None
        except TreeError:
            return None

    def run_nft(self, words: list[str], text: str | None, where: Location) -> int | None:
        """Run nft; `text` is its input, None if that is not known."""
        rest: list[str] = []
        file = ""
        index = 0
        while index < len(words):
            word = words[index]
            if rest or not word.startswith("-") or word == "-":
                rest.append(word)
            elif word in ("-f", "--file"):
                index += 1
                file = words[index] if index < len(words) else ""
            elif word.startswith("--file="):
                file = word[7:]
            elif word.startswith("-f"):
                file = word[2:]
            elif word in ("-c", "--check", "-i", "--interactive", "-v", "-V", "-h", "--version"):
                return None
            elif word in ("-D", "--define", "-I", "--includepath", "-j", "--json", "-o"):
                self.nft.lose(f"nft with {word} is not read", where)
                return None
            index += 1
        if has_hole([file]):
            self.nft.lose("what nft loads is not known", where)
            return None
        if not file:
            return self._nft_text(" ".join(rest), where)
        if file in ("-", "/dev/stdin"):
            if text is None:
                self.nft.touched = True
                self.nft.lose("what nft reads is not known", where)
                return None
            return self._nft_text(text, where)
        found = self._text_of(file)
        if found is None:
            self.nft.touched = True
            self.nft.lose(f"nft loads {_shown(file)}, which is not in these files", where)
            return None
        return self._nft_text(f'include "{file}"\n', where)

    def _nft_text(self, text: str, where: Location) -> int | None:
        used = any(
            state.tables and origin != "iptables-legacy"
            for (_, origin), state in self.iptables.items()
        )
        if used and _OF_XTABLES.search(text):
            self.nft.lose("nft and iptables both change the tables of iptables", where)
            return None
        flush = _FLUSH.search(text)
        if flush is None and re.search(r"\bflush\s+ruleset\s+ip", text) and used:
            self.nft.lose("nft and iptables both change the tables of iptables", where)
            return None
        status = self.nft.run(text, where)
        if flush is not None and used:
            if status == 0:
                for key, state in list(self.iptables.items()):
                    if key[1] != "iptables-legacy":
                        fresh = self.iptables[key] = Iptables(*key)
                        fresh.lost, fresh.order = state.lost, state.order
            elif status is None:
                self.nft.lose("it is not known whether nft flushes the tables of iptables", where)
        return status

    def _nft_has(self, state: Iptables) -> bool:
        """Tell whether nft has made a table that this iptables works on as well."""
        return state.origin != "iptables-legacy" and any(
            _OF_XTABLES.search(entry.file.text) is not None for entry in self.nft.entries
        )


def _shown(path: str) -> str:
    return path if re.fullmatch(r"[\w./-]{1,100}", path) else "a file"
