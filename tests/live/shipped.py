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

# package -> (file in the package, where the host has it). A pattern keeps its last part.
# Where the postinst copies a file (ucf), the two differ.
FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "nginx-common": (
        ("etc/nginx/nginx.conf", "/etc/nginx/"),
        ("etc/nginx/snippets/*.conf", "/etc/nginx/snippets/"),
    ),
    "python3-certbot-nginx": (
        (
            "usr/lib/python3/dist-packages/certbot_nginx/_internal/tls_configs/options-ssl-nginx.conf",
            "/etc/letsencrypt/",
        ),
    ),
    "python3-certbot-apache": (
        (
            "usr/lib/python3/dist-packages/certbot_apache/_internal/tls_configs/"
            "current-options-ssl-apache.conf",
            "/etc/letsencrypt/options-ssl-apache.conf",
        ),
    ),
    "dovecot-core": (
        ("usr/share/dovecot/dovecot.conf", "/etc/dovecot/"),
        ("usr/share/dovecot/conf.d/*.conf", "/etc/dovecot/conf.d/"),
        ("usr/share/dovecot/conf.d/*.conf.ext", "/etc/dovecot/conf.d/"),
    ),
    "dovecot-imapd": (("usr/share/dovecot/conf.d/20-imap.conf", "/etc/dovecot/conf.d/"),),
    "dovecot-pop3d": (("usr/share/dovecot/conf.d/20-pop3.conf", "/etc/dovecot/conf.d/"),),
    "dovecot-lmtpd": (("usr/share/dovecot/conf.d/20-lmtp.conf", "/etc/dovecot/conf.d/"),),
    "dovecot-managesieved": (
        ("usr/share/dovecot/conf.d/20-managesieve.conf", "/etc/dovecot/conf.d/"),
    ),
    "dovecot-submissiond": (
        ("usr/share/dovecot/conf.d/20-submission.conf", "/etc/dovecot/conf.d/"),
    ),
    "postfix": (
        ("usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf"),  # before Debian 13
        ("etc/postfix/master.cf.proto", "/etc/postfix/master.cf"),
    ),
    "ufw": (
        ("etc/default/ufw", "/etc/default/"),
        ("usr/share/ufw/ufw.conf", "/etc/ufw/"),
        ("usr/share/ufw/iptables/*.rules", "/etc/ufw/"),
    ),
    "firewalld": (("etc/firewalld/firewalld.conf", "/etc/firewalld/"),),
    "nftables": (("etc/nftables.conf", "/etc/"),),
    "apache2": (
        ("etc/apache2/apache2.conf", "/etc/apache2/"),
        ("etc/apache2/ports.conf", "/etc/apache2/"),
        ("etc/apache2/envvars", "/etc/apache2/"),
        ("etc/apache2/mods-available/*", "/etc/apache2/mods-available/"),
        ("etc/apache2/conf-available/*.conf", "/etc/apache2/conf-available/"),
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
            subprocess.run(["dpkg-deb", "-x", archives[-1], unpacked], check=True)  # noqa: S603, S607
            found[package] = _package(package, Path(unpacked))
    # The files of the protocols are in dovecot-core's own directory too on some releases.
    for package, files in found.items():
        if package.startswith("dovecot-") and package != "dovecot-core":
            for path in files:
                found["dovecot-core"].pop(path, None)
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
