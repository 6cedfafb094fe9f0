"""Settings: flags over the environment over `.sslint.yaml`; one name for each, everywhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sslint.errors import UsageError
from sslint.targets import SERVER_FILES, Given, Target, announce, mount_ruleset
from sslint.tree import Tree
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
        path = (self.base / text).resolve()
        if path != top and top not in path.parents:
            raise UsageError(f"{self.path}: {text}: lies outside of {top}")
        if not path.exists():
            raise UsageError(f"{self.path}: {text}: no such file or directory")
        return path


def work_tree(start: Path) -> Path:
    """Return the top of the work tree that a directory lies in, else the directory itself."""
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / ".git").exists():
            return directory
    return start


def load(paths: Sequence[str], *, explicit: str | None = None, disabled: bool = False) -> Config:
    """Find and read the configuration of what is to be checked.

    Without `explicit` it is the `.sslint.yaml` beside the first path, or above it up to the top
    of its work tree, if it has the same owner as the path: nobody else's file decides for us.
    """
    if disabled:
        return Config()
    if explicit is not None:
        return _read(Path(explicit))
    start = Path(paths[0] if paths else ".").resolve()
    if not start.exists():
        return Config()
    first = start if start.is_dir() else start.parent
    top = work_tree(first)
    for directory in (first, *first.parents):
        candidate = directory / FILE_NAME
        if candidate.is_file() and candidate.stat().st_uid == start.stat().st_uid:
            return _read(candidate)
        if directory == top:
            break
    return Config()


def _read(path: Path) -> Config:
    import yaml

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path}: is not a regular file")
        if path.stat().st_size > MAX_SIZE:
            raise UsageError(f"{path}: is larger than a configuration can be")
        text = path.read_text(encoding="utf-8")
        # The safe loader: it makes plain data and nothing else.
        values = yaml.safe_load(text) or {}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}{_mark(error)}") from None
    values = _plain(values, path, [MAX_VALUES])
    _validate(path, values)
    return Config(path.parent.resolve() / path.name, values)


def _mark(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1})" if mark is not None else ""


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
    announce(target, map(config.within, texts))
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
        (_, place), real = mount_ruleset(str(config.within(name)), index)
        target.tree.mount(place, real)
        given.append((kind if separator else None, place))
    target.firewall = tuple(given)
