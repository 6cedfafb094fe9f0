"""XML files as a flat run of tags with their places: no DOCTYPE and so no entities, and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from sslint.source import Location, SourceFile
from sslint.values import dataclass

MAX_DEPTH = 32
MAX_ELEMENTS = 1_000_000  # a set of addresses has one or three for each


class XmlError(Exception):
    """A file is not well-formed, or (`malformed` False) goes beyond what is read."""

    def __init__(self, location: Location, reason: str, *, malformed: bool = False) -> None:
        super().__init__(reason)
        self.location = location
        self.reason = reason
        self.malformed = malformed


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
    """A closing tag; `text` is the character data since the last tag, on one line."""

    name: str
    text: str
    location: Location


def tags(file: SourceFile) -> Iterator[Start | End]:
    """Yield a file's tags in order, once all of it is read. Raise XmlError."""
    events: list[Start | End] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    text: list[str] = []
    depth = 0

    def place() -> Location:
        starts = file.starts
        line = min(parser.CurrentLineNumber, len(starts))
        offset = starts[line - 1] + parser.CurrentColumnNumber
        end = file.text.find(">", offset)
        return file.span(offset, end + 1 if end >= 0 else None)

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise XmlError(place(), "elements are nested too deeply")
        if len(events) > 2 * MAX_ELEMENTS:
            raise XmlError(place(), f"more than {MAX_ELEMENTS:,} elements")
        text.clear()
        events.append(Start(name, attributes, place()))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        events.append(End(name, "".join(text).replace("\n", " "), place()))
        text.clear()

    def doctype(*_: object) -> None:
        raise XmlError(place(), "a DOCTYPE is not supported")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(file.text.encode("utf-8", "surrogateescape"), True)
    except expat.ExpatError as error:
        reason = f"not well-formed XML: {expat.ErrorString(error.code) or 'error'}"
        raise XmlError(file.at(error.lineno), reason, malformed=True) from None
    except (LookupError, ValueError):
        reason = "not well-formed XML: unknown encoding"
        raise XmlError(file.at(1), reason, malformed=True) from None
    return iter(events)
