"""Runs in a tree in which somebody exchanges files, directories and links all the while.

`python -m tests.fuzz.race [RUNS]` prints how many runs, exchanges and openings outside there were.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sslint.cli import main

CANARY = "canary.secret.example"
KINDS = ("file", "directory", "link")
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_OPENED = 0x20 | 0x01  # IN_OPEN and IN_ACCESS of inotify(7)

_NGINX = """events {{}}
http {{
    include /etc/nginx/conf.d/*.conf;
    include /etc/nginx/sites-enabled/*;
    server {{ listen 443 ssl; server_name {name}; ssl_certificate /etc/ssl/a.pem; }}
}}
"""
_SERVER = "server {{ listen 8443 ssl; server_name {name}; }}\n"
_NFT = "table inet {name} {{ chain i {{ type filter hook input priority 0; policy drop; }}; }}\n"
_CONFIGURATION = """\
# {name}
baseline: known.json
rules: [lint]
hosts:
  web:
    nginx: deploy/nginx
    firewall: deploy/x.nft
    paths: {{/etc/ssl: certs}}
    announced: [zone]
"""
_RULE = """\
# {name}
name: no-plain-http
severity: error
summary: Plain HTTP is served
each: endpoint
match: {{port: 80}}
message: "{{entity}} is served in plain text"
why: our policy
since: "0.1"
"""
_FILES = {
    "etc/nginx/nginx.conf": _NGINX,
    "etc/nginx/conf.d/a.conf": _SERVER,
    "etc/nginx/sites-available/www": _SERVER,
    "etc/nftables.conf": _NFT,
    "etc/postfix/main.cf": "myhostname = {name}\n",
    "etc/postfix/master.cf": "smtp inet n - n - - smtpd\n",
    "etc/ssl/a.pem": "{name}\n",
    "deploy/nginx/nginx.conf": _NGINX,
    "deploy/nginx/conf.d/a.conf": _SERVER,
    "deploy/x.nft": _NFT,
    "certs/a.pem": "{name}\n",
    "zone": "$ORIGIN {name}.\n@ IN MX 10 mail\n",
    "lint/a.yaml": _RULE,
    "known.json": '{{"version": 1, "findings": {{"{name}": ""}}}}\n',
    ".sslint.yaml": _CONFIGURATION,
}
_LINKS = {
    "etc/nginx/sites-enabled/www": "../sites-available/www",
    "deploy/nginx/sites-enabled/www": "../conf.d/a.conf",
}
_DIRECTORIES = (
    "etc", "etc/nginx", "etc/nginx/conf.d", "etc/postfix", "etc/ssl", "deploy", "deploy/nginx",
    "certs", "lint",
)  # fmt: skip
COMMANDS = (
    ("check", "."),
    ("check", "etc", "--no-config"),
    ("check", "etc/nginx/nginx.conf", "etc/nftables.conf", "--no-config"),
    ("check", "etc/nginx/sites-enabled/www", "etc/nftables.conf", "--no-config"),
    ("endpoints", "deploy/nginx", "--no-config"),
    ("trace", ".", "443"),
)


@dataclass
class Outcome:
    """What happened in a race."""

    runs: int = 0
    exchanges: int = 0
    opened: list[str] = field(default_factory=list)  # outside
    leaked: list[str] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)


class Arena:
    """A work tree, what lies outside of it, and the twin of each thing that is exchanged.

    A twin is a link that leads outside, to the same names with other contents.
    """

    def __init__(self, top: Path) -> None:
        self.work, self.outside, self.twins = top / "work", top / "outside", top / "work/.git/twins"
        for base, name in ((self.work, "www.example.org"), (self.outside, CANARY)):
            for path, text in _FILES.items():
                place = base / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text.format(name=name))
            for path, target in _LINKS.items():
                (base / path).parent.mkdir(parents=True, exist_ok=True)
                (base / path).symlink_to(target)
        self.twins.mkdir(parents=True)

    def pairs(self, kind: str) -> list[tuple[str, str]]:
        """Return what is exchanged with what."""
        chosen = {"file": list(_FILES), "directory": _DIRECTORIES, "link": list(_LINKS)}[kind]
        found = []
        for number, path in enumerate(chosen):
            # Half of the links are relative: in a tree an absolute one means its own root.
            target = self.outside / path
            if number % 2:
                target = Path(os.path.relpath(target, (self.work / path).parent))
            twin = self.twins / f"{kind}{number}"
            twin.symlink_to(target)
            found.append((str(self.work / path), str(twin)))
        return found


def exchange(pairs: list[tuple[str, str]], seed: int) -> None:
    """Exchange for ever, and say at the end how often."""
    call = ctypes.CDLL(None, use_errno=True).renameat2
    here = -100  # AT_FDCWD
    done = 0

    def stop(*_: object) -> None:
        os.write(1, f"{done}\n".encode())
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    os.write(1, b"ready\n")
    rnd = random.Random(seed)
    while True:
        one, other = (os.fsencode(path) for path in rnd.choice(pairs))
        # There and back again before the next: else what lies outside would be moved in.
        for _ in range(2):
            done += call(here, one, here, other, _EXCHANGE) == 0
            time.sleep(rnd.choice((0, 0, 0.0001, 0.001)))


class Watch:
    """What is opened or read below a directory, as inotify(7) says."""

    def __init__(self, top: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self.descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for directory, _, _ in os.walk(top):
            assert library.inotify_add_watch(self.descriptor, os.fsencode(directory), _OPENED) > 0
        self.opened()  # what this walk opened

    def opened(self) -> list[str]:
        """Return the names that were opened since it was last asked."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.descriptor, 1 << 16):
                while data:
                    length = int.from_bytes(data[12:16], sys.byteorder)
                    found.append(os.fsdecode(data[16 : 16 + length].rstrip(b"\0")) or ".")
                    data = data[16 + length :]
        return found

    def close(self) -> None:
        os.close(self.descriptor)


@contextlib.contextmanager
def _swapper(pairs: list[tuple[str, str]], outcome: Outcome, seed: int) -> Iterator[None]:
    program = f"from tests.fuzz.race import exchange; exchange({pairs!r}, {seed})"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            child.terminate()
            outcome.exchanges += int(child.stdout.readline())


def race(kind: str, runs: int, top: Path, seed: int = 1) -> Outcome:
    """Run so often while things of one kind are exchanged for links that lead outside."""
    outcome = Outcome()
    arena = Arena(top)
    watch = Watch(arena.outside)
    before = os.getcwd()
    with _swapper(arena.pairs(kind), outcome, seed):
        os.chdir(arena.work)
        try:
            for number in range(runs):
                said = io.StringIO()
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    outcome.codes[main(list(COMMANDS[number % len(COMMANDS)]))] += 1
                outcome.runs += 1
                outcome.opened += watch.opened()
                if CANARY in said.getvalue():
                    outcome.leaked.append(said.getvalue())
        finally:
            os.chdir(before)
            watch.close()
    return outcome


if __name__ == "__main__":
    os.environ["SSLINT_DEBUG"] = "1"
    for each in KINDS:
        with tempfile.TemporaryDirectory() as directory:
            result = race(each, int((sys.argv[1:] or ["1000"])[0]), Path(directory))
        print(f"{each}: {result.runs} runs, {result.exchanges} exchanges, "
              f"{len(result.opened)} openings outside {sorted(set(result.opened))}, "
              f"{len(result.leaked)} leaks, exit codes {dict(result.codes)}")  # fmt: skip
