"""Where the kernel takes a statement of nftables: (statement, places that take it, that do not).

A place is `family/hook`. What nft 1.1.3 and Linux 6.18 load was measured; the live tests ask again.
"""

PLACES = (
    ("meta pkttype set host", "inet/prerouting netdev/ingress", "inet/input inet/ingress"),
    ("meta broute set 1", "", "inet/prerouting ip/prerouting"),
    ("meta length set 5", "", "inet/input"),
    ("meta iifname set \"eth0\"", "", "inet/input"),
    ("meta l4proto set 6", "", "ip/input"),
    ("meta cpu set 1", "", "inet/input"),
    ("ct state set new", "", "inet/input"),
    ("ct status set dnat", "", "inet/input"),
    ("ct zone set 5", "inet/prerouting inet/output", "netdev/ingress"),
    ("ct event set new", "inet/input", "netdev/ingress"),
    ("meta secmark set ct secmark", "inet/input", "netdev/ingress"),
    ("ct count 5", "inet/input", "netdev/ingress"),
    ("ip protocol set 6", "inet/input ip/input", "ip6/input"),
    ("ip protocol set tcp", "", "inet/input ip/input"),
    ("ether type set arp", "inet/input", ""),
    ("frag id set 5", "", "inet/input ip6/input"),
    ("meta mark set fib daddr type", "", "inet/input"),
    ("meta mark set frag id", "", "inet/input"),
    ("meta mark set ct helper", "", "inet/input"),
    ("meta mark set rt classid", "inet/input", ""),
    ("meta nftrace 1", "", "inet/input"),
    ("meta nftrace set 1", "inet/input", ""),
    ("meta secmark 0", "", "inet/input"),
    ("limit rate 1/second burst 0 packets", "", "inet/input"),
    ("exthdr frag set 5", "", "inet/input"),
    ("fib daddr type set local", "", "inet/input"),
    ("numgen inc mod 2 set 1", "", "inet/input"),
    ("socket mark set 1", "", "inet/input"),
    ("udp dport 4789 vxlan vni set 1", "", "inet/input"),
    ("vxlan vni 5", "", "inet/input"),
    ("udp dport 4789 vxlan vni 5", "inet/input", ""),
    ("tcp option maxseg size set 1200", "inet/input inet/forward", ""),
    ("tcp option maxseg size set rt mtu", "inet/forward inet/output", "inet/input"),
    ("tcp option window count set 3", "", "inet/input"),
    ("arp operation request", "", "inet/input"),
    ("reject with icmpx type admin-prohibited", "inet/input", "ip/input ip6/input"),
    ("reject", "inet/input inet/prerouting netdev/ingress", "inet/postrouting"),
    ("notrack", "inet/prerouting inet/output", ""),
    ("dup to 10.0.0.2", "ip/input", "inet/input ip6/input"),
    ("dup to \"eth1\" device \"eth1\"", "", "netdev/ingress"),
    ("fwd to \"eth1\"", "", "inet/input ip/prerouting"),
    ("tcp dport 443 synproxy mss 1460 wscale 7", "inet/input inet/forward", "inet/prerouting"),
    ("tcp dport 443 tproxy to :8443", "inet/prerouting", "inet/input"),
    ("fib saddr . iif oif missing", "inet/prerouting inet/input netdev/ingress",
     "inet/output netdev/egress"),
    ("fib saddr . oif oif exists", "", "inet/prerouting inet/input"),
    ("fib daddr type local", "inet/input inet/output", "inet/ingress"),
    ("rt mtu 1400", "inet/output", "inet/input netdev/ingress"),
    ("rt nexthop 10.0.0.1", "ip/input", "inet/input"),
    ("rt ipsec exists", "inet/input", "netdev/ingress"),
    ("ipsec in reqid 1", "inet/input", "inet/output netdev/ingress"),
    ("ipsec out reqid 1", "inet/output", "inet/input"),
    ("meta ipsec exists", "inet/input netdev/ingress", "inet/output inet/ingress"),
    ("meta ibrname \"br0\"", "", "inet/input"),
    ("socket transparent 1", "inet/prerouting inet/input inet/output",
     "inet/forward netdev/ingress"),
    ("osf name \"Linux\"", "inet/input", "inet/output"),
    ("meta sdif 0", "inet/input inet/forward", "inet/prerouting inet/output"),
    ("meta sdifname != \"eth0\"", "inet/input inet/forward", "inet/prerouting inet/output"),
    ("ct original saddr 10.0.0.1", "ip/input", "inet/input"),
    ("ct original ip saddr 10.0.0.1", "inet/input", "netdev/ingress"),
)  # fmt: skip

OBJECTS = (  # (an object of a table, whether it loads)
    ('ct helper h { type "ftp" protocol tcp; l3proto ip; }', True),
    ('ct helper h { type "ftp" protocol tcp }', False),
    ("ct helper h { l3proto ip; }", False),
    ("ct timeout h { protocol tcp; policy = { established : 100s }; }", True),
    ("ct timeout h { protocol tcp l3proto ip; }", False),
    ("ct expectation h { protocol tcp; dport 9; timeout 1m; size 12; l3proto ip; }", True),
    ("ct expectation h { protocol tcp; dport 9; timeout 1m; size 12; }", False),
    ("ct expectation h { protocol tcp; timeout 1m; size 12; }", False),
    ("limit l { rate 10/second }", True),
    ("limit l { }", False),
    ("quota q { }", True),
    ('set s { type ifname; elements = { "eth0", "eth*" }; }', False),
    ('set s { type ifname; flags interval; elements = { "lo", "eth*" }; }', True),
    ('map s { type ifname : verdict; elements = { "eth*" : accept }; }', False),
    ("set s { type ipv4_addr; flags interval, dynamic; }", False),
    ("set s { type ipv4_addr . inet_service; flags interval, dynamic; }", False),
    ("set s { type ipv4_addr; flags interval, timeout; }", True),
    ("set s { type ipv4_addr; flags interval; }\nchain c {\nadd @s { ip saddr }\n}", False),
    ("set s { type ipv4_addr; flags constant; }\nchain c {\nadd @s { ip saddr }\n}", False),
    ("set s { type ipv4_addr; }\nchain c {\nadd @s { ip saddr timeout 5s }\n}", False),
    ("set s { type ipv4_addr; }\nchain c {\nset add ip saddr timeout 5s @s\n}", False),
    ("set s { type ipv4_addr; timeout 5m; }\nchain c {\nadd @s { ip saddr timeout 5s }\n}", True),
    ("set s { type ipv4_addr; }\nchain c {\ndelete @s { ip saddr }\n}", True),
    ("chain c {\njump {\naccept\n}\n}", True),
    ("chain c {\njump {\njump {\naccept\n}\n}\n}", False),
)


def ruleset(statement: str, place: str) -> str:
    """Return a table of one rule at a place."""
    family, hook = place.split("/")
    device = ' device "eth0"' if hook in ("ingress", "egress") else ""
    return (
        f"table {family} f {{\nchain i {{\ntype filter hook {hook}{device} priority 0\n"
        f"{statement}\n}}\n}}\n"
    )


def cases() -> list[tuple[str, bool]]:
    """Return each ruleset and whether it loads."""
    found = [
        (ruleset(statement, place), loads)
        for statement, taken, refused in PLACES
        for loads, places in ((True, taken), (False, refused))
        for place in places.split()
    ]
    return found + [(f"table inet f {{\n{text}\n}}\n", loads) for text, loads in OBJECTS]
