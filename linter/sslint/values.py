"""Value classes: dataclasses that the type checker keeps frozen, and that cost little at start.

`frozen=True` costs 0.2 ms a class when it is imported, for two methods that guard each assignment,
and makes every instance slower to build. There are over a hundred classes and hundreds of
thousands of instances, and mypy refuses the assignments anyway; so at run time a frozen class is
one that hashes by value and is not guarded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "field", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, **settings: Any) -> Any:
        """Make a dataclass; a frozen one hashes by value."""
        equal = settings.pop("eq", True)

        def make(cls: type) -> type:
            own = cls.__dict__
            cls.__doc__ = cls.__doc__ or cls.__name__  # which dataclasses would make of a signature
            made = dataclasses.dataclass(repr=False, eq=False, match_args=False, **settings)(cls)
            # Compiling these for each class takes a fifth of the start.
            if "__repr__" not in own:
                made.__repr__ = _repr
            if equal and "__eq__" not in own:
                values = _getter([f.name for f in dataclasses.fields(made) if f.compare])
                made.__eq__ = _equality(values)
                if "__hash__" not in own:
                    made.__hash__ = _hash(values) if frozen else None
            return made

        return make

    def _getter(names: list[str]) -> Callable[[Any], Any]:
        return attrgetter(*names) if names else lambda _: ()

    def _equality(values: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def __eq__(self: Any, other: Any) -> Any:  # noqa: N807
            if other.__class__ is self.__class__:
                return values(self) == values(other)
            return NotImplemented

        return __eq__

    def _hash(values: Callable[[Any], Any]) -> Callable[[Any], int]:
        def __hash__(self: Any) -> int:  # noqa: N807
            return hash(values(self))

        return __hash__

    def _repr(self: Any) -> str:
        shown = (f for f in dataclasses.fields(self) if f.repr)
        inner = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in shown)
        return f"{type(self).__qualname__}({inner})"
