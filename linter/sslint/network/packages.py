"""Which distribution a tree is of, and which versions its packages have."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sslint.tree import Tree

_DEBIAN = ("nginx", "postfix", "dovecot", "firewalld", "ufw")
# Releases as they ship them: packages.debian.org, packages.ubuntu.com, git.centos.org,
# pkgs.alpinelinux.org. "" where a release has had several versions or none.
RELEASES: dict[tuple[str, str], dict[str, str]] = {
    ("debian", release): dict(zip(_DEBIAN, versions.split(), strict=True))
    for release, versions in {
        "10": "1.14.2 3.4 2.3.4 0.6.3 0.36",
        "11": "1.18.0 3.5 2.3.13 0.9.3 0.36",
        "12": "1.22.1 3.7 2.3.19 1.3.3 0.36.2",
        "13": "1.26.3 3.10 2.4.1 2.3.1 0.36.2",
    }.items()
}
RELEASES |= {
    ("ubuntu", release): dict(zip(_DEBIAN, versions.split(), strict=True))
    for release, versions in {
        "18.04": "1.14.0 3.3 2.2.33 0.4.4 0.36",
        "20.04": "1.18.0 3.4 2.3.7 0.8.2 0.36",
        "22.04": "1.18.0 3.6 2.3.16 1.1.1 0.36.1",
        "24.04": "1.24.0 3.8 2.3.21 2.1.1 0.36.2",
        "24.10": "1.26.0 3.9 2.3.21 2.2.1 0.36.2",
    }.items()
}
RELEASES |= {
    ("ubuntu", "25.04"): {"nginx": "1.26.3", "ufw": "0.36.2"},
    ("ubuntu", "25.10"): {"nginx": "1.28.0", "postfix": "3.10", "dovecot": "2.4.1"},
    ("rhel", "7"): {"postfix": "2.10.1", "dovecot": "2.2.36", "firewalld": "0.6.3"},
    ("rhel", "8"): {"postfix": "3.5.8", "dovecot": "2.3.16", "firewalld": "0.9"},
    ("rhel", "9"): {"postfix": "3.5", "dovecot": "2.3.16", "firewalld": "1.3"},
    ("rhel", "10"): {"nginx": "1.26.3", "postfix": "3.8", "dovecot": "2.3.21", "firewalld": "2.3"},
    ("fedora", "41"): {"postfix": "3.9", "dovecot": "2.3.21", "firewalld": "2.2"},
    ("fedora", "42"): {"postfix": "3.9", "dovecot": "2.3.21", "firewalld": "2.3"},
    ("alpine", "3.17"): {"nginx": "1.22.1", "postfix": "3.7", "dovecot": "2.3.20"},
    ("alpine", "3.18"): {"nginx": "1.24.0", "postfix": "3.8", "dovecot": "2.3.20"},
    ("alpine", "3.19"): {"nginx": "1.24.0", "postfix": "3.8", "dovecot": "2.3.21"},
    ("alpine", "3.20"): {"nginx": "1.26", "postfix": "3.9", "dovecot": "2.3.21"},
    ("alpine", "3.21"): {"nginx": "1.26", "postfix": "3.9", "dovecot": "2.3.21"},
    ("alpine", "3.22"): {"nginx": "1.28.0", "postfix": "3.10"},
}
_LIKE_RHEL = ("rhel", "almalinux", "rocky", "centos", "ol", "cloudlinux", "scientific")
# The package that carries a program's version, where it is not the program's name.
_PACKAGES = {"dovecot": ("dovecot-core", "dovecot")}
_UPSTREAM_REPOSITORY = {"nginx": "nginx.org", "dovecot": "repo.dovecot.org"}


class Packages:
    """Names and versions of installed programs, from the package database or the release."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._release: dict[str, str] | None = None
        self._versions: dict[str, str | None] = {}

    @property
    def release(self) -> dict[str, str]:
        """The fields of os-release(5); {} where the tree has none."""
        if self._release is None:
            self._release = {}
            for path in ("/etc/os-release", "/usr/lib/os-release"):
                file = self.tree.try_read(path, decisive=False)
                if file is not None:
                    for line in file.text.splitlines():
                        key, equals, value = line.partition("=")
                        if equals and not key.startswith("#"):
                            self._release[key.strip()] = value.strip().strip("\"'")
                    break
        return self._release

    @property
    def distribution(self) -> tuple[str, str]:
        """(family, release): ("debian", "13"), ("rhel", "9"), ("", "") if not known."""
        name = self.release.get("ID", "").lower()
        version = self.release.get("VERSION_ID", "")
        if not name:
            return self._older_release()
        if name in _LIKE_RHEL:
            return "rhel", version.split(".")[0]
        if name == "alpine":
            return name, ".".join(version.split(".")[:2])
        return name, version

    @property
    def database(self) -> str | None:
        """The path of dpkg's list of what is installed, if the tree has it."""
        path = "/var/lib/dpkg/status"
        return path if self.tree.exists(path) else None

    def version(self, name: str) -> str | None:
        """Return a program's upstream version (`1.26.3`; `3.10` where only that is known)."""
        if name not in self._versions:
            self._versions[name] = self._version(name)
        return self._versions[name]

    # -- inside -----------------------------------------------------------------------------

    def _older_release(self) -> tuple[str, str]:
        for name, path in (
            ("debian", "/etc/debian_version"),
            ("alpine", "/etc/alpine-release"),
            ("rhel", "/etc/redhat-release"),
            ("arch", "/etc/arch-release"),
        ):
            file = self.tree.try_read(path, decisive=False)
            if file is None:
                continue
            found = re.search(r"(\d+)(\.\d+)?", file.text[:200])
            if name == "alpine":
                return name, found.group(0) if found else ""
            if name == "debian" and self.tree.exists("/etc/lsb-release"):
                return "ubuntu", ""
            return name, found.group(1) if found else ""
        return "", ""

    def _version(self, name: str) -> str | None:
        packages = _PACKAGES.get(name, (name,))
        database = self.tree.try_read("/var/lib/dpkg/status", decisive=False)
        if database is not None:
            return _first(_dpkg(database.text, package) for package in packages)
        database = self.tree.try_read("/lib/apk/db/installed", decisive=False)
        if database is not None:
            return _first(_apk(database.text, package) for package in packages)
        for entry in self.tree.names("/var/lib/pacman/local"):
            stem, _, rest = entry.partition("-")
            if stem in packages and rest[:1].isdigit():
                return upstream_version(rest)
        if self._from_elsewhere(name):
            return None
        return RELEASES.get(self.distribution, {}).get(name) or None

    def _from_elsewhere(self, name: str) -> bool:
        """Tell whether the program may come from its authors' own package repository."""
        host = _UPSTREAM_REPOSITORY.get(name)
        if host is None:
            return False
        paths = [
            "/etc/apt/sources.list",
            *self.tree.glob("/etc/apt/sources.list.d/*"),
            *self.tree.glob("/etc/yum.repos.d/*.repo"),
            "/etc/apk/repositories",
        ]
        files = (self.tree.try_read(path, decisive=False) for path in paths)
        return any(file is not None and host in file.text for file in files)


def _first(versions: Iterable[str | None]) -> str | None:
    return next((version for version in versions if version), None)


def upstream_version(text: str) -> str:
    """Return a package version without epoch, revision and repackaging suffix."""
    text = text.partition(":")[2] or text
    found = re.match(r"\d+(?:\.\d+)*", text)
    return found.group(0) if found else ""


def _dpkg(text: str, package: str) -> str | None:
    """Find an installed package's version in dpkg's status file, without parsing all of it."""
    start = 0 if text.startswith(f"Package: {package}\n") else text.find(f"\nPackage: {package}\n")
    if start < 0:
        return None
    end = text.find("\n\n", start + 1)
    stanza = text[start : end if end >= 0 else len(text)]
    version = re.search(r"^Version: (.*)$", stanza, re.M)
    installed = re.search(r"^Status: .* installed$", stanza, re.M)
    return upstream_version(version.group(1)) if version and installed else None


def _apk(text: str, package: str) -> str | None:
    found = re.search(rf"^P:{re.escape(package)}\nV:(.*)$", text, re.M)
    return upstream_version(found.group(1)) if found else None
