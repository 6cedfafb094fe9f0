"""Random rulesets in the language of nft(8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.live.kernel.generators.vocabulary import OWN, Vocabulary

BASES = (  # type, hook, priorities, weight
    ("filter", "input", ("filter", "0", "filter - 5", "filter + 5", "-10", "security", "10"), 10),
    ("filter", "prerouting", ("raw", "mangle", "-300", "-150", "filter", "dstnat - 1"), 3),
    ("nat", "prerouting", ("dstnat", "-100", "dstnat + 1"), 2),
    ("filter", "input", ("mangle", "-150", "100"), 2),
    ("nat", "input", ("srcnat", "100"), 1),
    ("filter", "forward", ("filter",), 1),
    ("filter", "output", ("filter",), 1),
)
STATES = ("new", "established", "related", "invalid", "untracked")
INTERFACE_WORDS = ('"eth0"', '"eth1"', '"eth*"', '"lo"', '"eth"', '"wlan0"', '"e*"')
MARKS = ("0x0", "0x1", "0x2", "0x10", "0xff")
PORT_MATCHES = {"destination_port", "source_port", "raw_payload", "concatenation", "named_set"}
RATE = "9000/second burst 9000 packets"
STATUSES = ("dnat", "! dnat", "!= dnat", "== dnat", "{ dnat }", "snat", "dnat,snat", "confirmed",
            "assured", "seen-reply", "& dnat != 0")  # fmt: skip
FLAGS = ("syn", "ack", "rst", "fin", "psh")


@dataclass
class Set:
    """A named set or map of one table."""

    name: str
    key: str  # the expression it is looked up with
    declaration: str
    kind: str  # set, vmap, marks, dynamic
    rate: str = ""  # what its elements count; it belongs to the element, whichever rule adds it


@dataclass
class Tables:
    """Writes one table's chains."""

    words: Vocabulary
    family: str
    name: str
    sets: list[Set] = field(default_factory=list)
    hook: str = "input"
    type: str = "filter"
    early: bool = False  # before connection tracking
    proto: str = ""  # what this rule is about, lest its matches contradict each other
    version: int = 4

    def pick(self, *options: str) -> str:
        return self.words.random.choice(options)

    def pick_from(self, *makers: Callable[[], str]) -> Callable[[], str]:
        return self.words.random.choice(makers)

    @property
    def families(self) -> tuple[int, ...]:
        return {"ip": (4,), "ip6": (6,)}.get(self.family, (4, 6))

    def ip(self) -> tuple[str, int]:
        return ("ip" if self.version == 4 else "ip6"), self.version

    def operator(self) -> str:
        return self.pick("", "", "", "!= ", "== ")

    def values(self, make: Callable[[], str], most: int = 5) -> str:
        """Return a value or an anonymous set, perhaps negated."""
        if self.words.chance(0.55):
            return self.operator() + make()
        items = dict.fromkeys(make() for _ in range(self.words.random.randint(1, most)))
        return f"{self.pick('', '', '!= ')}{{ {', '.join(items)} }}"

    # -- matches ------------------------------------------------------------------------------

    def address(self, family: int) -> str:
        pick = self.words.random.random()
        if pick < 0.6:
            return self.words.prefix(family)
        return self.words.range(family) if pick < 0.8 else self.words.address(family)

    def port(self) -> str:
        if self.words.chance(0.75):
            return str(self.words.port())
        low, high = self.words.port_range()
        return f"{low}-{high}" if low < high else str(low)

    def source(self) -> str:
        ip, family = self.ip()
        if family == 4 and self.words.chance(0.08):
            mask = self.pick("255.0.0.0", "255.255.0.0", "0.0.0.255", "255.0.0.255")
            return f"ip saddr & {mask} {self.pick('==', '!=')} {self._masked(mask)}"
        return f"{ip} saddr {self.values(lambda: self.address(family))}"

    def _masked(self, mask: str) -> str:
        parts = zip(self.words.address(4).split("."), mask.split("."), strict=True)
        return ".".join(str(int(part) & int(bits)) for part, bits in parts)

    def destination(self) -> str:
        ip, family = self.ip()
        own = lambda: self.words.random.choice(OWN[family])  # noqa: E731
        return f"{ip} daddr {self.values(own, 2)}"

    def destination_port(self) -> str:
        proto = self.pick("tcp", "tcp", "tcp", "udp", "th")
        guard = ""
        if proto == "th":
            guard = self.pick(
                "meta l4proto { tcp, udp } ", "meta l4proto tcp ", "meta l4proto udp "
            )
        return f"{guard}{proto} dport {self.values(self.port)}"

    def source_port(self) -> str:
        low, high = self.words.source_port_range()
        value = f"{low}-{high}" if low < high else str(low)
        return f"{self.proto} sport {self.operator()}{value}"

    def raw_payload(self) -> str:
        port = self.words.port()
        if self.family == "ip" and self.words.chance(0.3):
            value = "".join(f"{int(part):02x}" for part in self.words.address(4).split("."))
            return f"@nh,96,32 {self.operator()}0x{value}"
        guard = f"meta l4proto {self.proto} "
        return f"{guard}@th,16,16 {self.operator()}{self.pick(str(port), hex(port))}"

    def protocol(self) -> str:
        values = lambda: self.pick("tcp", "udp", "icmp", "ipv6-icmp", "6", "sctp")  # noqa: E731
        if self.words.chance(0.2):
            return f"meta l4proto {self.values(values, 3)}"
        if self.proto == "icmp":
            return self.pick("meta l4proto { icmp, ipv6-icmp }", "meta l4proto != tcp")
        return f"meta l4proto {self.proto}"

    def network_protocol(self) -> str:
        if self.family == "inet" and self.words.chance(0.5):
            return f"meta nfproto {self.operator()}{self.pick('ipv4', 'ipv6')}"
        ip, family = self.ip()
        if self.words.chance(0.3):
            return f"meta protocol {self.operator()}{ip}"
        key = "protocol" if family == 4 else "nexthdr"
        if self.words.chance(0.2):
            return f"{ip} {key} {self.values(lambda: self.pick('tcp', 'udp', '6', '17'), 2)}"
        return f"{ip} {key} {self.proto if self.proto != 'icmp' else '!= tcp'}"

    def interface(self) -> str:
        if self.words.chance(0.15):
            return f"iif {self.operator()}{self.pick('lo', 'eth0', 'eth1')}"
        if self.words.undecidable and self.words.chance(0.2):
            return self.pick(
                "iifgroup 0", "iifgroup != default", "iiftype ether", "iiftype loopback"
            )
        if self.words.chance(0.15):
            return f"iifname {{ {self.pick(*INTERFACE_WORDS)}, lo }}"
        return f"iifname {self.operator()}{self.pick(*INTERFACE_WORDS)}"

    def state(self) -> str:
        states = list(
            dict.fromkeys(self.pick(*STATES) for _ in range(self.words.random.randint(1, 3)))
        )
        listed = ",".join(states)
        braces = "{ " + ", ".join(states) + " }"
        return "ct state " + self.pick(
            listed, listed, braces, f"!= {listed}", f"! {listed}", f"!= {braces}",
            f"== {states[0]}", f"& ({states[0]}|{self.pick(*STATES)}) != 0", f"& {states[0]} == 0",
        )  # fmt: skip

    def connection(self) -> str:
        ip, family = self.ip()
        return self.pick(
            f"ct status {self.pick(*STATUSES)}",
            f"ct direction {self.pick('original', 'reply', '!= original')}",
            f"ct mark {self.operator()}{self.pick(*MARKS)}",
            f"ct original {ip} saddr {self.operator()}{self.address(family)}",
            f"ct original {ip} daddr {self.operator()}{self.words.random.choice(OWN[family])}",
            f"ct original proto-dst {self.values(self.port)}",
            f"meta l4proto {self.proto} ct original proto-dst {self.words.port()}",
            f"ct protocol {self.proto}",
            f"ct l3proto ipv{self.version}",
            f"ct zone {self.pick('0', '1', '!= 0')}",
        )  # fmt: skip

    def fib(self) -> str:
        kind = self.pick(
            "local", "unicast", "multicast", "{ local, broadcast }", "!= local", "!= unicast"
        )
        if self.hook not in ("prerouting", "input", ""):
            return f"fib daddr type {kind}"
        return self.pick(
            f"fib daddr type {kind}", f"fib daddr type {kind}", f"fib daddr . iif type {kind}",
            "fib saddr type != local", "fib saddr type local", "fib saddr . iif oif missing",
            "fib saddr . iif oif exists", "fib saddr . iif oif != 0",
        )  # fmt: skip

    def mark(self) -> str:
        value = self.pick(*MARKS)
        return self.pick(
            f"meta mark {self.operator()}{value}", f"mark {value}", f"meta mark & 0xff == {value}",
            "meta mark and 0x1 != 0x0", f"meta mark {{ {value}, 0x40 }}", "meta mark 0x1-0xf",
        )  # fmt: skip

    def flags(self) -> str:
        flag = self.pick(*FLAGS)
        return "tcp flags " + self.pick(
            "syn", "& (fin|syn|rst|ack) == syn", "& (fin | syn) == fin | syn",
            "syn / fin,syn,rst,ack",
            "!= syn", "{ syn, syn | ack }", f"& {flag} != 0", f"! {flag}", f"{flag},ack",
            f"== {flag}",
            "& (syn|ack) != syn", "fin,rst / fin,syn,rst,ack", "!= syn / fin,syn,rst,ack",
        )  # fmt: skip

    def packet_type(self) -> str:
        kinds = ("host", "broadcast", "{ host, multicast }", "!= host", "unicast", "other")
        return f"meta pkttype {self.pick(*kinds)}"

    def icmp(self) -> str:
        if self.version == 4:
            kinds = lambda: self.pick("echo-request", "echo-reply", "destination-unreachable")  # noqa: E731
            return f"icmp type {self.values(kinds, 3)}"
        kinds = lambda: self.pick("echo-request", "nd-neighbor-solicit", "packet-too-big")  # noqa: E731
        return f"icmpv6 type {self.values(kinds, 3)}"

    def header(self) -> str:
        if self.version == 4:
            return f"ip ttl {self.pick('64', '!= 64', '< 64', '>= 64', '255', '1-64')}"
        return f"ip6 hoplimit {self.pick('64', '!= 64', '< 65', '> 64', '255')}"

    def extension(self) -> str:
        if self.version == 4:
            return self.pick("ip frag-off & 0x1fff != 0", "ip version 4")
        return self.pick(
            "exthdr frag exists", "exthdr frag missing", "rt type 0", "rt type != 9",
            "exthdr hbh missing",
            "frag more-fragments 1", "tcp option mptcp subtype != 9", "exthdr rt exists",
        )  # fmt: skip

    def counters(self) -> str:
        small = "quota over 10 bytes" if self.words.undecidable else "quota until 900 mbytes"
        return self.pick(
            f"limit rate {RATE}", f"limit rate over {RATE}", "quota over 500 mbytes",
            "quota 500 mbytes", small, "limit rate over 100 mbytes/second burst 100 mbytes",
        )  # fmt: skip

    def counted(self) -> str:
        return self.pick("ct count over 5000", "ct count 5000", "ct count over 0")

    def concatenation(self) -> str:
        ip, family = self.ip()
        source = lambda: self.address(family)  # noqa: E731
        parts: dict[str, Callable[[], str]] = {
            f"{ip} saddr": source,
            f"{ip} daddr": lambda: self.words.random.choice(OWN[family]),
            f"{self.proto} dport": self.port,
            "iifname": lambda: self.pick('"eth0"', '"eth1"', '"lo"'),
            "meta l4proto": lambda: self.pick("tcp", "udp"),
            "meta mark": lambda: self.pick(*MARKS),
        }
        keys = self.words.random.sample(sorted(parts), self.words.random.randint(2, 3))
        elements = self._elements(keys, parts)
        return f"{' . '.join(keys)} {self.pick('', '', '!= ')}{{ {', '.join(elements)} }}"

    def _elements(self, keys: list[str], parts: dict[str, Callable[[], str]]) -> list[str]:
        count = self.words.random.randint(1, 5)
        return list(dict.fromkeys(" . ".join(parts[key]() for key in keys) for _ in range(count)))

    def fits(self, item: Set) -> bool:
        """Tell whether a set's key is of the protocols that this rule is about."""
        other = "ip6 " if self.version == 4 else "ip "
        ports = {"tcp": "udp dport", "udp": "tcp dport"}[self.proto]
        return not item.key.startswith(other) and ports not in item.key

    def named_set(self) -> str:
        sets = [item for item in self.sets if item.kind == "set" and self.fits(item)]
        if not sets:
            return self.destination_port()
        chosen = self.words.random.choice(sets)
        return f"{chosen.key} {self.pick('', '', '!= ')}@{chosen.name}"

    def rare_match(self) -> str:
        """Return a match of what few rulesets ask: other headers, what was written, sums."""
        ip, family = self.ip()
        port = self.words.port()
        options = [
            f"meta iif {self.pick('> 0', '< 1', '>= 2', '!= 0')}",
            f"meta sdifname {self.operator()}{self.pick(*INTERFACE_WORDS)}",
            f"{ip} dscp {self.operator()}{self.pick('cs0', 'cs1', 'ef')}",
            f"meta priority {self.operator()}{self.pick('1:2', '0:1', 'none')}",
            f"meta mark << 1 == {self.pick('2', '4', '0x20')}",
            f"meta mark >> 1 {self.pick('==', '!=')} {self.pick('0', '1', '8')}",
            # a rate that a packet uses up would be another one for the next packet
            f"limit rate {self.pick('', 'over ')}10 bytes/second burst {self.pick('5', '9')} bytes",
            f"meta length {self.pick('< 20', '> 39', '>= 60', '< 200')}",
            f"{ip} saddr & {'255.255.0.0' if family == 4 else 'ffff:ffff::'} == "
            + ("10.20.0.0" if family == 4 else "2001:db8::"),
        ]
        if self.proto == "tcp":
            options += [
                f"tcp dport << 1 == {2 * port & 0xFFFF}", f"tcp dport & 0xff == {port & 255}",
                f"tcp dport & 0xff00 != {port & 0xFF00}", f"tcp dport ^ 1 == {port ^ 1}",
            ]  # fmt: skip
        if self.hook in ("prerouting", "input"):
            options += [
                "fib daddr . mark type local", "fib saddr . mark oif exists",
                "fib saddr . mark . iif oif missing",
            ]  # fmt: skip
        if self.hook != "ingress" and not self.early:
            options += ["ct label 1", "ct zone 0", f"ct original proto-src {port}"]
        return self.pick(*options)

    def other_match(self) -> str:
        """Return a match of a protocol without ports."""
        return {
            "esp": self.pick("esp spi != 1", "esp sequence > 0", "esp spi 1"),
            "ah": self.pick("ah spi != 1", "ah nexthdr 59"),
            "comp": self.pick("comp cpi != 1", "comp nexthdr 59"),
            "gre": self.pick("gre version 0", "gre protocol ip", "meta l4proto gre"),
        }[self.proto]

    def match(self) -> str:
        options: list[tuple[Callable[[], str], int]] = [
            (self.source, 8), (self.destination_port, 12), (self.destination, 2),
            (self.source_port, 1),
            (self.raw_payload, 1), (self.protocol, 3), (self.network_protocol, 2),
            (self.interface, 4),
            (self.state, 5), (self.mark, 2), (self.flags, 2), (self.packet_type, 1), (self.icmp, 2),
            (self.header, int(self.words.undecidable)), (self.extension, 1), (self.counters, 2),
            (self.concatenation, 3),
            (self.named_set, 5), (self.connection, 2), (self.fib, 3), (self.counted, 1),
            (self.rare_match, 4 * self.words.rare),
        ]  # fmt: skip
        if self.hook == "ingress":
            barred = {"state", "connection", "fib", "counted"}
            options = [option for option in options if option[0].__name__ not in barred]
        elif self.early:
            options = [option for option in options if option[0].__name__ != "counted"]
        barred = {"icmp"} if self.proto != "icmp" else PORT_MATCHES
        barred |= {"flags"} if self.proto != "tcp" else set()
        options = [option for option in options if option[0].__name__ not in barred]
        makers = [maker for maker, _ in options]
        return self.words.random.choices(makers, [weight for _, weight in options])[0]()

    # -- statements ---------------------------------------------------------------------------

    def verdict(self, later: list[str], *, reject: bool = True) -> str:
        if later and self.words.chance(0.25):
            return f"{self.pick('jump', 'jump', 'goto')} {self.words.random.choice(later)}"
        pick = self.words.random.random()
        if pick < 0.08:
            return self.pick("return", "continue")
        if (
            pick < 0.2
            and reject
            and self.proto == "tcp"
            and self.type == "filter"
            and self.hook in ("input", "forward")
        ):
            return self.reject()
        return "accept" if pick < 0.65 else "drop"

    def reject(self) -> str:
        options = ["reject", "reject with tcp reset"]
        if self.family == "inet":
            options += ["reject with icmpx port-unreachable", "reject with icmpx admin-prohibited"]
        if self.version == 4:
            options.append("reject with icmp type host-unreachable")
        if self.version == 6:
            options.append("reject with icmpv6 type no-route")
        return self.pick(*options)

    def verdict_map(self, later: list[str]) -> str:
        named = [item for item in self.sets if item.kind == "vmap" and self.fits(item)]
        if named and self.words.chance(0.4):
            chosen = self.words.random.choice(named)
            return f"{chosen.key} vmap @{chosen.name}"
        ip, family = self.ip()
        keys: dict[str, Callable[[], str]] = {
            f"{self.proto} dport": self.port,
            "th dport": self.port,
            f"{ip} saddr": lambda: self.address(family),
            "meta l4proto": lambda: self.pick("tcp", "udp", "icmp"),
            "iifname": lambda: self.pick('"eth0"', '"eth1"', '"lo"', '"e*"'),
            f"{ip} saddr . {self.proto} dport": lambda: f"{self.address(family)} . {self.port()}",
            "meta mark": lambda: self.pick(*MARKS),
        }
        if self.hook != "ingress":
            keys["ct state"] = lambda: self.pick(*STATES)
        if self.family == "inet":
            keys["meta nfproto"] = lambda: self.pick("ipv4", "ipv6")
        key = self.words.random.choice(sorted(keys))
        entries = self.entries(keys[key], lambda: self.verdict(later, reject=False))
        return f"{key} vmap {{ {', '.join(entries)} }}"

    def entries(self, key: Callable[[], str], value: Callable[[], str]) -> list[str]:
        """Return `key : value` pairs, sometimes with the catch-all `*`."""
        keys = self.words.disjoint(key, 5)
        if self.words.chance(0.15):
            keys.append("*")
        return [f"{each} : {value()}" for each in keys]

    def statement(self) -> str:
        """Return a statement that is not the rule's end."""
        value = self.pick(*MARKS)
        ports = (
            f"tcp dport map {{ {', '.join(self.entries(self.port, lambda: self.pick(*MARKS)))} }}"
        )
        statements = [
            "counter", 'log prefix "seen "', 'comment ""', f"meta mark set {value}",
            f"meta mark set meta mark | {value}", f"meta mark set meta mark & 0xf0 | {value}",
            f"meta mark set meta mark xor {value}", f"meta mark set {ports}",
            "meta priority set 1:2",
        ]  # fmt: skip
        if self.hook != "ingress" and not self.early:
            statements += [f"ct mark set {value}", "ct mark set meta mark", "meta mark set ct mark"]
        if self.hook == "prerouting" and self.early:
            statements += ["notrack"] * 6
            if self.words.rare:
                zones = ("ct zone set 5", "ct original zone set 5", "ct reply zone set 6")
                statements += [self.pick(*zones)] * 3
        marks = [item for item in self.sets if item.kind == "marks" and self.fits(item)]
        if marks and self.words.chance(0.5):
            chosen = self.words.random.choice(marks)
            return f"meta mark set {chosen.key} map @{chosen.name}"
        if self.words.chance(0.5 if self.words.rare else 0.3):
            return self.set_update()
        if self.words.rare and self.words.chance(0.7):
            return self.writing()
        text = self.words.random.choice(statements)
        return "counter" if text.startswith("comment") else text

    def writing(self) -> str:
        """Return a statement that writes to the packet, its metadata or its connection."""
        ip, family = self.ip()
        own = self.words.random.choice(OWN[family])
        port, proto = self.words.port(), self.proto
        statements = [
            f"{ip} saddr set {self.words.address(family)}", f"{ip} daddr set {own}",
            f"{ip} dscp set {self.pick('cs1', 'ef')}", f"{ip} ecn set ect0",
            f"{ip} {'ttl' if family == 4 else 'hoplimit'} set {self.pick('9', '64')}",
            f"{proto} dport set {port}", f"{proto} sport set {port}",
            f"meta mark set {ip} dscp | 0x40", f"meta mark set {proto} dport",
            f"meta mark set jhash {ip} saddr mod 4", "meta mark set numgen inc mod 2",
            f"meta mark set {proto} dport map {{ {port} : 0x1 }}",
            "tcp option maxseg size set 1200", "reset tcp option mptcp", "meta nftrace set 0",
            "@nh,8,8 set 0x20", f"@th,16,16 set {port}", "meta priority set 0:1",
        ]  # fmt: skip
        if self.family == "ip":
            statements += ["@nh,96,32 set 0x0a000001", "@nh,64,8 set 9"]
        if self.hook == "prerouting":
            statements += [f"meta pkttype set {self.pick('broadcast', 'host', 'multicast')}"]
        if self.hook != "ingress":
            statements += ["ct label set 1", "ct zone set 5", "ct mark set 0x2"]
        if self.proto == "tcp":
            statements += ["tcp flags set fin", "tcp window set 5"]
        return self.pick(*statements)

    def set_update(self) -> str:
        dynamic = [item for item in self.sets if item.kind == "dynamic" and self.fits(item)]
        if not dynamic:
            return "counter packets 0 bytes 0"
        chosen = self.words.random.choice(dynamic)
        self.words.remembers_sources = True
        timeout = self.pick("", " timeout 1h")
        key = chosen.key
        if self.words.rare and self.words.chance(0.5):  # what is added need not be what is asked
            if " . " in key:
                key = f"{key.partition(' . ')[0]} . {self.words.port()}"
            else:
                key += " & " + ("255.255.0.0" if self.version == 4 else "ffff:ffff::")
            return f"{self.pick('add', 'update')} @{chosen.name} {{ {key}{timeout}{chosen.rate} }}"
        if self.words.rare and self.words.chance(0.5):
            return f"delete @{chosen.name} {{ {key} }}"
        return (
            f"{self.pick('add', 'update')} @{chosen.name} {{ {chosen.key}{timeout}{chosen.rate} }}"
        )

    def translation(self) -> str:
        family = self.version
        port = self.words.port()
        own = self.words.random.choice(OWN[family])
        bracketed = own if family == 4 else f"[{own}]"
        guard = self.proto
        named = "ip " if family == 4 else "ip6 "
        to = named if self.family == "inet" else ""
        mapping = ", ".join(
            self.entries(lambda: str(self.words.port()), lambda: str(self.words.port()))
        )
        options = [
            f"redirect to :{port}", f"redirect to :{port}",
            f"redirect to :{guard} dport map {{ {mapping} }}",
            f"dnat {to}to {bracketed}:{port}", f"dnat {to}to {own}",
        ]  # fmt: skip
        if self.family != "inet":
            options.append(f"dnat to {guard} dport map {{ {self.words.port()} : {own} }}")
        if self.words.rare and family == 4:
            options += [f"dnat {to}to 127.0.0.1:{port}", f"dnat {to}to 127.0.0.5"]
            options += [f"dnat {to}to 10.20.0.77:{port}"]
        chosen = self.pick(*options)
        guards = f"{guard} dport {self.values(self.port)} "
        if "dnat" in chosen:
            guards = f"meta nfproto ipv{family} {guards}" if self.family == "inet" else guards
        return guards + chosen

    def rule(self, later: list[str]) -> str:
        parts: list[str] = []
        self.proto = self.words.random.choices(("tcp", "udp", "icmp"), (12, 6, 1))[0]
        self.version = self.words.random.choice(self.families)
        if self.words.rare and self.words.chance(0.08):
            self.proto = self.pick("esp", "comp", "gre", *(["ah"] if self.version == 4 else []))
            return f"{self.other_match()} {self.verdict([], reject=False)}"
        if self.proto == "icmp":
            return " ".join([self.match(), self.match(), self.verdict(later)])
        if self.type == "nat" and self.hook == "prerouting" and self.words.chance(0.6):
            if self.words.chance(0.4):
                parts.append(self.match())
            return " ".join([*parts, self.translation()])
        if self.words.chance(0.85):  # or most rulesets would treat all packets alike
            parts.append(self.pick_from(self.source, self.destination_port, self.destination_port,
                                        self.named_set, self.concatenation)())  # fmt: skip
        for _ in range(self.words.random.choices((0, 1, 2), (3, 5, 2))[0]):
            parts.append(self.match())
        self.words.random.shuffle(parts)
        if self.words.chance(0.5 if self.words.rare else 0.2):
            parts.append(self.statement())
            if self.words.rare and self.words.chance(0.4):
                parts.append(self.pick_from(self.source, self.rare_match, self.destination)())
        if self.words.chance(0.1):
            parts.append("counter")
        if self.words.chance(0.15):
            parts.append(self.verdict_map(later))
        elif self.words.chance(0.9):
            parts.append(self.verdict(later))
        if self.words.rare and ("continue" in parts or "vmap" in "".join(parts[-1:])):
            parts.append(self.verdict(later))  # it runs after `continue`
        if self.words.chance(0.05):
            parts.append('comment "drop; accept } #"')
        return " ".join(parts) or "counter"

    # -- sets ---------------------------------------------------------------------------------

    def declare_sets(self, chains: list[str]) -> None:
        """Make the table's named sets and maps; verdict maps may name `chains`."""
        for number in range(self.words.random.randint(0, 4)):
            self.sets.append(self._declare(f"s{number}", chains))

    def _declare(self, name: str, chains: list[str]) -> Set:
        self.version = self.words.random.choice(self.families)
        self.proto = self.pick("tcp", "udp")
        ip, family = self.ip()
        kind = f"ipv{family}_addr"
        pick = self.words.random.random()
        if pick < 0.35:
            flags = self.pick("interval", "interval; auto-merge", "interval, timeout")
            items = self._items(lambda: self.address(family), auto="auto-merge" in flags)
            declaration = f"set {name} {{ type {kind}; flags {flags}; {items}}}"
            return Set(name, f"{ip} saddr", declaration, "set")
        if pick < 0.5:
            items = self._items(self.port)
            declaration = f"set {name} {{ type inet_service; flags interval; {items}}}"
            return Set(name, self.pick("tcp dport", "udp dport"), declaration, "set")
        if pick < 0.65:
            items = self._items(lambda: f"{self.address(family)} . {self.port()}")
            declared = (
                f"typeof {ip} saddr . tcp dport"
                if self.words.chance(0.4)
                else f"type {kind} . inet_service"
            )
            declaration = f"set {name} {{ {declared}; flags interval; {items}}}"
            return Set(name, f"{ip} saddr . {self.pick('tcp', 'udp')} dport", declaration, "set")
        if pick < 0.78:
            dynamic = (
                f"set {name} {{ type {kind}; flags dynamic, timeout; size 65535; timeout 1h; }}"
            )
            rate = self.pick("", "", f" limit rate {RATE}", f" limit rate over {RATE}")
            if self.words.rare and self.words.chance(0.4):  # every element has the set's own
                own = self.pick(f"limit rate over {RATE}", "quota over 500 mbytes", "counter")
                return Set(name, f"{ip} saddr", f"{dynamic[:-1]}{own}; }}", "dynamic")
            if self.words.rare and self.words.chance(0.5):
                dynamic = dynamic.replace(f"type {kind};", f"type {kind} . inet_service;")
                return Set(name, f"{ip} saddr . {self.proto} dport", dynamic, "dynamic", rate)
            return Set(name, f"{ip} saddr", dynamic, self.pick("dynamic", "set"), rate)
        if self.words.rare and self.words.chance(0.4):
            entries = ", ".join(self.entries(lambda: str(self.words.port()), lambda: "0x1"))
            entries = entries.replace("* : 0x1", f"* : {self.pick(*MARKS)}")
            declaration = f"map {name} {{ type inet_service : mark; elements = {{ {entries} }} }}"
            return Set(name, f"{self.proto} dport", declaration, "marks")
        key, make = self.words.random.choice(
            [("tcp dport", self.port), (f"{ip} saddr", lambda: self.address(family))]
        )
        verdict = lambda: self.verdict(chains, reject=False)  # noqa: E731
        entries = ", ".join(self.entries(make, verdict))
        declared = "inet_service" if key == "tcp dport" else kind
        elements = f"elements = {{ {entries} }}"
        declaration = f"map {name} {{ type {declared} : verdict; flags interval; {elements} }}"
        return Set(name, key, declaration, "vmap")

    def _items(self, make: Callable[[], str], *, auto: bool = False) -> str:
        items = [make() for _ in range(3)] if auto else self.words.disjoint(make, 6)
        if self.words.chance(0.1):
            return ""
        return f"elements = {{ {', '.join(items)} }} "


