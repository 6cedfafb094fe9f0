"""A confined, read-only view of a host's configuration tree.

Paths are the host's own: absolute POSIX paths such as `/etc/ssl/shop.pem`. An absolute
symlink target means the tree's root, as it does on the host after a chroot. Nothing outside the
root (or a mount) is ever opened, whatever a symlink or `..` says, and also when a directory is
exchanged for a link meanwhile. The tree is hostile input: only regular files are opened, without
blocking, and sizes, counts and depths are bounded.

No other package opens a file: what the user names goes through `read_named`, and what comes with
sslint through `read_bundled`. `tree.writing`, which few commands need, is imported by itself.
"""

from sslint.tree.door import MAX_FILE
from sslint.tree.named import (
    files_below,
    head,
    is_stream,
    kinds,
    not_written,
    open_named,
    read_bundled,
    read_found,
    read_named,
    replace_named,
    write_named,
)
from sslint.tree.paths import confined, is_there, real_path, resolve, work_tree
from sslint.tree.status import Status, TreeError
from sslint.tree.view import Record, Tree

__all__ = [
    "MAX_FILE",
    "Record",
    "Status",
    "Tree",
    "TreeError",
    "confined",
    "files_below",
    "head",
    "is_stream",
    "is_there",
    "kinds",
    "not_written",
    "open_named",
    "read_bundled",
    "read_found",
    "read_named",
    "real_path",
    "replace_named",
    "resolve",
    "work_tree",
    "write_named",
]
