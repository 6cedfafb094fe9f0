"""Which options each match and target of iptables takes, and with what arguments.

Facts from iptables-extensions(8) and iptables 1.8.11's extensions. A specification is a line of
words `name[!][*][+][=kind[:bounds]]`: `!` may be negated, `*` must be given, `+` may be repeated.
Kinds are those of `_KINDS`; `two` takes two arguments; a word without a kind takes none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import values
from sslint.values import dataclass

_PORTS = "source-port!=ports sport!=ports destination-port!=ports dport!=ports "
_XFRM = (
    "dir=text pol=text strict reqid!+=int spi!+=int tunnel-src!+=network tunnel-dst!+=network "
    "proto!+=protocol mode!+=text next+"
)

MATCHES = {
    "addrtype": "src-type!=text dst-type!=text limit-iface-in limit-iface-out",
    "bpf": "bytecode=text object-pinned=text",
    "cgroup": "cgroup!=int path!=text",
    "cluster": "cluster-total-nodes*=int:1-32 cluster-local-node!=int:1-32 "
    "cluster-local-nodemask!=int cluster-hash-seed*=int",
    "comment": "comment*=text",
    "connbytes": "connbytes!*=from64 connbytes-dir*=text connbytes-mode*=text",
    "connlabel": "label!*=text set",
    "connlimit": "connlimit-upto!=int connlimit-above!=int connlimit-mask=text connlimit-saddr "
    "connlimit-daddr",
    "connmark": "mark!*=mark",
    "conntrack": "ctstate!=text ctproto!=protocol ctorigsrc!=network ctorigdst!=network "
    "ctreplsrc!=network ctrepldst!=network ctstatus!=text ctexpire!=range32 "
    "ctorigsrcport!=ports ctorigdstport!=ports ctreplsrcport!=ports ctrepldstport!=ports "
    "ctdir=text",
    "cpu": "cpu!*=int",
    "dccp": _PORTS + "dccp-types!=text dccp-option!=int:1-255",
    "devgroup": "src-group!=text dst-group!=text",
    "dscp": "dscp!=int:0-63 dscp-class!=text",
    "ecn": "ecn-tcp-cwr! ecn-tcp-ece! ecn-ip-ect!=int:0-3",
    "esp": "espspi!=range32",
    "geoip": "source-country!=text src-cc!=text destination-country!=text dst-cc!=text",
    "hashlimit": "hashlimit-upto!=text hashlimit-above!=text hashlimit!=text "
    "hashlimit-srcmask=int:0-128 hashlimit-dstmask=int:0-128 hashlimit-burst=text "
    "hashlimit-htable-size=int hashlimit-htable-max=int hashlimit-htable-gcinterval=int "
    "hashlimit-htable-expire=int hashlimit-mode=text hashlimit-name*=text hashlimit-rate-match "
    "hashlimit-rate-interval=text",
    "helper": "helper!*=text",
    "ipcomp": "ipcompspi!=range32 compres",
    "iprange": "src-range!=text dst-range!=text",
    "ipvs": "ipvs! vproto!=protocol vaddr!=network vport!=port vdir=text vmethod!=text "
    "vportctl!=port",
    "length": "length!*=range16",
    "limit": "limit=text limit-burst=int:0-10000",
    "mac": "mac-source!*=mac",
    "mark": "mark!*=mark",
    "multiport": "source-ports!=text sports!=text destination-ports!=text dports!=text ports!=text",
    "nfacct": "nfacct-name*=text",
    "osf": "genre!*=text ttl=int:0-2 log=int:0-2",
    "owner": "uid-owner!=text gid-owner!=text pid-owner!=int sid-owner!=int cmd-owner!=text "
    "socket-exists! suppl-groups",
    "physdev": "physdev-in!=text physdev-out!=text physdev-is-in! physdev-is-out! "
    "physdev-is-bridged!",
    "pkttype": "pkt-type!*=text",
    "policy": _XFRM,
    "quota": "quota!*=int64",
    "rateest": "rateest1=text rateest=text rateest2=text rateest-bps1=text rateest-pps1=text "
    "rateest-bps2=text rateest-pps2=text rateest-bps=text rateest-pps=text rateest-delta "
    "rateest-lt! rateest-gt! rateest-eq!",
    "recent": "set! rcheck! update! remove! seconds=int:1-4294967295 reap hitcount=int rttl "
    "name=text rsource rdest mask=text",
    "rpfilter": "loose validmark accept-local invert",
    "sctp": _PORTS + "chunk-types!=two",
    "set": "match-set!=two set!=two return-nomatch update-counters! update-subcounters! "
    "packets-eq!=int64 packets-lt=int64 packets-gt=int64 bytes-eq!=int64 bytes-lt=int64 "
    "bytes-gt=int64",
    "socket": "transparent nowildcard restore-skmark",
    "state": "state!*=text",
    "statistic": "mode*=text probability!=text every!=int:1-4294967295 packet=int",
    "string": "from=int:0-65535 to=int:0-65535 algo*=text string!=text hex-string!=text icase",
    "tcp": _PORTS + "syn! tcp-flags!=two tcp-option!=int:1-255",
    "tcpmss": "mss!*=range16",
    "time": "datestart=text datestop=text timestart=text timestop=text contiguous weekdays!=text "
    "monthdays!=text localtz utc kerneltz",
    "tos": "tos!*=text",
    "u32": "u32!*=text",
    "udp": _PORTS,
}

MATCHES4 = {
    "ah": "ahspi!=range32",
    "icmp": "icmp-type!*=text",
    "realm": "realm!*=text",
    "ttl": "ttl-lt=int:0-255 ttl-gt=int:0-255 ttl-eq!=int:0-255 ttl=int:0-255",
}

MATCHES6 = {
    "ah": "ahspi!=range32 ahlen!=int ahres",
    "dst": "dst-len!=int dst-opts=text",
    "eui64": "",
    "frag": "fragid!=range32 fraglen!=int fragres fragfirst fragmore fraglast",
    "hbh": "hbh-len!=int hbh-opts=text",
    "hl": "hl-lt=int:0-255 hl-gt=int:0-255 hl-eq!=int:0-255 hl=int:0-255",
    "icmp6": "icmpv6-type!*=text",
    "ipv6header": "header!*=text soft",
    "mh": "mh-type!=text",
    "rt": "rt-type!=int rt-segsleft!=range32 rt-len!=int rt-0-res rt-0-addrs=text rt-0-not-strict",
    "srh": "srh-next-hdr!=int srh-hdr-len-eq!=int srh-hdr-len-gt!=int srh-hdr-len-lt!=int "
    "srh-segs-left-eq!=int srh-segs-left-gt!=int srh-segs-left-lt!=int srh-last-entry-eq!=int "
    "srh-last-entry-gt!=int srh-last-entry-lt!=int srh-tag!=int srh-psid!=network "
    "srh-nsid!=network srh-lsid!=network",
}

_MARK_BITS = "set-xmark=mark set-mark=mark and-mark=int or-mark=int xor-mark=int "

TARGETS = {
    "ACCEPT": "",
    "AUDIT": "type*=text",
    "CHECKSUM": "checksum-fill*",
    "CLASSIFY": "set-class*=text",
    "CONNMARK": _MARK_BITS + "save-mark restore-mark ctmask=int nfmask=int mask=int "
    "left-shift-mark=int:0-32 right-shift-mark=int:0-32",
    "CONNSECMARK": "save restore",
    "CT": "notrack helper=text timeout=text ctevents=text expevents=text zone-orig=text "
    "zone-reply=text zone=text",
    "DNAT": "to-destination*=text random persistent",
    "DROP": "",
    "DSCP": "set-dscp=int:0-63 set-dscp-class=text",
    "HMARK": "hmark-tuple=text hmark-src-prefix=text hmark-dst-prefix=text hmark-sport-mask=int "
    "hmark-dport-mask=int hmark-spi-mask=int hmark-sport=int hmark-dport=int hmark-spi=int "
    "hmark-proto-mask=int hmark-rnd=int hmark-mod*=int:1-4294967295 hmark-offset=int",
    "IDLETIMER": "timeout*=int label*=text alarm send_nl_msg",
    "LED": "led-trigger-id*=text led-delay=text led-always-blink",
    "LOG": "log-level=text log-prefix=text log-tcp-sequence log-tcp-options log-ip-options "
    "log-uid log-macdecode",
    "MARK": _MARK_BITS,
    "MASQUERADE": "to-ports=text random random-fully",
    "NETMAP": "to*=network",
    "NFLOG": "nflog-group=int:0-65535 nflog-prefix=text nflog-range=int nflog-size=int "
    "nflog-threshold=int:0-65535",
    "NFQUEUE": "queue-num=int:0-65535 queue-balance=range16 queue-bypass queue-cpu-fanout",
    "NOTRACK": "",
    "QUEUE": "",
    "RATEEST": "rateest-name*=text rateest-interval*=text rateest-ewmalog*=text",
    "REDIRECT": "to-ports=text random",
    "REJECT": "reject-with=text",
    "RETURN": "",
    "SECMARK": "selctx*=text",
    "SET": "add-set=two del-set=two exist timeout=int map-set=two map-mark map-prio map-queue",
    "SNAT": "to-source*=text random random-fully persistent",
    "SYNPROXY": "sack-perm timestamp wscale=int mss=int ecn",
    "TCPMSS": "set-mss=int:0-65535 clamp-mss-to-pmtu",
    "TCPOPTSTRIP": "strip-options=text",
    "TEE": "gateway*=text oif=text",
    "TOS": "set-tos=text and-tos=int:0-255 or-tos=int:0-255 xor-tos=int:0-255",
    "TPROXY": "on-port*=port on-ip=text tproxy-mark=mark",
    "TRACE": "",
}

TARGETS4 = {
    "CLUSTERIP": "new hashmode=text clustermac=mac total-nodes=int local-node=int hash-init=int",
    "ECN": "ecn-tcp-remove ecn-tcp-cwr=int:0-1 ecn-tcp-ece=int:0-1 ecn-ip-ect=int:0-3",
    "TTL": "ttl-set=int:0-255 ttl-dec=int:1-255 ttl-inc=int:1-255",
    "ULOG": "ulog-nlgroup=int:1-32 ulog-prefix=text ulog-cprange=int64 ulog-qthreshold=int",
}

TARGETS6 = {
    "DNPT": "src-pfx*=network dst-pfx*=network",
    "HL": "hl-set=int:0-255 hl-dec=int:1-255 hl-inc=int:1-255",
    "SNPT": "src-pfx*=network dst-pfx*=network",
}

# Extensions that are known to exist, from xtables-addons, OpenWrt and older kernels: they load
# where they are installed, and what they do is not modelled.
FOREIGN_TARGETS = frozenset(
    """
    ACCOUNT BALANCE CHAOS CONNATYPE DELUDE DHCPMAC DNETMAP ECHO FLOWOFFLOAD FULLCONENAT IMQ
    IPMARK LOGMARK MIRROR NFACCT PROTO RAWDNAT RAWSNAT ROUTE RTPENGINE SAME STEAL SYSRQ TARPIT
    XOR
    """.split()
)
FOREIGN_MATCHES = frozenset(
    """
    account asn childlevel condition connrate dhcpmac fuzzy geoip gradm iface ipp2p ipv4options
    layer7 length2 lscan mport ndpi nth pknock psd quota2 random timerange unclean web weburl
    """.split()
)

ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6", "ipv6-mh": "mh", "mobility-header": "mh"}

# Matches that need their protocol in the rule (`-p`, not negated).
PROTOCOLS = {
    "ah": (51,),
    "dccp": (33,),
    "esp": (50,),
    "icmp": (1,),
    "icmp6": (58,),
    "ipcomp": (108,),
    "mh": (135,),
    "multiport": (6, 17, 33, 132, 136),
    "osf": (6,),
    "sctp": (132,),
    "tcp": (6,),
    "tcpmss": (6,),
    "udp": (17,),
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a match or target."""

    name: str
    kind: str = ""
    low: int = 0
    high: int = values.ALL32
    negatable: bool = False
    required: bool = False
    repeatable: bool = False


