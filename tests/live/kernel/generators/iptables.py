"""Random rulesets in the format of iptables-save and ip6tables-save."""

from __future__ import annotations

from collections.abc import Callable

from tests.live.kernel.generators.vocabulary import OWN, Vocabulary

HOOKS = {
    "raw": ("PREROUTING",),
    "mangle": ("PREROUTING", "INPUT"),
    "nat": ("PREROUTING", "INPUT"),
    "filter": ("INPUT",),
    "security": ("INPUT",),
}
BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
INTERFACE_WORDS = ("eth0", "eth1", "eth+", "lo", "+", "eth", "wlan0", "e+")
STATES = ("NEW", "ESTABLISHED", "RELATED", "RELATED,ESTABLISHED", "INVALID", "UNTRACKED",
          "NEW,ESTABLISHED", "NEW,RELATED", "INVALID,UNTRACKED")  # fmt: skip
CTSTATES = (*STATES, "DNAT", "SNAT", "NEW,DNAT")
CTSTATUSES = ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")
MARKS = (0, 1, 2, 0x10, 0xFF)


class Rules:
    """Writes one family's rules. `ipsets` are names of sets and their directions."""

    def __init__(
        self, words: Vocabulary, family: int, ipsets: tuple[tuple[str, int], ...] = ()
    ) -> None:
        self.words = words
        self.random = words.random
        self.family = family
        self.ipsets = ipsets
        self.matches: tuple[Callable[[], str], ...] = (
            self.source, self.source, self.source, self.destination, self.interface, self.state,
            self.state, self.iprange, self.addrtype, self.pkttype, self.mark, self.limit,
            self.hashlimit, self.recent, self.conntrack, self.comment, self.hop_limit, self.quota,
            self.connlimit, self.match_set, self.connmark, self.absent,
            self.rare, self.rare, self.rare,
        )  # fmt: skip

    def negated(self, text: str, probability: float = 0.25) -> str:
        """Put `!` before an option with this probability."""
        return f"! {text}" if self.words.chance(probability) else text

    # -- matches ----------------------------------------------------------------------------------

    def source(self) -> str:
        return self.negated(f"-s {self.words.prefix(self.family)}")

    def destination(self) -> str:
        own = self.random.choice(OWN[self.family])
        if self.words.chance(0.2):
            own = self.words.prefix(self.family)
        return self.negated(f"-d {own}")

    def interface(self) -> str:
        return self.negated(f"-i {self.random.choice(INTERFACE_WORDS)}")

    def state(self) -> str:
        if self.words.chance(0.5):
            return "-m state " + self.negated(f"--state {self.random.choice(STATES)}")
        return "-m conntrack " + self.negated(f"--ctstate {self.random.choice(CTSTATES)}")

    def conntrack(self) -> str:
        option = self.random.choice(
            (
                f"--ctorigdstport {self.words.port()}",
                "--ctorigdstport {}:{}".format(*self.words.port_range()),
                f"--ctorigdst {self.random.choice(OWN[self.family])}",
                f"--ctorigsrc {self.words.prefix(self.family)}",
                f"--ctproto {self.random.choice(('tcp', 'udp', '6'))}",
                f"--ctstatus {self.random.choice(CTSTATUSES)}",
                "--ctdir ORIGINAL",
                "--ctdir REPLY",
            )
        )
        return "-m conntrack " + (option if "ctdir" in option else self.negated(option))

    def iprange(self) -> str:
        which = "--src-range" if self.words.chance(0.9) else "--dst-range"
        return "-m iprange " + self.negated(f"{which} {self.words.range(self.family)}")

    def addrtype(self) -> str:
        kind = self.random.choice(("LOCAL", "LOCAL", "UNICAST", "MULTICAST", "LOCAL,UNICAST"))
        if self.family == 4 and self.words.chance(0.3):
            kind = self.random.choice(("BROADCAST", "BROADCAST,MULTICAST"))
        side = "--dst-type" if self.words.chance(0.8) else "--src-type"
        return "-m addrtype " + self.negated(f"{side} {kind}")

    def pkttype(self) -> str:
        kind = self.random.choice(("unicast", "broadcast", "multicast"))
        return "-m pkttype " + self.negated(f"--pkt-type {kind}")

    def mark(self) -> str:
        value = self.random.choice(MARKS)
        mask = self.random.choice(("", "/0xff", "/0x1", "/0xfffffffe"))
        return "-m mark " + self.negated(f"--mark {value:#x}{mask}")

    def connmark(self) -> str:
        return "-m connmark " + self.negated(f"--mark {self.random.choice(MARKS):#x}")

    def limit(self) -> str:
        return "-m limit --limit 10000/sec --limit-burst 10000"

    def hashlimit(self) -> str:
        kind = self.random.choice(("upto", "above"))
        mode = self.random.choice(("srcip", "srcip,dstport", "dstport"))
        name = f"h{self.random.randrange(10**6)}"
        rate = f"--hashlimit-{kind} 9000/sec --hashlimit-burst 9000"
        return f"-m hashlimit {rate} --hashlimit-mode {mode} --hashlimit-name {name}"

    def recent(self) -> str:
        self.words.remembers_sources = True
        action = self.random.choice(
            ("--set", "--rcheck", "--update --seconds 60 --hitcount 2", "--rcheck --hitcount 1",
             "--rcheck --seconds 30", "--remove", "--update", "--update --seconds 30 --hitcount 6")
        )  # fmt: skip
        name = self.random.choice(("DEFAULT", "knock", "ban"))
        return f"-m recent {self.negated(action)} --name {name} --rsource"

    def comment(self) -> str:
        return "-m comment --comment " + self.random.choice(
            ('"a -j DROP inside"', "plain", '"quoted \\" quote"', '"it\'s"', '"-A INPUT"')
        )

    def hop_limit(self) -> str:
        if not self.words.undecidable:
            return ""
        option = self.random.choice(("eq 64", "lt 64", "gt 63", "eq 255", "lt 65"))
        if self.family == 4:
            return f"-m ttl --ttl-{option}"
        return f"-m hl --hl-{option}"

    def quota(self) -> str:
        if self.words.undecidable:
            return "-m quota ! --quota 10"
        return "-m quota --quota 100000000"

    def connlimit(self) -> str:
        number = self.random.choice((0, 5000))
        kind = self.random.choice(("upto", "above"))
        mask = self.random.choice(("0", "32"))
        return f"-m connlimit --connlimit-{kind} {number} --connlimit-mask {mask} --connlimit-saddr"

    def match_set(self) -> str:
        if not self.ipsets:
            return ""
        name, dimensions = self.random.choice(self.ipsets)
        directions = ["src", *["dst"] * (dimensions - 1)]
        return "-m set " + self.negated(f"--match-set {name} {','.join(directions)}")

    def absent(self) -> str:
        """Return a match that a plain packet never meets, or always does when negated."""
        if self.family == 4:
            return self.negated("-f")
        return self.random.choice(
            (
                "-m rt --rt-type 0",
                "-m frag --fragfirst",
                "-m rt ! --rt-type 9",
            )
        )

    def rare(self) -> str:
        """Return a match of what few rulesets ask: other headers, fields that targets write."""
        if not self.words.rare:
            return ""
        value = self.random.choice(("0x0", "0x1", "0x40"))
        options = [
            "-m dscp " + self.negated(f"--dscp {self.random.choice((0, 8, 10))}"),
            "-m dscp " + self.negated("--dscp-class CS1"),
            "-m tos --tos 0x10/0x3f",
            f"-m recent --rcheck --hitcount {self.random.choice((1, 2, 3))} --name twice --rsource",
            "-m recent --set --name twice --rsource", "-m recent --update --name twice --rsource",
            "-m recent ! --update --hitcount 3 --name twice --rsource",
            "-m connmark " + self.negated(f"--mark {value}/0xff"),
            "-m helper " + self.negated("--helper ftp"),
            "-m connlabel --label 5", "-m length --length 0:1000", "-m length ! --length 0:19",
            "-m connbytes --connbytes 1:1 --connbytes-dir original --connbytes-mode packets",
            "-m conntrack " + self.negated("--ctstatus NONE"),
        ]  # fmt: skip
        if self.family == 6:
            options += ["-m ah", "-m ah ! --ahspi 5", "-m hbh", "-m dst ! --dst-len 5"]
        if any(dimensions == 1 for _, dimensions in self.ipsets):
            name = self.random.choice([n for n, dimensions in self.ipsets if dimensions == 1])
            options.append(f"-m set --match-set {name} src --return-nomatch")
        return self.random.choice(options)

    def writing(self, table: str, hook: str) -> str:
        """Return a target that writes to the packet or its connection, which then goes on."""
        four = self.family == 4
        value = self.random.choice(MARKS)
        anywhere = [
            f"-j CONNMARK --set-xmark {value:#x}/0xff", "-j CONNMARK --save-mark --nfmask 0xf",
            f"-j MARK --set-xmark {value:#x}/0xf0", "-j HMARK --hmark-tuple src,dst "
            "--hmark-mod 4 --hmark-rnd 0xfeedcafe",
            "-j AUDIT --type accept", "-j IDLETIMER --timeout 60 --label x",
        ]  # fmt: skip
        sets = [name for name, dimensions in self.ipsets if dimensions == 1]
        if sets:
            anywhere.append(f"-j SET --add-set {self.random.choice(sets)} src --exist")
        if table == "raw":
            anywhere += ["-j CT --zone 3", "-j CT --ctevents new", "-j CT --zone-orig 3"] * 3
        if table == "mangle":
            anywhere += [
                "-j DSCP --set-dscp 10", "-j DSCP --set-dscp-class CS1", "-j TOS --set-tos 0x10",
                "-j CHECKSUM --checksum-fill", "-j TOS --or-tos 0x20",
                "-j TTL --ttl-set 64" if four else "-j HL --hl-set 64",
                "-j TTL --ttl-dec 1" if four else "-j HL --hl-inc 1",
                "-p tcp -j TCPOPTSTRIP --strip-options timestamp",
                "-p tcp --syn -j TCPMSS --set-mss 1200",
            ]  # fmt: skip
            if hook == "PREROUTING":
                anywhere.append(f"-p tcp -j TPROXY --on-port {self.words.port()}")
        return self.random.choice(anywhere)

    def protocol(self) -> str:
        """Return a protocol and what may only follow it."""
        pick = self.random.random()
        icmp = "icmp" if self.family == 4 else "ipv6-icmp"
        if self.words.rare and self.words.chance(0.06):
            return self.random.choice(
                ("-p esp", "-p gre", "-p ipcomp", "-p esp -m esp ! --espspi 1",
                 "-p ah" if self.family == 4 else "-p esp", "! -p gre")
            )  # fmt: skip
        if pick < 0.08:
            return self.negated(f"-p {self.random.choice(('tcp', 'udp', '6', '17', icmp))}")
        if pick < 0.16:
            kind = self.random.choice(
                ("echo-request", "echo-reply", "8", "128", "destination-unreachable")
            )
            if self.family == 4:
                return "-p icmp -m icmp " + self.negated(f"--icmp-type {kind}")
            return "-p ipv6-icmp -m icmp6 " + self.negated(f"--icmpv6-type {kind}")
        proto = "tcp" if self.words.chance(0.75) else "udp"
        if pick < 0.3:
            return f"-p {proto} -m multiport " + self.negated(self._multiport())
        text = f"-p {proto} -m {proto}" if self.words.chance(0.7) else f"-p {proto}"
        if proto == "tcp" and self.words.chance(0.15):
            text += " " + self._flags()
        if self.words.chance(0.15):
            text += " " + self.negated("--sport " + _span(*self.words.source_port_range()))
        if self.words.chance(0.8):
            text += " " + self.negated("--dport " + self._ports())
        return text

    def _ports(self) -> str:
        if self.words.chance(0.6):
            return str(self.words.port())
        low, high = self.words.port_range()
        return self.random.choice((_span(low, high), f":{high}", f"{low}:"))

    def _multiport(self) -> str:
        items: list[str] = []
        for _ in range(self.random.randint(1, 5)):
            span = self.words.chance(0.3)
            items.append(_span(*self.words.port_range()) if span else str(self.words.port()))
        option = self.random.choices(("--dports", "--ports", "--sports"), (8, 1, 1))[0]
        return f"{option} {','.join(items)}"

    def _flags(self) -> str:
        return self.negated(
            self.random.choice(
                ("--syn", "--tcp-flags FIN,SYN,RST,ACK SYN", "--tcp-flags SYN SYN",
                 "--tcp-flags ALL NONE", "--tcp-flags ACK ACK", "--tcp-flags SYN,ACK NONE",
                 "--tcp-flags ALL SYN", "--tcp-flags SYN,RST SYN,RST")
            )
        )  # fmt: skip

    # -- targets and chains ----------------------------------------------------------------------

    def target(self, table: str, hook: str, later: list[str]) -> str:
        """Return `-j ...` for a rule of this table; `later` are chains that may be called."""
        if later and self.words.chance(0.25):
            verb = "-j" if self.words.chance(0.8) else "-g"
            return f"{verb} {self.random.choice(later)}"
        pick = self.random.random()
        if self.words.rare and table != "nat" and self.words.chance(0.25):
            return self.writing(table, hook)
        if table == "raw" and pick < 0.3:
            return self.random.choice(("-j NOTRACK", "-j CT --notrack"))
        if table == "mangle" and pick < 0.5:
            return self._marking()
        if table == "nat" and pick < 0.7:
            return self.translation() if hook == "PREROUTING" else "-j ACCEPT"
        if pick < 0.08:
            return self.random.choice(("", "-j LOG", '-j LOG --log-prefix "x: "', "-j NFLOG"))
        if pick < 0.15:
            return "-j RETURN"
        if table == "nat":
            return self.random.choice(("-j ACCEPT", "-j RETURN"))
        if table == "filter" and pick < 0.3:
            return self._reject()
        return "-j ACCEPT" if self.words.chance(0.6) else "-j DROP"

    def _reject(self) -> str:
        kinds = {
            4: ("icmp-port-unreachable", "icmp-admin-prohibited"),
            6: ("icmp6-port-unreachable", "adm-prohibited"),
        }
        kind = self.random.choice(("", *kinds[self.family]))
        return f"-j REJECT --reject-with {kind}" if kind else "-j REJECT"

    def _marking(self) -> str:
        value = self.random.choice(MARKS)
        return self.random.choice(
            (f"-j MARK --set-mark {value:#x}", f"-j MARK --set-xmark {value:#x}/0xff",
             f"-j MARK --or-mark {value:#x}", f"-j MARK --and-mark {value:#x}",
             f"-j MARK --xor-mark {value:#x}", f"-j CONNMARK --set-mark {value:#x}",
             "-j CONNMARK --save-mark", "-j CONNMARK --restore-mark")
        )  # fmt: skip

    def translation(self) -> str:
        own = self.random.choice(OWN[self.family])
        port = self.words.port()
        bracketed = own if self.family == 4 else f"[{own}]"
        if self.words.rare and self.words.chance(0.3):
            net = "10.20.0.0/24" if self.family == 4 else "fd20::/64"
            there = "10.20.0.77" if self.family == 4 else "fd20::77"
            options = [f"-j NETMAP --to {net}", f"-j NETMAP --to {own}",
                       f"-j DNAT --to-destination {there}"]  # fmt: skip
            if self.family == 4:
                options += ["-j DNAT --to-destination 127.0.0.1"] * 3
            return self.random.choice(options)
        return self.random.choice(
            (f"-j REDIRECT --to-ports {port}", f"-j REDIRECT --to-ports {port}", "-j REDIRECT",
             f"-j DNAT --to-destination {bracketed}:{port}", f"-j DNAT --to-destination {own}")
        )  # fmt: skip

    def rule(self, table: str, chain: str, hook: str, later: list[str]) -> str:
        """Return one `-A` line."""
        target = self.target(table, hook, later)
        translates_port = (
            "--to-ports" in target
            or "]:" in target
            or target.endswith(tuple(f":{port}" for port in set(self.words.ports)))
        )
        parts = [f"-A {chain}"]
        wanted = self.random.choices((0, 1, 2, 3), (2, 5, 3, 1))[0]
        if target.startswith("-p "):
            pass  # it says its protocol itself
        elif translates_port:
            parts.append(f"-p {self.random.choice(('tcp', 'udp'))} --dport {self.words.port()}")
        elif self.words.chance(0.7):
            parts.append(self.protocol())
        used: set[str] = set()
        for match in self.random.sample(self.matches, wanted):
            text = match()
            if text and match.__name__ not in used:
                used.add(match.__name__)
                parts.append(text)
        # Plain options come before the matches that `-m` loads, as iptables-save writes them.
        parts[1:] = sorted(parts[1:], key=lambda part: part.startswith("-m "))
        return " ".join([*parts, target]).strip()

    def alike(self, chain: str) -> list[str]:
        """Return a list: rules that differ in their addresses, their ports and their verdict."""
        targets = self.random.choice((("DROP",), ("ACCEPT", "DROP"), ("ACCEPT", "DROP", "RETURN")))
        named = self.words.chance(0.3)
        lines = []
        for _ in range(self.random.choice((12, 40, 200))):
            port = f" -p tcp -m tcp --dport {self.words.port()}" if named else ""
            target = self.random.choice(targets)
            lines.append(f"-A {chain} -s {self.words.prefix(self.family)}{port} -j {target}")
        return lines

    def table(self, name: str) -> list[str]:
        """Return the lines of one table."""
        own = [f"{name[:2]}c{number}" for number in range(self.random.randint(0, 4))]
        lines = [f"*{name}"]
        for chain in BUILT_IN[name]:
            policy = "ACCEPT"
            if chain in HOOKS[name] and name != "nat" and self.words.chance(0.25):
                policy = "DROP"
            if chain == "INPUT" and name == "filter" and self.words.chance(0.6):
                policy = "DROP"
            lines.append(f":{chain} {policy} [0:0]")
        lines += [f":{chain} - [0:0]" for chain in own]
        for hook in HOOKS[name]:
            for _ in range(self.random.randint(0, 8 if name == "filter" else 3)):
                lines.append(self.rule(name, hook, hook, own))
            if name != "nat" and self.words.chance(0.15):
                lines += self.alike(hook)
        for number, chain in enumerate(own):
            for _ in range(self.random.randint(0, 5)):
                # A chain may be called from several hooks: only what all of them allow.
                hook = "" if name in ("nat", "mangle") else HOOKS[name][0]
                lines.append(self.rule(name, chain, hook, own[number + 1 :]))
        return [*lines, "COMMIT"]


