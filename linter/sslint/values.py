"""Value classes: dataclasses that the type checker keeps frozen, and that cost little at start.

`frozen=True` costs 0.2 ms a class when it is imported, for two methods that guard each assignment,
and makes every instance slower to build. There are over a hundred classes and hundreds of
thousands of instances, and mypy refuses the assignments anyway; so at run time a frozen class is
one that hashes by value and is not guarded.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "field", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, **settings: Any) -> Any:
        """Make a dataclass; a frozen one hashes by value."""
        hashed = frozen and settings.get("eq", True)

        def make(cls: type) -> type:
            made = dataclasses.dataclass(unsafe_hash=hashed, repr=False, **settings)(cls)
            if "__repr__" not in cls.__dict__:
                made.__repr__ = _repr  # compiling one for each class takes a tenth of the start
            return made

        return make

    def _repr(self: Any) -> str:
        shown = (f for f in dataclasses.fields(self) if f.repr)
        inner = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in shown)
        return f"{type(self).__qualname__}({inner})"