def table(words: Vocabulary, number: int, families: tuple[str, ...]) -> list[str]:
    """Return the lines of one table, one statement a line."""
    family = words.random.choice(families)
    maker = Tables(words, family, f"t{number}")
    chains = [f"c{index}" for index in range(words.random.randint(0, 4))]
    bases = [base for base in BASES if base[1] != "ingress"]
    chosen = words.random.choices(bases, [base[3] for base in bases], k=words.random.randint(1, 3))
    # A chain may be called from each of them: only what all of them allow.
    common = chosen[0] if len(set(chosen)) == 1 else ("any", "", (), 0)
    lines = [f"table {family} t{number} {{"]
    if words.chance(0.02):
        lines.append("flags dormant")
    maker.hook, maker.type = common[1], common[0]
    # Verdict maps hang on base chains and chains alike: a jump from a chain to itself is a loop.
    maker.declare_sets(chains[-1:])
    lines += [item.declaration for item in maker.sets]
    vmaps = [item for item in maker.sets if item.kind == "vmap"]
    for index, chain in reversed(list(enumerate(chains))):
        maker.hook, maker.type, maker.early = common[1], common[0], False
        if chain == chains[-1]:
            maker.sets = [item for item in maker.sets if item.kind != "vmap"]
        rules = [maker.rule(chains[index + 1 :]) for _ in range(words.random.randint(0, 5))]
        if chain == chains[-1]:
            maker.sets += vmaps
        lines += [f"chain {chain} {{", *rules, "}"]
    for index, (kind, hook, priorities, _) in enumerate(chosen):
        lines += _base_chain(maker, index, kind, hook, words.random.choice(priorities), chains)
    return [*lines, "}"]


