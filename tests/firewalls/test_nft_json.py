from __future__ import annotations

import json

import pytest

from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import Base, Limit, SetUpdate, Unknown, Unmodelled, Verdict
from tests.firewalls.nft_models import comparable, read_json, read_text

TEXT = """table inet filter {
\tset block {
\t\ttype ipv4_addr
\t\tflags interval
\t\telements = { 10.0.0.0/8, 192.0.2.1-192.0.2.9 }
\t}

\tmap ports {
\t\ttype inet_service : verdict
\t\tflags interval
\t\telements = { 22 : accept, 80-90 : jump web }
\t}

\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tct state established,related accept
\t\tip saddr @block drop
\t\ttcp dport vmap @ports
\t\ttcp flags syn / syn,ack limit rate over 5/second drop
\t\tiifname "eth*" tcp dport { 443, 8000-8080 } accept
\t\treject with icmpx admin-prohibited
\t}

\tchain web {
\t}
}
"""
INPUT = {"family": "inet", "table": "filter"}


def payload(protocol: str, field: str) -> object:
    return {"payload": {"protocol": protocol, "field": field}}


def rule(*statements: object) -> dict[str, object]:
    return {"rule": {**INPUT, "chain": "input", "handle": 9, "expr": list(statements)}}


def equals(left: object, right: object, operator: str = "==") -> object:
    return {"match": {"op": operator, "left": left, "right": right}}


FLAGS = {"&": [payload("tcp", "flags"), {"|": ["syn", "ack"]}]}
TABLE: list[object] = [
    {"metainfo": {"version": "1.1.3", "json_schema_version": 1}},
    {"table": {"family": "inet", "name": "filter", "handle": 1}},
]
CHAIN = {
    "chain": {
        **INPUT, "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0,
        "policy": "drop",
    }
}  # fmt: skip
OBJECTS: list[object] = [
    *TABLE,
    {
        "set": {
            **INPUT, "name": "block", "type": "ipv4_addr", "handle": 2, "flags": ["interval"],
            "elem": [
                {"prefix": {"addr": "10.0.0.0", "len": 8}},
                {"range": ["192.0.2.1", "192.0.2.9"]},
            ],
        }
    },
    {
        "map": {
            **INPUT, "name": "ports", "type": "inet_service", "handle": 3, "map": "verdict",
            "flags": ["interval"],
            "elem": [[22, {"accept": None}], [{"range": [80, 90]}, {"jump": {"target": "web"}}]],
        }
    },
    CHAIN,
    {"chain": {**INPUT, "name": "web", "handle": 5}},
    rule(equals({"ct": {"key": "state"}}, ["established", "related"], "in"), {"accept": None}),
    rule(equals(payload("ip", "saddr"), "@block"), {"drop": None}),
    rule({"vmap": {"key": payload("tcp", "dport"), "data": "@ports"}}),
    rule(
        equals(FLAGS, "syn"),
        {"limit": {"rate": 5, "burst": 5, "per": "second", "inv": True}},
        {"drop": None},
    ),
    rule(
        equals({"meta": {"key": "iifname"}}, "eth*"),
        equals(payload("tcp", "dport"), {"set": [443, {"range": [8000, 8080]}]}),
        {"accept": None},
    ),
    rule({"reject": {"type": "icmpx", "expr": "admin-prohibited"}}),
]  # fmt: skip


def test_equals_the_text() -> None:
    found = read_json(json.dumps({"nftables": OBJECTS}))
    assert comparable(found) == comparable(read_text(TEXT))
    assert found.sources[0].kind == "nft-json"


def test_places_on_one_line() -> None:
    text = json.dumps({"nftables": OBJECTS})
    (table,) = read_json(text).tables
    for read in table.chains["input"].rules:
        where = read.location
        assert where.line == 1
        assert text[where.column - 1 :].startswith('{"rule": {')
        assert text[: (where.end or 0) - 1].endswith("}}")
    base = table.chains["input"].base
    assert isinstance(base, Base)
    assert base.policy_location is not None
    assert text[base.policy_location.column - 1 :].startswith('"policy": "drop"')


