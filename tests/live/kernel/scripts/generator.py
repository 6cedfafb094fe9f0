"""Random firewall scripts: what people write around iptables and nft, and what they seldom do."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from dataclasses import dataclass, field

from tests.live.kernel.generators.iptables import Rules
from tests.live.kernel.generators.vocabulary import PORTS, Vocabulary

PATH = "/etc/firewall.sh"
UNKNOWN_WORDS = ("$(hostname)", "`uname -n`", "$(cat /no/such/file)", "$HOSTNAME")
UNKNOWN_TESTS = (
    '[ -n "$(uname -r)" ]', '[ "$(hostname)" = eth0 ]', "grep -q x /proc/y", "test -z \"$(uname)\"",
    "uname", "[ -f /etc/no/such ]", "! uname", '[ "$(uname)" != yes ]', "uname >/dev/null 2>&1",
)  # fmt: skip


@dataclass
class Script:
    """A script with the files that it reads, by path."""

    files: dict[str, str] = field(default_factory=dict)


class Writer:
    """Writes one script."""

    def __init__(self, words: Vocabulary) -> None:
        self.words = words
        self.random = words.random
        self.files: dict[str, str] = {}
        self.functions: list[str] = []
        self.chains: dict[tuple[str, str], list[str]] = {}
        self.names = 0
        self.depth = 0
        self.bash = words.chance(0.25)
        self.families = self.random.choice(((4,), (4,), (4, 6), (6,)))
        self.nft = words.chance(0.3)
        self.unknown = words.chance(0.5)
        self.sets: dict[int, list[tuple[str, int]]] = {4: [], 6: []}

    def script(self) -> Script:
        lines = ["#!/bin/bash" if self.bash else "#!/bin/sh", "# rules of this host"]
        if self.words.chance(0.3):
            lines.append(self.random.choice(("set -e", "set -eu", "set -u", "set -e # stop")))
        lines += ["IPT=/sbin/iptables", 'IPT6="ip6tables"', "IFACE=eth0; LAN='eth1'"]
        lines += self.flushes()
        if self.nft:
            lines += [
                "nft add table inet own",
                "nft add chain inet own input '{ type filter hook input priority 5; policy "
                + self.random.choice(("accept", "drop")) + "; }'",
                r"nft add chain inet own extra",
            ]  # fmt: skip
        for _ in range(self.random.randint(3, 14)):
            lines += self.statement()
        if self.words.chance(0.5):
            for family in self.families:
                lines += [self.ipt(family) + " -P INPUT " + self.random.choice(("DROP", "ACCEPT"))]
        if self.words.chance(0.2):
            lines.append("exit 0")
        self.files[PATH] = "\n".join(lines) + "\n"
        return Script(self.files)

    def flushes(self) -> list[str]:
        lines = []
        for family in self.families:
            tool = self.ipt(family)
            if self.words.chance(0.7):
                lines += [f"{tool} -F", f"{tool} -X", f"{tool} -t nat -F"]
            if self.words.chance(0.6):
                lines.append(f"{tool} -P INPUT {self.random.choice(('DROP', 'ACCEPT'))}")
        return lines

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    # -- commands -----------------------------------------------------------------------------

    def ipt(self, family: int) -> str:
        four = ("iptables", "$IPT", "/sbin/iptables", '"$IPT"', "iptables -w", "sudo iptables")
        six = ("ip6tables", "$IPT6", "${IPT6}", "/usr/sbin/ip6tables", "ip6tables -w 5")
        return self.random.choice(four if family == 4 else six)

    def rule(self, family: int, *, command: str = "") -> str:
        """Return a rule as a command, with parts in variables and quotes."""
        rules = Rules(self.words, family, tuple(self.sets[family]))
        table = self.random.choices(("filter", "nat", "mangle", "raw"), (12, 2, 1, 1))[0]
        hook = {"filter": "INPUT", "nat": "PREROUTING", "mangle": "PREROUTING", "raw": "PREROUTING"}
        own = self.chains.get((str(family), table), [])
        chain = self.random.choice([hook[table]] * 3 + own)
        later = own[own.index(chain) + 1 :] if chain in own else own
        text = rules.rule(table, chain, hook[table], later)
        head, _, rest = text.partition(" " + chain)
        assert head == "-A"
        verb = (
            command
            or self.random.choices(
                ("-A", "-I", "--append", "-I {chain} 1", "-D", "-C", "-I {chain} 2"),
                (14, 3, 1, 1, 1, 1, 1),
            )[0]
        )
        start = verb.format(chain=chain) if "{" in verb else f"{verb} {chain}"
        start = f"-t {table} {start}" if table != "filter" else start
        return f"{self.ipt(family)} {start}{self.dressed(rest)}"

    def dressed(self, text: str) -> str:
        """Put parts of a rule into variables and quotes; a lone `!` stays."""
        text = text.replace("-i eth0", self.random.choice(("-i eth0", "-i $IFACE", '-i "$IFACE"')))
        text = text.replace(
            "-i eth1", self.random.choice(("-i eth1", "-i ${LAN}", "-i ${LAN:-eth9}"))
        )
        if self.unknown and self.words.chance(0.15):
            unknown = self.random.choice(UNKNOWN_WORDS)
            place = self.random.choice((f" -s {unknown}", f' -i "{unknown}"', f" -d {unknown}"))
            return (
                place + text if "-s" not in text and "-i" not in text and "-d" not in text else text
            )
        return text

    def command(self) -> str:
        if self.nft and self.words.chance(0.4):
            return self.nft_rule()
        family = self.random.choice(self.families)
        pick = self.random.random()
        if pick < 0.08:
            table = self.random.choice(("filter", "filter", "nat"))
            chain = self.name("c")
            if self.depth == 0:
                self.chains.setdefault((str(family), table), []).append(chain)
            return f"{self.ipt(family)} -t {table} -N {chain}"
        if pick < 0.11:
            return self.random.choice(
                (f"{self.ipt(family)} -A INPUT -p tcp --dport nosuchport -j ACCEPT",
                 f"{self.ipt(family)} -A NOSUCH -j DROP", f"{self.ipt(family)} -X",
                 f"{self.ipt(family)} -N INPUT", f"{self.ipt(family)} -F NOSUCH",
                 f"{self.ipt(family)} -A INPUT -j NOSUCH", f"{self.ipt(family)} -L -n",
                 f"{self.ipt(family)} -D INPUT 1", f"{self.ipt(family)} -Z")
            )  # fmt: skip
        if pick < 0.13:
            return f"{self.ipt(family)} -F INPUT"
        if pick < 0.16:
            return f"{self.ipt(family)} -P INPUT {self.random.choice(('DROP', 'ACCEPT', 'drop'))}"
        return self.rule(family)

    def nft_rule(self) -> str:
        words = self.words
        family = self.random.choice((4, 6))
        keyword = "ip" if family == 4 else "ip6"
        match = self.random.choice(
            (f"tcp dport {words.port()}", f"udp dport {words.port()}", "iifname $IFACE",
             f"{keyword} saddr {words.prefix(family)}", f"{keyword} saddr {words.prefix(family)} "
             f"tcp dport {{ {words.port()} , 7 }}".replace("{ ", "'{' ").replace(" }", " '}'"),
             "ct state established,related", f"tcp dport {words.port()}-65535")
        )  # fmt: skip
        if self.unknown and words.chance(0.1):
            match = f'iifname "{self.random.choice(UNKNOWN_WORDS)}"'
        verdict = self.random.choice(("accept", "drop", "reject", "jump extra", "counter accept"))
        verb = self.random.choice(("add", "add", "insert"))
        chain = self.random.choice(("input", "input", "extra"))
        if chain == "extra" and verdict.startswith("jump"):
            verdict = "drop"
        return f"nft {verb} rule inet own {chain} {match} {verdict}"

    # -- statements ---------------------------------------------------------------------------

    def statement(self) -> list[str]:
        kinds = [self.plain] * 6 + [
            self.loop, self.loop, self.condition, self.condition, self.choice, self.function,
            self.called, self.called, self.restore, self.joined, self.counted, self.lines,
            self.sourced, self.evaluated, self.odd, self.ipset,
        ]  # fmt: skip
        if self.depth > 2:
            kinds = [self.plain]
        self.depth += 1
        found: list[str] = self.random.choice(kinds)()
        self.depth -= 1
        return found

    def plain(self) -> list[str]:
        text = self.command()
        if self.words.chance(0.1):
            text += self.random.choice(
                (" 2>/dev/null", " >/dev/null 2>&1", " # why", " || true", ";")
            )
        if self.words.chance(0.1) and " -j " in text:
            text = text.replace(" -j ", " \\\n    -j ", 1)
        return [text]

    def body(self, most: int = 3) -> list[str]:
        found: list[str] = []
        for _ in range(self.random.randint(1, most)):
            found += self.statement()
        return found

    def loop(self) -> list[str]:
        family = self.random.choice(self.families)
        kind = self.random.random()
        variable = self.random.choice(("p", "port", "x", "PORT"))
        if kind < 0.5:
            items = " ".join(str(self.words.port()) for _ in range(self.random.randint(1, 4)))
            if self.bash and self.words.chance(0.4):
                items = "{" + items.replace(" ", ",") + "}" if " " in items else items
            use = f"-p tcp --dport ${variable}"
        else:
            items = " ".join(self.words.prefix(family) for _ in range(self.random.randint(1, 4)))
            use = f"-s ${{{variable}}}"
        listed = items
        lines = []
        if self.words.chance(0.3) and "{" not in items:
            list_name = self.name("LIST")
            lines.append(f'{list_name}="{items}"')
            listed = f"${list_name}"
        elif self.unknown and self.words.chance(0.25):
            listed += " " + self.random.choice(UNKNOWN_WORDS)
        verdict = self.random.choice(("ACCEPT", "DROP", "REJECT"))
        inner = [f"  {self.ipt(family)} -A INPUT {use} -j {verdict}"]
        if self.words.chance(0.3):
            inner += self.body(2)
        if self.words.chance(0.15):
            inner.insert(0, f'  [ "${variable}" = "{items.split(" ")[0]}" ] && ' + self.random.choice(
                ("continue", "break")))  # fmt: skip
        return [*lines, f"for {variable} in {listed}; do", *inner, "done"]

    def condition(self) -> list[str]:
        if self.unknown and self.words.chance(0.5):
            test = self.random.choice(UNKNOWN_TESTS)
        else:
            test = self.random.choice(
                ('[ "$IFACE" = eth0 ]', '[ "$IFACE" != "eth0" ]', "[ -z \"$LAN\" ]", "true", "false",
                 "[ 1 -lt 2 ]", "[ x$LAN = xeth1 -a 3 -gt 4 ]", "! false", "[ -n eth ]",
                 "iptables -C INPUT -j ACCEPT 2>/dev/null", "command -v nft >/dev/null",
                 '[ "$(id -u)" = 0 ]', "[ \"$(echo a b)\" = 'a b' ]")
            )  # fmt: skip
        if self.words.chance(0.3):
            return [f"{test} {self.random.choice(('&&', '||'))} {self.command()}"]
        lines = [f"if {test}; then", *self.body(2)]
        if self.words.chance(0.5):
            lines += ["else", *self.body(2)]
        return [*lines, "fi"]

    def choice(self) -> list[str]:
        word = self.random.choice(
            ('"$IFACE"', "$LAN", "eth7", "$(uname -m)" if self.unknown else "a")
        )
        lines = [f"case {word} in"]
        for pattern in self.random.sample(("eth0", "eth1|wlan0", "(e*)", "*0", "x86_64"), 2):
            lines += [f"  {pattern.rstrip(')')})", *self.body(2), "  ;;"]
        if self.words.chance(0.6):
            lines += ["  *)", *self.body(1), "  ;;"]
        return [*lines, "esac"]

    def function(self) -> list[str]:
        name = self.name("f")
        family = self.random.choice(self.families)
        inner = self.random.choice(
            (f'{self.ipt(family)} -A INPUT "$@"', f"{self.ipt(family)} -A INPUT -p $1 --dport $2 -j ${{3:-DROP}}",
             f"local port=$2\n  {self.ipt(family)} -I INPUT -p tcp --dport $port -j ACCEPT || return 1",
             f"shift\n  for q in \"$@\"; do {self.ipt(family)} -A INPUT -p udp --dport $q -j ACCEPT; done",
             f"[ $# -gt 2 ] && return 0\n  {self.ipt(family)} -A INPUT -p $1 --dport $2 -j ACCEPT")
        )  # fmt: skip
        lines = [f"{name}() {{", f"  {inner}"]
        if self.words.chance(0.3):
            lines += self.body(1)
        self.functions.append(name)
        return [*lines, "}", *self.called()]

    def called(self) -> list[str]:
        if not self.functions:
            return self.plain()
        name = self.random.choice(self.functions)
        arguments = self.random.choice(
            (f"tcp {self.words.port()} ACCEPT", f"udp {self.words.port()}", f"-p tcp --dport {self.words.port()} -j DROP",
             f"-s {self.words.prefix(self.families[0])} -j ACCEPT", f'tcp "{self.words.port()}" "ACCEPT"')
        )  # fmt: skip
        return [f"{name} {arguments}"]

    def restore(self) -> list[str]:
        if self.nft and self.words.chance(0.5):
            port = self.words.port()
            end = self.random.choice(("EOF", "'EOF'", "-EOF"))
            value = "$PORT" if "'" not in end else str(port)
            return [f"PORT={port}", f"nft -f - <<{end}", "table inet own {", "  chain extra {",
                    f"    tcp dport {value} {self.random.choice(('accept', 'drop'))}",
                    "  }", "}", "EOF"]  # fmt: skip
        family = self.random.choice(self.families)
        tool = "iptables-restore" if family == 4 else "ip6tables-restore"
        rules = Rules(self.words, family)
        lines = [
            rules.rule("filter", "INPUT", "INPUT", []) for _ in range(self.random.randint(1, 4))
        ]
        option = self.random.choice(("-n", "-n", "--noflush", ""))
        if option == "":
            self.chains[str(family), "filter"] = []
        lines = [line for line in lines if "'" not in line and "`" not in line]
        return [f"{tool} {option} <<'END'", "*filter", ":INPUT DROP [0:0]", *lines, "COMMIT", "END"]

    def joined(self) -> list[str]:
        return [
            self.command()
            + self.random.choice((" && ", " || ", "; ", " && true && ", " || false || "))
            + self.command()
        ]

    def counted(self) -> list[str]:
        name = self.name("i")
        family = self.random.choice(self.families)
        low = self.random.choice(PORTS)
        self.words.ports += [low, low + 2]
        test = (
            f"[ ${name} -lt {low + 3} ]"
            if self.words.chance(0.6)
            else f"[ ! ${name} -ge {low + 3} ]"
        )
        step = f"{name}=$(({name} + 1))" if self.words.chance(0.6) else f"{name}=$(( ${name}+2 ))"
        return [f"{name}={low}", f"while {test}; do",
                f"  {self.ipt(family)} -A INPUT -p tcp --dport ${name} -j ACCEPT", f"  {step}", "done"]  # fmt: skip

    def lines(self) -> list[str]:
        family = self.random.choice(self.families)
        nets = [self.words.prefix(family) for _ in range(self.random.randint(1, 3))]
        act = self.random.choice(("ACCEPT", "DROP"))
        inner = f"while read net port; do {self.ipt(family)} -A INPUT -s $net -p tcp --dport $port -j {act}; done"
        if self.words.chance(0.5):
            return [f"{inner} <<LIST", *(f"{net} {self.words.port()}" for net in nets), "LIST"]
        path = f"/etc/{self.name('list')}"
        self.files[path] = "".join(f"{net}   {self.words.port()}\n" for net in nets)
        return [self.random.choice((f"{inner} < {path}", f"cat {path} | {inner}"))]

    def sourced(self) -> list[str]:
        path = f"/etc/{self.name('part')}.sh"
        kept = self.functions[:]
        if self.words.chance(0.5):
            variable = self.name("PORT")
            self.files[path] = f"{variable}={self.words.port()}\n" + "\n".join(self.plain()) + "\n"
            family = self.random.choice(self.families)
            return [
                f". {path}",
                f"{self.ipt(family)} -A INPUT -p tcp --dport ${variable} -j ACCEPT",
            ]
        self.functions = []
        self.files[path] = (
            "#!/bin/sh\nIPT=iptables; IPT6=ip6tables; IFACE=eth0; LAN=eth1\n"
            + "\n".join(self.body(2))
            + "\n"
        )
        self.functions = kept
        return [self.random.choice((f"sh {path}", path, f"/bin/sh {path} || true"))]

    def evaluated(self) -> list[str]:
        family = self.random.choice(self.families)
        rule = f"-A INPUT -p tcp --dport {self.words.port()} -j ACCEPT"
        return self.random.choice(
            ([f'eval "{self.ipt(family).replace(chr(34), "")} {rule}"'],
             [f"sh -c 'ip{'6' if family == 6 else ''}tables {rule}'"],
             [f"RULE='{rule}'", f"{self.ipt(family)} $RULE"], [f"( {self.command()} )"],
             [f"{{ {self.command()}; }}"], [f'RULE="{rule}"', f'{self.ipt(family)} "$RULE"'],
             [f"( IPT=false; $IPT {rule}; exit 3 ) || {self.command()}"])
        )  # fmt: skip

    def odd(self) -> list[str]:
        port = self.words.port()
        ipt = self.ipt(self.families[0])
        options = [
            [f"A={port}; B=${{A%?}}{str(port)[-1]}", f"{ipt} -A INPUT -p tcp --dport $B -j ACCEPT"],
            [f"N={port}/tcp", f"{ipt} -A INPUT -p ${{N#*/}} --dport ${{N%/*}} -j ACCEPT"],
            [f"X=; {ipt} -A INPUT $X -p tcp --dport {port} $X -j DROP"],
            [f"set -- {port} 9; {ipt} -A INPUT -p tcp -m multiport --dports $1,$2 -j ACCEPT"],
            [f"{ipt} -A INPUT -p tcp --dport ${{NOPE:-{port}}} -j ACCEPT"],
            [f"{ipt} -A INPUT -p tcp --dport $(echo {port}) -j ACCEPT"],
            [f"{ipt} -A INPUT -p tcp --dport `echo {port}` -j DROP"],
            [f"IFS=,; for z in {port},8; do {ipt} -A INPUT -p udp --dport $z -j DROP; done; unset IFS"],
            [f"L={port},8; IFS=,; for z in $L; do {ipt} -A INPUT -p udp --dport $z -j DROP; done; unset IFS"],
            [f"{ipt} -A INPUT -p tcp --dport {port} -m comment --comment 'it is \"quoted\" $X' -j ACCEPT"],
            [f'printf "%s\\n" {port} 9 | while read q; do {ipt} -A INPUT -p tcp --dport $q -j ACCEPT; done'],
            [f"until {ipt} -A INPUT -p tcp --dport {port} -j ACCEPT; do :; done"],
            [f"while IFS=: read x q y; do {ipt} -A INPUT -p $x --dport $q -j DROP; done <<L\ntcp:{port}:a:b\nudp:9:\nL"],
            [f"( {ipt} -A INPUT -p udp --dport {port} -j ACCEPT )", f"for q in 9; do ({ipt} -A INPUT -p tcp --dport {port} -j ACCEPT)done"],
            ["unset -f nothing", f"{ipt} -A INPUT -p udp --dport {port} -j ACCEPT"],
            [f"W=a; W={port} sh -c '{'iptables' if 4 in self.families else 'ip6tables'} -A INPUT -p tcp --dport $W -j ACCEPT'"],
        ]  # fmt: skip
        if self.bash:
            options += [
                [f"P=({port} 8 9); for q in \"${{P[@]}}\"; do {ipt} -A INPUT -p tcp --dport $q -j ACCEPT; done"],
                [f"[[ $IFACE == e* && 2 -gt 1 ]] && {ipt} -A INPUT -p tcp --dport {port} -j DROP"],
                [f"(( 3 > 2 )) && {ipt} -A INPUT -p udp --dport {port} -j DROP"],
                [f"S={port}x; {ipt} -A INPUT -p tcp --dport ${{S//x/}} -j ACCEPT"],
                [f"{ipt} -A INPUT -p tcp --dport {port} -j ACCEPT &>/dev/null"],
                [f"while read q; do {ipt} -A INPUT -p tcp --dport $q -j DROP; done <<< '{port}'"],
            ]  # fmt: skip
        return self.random.choice(options)

    def ipset(self) -> list[str]:
        family = self.random.choice(self.families)
        name = self.name("set")
        inet = " family inet6" if family == 6 else ""
        lines = [f"ipset create {name} hash:net{inet}"]
        for _ in range(self.random.randint(0, 3)):
            lines.append(f"ipset add {name} {self.words.prefix(family)} -exist")
        lines = [line for line in lines if not line.endswith("/0 -exist")]
        if self.depth == 1:
            self.sets[family].append((name, 1))
        lines.append(f"{self.ipt(family)} -A INPUT -m set --match-set {name} src -j DROP")
        return lines


def generate(words: Vocabulary) -> Script:
    """Return a random script."""
    return Writer(words).script()