def _base_chain(
    maker: Tables, index: int, kind: str, hook: str, priority: str, chains: list[str]
) -> list[str]:
    words = maker.words
    maker.hook, maker.type = hook, kind
    maker.early = hook == "prerouting" and priority in ("raw", "-300")
    if kind == "nat" and maker.family != "inet" and priority == "dstnat + 1":
        priority = "dstnat"
    drop = 0.5 if (kind, hook) == ("filter", "input") else 0.12
    policy = words.random.choices(("policy drop;", "policy accept;", ""), (drop, 1 - drop, 0.1))[0]
    lines = [f"chain b{index} {{", f"type {kind} hook {hook} priority {priority}; {policy}"]
    lines += [maker.rule(chains) for _ in range(words.random.randint(0, 8))]
    return [*lines, "}"]


def ingress(words: Vocabulary) -> list[str]:
    """Return a netdev table with a chain on one device."""
    maker = Tables(words, "netdev", "early", hook="ingress")
    device = words.random.choice(("eth0", "eth1"))
    lines = ["table netdev early {", "chain ingress {",
             f'type filter hook ingress device "{device}" priority 0; policy accept;']  # fmt: skip
    lines += [maker.rule([]) for _ in range(words.random.randint(1, 4))]
    return [*lines, "}", "}"]


