"""ipset save and list to named sets, and to what the rules that name them compare."""

from __future__ import annotations

import pytest

from sslint.firewalls import ipset, iptables
from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import (
    Constant,
    Intervals,
    Key,
    Match,
    Names,
    RuleItem,
    Ruleset,
    Set,
    SetRef,
    SetUpdate,
    Unknown,
)
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet, judge
from sslint.source import SourceFile


def sets(text: str) -> dict[str, Set]:
    ruleset = Ruleset()
    ipset.read(SourceFile("/s", "s", text), ruleset)
    return ruleset.ipsets


def one(low: int, high: int | None = None) -> Intervals:
    return Intervals(((low, low if high is None else high),))


def resolved(rule: str, text: str, family: int = 4) -> list[RuleItem]:
    ruleset = Ruleset()
    dump = SourceFile("/r", "r", f"*filter\n-A INPUT {rule}\nCOMMIT\n")
    iptables.read(dump, 6 if family == 6 else 4, into=ruleset)
    ipset.read(SourceFile("/s", "s", text), ruleset)
    ipset.resolve(ruleset)
    return list(ruleset.tables[0].chains["INPUT"].rules[0].items)


SAVED = """create web hash:net family inet hashsize 1024 maxelem 65536 comment
add web 192.0.2.0/24 comment "a nomatch b"
add web 198.51.100.7
"""
LISTED = """Name: web
Type: hash:net
Revision: 7
Header: family inet hashsize 1024 maxelem 65536 comment
Size in memory: 1
References: 0
Number of entries: 2
Members:
192.0.2.0/24 comment "a nomatch b"
198.51.100.7
"""
XML = """<ipsets>
<ipset name="web"><type>hash:net</type><header><family>inet</family><comment/></header>
<members><member><elem>192.0.2.0/24</elem><comment>"a nomatch b"</comment></member>
<member><elem>198.51.100.7</elem></member></members></ipset></ipsets>
"""


@pytest.mark.parametrize("text", [SAVED, LISTED, XML, SAVED.replace("\n", "\r\n")])
def test_forms_of_one_set(text: str) -> None:
    (found,) = sets(text).values()
    assert found.name == "web"
    assert found.keys == ("ipset:hash:net", "inet")
    assert found.elements == [(one(0xC0000200, 0xC00002FF),), (one(0xC6336407),)]
    assert found.location is not None


def test_the_most_specific_network_decides() -> None:
    text = (
        "create n hash:net\nadd n 10.0.0.0/8\nadd n 10.1.0.0/16 nomatch\nadd n 10.1.2.0/24\n"
        "add n 10.1.2.3 nomatch\nadd n 192.0.2.1\n"
    )
    (found,) = sets(text).values()
    assert found.holes == []
    assert found.elements == [
        (one(10 << 24, (10 << 24) + 0xFFFF),),
        (one(0x0A010200, 0x0A010202),),
        (one(0x0A010204, 0x0A0102FF),),
        (one(0x0A020000, 0x0AFFFFFF),),
        (one(0xC0000201),),
    ]


def test_fields() -> None:
    text = (
        "create a hash:ip,port\nadd a 192.0.2.1,443\nadd a 192.0.2.1,udp:53-54\n"
        "add a 192.0.2.1,icmp:8/0\n"
        "create b bitmap:port range 0-65535\nadd b 80-81\n"
        "create c hash:net,iface\nadd c 192.0.2.0/24,eth0\n"
        "create d hash:ip netmask 24\nadd d 192.0.2.0\n"
        "create e hash:mac\nadd e 00:11:22:33:44:55\n"
        "create f hash:ip family inet6\nadd f 2001:db8::1\n"
        "create g hash:ip,mark markmask 0xff\nadd g 192.0.2.1,0x1ff\n"
    )
    found = sets(text)
    host = one(0xC0000201)
    assert found["a"].elements == [(host, one(6), one(443)), (host, one(17), one(53, 54))]
    assert found["b"].elements == [(Intervals(((6, 6), (17, 17))), one(80, 81))]
    assert found["c"].elements == [(one(0xC0000200, 0xC00002FF), Names(("eth0",)))]
    assert found["d"].elements == [(one(0xC0000200, 0xC00002FF),)]
    assert found["e"].elements == [(one(0x001122334455),)]
    assert found["f"].elements == [(one((0x20010DB8 << 96) + 1),)]
    assert found["g"].elements == [(host, one(0xFF))]


