"""INI files: sections of settings, in order, with repeated ones kept."""

from __future__ import annotations

from sslint.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting and the number of the line where it starts."""

    key: str
    value: str
    line: int


@dataclass(slots=True)
class Section:
    """A section's settings; what stands before the first section has the title ""."""

    title: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def values(self) -> dict[str, str]:
        """The settings by key; of one key the last."""
        return {entry.key: entry.value for entry in self.entries}


def sections(text: str, *, systemd: bool = False) -> list[Section]:
    """Return the sections of a text.

    `systemd`: a backslash at its end lets a line go on, and comments between do not end it
    (systemd.syntax(7), config_parse in src/shared/conf-parser.c).
    """
    found = [Section("")]
    begun, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip()[:1] in ("#", ";") or not (begun or line.strip()):
            continue
        start = start if begun else number
        if systemd and _goes_on(line):
            begun += line[:-1] + " "
            continue
        statement = (begun + line).strip()
        begun = ""
        if statement.startswith("["):
            found.append(Section(statement[1:].partition("]")[0].strip()))
        elif "=" in statement:
            key, _, value = statement.partition("=")
            found[-1].entries.append(Entry(key.strip(), value.strip(), start))
    return found


def _goes_on(line: str) -> bool:
    """Tell whether a line ends in a backslash that no other one escapes."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1
