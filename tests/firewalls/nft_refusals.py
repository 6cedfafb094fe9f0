"""Rulesets that nft or the kernel refuses, and like ones that load, by what they are about.

tests/live/test_nft_models.py asks nft itself.
"""

from __future__ import annotations


def _set(body: str, rule: str = "ip saddr @s accept") -> str:
    return (
        f"table inet t {{\nset s {{\ntype ipv4_addr\n{body}\n}}\nchain c {{\n"
        f"type filter hook input priority 0;\n{rule}\n}}\n}}\n"
    )


def _rule(rule: str, before: str = "") -> str:
    return (
        f"{before}table inet t {{\nchain c {{\ntype filter hook input priority 0;\n{rule}\n}}\n}}\n"
    )


_DYNAMIC = "flags dynamic\n"
REFUSED = {
    "an element's statement in a set that is not dynamic": _set(
        "elements = { 10.0.0.1 limit rate 1/second }"
    ),
    "an element's statement that is not the set's": _set(
        _DYNAMIC + "counter\nelements = { 10.0.0.1 limit rate 1/second }"
    ),
    "one statement where a set has two": _set(
        _DYNAMIC + "counter limit rate 1/second\nelements = { 10.0.0.1 counter }"
    ),
    "connections of an element with a timeout": _set(
        "flags dynamic, timeout\nelements = { 10.0.0.1 ct count over 1 }"
    ),
    "connections of a set with timeouts": _set("flags dynamic, timeout\nct count over 3"),
    "a rule that counts connections in a set with timeouts": _set(
        "flags dynamic, timeout", "add @s { ip saddr ct count over 3 } drop"
    ),
    "a rule that counts bytes where the set counts packets": _set(
        _DYNAMIC + "limit rate 1/second", "add @s { ip saddr limit rate 1 mbytes/second } drop"
    ),
    "a rule that counts in another order": _set(
        _DYNAMIC + "counter limit rate 1/second",
        "add @s { ip saddr limit rate 1/second counter } drop",
    ),
    "a table of two comments": 'table inet t {\ncomment "a"\ncomment "a"\n}\n',
    "a chain of two comments": _rule('comment "a"\ncomment "b"'),
    "a set of two comments": _set('comment "a"\ncomment "b"'),
    "a set of two types": _set("type ipv4_addr"),
    "a set with a type and an example": _set("typeof ip saddr"),
    "a set with its elements twice": _set("elements = { 10.0.0.1 }\nelements = { 10.0.0.2 }"),
    "an element of two comments": _set('elements = { 10.0.0.1 comment "a" comment "b" }'),
    "a map of two types": "table ip t {\nmap m {\ntype mark : mark\ntype mark : mark\n}\n}\n",
    "a counter of two comments": 'table ip t {\ncounter n {\ncomment "a"\ncomment "b"\n}\n}\n',
    "a helper of two types": "table ip t {\nct helper h {\n"
    'type "ftp" protocol tcp\ntype "ftp" protocol tcp\n}\n}\n',
    "a comment before a verdict": _rule('tcp dport 22 comment "a" accept'),
    "a rule of two comments": _rule('accept comment "a" comment "b"'),
    "a variable that the file has": _rule("define p = 2\ntcp dport $p", "define p = 1\n"),
    "a variable that the table has": "table ip t {\ndefine p = 1\nchain c {\ndefine p = 2\n}\n}\n",
    "a variable in a set that the file has": "define p = 1\n" + _set("define p = 2"),
    **{
        f"a variable with the name of a keyword, {word}": _rule("accept", f"define {word} = 1\n")
        for word in ("tcp", "exists", "random", "size", "reset", "udp", "hour", "mark", "log")
    },
    "any interface by name": _rule('iifname "*" accept'),
    "all but any interface": _rule('oifname != "*" accept'),
    "any interface in a set": _rule('iifname { "lo", "*" } accept'),
    "any interface in a map": _rule('iifname vmap { "*" : accept }'),
    "any interface beside a port": _rule('iifname . tcp dport { "*" . 22 } accept'),
    "any interface in a named set": "table ip t {\nset s {\ntype ifname\n"
    'elements = { "*" }\n}\n}\n',
    "the name of a route's interface as present": _rule("fib saddr oifname exists accept"),
    "the name of a route's interface as missing": _rule("fib saddr . iif oifname missing drop"),
    "an interface as priority": _rule("meta priority set iif"),
    "an interface's name as mark": _rule("meta mark set iifname"),
    "a prefix longer than a mark": _rule("meta mark 0x1/33"),
    "a mask behind a mark": _rule("meta mark 0x10/0xf0"),
}
TAKEN = {
    "an element's statement in a dynamic set": _set(
        _DYNAMIC + "elements = { 10.0.0.1 limit rate 1/second }"
    ),
    "an element with the set's statements": _set(
        _DYNAMIC + "counter limit rate 1/second\n"
        "elements = { 10.0.0.1 counter limit rate 5/second }"
    ),
    "a rule with the set's statement": _set(
        _DYNAMIC + "counter", "add @s { ip saddr counter } drop"
    ),
    "a rule without the set's statements": _set(
        _DYNAMIC + "counter limit rate 1/second", "add @s { ip saddr } drop"
    ),
    "one comment each": 'table inet t {\ncomment "a"\nset s {\ntype mark\ncomment "a"\n}\n'
    'chain c {\ncomment "a"\naccept comment "a"\n}\n}\n',
    "a prefix of a mark": _rule("meta mark 0x0/0x1 accept"),
    "a prefix of a mark in a set": _rule("ct mark { 0x0/0x1, 0x80000000 } accept"),
    "a prefix of a port": _rule("tcp dport != 0x0/0xc accept"),
    "a prefix of an address": _rule("ip saddr 10.0.0.0/0x8 accept"),
    "an interface as mark": _rule("meta mark set iif accept"),
    "an interface as mark of a connection": _rule("ct mark set meta oif accept"),
    "a map with its elements twice": "table ip t {\nmap m {\ntype mark : mark\n"
    "elements = { 1 : 1 }\nelements = { 1 : 2 }\n}\n}\n",
    "a variable put anew": _rule("redefine p = 2\ntcp dport $p", "define p = 1\n"),
    "a variable of another chain": "table ip t {\nchain c {\ndefine p = 1\n}\nchain d {\n"
    "define p = 2\n}\n}\n",
    "an outer variable that is undefined": _rule("undefine p\naccept", "define p = 1\n"),
    "a variable with the name of no keyword": _rule("accept", "define rate = 1\n"),
    "the number of a route's interface as present": _rule("fib saddr oif exists accept"),
    "a rule that counts connections": _set(_DYNAMIC, "add @s { ip saddr ct count over 3 } drop"),
}
