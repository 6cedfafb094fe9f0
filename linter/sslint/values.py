"""Value classes: of dataclasses what sslint uses, at a fifth of the cost when it starts.

`dataclasses` imports inspect and ast, and compiles up to six methods a class, though a run uses
half of over three hundred classes. Here all classes have slots, and `__init__` alone is compiled,
when a class is used. `frozen=True` is a matter of the type checker: the guard of each assignment
would make every instance slower to build, and mypy refuses them anyway; at run time a frozen class
is one that hashes by value.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "field", "replace"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass, field, replace
else:
    _REQUIRED = object()

    class field:  # noqa: N801 - as in dataclasses
        """What is said of a field beyond its type."""

        def __init__(
            self,
            *,
            default: Any = _REQUIRED,
            default_factory: Callable[[], Any] | None = None,
            repr: bool = True,  # noqa: A002
        ) -> None:
            self.default = default
            self.factory = default_factory
            self.repr = repr

    def dataclass(*, slots: bool, frozen: bool = False, eq: bool = True) -> Any:
        """Make a class of values with slots; a frozen one hashes by value."""
        assert slots

        def make(cls: type) -> type:
            body = dict(cls.__dict__)
            assert "__post_init__" not in body  # what is not given is no field
            own = {name: _field(body.pop(name, _REQUIRED)) for name in cls.__annotations__}
            fields = {**getattr(cls, "__fields__", {}), **own}
            values = attrgetter(*fields) if fields else lambda _: ()
            methods = {"__fields__": fields, "__repr__": _repr}
            if eq:
                methods["__eq__"] = _equality(values)
                methods["__hash__"] = _hash(values) if frozen else None
            for descriptor in ("__dict__", "__weakref__"):
                body.pop(descriptor, None)
            made = type(cls)(cls.__name__, cls.__bases__, {**methods, **body, "__slots__": (*own,)})
            made.__qualname__ = cls.__qualname__
            if "__init__" not in body:
                made.__init__ = _init(made)
            return made

        return make

    def replace(value: Any, /, **changes: Any) -> Any:
        """Return a value that differs from another in some fields."""
        for name in value.__fields__:
            if name not in changes:
                changes[name] = getattr(value, name)
        return type(value)(**changes)

    def _field(said: Any) -> field:
        return said if isinstance(said, field) else field(default=said)

    def _init(cls: type) -> Callable[..., None]:
        """Return an `__init__` that compiles itself when the first instance is made."""

        def __init__(self: Any, *given: Any, **named: Any) -> None:  # noqa: N807
            cls.__init__ = _compiled_init(cls.__fields__)
            cls.__init__(self, *given, **named)

        return __init__

    def _compiled_init(fields: dict[str, field]) -> Callable[..., None]:
        """Return the `__init__` that one would write by hand."""
        given, lines = ["self"], []
        names: dict[str, Any] = {"_UNSET": _REQUIRED}
        for name, one in fields.items():
            value = name
            if one.factory is not None:
                names[f"_new_{name}"] = one.factory
                given.append(f"{name}=_UNSET")
                value = f"_new_{name}() if {name} is _UNSET else {name}"
            elif one.default is not _REQUIRED:
                names[f"_{name}"] = one.default
                given.append(f"{name}=_{name}")
            else:
                given.append(name)
            lines.append(f" self.{name} = {value}")
        text = f"def __init__({', '.join(given)}):\n" + "\n".join(lines or [" pass"])
        exec(text, names)  # noqa: S102 # nosec B102 - of the names of fields
        return names["__init__"]

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
        shown = (name for name, one in self.__fields__.items() if one.repr)
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__qualname__}({inner})"
