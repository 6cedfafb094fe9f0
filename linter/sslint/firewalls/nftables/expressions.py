"""Expressions: what is compared, what it is compared with, and sets."""

from __future__ import annotations

from collections.abc import Callable

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import fields as f
from sslint.firewalls.nftables.cursor import RESERVED, Cursor
from sslint.firewalls.nftables.fields import Field
from sslint.firewalls.nftables.syntax import (
    Binary,
    Concat,
    Expression,
    Item,
    Listing,
    Mapping,
    Prefix,
    Range,
    SetLiteral,
    SetName,
)
from sslint.netfilter.model import TableFamily, Verdict
from sslint.source import SourceFile

MAX_DEPTH = 100  # parentheses and sets within each other

VERDICTS = {word: Verdict(word) for word in ("accept", "drop", "continue", "return")}
# Binary operators by how tightly they bind.
_LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"))
_CONTINUES = frozenset((",", "-", "/", ".", "|", "&", "^", "<<", ">>"))
_TRANSPORTS = frozenset(
    ("tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "esp", "ah", "comp", "gre")
)
_NOT_IN_STATEMENTS = frozenset(
    ("fib", "exthdr", "frag", "hbh", "dst", "mh", "srh", "rt0", "rt2", "osf")
)
_STRUCTURE = frozenset(("{", "}", "(", ")", "\n", ";", ",", ":", ".", "$", "@"))
_CONSTANT_END = frozenset((",", "}", "\n", ":"))

Operand = Callable[[], Expression]


class ExpressionParser(Cursor):
    """Reads expressions of the grammar in nft(8)."""

    def __init__(self, file: SourceFile) -> None:
        super().__init__(file)
        self.scopes: list[dict[str, Expression]] = [{}]
        self.family: TableFamily = "ip"
        self.listing = False  # a listing may hold what nft itself does not read back
        self._depth = 0

    # -- variables --------------------------------------------------------------------------------

    def variable(self) -> Expression:
        """Read `$name` and return what it stands for now."""
        self.expect("$")
        name = self.word()
        scope = next((scope for scope in reversed(self.scopes) if name in scope), None)
        if scope is None:
            self.fail(f"unknown identifier '{name}'", self.position - 1)
        return scope[name]

    def initializer(self) -> Expression:
        """Read what a variable is defined as."""
        if self.tokens[self.position] == "{" and self.tokens[self.position + 1] == "}":
            self.position += 2
            return SetLiteral([])
        if self.take("-"):
            return f"-{self.number()}"
        return self.right_side()

    # -- the right side of a comparison -----------------------------------------------------------

    def right_side(self) -> Expression:
        """Read constants: one, a list of flags, a range, a set, a concatenation, `@name`."""
        lexeme = self.tokens[self.position]
        if lexeme == "{":
            return self.set_literal()
        if lexeme == "@":
            return self.set_name()
        if not lexeme:
            self.unexpected()
        if self.tokens[self.position + 1] not in _CONTINUES and lexeme[0] not in "$([-":
            return self._primary_constant()
        found = self.constant()
        if self.tokens[self.position] == ",":
            return self._listing(found)
        return found

    def _listing(self, first: Expression) -> Listing:
        items = [first]
        while self.take(","):
            items.append(self._binary(self._primary_constant, 0))
        return Listing(items)

    def constant(self) -> Expression:
        """Read a constant, a prefix, a range, or a concatenation of them."""
        first = self._part()
        if self.tokens[self.position] != ".":
            return first
        items = [first]
        while self.take("."):
            items.append(self._part())
        return Concat(items)

    def _part(self) -> Expression:
        base = self._binary(self._primary_constant, 0)
        lexeme = self.tokens[self.position]
        if lexeme == "/" and self.tokens[self.position + 1].isdigit():
            self.position += 1
            return Prefix(base, self.number())
        if lexeme == "-":
            self.position += 1
            return Range(base, self._binary(self._primary_constant, 0))
        return base

    def _primary_constant(self) -> Expression:
        lexeme = self.tokens[self.position]
        head = lexeme[:1]
        if head.isalnum() or head == '"' or (head in "_.:\\" and len(lexeme) > 1):
            if lexeme in RESERVED:
                self.unexpected()
            self.position += 1
            return lexeme
        if lexeme == "$":
            return self.variable()
        if lexeme == "(":
            return self._parenthesis(self._primary_constant)
        return self._bracketed()

    def _bracketed(self) -> str:
        self.expect("[")
        address = self.tokens[self.position]
        if ":" not in address:
            self.unexpected()
        self.position += 1
        self.expect("]")
        return address

    def _parenthesis(self, operand: Operand) -> Expression:
        self.expect("(")
        self._deeper()
        inner = self._binary(operand, 0)
        if self.tokens[self.position] == ",":
            inner = self._listing(inner)
        self._depth -= 1
        self.expect(")")
        return inner

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail("too many levels of nesting")

    def _binary(self, operand: Operand, level: int) -> Expression:
        left = operand()
        if self.tokens[self.position] not in ("|", "^", "&", "<<", ">>"):
            return left
        return self._climb(left, operand, level)

    def _climb(self, left: Expression, operand: Operand, level: int) -> Expression:
        """Precedence climbing: `left` is read, operators of `level` and tighter follow."""
        while True:
            operator = self.tokens[self.position]
            binding = next((i for i, ops in enumerate(_LEVELS) if operator in ops), -1)
            if binding < level:
                return left
            self.position += 1
            right: Expression
            if operand == self._primary_selector:
                right = self._operand_of_selector()
            else:
                right = operand()
            tighter = self.tokens[self.position]
            if any(tighter in ops for ops in _LEVELS[binding + 1 :]):
                right = self._climb(right, operand, binding + 1)
            left = Binary(operator, left, right)

    def _operand_of_selector(self) -> Expression:
        lexeme = self.tokens[self.position]
        if lexeme in ("meta", "ct") or (lexeme in f.META_UNQUALIFIED and lexeme != "mark"):
            return self._primary_selector()
        return self._primary_constant()

    def set_name(self) -> Expression:
        """Read `@name`, or a variable that stands for one."""
        if self.tokens[self.position] == "$":
            return self.variable()
        self.expect("@")
        return SetName(self.word())

    # -- sets -------------------------------------------------------------------------------------

    def set_literal(self) -> SetLiteral:
        """Read `{ ... }`: elements, with data if it is a map."""
        self.expect("{")
        self._deeper()
        items: list[Item] = []
        tokens = self.tokens
        starts = self.starts
        while True:
            if tokens[self.position] == "\n":
                self.position += 1
            if tokens[self.position] == "}" and items:
                break
            position = self.position
            lexeme = tokens[position]
            if not lexeme:
                self.unexpected()
            if (
                tokens[position + 1] in _CONSTANT_END
                and (lexeme[0].isalnum() or lexeme[0] == '"')
                and lexeme not in RESERVED
            ):
                self.position = position + 1  # the common case: a lone constant
                item = Item(lexeme, None, starts[position])
            elif (
                tokens[position + 1] == "/"
                and tokens[position + 2].isdigit()
                and tokens[position + 3] in _CONSTANT_END
                and lexeme[0].isalnum()
            ):
                self.position = position + 3
                item = Item(Prefix(lexeme, int(tokens[position + 2])), None, starts[position])
            else:
                item = self._item()
            if tokens[self.position] == ":":
                self.position += 1
                item.data = self._data()
            items.append(item)
            if tokens[self.position] == "\n":
                self.position += 1
            if tokens[self.position] != ",":
                break
            self.position += 1
        self._depth -= 1
        self.expect("}")
        return SetLiteral(items)

    def _item(self) -> Item:
        start = self.starts[self.position]
        if self.tokens[self.position] == "{":
            return Item(self.set_literal(), None, start)
        if self.take("*"):
            item = Item(None, None, start)
        else:
            item = Item(self.constant(), None, start)
        self.element_options(item)
        return item

    def element_options(self, item: Item) -> None:
        """Read what may follow an element: times, comments, counters, limits."""
        while True:
            lexeme = self.tokens[self.position]
            if lexeme in ("timeout", "expires"):
                self.position += 1
                self.time()
            elif lexeme == "comment":
                self.position += 1
                self.string()
            elif lexeme in ("counter", "limit", "quota", "ct", "last"):
                item.limited |= self.stateful() is not False
            else:
                return

    def _data(self) -> Expression:
        verdict = self.verdict()
        if verdict is not None:
            return verdict
        if self.tokens[self.position] == "{":
            return self.set_literal()
        return self.constant()

    def verdict(self) -> Verdict | None:
        """Read a verdict, or nothing."""
        lexeme = self.tokens[self.position]
        found = VERDICTS.get(lexeme)
        if found is not None:
            self.position += 1
            return found
        if lexeme in ("jump", "goto") and self.tokens[self.position + 1] != "{":
            self.position += 1
            kind = "jump" if lexeme == "jump" else "goto"
            return Verdict("jump" if kind == "jump" else "goto", self.chain_name())
        return None

    def identifier(self) -> str:
        """Read the name of a table, chain, set or object; iptables' own may be any word."""
        lexeme = self.tokens[self.position]
        if self.listing and lexeme and lexeme not in _STRUCTURE:
            self.position += 1
            return lexeme
        return super().identifier()

    def chain_name(self) -> str:
        """Read a chain's name, which may be a variable's value."""
        if self.tokens[self.position] == "$":
            value = self.variable()
            if not isinstance(value, str):
                self.fail("not a valid chain expression", self.position - 1)
            return value[1:-1] if value[:1] == '"' else value
        return self.identifier()

    def time(self) -> int:
        """Read a time such as 1h30m, in seconds."""
        lexeme = self.tokens[self.position]
        value = t.timespec(lexeme[1:-1] if lexeme[:1] == '"' else lexeme)
        if value is None:
            self.unexpected()
        self.position += 1
        return value

    def stateful(self) -> bool | None:
        """Read a stateful statement; overridden where statements are known."""
        raise NotImplementedError

    # -- the left side of a comparison ------------------------------------------------------------

    def selector(self) -> Expression:
        """Read what is looked at: fields, concatenated, masked, mapped."""
        if self.tokens[self.position] == "{":
            return self.set_literal()
        found = self.keys()
        if self.tokens[self.position] == "map":
            self.position += 1
            return Mapping(found, self.map_body())
        return found

    def keys(self) -> Expression:
        """Read a field or a concatenation of fields."""
        first = self._primary_selector()
        if self.tokens[self.position] not in _CONTINUES:
            return first
        first = self._climb(first, self._primary_selector, 0)
        if self.tokens[self.position] != ".":
            return first
        items = [first]
        while self.take("."):
            items.append(self._binary(self._primary_selector, 0))
        return Concat(items)

    def map_body(self) -> Expression:
        """Read `{...}` or `@name` after `map` or `vmap`."""
        if self.tokens[self.position] == "{":
            return self.set_literal()
        return self.set_name()

    def _primary_selector(self) -> Expression:
        lexeme = self.tokens[self.position]
        reader = _SELECTORS.get(lexeme)
        if reader is not None:
            position = self.position
            try:
                return reader(self)
            except t.Refused as error:
                raise RulesetError(str(error), self.span(position, self.position - 1)) from None
        if lexeme == "(":
            return self._parenthesis(self._primary_selector)
        return self._primary_constant()

    def value(self) -> Expression:
        """Read what a statement sets or translates to."""
        found = self._value_keys()
        if self.tokens[self.position] == "map":
            self.position += 1
            return Mapping(found, self.map_body())
        lexeme = self.tokens[self.position]
        if lexeme == "-":
            self.position += 1
            return Range(found, self._binary(self._primary_value, 0))
        if lexeme == "/":
            self.position += 1
            return Prefix(found, self.number())
        if lexeme == ",":
            items = [found]
            while self.take(","):
                items.append(self._primary_value())
            return Listing(items)
        return found

    def _value_keys(self) -> Expression:
        first = self._binary(self._primary_value, 0)
        if self.tokens[self.position] != ".":
            return first
        items = [first]
        while self.take("."):
            items.append(self._binary(self._primary_value, 0))
        return Concat(items)

    def _primary_value(self) -> Expression:
        lexeme = self.tokens[self.position]
        following = self.tokens[self.position + 1]
        if lexeme in _NOT_IN_STATEMENTS:
            self.unexpected()
        if lexeme in _SELECTORS and lexeme not in ("dnat", "snat"):
            whole = following in ("\n", ";", "}", ",", "") or following in VERDICTS
            if not whole or lexeme in f.META_UNQUALIFIED:
                return self._primary_selector()
            if lexeme in _TRANSPORTS:  # the scanner takes it for a header
                self.position += 1
                self.unexpected()
        if lexeme == "(":
            return self._parenthesis(self._primary_value)
        return self._primary_constant()

    # -- fields -----------------------------------------------------------------------------------

    def _header(self) -> Field:
        protocol = self.tokens[self.position]
        name = self.tokens[self.position + 1]
        found = _PLAIN.get((protocol, name))
        if found is not None:
            self.position += 2
            return found
        self.position += 2
        if protocol in _OPTIONAL and name == ("chunk" if protocol == "sctp" else "option"):
            return self._option(protocol)
        if protocol == "arp" and name in ("saddr", "daddr"):
            name = f"{name} {self.word()}"
        if protocol in ("rt", "rt0", "srh") and self.take("["):
            self.number()
            self.expect("]")
        found = f.header(protocol, name)
        if found is not None and protocol in ("ip", "ip6", "tcp", "udp"):
            _PLAIN[protocol, name] = found
        if found is None and protocol == "rt":
            family = {"ip": 4, "ip6": 6}.get(name, 0)
            if family:
                name = self.word()
            found = f.routing(name, family or self.own_family())
        if found is None and protocol in f.TUNNELS and f.is_header(name):
            inner = f.header(name, self.word())
            if inner is not None:
                found = f.other(f"{protocol}.{inner.key.name}", inner.dtype)
        if found is None:
            self.position -= 1
            self.unexpected()
        return found

    def own_family(self) -> int:
        """Return 4 or 6 in a table of one address family, else 0."""
        return {"ip": 4, "ip6": 6}.get(self.family, 0)

    def _option(self, protocol: str) -> Field:
        if protocol == "tcp" and self.take("@"):
            name = self.tokens[self.position]
            self.position += 1
            self.expect(",")
            offset = self.number()
            self.expect(",")
            return f.other(f"tcp.option.{name}.@", t.integer(self.number()), str(offset))
        name = self.tokens[self.position]
        self.position += 1
        part: str | None = self.tokens[self.position]
        if protocol == "sctp":
            known = part is not None and part in _CHUNK_FIELDS
            self.position += known
            return f.sctp_chunk(name, part if known else None)
        if protocol == "dccp":
            return f.presence(f"dccp.option.{name}")
        table = f.TCP_OPTIONS.get(f.TCP_OPTION_ALIASES.get(name, name), {})
        fields = {"length", *table} if protocol == "tcp" else set(f.IP_OPTION_FIELDS)
        if part in fields:
            self.position += 1
        else:
            part = None
        found = f.tcp_option(name, part) if protocol == "tcp" else f.ip_option(name, part)
        if found is None:
            self.position -= 1
            self.unexpected()
        return found

    def _meta(self) -> Field:
        if self.tokens[self.position] == "meta":
            self.position += 1
        found = f.meta(self.tokens[self.position])
        if found is None:
            self.unexpected()
        self.position += 1
        return found

    def _ct(self) -> Field:
        self.position += 1
        direction = ""
        family = self.own_family()
        if self.tokens[self.position] in ("original", "reply"):
            direction = self.tokens[self.position]
            self.position += 1
            if self.tokens[self.position] in ("ip", "ip6"):
                family = 4 if self.tokens[self.position] == "ip" else 6
                self.position += 1
        found = f.ct(self.tokens[self.position], direction, family)
        if found is None:
            self.unexpected()
        self.position += 1
        return found

    def _fib(self) -> Field:
        self.position += 1
        flags = [self.word()]
        while self.take("."):
            flags.append(self.word())
        if len(flags) > 8:
            self.unexpected()
        return f.fib(self.word(), tuple(flags))

    def _exthdr(self) -> Field:
        self.position += 1
        name = self.word()
        if name not in f.EXTENSION_HEADERS:
            self.position -= 1
            self.unexpected()
        return f.presence(f"exthdr.{name}", layer3=6)

    def _raw(self) -> Field:
        self.position += 1
        base = self.word()
        if base not in ("ll", "nh", "th", "ih"):
            self.position -= 1
            self.unexpected()
        self.expect(",")
        offset = self.number()
        self.expect(",")
        return f.raw(base, offset, self.number())

    def _socket(self) -> Field:
        self.position += 1
        found = f.socket(self.tokens[self.position])
        if found is None:
            self.unexpected()
        self.position += 1
        if found.key.name == "socket.cgroupv2":
            self.expect("level")
            return f.other(found.key.name, found.dtype, str(self.number()))
        return found

    def _osf(self) -> Field:
        self.position += 1
        arg = ""
        if self.take("ttl"):
            arg = self.word()
            if arg not in ("loose", "skip"):
                self.fail("invalid ttl option", self.position - 1)
        name = self.word()
        if name not in ("name", "version"):
            self.position -= 1
            self.unexpected()
        return f.other(f"osf.{name}", t.STRING, arg)

    def _ipsec(self) -> Field:
        self.position += 1
        direction = self.word()
        number = self.number() if self.take("spnum") else 0
        name = self.word()
        family = {"ip": 4, "ip6": 6}.get(name, 0)
        if family:
            name = self.word()
        found = f.ipsec(direction, name, family, number)
        if found is None:
            self.position -= 1
            self.unexpected()
        return found

    def _numgen(self) -> Field:
        self.position += 1
        kind = self.word()
        if kind not in ("inc", "random"):
            self.position -= 1
            self.unexpected()
        return f.other(f"numgen.{kind}", arg=self._modulus())

    def _hash(self) -> Field:
        kind = self.word()
        if kind == "jhash":
            self.selector()
        return f.other(kind, arg=self._modulus())

    def _modulus(self) -> str:
        self.expect("mod")
        modulus = self.number()
        if self.take("seed"):
            self.number()
        offset = self.number() if self.take("offset") else 0
        return f"{modulus},{offset}"


_PLAIN: dict[tuple[str, str], Field] = {}  # the common fields that were met
_OPTIONAL = frozenset(("tcp", "ip", "sctp", "dccp"))
_CHUNK_FIELDS = frozenset(
    """
    type flags length tsn stream ssn ppid init-tag a-rwnd num-outbound-streams
    num-inbound-streams initial-tsn cum-tsn-ack num-gap-ack-blocks num-dup-tsns lowest-tsn seqno
    new-cum-tsn
    """.split()
)
_HEADERS = [
    "ether",
    "vlan",
    "arp",
    "ip",
    "ip6",
    "icmp",
    "igmp",
    "icmpv6",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "th",
    "ah",
    "esp",
    "comp",
    "gre",
    "gretap",
    "vxlan",
    "geneve",
    "hbh",
    "dst",
    "frag",
    "rt",
    "rt0",
    "rt2",
    "srh",
    "mh",
]
_SELECTORS: dict[str, Callable[[ExpressionParser], Field]] = {
    **dict.fromkeys(_HEADERS, ExpressionParser._header),
    **dict.fromkeys(f.META_UNQUALIFIED, ExpressionParser._meta),
    "meta": ExpressionParser._meta,
    "ct": ExpressionParser._ct,
    "fib": ExpressionParser._fib,
    "exthdr": ExpressionParser._exthdr,
    "@": ExpressionParser._raw,
    "socket": ExpressionParser._socket,
    "osf": ExpressionParser._osf,
    "ipsec": ExpressionParser._ipsec,
    "numgen": ExpressionParser._numgen,
    "jhash": ExpressionParser._hash,
    "symhash": ExpressionParser._hash,
}