def _span(low: int, high: int) -> str:
    return f"{low}:{high}" if low != high else str(low)


def ruleset(words: Vocabulary, family: int, ipsets: tuple[tuple[str, int], ...] = ()) -> str:
    """Return the text of a whole dump."""
    rules = Rules(words, family, ipsets)
    tables = ["filter"]
    tables += [name for name in ("raw", "mangle", "nat") if words.chance(0.35)]
    tables += ["security"] if words.chance(0.1) else []
    words.random.shuffle(tables)
    lines = ["# Generated by iptables-save"]
    for table in tables:
        lines += rules.table(table)
    return "\n".join(lines) + "\n"


def ipset(words: Vocabulary) -> tuple[str, dict[int, tuple[tuple[str, int], ...]]]:
    """Return the text of `ipset save` and, by family, the sets' names and dimensions."""
    lines: list[str] = []
    names: dict[int, list[tuple[str, int]]] = {4: [], 6: []}
    for number in range(words.random.randint(1, 4)):
        family = words.random.choice((4, 6))
        name = f"set{number}"
        kind = words.random.choice(
            ("hash:ip", "hash:net", "hash:net", "hash:net,port", "hash:ip,port", "list:set")
        )
        if kind == "list:set":
            inner = [known for known, dimensions in names[family] if dimensions == 1]
            if not inner:
                continue
            lines.append(f"create {name} list:set size 8")
            lines.append(f"add {name} {words.random.choice(inner)}")
            names[family].append((name, 1))
            continue
        lines.append(
            f"create {name} {kind} family {'inet' if family == 4 else 'inet6'} maxelem 65536"
        )
        for _ in range(words.random.randint(0, 6)):
            lines.append(f"add {name} {_entry(words, kind, family)}")
        names[family].append((name, 1 + kind.count(",")))
    return "\n".join(dict.fromkeys(lines)) + "\n", {f: tuple(v) for f, v in names.items()}


def _entry(words: Vocabulary, kind: str, family: int) -> str:
    net = kind.startswith("hash:net")
    entry = words.prefix(family) if net else words.address(family)
    if "port" in kind:
        proto = words.random.choice(("tcp:", "udp:", "", "tcp:"))
        entry += f",{proto}{words.port()}"
    return entry + (" nomatch" if net and words.chance(0.15) else "")
