"""What every server is to the rest of sslint: a name, its files, its units, its ports, a reader.

A server is a module or a package in this directory and a name in `SERVERS` (servers/__init__.py).
The module holds `SERVER`, which is all that others know of it, and is imported at every start: the
reader, and what knows its files by their content, stand behind imports in functions.

    # servers/example/__init__.py
    def _read(tree: Tree, context: Context) -> ServerReading | None:
        from sslint.servers.example.reader import read

        return read(tree, context.version)

    SERVER = Server(
        name="example",
        title="Example",
        read=_read,
        directories=("/etc/example",),
        entries=("/etc/example/example.conf",),
        package=Package(("example",)),
        units=("example",),
        ports=(("tcp", 443),),
    )

A reader never judges, and says with `ServerReading.knows` how much it understands: rules see its
sockets and stay silent on the rest. A server that shows more has more to say: `knows.certificates`
with `Endpoint.certificates`, `knows.sites` with `ServerReading.sites`, and `ServerReading.web` for
what only a web server can answer (`Web`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from sslint.network.packages import Package
from sslint.tree import Status, Tree
from sslint.values import dataclass

if TYPE_CHECKING:
    from re import Pattern

    from sslint.network import HostFacts
    from sslint.servers.model import CertificateRef, Endpoint, ServerReading
    from sslint.source import Location

Port = tuple[Literal["tcp", "udp"], int]


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the host beside the text of a server's files.

    `version`: as configured, else as the tree's package lists say. `installed`: it is known that
    this one is, and not only that the distribution ships it. `network`: the host's units,
    packages and addresses; None in tests that have no host.
    """

    version: tuple[int, ...] | None = None
    network: HostFacts | None = None
    installed: bool = True

    @property
    def no_ipv6(self) -> Location | None:
        """The line that leaves the kernel without sockets of IPv6, if one does."""
        return self.network.no_ipv6_sockets if self.network is not None else None

    @property
    def distribution(self) -> tuple[str, str]:
        """(family, release), such as ("debian", "13"); ("", "") if not known."""
        return self.network.distribution if self.network is not None else ("", "")

    def commands(self, unit: str) -> list[tuple[str, ...]]:
        """Return the words of each command that a unit starts, as far as the tree holds them."""
        found = self.network.exec_start(unit) if self.network is not None else None
        return [command.words for command in found or ()]


class Loose(Protocol):
    """How the files of a server are known that were given without their place: a module."""

    def recognise(self, text: str) -> str | None:
        """Return the place of the main file that a text is by its content.

        The server's own directory for a text that the main file includes; None for any other.
        """


class Including(Loose, Protocol):
    """The same of a server whose main file includes others: it is made where it was not given."""

    HOLDER: str  # what of the main file includes them: "its http block"
    SITES: bool  # what lies beside a main file is meant to be included by it

    def is_main(self, text: str) -> bool:
        """Tell whether a file that has the main file's name is one."""

    def includes(self, text: str) -> list[str]:
        """Return what a text includes, as it is written there."""

    def belongs(self, text: str) -> bool:
        """Tell whether a file in a directory that is not known is a part of a configuration."""

    def further(self, tree: Tree, known: Sequence[str]) -> list[str]:
        """Return what a main file that is not there may include beside the usual places."""

    def main(self, places: Sequence[str], texts: Sequence[str]) -> str:
        """Return a main file that includes the files at these places, whose texts are given."""


