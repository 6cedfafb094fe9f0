"""What is left of iptables-nft rules in nft's listings: names of extensions without arguments."""

from __future__ import annotations

from sslint.netfilter.model import Assign, Key, Nat, RuleItem, Unknown, Unmodelled, Verdict

# Targets that go on with the next rule and write nothing that a rule could ask for and have an
# answer to, iptables-extensions(8): the bits of ECN and TCP's options are the client's own affair.
_WITHOUT_EFFECT = frozenset(
    ("AUDIT", "CHECKSUM", "CONNSECMARK", "ECN", "IDLETIMER", "LED", "LOG", "NFLOG", "RATEEST",
     "SECMARK", "TCPMSS", "TCPOPTSTRIP", "TEE", "TRACE", "ULOG")
)  # fmt: skip
_UNKNOWN_NAT: dict[str, Nat] = {
    "DNAT": Nat("dnat", unknown="xtables target DNAT without its arguments"),
    "REDIRECT": Nat("redirect", unknown="xtables target REDIRECT without its arguments"),
    "SNAT": Nat("snat", unknown="xtables target SNAT without its arguments"),
    "MASQUERADE": Nat("masquerade"),
}
_WRITES = {
    "CLASSIFY": "meta.priority", "CONNMARK": "ct.mark", "DSCP": "ip.dscp", "HL": "ip6.hoplimit",
    "HMARK": "meta.mark", "MARK": "meta.mark", "TOS": "ip.dscp", "TTL": "ip.ttl",
}  # fmt: skip


def item(kind: str, name: str) -> RuleItem | None:
    """Return what an extension stands for; None if it always matches or changes nothing.

    What depends on the arguments, which are lost, is unknown.
    """
    if kind == "match":
        return None if name == "comment" else Unknown(f"xtables match {name} without its arguments")
    if name in _WITHOUT_EFFECT:
        return None
    if name == "REJECT":
        return Verdict("reject")
    if name in _UNKNOWN_NAT:
        return _UNKNOWN_NAT[name]
    if name in _WRITES:
        return Assign(Key(_WRITES[name]), unknown=f"xtables target {name} without its arguments")
    return Unmodelled(f"xtables {kind} {name} without its arguments")
