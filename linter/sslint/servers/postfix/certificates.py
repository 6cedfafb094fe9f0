"""Which certificates a Postfix server sends, for which names (TLS_README, tls_certkey.c)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.model import CertificateRef
from sslint.servers.postfix.expand import ConfigurationError, Unknown
from sslint.servers.postfix.main_cf import logical_lines, split_name_value
from sslint.servers.postfix.master_cf import tokens
from sslint.servers.postfix.parameters import Scope
from sslint.source import Location
from sslint.tree import Status, Tree, TreeError

_PEM = regex(r"^-----BEGIN ([A-Z0-9 ]{1,40})-----", re.MULTILINE)
_HASHED = regex(r"[0-9a-f]{8}\.[0-9]+")  # c_rehash's links, openssl-rehash(1)
_INDEXED = ("hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash")
_PAIRS = (("cert_file", "key_file"), ("dcert_file", "dkey_file"), ("eccert_file", "eckey_file"))
MAX_NAMES = 100_000
UNKNOWN = "/?"

Chain = tuple[str, "str | None", tuple[str, ...]]  # certificate file, key file, further files


def certificates(
    scope: Scope, tree: Tree, where: Location, prefix: str = "smtpd_tls_"
) -> tuple[tuple[CertificateRef, ...], tuple[str, ...]]:
    """Return a server's certificates and the reasons why some are not known.

    Default certificates have no names; an SNI map's have theirs, its key `.x` as `*.x`.
    Raise ConfigurationError and Unknown as `Scope.get`.
    """
    found: list[CertificateRef] = []
    reasons: list[str] = []
    issuers = tuple(_issuers(scope, tree, prefix))
    chain_files = scope.get(prefix + "chain_files")
    anonymous = scope.get(prefix + "cert_file").lower() == "none"
    if chain_files:
        place = scope.location(prefix + "chain_files") or where
        for path, key, more in chains(tree, _paths(scope, chain_files)):
            found.append(
                CertificateRef(path, key, place, place, chain_files=more, issuer_files=issuers)
            )
    else:
        for certificate, key in _PAIRS:
            ref = _pair(scope, where, prefix + certificate, prefix + key, issuers)
            if ref is not None:
                found.append(ref)
    if found or anonymous:  # otherwise TLS is not set up at all (smtpd.c)
        for name, files, place in _sni(scope, tree, where, reasons):
            for path, key, more in chains(tree, files):
                names = ("*" + name if name.startswith(".") else name,)
                found.append(CertificateRef(path, key, place, place, names, more))
    return tuple(found), tuple(reasons)


def _pair(
    scope: Scope, where: Location, certificate: str, key: str, issuers: tuple[str, ...]
) -> CertificateRef | None:
    value = scope.get(certificate)
    if not value or (certificate.endswith("_cert_file") and value.lower() == "none"):
        return None
    place = scope.location(certificate) or where
    key_value = scope.get(key)
    return CertificateRef(
        path=_path(scope, value),
        key=_path(scope, key_value) if key_value else None,
        location=place,
        key_location=scope.location(key) or place,
        issuer_files=issuers,
    )


def _path(scope: Scope, value: str) -> str:
    """Return a host path; Postfix programs run in the queue directory."""
    return posixpath.normpath(posixpath.join(scope.get("queue_directory"), value))


def _paths(scope: Scope, value: str) -> list[str]:
    return [_path(scope, part) for part in re.split(r"[, \t\r\n]+", value) if part]


def _issuers(scope: Scope, tree: Tree, prefix: str) -> Iterator[str]:
    """Yield the files in which OpenSSL looks for an issuer.

    A name that no tree holds stands for what is not known.
    """
    try:
        file, directories = scope.get(prefix + "CAfile"), scope.get(prefix + "CApath")
    except (ConfigurationError, Unknown):
        yield UNKNOWN
        return
    yield from _paths(scope, file)
    for directory in (_path(scope, part) for part in directories.split(":") if part):
        if tree.status(directory) is not Status.DIRECTORY:
            yield directory
            continue
        for name in tree.names(directory):
            if _HASHED.fullmatch(name):
                yield posixpath.join(directory, name)


def chains(tree: Tree, files: list[str]) -> list[Chain]:
    """Group the PEM files of a chain list: each key comes before its certificates.

    What a file holds is read from it; where it cannot be, its name must tell.
    """
    parts = [(path, kind) for path in files for kind in _kinds(tree, path, len(files) == 1)]
    if len(files) == 1:  # a single file may have its key anywhere
        parts.sort(key=lambda part: part[1] != "key")
    groups: list[tuple[str | None, list[str]]] = []
    for path, kind in parts:
        if kind == "key" or not groups:
            groups.append((path if kind == "key" else None, []))
        if kind != "key" and path not in groups[-1][1]:
            groups[-1][1].append(path)
    found = [(paths[0], key, tuple(paths[1:])) for key, paths in groups if paths]
    return list(dict.fromkeys(found))


def _kinds(tree: Tree, path: str, alone: bool) -> list[str]:
    try:
        text = tree.read(path).text
    except TreeError:
        if alone:
            return ["key", "certificate"]
        return ["key"] if "key" in posixpath.basename(path) else ["certificate"]
    labels = [match.group(1) for match in _PEM.finditer(text)]
    kinds = [
        "key" if "PRIVATE KEY" in label else "certificate"
        for label in labels
        if "PRIVATE KEY" in label or label.endswith("CERTIFICATE")
    ]
    return kinds or ["certificate"]


def _sni(
    scope: Scope, tree: Tree, where: Location, reasons: list[str]
) -> Iterator[tuple[str, list[str], Location]]:
    """Yield (name, files, place) of tls_server_sni_maps; the first map with a name wins."""
    value = scope.get("tls_server_sni_maps").replace(",", " ")
    seen: set[str] = set()
    for token in tokens(value):
        kind, _, name = token.text.partition(":")
        if kind == "proxy":
            kind, _, name = name.partition(":")
        place = scope.location("tls_server_sni_maps") or where
        if kind == "inline":
            entries = _inline(name, place)
        elif kind in _INDEXED:
            entries = _table(tree, name, reasons)
        else:
            reasons.append(f"tls_server_sni_maps: {kind}: is not read")
            continue
        for key, files, at in entries:
            key = key.lower()
            if key not in seen and len(seen) < MAX_NAMES:
                seen.add(key)
                yield key, _paths(scope, files), at


def _inline(text: str, place: Location) -> Iterator[tuple[str, str, Location]]:
    if not (text.startswith("{") and text.endswith("}")):
        return
    for token in tokens(text[1:-1]):
        entry = token.text
        if entry.startswith("{") and entry.endswith("}"):
            entry = entry[1:-1]
        split = split_name_value(entry)
        if not isinstance(split, str):
            yield split[0], split[1], place


def _table(tree: Tree, path: str, reasons: list[str]) -> Iterator[tuple[str, str, Location]]:
    """Yield the entries of a lookup table's text, which postmap(1) -F indexes."""
    file = tree.try_read(path, decisive=False) if path.startswith("/") else None
    if file is None:
        reasons.append(f"tls_server_sni_maps: {path[:80]} was not given")
        return
    for line in logical_lines(file):
        if line.stray or not line.text:
            continue
        if line.text.startswith('"'):
            key, _, files = line.text[1:].partition('"')
        else:
            key, _, files = line.text.replace("\t", " ").partition(" ")
        if key and files.strip():
            yield key, files.strip(), line.span()
