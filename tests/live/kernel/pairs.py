"""Pairs of rulesets: a host's, and the same after somebody's edit; or two of different kinds."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from sslint.firewalls.errors import RulesetError
from sslint.netfilter import difference
from tests.live.kernel.generators import Case, generate
from tests.live.kernel.generators.vocabulary import BITS, OWN, PORTS, address_text, routable
from tests.live.kernel.judge import NETWORK, firewall
from tests.live.kernel.lab import run
from tests.live.kernel.packets import Packet

RULESETS = ("nft", "iptables", "ip6tables", "ipset", "ufw", "firewalld")
KINDS = (*RULESETS, "across")
TRIES = 4  # until an edit makes a difference
EDITS = (1, 1, 2, 4)  # of one pair
ORDERLY = 0.6  # of the rulesets begin as most hosts' do: with what belongs to connections
STRUCTURE = re.compile(
    r"(table|chain|type|flags|set|map|flush|define|#|\}|\*|:|COMMIT|create|<\?|</?(zone|policy|ipset"
    r"|service)\b|add (table|chain|set|map) |default |logging )|$"
)
REMEMBERED = re.compile(r"recent|(add|update|delete) @|limit|SET --|quota|numgen")
_VERDICTS = (
    ("accept", "drop", "reject"), ("ACCEPT", "DROP"), ("allow", "deny", "reject"),
    ("<accept/>", "<drop/>", "<reject/>"), ("policy drop", "policy accept"),
    ("default allow", "default deny"), ('target="ACCEPT"', 'target="DROP"'),
)  # fmt: skip
_ADDRESS = re.compile(
    r"(?<![\w:.])(?:\d+(?:\.\d+){3}|[0-9a-f]*:[0-9a-f:]*:[0-9a-f:]*)(?:/\d+)?(?![\w:.])"
)
_PORT = re.compile(r"(?:port[s ]*[\"= {:]*|: |, |:|-)\b(\d{2,5})\b")
Lines = list[str]


def pair(kind: str, seed: int, packets: int) -> tuple[Case, Case]:
    """Return the two rulesets that this kind and seed stand for; the first has packets."""
    rng = random.Random(f"pair {kind} {seed}")
    if kind == "across":
        one, two = rng.sample(RULESETS, 2)
        return ruleset(one, seed, packets), ruleset(two, seed, packets)
    old = ruleset(kind, seed, packets)
    for _ in range(TRIES):
        new = Case(dict(old.rulesets), old.packets)
        for _ in range(rng.choice(EDITS)):
            _edit(new.rulesets, rng)
        if kind in ("ufw", "firewalld") or _differ(old, new):
            break
    return old, new


def _differ(one: Case, two: Case) -> bool:
    """Tell whether a difference is to be expected, before anything is loaded."""
    try:
        rulesets = [firewall(each).ruleset for each in (one, two)]
    except RulesetError:
        return False
    old, new = difference.pair(rulesets[0], rulesets[1], NETWORK, NETWORK)
    return next(iter(difference.differences(old, new)), None) is not None


TRANSLATORS = {"v4": "iptables-restore-translate", "v6": "ip6tables-restore-translate"}


def translated(seed: int, packets: int) -> tuple[Case, Case]:
    """Return iptables rulesets and what the translators of iptables make of them for nft.

    A rule that they do not know they leave out, as a comment.
    """
    rng = random.Random(f"translated {seed}")
    old = ruleset(rng.choice(("iptables", "ip6tables")), seed, packets)
    old.rulesets.pop("ipset", None)
    texts = []
    for name, text in old.rulesets.items():
        lines = [line for line in text.splitlines() if "--match-set" not in line]
        old.rulesets[name] = "\n".join(lines) + "\n"
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(old.rulesets[name])
            file.flush()
            texts.append(run(TRANSLATORS[name], "-f", file.name))
    return old, Case({"nft": "\n".join(texts)}, old.packets)


def ruleset(kind: str, seed: int, packets: int) -> Case:
    """Return a random ruleset, in which established connections often go on."""
    rng = random.Random(f"orderly {kind} {seed}")
    number = seed
    case = generate("iptables" if kind == "ipset" else kind, number, packets)
    while kind == "ipset" and "ipset" not in case.rulesets:
        number += 1_000_003
        case = generate("iptables", number, packets)
    if rng.random() < ORDERLY:
        for name, text in case.rulesets.items():
            case.rulesets[name] = _orderly(name, text)
    return case


def _orderly(name: str, text: str) -> str:
    if name == "nft":
        begin = "ct state established,related accept\nmeta l4proto ipv6-icmp accept\n"
        return re.sub(
            r"(?m)^(type filter hook (?:input|prerouting) priority (?!raw|-300|dstnat).*\n)",
            lambda found: found[1] + begin, text,
        )  # fmt: skip
    if name in ("v4", "v6"):
        icmp = "-A INPUT -p ipv6-icmp -j ACCEPT\n" if name == "v6" else ""
        begin = f"{icmp}-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        head, mark, rest = text.partition("*filter\n")
        chains, first, rules = rest.partition("\n-A ")
        return f"{head}{mark}{chains}\n{begin}{first[1:]}{rules}" if first else text
    return text


# -- edits ----------------------------------------------------------------------------------------


def _edit(rulesets: dict[str, str], rng: random.Random) -> None:
    """Change one thing in one of the texts."""
    names = [name for name in rulesets if name not in ("ufw-ipv6",)]
    weights = [1 + rulesets[name].count("\n") for name in names]
    name = rng.choices(names, weights)[0]
    lines = rulesets[name].split("\n")
    for _ in range(20):
        changed = rng.choice(_EDITS)(list(lines), rng)
        if changed != lines:
            rulesets[name] = "\n".join(changed)
            return


def _rules(lines: Lines) -> list[int]:
    return [number for number, line in enumerate(lines) if not STRUCTURE.match(line)]


def _remove(lines: Lines, rng: random.Random) -> Lines:
    if rules := _rules(lines):
        del lines[rng.choice(rules)]
    return lines


def _move(lines: Lines, rng: random.Random) -> Lines:
    if len(rules := _rules(lines)) > 1:
        line = lines.pop(rng.choice(rules))
        lines.insert(rng.choice(_rules(lines)), line)
    return lines


def _add(lines: Lines, rng: random.Random) -> Lines:
    """Put a plain rule before another one, in its chain."""
    if not (rules := _rules(lines)):
        return lines
    firsts = [number for number in rules if number - 1 not in rules]  # no rule is before them
    at = rng.choice(rng.choice((rules, firsts)))
    line, port, proto = lines[at], rng.choice((*PORTS, 5432)), rng.choice(("tcp", "tcp", "udp"))
    side = rng.choice(("dport", "dport", "dport", "sport"))  # the answers' source is the port, too
    if line.startswith("-A "):
        chain, verdict = line.split()[1], rng.choice(("ACCEPT", "ACCEPT", "DROP"))
        lines.insert(at, f"-A {chain} -p {proto} --{side} {port} -j {verdict}")
    elif line.startswith("<"):
        lines.insert(at, f'<port port="{port}" protocol="{proto}"/>')
    elif re.match(r"(insert|prepend|allow|deny|reject|limit)\b", line):
        lines.insert(at, f"{rng.choice(('allow', 'deny', 'prepend allow'))} {port}/{proto}")
    elif re.match(r"add \w+ [0-9a-f]", line):  # an element of an ipset
        lines.insert(at, _with_address(line, rng))
    else:
        place = re.match(r"add rule \S+ \S+ \S+ ", line)
        verdict = rng.choice(("accept", "accept", "drop"))
        lines.insert(at, f"{place[0] if place else ''}{proto} {side} {port} {verdict}")
    return lines


def _verdict(lines: Lines, rng: random.Random) -> Lines:
    """Change a verdict or a policy."""
    choices = [
        (number, word, other)
        for number, line in enumerate(lines)
        for words in _VERDICTS
        for word in words
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line)
        for other in words
        if other != word
    ]
    if choices:
        number, word, other = rng.choice(choices)
        lines[number] = lines[number].replace(word, other, 1)
    return lines


def _address(lines: Lines, rng: random.Random) -> Lines:
    if places := [number for number, line in enumerate(lines) if _ADDRESS.search(line)]:
        number = rng.choice(places)
        lines[number] = _with_address(lines[number], rng)
    return lines


def _with_address(line: str, rng: random.Random) -> str:
    """Widen, narrow or move one of the networks in a line."""
    found = rng.choice(list(_ADDRESS.finditer(line)) or [None])  # type: ignore[list-item]
    if found is None:
        return line
    try:
        network = ip_network(found[0], strict=False)
    except ValueError:
        return line
    size = network.max_prefixlen
    length = min(size, max(1, network.prefixlen + rng.choice((-8, -1, 0, 1, 8))))
    start = int(network[0]) + rng.choice((0, 0, 1)) * network.num_addresses
    try:
        other = ip_network((min(start, (1 << size) - 1), length), strict=False)
    except ValueError:
        return line
    shown = str(other) if "/" in found[0] else str(other[0])
    return line[: found.start()] + shown + line[found.end() :]


def _port(lines: Lines, rng: random.Random) -> Lines:
    places = [
        (number, found) for number, line in enumerate(lines) for found in _PORT.finditer(line)
    ]
    if places:
        number, found = rng.choice(places)
        port = min(65535, max(1, int(found[1]) + rng.choice((-1, 1, 1, 100))))
        start, end = found.span(1)
        lines[number] = f"{lines[number][:start]}{port}{lines[number][end:]}"
    return lines


def _element(lines: Lines, rng: random.Random) -> Lines:
    """Take an element out of a set that is written in braces."""
    places = [
        (number, found)
        for number, line in enumerate(lines)
        for found in re.finditer(r"\{ ([^{}]+, [^{}]+) \}", line)
    ]
    if places:
        number, found = rng.choice(places)
        items = found[1].split(", ")
        items.pop(rng.randrange(len(items)))
        line = lines[number]
        lines[number] = f"{line[: found.start()]}{{ {', '.join(items)} }}{line[found.end() :]}"
    return lines


_EDITS: tuple[Callable[[Lines, random.Random], Lines], ...] = (
    _remove, _remove, _move, _add, _add, _verdict, _verdict, _address, _port, _element,
)  # fmt: skip


# -- packets --------------------------------------------------------------------------------------


def remembers(*cases: Case) -> bool:
    """Tell whether a rule's outcome may depend on earlier packets of a source."""
    return any(REMEMBERED.search(text) for case in cases for text in case.rulesets.values())


