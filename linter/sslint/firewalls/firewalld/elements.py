"""XML files as a flat run of elements with their places, without external entities."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from sslint.reasons import Code
from sslint.source import Location, SourceFile
from sslint.values import dataclass

MAX_DEPTH = 32


class InvalidFile(Exception):  # noqa: N818 - it is firewalld that calls it an error
    """A file that firewalld refuses: it then loads nothing of the user's configuration."""

    code = Code.REFUSED

    def __init__(self, location: Location, reason: str) -> None:
        super().__init__(f"{location}: {reason}")
        self.location = location
        self.reason = reason


class NotRead(Exception):  # noqa: N818
    """A file that firewalld may accept and that is not read here."""

    def __init__(self, location: Location | None, reason: str, code: Code = Code.UNKNOWN) -> None:
        super().__init__(f"{location}: {reason}")
        self.location = location
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True)
class Start:
    """An opening tag."""

    name: str
    attributes: dict[str, str]
    location: Location

    def get(self, name: str) -> str | None:
        """Return an attribute."""
        return self.attributes.get(name)


@dataclass(frozen=True, slots=True)
class End:
    """A closing tag; `text` is the character data since the last tag."""

    name: str
    text: str
    location: Location


def elements(file: SourceFile) -> Iterator[Start | End]:
    """Yield a file's tags in order. Raise InvalidFile if it is not well-formed."""
    events: list[Start | End] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    text: list[str] = []
    depth = 0

    def place() -> Location:
        line = parser.CurrentLineNumber
        starts = file.starts
        offset = starts[min(line, len(starts)) - 1] + parser.CurrentColumnNumber
        end = file.text.find(">", offset)
        return file.span(offset, end + 1 if end >= 0 else None)

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise NotRead(place(), "elements are nested too deeply")
        text.clear()
        events.append(Start(name, attributes, place()))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        events.append(End(name, "".join(text).replace("\n", " "), place()))
        text.clear()

    def doctype(*_: object) -> None:
        raise NotRead(place(), "a DOCTYPE is not supported")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(file.text.encode("utf-8", "surrogateescape"), True)
    except expat.ExpatError as error:
        message = expat.ErrorString(error.code) or "error"
        raise InvalidFile(file.at(error.lineno), f"not well-formed XML: {message}") from None
    except (LookupError, ValueError):  # an unknown encoding
        raise InvalidFile(file.at(1), "not well-formed XML: unknown encoding") from None
    return iter(events)


def check(
    event: Start,
    required: dict[str, tuple[str, ...]],
    optional: dict[str, tuple[str, ...]],
) -> None:
    """Refuse an unknown element, a missing attribute or an unknown one, as firewalld does."""
    name = event.name
    if name not in required and name not in optional:
        raise InvalidFile(event.location, f"unexpected element {name}")
    for attribute in required.get(name, ()):
        if attribute not in event.attributes:
            raise InvalidFile(event.location, f"{name} lacks the attribute {attribute}")
    for attribute in event.attributes:
        if attribute not in required.get(name, ()) and attribute not in optional.get(name, ()):
            raise InvalidFile(event.location, f"{name} has an unexpected attribute {attribute}")