def items(*statements: object) -> tuple[object, ...]:
    (table,) = read_json(json.dumps({"nftables": [*TABLE, CHAIN, rule(*statements)]})).tables
    return table.chains["input"].rules[0].items


def test_extensions_without_arguments_are_unknown() -> None:
    match, verdict = items({"xt": {"type": "match", "name": "conntrack"}}, {"accept": None})
    assert isinstance(match, Unknown)
    assert "conntrack" in match.reason
    assert verdict == Verdict("accept")
    assert isinstance(items({"xt": None})[0], Unmodelled)
    assert isinstance(items({"xt": {"type": "target", "name": "NFQUEUE"}})[0], Unmodelled)
    # what they do does not depend on the arguments
    assert items({"xt": {"type": "target", "name": "LOG"}}) == ()
    assert items({"xt": {"type": "match", "name": "comment"}}) == ()
    (read,) = items({"xt": {"type": "target", "name": "REJECT"}})
    assert isinstance(read, Verdict)
    assert read.kind == "reject"


def test_what_is_not_understood_is_unmodelled() -> None:
    for statement in (
        {"novelty": {"x": 1}},
        'jump {\n\t\tinclude "/etc/passwd"\n\t}',
        equals({"meta": {"key": "novelty"}}, 1),
        equals(payload("tcp", "dport"), {"novelty": 1}),
    ):
        (read,) = items(statement)
        assert isinstance(read, Unmodelled)


def test_an_anonymous_chain_is_printed_as_text() -> None:
    text = "jump {\n\t\tip saddr 192.0.2.1 drop\n\t\taccept\n\t}"
    statements = (equals(payload("tcp", "dport"), 443), text)
    listing = json.dumps({"nftables": [*TABLE, CHAIN, rule(*statements)]})
    (table,) = read_json(listing).tables
    jump = table.chains["input"].rules[0].items[-1]
    assert isinstance(jump, Verdict)
    drop, accept = table.chains[jump.chain].rules
    assert drop.items[-1] == Verdict("drop")
    assert accept.items == (Verdict("accept"),)
    assert accept.location == table.chains["input"].rules[0].location


def test_a_family_that_nft_leaves_out() -> None:
    """`meta nfproto ipv4 reject with tcp reset` is printed without its first match."""
    found = items({"reject": {"type": "tcp reset"}})
    assert any(isinstance(item, Unknown) for item in found)
    known = items(equals(payload("ip", "saddr"), "192.0.2.1"), {"reject": {"type": "tcp reset"}})
    assert not any(isinstance(item, Unknown) for item in known)


def test_limits() -> None:
    assert items({"quota": {"val": 25, "val_unit": "mbytes", "inv": True}})[0] == Limit(
        False, "quota over 25 mbytes"
    )
    assert items({"ct count": {"val": 20, "inv": True}})[0] == Limit(
        False, "ct count over 20", 20, tracked=True
    )
    # the first connection is more than none
    assert items({"ct count": {"val": 0, "inv": True}})[0] == Limit(
        True, "ct count over 0", tracked=True
    )
    assert items({"ct count": {"val": 0}})[0] == Limit(False, "ct count 0", tracked=True)


def test_a_rate_in_a_set_may_depend_on_the_size_of_the_packet() -> None:
    quota = {"val": 1, "val_unit": "bytes", "inv": True}
    update = {"op": "add", "elem": payload("ip", "saddr"), "set": "@s", "stmt": [{"quota": quota}]}
    update_item, doubt = items({"set": update})[-2:]
    assert isinstance(update_item, SetUpdate)
    assert update_item.first
    assert isinstance(doubt, Unknown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"nftables": ',
        '{"nftables": [',
        '{"nftables": [1]}',
        '{"nftables": [{"table": 1}]}',
        '{"nftables": [{"table": {"family": "x", "name": "t"}}]}',
        '{"nftables": [{"rule": {"family": "ip", "table": "t", "chain": "c"}}]}',
        '{"nftables": [' + '{"x": ' * 100_000,
        '{"nftables": [{"table": {"family": "ip", "name": "t", "handle": ' + "9" * 5000 + "}}]}",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(RulesetError):
        read_json(text)