def test_commands_of_a_restore_file() -> None:
    text = (
        "create a hash:ip -exist\nadd a 192.0.2.1\nadd a 192.0.2.2\ndel a 192.0.2.1\n"
        "create b hash:ip timeout 600\nadd b 192.0.2.9 timeout 5\nswap a b\nrename b c\n"
        "create d hash:ip\ndestroy d\nCOMMIT\n"
    )
    found = sets(text)
    assert list(found) == ["a", "c"]
    assert found["a"].elements == [(one(0xC0000209),)]
    assert found["a"].dynamic
    assert found["c"].elements == [(one(0xC0000202),)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("add nowhere 192.0.2.1\n", 1),
        ("create a hash:ip\nadd a 192.0.2.300\n", 2),
        ("create a hash:ip\nadd a 192.0.2.1,80\n", 2),
        ("create a hash:ip\ncreate a hash:ip\n", 2),
        ("create a hash:ip\nnonsense\n", 2),
        ("create\n", 1),
        ("<ipsets>\n<ipset name='x'>\n", 3),
        ('<!DOCTYPE x [<!ENTITY y "z">]>\n<ipsets/>\n', 1),
    ],
)
def test_errors_have_a_place(text: str, line: int) -> None:
    with pytest.raises(RulesetError) as error:
        sets(text)
    assert error.value.location is not None
    assert error.value.location.line == line


# -- rules that name sets -------------------------------------------------------------------------

SOURCE, PROTOCOL, PORT = Key("ip.saddr"), Key("meta.l4proto"), Key("th.dport")


def test_directions_become_keys() -> None:
    text = "create s hash:ip,port\nadd s 192.0.2.1,443\n"
    assert resolved("-m set --match-set s src,dst", text) == [
        Match((SOURCE, PROTOCOL, PORT), SetRef("s"))
    ]
    assert resolved("-m set ! --match-set s src,dst,src", text) == [
        Match((SOURCE, PROTOCOL, PORT), SetRef("s"), True)
    ]
    assert resolved("-j SET --add-set s src,dst", text) == [
        SetUpdate(SetRef("s"), (SOURCE, PROTOCOL, PORT))
    ]


def test_a_set_that_cannot_be_asked_never_matches() -> None:
    text = "create s hash:ip,port\nadd s 192.0.2.1,443\n"
    for negate, rule in (False, "--match-set"), (True, "! --match-set"):
        (item,) = resolved(f"-m set {rule} s src", text)
        assert isinstance(item, Constant)
        assert item.value is negate


OTHER_FAMILY = (  # family of the table, type of the set, rule; iptables refuses the set or not
    (4, "hash:net family inet6", "-m set --match-set s src", True),
    (4, "hash:net", "-m set --match-set s src", False),
    (6, "hash:ip", "-m set ! --match-set s src", True),
    (6, "hash:ip family inet6", "-m set ! --match-set s src", False),
    (6, "hash:ip,port", "-j SET --add-set s src,dst", True),
    (6, "bitmap:port range 1-9", "-m set --match-set s src", False),
    (6, "list:set", "-m set --match-set s src", False),
)


@pytest.mark.parametrize(("family", "kind", "rule", "refused"), OTHER_FAMILY)
def test_a_set_of_the_other_family_is_refused(
    family: int, kind: str, rule: str, refused: bool
) -> None:
    ruleset = Ruleset()
    dump = SourceFile("/r", "r", f"*filter\n-A INPUT {rule}\nCOMMIT\n")
    iptables.read(dump, 6 if family == 6 else 4, into=ruleset)
    ipset.read(SourceFile("/s", "s", f"create s {kind}\n"), ruleset)
    ipset.resolve(ruleset)
    assert [(one.families, one.may_open) for one in ruleset.missing] == [
        ((family,), True)
    ] * refused
    assert [one.location and one.location.line for one in ruleset.missing] == [2] * refused


