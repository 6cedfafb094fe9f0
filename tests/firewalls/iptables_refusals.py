"""Rules that iptables 1.8.11 refuses, and some beside them that it loads: (families, rule, loads).

`4` and `6` are the families of iptables-nft, `L` is iptables-legacy with both. A rule
stands in INPUT of *filter*, or in `TABLE/CHAIN ` if it begins with that; in a chain that CHAIN
jumps to if it is `TABLE/CHAIN> `. The set s4 is of the rule's family.
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
    ("46L", "-m time --weekdays Sa,Su", True),
    ("46", "-m time --weekdays Saxx,Mo1,0x1,8,", True),
    ("46L", "-m time --weekdays sat", False),
    ("46", "-m time --weekdays S", False),
    ("46", "-m time --weekdays 0", False),
    ("46", "-m time --weekdays Su,,Mo", False),
    ("46L", "-m time --monthdays 31", True),
    ("46L", "-m time --monthdays 32", False),
    ("46", "-m time --monthdays 1,,2,10th,31st,0,", True),
    ("46", "-m time --monthdays 1st", False),
    ("46", "-m time --monthdays 1-3", False),
    ("46", "-m time --monthdays 08", False),
    ("46L", "-m time --datestop 2038-12-31T23:59:59", True),
    ("46L", "-m time --datestop 2039-01-01", False),
    ("46", "-m time --datestart 1969-12-31", False),
    ("46", "-m time --datestart 2023-02-31", True),
    ("46", "-m time --datestart 2024-13-01", False),
    ("46", "-m time --datestart 2024-01-01T24:00", False),
    ("46", "-m time --datestart 2024-01-01T1:60", False),
    ("46", "-m time --datestart 2024-1-1T", True),
    ("46", "-m time --timestart 23: --timestop :1", True),
    ("46", "-m time --timestart 00:00:00:00", False),
    ("46L", f"-m comment --comment {'x' * 255} -j ACCEPT", True),
    ("46L", f"-m comment --comment {'x' * 256} -j ACCEPT", True),
    ("46L", f'-m comment --comment "{"x y" * 300}" -j ACCEPT', True),
    ("46L", "filter/INPUT -m addrtype --src-type UNICAST --limit-iface-out", False),
    ("46", "filter/INPUT> -m addrtype --src-type UNICAST --limit-iface-out", True),
    ("L", "filter/INPUT> -m addrtype --src-type UNICAST --limit-iface-out", False),
    ("46", "filter/OUTPUT> -m policy --dir in --pol none", True),
    ("L", "filter/OUTPUT> -m policy --dir in --pol none", False),
    ("46L", "filter/OUTPUT -m devgroup --src-group 1", False),
    ("46", "filter/OUTPUT> -m devgroup --src-group 1", True),
    ("L", "filter/OUTPUT> -m devgroup --src-group 1", False),
    ("46L", "raw/PREROUTING -m devgroup --dst-group 1", False),
    ("46", "mangle/INPUT> -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu", True),
    ("L", "mangle/INPUT> -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu", False),
    ("46L", "mangle/PREROUTING -m cgroup --cgroup 1", False),
    ("46L", "mangle/PREROUTING> -m cgroup --cgroup 1", False),
    ("46", "mangle/PREROUTING -j SET --map-set s4 src --map-mark", True),
    ("46L", "filter/FORWARD -j SET --map-set s4 src --map-mark", False),
    ("46L", "mangle/INPUT -j SET --map-set s4 src --map-prio", False),
    ("46", "mangle/INPUT> -j SET --map-set s4 src --map-prio", True),
    ("L", "mangle/INPUT> -j SET --map-set s4 src --map-prio", False),
    ("46L", "mangle/FORWARD -j SET --map-set s4 src --map-queue", True),
    ("46L", "mangle/FORWARD -j SET --map-set s4 src", False),
    ("46L", "filter/OUTPUT> -m mac --mac-source 00:11:22:33:44:55", False),
)  # fmt: skip


def cases() -> list[tuple[int, bool, str, bool]]:
    """Return (family, legacy, dump, whether it loads)."""
    found = []
    for families, rule, loads in RULES:
        place, _, rest = rule.partition(" ")
        table, slash, chain = place.partition("/")
        if not slash:
            table, chain, rest = "filter", "INPUT", rule
        text = f"*{table}\n-A {chain} {rest}\nCOMMIT\n"
        if chain.endswith(">"):
            text = f"*{table}\n:c1 - [0:0]\n-A {chain[:-1]} -j c1\n-A c1 {rest}\nCOMMIT\n"
        for letter in families:
            legacy = letter == "L"
            found += [(int(f), legacy, text, loads) for f in ("46" if legacy else letter)]
    return found
