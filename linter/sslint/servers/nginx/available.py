"""What Debian enables by links: its own site, and modules."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.nginx.blocks import Configuration
from sslint.servers.nginx.syntax import unknown_includes
from sslint.source import Location
from sslint.tree import Tree

DIRECTORY = "/etc/nginx"
AVAILABLE = f"{DIRECTORY}/sites-available"
ENABLED = f"{DIRECTORY}/sites-enabled"
_MODULES = f"{DIRECTORY}/modules-enabled"  # stream and mail are packages of their own
# What marks the site of the package itself.
_STOCK = regex(r"^[ \t]*index\s[^;]{0,400}index\.nginx-debian\.html", re.M)
_OWN = regex(r"^[ \t]*(ssl_certificate\s|server_name\s++(?!_\s*;))", re.M)


def is_stock(text: str) -> bool:
    """Tell whether a site is the package's own, as it came."""
    return bool(_STOCK.search(text)) and not _OWN.search(text)


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
