from __future__ import annotations

import contextlib

import pytest

from sslint.budgets import ExhaustedError
from sslint.firewalls import nftables
from sslint.firewalls.errors import RulesetError, UnreadError
from sslint.netfilter.model import Intervals, Names, Ruleset, Table, Verdict
from tests.firewalls.nft_models import read_text, rule_items
from tests.firewalls.nft_refusals import REFUSED, TAKEN
from tests.support import tree_of


def tables(text: str) -> dict[str, Table]:
    return {f"{table.family} {table.name}": table for table in read_text(text).tables}


def ports(table: Table, chain: str = "c") -> list[int]:
    found = []
    for rule in table.chains[chain].rules:
        values = rule.items[0].values  # type: ignore[union-attr]
        assert isinstance(values, Intervals)
        found.append(values.items[0][0])
    return found


def test_command_stream() -> None:
    (table,) = read_text(
        "flush ruleset\n"
        "add table t; add chain t c\n"
        "add rule t c tcp dport 1 accept\n"
        "insert rule t c tcp dport 2 accept\n"
        "t c tcp dport 3 accept\n"
        "add rule t c index 0 tcp dport 4 accept\n"
        "insert rule t c index 3 tcp dport 5 accept\n"
        "add rule t c handle 3 tcp dport 6 accept\n"
        "replace rule t c handle 2 tcp dport 7 accept\n"
        "delete rule t c handle 4\n"
    ).tables
    assert (table.family, table.name) == ("ip", "t")
    assert ports(table) == [2, 6, 4, 7, 5]


def test_flush_and_delete() -> None:
    text = "table ip a { }\ntable inet b { chain c { tcp dport 1 accept; }; }\n"
    assert list(tables(text + "flush ruleset ip\n")) == ["inet b"]
    assert list(tables(text + "delete table a\ndestroy table nothing\n")) == ["inet b"]
    assert tables(text + "flush table inet b\n")["inet b"].chains["c"].rules == []
    assert tables(text + "flush chain inet b c\ndelete chain inet b c\n")["inet b"].chains == {}


def test_declared_again() -> None:
    """The last policy wins, and the rules add up."""
    block = (
        "table inet t {\nchain c {\ntype filter hook input priority 0; %s\n"
        "tcp dport %d accept\n}\n}\n"
    )
    (table,) = read_text(block % ("policy drop;", 1) + block % ("", 2)).tables
    base = table.chains["c"].base
    assert base is not None
    assert base.policy == "drop"
    assert ports(table) == [1, 2]
    (table,) = read_text(block % ("policy drop;", 1) + block % ("policy accept;", 2)).tables
    assert table.chains["c"].base is not None
    assert table.chains["c"].base.policy == "accept"


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        ("filter hook input priority filter", 0),
        ("filter hook prerouting priority mangle - 5", -155),
        ("nat hook prerouting priority dstnat + 10", -90),
        ("nat hook output priority dstnat", -100),
        ("filter hook input priority -300", -300),
        ("filter hook forward priority $p", -10),
        ("filter hook forward priority $q", 5),
    ],
)
def test_priorities(spec: str, priority: int) -> None:
    head = 'define p = -10\ndefine q = "filter + 5"\n'
    (table,) = read_text(f"{head}table inet t {{\nchain c {{\ntype {spec};\n}}\n}}\n").tables
    assert table.chains["c"].base is not None
    assert table.chains["c"].base.priority == priority


def test_bridge_priorities_are_its_own() -> None:
    (table,) = read_text(
        "table bridge t {\nchain c {\ntype filter hook input priority filter; policy drop;\n}\n}\n"
    ).tables
    assert table.chains["c"].base is not None
    assert table.chains["c"].base.priority == -200


def test_devices() -> None:
    (table,) = read_text(
        'define wan = { eth0, "eth1" }\n'
        "table netdev t {\nchain c {\ntype filter hook ingress devices = $wan priority 0;\n}\n}\n"
    ).tables
    assert table.chains["c"].base is not None
    assert table.chains["c"].base.devices == ("eth0", "eth1")


def test_dormant() -> None:
    assert tables("table t { flags dormant; }\n")["ip t"].dormant
    assert not tables("table t { flags dormant; }\nadd table t\n")["ip t"].dormant


