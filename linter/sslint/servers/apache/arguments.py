"""How many arguments Apache's directives take, and which are On or Off (invoke_cmd of config.c).

arguments.json has them as the tables of httpd 2.4.37 to 2.4.62 say (`command_rec`). Those that look
at their arguments themselves are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sslint.tree.named import read_bundled

MANY = 1 << 20
_KINDS = {  # least, most, what Apache says
    "0": (0, 0, "takes no arguments"),
    "1": (1, 1, "takes one argument"),
    "1-2": (1, 2, "takes 1-2 arguments"),
    "1-3": (1, 3, "takes one, two or three arguments"),
    "2": (2, 2, "takes two arguments"),
    "2-3": (2, 3, "takes two or three arguments"),
    "3": (3, 3, "takes three arguments"),
    "1+": (1, MANY, "requires at least one argument"),
    "2+": (2, MANY, "requires at least two arguments"),
    "flag": (1, MANY, "must be On or Off"),
}

Arguments = tuple[int, int, str]


@cache
def known() -> Mapping[str, Arguments]:
    """Return the least and most arguments of directives, and what Apache says of others."""
    text = read_bundled(Path(__file__).with_name("arguments.json"))
    kinds = json.loads(text).items()
    return {name: _KINDS[kind] for kind, names in kinds for name in names.split()}


def fit(wanted: Arguments, args: tuple[str, ...]) -> bool:
    """Tell whether Apache takes arguments, of which there are not too few or too many."""
    least, most, _ = wanted
    if wanted is _KINDS["flag"]:
        return args[0].lower() in ("on", "off")  # further ones are not looked at
    # An empty word counts as none.
    return all(args[: 1 if most == MANY else least])
