"""What a fact is made of."""

from __future__ import annotations

from collections.abc import MutableMapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sslint.engine.language import Span, Subject
from sslint.values import dataclass
from sslint.values import field as dataclass_field

if TYPE_CHECKING:
    from builtins import property as field

    from sslint.facts import Facts
    from sslint.host import Host
else:

    class field:  # noqa: N801
        """A property that is worked out when it is first asked for, and then kept."""

        def __init__(self, make):
            self.fget = make
            self.__doc__ = make.__doc__

        def __set_name__(self, owner, name):
            self.name = name

        def __get__(self, fact, owner=None):
            if fact is None:
                return self
            value = fact.__dict__[self.name] = self.fget(fact)
            return value


Source = TypeVar("Source")


class Fields(Generic[Source]):
    """Fields that are asked for together.

    A field is a method under `@field`, or an annotation without a value: that one is what `source`
    says under the same name. None means that it is not known.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in cls.__annotations__:
            setattr(cls, name, property(attrgetter(f"source.{name}")))


class Fact(Fields[Source]):
    """Something that is so on this host. It describes and never judges; the rules do.

    `source` is what it was made of, `facts` are all facts of the host. `entity` is what reports
    call it; findings with a common subject are about the same thing.
    """

    def __init__(
        self,
        facts: Facts,
        source: Source,
        entity: str,
        span: Span | None = None,
        subjects: frozenset[Subject] = frozenset(),
    ) -> None:
        super().__init__(source)
        self.facts = facts
        self.entity = entity
        self.span = span
        self.subjects = subjects

    @property
    def host(self) -> Host:
        """The host that it is a fact of."""
        return self.facts.host

    @property
    def values(self) -> Any:
        """Its fields by name."""
        return _Values(self)


class _Values:
    def __init__(self, fact: Any) -> None:
        self.fact = fact

    def __getitem__(self, name: str) -> Any:
        return getattr(self.fact, name)

    def get(self, name: str) -> Any:
        return getattr(self.fact, name, None)


@dataclass(slots=True, eq=False)
class Loose:
    """A fact whose fields are not declared yet."""

    entity: str
    values: dict[str, Any]
    span: Span | None = None
    spans: MutableMapping[str, tuple[Span, ...]] = dataclass_field(default_factory=dict)
    subjects: frozenset[Subject] = frozenset()
    source: object = None

    def __getattr__(self, name: str) -> Any:
        return self.values[name] if name in self.values else self.spans.get(name)
