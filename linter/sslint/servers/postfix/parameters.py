"""The value of a parameter as one Postfix program sees it: `-o`, main.cf, default."""

from __future__ import annotations

from collections.abc import Mapping

from sslint.servers.postfix import defaults
from sslint.servers.postfix.expand import ConfigurationError, Unknown, expand
from sslint.servers.postfix.main_cf import TEMPLATE, MainCf, Parameter
from sslint.source import Location
from sslint.values import dataclass, field

LATER = defaults.LAST + 1


@dataclass(frozen=True, slots=True)
class Scope:
    """Parameters as seen by a program with `overrides` from its master.cf entry.

    `built_in` are values decided outside main.cf (the host's name, the version).
    """

    main: MainCf
    built_in: Mapping[str, str | None]
    version: tuple[int, ...] | None = None
    overrides: Mapping[str, Parameter] = field(default_factory=dict)

    def with_overrides(self, overrides: Mapping[str, Parameter]) -> Scope:
        """Return the same parameters as a service with these `-o` options sees them."""
        return Scope(self.main, self.built_in, self.version, overrides)

    def explicit(self, name: str) -> Parameter | None:
        """Return where a parameter is set: in `-o`, else in main.cf, else None."""
        return self.overrides.get(name) or self.main.parameters.get(name)

    def location(self, name: str) -> Location | None:
        """Return the place that sets a parameter, or None for a default."""
        parameter = self.explicit(name)
        return parameter.location if parameter is not None else None

    def get(self, name: str) -> str:
        """Return a parameter's expanded value.

        Raise ConfigurationError where the program would stop, Unknown where files do not decide.
        """
        since = defaults.SINCE.get(name)
        if since is not None and self.version is not None and self.version < since:
            return ""
        order = defaults.ORDER.get(name, defaults.LAST)
        try:
            return expand(self._raw(name, LATER) or "", lambda other: self._raw(other, order))
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from None
        except Unknown as reason:
            raise Unknown(f"{name} is not known: {reason}") from None

    def text(self, name: str) -> str | None:
        """Return an expanded value, or None where it is not known or an error."""
        try:
            return self.get(name)
        except (ConfigurationError, Unknown):
            return None

    def flag(self, name: str) -> bool:
        """Return a yes/no parameter. Raise as `get`, and ConfigurationError for other words."""
        value = self.get(name)
        word = value.lower()
        if word not in ("yes", "no"):
            raise ConfigurationError(f"bad boolean configuration: {name} = {value[:40]}")
        return word == "yes"

    def _raw(self, name: str, order: int) -> str | None:
        """Return a value before expansion; a default is undefined until the program has read it."""
        parameter = self.explicit(name)
        if parameter is not None:
            if not parameter.certain or TEMPLATE.search(parameter.value):
                raise Unknown("a template fills it in")
            return parameter.value
        if not self.main.known:
            raise Unknown("main.cf was not given")
        if defaults.ORDER.get(name, LATER) >= order:
            return None
        if name in self.built_in:
            value = self.built_in[name]
            if value is None:
                raise Unknown(f"{name} is decided at run time")
            return value
        return defaults.PROGRAM.get(name)