def ruleset(words: Vocabulary, families: tuple[str, ...] = ("inet", "inet", "ip", "ip6")) -> str:
    """Return the text of a whole ruleset in block form or as commands."""
    lines: list[str] = []
    if words.chance(0.5):
        lines.append(words.random.choice(("flush ruleset", "#!/usr/sbin/nft -f", "# a comment")))
    for number in range(words.random.choices((1, 2, 3), (6, 3, 1))[0]):
        lines += table(words, number, families)
    if words.chance(0.1):
        lines += ingress(words)
    if words.chance(0.25):
        lines = _as_commands(lines)
    return "\n".join(lines) + "\n"


def _as_commands(lines: list[str]) -> list[str]:
    """Turn block form into `add ...` commands: sets and chains first, then the rules."""
    head: list[str] = []
    first: list[str] = []
    last: list[str] = []
    table_name = chain = ""
    for index, line in enumerate(lines):
        words = line.split()
        if words[0] == "table":
            table_name = f"{words[1]} {words[2]}"
            dormant = lines[index + 1] == "flags dormant"
            head.append(f"add table {table_name}" + (" { flags dormant; }" if dormant else ""))
        elif words[0] == "chain":
            chain = words[1]
            following = lines[index + 1]
            attached = f" {{ {following} }}" if following.startswith("type ") else ""
            first.append(f"add chain {table_name} {chain}{attached}")
        elif words[0] in ("set", "map"):
            first.append(f"add {words[0]} {table_name} {line[4:]}")
        elif line == "}":
            chain = ""
        elif words[0] in ("type", "flags") or not chain:
            head += [line] if not table_name else []
        else:
            last.append(f"add rule {table_name} {chain} {line}")
    maps = [line for line in first if line.startswith("add map")]
    first = [line for line in first if not line.startswith("add map")]
    return [*head, *first, *maps, *last]
