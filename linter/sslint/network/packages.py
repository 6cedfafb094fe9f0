"""Which distribution a tree is of, and which versions its packages have."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sslint.regex import is_number
from sslint.tree import Tree
from sslint.values import dataclass

# Each as it ships them: packages.debian.org, packages.ubuntu.com, git.centos.org,
# pkgs.alpinelinux.org. None where a release has had several versions or none.


@dataclass(frozen=True, slots=True)
class Package:
    """A program as distributions ship it.

    `names`: of the packages that carry its version. `releases`: the upstream version of each
    release, as "debian/13=1.26.3 rhel/10=1.26.3"; `repository`: its authors' own, whose versions
    are others.
    """

    names: tuple[str, ...]
    releases: str = ""
    repository: str = ""

    def of_release(self, release: tuple[str, str]) -> str | None:
        """Return the version of a release, such as ("debian", "13")."""
        pairs = (pair.partition("=") for pair in self.releases.split())
        return next((version for key, _, version in pairs if key == "/".join(release)), None)


FIREWALLS = {
    "firewalld": Package(
        ("firewalld",),
        (
            "debian/10=0.6.3 debian/11=0.9.3 debian/12=1.3.3 debian/13=2.3.1"
            " ubuntu/18.04=0.4.4 ubuntu/20.04=0.8.2 ubuntu/22.04=1.1.1 ubuntu/24.04=2.1.1"
            " ubuntu/24.10=2.2.1 rhel/7=0.6.3 rhel/8=0.9 rhel/9=1.3 rhel/10=2.3 fedora/41=2.2"
            " fedora/42=2.3"
        ),
    ),
    "ufw": Package(
        ("ufw",),
        (
            "debian/10=0.36 debian/11=0.36 debian/12=0.36.2 debian/13=0.36.2"
            " ubuntu/18.04=0.36 ubuntu/20.04=0.36 ubuntu/22.04=0.36.1 ubuntu/24.04=0.36.2"
            " ubuntu/24.10=0.36.2 ubuntu/25.04=0.36.2"
        ),
    ),
}
_DATABASES = ("/var/lib/dpkg/status", "/lib/apk/db/installed", "/var/lib/pacman/local")
_LIKE_RHEL = ("rhel", "almalinux", "rocky", "centos", "ol", "cloudlinux", "scientific")


class Packages:
    """Names and versions of installed programs, from the package database or the release."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._release: dict[str, str] | None = None
        self._distribution: tuple[str, str] | None = None
        self._versions: dict[Package, str | None] = {}

    @property
    def listed(self) -> bool:
        """Whether there is a package database."""
        return any(map(self.tree.exists, _DATABASES))

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
        if self._distribution is None:
            self._distribution = self._named_release()
        return self._distribution

    def _named_release(self) -> tuple[str, str]:
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

    def version(self, package: Package) -> str | None:
        """Return a program's upstream version (`1.26.3`; `3.10` where only that is known)."""
        if package not in self._versions:
            self._versions[package] = self._version(package)
        return self._versions[package]

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

    def _version(self, known: Package) -> str | None:
        packages = known.names
        database = self.tree.try_read("/var/lib/dpkg/status", decisive=False)
        if database is not None:
            return _first(_dpkg(database.text, package) for package in packages)
        database = self.tree.try_read("/lib/apk/db/installed", decisive=False)
        if database is not None:
            return _first(_apk(database.text, package) for package in packages)
        for entry in self.tree.names("/var/lib/pacman/local"):
            stem, _, rest = entry.partition("-")
            if stem in packages and is_number(rest[:1]):
                return upstream_version(rest)
        return None if self._from_elsewhere(known) else known.of_release(self.distribution)

    def _from_elsewhere(self, known: Package) -> bool:
        """Tell whether the program may come from its authors' own package repository."""
        host = known.repository
        if not host:
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
