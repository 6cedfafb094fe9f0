"""ICMP and ICMPv6 types by name, as iptables spells them (`iptables -p icmp -h`)."""

from __future__ import annotations

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import values

# name: type, or type/code
_TYPES4 = (
    "any:255 echo-reply:0 pong:0 destination-unreachable:3 network-unreachable:3/0 "
    "host-unreachable:3/1 protocol-unreachable:3/2 port-unreachable:3/3 fragmentation-needed:3/4 "
    "source-route-failed:3/5 network-unknown:3/6 host-unknown:3/7 network-prohibited:3/9 "
    "host-prohibited:3/10 tos-network-unreachable:3/11 tos-host-unreachable:3/12 "
    "communication-prohibited:3/13 host-precedence-violation:3/14 precedence-cutoff:3/15 "
    "source-quench:4 redirect:5 network-redirect:5/0 host-redirect:5/1 tos-network-redirect:5/2 "
    "tos-host-redirect:5/3 echo-request:8 ping:8 router-advertisement:9 router-solicitation:10 "
    "time-exceeded:11 ttl-exceeded:11 ttl-zero-during-transit:11/0 "
    "ttl-zero-during-reassembly:11/1 parameter-problem:12 ip-header-bad:12/0 "
    "required-option-missing:12/1 timestamp-request:13 timestamp-reply:14 "
    "address-mask-request:17 address-mask-reply:18"
)
_TYPES6 = (
    "destination-unreachable:1 no-route:1/0 communication-prohibited:1/1 beyond-scope:1/2 "
    "address-unreachable:1/3 port-unreachable:1/4 failed-policy:1/5 reject-route:1/6 "
    "packet-too-big:2 time-exceeded:3 ttl-exceeded:3 ttl-zero-during-transit:3/0 "
    "ttl-zero-during-reassembly:3/1 parameter-problem:4 bad-header:4/0 unknown-header-type:4/1 "
    "unknown-option:4/2 echo-request:128 ping:128 echo-reply:129 pong:129 mld-listener-query:130 "
    "mld-listener-report:131 mld-listener-done:132 mld-listener-reduction:132 "
    "router-solicitation:133 router-advertisement:134 neighbour-solicitation:135 "
    "neighbor-solicitation:135 neighbour-advertisement:136 neighbor-advertisement:136 redirect:137"
)


def type_and_code(text: str, family: int) -> tuple[int, int, int]:
    """Read a name (or its unambiguous beginning) or `type[/code[:code]]`.

    Return the type and the first and last code.
    """
    table = [word.split(":") for word in (_TYPES4 if family == 4 else _TYPES6).split()]
    wanted = text.lower()
    found = [number for name, number in table if name.startswith(wanted)] if wanted else []
    exact = [number for name, number in table if name == wanted]
    # The real one compares beginnings only: a name that begins another one is ambiguous there,
    # except that aliases and longer names never clash with a complete name in its table.
    if exact:
        found = exact
    if len(found) > 1:
        raise RulesetError(f"Ambiguous ICMP type `{text}'")
    number = found[0] if found else wanted
    kind_text, slash, code = number.partition("/")
    kind = values.integer(kind_text, 0, 255)
    if not slash:
        return kind, 0, 255
    low, high = values.integer_range(code, 255)
    return kind, low, high
