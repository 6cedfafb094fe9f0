"""Rulesets that nft or the kernel refuses, and like ones that load, by what they are about.

tests/live/test_nft_models.py asks nft itself.
"""

from __future__ import annotations


def _set(body: str, rule: str = "ip saddr @s accept") -> str:
    return (
        f"table inet t {{\nset s {{\ntype ipv4_addr\n{body}\n}}\nchain c {{\n"
        f"type filter hook input priority 0;\n{rule}\n}}\n}}\n"
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
    "a rule that counts connections": _set(_DYNAMIC, "add @s { ip saddr ct count over 3 } drop"),
}
