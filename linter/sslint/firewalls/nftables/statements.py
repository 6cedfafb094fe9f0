"""Statements: a rule's matches, verdicts and side effects."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import xtables
from sslint.firewalls.nftables.datatypes import Refused
from sslint.firewalls.nftables.expressions import VERDICTS, ExpressionParser
from sslint.firewalls.nftables.fields import Field
from sslint.firewalls.nftables.limits import capacity_of, quota_stops
from sslint.firewalls.nftables.rules import RuleBuilder
from sslint.firewalls.nftables.syntax import Expression, Item, SetName
from sslint.firewalls.nftables.translations import Family, Kind, tproxy, translate
from sslint.firewalls.nftables.values import constant
from sslint.netfilter.model import Notrack, Synproxy, Unknown, Unmodelled, Verdict

_COMPARISONS = frozenset(("==", "!=", "<", ">", "<=", ">=", "!"))
_ENDS = frozenset(("\n", ";", "}", ""))
_NAT_FLAGS = frozenset(("random", "fully-random", "persistent"))
_RATE_UNITS = frozenset(("second", "minute", "hour", "day", "week"))
_DATA_FACTORS = {"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20}
_LEVELS = frozenset(["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"])
_LOG_OPTIONS = frozenset(("prefix", "group", "snaplen", "queue-threshold", "level", "flags"))
MAX_STATEMENTS = 10_000


class StatementParser(ExpressionParser):
    """Reads rules into a builder."""

    def rule(self) -> tuple[RuleBuilder, int, int]:
        """Read one rule. Return its builder and its first and last token."""
        first = self.position
        builder = RuleBuilder(self.family)
        tokens = self.tokens
        count = 0
        while True:
            lexeme = tokens[self.position]
            if lexeme in _ENDS:
                break
            if lexeme == "comment":
                self.position += 1
                self.string()
                continue
            start = self.position
            if builder.ended:
                self.fail("Statement after terminal statement has no effect")
            try:
                self.statement(builder, lexeme)
            except Refused as error:
                last = max(start, self.position - 1)
                raise RulesetError(str(error), self.span(start, last)) from None
            count += 1
            if count > MAX_STATEMENTS:
                self.fail("a rule of too many statements")
        if not count:
            self.unexpected()
        return builder, first, self.position - 1

    def statement(self, builder: RuleBuilder, lexeme: str) -> None:
        """Read one statement that begins with `token`."""
        verdict = VERDICTS.get(lexeme)
        if verdict is not None:
            self.position += 1
            builder.verdict(verdict)
            return
        reader = _STATEMENTS.get(lexeme)
        if reader is not None:
            reader(self, builder)
            return
        self._match(builder)

    # -- matches ----------------------------------------------------------------------------------

    def _match(self, builder: RuleBuilder) -> None:
        start = self.position
        left = self.selector()
        lexeme = self.tokens[self.position]
        if lexeme == "set":
            self.position += 1
            if type(left) is not Field:
                self.unexpected()
            self._assign(builder, left)
            return
        if lexeme == "vmap":
            self.position += 1
            builder.verdict_map(left, self.map_body())
            return
        if isinstance(left, str):
            self.position = start
            self.unexpected()
        operator = ""
        if lexeme in _COMPARISONS:
            operator = lexeme
            self.position += 1
        right = self.right_side()
        mask: Expression | None = None
        if self.take("/"):
            mask = self.right_side()
        builder.match(left, operator, right, mask)

    def _assign(self, builder: RuleBuilder, target: Field) -> None:
        value = self.value()
        builder.set_field(target, value)

    def _ct_statement(self, builder: RuleBuilder) -> None:
        following = self.tokens[self.position + 1]
        if following == "count":
            self.connection_limit(builder)
        elif following in ("timeout", "expectation") and self.tokens[self.position + 2] == "set":
            self.position += 3
            builder.object_reference(f"ct {following}", self.value())
        else:
            self._match(builder)

    # -- verdicts ---------------------------------------------------------------------------------

    def _jump(self, builder: RuleBuilder) -> None:
        if self.tokens[self.position + 1] == "{":
            kind: Literal["jump", "goto"] = "jump"
            if self.tokens[self.position] == "goto":
                kind = "goto"
            self.position += 1
            name = self.inner_chain()
            builder.add(Verdict(kind, name))
            return
        verdict = self.verdict()
        assert verdict is not None
        builder.verdict(verdict)

    def inner_chain(self) -> str:
        """Read `{ rules }` after jump or goto; overridden where chains are known."""
        raise NotImplementedError

    def _queue(self, builder: RuleBuilder) -> None:
        self.position += 1
        bypass = fanout = ranged = False
        while True:
            lexeme = self.tokens[self.position]
            if lexeme == "num":
                self.position += 1
                ranged = self._queue_number()
            elif lexeme == "to":
                self.position += 1
                if self.tokens[self.position].isdigit() or self.tokens[self.position] == "$":
                    ranged = self._queue_number()
                elif isinstance(self.value(), str):
                    self.position -= 1
                    self.unexpected()
            elif lexeme in ("flags", ","):
                self.position += 1
            elif lexeme in ("bypass", "fanout"):
                bypass |= lexeme == "bypass"
                fanout |= lexeme == "fanout"
                self.position += 1
            else:
                break
        if fanout and not ranged:
            raise Refused("fanout requires a range to be specified")
        builder.verdict(Verdict("queue", bypass=bypass))

    def _queue_number(self) -> bool:
        if self.tokens[self.position] == "$":
            self.variable()
        elif self.number() > 0xFFFF:
            self.fail("queue number exceeds 65535", self.position - 1)
        return self.take("-") and not self._queue_number()

    def _reject(self, builder: RuleBuilder) -> None:
        self.position += 1
        if not self.take("with"):
            builder.reject()
            return
        kind = self.word()
        if kind == "tcp":
            self.expect("reset")
            builder.reject("tcp reset")
            return
        if kind not in ("icmp", "icmpv6", "icmpx"):
            self.position -= 1
            self.unexpected()
        self.take("type")
        code = self._primary_constant()
        builder.reject(kind, code)

    # -- stateful ---------------------------------------------------------------------------------

    def stateful(self) -> bool | None:
        """Read a counter, limit, quota, connection count or last; tell whether it is `over`.

        None: it depends on the packet's size.
        """
        scratch = RuleBuilder(self.family)
        lexeme = self.tokens[self.position]
        reader = STATEFUL.get(lexeme)
        if reader is None:
            self.unexpected()
        reader(self, scratch)
        if any(isinstance(item, Unknown) or getattr(item, "capacity", 0) for item in scratch.items):
            return None
        return any(not getattr(item, "first", True) for item in scratch.items)

    def _counter(self, builder: RuleBuilder) -> None:
        self.position += 1
        if self.take("name"):
            builder.object_reference("counter", self.value())
            return
        while self.tokens[self.position] in ("packets", "bytes"):
            self.position += 1
            self.number()

    def _last(self, builder: RuleBuilder) -> None:
        self.position += 1
        if self.take("used") and not self.take("never"):
            self.time()

    def _limit(self, builder: RuleBuilder) -> None:
        start = self.position
        self.position += 1
        if self.take("name"):
            self._named(builder, "limit", start)
            return
        over, capacity = self.rate()
        builder.limit(over, self._text(start), capacity=capacity)

    def rate(self) -> tuple[bool, int | None]:
        """Read `rate [over] N/unit [burst N packets]`.

        Return whether it is `over`, and the bytes of the longest packet that it ever passes.
        """
        self.expect("rate")
        over = self.take("over")
        if not over:
            self.take("until")
        rate = self.number()
        if rate == 0:
            self.fail("limit rate must be > 0", self.position - 1)
        if self.take("/"):
            self._rate_unit(self.word())
            self._burst({"packets": 1})
            return over, None
        unit, slash, period = self.word().partition("/")  # mbytes/second is one word
        if unit not in _DATA_FACTORS:
            self.position -= 1
            self.unexpected()
        if not slash:
            self.expect("/")
            period = self.word()
        self._rate_unit(period)
        return over, capacity_of(rate * _DATA_FACTORS[unit], self._burst(_DATA_FACTORS))

    def _rate_unit(self, unit: str) -> None:
        if unit not in _RATE_UNITS:
            self.position -= 1
            self.unexpected()

    def _burst(self, units: dict[str, int]) -> int:
        if not self.take("burst"):
            return 0
        number = self.number()
        unit = self.word()
        if unit not in units:
            self.position -= 1
            self.unexpected()
        if unit == "packets" and not number:
            self.fail("packet limit burst must be > 0", self.position - 2)
        return number * units[unit]

    def _quota(self, builder: RuleBuilder) -> None:
        start = self.position
        self.position += 1
        if self.take("name"):
            self._named(builder, "quota", start)
            return
        self._limited(builder, self.quota_spec(), start)

    def _limited(self, builder: RuleBuilder, over: bool | None, start: int) -> None:
        if over is None:
            builder.add(Unknown(f"{self._text(start)} depends on the packet's size"))
        else:
            builder.limit(over, self._text(start))

    def quota_spec(self) -> bool | None:
        """Read `[over] N unit [used N unit]`; tell whether the first packet does not pass.

        None: it depends on the packet's size.
        """
        over = self.take("over")
        if not over:
            self.take("until")
        allowed = self._amount()
        used = self._amount() if self.take("used") else 0
        if used > allowed:
            self.fail("more is used than the quota allows", self.position - 2)
        return quota_stops(over, allowed, used)

    def _amount(self) -> int:
        count = self.number()
        unit = self.tokens[self.position]
        if unit not in _DATA_FACTORS:
            self.unexpected()
        self.position += 1
        return count * _DATA_FACTORS[unit]

    def _named(self, builder: RuleBuilder, kind: str, start: int) -> None:
        value = self.value()
        if builder.object_reference(kind, value):
            name = t.TEXT.parse(value) if isinstance(value, str) else ""
            self._limited(builder, self.object_is_over(kind, str(name)), start)
        else:
            builder.add(Unknown(f"a {kind} from a map"))

    def object_is_over(self, kind: str, name: str) -> bool | None:
        """Tell whether a named limit or quota stops the first packet, None where it depends."""
        raise NotImplementedError

    def connection_limit(self, builder: RuleBuilder) -> None:
        """Read `ct count [over] N`."""
        if self.family == "netdev":
            raise Refused("conntrack is not there in a netdev table")
        start = self.position
        self.position += 2
        over = self.take("over")
        number = self.number()
        if number == 0:  # the first connection is one too many
            over = not over
        builder.limit(over, self._text(start), number, tracked=True)

    def _text(self, start: int) -> str:
        return " ".join(self.tokens[start : self.position])

    # -- side effects -----------------------------------------------------------------------------

    def _log(self, builder: RuleBuilder) -> None:
        self.position += 1
        given: set[str] = set()
        audit = False
        while True:
            lexeme = self.tokens[self.position]
            if lexeme not in _LOG_OPTIONS:
                break
            self.position += 1
            given.add(lexeme)
            if lexeme == "prefix":
                self._log_prefix()
            elif lexeme == "level":
                level = self.string()
                if level not in _LEVELS:
                    self.fail("invalid log level", self.position - 1)
                audit = level == "audit"
            elif lexeme == "flags":
                self._log_flags()
            else:
                self.number()
        if given & {"level", "flags"} and given & {"group", "snaplen", "queue-threshold"}:
            raise Refused("level or flags and group are mutually exclusive")
        if audit and len(given) > 1:
            raise Refused("log level audit doesn't support any further options")

    def _log_prefix(self) -> None:
        position = self.position
        text = self.string() if self.tokens[position] != "$" else str(self.variable())
        for name in re.findall(r"\$([A-Za-z0-9_]*)", text):
            if not any(name in scope for scope in self.scopes):
                self.fail(f"unknown identifier '{name}'", position)

    def _log_flags(self) -> None:
        kind = self.word()
        if kind == "tcp":
            while True:
                if self.word() not in ("sequence", "options"):
                    self.position -= 1
                    self.unexpected()
                if not self.take(","):
                    break
        elif kind == "ip":
            self.expect("options")
        elif kind not in ("skuid", "ether", "all"):
            self.position -= 1
            self.unexpected()

    def _notrack(self, builder: RuleBuilder) -> None:
        self.position += 1
        builder.add(Notrack())

    def _synproxy(self, builder: RuleBuilder) -> None:
        self.position += 1
        if self.take("name"):
            builder.object_reference("synproxy", self.value())
        else:
            self.synproxy_options()
        builder.needs.append((None, frozenset(("input", "forward"))))
        builder.add(Synproxy())

    def synproxy_options(self) -> None:
        """Read mss, wscale, timestamp and sack-perm."""
        while True:
            lexeme = self.tokens[self.position]
            if lexeme in ("mss", "maxseg", "wscale"):
                self.position += 1
                self.number()
            elif lexeme in ("timestamp", "sack-perm", "sack-permitted"):
                self.position += 1
            else:
                return

    def _flow(self, builder: RuleBuilder) -> None:
        self.position += 1
        if self.tokens[self.position] in ("add", "offload"):
            self.position += 1
            self.expect("@")
            builder.objects.append(("flowtable", self.identifier()))
            return
        self.unexpected()

    def _duplicate(self, builder: RuleBuilder) -> None:
        if self.family not in ("ip", "ip6", "netdev"):
            raise Refused("unsupported family")
        self.position += 1
        self.expect("to")
        where = self.value()
        if self.family != "netdev" and isinstance(where, str):
            constant(where, t.IPV4 if self.family == "ip" else t.IPV6)
        if self.tokens[self.position] == "device" and self.family == "netdev":
            raise Refused("cannot specify device")
        if self.take("device"):
            self.value()

    def _forward(self, builder: RuleBuilder) -> None:
        if self.family != "netdev":
            raise Refused("unsupported family")
        self.position += 1
        if self.tokens[self.position] in ("ip", "ip6"):
            self.position += 1
        self.expect("to")
        self.value()
        if self.take("device"):
            self.value()
        builder.add(Unmodelled("fwd hands the packet to another interface"))
        builder.ended = True

    def _reset(self, builder: RuleBuilder) -> None:
        self.position += 1
        if self.tokens[self.position : self.position + 2] != ["tcp", "option"]:
            self.unexpected()
        field = self._primary_selector()
        if not isinstance(field, Field):
            self.unexpected()
        builder.look_at(field)
        builder.tcp_only()

    def _xt(self, builder: RuleBuilder) -> None:
        if not self.listing:
            raise Refused("unsupported xtables compat expression, use iptables-nft")
        self.position += 1
        kind = self.word()
        found = xtables.item(kind, self.string())
        builder.xtables = True
        if found is not None:
            builder.add(found)

    # -- NAT --------------------------------------------------------------------------------------

    def _nat(self, builder: RuleBuilder) -> None:
        kinds: dict[str, Kind] = {
            "dnat": "dnat",
            "snat": "snat",
            "masquerade": "masquerade",
            "redirect": "redirect",
        }
        kind = kinds[self.tokens[self.position]]
        self.position += 1
        family: Family = 0
        prefix = False
        following = self.tokens[self.position + 1]
        own = self.tokens[self.position] in ("ip", "ip6") and kind in ("dnat", "snat")
        if own and following in ("to", "addr", "prefix", "interval"):
            family = 4 if self.tokens[self.position] == "ip" else 6
            self.position += 1
        if self.tokens[self.position] in ("prefix", "interval"):
            prefix = self.tokens[self.position] == "prefix"
            self.position += 1
        elif self.take("addr"):
            self.expect(".")
            self.expect("port")
        address: Expression | None = None
        port: Expression | None = None
        to = self.take("to")
        lexeme = self.tokens[self.position]
        if to or (kind in ("dnat", "snat") and lexeme not in _ENDS and lexeme not in _NAT_FLAGS):
            if self.tokens[self.position] != ":":
                address = self.value()
            if self.take(":"):
                port = self.value()
        self._nat_flags()
        if kind in ("dnat", "snat") and address is None and port is None:
            self.unexpected()
        translate(builder, kind, address, port, family, prefix=prefix)

    def _nat_flags(self) -> None:
        while self.tokens[self.position] in _NAT_FLAGS:
            self.position += 1
            if not self.take(","):
                break

    def _tproxy(self, builder: RuleBuilder) -> None:
        self.position += 1
        family: Family = 0
        if self.tokens[self.position] in ("ip", "ip6"):
            family = 4 if self.tokens[self.position] == "ip" else 6
            self.position += 1
        self.expect("to")
        address = port = None
        if self.tokens[self.position] != ":":
            address = self.value()
        if self.take(":"):
            port = self.value()
        tproxy(builder, address, port, family)

    # -- sets -------------------------------------------------------------------------------------

    def _set_update(self, builder: RuleBuilder) -> None:
        if self.take("set"):  # the old form: set add KEY @name
            operation = self._operation()
            item = Item(self.keys())
            timed = self.tokens[self.position] == "timeout"
            self.element_options(item)
            name = self.set_name()
            if item.key is None or not isinstance(name, SetName):
                self.unexpected()
            builder.set_update(operation, name.name, item.key, timed=timed)
            return
        operation = self._operation()
        name = self.set_name()
        if not isinstance(name, SetName):
            self.unexpected()
        self.expect("{")
        self._update_body(builder, operation, name.name, declare=False)

    def _operation(self) -> Literal["add", "update", "delete"]:
        lexeme = self.tokens[self.position]
        operations: dict[str, Literal["add", "update", "delete"]] = {
            "add": "add",
            "update": "update",
            "delete": "delete",
        }
        if lexeme not in operations:
            self.unexpected()
        self.position += 1
        return operations[lexeme]

    def _update_body(
        self,
        builder: RuleBuilder,
        operation: Literal["add", "update", "delete"],
        name: str,
        *,
        declare: bool,
    ) -> None:
        key = self.keys()
        over = limited = timed = sized = False
        while self.tokens[self.position] not in (":", "}"):
            lexeme = self.tokens[self.position]
            if lexeme in ("timeout", "expires"):
                timed = True
                self.position += 1
                self.time()
            elif lexeme == "comment":
                self.position += 1
                self.string()
            else:
                limited |= lexeme not in ("counter", "last")
                stops = self.stateful()
                over, sized = over or bool(stops), sized or stops is None
        if self.take(":"):
            data = self.value()
            builder.look_at(data)
            builder.present(data)
            while self.tokens[self.position] in ("timeout", "expires"):
                self.position += 1
                self.time()
        self.expect("}")
        if declare:
            self.declare_meter(builder, name, key)
            operation = "update" if timed else "add"
        over &= not sized
        builder.set_update(
            operation, name, key, over=over, limited=limited, timed=timed, declare=declare
        )
        if sized:
            builder.add(Unknown(f"a rate in the set {name} depends on the packet's size"))

    def _meter(self, builder: RuleBuilder) -> None:
        self.position += 1
        name = self.identifier()
        if self.take("size"):
            self.number()
        self.expect("{")
        self._update_body(builder, "add", name, declare=True)

    def declare_meter(self, builder: RuleBuilder, name: str, key: Expression) -> None:
        """Make the set that a meter brings along; overridden where sets are known."""
        raise NotImplementedError


_Reader = Callable[[StatementParser, RuleBuilder], object]
STATEFUL: dict[str, _Reader] = {
    "counter": StatementParser._counter,
    "limit": StatementParser._limit,
    "quota": StatementParser._quota,
    "last": StatementParser._last,
    "ct": StatementParser.connection_limit,
}
_STATEMENTS: dict[str, _Reader] = {
    "jump": StatementParser._jump,
    "goto": StatementParser._jump,
    "queue": StatementParser._queue,
    "reject": StatementParser._reject,
    "counter": StatementParser._counter,
    "last": StatementParser._last,
    "limit": StatementParser._limit,
    "quota": StatementParser._quota,
    "log": StatementParser._log,
    "notrack": StatementParser._notrack,
    "synproxy": StatementParser._synproxy,
    "flow": StatementParser._flow,
    "dup": StatementParser._duplicate,
    "fwd": StatementParser._forward,
    "reset": StatementParser._reset,
    "xt": StatementParser._xt,
    "snat": StatementParser._nat,
    "dnat": StatementParser._nat,
    "masquerade": StatementParser._nat,
    "redirect": StatementParser._nat,
    "tproxy": StatementParser._tproxy,
    "set": StatementParser._set_update,
    "add": StatementParser._set_update,
    "update": StatementParser._set_update,
    "delete": StatementParser._set_update,
    "meter": StatementParser._meter,
    "ct": StatementParser._ct_statement,
}