def needs_each(reading: ServerReading) -> Iterable[Endpoint]:
    """Return all sockets, of a server that does not start without one of them."""
    return reading.endpoints


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as the other rooms know it. Directories and files are the host's."""

    name: str  # in reports, rules and .sslint.yaml
    title: str  # as its makers write it
    read: Callable[[Tree, Context], ServerReading | None]

    # Its files. Where one of the directories is, the server may be; the first is its own. Of the
    # main files the first lies there; `mains` are those that are known by their name alone.
    directories: tuple[str, ...]
    entries: tuple[str, ...]
    mains: tuple[str, ...] = ()
    shows: Pattern[str] | None = (
        None  # what its main file has, where other programs use its name too
    )
    marks: tuple[str, ...] = ()  # what shows that a directory is an etc/, relative to it
    included: tuple[str, ...] = ()  # by a distribution's main file, relative to its own directory
    folders: tuple[str, ...] = ()  # that have parts of the configuration
    loose: Callable[[], Loose] | None = None  # where its files are known by their content
    including: Callable[[], Including] | None = None  # where its main file includes others

    # Its versions. `syntax` returns the one whose syntax texts have, "" where they do not tell.
    package: Package = Package(())
    syntax: Callable[[Sequence[str]], str] | None = None
    debian: tuple[str, ...] = ()  # what only Debian's files say

    # How it is started and told to read its files anew.
    units: tuple[str, ...] = ()
    control: tuple[str, ...] = ()  # programs that take a verb, after an option: "nginx -s"
    reloads: tuple[str, ...] = ()  # its own words for a reload, beside the usual ones
    keeps_certificate: bool = False  # the old one is served until it is reloaded
    # Its sockets without which it does not start; those of IPv6 are looked at.
    needs_ipv6: Callable[[ServerReading], Iterable[Endpoint]] | None = None

    # What rules and reports say of it.
    trusting: tuple[str, ...] = ()  # settings that name the proxies whose header is believed
    services_file: str = ""  # where one file alone says what it listens on
    profiles: tuple[str, ...] = ()  # what the names of ufw's profiles for it have
    packaged: tuple[str, ...] = ()  # self-signed certificates that packages make for it

    ports: tuple[Port, ...] = ()  # those by which it is known; a port may have several owners
    counts_sockets: bool = False  # its reader spends the budget of sockets as it goes
    key: str = ""  # how .sslint.yaml describes its file or directory; "" where it has no key

    @property
    def directory(self) -> str:
        """The directory that is the server's own, on the host."""
        return self.directories[0]

    def recognise(self, text: str) -> str | None:
        """Return the place of the main file that a text is; the directory for a part of one."""
        known = self.including or self.loose
        return known().recognise(text) if known is not None else None

    def lacks_main(self, tree: Tree) -> bool:
        """Tell whether the directory is there without the main file that includes others."""
        return (
            self.including is not None
            and tree.status(self.directory) is Status.DIRECTORY
            and tree.status(self.entries[0]) is Status.ABSENT
        )


# -- what only a web server can answer -------------------------------------------------------------

Kind = Literal["file", "proxy", "return", "redirect", "deny", "auth", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request is answered.

    "file": `path` on disk below `root` (None where not known), and `otherwise` if it is not
    there. "redirect" and "proxy": `url`. "return" and "deny": `status`. "none": nobody listens.
    "unknown": the files do not say, `reason` does. `site` is the index of the server block.
    """

    kind: Kind
    site: int | None = None
    location: Location | None = None
    path: str | None = None
    root: str | None = None
    url: str | None = None
    status: int | None = None
    reason: str = ""
    otherwise: Answer | None = None


class Web(Protocol):
    """What only a web server can answer: `ServerReading.web`."""

    def answer(self, port: int, name: str, uri: str) -> Answer:
        """Return what is done with `GET uri` for a host name on a TCP port."""

    def certificates(
        self, endpoint: Endpoint, name: str | None
    ) -> tuple[CertificateRef, ...] | None:
        """Return the certificates that a client gets for an SNI name at one endpoint.

        () where its handshake is turned away, None where it cannot be decided.
        """

    def roots(self) -> Iterable[str]:
        """Return the directories that are served."""

    def dropped(self, port: int, header: str, fits: Callable[[str], bool]) -> Location | None:
        """Return where the HTTP/3 block of a port loses a header that fits for `/`."""
