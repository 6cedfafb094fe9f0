"""Expressions: what is compared, what it is compared with, and sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import fields as f
from sslint.firewalls.nftables.cursor import RESERVED, Cursor
from sslint.firewalls.nftables.datatypes import number
from sslint.firewalls.nftables.fields import Field
from sslint.firewalls.nftables.syntax import (
    VERDICTS,
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
from sslint.netfilter.model import Verdict

MAX_DEPTH = 100  # parentheses and sets within each other

# Binary operators by how tightly they bind.
_LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"))
_CONTINUES = frozenset((",", "-", "/", ".", "|", "&", "^", "<<", ">>"))
_TRANSPORTS = frozenset(
    ("tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "esp", "ah", "comp", "gre")
)
_NOT_IN_STATEMENTS = frozenset(
    ("fib", "exthdr", "frag", "hbh", "dst", "mh", "srh", "rt0", "rt2", "osf")
)
_CONSTANT_END = frozenset((",", "}", "\n", ":"))

Operand = Callable[[Cursor], Expression]


# -- variables --------------------------------------------------------------------------------


def variable(at: Cursor) -> Expression:
    """Read `$name` and return what it stands for now."""
    at.expect("$")
    name = at.word()
    scope = next((scope for scope in reversed(at.script.scopes) if name in scope), None)
    if scope is None:
        at.fail(f"unknown identifier '{name}'", at.position - 1)
    return scope[name]


def initializer(at: Cursor) -> Expression:
    """Read what a variable is defined as."""
    if at.tokens[at.position] == "{" and at.tokens[at.position + 1] == "}":
        at.position += 2
        return SetLiteral([])
    if at.take("-"):
        return f"-{at.number()}"
    return right_side(at)


# -- the right side of a comparison -----------------------------------------------------------


def right_side(at: Cursor) -> Expression:
    """Read constants: one, a list of flags, a range, a set, a concatenation, `@name`."""
    lexeme = at.tokens[at.position]
    if lexeme == "{":
        return set_literal(at)
    if lexeme == "@":
        return set_name(at)
    if not lexeme:
        at.unexpected()
    if at.tokens[at.position + 1] not in _CONTINUES and lexeme[0] not in "$([-":
        return primary_constant(at)
    found = constant(at)
    if at.tokens[at.position] == ",":
        return _listing(at, found)
    return found


def _listing(at: Cursor, first: Expression) -> Listing:
    items = [first]
    while at.take(","):
        items.append(_binary(at, primary_constant, 0))
    return Listing(items)


def constant(at: Cursor) -> Expression:
    """Read a constant, a prefix, a range, or a concatenation of them."""
    return _concatenation(at, _part(at), _part)


def _concatenation(at: Cursor, first: Expression, part: Operand) -> Expression:
    """Read what dots join to a part that is read."""
    if at.tokens[at.position] != ".":
        return first
    items = [first]
    while at.take("."):
        items.append(part(at))
    return Concat(items)


def _part(at: Cursor) -> Expression:
    base = _binary(at, primary_constant, 0)
    lexeme = at.tokens[at.position]
    if lexeme == "/" and number(at.tokens[at.position + 1]) is not None:
        at.position += 1  # how many bits, in any base: no mask
        return Prefix(base, at.number())
    if lexeme == "-":
        at.position += 1
        return Range(base, _binary(at, primary_constant, 0))
    return base


def primary_constant(at: Cursor) -> Expression:
    """Read one constant, a variable, or what stands in parentheses."""
    lexeme = at.tokens[at.position]
    head = lexeme[:1]
    if head.isalnum() or head == '"' or (head in "_.:\\" and len(lexeme) > 1):
        if lexeme in RESERVED:
            at.unexpected()
        at.position += 1
        return lexeme
    if lexeme == "$":
        return variable(at)
    if lexeme == "(":
        return _parenthesis(at, primary_constant)
    return _bracketed(at)


def _bracketed(at: Cursor) -> str:
    at.expect("[")
    address = at.tokens[at.position]
    if ":" not in address:
        at.unexpected()
    at.position += 1
    at.expect("]")
    return address


def _parenthesis(at: Cursor, operand: Operand) -> Expression:
    at.expect("(")
    _deeper(at)
    inner = _binary(at, operand, 0)
    if at.tokens[at.position] == ",":
        inner = _listing(at, inner)
    at.script.depth -= 1
    at.expect(")")
    return inner


def _deeper(at: Cursor) -> None:
    at.script.depth += 1
    if at.script.depth > MAX_DEPTH:
        at.fail("too many levels of nesting")


def _binary(at: Cursor, operand: Operand, level: int) -> Expression:
    left = operand(at)
    if at.tokens[at.position] not in ("|", "^", "&", "<<", ">>"):
        return left
    return _climb(at, left, operand, level)


def _climb(at: Cursor, left: Expression, operand: Operand, level: int) -> Expression:
    """Precedence climbing: `left` is read, operators of `level` and tighter follow."""
    while True:
        operator = at.tokens[at.position]
        binding = next((i for i, ops in enumerate(_LEVELS) if operator in ops), -1)
        if binding < level:
            return left
        at.position += 1
        right: Expression
        if operand == primary_selector:
            right = _operand_of_selector(at)
        else:
            right = operand(at)
        tighter = at.tokens[at.position]
        if any(tighter in ops for ops in _LEVELS[binding + 1 :]):
            right = _climb(at, right, operand, binding + 1)
        left = Binary(operator, left, right)


def _operand_of_selector(at: Cursor) -> Expression:
    lexeme = at.tokens[at.position]
    if lexeme in ("meta", "ct") or (lexeme in f.META_UNQUALIFIED and lexeme != "mark"):
        return primary_selector(at)
    return primary_constant(at)


def set_name(at: Cursor) -> Expression:
    """Read `@name`, or a variable that stands for one."""
    if at.tokens[at.position] == "$":
        return variable(at)
    at.expect("@")
    return SetName(at.word())


# -- sets -------------------------------------------------------------------------------------


def set_literal(at: Cursor) -> SetLiteral:
    """Read `{ ... }`: elements, with data if it is a map."""
    at.expect("{")
    _deeper(at)
    items: list[Item] = []
    tokens = at.tokens
    starts = at.starts
    while True:
        if tokens[at.position] == "\n":
            at.position += 1
        if tokens[at.position] == "}" and items:
            break
        position = at.position
        lexeme = tokens[position]
        if not lexeme:
            at.unexpected()
        if (
            tokens[position + 1] in _CONSTANT_END
            and (lexeme[0].isalnum() or lexeme[0] == '"')
            and lexeme not in RESERVED
        ):
            at.position = position + 1  # the common case: a lone constant
            item = Item(lexeme, None, starts[position])
        elif (
            tokens[position + 1] == "/"
            and (length := number(tokens[position + 2])) is not None
            and tokens[position + 3] in _CONSTANT_END
            and lexeme[0].isalnum()
        ):
            at.position = position + 3
            item = Item(Prefix(lexeme, length), None, starts[position])
        else:
            item = _item(at)
        if tokens[at.position] == ":":
            at.position += 1
            item.data = _data(at)
        items.append(item)
        if tokens[at.position] == "\n":
            at.position += 1
        if tokens[at.position] != ",":
            break
        at.position += 1
    at.script.depth -= 1
    at.expect("}")
    return SetLiteral(items)


def _item(at: Cursor) -> Item:
    start = at.starts[at.position]
    if at.tokens[at.position] == "{":
        return Item(set_literal(at), None, start)
    if at.take("*"):
        item = Item(None, None, start)
    else:
        item = Item(constant(at), None, start)
    element_options(at, item)
    return item


def element_options(at: Cursor, item: Item) -> None:
    """Read what may follow an element: times, comments, counters, limits."""
    commented = False
    while True:
        lexeme = at.tokens[at.position]
        if lexeme in ("timeout", "expires"):
            at.position += 1
            time_span(at)
        elif lexeme == "comment":
            if commented:
                at.fail("You can only specify this once. This statement is duplicated.")
            commented = True
            at.position += 1
            at.string()
        elif lexeme in ("counter", "limit", "quota", "ct", "last"):
            kind, stops = at.grammar.counting(at)
            item.statements += (kind,)
            item.limited |= stops is not False
        else:
            return


def _data(at: Cursor) -> Expression:
    found = verdict(at)
    if found is not None:
        return found
    if at.tokens[at.position] == "{":
        return set_literal(at)
    return constant(at)


def verdict(at: Cursor) -> Verdict | None:
    """Read a verdict, or nothing."""
    lexeme = at.tokens[at.position]
    found = VERDICTS.get(lexeme)
    if found is not None:
        at.position += 1
        return found
    if lexeme in ("jump", "goto") and at.tokens[at.position + 1] != "{":
        at.position += 1
        return Verdict("jump" if lexeme == "jump" else "goto", chain_name(at))
    return None


def chain_name(at: Cursor) -> str:
    """Read a chain's name, which may be a variable's value."""
    if at.tokens[at.position] == "$":
        value = variable(at)
        if not isinstance(value, str):
            at.fail("not a valid chain expression", at.position - 1)
        return value[1:-1] if value[:1] == '"' else value
    return at.identifier()


def time_span(at: Cursor) -> int:
    """Read a time such as 1h30m, in seconds."""
    lexeme = at.tokens[at.position]
    value = t.timespec(lexeme[1:-1] if lexeme[:1] == '"' else lexeme)
    if value is None:
        at.unexpected()
    at.position += 1
    return value


# -- the left side of a comparison ------------------------------------------------------------


def selector(at: Cursor) -> Expression:
    """Read what is looked at: fields, concatenated, masked, mapped."""
    if at.tokens[at.position] == "{":
        return set_literal(at)
    found = keys(at)
    if at.tokens[at.position] == "map":
        at.position += 1
        return Mapping(found, map_body(at))
    return found


def keys(at: Cursor) -> Expression:
    """Read a field or a concatenation of fields."""
    first = primary_selector(at)
    if at.tokens[at.position] not in _CONTINUES:
        return first
    return _concatenation(at, _climb(at, first, primary_selector, 0), _computed_field)


def _computed_field(at: Cursor) -> Expression:
    return _binary(at, primary_selector, 0)


def map_body(at: Cursor) -> Expression:
    """Read `{...}` or `@name` after `map` or `vmap`."""
    if at.tokens[at.position] == "{":
        return set_literal(at)
    return set_name(at)


def primary_selector(at: Cursor) -> Expression:
    """Read one field, or what stands in parentheses."""
    lexeme = at.tokens[at.position]
    reader = _SELECTORS.get(lexeme)
    if reader is not None:
        position = at.position
        try:
            return reader(at)
        except t.Refused as error:
            raise RulesetError(str(error), at.span(position, at.position - 1)) from None
    if lexeme == "(":
        return _parenthesis(at, primary_selector)
    return primary_constant(at)


def value(at: Cursor) -> Expression:
    """Read what a statement sets or translates to."""
    found = _concatenation(at, _computed_value(at), _computed_value)
    if at.tokens[at.position] == "map":
        at.position += 1
        return Mapping(found, map_body(at))
    lexeme = at.tokens[at.position]
    if lexeme == "-":
        at.position += 1
        return Range(found, _computed_value(at))
    if lexeme == "/":
        at.position += 1
        return Prefix(found, at.number())
    if lexeme == ",":
        items = [found]
        while at.take(","):
            items.append(_primary_value(at))
        return Listing(items)
    return found


def _computed_value(at: Cursor) -> Expression:
    return _binary(at, _primary_value, 0)


def _primary_value(at: Cursor) -> Expression:
    lexeme = at.tokens[at.position]
    following = at.tokens[at.position + 1]
    if lexeme in _NOT_IN_STATEMENTS:
        at.unexpected()
    if lexeme in _SELECTORS and lexeme not in ("dnat", "snat"):
        whole = following in ("\n", ";", "}", ",", "") or following in VERDICTS
        if not whole or lexeme in f.META_UNQUALIFIED:
            return primary_selector(at)
        if lexeme in _TRANSPORTS:  # the scanner takes it for a header
            at.position += 1
            at.unexpected()
    if lexeme == "(":
        return _parenthesis(at, _primary_value)
    return primary_constant(at)


# -- fields -----------------------------------------------------------------------------------


def _header(at: Cursor) -> Field:
    protocol = at.tokens[at.position]
    name = at.tokens[at.position + 1]
    found = _PLAIN.get((protocol, name))
    if found is not None:
        at.position += 2
        return found
    at.position += 2
    if protocol in _OPTIONAL and name == ("chunk" if protocol == "sctp" else "option"):
        return _option(at, protocol)
    if protocol == "arp" and name in ("saddr", "daddr"):
        name = f"{name} {at.word()}"
    if protocol in ("rt", "rt0", "srh") and at.take("["):
        at.number()
        at.expect("]")
    found = f.header(protocol, name)
    if found is not None and protocol in ("ip", "ip6", "tcp", "udp"):
        _PLAIN[protocol, name] = found
    if found is None and protocol == "rt":
        family = {"ip": 4, "ip6": 6}.get(name, 0)
        if family:
            name = at.word()
        found = f.routing(name, family or own_family(at))
    if found is None and protocol in f.TUNNELS and f.is_header(name):
        inner = f.header(name, at.word())
        if inner is not None:
            found = f.other(f"{protocol}.{inner.key.name}", inner.dtype)
    if found is None:
        at.position -= 1
        at.unexpected()
    return found


def own_family(at: Cursor) -> int:
    """Return 4 or 6 in a table of one address family, else 0."""
    return {"ip": 4, "ip6": 6}.get(at.script.family, 0)


def _option(at: Cursor, protocol: str) -> Field:
    if protocol == "tcp" and at.take("@"):
        name = at.tokens[at.position]
        at.position += 1
        at.expect(",")
        offset = at.number()
        at.expect(",")
        return f.other(f"tcp.option.{name}.@", t.integer(at.number()), str(offset))
    name = at.tokens[at.position]
    at.position += 1
    part: str | None = at.tokens[at.position]
    if protocol == "sctp":
        known = part is not None and part in _CHUNK_FIELDS
        at.position += known
        return f.sctp_chunk(name, part if known else None)
    if protocol == "dccp":
        return f.presence(f"dccp.option.{name}")
    table = f.TCP_OPTIONS.get(f.TCP_OPTION_ALIASES.get(name, name), {})
    fields = {"length", *table} if protocol == "tcp" else set(f.IP_OPTION_FIELDS)
    if part in fields:
        at.position += 1
    else:
        part = None
    found = f.tcp_option(name, part) if protocol == "tcp" else f.ip_option(name, part)
    if found is None:
        at.position -= 1
        at.unexpected()
    return found


def _meta(at: Cursor) -> Field:
    if at.tokens[at.position] == "meta":
        at.position += 1
    found = f.meta(at.tokens[at.position])
    if found is None:
        at.unexpected()
    at.position += 1
    return found


def _ct(at: Cursor) -> Field:
    at.position += 1
    direction = ""
    family = own_family(at)
    if at.tokens[at.position] in ("original", "reply"):
        direction = at.word()
        family = address_family(at) or family
    found = f.ct(at.tokens[at.position], direction, family)
    if found is None:
        at.unexpected()
    at.position += 1
    return found


def address_family(at: Cursor) -> Literal[0, 4, 6]:
    """Read `ip` or `ip6`, or nothing: 0."""
    return 4 if at.take("ip") else 6 if at.take("ip6") else 0


def _fib(at: Cursor) -> Field:
    at.position += 1
    flags = [at.word()]
    while at.take("."):
        flags.append(at.word())
    if len(flags) > 8:
        at.unexpected()
    return f.fib(at.word(), tuple(flags))


def _exthdr(at: Cursor) -> Field:
    at.position += 1
    return f.presence(f"exthdr.{at.choice(f.EXTENSION_HEADERS)}", layer3=6)


def _raw(at: Cursor) -> Field:
    at.position += 1
    base = at.choice(("ll", "nh", "th", "ih"))
    at.expect(",")
    offset = at.number()
    at.expect(",")
    return f.raw(base, offset, at.number())


def _socket(at: Cursor) -> Field:
    at.position += 1
    found = f.socket(at.tokens[at.position])
    if found is None:
        at.unexpected()
    at.position += 1
    if found.key.name == "socket.cgroupv2":
        at.expect("level")
        return f.other(found.key.name, found.dtype, str(at.number()))
    return found


def _osf(at: Cursor) -> Field:
    at.position += 1
    arg = ""
    if at.take("ttl"):
        arg = at.word()
        if arg not in ("loose", "skip"):
            at.fail("invalid ttl option", at.position - 1)
    return f.other(f"osf.{at.choice(('name', 'version'))}", t.STRING, arg)


def _ipsec(at: Cursor) -> Field:
    at.position += 1
    direction = at.word()
    number = at.number() if at.take("spnum") else 0
    name = at.word()
    family = {"ip": 4, "ip6": 6}.get(name, 0)
    if family:
        name = at.word()
    found = f.ipsec(direction, name, family, number)
    if found is None:
        at.position -= 1
        at.unexpected()
    return found


def _numgen(at: Cursor) -> Field:
    at.position += 1
    kind = at.choice(("inc", "random"))
    return f.other(f"numgen.{kind}", arg=_modulus(at))


def _hash(at: Cursor) -> Field:
    kind = at.word()
    if kind == "jhash":
        selector(at)
    return f.other(kind, arg=_modulus(at))


def _modulus(at: Cursor) -> str:
    at.expect("mod")
    modulus = at.number()
    if at.take("seed"):
        at.number()
    offset = at.number() if at.take("offset") else 0
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
_HEADERS = """
    ether vlan arp ip ip6 icmp igmp icmpv6 tcp udp udplite sctp dccp th ah esp comp gre
    gretap vxlan geneve hbh dst frag rt rt0 rt2 srh mh
""".split()
_SELECTORS: dict[str, Callable[[Cursor], Field]] = {
    **dict.fromkeys(_HEADERS, _header),
    **dict.fromkeys(f.META_UNQUALIFIED, _meta),
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
    "exthdr": _exthdr,
    "@": _raw,
    "socket": _socket,
    "osf": _osf,
    "ipsec": _ipsec,
    "numgen": _numgen,
    "jhash": _hash,
    "symhash": _hash,
}
