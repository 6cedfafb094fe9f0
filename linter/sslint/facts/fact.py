"""What a fact is made of: a class a kind, and a method a field.

    class Redirect(Fact):
        "A redirect that a server answers with."

        source: model.Redirect
        port: int | None  # no value: what `source` says under the same name
        "The port that it sends clients to."
        target_tls: Tls | None = of("_target.tls")  # what stands at that path
        "How TLS stands on that port."

        @field
        def listener(self) -> Listener | None:
            "Whether any program listens on that port."
            return listening(self._host, "tcp", self.source.port)

A field is worked out when it is first asked for, and then kept. One that is None is not known, and
fires no rule. Its type and its text are the manual: `make docs` writes schemas/facts.schema.json
and docs/facts.md of them, and a rule is checked against them when it is compiled.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sslint.engine.language import Span, Subject, reader
from sslint.values import dataclass

__all__ = ["Fact", "Fields", "Places", "field", "of"]

if TYPE_CHECKING:
    from builtins import property as field

    from sslint.facts.collection import Facts
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


def of(path: str) -> Any:
    """Return a field that is another thing's: what stands at a path from the fact, or None."""
    return property(reader(path))


class Fields:
    """Fields that are asked for together; `source` is what they are made of."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in cls.__annotations__:
            if name != "source" and name not in cls.__dict__:
                setattr(cls, name, property(attrgetter(f"source.{name}")))


class Fact(Fields):
    """Something that is so on this host. It describes and never judges; the rules do.

    `facts` are all facts of the host, and `entity` is what reports call this one. Findings with a
    common subject are about the same thing.
    """

    def __init__(
        self,
        facts: Facts,
        source: Any,
        entity: str,
        span: Span | None = None,
        subjects: frozenset[Subject] = frozenset(),
    ) -> None:
        self.source = source
        self.facts = facts
        self.entity = entity
        self._span = span
        self._subjects = subjects

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent as what reports ask of it."""
        port = getattr(self, "transport", None), getattr(self, "port", None)
        return _Sent, (self.entity, self.span, self.subjects, *port)

    @field
    def span(self) -> Span | None:
        """Its own place; kinds with a fact for each of many statements make it here."""
        return self._span

    @property
    def subjects(self) -> frozenset[Subject]:
        """What it is about."""
        return self._subjects

    @property
    def _host(self) -> Host:
        return self.facts.host


@dataclass(frozen=True, slots=True)
class _Sent:
    """What reports ask of a fact."""

    entity: str
    span: Span | None
    subjects: frozenset[Subject]
    transport: Any
    port: Any


Places = tuple[Span, ...]
"""Places that explain a fact, for a rule's `related` and `at`."""
