"""What the real programs say of a tree's files: run as a program in namespaces of its own.

It lays the tree over a copy of the machine's /etc, puts a certificate and its key wherever the
files name one, runs each program's own check, and prints the answers as JSON.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.live.hosts.inside import _put, mount
from tests.live.hosts.trees import certificate

_APACHE = {"RUN_DIR": "/run", "LOCK_DIR": "/run", "PID_FILE": "/run/pid", "LOG_DIR": "/run"}
_APACHE |= {"RUN_USER": "www-data", "RUN_GROUP": "www-data"}
# ufw writes its files whole whenever a rule comes or goes: what was written must come out again.
_RULES = "sed -n '/^### RULES/,/^### END RULES/p'"
_REWRITTEN = " && ".join(
    (
        "ufw allow 9/tcp",
        "ufw delete allow 9/tcp",
        *(
            f"{_RULES} /run/tree/etc/ufw/{name} > /run/ours && "
            f"{_RULES} /etc/ufw/{name} | diff /run/ours -"
            for name in ("user.rules", "user6.rules")
        ),
    )
)
# Fedora's layout with Debian's modules, some of which are linked in.
_HTTPD = " && ".join(
    (
        "ln -s /usr/lib/apache2/modules /etc/httpd/modules",
        "ln -s /run /etc/httpd/logs",
        "mkdir /run/httpd",
        "useradd --no-create-home apache",
        "sed -i 's/^LoadModule unixd_module/#&/' /etc/httpd/conf.modules.d/*.conf",
        "apache2 -t -d /etc/httpd -f conf/httpd.conf",
    )
)
CHECKS: dict[str, tuple[str, ...]] = {  # by where a program's files are; sh(1) commands
    "etc/nginx": ("nginx -t",),
    "etc/apache2": (" ".join(f"APACHE_{k}={v}" for k, v in _APACHE.items()) + " apache2 -t",),
    "etc/httpd": (_HTTPD,),
    "etc/postfix": ("postconf -n", "postconf -M", "postfix check"),
    "etc/dovecot": ("doveconf -n",),
    "etc/haproxy": ("haproxy -c -f /etc/haproxy/haproxy.cfg",),
    "etc/lighttpd": ("lighttpd -tt -f /etc/lighttpd/lighttpd.conf",),
    "etc/nftables.conf": ("nft -c -f /etc/nftables.conf",),
    "etc/iptables/rules.v4": ("iptables-nft-restore --test < /etc/iptables/rules.v4",),
    "etc/iptables/rules.v6": ("ip6tables-nft-restore --test < /etc/iptables/rules.v6",),
    "etc/firewalld": ("firewall-offline-cmd --check-config",),
    "etc/ufw": ("/usr/lib/ufw/ufw-init start", "ufw show added", _REWRITTEN),
}
_PEM = re.compile(r"(/etc/[\w./@-]+\.(?:pem|key|crt))\b")


def of(tree: Path, files: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Return the exit status and the output of the checks of these files, by command."""
    wanted = [
        command
        for place, commands in CHECKS.items()
        if any(file == place or file.startswith(f"{place}/") for file in files)
        for command in commands
    ]
    if not wanted:
        return {}
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run(
        [*command, sys.executable, "-m", "tests.live.validators", str(tree), *wanted],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {name: (code, said) for name, (code, said) in found.items()}


def main(tree: Path, *commands: str) -> None:
    """Lay the tree over /etc and run the checks."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "tmpfs", "/run")
    subprocess.run(["cp", "-a", "/etc", "/run/etc"], check=True)
    subprocess.run(["cp", "-a", tree, "/run/tree"], check=True)
    for path in ("/var/log", "/var/lib/postfix"):
        mount("-t", "tmpfs", "tmpfs", path)
    mount("--bind", "/run/etc", "/etc")
    for path in Path("/run/tree/etc").glob("*"):
        _put(path, Path("/etc", path.name))
    Path("/var/log/nginx").mkdir()
    Path("/var/log/apache2").mkdir()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for path in set(_named(Path("/run/tree/etc"))):
        _place(path)
    answers = {}
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            env=os.environ | {"TMPDIR": "/run"},
        )
        answers[command] = (done.returncode, done.stdout + done.stderr)
    print(json.dumps(answers))


def _named(directory: Path) -> Iterator[Path]:
    for path in directory.rglob("*"):
        if path.is_file() and path.suffix not in (".pem", ".key", ".crt"):
            yield from map(Path, _PEM.findall(path.read_text(errors="replace")))


def _place(path: Path) -> None:
    """Write a certificate or its key; all of a directory belong together, and no others do."""
    chain, key = certificate(f"{path.parent.name}.example.org")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(key if "key" in path.name else chain + key)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