SIZES = (  # what ipset restore reads, and whether it loads
    ("create s hash:ip maxelem 2\nadd s 192.0.2.1\nadd s 192.0.2.2\n", True),
    ("create s hash:ip maxelem 2\nadd s 192.0.2.1\nadd s 192.0.2.2\nadd s 192.0.2.3\n", False),
    ("create s hash:ip maxelem 4\nadd s 192.0.2.0/30\n", True),
    ("create s hash:ip maxelem 3 timeout 9\nadd s 192.0.2.0-192.0.2.3\n", False),
    ("create s hash:ip netmask 24 maxelem 1\nadd s 192.0.2.0/24\n", True),
    ("create s hash:ip maxelem 1\nadd -exist s 192.0.2.1\nadd -exist s 192.0.2.1\n", True),
    ("create s hash:net maxelem 2\nadd s 192.0.2.0/24\nadd s 192.0.2.8 nomatch\n", True),
    ("create s hash:net maxelem 1\nadd s 192.0.2.0/24\nadd s 192.0.2.8 nomatch\n", False),
    ("create s hash:net,iface maxelem 1\nadd s 192.0.2.0/24,a\nadd s 192.0.2.0/24,b\n", False),
    ("create s hash:ip family inet6 maxelem 1\nadd s ::1\nadd s ::2\n", False),
    ("create s hash:ip hashsize 64\n" + "".join(
        f"add s 10.{i >> 16}.{i >> 8 & 255}.{i & 255}\n" for i in range(65_700)), False),
)  # fmt: skip


@pytest.mark.parametrize(("text", "loads"), SIZES)
def test_a_set_holds_maxelem_elements(text: str, loads: bool) -> None:
    if loads:
        ipset.read(SourceFile("/s", "s", text), Ruleset())
    else:
        with pytest.raises(RulesetError, match="Hash is full"):
            ipset.read(SourceFile("/s", "s", text), Ruleset())


def test_a_set_that_is_not_in_the_input_is_unknown() -> None:
    (item,) = resolved("-m set --match-set other src", "create s hash:ip\n")
    assert isinstance(item, Unknown)
    assert "other" in item.reason


def verdict(rule: str, text: str, source: str, port: int = 443, protocol: str = "tcp") -> str:
    ruleset = Ruleset()
    dump = f"*filter\n:INPUT DROP [0:0]\n-A INPUT {rule} -j ACCEPT\nCOMMIT\n"
    iptables.read(SourceFile("/r", "r", dump), 4, into=ruleset)
    ipset.read(SourceFile("/s", "s", text), ruleset)
    ipset.resolve(ruleset)
    packet = Packet(protocol, source, "198.51.100.1", 40000, port)
    return judge(Firewall(ruleset), packet).verdict


def test_verdicts() -> None:
    text = (
        "create net hash:net\nadd net 192.0.2.0/24\nadd net 192.0.2.7 nomatch\n"
        "create pair hash:net,port\nadd pair 192.0.2.0/24,443\nadd pair 192.0.2.7,443 nomatch\n"
        "create both list:set\nadd both net\nadd both more\ncreate more hash:ip\n"
        "add more 203.0.113.1\ncreate ports bitmap:port range 0-65535\nadd ports 443\n"
        "create mixed list:set\nadd mixed net\nadd mixed pair\ncreate empty hash:ip\n"
    )
    net = "-m set --match-set net src"
    assert verdict(net, text, "192.0.2.9") == "accept"
    assert verdict(net, text, "192.0.2.7") == "drop"
    assert verdict("-m set ! --match-set net src", text, "192.0.2.7") == "accept"
    pair = "-m set --match-set pair src,dst"
    assert verdict(pair, text, "192.0.2.9") == "accept"
    assert verdict(pair, text, "192.0.2.7") == "drop"
    assert verdict(pair, text, "192.0.2.9", 80) == "drop"
    assert verdict(pair, text, "192.0.2.9", 443, "udp") == "drop"
    both = "-m set --match-set both src"
    assert verdict(both, text, "203.0.113.1") == "accept"
    assert verdict(both, text, "192.0.2.9") == "accept"
    assert verdict(both, text, "203.0.113.2") == "drop"
    assert verdict("-m set --match-set ports dst", text, "203.0.113.2", 443, "udp") == "accept"
    assert verdict("-m set --match-set mixed src", text, "203.0.113.2") == "drop"
    assert verdict("-m set --match-set empty src", text, "203.0.113.2") == "drop"
    assert verdict("-m set ! --match-set empty src", text, "203.0.113.2") == "accept"


def test_xml_is_read_to_a_depth() -> None:
    deep = "<ipsets><ipset name='a'>" + "<x>" * 40 + "</x>" * 40 + "</ipset></ipsets>"
    with pytest.raises(RulesetError, match="nested too deeply"):
        ipset.read(SourceFile("/etc/sets.xml", "sets.xml", deep), Ruleset())
