"""Dovecot's settings: nested filters, groups, and which value a lookup finds.

The order of precedence is that of src/config/config-parser.c and src/lib-settings/settings.c
(2.4), and of src/config/config-filter.c (2.3).
"""

from __future__ import annotations

from sslint.reasons import Code, Reason
from sslint.regex import is_number
from sslint.source import Location
from sslint.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value; `text` None where only the running server knows it, `reason` why.

    `code` is the reason's.

    `read`: the value is the contents of the file that `text` names (`key = <file`).
    """

    text: str | None
    location: Location
    reason: str = ""
    read: bool = False
    quoted: bool = False
    code: Code = Code.UNKNOWN


@dataclass(slots=True)
class Choices:
    """A list that may be set whole or item by item; `last` is the last statement that did.

    `unknown`: a file that was not given may have added items. `shown`: others show which, and what
    they do not show is not taken for one.
    """

    items: dict[str, Value] = field(default_factory=dict)
    whole: Value | None = None
    last: Location | None = None
    unknown: bool = False
    shown: bool = False


@dataclass(slots=True, eq=False)
class Block:
    """The settings of one filter: the root, `protocol imap`, `service X`, `inet_listener Y` ...

    `order`: how many filters were met before it. `lists` and `named` count the named list
    filters (`service X`) and the other named ones (`ssl_server`) on the way to it.
    """

    kind: str
    name: str
    parent: Block | None
    order: int
    location: Location | None
    lists: int = 0
    named: int = 0
    values: dict[str, Value] = field(default_factory=dict)
    choices: dict[str, Choices] = field(default_factory=dict)
    groups: dict[str, tuple[str, Location]] = field(default_factory=dict)
    children: dict[tuple[str, str], Block] = field(default_factory=dict)

    def path(self) -> list[Block]:
        """Return the blocks from the outermost (not the root) to this one."""
        block: Block | None = self
        found: list[Block] = []
        while block is not None and block.parent is not None:
            found.append(block)
            block = block.parent
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Named:
    """A statement as it stands, for those who look for names and not for effects.

    `block`: the filter around it; `listing`: the list of which it is an item.
    """

    name: str
    value: Value
    scope: str
    block: Block
    listing: str = ""

    @property
    def section(self) -> str:
        """The kind of the section right around it, "" at the top."""
        return self.block.kind


@dataclass(slots=True)
class Configuration:
    """A whole configuration. `errors` make the server refuse it; `gaps` are what is not known."""

    root: Block
    modern: bool
    first: Location  # the first line that is not a comment, or where one should be
    version: str = ""
    blocks: list[Block] = field(default_factory=list)
    statements: list[Named] = field(default_factory=list)
    assigned: list[tuple[str, Value]] = field(default_factory=list)  # by full names, in order
    errors: list[Reason] = field(default_factory=list)
    gaps: list[Reason] = field(default_factory=list)
    packaged: Location | None = None  # the include of the package's protocols.d
    assumed: str = ""  # what that include is taken to enable
    files: list[str] = field(default_factory=list)


def default_protocols(configuration: Configuration) -> str:
    """Return what `protocols` is when nothing sets it.

    2.4 has none. 2.3 has "imap pop3 lmtp" (master-settings.c), but for Debian's, which leaves
    it to the files in protocols.d.
    """
    return "" if configuration.modern or configuration.packaged else "imap pop3 lmtp"


@dataclass(frozen=True, slots=True)
class Event:
    """What a lookup is for: None matches only blocks that do not ask.

    `local` and `remote` are networks in CIDR form or addresses, as the blocks spell them.
    """

    service: str | None = None
    listener: str | None = None
    protocol: str | None = None
    local_name: str | None = None
    local: str | None = None
    filters: tuple[str, ...] = ()

    def matches(self, block: Block, *, modern: bool) -> bool:
        """Tell whether a block's settings apply (all blocks around it do too)."""
        kind, name = block.kind, block.name
        if kind == "service":
            return name == self.service
        if kind == "inet_listener":
            return name == self.listener
        if kind == "protocol":
            if name.startswith("!"):
                # 2.4 takes no protocol at all, the master's case, for another one; 2.3 does not.
                return name[1:] != self.protocol if self.protocol else modern
            return name == self.protocol
        if kind == "local_name":
            return self.local_name is not None and any(
                name_matches(self.local_name, mask) for mask in name.split(" ")
            )
        if kind == "local":
            return self.local is not None and within(self.local, name)
        if kind == "remote":
            return name.endswith("/0")
        return not block.name and kind in self.filters


def name_matches(name: str, mask: str) -> bool:
    """Tell whether an SNI name is meant by a mask (src/lib-dns/dns-util.c dns_match_wildcard).

    `*` stands for the rest of a label and must end it, `?` for one character.
    """
    names, masks = name.lower().split("."), mask.lower().split(".")
    return (
        len(names) == len(masks) and "*" not in masks[-1] and all(map(_label_matches, names, masks))
    )


