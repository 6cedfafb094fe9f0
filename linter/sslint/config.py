"""Settings: flags over the environment over `.sslint.yaml`; one name for each, everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslint import tree as trees
from sslint.errors import UsageError
from sslint.tree import Status, TreeError, work_tree
from sslint.values import dataclass, field
from sslint.yamlfile import MAX_SIZE, Document, Where, display, dotted

if TYPE_CHECKING:
    from sslint.revisions import Change, How, Revision

FILE_NAMES = (".sslint.yaml", ".sslint.yml")


@dataclass(slots=True)
class Config:
    """What a `.sslint.yaml` says; `base` is the directory that its paths are relative to.

    With a `revision` it is that commit's, and so are the rules and the baseline that it names.
    """

    path: Path | None = None
    document: Document = field(default_factory=Document)
    data: bytes = b""
    revision: Revision | None = None

    @property
    def values(self) -> Mapping[str, Any]:
        """The settings of the file."""
        return self.document.values

    @property
    def base(self) -> Path:
        """The directory of the file."""
        return self.path.parent if self.path is not None else Path.cwd()

    def get(self, name: str, option: Any = None, default: Any = None) -> Any:
        """Return a setting: what the flag or the environment says, else the file."""
        return self.values.get(name, default) if option is None else option

    def many(self, name: str, option: Any = None) -> list[str]:
        """Return a setting of several values; commas separate them as well."""
        value = self.get(name, option, [])
        items = [value] if isinstance(value, str) else value
        return [part for item in items for part in str(item).split(",") if part]

    def error(self, where: Where, text: str) -> UsageError:
        """Return the error that a key of the file is not what it must be."""
        return self.document.refuse(where, text)

    def within(self, text: str, where: Where) -> Path:
        """Return the real path that a path of the file means. Raise UsageError if it leads out.

        `where` is the key that has it: the error names that, and not the path.
        """
        top = work_tree(self.base)
        try:
            path = trees.resolve(self.base / text)
        except TreeError as error:
            names = "names a file or directory that does not exist"
            absent = error.status is Status.ABSENT
            raise self.error(
                where, names if absent else f"cannot be read: {error.reason}"
            ) from None
        if path != top and top not in path.parents:
            raise self.error(where, f"points outside {display(top)}")
        if ".git" in path.relative_to(top).parts:
            raise self.error(where, "points into .git")
        return path

    def found(self, text: str, where: Where) -> Path:
        """Return what `within` does. Raise UsageError also for a link."""
        path = self.within(text, where)
        if str(path) != os.path.abspath(self.base / text):
            raise self.error(where, "names a symbolic link; name a file")
        return path

    def files(
        self, text: str, where: Where, *, ending: str = "", limit: int = trees.MAX_FILE
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the name and bytes of a file that the file names, or of those in a directory.

        Raise UsageError.
        """
        if self.revision is None:
            path = self.found(text, where)
            try:
                for file in trees.files_below(path, ending):
                    yield display(file), trees.read_found(file, limit=limit)[0]
            except TreeError as error:
                raise UsageError(str(error)) from None
            return
        top = self.revision.top
        inside = os.path.relpath(os.path.normpath(self.base / text), top)
        if inside == ".." or inside.startswith("../"):
            raise self.error(where, f"leads out of {display(top)}")
        for name, data in self.revision.below(inside, ending, limit):
            yield self.revision.called(name), data


def load(
    paths: Sequence[str],
    *,
    explicit: str | None = None,
    disabled: bool | None = False,
    revision: str | None = None,
) -> Config:
    """Find and read the configuration of what is to be checked.

    Without `explicit` it is the `.sslint.yaml` beside the first path, or above it up to the top
    of its work tree, if it has the same owner as the path: nobody else's file decides for us.
    It must be that of every directory that is given: settings are not held against another host.
    With `revision` it is the file there of that commit. Raise UsageError.
    """
    if revision is not None:
        if disabled or explicit is not None:
            other = "--no-config" if disabled else "--config"
            raise UsageError(f"--config-from and {other}: give one of them")
        return _of_revision(paths, revision)
    if disabled:
        return Config()
    if explicit is not None:
        return _named(explicit)
    first, *others = paths or ["."]
    found = _nearest(first)
    for path in others:
        theirs = _nearest(path) if os.path.isdir(path) else found
        if theirs != found and (holder := found or theirs) is not None:
            stranger = path if found is not None else first
            raise UsageError(
                f"{display(holder[0])}: holds settings that are not those of {stranger}",
                tip="check them one at a time, or choose with --config or --no-config",
            )
    return Config() if found is None else _read(*found)


