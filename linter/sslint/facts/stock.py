"""Whose a certificate is: the operator's, or one that a package made for itself."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from sslint.servers import servers
from sslint.snakeoil import CERTIFICATE

if TYPE_CHECKING:
    from sslint.servers.model import CertificateRef
    from sslint.tree import Tree

_TEMPLATE = ("{{", "{%", "<%", "@@", "${")


@cache
def _packaged() -> frozenset[str]:
    """Return where packages put a certificate that their own configuration names."""
    return frozenset(path for server in servers() for path in server.packaged)


def chosen_by_operator(tree: Tree, references: Iterable[CertificateRef]) -> bool | None:
    """Tell whether one of the certificates is the operator's choice; None where it may be."""
    found: bool | None = False
    for reference in references:
        chosen = _chosen(tree, reference)
        if chosen:
            return True
        found = None if chosen is None else found
    return found


def _chosen(tree: Tree, reference: CertificateRef) -> bool | None:
    path = reference.path
    if path is None:  # a variable is nothing that a template or a package fills in
        return "$ssl_server_name" in reference.location.text or None
    if any(mark in path for mark in _TEMPLATE):
        return None
    target = tree.destination(path)
    if CERTIFICATE in (posixpath.basename(path), posixpath.basename(target)):
        return False
    if path not in _packaged() or target != path:
        return True
    # The name is the package's; the operator's own may have taken the place of what it made.
    from sslint.certificates import load

    leaf = load(tree, reference).leaf
    return None if leaf is None else not leaf.self_signed
