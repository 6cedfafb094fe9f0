"""What PATH means: which files on disk make a host, and under which paths the host knows them.

`finding` looks below a path for whole hosts. Where there is none, `parts` finds the place of each
file that was named, `repository` those that lie apart below a directory, and `laying` lays them
over a tree. `given` has what flags and settings name.
"""

from sslint.targets.finding import (
    complete,
    confined,
    find,
    is_root,
    keyed,
    looked_for,
    settings_below,
)
from sslint.targets.given import (
    Stream,
    announce,
    firewall_kinds,
    kind_and_file,
    lay_rulesets,
    named,
    ruleset,
    ruleset_place,
)
from sslint.targets.target import Given, Target

__all__ = [
    "Given",
    "Stream",
    "Target",
    "announce",
    "complete",
    "confined",
    "find",
    "firewall_kinds",
    "is_root",
    "keyed",
    "kind_and_file",
    "lay_rulesets",
    "looked_for",
    "named",
    "ruleset",
    "ruleset_place",
    "settings_below",
]