def test_variables() -> None:
    (table,) = read_text(
        "define web = { 80, 443 }\n"
        "define every = { $web, 25 }\n"
        "redefine web = 8080\n"
        'define choice = "drop"\n'
        "define target = d\n"
        "table inet t {\n"
        "define inner = 53\n"
        "chain d {\n}\n"
        "chain c {\n"
        "type filter hook input priority 0; policy $choice\n"
        "tcp dport $every accept\n"
        "tcp dport $web jump $target\n"
        "udp dport $inner accept\n"
        "}\n}\n"
    ).tables
    first, second, _ = table.chains["c"].rules
    assert first.items[0].values == Intervals(((25, 25), (80, 80), (443, 443)))  # type: ignore[union-attr]
    assert second.items[0].values == Intervals(((8080, 8080),))  # type: ignore[union-attr]
    assert second.items[1] == Verdict("jump", "d")
    assert table.chains["c"].base is not None
    assert table.chains["c"].base.policy == "drop"


def test_sets() -> None:
    (table,) = read_text(
        "table inet t {\n"
        "set block {\ntype ipv4_addr\nflags interval\nauto-merge\n"
        "elements = { 10.0.0.0/8, 10.1.0.0/16, # a comment\n"
        '  192.0.2.1 timeout 1h comment "x",\n  # another\n  192.0.2.2 }\n}\n'
        'set names {\ntype ifname\nflags interval\nelements = { lo, "eth*" }\n}\n'
        "set pairs {\ntypeof ip saddr . tcp dport\nflags interval\n"
        "elements = { 10.0.0.0/8 . 22 }\n}\n"
        "map jumps {\ntype inet_service : verdict\nelements = { 22 : accept, * : drop }\n}\n"
        "map nat {\ntype inet_service : ipv4_addr . inet_service\n"
        "elements = { 80 : 10.0.0.1 . 8080 }\n}\n"
        "set seen {\ntype ipv4_addr\nflags dynamic, timeout\n}\n"
        "}\n"
        "add element inet t seen { 192.0.2.9 }\n"
        "delete element inet t block { 192.0.2.2 }\n"
    ).tables
    sets = table.sets
    ten = (0x0A000000, 0x0AFFFFFF)
    assert sets["block"].elements == [(Intervals((ten, (0xC0000201, 0xC0000201))),)]
    assert sets["names"].elements == [(Names(("eth*", "lo")),)]
    assert sets["pairs"].keys == ("ipv4_addr", "inet_service")
    assert sets["pairs"].elements == [(Intervals((ten,)), Intervals(((22, 22),)))]
    assert sets["jumps"].data == [Verdict("accept")]
    assert sets["jumps"].default == Verdict("drop")
    assert sets["nat"].data == [(Intervals(((0x0A000001, 0x0A000001),)), (8080, 8080))]
    assert sets["seen"].dynamic
    assert not sets["block"].dynamic


def test_used_before_it_is_declared() -> None:
    (table,) = read_text(
        "table t {\nchain c {\nip saddr @s jump d\n}\nset s {\ntype ipv4_addr\n}\nchain d {\n}\n}\n"
    ).tables
    assert len(table.chains["c"].rules) == 1


def test_inner_chain() -> None:
    (table,) = read_text(
        "table t {\nchain c {\ntcp dport 22 jump {\nip saddr 10.0.0.1 accept\ndrop\n}\n}\n}\n"
    ).tables
    verdict = table.chains["c"].rules[0].items[1]
    assert isinstance(verdict, Verdict)
    assert len(table.chains[verdict.chain].rules) == 2


BLOCK = "table t {\nchain c {\n%s\n}\n}\n"
HOOK = "table t {\nchain c {\ntype filter hook input priority 0;\n%s\n}\n%s}\n"
SET = "table t {\nset s {\ntype ipv4_addr\n%s\n}\n}\n"