def takes_in_networks(*cases: Case) -> bool:
    """Tell whether a packet may put more than its source into a set.

    A set of networks takes in the network of its longest prefix then (ip_set_hash_net.c).
    """
    texts = ["".join(case.rulesets.values()) for case in cases]
    return any("--add-set" in text and "hash:net" in text for text in texts)


def at_the_borders(
    found: Sequence[difference.Difference], rng: random.Random, most: int
) -> list[Packet]:
    """Return packets from just inside and outside of what is said to differ."""
    made = []
    for _ in range(most if found else 0):
        one = rng.choice(found)
        some = [each for each in one.sets if each]
        if not some:
            continue
        chosen = rng.choice(some)
        low, high = rng.choice(list(chosen.universe.intervals(chosen.mask, 64)))
        source = rng.choice((low - 1, low, low, rng.randint(low, high), high, high, high + 1))
        if not 0 <= source < 1 << BITS[one.family] or not routable(one.family, source):
            continue
        port = rng.choice((one.first - 1, one.first, one.first, one.last, one.last + 1))
        iif = rng.choice(("eth0", "eth0", "eth1"))
        made.append(
            Packet(
                one.transport, address_text(one.family, source), rng.choice(OWN[one.family]),
                iif, _client_port(one, rng), min(65535, max(1, port)),
            )
        )  # fmt: skip
    return made


