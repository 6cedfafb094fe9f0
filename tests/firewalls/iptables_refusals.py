"""Rules that iptables 1.8.11 refuses, and some beside them that it loads: (families, rule, loads).

`4` and `6` are iptables-nft and -legacy alike, `L` iptables-legacy alone (both families). A rule
stands in INPUT of *filter*, or in `TABLE/CHAIN ` if it begins with that.
"""

RULES = (
    ("46", "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 0 --hashlimit-name a", False),
    ("46", "-m hashlimit --hashlimit-upto 10b/s --hashlimit-burst 50b --hashlimit-name a", False),
    ("46", "-m hashlimit --hashlimit-upto 1kb/s --hashlimit-burst 512b --hashlimit-name a", False),
    ("46", "-m hashlimit --hashlimit-upto 1kb/s --hashlimit-burst 1kb --hashlimit-name a", True),
    ("46", "-m hashlimit --hashlimit-upto 16b/min --hashlimit-name a", True),
    ("6", "-m recent --set --mask 255.255.255.0", False),
    ("4", "-m recent --set --mask 255.255.255.0", True),
    ("46", "-m connlimit --connlimit-above 5 --connlimit-saddr --connlimit-daddr", False),
    ("46", "-m statistic --mode random --probability 1.5", False),
    ("46", "-m statistic --mode nth --every 3 --packet 3", False),
    ("46", "-m statistic --mode nth --every 3 --packet 2", True),
    ("46", "-m string --string x --algo nosuch", False),
    ("46", "-m string --algo bm", False),
    ("46", "-m string --string x --algo bm", True),
    ("46", "-m time --weekdays Mon,Xyz", False),
    ("46", "-m time --weekdays Mon,Tue --timestart 10:00 --datestop 2030-01-01T10:00", True),
    ("46", "-m time --timestart 25:00", False),
    ("46", "-m time --datestart 2024-13-01", False),
    ("46", "-m u32 --u32 nonsense", False),
    ("46", "-m bpf --bytecode x", False),
    ("46", "-m cluster --cluster-total-nodes 2 --cluster-local-node 3 --cluster-hash-seed 1",
     False),
    ("46", "-m policy --dir in --pol none --strict", False),
    ("46", "-m policy --dir in --pol ipsec --reqid 1 --next --reqid 2", False),
    ("46", "-p sctp -m sctp --chunk-types any NOSUCH", False),
    ("46", "-p sctp -m sctp --chunk-types any INIT", True),
    ("6", "-p tcp -m osf --genre Linux", False),
    ("46", "-m osf --genre Linux", False),
    ("6", "-m frag --fragmore --fraglast", False),
    ("6", "-m rt --rt-0-res", False),
    ("6", "-m rt --rt-type 0 --rt-0-res", True),
    ("6", "-m addrtype --dst-type BROADCAST", False),
    ("6", "-m addrtype --dst-type THROW", False),
    ("L", "-m limit --limit 5/sec --limit-burst 0", False),
    ("L", "-m limit --limit 5/sec --limit-burst 5", True),
    ("L", "-p tcp -j TCPMSS --set-mss 1400", False),
    ("L", "-p tcp --syn -j TCPMSS --set-mss 1400", True),
    ("L", "-j TRACE", False),
    ("46", "raw/PREROUTING -j CT --helper ftp", False),
    ("46", "raw/PREROUTING -p tcp -j CT --helper ftp", True),
    ("46", "-j CONNSECMARK --save", False),
    ("46", "mangle/INPUT -j CONNSECMARK --save", True),
    ("4", "mangle/PREROUTING -j NETMAP --to 10.1.0.0/16", False),
    ("4", "nat/PREROUTING -j NETMAP --to 10.1.0.0/16", True),
    ("46", "-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu", False),
    ("46", "mangle/FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu", True),
    ("46", "mangle/INPUT -j TCPOPTSTRIP --strip-options mss", False),
    ("46", "mangle/INPUT -p tcp -j TCPOPTSTRIP --strip-options nosuch", False),
    ("46", "mangle/INPUT -p tcp -j TCPOPTSTRIP --strip-options mss,30", True),
    ("6", "mangle/FORWARD -j SNPT --src-pfx fd00::/64 --dst-pfx 2001:db8::/64", False),
    ("6", "mangle/PREROUTING -j DNPT --src-pfx fd00::/64 --dst-pfx 2001:db8::/64", True),
)  # fmt: skip


def cases() -> list[tuple[int, bool, str, bool]]:
    """Return (family, legacy, dump, whether it loads)."""
    found = []
    for families, rule, loads in RULES:
        place, _, rest = rule.partition(" ")
        table, slash, chain = place.partition("/")
        if not slash:
            table, chain, rest = "filter", "INPUT", rule
        for family in "46" if families == "L" else families:
            text = f"*{table}\n-A {chain} {rest}\nCOMMIT\n"
            found.append((int(family), families == "L", text, loads))
    return found
