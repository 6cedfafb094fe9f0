"""What Debian enables by links to sites-available, where the links were not kept."""

from __future__ import annotations

import re
from collections.abc import Callable

from sslint.regex import regex
from sslint.tree import Status, Tree, TreeError

# What an editor, dpkg or ucf leaves beside a site, what is there to be copied, and to be read.
_ASIDE = regex(
    r"^\.|~$|^#|\.(bak|old|orig|rej|save|swp|disabled|off|example|sample|tmpl|template|j2|erb"
    r"|dpkg-\w+|ucf-\w+|md|txt)$|^README",
    re.I,
)
_INCLUDE = regex(r"^[ \t]*include(?:optional)?[ \t]+([^\s;*]{1,400})[ \t]*;?[ \t]*$", re.M | re.I)


def enable(tree: Tree, directory: str, is_stock: Callable[[str], bool], suffix: str = "") -> str:
    """Enable every site for a tree without sites-enabled; return what that assumes, or ""."""
    enabled = f"{directory}/sites-enabled"
    if tree.live or tree.status(enabled) is not Status.ABSENT or tree.link_target(enabled):
        return ""
    found = [name for name in sites(tree, directory, is_stock) if name.endswith(suffix)]
    for name in found:
        path = f"{directory}/sites-available/{name}"
        try:
            tree.lay(f"{enabled}/{name}", path)
        except TreeError as error:
            tree.problem(path, error.reason, code=error.code)
    if not found:
        return ""
    tree.vouch(enabled)
    available = tree.name(f"{directory}/sites-available")
    return f"each site in {available} is enabled: sites-enabled is missing"


def sites(tree: Tree, directory: str, is_stock: Callable[[str], bool]) -> list[str]:
    """Return the sites of sites-available that an operator wrote to be enabled.

    What another of them includes is a piece of that one; `is_stock` knows the package's by its
    text, which an administrator disables as the first thing.
    """
    available = f"{directory}/sites-available"
    names = [name for name in tree.names(available) if not _ASIDE.search(name)]
    files = {name: tree.try_read(f"{available}/{name}", decisive=False) for name in names}
    texts = {name: file.text for name, file in files.items() if file is not None}
    included = {
        each.rpartition("/")[2] for text in texts.values() for each in _INCLUDE.findall(text)
    }
    return [
        name
        for name in names
        if name not in included and not (name in texts and is_stock(texts[name]))
    ]
