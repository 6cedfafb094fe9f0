"""Write the table of files that distributions ship, from their packages.

    python -m tests.live.shipped debian/13=DIRECTORY [debian/12=DIRECTORY ...]

Each DIRECTORY holds the release's .deb files, as `apt-get download` leaves them. Comments are cut
and their lines left empty, so that the table holds settings alone and a line keeps its number.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TABLE = Path(__file__).parents[2] / "linter/sslint/shipped/files.json"

# package -> (file in the package, where the host has it); in a directory it keeps its name. The
# two differ where the postinst copies a file. What says that something is enabled (ufw.conf,
# user.rules, nftables.conf) is not in the table: what the operator switched on is in no package.
FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "nginx-common": (
        ("etc/nginx/nginx.conf", "/etc/nginx/"),
        ("etc/nginx/snippets/*.conf", "/etc/nginx/snippets/"),
    ),
    "apache2": (
        ("etc/apache2/apache2.conf", "/etc/apache2/"),
        ("etc/apache2/ports.conf", "/etc/apache2/"),
    ),
    "python3-certbot-nginx": (
        (
            "usr/lib/python3/dist-packages/certbot_nginx/_internal/tls_configs/options-ssl-nginx.conf",
            "/etc/letsencrypt/",
        ),
    ),
    "dovecot-core": (
        ("usr/share/dovecot/dovecot.conf", "/etc/dovecot/"),
        ("usr/share/dovecot/conf.d/*.conf", "/etc/dovecot/conf.d/"),
        ("usr/share/dovecot/conf.d/*.conf.ext", "/etc/dovecot/conf.d/"),
    ),
    "postfix": (
        ("usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf"),  # before Debian 13
        ("etc/postfix/master.cf.proto", "/etc/postfix/master.cf"),
    ),
    "ufw": (
        ("etc/default/ufw", "/etc/default/"),
        ("usr/share/ufw/iptables/before*.rules", "/etc/ufw/"),
        ("usr/share/ufw/iptables/after*.rules", "/etc/ufw/"),
    ),
}
# Files that say nothing about sockets, TLS or rulesets: that they are there is all that counts.
EMPTY = {
    "nginx-common": (
        "etc/nginx/mime.types",
        "etc/nginx/*_params",
        "etc/nginx/fastcgi.conf",
        "etc/nginx/*-win",
        "etc/nginx/*-utf",
    ),
}


def main(arguments: list[str]) -> None:
    """Write the table for the releases that are named."""
    table = {
        release: _release(Path(directory))
        for release, _, directory in (text.partition("=") for text in arguments)
    }
    TABLE.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def _release(directory: Path) -> dict[str, dict[str, str]]:
    """Return package -> host path -> settings for one release."""
    found = {}
    for package in FILES:
        archives = sorted(directory.glob(f"{package}_*.deb"))
        if not archives:
            raise SystemExit(f"{directory}: holds no package {package}")
        with tempfile.TemporaryDirectory() as unpacked:
            subprocess.run(["dpkg-deb", "-x", archives[-1], unpacked], check=True)
            found[package] = _package(package, Path(unpacked))
    return found


def _package(package: str, root: Path) -> dict[str, str]:
    files = {}
    for pattern, place in FILES[package]:
        for path in sorted(root.glob(pattern)):
            host_path = place + path.name if place.endswith("/") else place
            files[host_path] = settings(path.read_text(encoding="utf-8"))
    for pattern in EMPTY.get(package, ()):
        for path in root.glob(pattern):
            files["/" + path.relative_to(root).as_posix()] = ""
    return files


def settings(text: str) -> str:
    """Return a file without its comments, each line where it was."""
    lines = ["" if re.match(r"\s*(#|$)", line) else _bare(line) for line in text.split("\n")]
    return "\n".join(lines).rstrip("\n") + "\n" if any(lines) else ""


def _bare(line: str) -> str:
    """Cut a comment behind a setting; a `#` in quotes begins none."""
    return re.sub(r"(?<=[;{}])\s+#.*$|\s+#[^\"']*$", "", line).rstrip()


if __name__ == "__main__":
    main(sys.argv[1:])