@pytest.mark.parametrize(
    "text",
    [
        "table t {\n",
        "table t { chain c { accept } }\n",  # a statement needs its separator
        "table t {\r\n}\r\n",
        "table t { }\n# a last line that is a comment needs its line end",
        "table t { }\nadd rule t c accept\n",
        "add rule t c accept\n",
        "delete table t\n",
        "create table t\ncreate table t\n",
        "define x = 1\ndefine x = 2\n",
        "define x = $x\n",
        "undefine x\n",
        "define x = drop\n",
        BLOCK % "policy drop",
        BLOCK % "type filter hook nowhere priority 0;",
        BLOCK % "type nat hook forward priority 0;",
        BLOCK % "type nat hook prerouting priority -200;",
        BLOCK % "type filter hook input priority dstnat;",
        HOOK % ("policy drop; policy accept", ""),
        HOOK % ("", "") + "table t {\nchain c {\ntype filter hook input priority 1;\n}\n}\n",
        BLOCK % "" + HOOK % ("", ""),  # it exists, and is no base chain
        BLOCK % "jump d" + "table t {\nchain d {\n}\n}\n",  # of an earlier block
        HOOK % ("jump c", ""),
        HOOK % ("jump d", "chain d {\njump e\n}\nchain e {\njump d\n}\n"),
        HOOK % ("masquerade", ""),
        HOOK % ("jump d", "chain d {\ntcp dport 80 redirect to :81\n}\n"),
        SET % "elements = { 10.0.0.0/8 }",
        SET % "flags interval\nelements = { 10.0.0.0/8, 10.1.0.0/16 }",
        SET % "flags interval\nelements = { 10.0.0.0/8 }" + "add element t s { 10.1.0.0/16 }\n",
        SET % "elements = {\n\n10.0.0.1 }",
        SET % "elements = { 10.0.0.1 : drop }",
        SET % "elements = { ::1 }",
        SET % "size 1\nelements = { 10.0.0.1, 10.0.0.2 }",
        SET % "" + "table t {\nset s {\ntype inet_service\n}\n}\n",
        SET % "" + "add rule t c ip saddr @s accept\n",
        SET % "" + "delete element t s { 10.0.0.1 }\n",
        "table t {\nset s {\ntype inet_service\n}\nchain c {\nip saddr @s accept\n}\n}\n",
        "table t {\nmap m {\ntype ipv4_addr : verdict\nelements = { 10.0.0.1 : jump d }\n}\n}\n",
        BLOCK % 'xt match "recent" accept' + "table 1 {\n}\n",
    ],
)  # fmt: skip
def test_nothing_loads_if_one_command_is_refused(text: str) -> None:
    ruleset = Ruleset()
    with pytest.raises(RulesetError) as caught:
        nftables.read(tree_of({"/etc/nftables.conf": text}), "/etc/nftables.conf", ruleset)
    assert caught.value.location is not None
    assert ruleset.tables == []


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: str) -> None:
    with pytest.raises(RulesetError):
        nftables.read(tree_of({"/etc/nftables.conf": text}), "/etc/nftables.conf", Ruleset())


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN.keys())
def test_taken(text: str) -> None:
    nftables.read(tree_of({"/etc/nftables.conf": text}), "/etc/nftables.conf", Ruleset())


def test_loops_that_no_base_chain_reaches_load() -> None:
    read_text("table t {\nchain c {\njump d\n}\nchain d {\njump c\n}\n}\n")


def test_remnants_of_iptables_do_not_load_at_boot() -> None:
    text = BLOCK % 'xt match "recent" accept'
    tree = tree_of({"/etc/nftables.conf": text})
    with pytest.raises(RulesetError, match="xtables"):
        nftables.read(tree, "/etc/nftables.conf", Ruleset())
    nftables.read(tree, "/etc/nftables.conf", Ruleset(), listing=True)


# -- includes ---------------------------------------------------------------------------------

PART = "table ip {} {{ }}\n"


def included(statement: str, **files: str) -> list[str]:
    tree = tree_of({"/etc/nftables.conf": statement, **files})
    ruleset = Ruleset()
    nftables.read(tree, "/etc/nftables.conf", ruleset)
    return [table.name for table in ruleset.tables]


def test_globs_in_byte_order() -> None:
    files = {f"/etc/d/{name}.nft": PART.format(name) for name in ("b", "a", "B", ".hidden")}
    assert included('include "/etc/d/*.nft"\n', **files) == ["B", "a", "b"]
    assert included('include "d/*.nft"\n', **files) == ["B", "a", "b"]
    assert included('include "/etc/d/"\n', **files) == []
    assert included('include "/etc/d/none*.nft"\n', **files) == []
    with pytest.raises(UnreadError, match="/etc/none is not in the files"):
        included('include "/etc/none/*.nft"\n')  # a part of /etc may lack it


def test_relative_to_the_main_file() -> None:
    files = {
        "/etc/sub/a.nft": 'include "sub/b.nft"\n',
        "/etc/sub/b.nft": PART.format("b"),
    }
    assert included('include "sub/a.nft"\n', **files) == ["b"]
    assert included('include "./etc/sub/a.nft"\n', **files) == ["b"]  # services run in /