def to_named_ports(
    packets: Sequence[Packet], ports: Collection[int], rng: random.Random, most: int
) -> list[Packet]:
    """Return packets like these to the ports that rules name, whatever is said to differ."""
    named = sorted(ports)
    return [
        replace(
            rng.choice(packets),
            dport=rng.choice(named),
            sport=rng.choice((rng.choice(named), rng.randint(1024, 65535))),
        )
        for _ in range(most if named and packets else 0)
    ]


def _client_port(one: difference.Difference, rng: random.Random) -> int:
    first, last = one.source_ports
    chosen = (first - 1, first, last, last + 1, rng.randint(first, last), rng.randint(1, 65535))
    return min(65535, max(1, rng.choice(chosen)))


def apart(packets: Sequence[Packet], one: Case, two: Case) -> list[Packet]:
    """Leave out what meets what an earlier connection left behind."""
    alone, by_source = takes_in_networks(one, two), remembers(one, two)
    kept: dict[object, Packet] = {}
    for each in packets:
        if each.proto in ("tcp", "udp"):
            connection = (each.proto, each.src, each.sport, each.dst, each.dport)
            key = each.family if alone else each.src if by_source else connection
            kept.setdefault(key, each)
    return list(kept.values())


def is_symmetric(packet: Packet) -> bool:
    """Tell whether the answer leaves by the interface that the packet came in by."""
    source = ip_address(packet.src)
    inner = source in ip_network("10.20.0.0/24")
    if packet.family == 6:
        links = ("2001:db8:1::/64", "fd20::/64", "fe80::/10")
        return packet.iif == "eth0" and not any(source in ip_network(link) for link in links)
    return inner == (packet.iif == "eth1")
