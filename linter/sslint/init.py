"""A `.sslint.yaml` to begin with: the hosts that a directory seems to hold, and what to decide."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sslint import targets
from sslint.errors import NothingToCheckError, UsageError
from sslint.plain import clean
from sslint.targets.repository import gather, quoted
from sslint.tree import not_written, write_named
from sslint.yamlfile import display

NAME = ".sslint.yaml"
_HEAD = """\
# Settings of sslint, written by `sslint init` from the files that it saw. Check each line, remove
# what is not so, and run `sslint check`. Editors complete what the schema has:
# yaml-language-server: $schema={schema}
hosts:"""
_MORE = """
# firewall: none                      # nothing filters on these hosts
# terminated_elsewhere: [443/tcp]     # a load balancer or a container in front has the TLS
# internal: [5432/tcp]                # nobody outside is meant to reach these
# exclude: [examples]                 # directories of no host
"""


def write(top: Path) -> Path:
    """Write the settings of a directory and return where. Raise UsageError, NothingToCheckError."""
    from sslint.config import FILE_NAMES

    for name in FILE_NAMES:
        if os.path.lexists(top / name):
            raise UsageError(f"{display(top / name)} exists", tip="edit it, or remove it first")
    path = top / NAME
    try:
        write_named(str(path), text(top))
    except OSError as error:
        raise UsageError(f"{display(path)}: {not_written(error)}") from None
    return path


def text(top: Path) -> str:
    """Return the settings of a directory. Raise NothingToCheckError if it holds no host."""
    lines = list(_hosts(top)) or gather(top).hosts(top)
    if not lines:
        raise NothingToCheckError(
            f"{display(top)}: nothing to describe; looked for {targets.looked_for()}"
        )
    from sslint.bundled import schema_path

    head = _HEAD.format(schema=clean(str(schema_path("config"))))
    return "\n".join((head, *lines, _MORE))


def _hosts(top: Path) -> Iterator[str]:
    """Yield the lines of the hosts that have an etc/ of their own, with what lies beside it."""
    try:
        found = targets.find([str(top)])
    except NothingToCheckError:
        return
    for target in found:
        tree = target.tree
        place = tree.root or tree.mounts.get("/etc")
        if place is None or (place != top and top not in place.parents):
            continue
        inside = place.relative_to(top).as_posix()
        name = inside if len(found) > 1 else target.name
        yield f"  {quoted(name)}:"
        yield f"    root: {inside}" if tree.root else f"    paths: {{/etc: {quoted(inside)}}}"
        for directory, real in tree.mounts.items():
            if directory.count("/") == 2 and top in real.parents and real not in place.parents:
                server = directory.rpartition("/")[2]
                yield f"    {server}: {quoted(real.relative_to(top).as_posix())}"