def _label_matches(label: str, mask: str) -> bool:
    head, star, rest = mask.partition("*")
    if rest or (len(label) < len(head) if star else len(label) != len(head)):
        return False
    return all(m in ("?", c) for c, m in zip(label, head, strict=False))


def within(address: str, network: str) -> bool:
    """Tell whether an address or network lies in a network; False for what is neither."""
    import ipaddress

    try:
        inner = ipaddress.ip_network(address, strict=False)
        outer = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return address == network
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


class Lookup:
    """Find the value that a setting has for an event."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        rank = _rank_24 if configuration.modern else _rank_23
        plain: list[Block] = []
        grouped: dict[tuple[str, str], list[Block]] = {}
        for block in configuration.blocks:
            path = block.path()
            if path and path[0].kind.startswith("@"):
                grouped.setdefault((path[0].kind, path[0].name), []).append(block)
            else:
                plain.append(block)
        # From the strongest to the weakest.
        self._plain = sorted(plain, key=rank, reverse=True)
        self._grouped = {k: sorted(v, key=rank, reverse=True) for k, v in grouped.items()}
        self._always: list[int] = []
        self._named: dict[str, list[int]] = {}
        self._local: dict[str, list[int]] = {}
        self._listener: dict[str, list[int]] = {}
        for index, block in enumerate(self._plain):
            path = block.path()
            masks = [n for b in path if b.kind == "local_name" for n in b.name.split(" ")]
            networks = [b.name for b in path if b.kind == "local"]
            for mask in masks:
                self._named.setdefault("" if _odd(mask) else mask, []).append(index)
            if networks and not masks:
                self._local.setdefault(_canonical(networks[-1]), []).append(index)
            elif not masks and block.kind == "inet_listener":
                self._listener.setdefault(block.name, []).append(index)
            elif not masks:
                self._always.append(index)
        self._cache: dict[Event, list[Block]] = {}

    def blocks(self, event: Event) -> list[Block]:
        """Return the blocks that apply to an event, the strongest first."""
        found = self._cache.get(event)
        if found is not None:
            return found
        found = []
        modern = self.configuration.modern
        for block in self._candidates(event):
            if all(event.matches(b, modern=modern) for b in block.path()):
                found.append(block)
                for label, (name, _) in block.groups.items():
                    found += [
                        member
                        for member in self._grouped.get((label, name), ())
                        if all(event.matches(b, modern=modern) for b in member.path()[1:])
                    ]
        self._cache[event] = found
        return found

    def _candidates(self, event: Event) -> list[Block]:
        """Return the blocks that may apply: ten thousand names must not be tried for each."""
        more = list(self._listener.get(event.listener, ())) if event.listener is not None else []
        if event.local_name is not None:
            name = event.local_name.lower()
            for key in {"", name, "*." + name.partition(".")[2]}:
                more += self._named.get(key, ())
        if event.local is not None and self._local:
            for key in _supernets(event.local):
                more += self._local.get(key, ())
        indexes = sorted({*self._always, *more}) if more else self._always
        return [self._plain[index] for index in indexes]

    def value(self, key: str, event: Event) -> Value | None:
        """Return the value that is in force, None where nothing sets it."""
        for block in self.blocks(event):
            found = block.values.get(key)
            if found is not None:
                return found
        return None

    def choices(self, key: str, event: Event) -> list[Choices]:
        """Return the lists that make up one, the strongest first."""
        return [b.choices[key] for b in self.blocks(event) if key in b.choices]


def _canonical(network: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_network(network, strict=False))
    except ValueError:
        return network


def _supernets(address: str) -> list[str]:
    """Return an address or network and all networks around it, as `_canonical` spells them."""
    import ipaddress

    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return [address]
    return [str(network.supernet(new_prefix=bits)) for bits in range(network.prefixlen + 1)]


def _odd(mask: str) -> bool:
    """Tell whether a mask is neither a plain name nor one label's wildcard before one."""
    rest = mask.removeprefix("*.")
    return "*" in rest or "?" in rest


def _rank_24(block: Block) -> tuple[int, ...]:
    return block.lists, block.named, block.order


def _rank_23(block: Block) -> tuple[int, ...]:
    kinds = {b.kind: b.name for b in block.path()}
    return (
        block.lists,
        "local_name" in kinds,
        prefix_length(kinds.get("local", "")),
        prefix_length(kinds.get("remote", "")),
        "protocol" in kinds,
        block.order,
    )


def prefix_length(network: str) -> int:
    """Return how many bits of an address a network fixes; 0 for none."""
    _, slash, bits = network.partition("/")
    if not network:
        return 0
    if slash and is_number(bits) and len(bits) < 4:
        return int(bits)
    return 128 if ":" in network else 32