@cache
def match_options(name: str, family: int) -> dict[str, Option] | None:
    """Return the options of a match by name, or None if no such match is known."""
    own = MATCHES4 if family == 4 else MATCHES6
    specification = MATCHES.get(name, own.get(name))
    return None if specification is None else _options(specification)


@cache
def target_options(name: str, family: int) -> dict[str, Option] | None:
    """Return the options of a target by name, or None if no such target is known."""
    own = TARGETS4 if family == 4 else TARGETS6
    specification = TARGETS.get(name, own.get(name))
    return None if specification is None else _options(specification)


def _options(specification: str) -> dict[str, Option]:
    options = {}
    for word in specification.split():
        marked, _, argument = word.partition("=")
        name = marked.rstrip("!*+")
        flags = marked[len(name) :]
        kind, _, bounds = argument.partition(":")
        low, _, high = bounds.partition("-")
        options[name] = Option(
            name,
            kind,
            int(low or 0),
            int(high or values.ALL32),
            "!" in flags,
            "*" in flags,
            "+" in flags,
        )
    return options


def argument(option: Option, text: str, family: int) -> object:
    """Read an option's argument. Raise RulesetError if the real option would refuse it."""
    try:
        return _KINDS[option.kind](option, text, family)
    except RulesetError as error:
        raise RulesetError(f"--{option.name}: {error.reason}") from None


_KINDS: dict[str, Callable[[Option, str, int], object]] = {
    "text": lambda option, text, family: text,
    "two": lambda option, text, family: text,
    "int": lambda option, text, family: values.integer(text, option.low, option.high),
    "int64": lambda option, text, family: values.integer(text, 0, 0xFFFFFFFFFFFFFFFF),
    "range16": lambda option, text, family: values.integer_range(text, 0xFFFF),
    "range32": lambda option, text, family: values.integer_range(text, values.ALL32),
    "from64": lambda option, text, family: values.integer_range(
        text if ":" in text else text + ":", 0xFFFFFFFFFFFFFFFF
    ),
    "mark": lambda option, text, family: values.masked(text),
    "network": lambda option, text, family: values.network(text, family),
    "protocol": lambda option, text, family: values.protocol(text),
    "port": lambda option, text, family: values.port(text),
    "ports": lambda option, text, family: values.port_range(text),
    "mac": lambda option, text, family: values.hardware_address(text),
}