def _nearest(path: str) -> tuple[Path, bytes] | None:
    """Return the configuration beside a path or above it, and its bytes. Raise UsageError."""
    try:
        start = trees.confined(path)
        owner = os.stat(start).st_uid
    except (TreeError, OSError):
        return None
    first = start if os.path.isdir(start) else start.parent
    top = work_tree(first)
    for directory in (first, *first.parents):
        here = os.access(directory, os.X_OK)  # else it is what cannot be read, and not its settings
        names = FILE_NAMES if here else ()
        lying = [read for name in names if (read := _beside(directory / name, owner))]
        if len(lying) > 1:
            both = " and ".join(FILE_NAMES)
            raise UsageError(f"{display(directory)}: holds {both}; keep one of them")
        if lying:
            return lying[0]
        if directory == top:
            break
    return None


def changes(config: Config, paths: Sequence[str]) -> list[Change]:
    """Return what the checked tree's own configuration changes of a commit's.

    A file that it names and that differs counts as well; a configuration that cannot be read is
    one change without a key.
    """
    from sslint.revisions import Change

    try:
        own = load(paths)
    except UsageError:
        return [Change("", "changed", "")]
    assert config.revision is not None
    name = own.path.relative_to(config.revision.top).as_posix() if own.path is not None else ""
    found = []
    for key in sorted({*config.values, *own.values}):
        how = _difference(config, own, key)
        if how is not None:
            found.append(Change(key, how, name, own.document.line((key,))))
    return found


def _difference(config: Config, own: Config, key: str) -> How | None:
    if key not in config.values:
        return "added"
    if key not in own.values:
        return "removed"
    if config.values[key] != own.values[key] or (
        key in ("baseline", "rules") and _contents(config, key) != _contents(own, key)
    ):
        return "changed"
    return None


def _contents(config: Config, key: str) -> list[bytes] | None:
    """Return what the files hold that a setting names; None where they cannot be read."""
    value = config.values[key]
    ending = ".yaml" if key == "rules" else ""
    try:
        return [
            data
            for index, text in enumerate([value] if isinstance(value, str) else value)
            for _, data in config.files(text, (key, index), ending=ending)
        ]
    except UsageError:
        return None


def _of_revision(paths: Sequence[str], name: str) -> Config:
    """Read the configuration that a commit has for a path."""
    from sslint.revisions import open_revision

    start = trees.confined(paths[0] if paths else ".")
    first = start if os.path.isdir(start) else start.parent
    top = work_tree(first)
    revision = open_revision(top, name)
    for directory in (first, *first.parents):
        inside = directory.relative_to(top)
        found = [
            (file, data)
            for file in FILE_NAMES
            if (data := revision.read((inside / file).as_posix(), MAX_SIZE)) is not None
        ]
        if len(found) > 1:
            raise UsageError(
                f"{revision.called(inside.as_posix())}: holds {' and '.join(FILE_NAMES)}; "
                "keep one of them"
            )
        if found:
            path = directory / found[0][0]
            called = revision.called((inside / found[0][0]).as_posix())
            return _read(path, found[0][1], called, revision)
        if directory == top:
            break
    return Config(revision=revision)


def _beside(path: Path, owner: int) -> tuple[Path, bytes] | None:
    """Return a configuration that lies there and is its owner's. Raise UsageError."""
    try:
        data, found = trees.read_found(path, limit=MAX_SIZE)
    except TreeError as error:
        if error.status in (Status.ABSENT, Status.OTHER):
            return None
        raise UsageError(
            f"{display(path)}: {error.reason}", tip="name it with --config if it is yours"
        ) from None
    return (path, data) if found == owner else None


def _named(name: str) -> Config:
    """Read the configuration that the user names."""
    try:
        return _read(Path(name), trees.read_named(name, limit=MAX_SIZE))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    except TreeError as error:
        raise UsageError(f"{name}: {error.reason}") from None


def _read(
    path: Path, data: bytes, name: str | None = None, revision: Revision | None = None
) -> Config:
    from sslint import yamlfile
    from sslint.arguments import setting_names

    document = yamlfile.read(name or display(path), data)
    known = yamlfile.properties("config")
    for name in document.values:
        if (flag := name.replace("-", "_")) in setting_names() - known:
            raise document.error(
                (name,),
                f"{dotted((name,))} is not a setting of a file; use --{flag.replace('_', '-')} or "
                f"SSLINT_{flag.upper()}",
            )
    yamlfile.validate(document, "config")
    return Config(trees.real_path(path.parent) / path.name, document, data, revision)
