"""The hostile trees: each is written by one function, named for what it tries."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tests import pki

TOKEN = "https://user:ghp_Canary0123456789abcdef@github.com"
KEY = pki.key_pem("canary")
CANARIES = ("ghp_Canary", *(line for line in KEY.splitlines() if not line.startswith("-----")))

NGINX = "events {}\nhttp {\n    server { listen 443 ssl; server_name a.example.org; }\n}\n"
POLICY_DROP = (
    "table inet f {\n chain i {\n  type filter hook input priority 0; policy drop;\n%s\n }\n}\n"
)


class Ground:
    """A work tree to write into, and a directory beside it that nothing may read."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "work"
        self.outside = directory / "outside"
        self.secret = self.outside / ".git-credentials"
        (self.root / ".git").mkdir(parents=True)
        self.outside.mkdir()
        self.secret.write_text(TOKEN + "\n")
        (self.outside / "privkey.pem").write_text(KEY)
        (self.root / ".git/config").write_text(f"[remote]\n\turl = {TOKEN}\n")

    def write(self, path: str, text: str | bytes) -> None:
        """Write a file below the root."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else os.fsencode(text))

    def link(self, path: str, target: Path | str) -> None:
        """Make a symbolic link below the root."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def nginx(self, *servers: str, more: str = "") -> None:
        """Write an nginx.conf with these server blocks."""
        blocks = "\n".join(servers)
        self.write("etc/nginx/nginx.conf", f"events {{}}\nhttp {{\n{more}\n{blocks}\n}}\n")

    def nft(self, rules: str) -> None:
        """Write a ruleset of one input chain."""
        self.write("etc/nftables.conf", POLICY_DROP % rules)


Maker = Callable[[Ground], Sequence[str] | None]
TREES: dict[str, Maker] = {}


def tree(make: Maker) -> Maker:
    """Register a tree by its function's name; it may return the arguments to run with."""
    assert make.__name__ not in TREES
    TREES[make.__name__] = make
    return make
