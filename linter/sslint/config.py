"""Settings: flags over the environment over `.sslint.yaml`; one name for each, everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sslint import tree as trees
from sslint.errors import UsageError
from sslint.targets import SERVER_FILES, Given, Target, announce, ruleset_place
from sslint.tree import Status, Tree, TreeError, work_tree
from sslint.values import dataclass, field

FILE_NAME = ".sslint.yaml"
FAIL_ON = ("error", "warning", "info", "never")
MAX_SIZE = 1 << 20  # bytes
MAX_VALUES = 50_000


@dataclass(slots=True)
class Config:
    """What a `.sslint.yaml` says; `base` is the directory that its paths are relative to."""

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        """The directory of the file."""
        return self.path.parent if self.path is not None else Path.cwd()

    def get(self, name: str, flag: Any = None, default: Any = None) -> Any:
        """Return a setting: the flag, else SSLINT_NAME of the environment, else the file's."""
        if flag is not None:
            return flag
        value = os.environ.get(f"SSLINT_{name.upper()}")
        return self.values.get(name, default) if value is None else value

    def many(self, name: str, flag: Any = None) -> list[str]:
        """Return a setting of several values; commas separate them as well."""
        value = self.get(name, flag, [])
        items = [value] if isinstance(value, str) else value
        return [part for item in items for part in str(item).split(",") if part]

    def given(self, name: str, flag: Sequence[str] | None = None) -> list[str]:
        """Return what the flag, else the environment says: paths relative to where one stands."""
        if flag is not None:
            return list(flag)
        return [part for part in os.environ.get(f"SSLINT_{name.upper()}", "").split(",") if part]

    def within(self, text: str) -> Path:
        """Return the real path that a path of the file means. Raise UsageError if it leads out."""
        top = work_tree(self.base)
        try:
            path = trees.resolve(self.base / text)
        except TreeError as error:
            raise UsageError(f"{self.path}: {text}: {error.reason}") from None
        if path != top and top not in path.parents:
            raise UsageError(f"{self.path}: {text}: lies outside of {top}")
        if ".git" in path.relative_to(top).parts:
            raise UsageError(f"{self.path}: {text}: lies in .git")
        return path

    def found(self, text: str) -> Path:
        """Return what `within` does. Raise UsageError also for a link."""
        path = self.within(text)
        if str(path) != os.path.abspath(self.base / text):
            raise UsageError(f"{self.path}: {text}: is a symbolic link; name a file")
        return path


def load(paths: Sequence[str], *, explicit: str | None = None, disabled: bool = False) -> Config:
    """Find and read the configuration of what is to be checked.

    Without `explicit` it is the `.sslint.yaml` beside the first path, or above it up to the top
    of its work tree, if it has the same owner as the path: nobody else's file decides for us.
    """
    if disabled:
        return Config()
    if explicit is not None:
        return _named(explicit)
    try:
        start = trees.resolve(paths[0] if paths else ".")
    except TreeError:
        return Config()
    first = start if start.is_dir() else start.parent
    top = work_tree(first)
    for directory in (first, *first.parents):
        candidate = directory / FILE_NAME
        try:
            data, owner = trees.read_found(candidate, limit=MAX_SIZE)
        except TreeError as error:
            if error.status not in (Status.ABSENT, Status.OTHER):
                raise UsageError(
                    f"{candidate}: {error.reason}", tip="name it with --config if it is yours"
                ) from None
        else:
            if owner == os.stat(start).st_uid:
                return _read(candidate, data)
        if directory == top:
            break
    return Config()


def _named(name: str) -> Config:
    """Read the configuration that the user names."""
    try:
        return _read(Path(name), trees.read_named(name, limit=MAX_SIZE))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    except TreeError as error:
        raise UsageError(f"{name}: {error.reason}") from None


def _read(path: Path, data: bytes) -> Config:
    import yaml

    try:
        # The safe loader: it makes plain data and nothing else.
        values = yaml.safe_load(data.decode()) or {}
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}{_mark(error)}: is not valid YAML") from None
    values = _plain(values, path, [MAX_VALUES])
    _validate(path, values)
    return Config(path.parent.resolve() / path.name, values)


def _mark(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark is not None else ""


def _plain(value: Any, path: Path, budget: list[int]) -> Any:
    """Return a value with text for its keys and dates; aliases may not make it immense."""
    budget[0] -= 1
    if budget[0] < 0:
        raise UsageError(f"{path}: holds more than a configuration can")
    if isinstance(value, dict):
        return {str(key): _plain(item, path, budget) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, path, budget) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _validate(path: Path, values: Any) -> None:
    import json

    import jsonschema

    from sslint.engine import schema_text

    schema = json.loads(schema_text("config"))
    validator = jsonschema.Draft202012Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(values))
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path)
        raise UsageError(f"{path}: {where + ': ' if where else ''}{error.message}")


# -- hosts ----------------------------------------------------------------------------------------


def targets(config: Config) -> list[Target]:
    """Return the hosts that the configuration names."""
    hosts = config.values.get("hosts", {})
    return [_target(config, str(name), host) for name, host in hosts.items()]


def _target(config: Config, name: str, host: Mapping[str, Any]) -> Target:
    mounts = {place: config.within(real) for place, real in host.get("paths", {}).items()}
    for server, (file_name, directory) in SERVER_FILES.items():
        if server in host:
            real = config.within(host[server])
            mounts[directory if real.is_dir() else f"{directory}/{file_name}"] = real
    root = config.within(host["root"]) if "root" in host else None
    tree = Tree(root, mounts=mounts, base=work_tree(config.base))
    target = Target(
        name,
        tree,
        addresses=tuple(host.get("addresses", ())),
        versions={**config.values.get("versions", {}), **host.get("versions", {})},
    )
    set_firewall(config, target, host.get("firewall", config.values.get("firewall")))
    texts = (*config.values.get("announced", ()), *host.get("announced", ()))
    announce(target, (config.within(text) for text in texts))
    return target


def set_firewall(config: Config, target: Target, value: Any) -> None:
    """Give a host the rulesets that its configuration names."""
    if value is None:
        return
    if value == "none":
        target.no_firewall = True
        return
    given: list[Given] = []
    for index, text in enumerate([value] if isinstance(value, str) else value):
        kind, separator, name = text.rpartition("=")
        real = config.within(name)
        place = ruleset_place(real.name, index, "boot")
        target.tree.mount(place, real)
        given.append((kind if separator else None, place))
    target.firewall = tuple(given)
