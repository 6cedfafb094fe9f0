"""What a shell knows at one moment: variables, functions, options, and the firewall so far."""

from __future__ import annotations

from sslint.firewalls.scripts.partial import HOLE, HOLES
from sslint.firewalls.scripts.syntax import Function
from sslint.firewalls.scripts.world import World
from sslint.source import Location
from sslint.values import dataclass

Value = str | list[str]


Functions = tuple[Function | None, ...]
"""What a name may be defined as; None: not at all."""


def _either(one: dict[str, Functions], other: dict[str, Functions]) -> dict[str, Functions]:
    none: Functions = (None,)
    return {
        name: tuple(dict.fromkeys((*one.get(name, none), *other.get(name, none))))
        for name in dict.fromkeys((*one, *other))
    }


@dataclass(slots=True)
class State:
    """Everything that commands change. `opaque`: variables that are not set may have any value."""

    world: World
    variables: dict[str, Value | None]
    functions: dict[str, Functions]
    arguments: list[str]
    exported: set[str]
    errexit: bool = False
    nounset: bool = False
    opaque: bool = False
    status: int | None = 0

    def copy(self) -> State:
        """Return a copy that can be changed alone."""
        return State(
            self.world.copy(),
            {k: list(v) if isinstance(v, list) else v for k, v in self.variables.items()},
            dict(self.functions),
            list(self.arguments),
            set(self.exported),
            self.errexit,
            self.nounset,
            self.opaque,
            self.status,
        )

    def size(self) -> int:
        """Return about how much a copy costs."""
        return self.world.size() + len(self.variables)

    def join(self, other: State, where: Location) -> State:
        """Return what is certain of both states."""
        variables: dict[str, Value | None] = {}
        for name in dict.fromkeys((*self.variables, *other.variables)):
            left, right = self.variables.get(name), other.variables.get(name)
            variables[name] = left if left == right else HOLE
        return State(
            self.world.join(other.world, where),
            variables,
            _either(self.functions, other.functions),
            self.arguments if self.arguments == other.arguments else [HOLES],
            self.exported | other.exported,
            self.errexit and other.errexit,
            self.nounset and other.nounset,
            self.opaque or other.opaque,
            self.status if self.status == other.status else None,
        )

    def same(self, other: State) -> bool:
        """Tell whether two states are alike."""
        return (
            self.variables == other.variables
            and self.functions == other.functions
            and self.arguments == other.arguments
            and self.world.same(other.world)
        )


def first_state(world: World, arguments: list[str]) -> State:
    """Return the state in which a script starts."""
    return State(world, {}, {}, arguments, set())