def test_variables_and_blocks_of_included_files() -> None:
    files = {
        "/etc/vars": "define p = 22\n",
        "/etc/rules": "tcp dport $p accept\n",
        "/etc/part": "chain d {\n",
    }
    text = (
        'include "/etc/vars"\ntable inet t {\ninclude "/etc/part"\n}\n'
        'chain c {\ninclude "/etc/rules"\n}\n}\n'
    )
    tree = tree_of({"/etc/nftables.conf": text, **files})
    ruleset = Ruleset()
    read = nftables.read(tree, "/etc/nftables.conf", ruleset)
    paths = ["/etc/nftables.conf", "/etc/vars", "/etc/part", "/etc/rules"]
    assert [file.path for file in read] == paths
    (table,) = ruleset.tables
    assert str(table.chains["c"].rules[0].location) == "etc/rules:1:1"


@pytest.mark.parametrize(
    "statement",
    ['include "/etc/none.nft"\n', "include /etc/none.nft\n", 'include "/etc/nftables.conf"\n'],
)
def test_includes_that_fail(statement: str) -> None:
    with pytest.raises(RulesetError):
        included(statement)


def test_an_included_file_needs_its_last_line_end() -> None:
    with pytest.raises(RulesetError):
        included('include "/etc/a"\nadd table t\n', **{"/etc/a": "add table a"})


# -- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "define a = { 1, 2 }\n"
        + "".join(f"define a{n} = {{ ${'a' + str(n - 1) if n else 'a'}, $a }}\n" for n in range(5)),
        "define a0 = { 1, 2 }\n"
        + "".join(f"define a{n} = {{ $a{n - 1}, $a{n - 1} }}\n" for n in range(1, 40))
        + "table t {\nchain c {\ntcp dport $a39 accept\n}\n}\n",
        "table t {\nchain c {\ntcp dport " + "(" * 100_000 + "\n}\n}\n",
        "table t {\nchain c {\ntcp dport " + "{" * 100_000 + "\n}\n}\n",
        "table t {\nchain c {\n" + "jump {\n" * 1000 + "\n}\n}\n",
        "table t {\nchain c {\nmeta mark " + "1 | " * 20_000 + "1\n}\n}\n",
        "a:" * 50_000,
        "a" * 500_000 + "\\",
        "1" * 500_000,
        '"' * 50_001,
        "\0\ud800",
    ],
)
def test_hostile_input_ends(text: str) -> None:
    with contextlib.suppress(RulesetError, ExhaustedError):
        read_text(text)


def test_a_listing_does_not_say_which_limit_a_rule_gives_an_element() -> None:
    text = (
        "table ip t {\nset s {\ntype ipv4_addr\nflags dynamic\nlimit rate 1/second\n}\n"
        "chain c {\nadd @s { ip saddr } drop\n}\n}\n"
    )
    assert read_text(text).tables[0].sets["s"].adding
    ruleset = Ruleset()
    nftables.read(tree_of({"/etc/nftables.conf": text}), "/etc/nftables.conf", ruleset)
    assert not ruleset.tables[0].sets["s"].adding


REMNANT = BLOCK % 'xt match "recent" accept'
OWNED = "table ip t {%s\n\tflags owner\n\tchain c {\n\t}\n}\n"


@pytest.mark.parametrize(
    "first",
    ["#!/usr/sbin/nft -f\n", "flush ruleset\n", "define A = 1\n", "add table ip u\n",
     " create table ip u\n", "table ip u {\n\tdefine A = 1\n}\n"],
)  # fmt: skip
def test_what_a_listing_never_says_makes_a_boot_file(first: str) -> None:
    read_text(REMNANT)
    with pytest.raises(RulesetError, match="xtables"):
        read_text(first + REMNANT)


def test_what_a_listing_says_makes_no_boot_file() -> None:
    rules = 'add @s { ip saddr }\ntcp dport 1 log prefix "add x"\nxt match "recent" accept'
    read_text("# flush ruleset\n" + SET % "flags dynamic" + BLOCK % rules)


def test_only_a_listed_owner_is_still_there() -> None:
    assert read_text(OWNED % " # progname firewalld").tables
    assert not read_text(OWNED % "").tables


def test_what_follows_a_slash_is_a_number_of_bits() -> None:
    rule = "meta mark 0x12345678/0xc accept"
    prefix = "meta mark 0x12300000-0x123fffff accept"
    assert rule_items(rule, "ip") == rule_items(prefix, "ip")


def test_of_a_map_with_its_elements_twice_the_last_count() -> None:
    table = tables(
        "table ip t {\nmap m {\ntype inet_service : verdict\nelements = { 22 : accept }\n"
        "elements = { 23 : drop }\n}\n}\n"
    )["ip t"]
    assert [element[0].items for element in table.sets["m"].elements] == [((23, 23),)]
