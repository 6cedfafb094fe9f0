"""What Debian enables by links: sites, where the links were not kept, and modules."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.nginx.blocks import Configuration
from sslint.servers.nginx.syntax import unknown_includes
from sslint.source import Location
from sslint.tree import Status, Tree, TreeError

_AVAILABLE = "/etc/nginx/sites-available"
ENABLED = "/etc/nginx/sites-enabled"
_MODULES = "/etc/nginx/modules-enabled"  # stream and mail are packages of their own
# What an editor, dpkg or ucf leaves beside a site, what is there to be copied, and to be read.
_ASIDE = regex(
    r"^\.|~$|^#|\.(bak|old|orig|rej|save|swp|disabled|off|example|sample|tmpl|template|j2|erb"
    r"|dpkg-\w+|ucf-\w+|md|txt)$|^README",
    re.I,
)
# What marks the site of the package itself, which an administrator disables as the first thing.
_STOCK = regex(r"^[ \t]*index\s[^;]{0,400}index\.nginx-debian\.html", re.M)
_INCLUDE = regex(r"^[ \t]*include[ \t]+([^\s;*]{1,400})[ \t]*;", re.M)
_OWN = regex(r"^[ \t]*(ssl_certificate\s|server_name\s++(?!_\s*;))", re.M)


def enable(tree: Tree) -> str:
    """Enable every site for a tree without sites-enabled; return what that assumes, or ""."""
    if tree.live or tree.status(ENABLED) is not Status.ABSENT or tree.link_target(ENABLED):
        return ""
    enabled = sites(tree)
    for name in enabled:
        try:
            tree.lay(f"{ENABLED}/{name}", f"{_AVAILABLE}/{name}")
        except TreeError as error:
            tree.problem(f"{_AVAILABLE}/{name}", error.reason, code=error.code)
    if not enabled:
        return ""
    return f"each site in {tree.name(_AVAILABLE)} is enabled: sites-enabled is missing"


def sites(tree: Tree) -> list[str]:
    """Return the sites of sites-available that an operator wrote to be enabled.

    What another of them includes is a piece of that one.
    """
    names = [name for name in tree.names(_AVAILABLE) if not _ASIDE.search(name)]
    files = (tree.try_read(f"{_AVAILABLE}/{name}", decisive=False) for name in names)
    texts = [file.text for file in files if file is not None]
    included = {each.rpartition("/")[2] for text in texts for each in _INCLUDE.findall(text)}
    return [
        name
        for name in names
        if name not in included and not _is_stock(tree, f"{_AVAILABLE}/{name}")
    ]


def _is_stock(tree: Tree, path: str) -> bool:
    file = tree.try_read(path, decisive=False)
    return file is not None and bool(_STOCK.search(file.text)) and not _OWN.search(file.text)


def not_loaded(tree: Tree, config: Configuration) -> Iterator[tuple[Location, str]]:
    """Yield the blocks that Debian's nginx does not know, since nothing loads their module."""
    statements = config.main
    if not tree.holds(_MODULES) or unknown_includes(statements.get("include", [])):
        return
    loaded = {posixpath.basename(one.args[0]) for one in statements.get("load_module", [])}
    linked = tree.names(_MODULES)  # also to what the tree does not hold
    for kind in ("stream", "mail"):
        block, module = config.contexts.get(kind), f"ngx_{kind}_module.so"
        if block and module not in loaded and not any(kind in name for name in linked):
            said = f'unknown directive "{kind}": nothing loads {module} of libnginx-mod-{kind}'
            yield block.location, said
