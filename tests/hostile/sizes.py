"""Trees below 1 MB that would cost much more than they weigh."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from tests import pki
from tests.hostile.registry import NGINX, POLICY_DROP, Ground, tree


def _served(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)


# -- sockets and server blocks --------------------------------------------------------------------


@tree
def listen_on_all_ports(g: Ground) -> None:
    g.nginx("server { listen 1-65535 ssl; }")


@tree
def listen_on_all_ports_of_many_addresses(g: Ground) -> None:
    lines = "".join(f"listen 10.0.{n >> 8}.{n & 255}:1-65535 ssl;\n" for n in range(1000))
    g.nginx(f"server {{ {lines} }}")
    g.nft("  tcp dport 443 accept")


@tree
def many_servers_on_one_socket(g: Ground) -> None:
    g.nginx(*(f"server {{ listen 443 ssl; server_name s{n}.example.org; }}" for n in range(15_000)))
    g.nft("  tcp dport 443 accept")


@tree
def many_servers_of_one_name(g: Ground) -> None:
    g.nginx(*("server { listen 443 ssl; server_name a b c; }" for _ in range(15_000)))


@tree
def many_names_of_one_server(g: Ground) -> None:
    names = " ".join(f"n{n}.example.org" for n in range(40_000))
    g.nginx(f"server {{ listen 443 ssl; server_name {names}; return 301 https://n1.example.org; }}")


@tree
def names_times_names_of_certificates(g: Ground) -> None:
    from tests import pki

    sans = tuple(f"s{n}.example.org" for n in range(8000))
    names = " ".join(f"n{n}.example.org" for n in range(8000))
    g.write("etc/ssl/a.pem", pki.pem(pki.leaf(sans)))
    g.write("etc/ssl/a.key", pki.key_pem("leaf"))
    g.nginx(
        f"server {{ listen 443 ssl; server_name {names};"
        " ssl_certificate /etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key; }"
    )


@tree
def one_certificate_without_its_key_for_many_servers(g: Ground) -> None:
    from tests import pki

    g.write("etc/ssl/a.pem", pki.pem(pki.leaf(("*.example.org",))))
    g.write("etc/ssl/a.key", pki.key_pem("other"))
    g.nginx(
        *(
            f"server {{ listen 443 ssl; server_name n{n}.example.net; ssl_certificate "
            "/etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key; }"
            for n in range(6000)
        )
    )


@tree
def redirects_of_many_servers_to_other_names(g: Ground) -> None:
    from tests import pki

    g.write("etc/ssl/a.pem", pki.pem(pki.leaf(("*.example.org",))))
    g.write("etc/ssl/a.key", pki.key_pem("leaf"))
    pair = "ssl_certificate /etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key;"
    g.nginx(
        f"server {{ listen 443 ssl; server_name a.example.org; {pair} }}",
        *(
            f"server {{ listen 80; server_name *.n{n}.example.org;"
            f" return 301 https://x{n}.example.com/; }}"
            for n in range(7000)
        ),
    )


@tree
def one_certificate_of_many_names_for_many_servers(g: Ground) -> None:
    from tests import pki

    sans = tuple(f"s{n}.example.org" for n in range(5000))
    g.write("etc/ssl/a.pem", pki.pem(pki.leaf(sans)))
    g.nginx(
        *(
            f"server {{ listen 443 ssl; server_name n{n}.example.org; ssl_certificate "
            "/etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key; }"
            for n in range(5000)
        )
    )


@tree
def many_redirects_and_locations(g: Ground) -> None:
    lines = "".join(
        f"location /l{n} {{ return 301 https://x{n}.example.org/; }}" for n in range(14_000)
    )
    g.nginx(f"server {{ listen 80; {lines} }}", "server { listen 443 ssl; }")


@tree
def many_upstreams(g: Ground) -> None:
    ups = "".join(f"upstream u{n} {{ server 10.0.0.1:{n + 1}; }}\n" for n in range(6000))
    g.nginx(
        *(
            f"server {{ listen 80; location / {{ proxy_pass https://u{n}; }} }}"
            for n in range(6000)
        ),
        more=ups,
    )


@tree
def many_ports_of_master_cf(g: Ground) -> None:
    g.write("etc/postfix/main.cf", "myhostname = a\ninet_interfaces = all\n")
    lines = (
        f"{n} inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=yes\n" for n in range(1, 14_000)
    )
    g.write("etc/postfix/master.cf", "".join(lines))


@tree
def many_addresses_of_postfix(g: Ground) -> None:
    addresses = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(30_000))
    g.write("etc/postfix/main.cf", f"inet_interfaces = {addresses}\n")
    g.write("etc/postfix/master.cf", "smtp inet n - y - - smtpd\n465 inet n - y - - smtpd\n" * 40)


@tree
def many_listeners_of_dovecot(g: Ground) -> None:
    inner = "".join(
        f"inet_listener a{n} {{\nport = {n + 1}\nssl = yes\n}}\n" for n in range(15_000)
    )
    g.write("etc/dovecot/dovecot.conf", f"protocols = imap\nservice imap-login {{\n{inner}}}\n")


@tree
def many_addresses_of_dovecot(g: Ground) -> None:
    addresses = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(30_000))
    g.write("etc/dovecot/dovecot.conf", f"protocols = imap pop3\nlisten = {addresses}\nssl = yes\n")


@tree
def ports_of_docker(g: Ground) -> None:
    _served(g)
    lines = "".join(f"      - 10.0.{n >> 8}.{n & 255}:1-65535:1-65535\n" for n in range(3000))
    g.write("compose.yaml", f"services:\n  a:\n    ports:\n{lines}")


@tree
def ports_of_haproxy(g: Ground) -> None:
    g.write("etc/haproxy/haproxy.cfg", "frontend a\n" + " bind 10.0.0.1:1-65535 ssl crt x\n" * 5000)


@tree
def ports_of_apache(g: Ground) -> None:
    g.write("etc/apache2/apache2.conf", "".join(f"Listen {n}\n" for n in range(1, 65_000)))


@tree
def includes_of_apache(g: Ground) -> None:
    g.write("etc/apache2/apache2.conf", "Include /etc/apache2/*.conf\n" * 300)
    for n in range(30):
        g.write(f"etc/apache2/a{n}.conf", "Include /etc/apache2/b*.conf\n" * 100)
        g.write(f"etc/apache2/b{n}.conf", "Listen 443 https\n" * 100)


@tree
def hosts_of_apache(g: Ground) -> None:
    modules = "".join(f"LoadModule {n}_module x\n" for n in ("mpm_event", "ssl", "authz_core"))
    lines = f"{modules}Listen 80\nListen 443\nSSLCertificateFile all.pem\n"
    for n in range(10_000):
        names = f"ServerName s{n}.example.org\nServerAlias w*.s{n}.example.org s{n}.*\n"
        lines += (
            f"<VirtualHost *:80>\n{names}Redirect / https://s{n}.example.org/\n</VirtualHost>\n"
        )
        lines += f"<VirtualHost *:443>\n{names}SSLEngine on\n</VirtualHost>\n"
    g.write("etc/apache2/apache2.conf", lines)
    g.write("etc/apache2/all.pem", pki.pem(pki.leaf(("*.example.org",))))


@tree
def ports_of_systemd(g: Ground) -> None:
    _served(g)
    for n in range(300):
        g.write(f"etc/systemd/system/a{n}.socket", "[Socket]\n" + "ListenStream=1\n" * 100)


# -- regular expressions --------------------------------------------------------------------------


def _name_patterns() -> dict[str, str]:
    return {
        "nested_repeats": "^(a+)+$",
        "alternatives_that_overlap": "^(a|a)*$",
        "many_repeats": "^" + ".*a" * 30 + "b$",
        "optional_parts": "^" + "a?" * 60 + "a" * 60 + "$",
        "counted_repeats": "^((a{1,50}){1,50}){1,50}b$",
        "a_backreference": r"^(a+)+\1*b$",
        "lookahead": "^(?=(a+)+b)a",
        "an_immense_pattern": "^" + "(a|b)" * 20_000 + "$",
        "deep_parentheses": "^" + "(" * 5000 + "a" + ")" * 5000 + "$",
        "an_immense_count": "^(a{60000}){60000}$",
    }


for _name, _pattern in _name_patterns().items():

    def _maker(g: Ground, pattern: str = _pattern) -> None:
        long = "a" * 250
        g.nginx(
            f'server {{ listen 443 ssl; server_name "~{pattern}"; }}',
            f'server {{ listen 443 ssl; server_name {long}; location ~ "{pattern}" {{ return 301 '
            f"https://{long}$request_uri; }} }}",
            f'server {{ listen 80; server_name {long}; rewrite "{pattern}" https://{long}/ permanent;'
            f' if ($host ~ "{pattern}") {{ return 301 https://{long}; }} }}',
        )
        g.write(
            "zone", f"$ORIGIN example.org.\n@ IN SOA a b 1 1 1 1 1\n{long[:60]} IN A 192.0.2.1\n"
        )

    _maker.__name__ = f"nginx_regular_expression_with_{_name}"
    tree(_maker)

    def _ruled(g: Ground, pattern: str = _pattern) -> None:
        g.nginx(f"server {{ listen 443 ssl; server_name {'a' * 250}; }}")
        g.write(".sslint.yaml", "rules: [r.yaml]\n")
        quoted = pattern.replace("'", "''")
        g.write(
            "r.yaml",
            "name: my-rule\nseverity: info\nsummary: x\neach: site\nmessage: x\nwhy: x\n"
            f"match: {{names: {{any: {{matches: '{quoted}'}}}}}}\n",
        )

    _ruled.__name__ = f"rule_with_{_name}"
    tree(_ruled)


def _text(name: str, path: str, text: Callable[[], str], more: str = NGINX) -> None:
    def maker(g: Ground) -> None:
        g.write("etc/nginx/nginx.conf", more)
        g.write("etc/nftables.conf", "flush ruleset\n")
        g.write(path, text())

    maker.__name__ = name
    tree(maker)


ALL = 900_000
for _path in (
    "etc/nginx/nginx.conf",
    "etc/dovecot/dovecot.conf",
    "etc/postfix/main.cf",
    "etc/postfix/master.cf",
    "etc/nftables.conf",
    "etc/iptables/rules.v4",
    "etc/iptables/ipsets",
    "etc/ufw/user.rules",
    "etc/firewalld/zones/public.xml",
    "etc/network/interfaces",
    "etc/bind/named.conf",
    "etc/nsd/nsd.conf",
    "etc/unbound/unbound.conf",
    "etc/letsencrypt/renewal/a.conf",
    "etc/letsencrypt/renewal-hooks/deploy/a",
    "etc/rc.local",
    "etc/systemd/system/nginx.service",
    "etc/haproxy/haproxy.cfg",
    "etc/apache2/apache2.conf",
    "etc/caddy/Caddyfile",
    "etc/exim4/exim4.conf",
    "etc/ssl/certs/a.pem",
    "etc/os-release",
    "etc/default/grub",
    "etc/sysctl.conf",
    "compose.yaml",
    ".sslint.yaml",
):
    _slug = _path.replace("/", "_").replace(".", "_")
    _text(f"blank_lines_as_{_slug}", _path, lambda: "\n" * ALL)
    _text(f"one_long_line_as_{_slug}", _path, lambda: "a " * (ALL // 2))
    _text(f"spaces_and_backslashes_as_{_slug}", _path, lambda: (" " * 60 + "\\\n") * (ALL // 62))
    _text(f"braces_as_{_slug}", _path, lambda: "a {\n" * (ALL // 4))
    _text(f"tabs_as_{_slug}", _path, lambda: "\t" * ALL + "x")


@tree
def zone_of_blank_lines(g: Ground) -> Sequence[str]:
    _served(g)
    g.write("zone", "$ORIGIN example.org.\n" + "\n" * ALL)
    return ["check", str(g.root), "--announced", str(g.root / "zone")]


@tree
def zone_of_many_records(g: Ground) -> Sequence[str]:
    _served(g)
    lines = "".join(f"n{n} IN A 192.0.2.{n % 256}\n" for n in range(35_000))
    g.write("zone", f"$ORIGIN example.org.\n@ IN SOA a b 1 1 1 1 1\n{lines}")
    return ["check", str(g.root), "--announced", str(g.root / "zone")]


@tree
def zone_of_many_mail_servers(g: Ground) -> Sequence[str]:
    _served(g)
    lines = "".join(
        f"@ IN MX 1 n{n}\nn{n} IN A 192.0.2.1\nn{n} IN CNAME n{n + 1}\n" for n in range(9000)
    )
    g.write("zone", f"$ORIGIN example.org.\n@ IN SOA a b 1 1 1 1 1\n{lines}")
    return ["check", str(g.root), "--announced", str(g.root / "zone"), "--host-ip", "192.0.2.1"]


@tree
def zone_of_aliases(g: Ground) -> Sequence[str]:
    _served(g)
    lines = "".join(
        f"n{n} IN CNAME n{n + 1}\n_443._tcp.n{n} IN TLSA 3 1 1 00\n" for n in range(14_000)
    )
    g.write("zone", f"$ORIGIN example.org.\n@ IN SOA a b 1 1 1 1 1\n{lines}")
    return ["check", str(g.root), "--announced", str(g.root / "zone"), "--host-ip", "192.0.2.1"]


@tree
def zone_that_generates(g: Ground) -> Sequence[str]:
    _served(g)
    lines = "$GENERATE 1-4294967295 n$ A 192.0.2.1\n" * 20_000
    g.write("zone", f"$ORIGIN example.org.\n@ IN SOA a b 1 1 1 1 1\n{lines}")
    return ["check", str(g.root), "--announced", str(g.root / "zone")]


@tree
def zone_with_parentheses(g: Ground) -> Sequence[str]:
    _served(g)
    g.write("zone", "$ORIGIN example.org.\n@ IN SOA a b 1 1 1 1 1\n@ IN TXT (" + '"a"\n' * 200_000)
    return ["check", str(g.root), "--announced", str(g.root / "zone")]


_text(
    "named_conf_of_many_zones",
    "etc/bind/named.conf",
    lambda: "".join(f'zone "z{n}.org" {{ type master; file "f"; }};\n' for n in range(20_000)),
)
_text(
    "named_conf_of_nested_braces",
    "etc/bind/named.conf",
    lambda: 'zone "a" { x { ' * 40_000,
)
_text(
    "named_conf_of_comments",
    "etc/bind/named.conf",
    lambda: "/* " * 200_000,
)
_text(
    "nginx_comments_and_quotes",
    "etc/nginx/sites-enabled/a",
    lambda: "'\"#" * 300_000,
    "events {}\nhttp { include sites-enabled/*; }\n",
)

# -- rulesets -------------------------------------------------------------------------------------


def _dump(*lines: str, chains: str = "") -> str:
    return (
        "*filter\n:INPUT DROP [0:0]\n"
        + chains
        + "".join(f"{line}\n" for line in lines)
        + "COMMIT\n"
    )


_text(
    "iptables_inserts",
    "etc/iptables/rules.v4",
    lambda: _dump(
        *(f"-I INPUT -s 10.{n >> 8 & 255}.{n & 255}.0/24 -j DROP" for n in range(22_000))
    ),
)
_text(
    "iptables_deletes",
    "etc/iptables/rules.v4",
    lambda: _dump(
        *(f"-A INPUT -s 10.0.{n >> 8 & 255}.{n & 255} -j DROP" for n in range(10_000)),
        *("-D INPUT 1" for _ in range(9_000)),
        *(f"-D INPUT -s 10.0.{n >> 8 & 255}.{n & 255} -j DROP" for n in range(9_999, 9_000, -1)),
    ),
)
_text(
    "iptables_many_chains",
    "etc/iptables/rules.v4",
    lambda: _dump(
        *(f"-A c{n} -j c{n + 1}" for n in range(15_000)),
        "-A INPUT -j c0",
        chains="".join(f":c{n} - [0:0]\n" for n in range(15_001)),
    ),
)


def _diamonds(count: int) -> str:
    rules = []
    for n in range(count):
        rules += [
            f"-A c{n} -s 10.{n}.0.0/16 -j c{n + 1}",
            f"-A c{n} -d 10.0.{n}.0/24 -j c{n + 1}",
            f"-A c{n} -m mark --mark {n} -j c{n + 1}",
            f"-A c{n} -j c{n + 1}",
        ]
    chains = "".join(f":c{n} - [0:0]\n" for n in range(count + 1))
    return _dump(
        *rules, "-A INPUT -j c0", f"-A c{count} -p tcp --dport 443 -j ACCEPT", chains=chains
    )


_text("iptables_diamonds", "etc/iptables/rules.v4", lambda: _diamonds(200))
_text(
    "iptables_marks",
    "etc/iptables/rules.v4",
    lambda: _dump(
        *(
            f"-A INPUT -s 10.{n >> 8 & 255}.{n & 255}.0/24 -m mark --mark {n} -j ACCEPT"
            for n in range(10_000)
        )
    ),
)
_text(
    "iptables_sets_of_marks",
    "etc/iptables/rules.v4",
    lambda: (
        "*mangle\n:PREROUTING ACCEPT [0:0]\n"
        + "".join(
            f"-A PREROUTING -s 10.{n >> 8 & 255}.{n & 255}.0/24 -j MARK --set-xmark {n}/{n}\n"
            for n in range(8000)
        )
        + "COMMIT\n"
        + _dump(*(f"-A INPUT -m mark --mark {n} -j ACCEPT" for n in range(8000)))
    ),
)
_text(
    "iptables_addresses_with_gaps",
    "etc/iptables/rules.v4",
    lambda: _dump(
        *(
            f"-A INPUT -s {n % 223 + 1}.{n >> 8 & 255}.{n & 255}.1/255.0.255.0 -j ACCEPT"
            for n in range(8000)
        )
    ),
)
_text(
    "iptables_multiports",
    "etc/iptables/rules.v4",
    lambda: _dump(
        *(
            f"-A INPUT -p tcp -m multiport --dports {','.join(str(p) for p in range(n, n + 15))}"
            " -j ACCEPT"
            for n in range(1, 8000)
        )
    ),
)


def _nft_rules(*rules: str) -> str:
    return POLICY_DROP % "\n".join(rules)


_text(
    "nft_many_rules",
    "etc/nftables.conf",
    lambda: _nft_rules(
        *(
            f"ip saddr 10.{n >> 8 & 255}.{n & 255}.0/24 tcp dport {n + 1} accept"
            for n in range(15_000)
        )
    ),
)


def _nft_diamonds(count: int) -> str:
    chains = "".join(
        f"chain c{n} {{\n ip saddr 10.{n}.0.0/16 jump c{n + 1}\n meta mark {n} jump c{n + 1}\n"
        f" jump c{n + 1}\n}}\n"
        for n in range(count)
    )
    return (
        f"table inet f {{\nchain c{count} {{ tcp dport 443 accept; }}\n{chains}"
        "chain i { type filter hook input priority 0; policy drop;\n jump c0\n}\n}\n"
    )


_text("nft_diamonds", "etc/nftables.conf", lambda: _nft_diamonds(14))
_text("nft_long_jumps", "etc/nftables.conf", lambda: _nft_diamonds(3000))
_text(
    "nft_set_of_intervals",
    "etc/nftables.conf",
    lambda: (
        "table inet f { set s { type ipv4_addr; flags interval; elements = { "
        + ", ".join(
            f"{n >> 14 & 255 | 1}.{n >> 6 & 255}.{n << 2 & 255}.0/25" for n in range(30_000)
        )
        + " } }\n chain i { type filter hook input priority 0; policy drop;\n ip saddr @s accept\n} }\n"
    ),
)
_text(
    "nft_set_of_concatenations",
    "etc/nftables.conf",
    lambda: (
        "table inet f { set s { type ipv4_addr . inet_service; flags interval; elements = { "
        + ", ".join(
            f"{n % 200 + 1}.{n >> 8 & 255}.0.0/16 . {n + 1}-{n + 5000}" for n in range(15_000)
        )
        + " } }\n chain i { type filter hook input priority 0; policy drop;\n"
        " ip saddr . tcp dport @s accept\n} }\n"
    ),
)
_text(
    "nft_vmap_of_jumps",
    "etc/nftables.conf",
    lambda: (
        "table inet f {\n"
        + "".join(
            f"chain c{n} {{ ip saddr 10.{n >> 8}.{n & 255}.0/24 accept; }}\n" for n in range(6000)
        )
        + "chain i { type filter hook input priority 0; policy drop;\n ip saddr vmap { "
        + ", ".join(f"20.{n >> 8}.{n & 255}.0/24 : jump c{n}" for n in range(6000))
        + " }\n} }\n"
    ),
)
_text(
    "nft_defines_that_double",
    "etc/nftables.conf",
    lambda: (
        "define a0 = { 1.2.3.4, 5.6.7.8 }\n"
        + "".join(f"define a{n} = {{ $a{n - 1}, $a{n - 1} }}\n" for n in range(1, 60))
        + _nft_rules("ip saddr $a59 accept")
    ),
)
_text(
    "nft_intervals_that_cover_each_other",
    "etc/nftables.conf",
    lambda: _nft_rules(
        "ip saddr { "
        + ", ".join(f"0.0.0.{n & 255}-255.{n >> 8}.0.0" for n in range(25_000))
        + " } accept"
    ),
)
_text(
    "nft_nested_blocks",
    "etc/nftables.conf",
    lambda: "table inet f { chain i { " * 30_000,
)
_text(
    "nft_expressions_that_nest",
    "etc/nftables.conf",
    lambda: _nft_rules("meta mark " + "(" * 100_000 + "1" + ")" * 100_000 + " accept"),
)
_text(
    "nft_long_binary_expression",
    "etc/nftables.conf",
    lambda: _nft_rules("meta mark " + "1 | " * 150_000 + "1 accept"),
)
_text(
    "nft_many_tables_and_hooks",
    "etc/nftables.conf",
    lambda: "".join(
        f"table inet t{n} {{ chain i {{ type filter hook input priority {n}; policy accept;"
        f" ip saddr 10.{n >> 8}.{n & 255}.0/24 drop; }}; }}\n"
        for n in range(5000)
    ),
)
_text(
    "nft_marks_and_states",
    "etc/nftables.conf",
    lambda: _nft_rules(
        *(
            f"ip saddr 10.{n >> 8 & 255}.{n & 255}.0/24 meta mark set meta mark | {1 << n % 32}"
            for n in range(5000)
        ),
        *(f"meta mark & {1 << n} == 0 drop" for n in range(32)),
    ),
)
_text(
    "nft_elements_added_one_by_one",
    "etc/nftables.conf",
    lambda: (
        "table inet f { set s { type ipv4_addr; }; }\n"
        + "".join(
            f"add element inet f s {{ 10.{n >> 16}.{n >> 8 & 255}.{n & 255} }}\n"
            for n in range(18_000)
        )
    ),
)
_text(
    "nft_rules_inserted_one_by_one",
    "etc/nftables.conf",
    lambda: (
        "table inet f { chain i { type filter hook input priority 0; policy drop; }; }\n"
        + "".join(
            f"insert rule inet f i ip saddr 10.{n >> 16}.{n >> 8 & 255}.{n & 255} drop\n"
            for n in range(14_000)
        )
    ),
)
_text(
    "ipset_of_many_networks",
    "etc/iptables/ipsets",
    lambda: (
        "create s hash:net\n"
        + "".join(f"add s {n % 223 + 1}.{n >> 8 & 255}.{n & 255}.0/25\n" for n in range(40_000))
    ),
)
_text(
    "ipset_of_sets_of_sets",
    "etc/iptables/ipsets",
    lambda: "".join(
        f"create s{n} list:set\nadd s{n} s{n - 1}\nadd s{n} s{n - 1}\n" for n in range(15_000)
    ),
)
_text(
    "ipset_of_ranges",
    "etc/iptables/ipsets",
    lambda: "create s hash:ip,port\n" + "add s 0.0.0.1-255.255.255.254,tcp:1-65535\n" * 15_000,
)
_text(
    "ipset_bitmaps",
    "etc/iptables/ipsets",
    lambda: "".join(
        f"create b{n} bitmap:ip range 0.0.0.0-255.255.255.255\nadd b{n} 0.0.0.0-9.9.9.9\n"
        for n in range(10_000)
    ),
)
_text(
    "ufw_many_rules",
    "etc/ufw/user.rules",
    lambda: (
        "*filter\n:ufw-user-input - [0:0]\n"
        + "".join(
            f"-A ufw-user-input -p tcp --dport {n + 1} -s 10.0.{n >> 8 & 255}.{n & 255} -j ACCEPT\n"
            for n in range(13_000)
        )
        + "COMMIT\n"
    ),
)


@tree
def firewalld_zones_times_policies(g: Ground) -> None:
    _served(g)
    for n in range(1200):
        source = f"10.{n >> 8}.{n & 255}.0/24"
        g.write(
            f"etc/firewalld/zones/z{n}.xml",
            f'<zone><source address="{source}"/><service name="http"/></zone>',
        )
        g.write(
            f"etc/firewalld/policies/p{n}.xml",
            '<policy><ingress-zone name="ANY"/><egress-zone name="HOST"/></policy>',
        )


@tree
def firewalld_services_that_include_each_other(g: Ground) -> None:
    _served(g)
    for n in range(1500):
        g.write(
            f"etc/firewalld/services/s{n}.xml",
            f'<service><include service="s{n + 1}"/><include service="s{n + 2}"/>'
            f'<port port="{n + 1}" protocol="tcp"/></service>',
        )
    g.write("etc/firewalld/zones/public.xml", '<zone><service name="s0"/></zone>')


@tree
def firewalld_rich_rules(g: Ground) -> None:
    _served(g)
    rules = "".join(
        f'<rule priority="{n % 32767}"><source address="10.{n >> 8 & 255}.{n & 255}.0/24"/>'
        f'<port port="{n + 1}" protocol="tcp"/><accept/></rule>'
        for n in range(7000)
    )
    g.write("etc/firewalld/zones/public.xml", f"<zone>{rules}</zone>")


# -- expansions, includes and globs ---------------------------------------------------------------


@tree
def postfix_variables_that_double(g: Ground) -> None:
    lines = "".join(f"a{n} = $a{n + 1}$a{n + 1}\n" for n in range(60))
    g.write("etc/postfix/main.cf", lines + "a60 = x\ninet_interfaces = $a0\nmyhostname = $a0\n")
    g.write("etc/postfix/master.cf", "smtp inet n - y - - smtpd -o myhostname=$a0\n")


@tree
def postfix_conditions_that_nest(g: Ground) -> None:
    nested = "${a?{" * 30_000 + "x" + "}}" * 30_000
    g.write("etc/postfix/main.cf", f"a = b\ninet_interfaces = {nested}\n")
    g.write("etc/postfix/master.cf", "smtp inet n - y - - smtpd\n")


@tree
def nginx_variables_that_double(g: Ground) -> None:
    lines = "".join(f"set $a{n} $a{n - 1}$a{n - 1};" for n in range(1, 60))
    g.nginx(f"server {{ listen 80; set $a0 https://x; {lines} return 301 $a59; }}")


@tree
def nginx_variables_that_double_before_a_challenge(g: Ground) -> None:
    lines = "".join(f"set $a{n} $a{n - 1}$a{n - 1};" for n in range(1, 60))
    g.nginx(
        f"server {{ listen 80; server_name a.example.org; set $a0 $host; {lines}"
        " location / { root /srv$a59; try_files $a59 $uri; } }",
        "server { listen 443 ssl; server_name a.example.org; ssl_certificate"
        " /etc/letsencrypt/live/a/fullchain.pem; }",
    )
    g.write(
        "etc/letsencrypt/renewal/a.conf",
        "[renewalparams]\nauthenticator = webroot\n[[webroot_map]]\na.example.org = /srv\n",
    )


@tree
def nginx_maps_that_double(g: Ground) -> None:
    maps = "".join(f"map $host $m{n} {{ default $m{n - 1}$m{n - 1}; }}\n" for n in range(1, 60))
    g.nginx(
        "server { listen 80; return 301 https://$m59/; }",
        more=f"map $host $m0 {{ default a; }}{maps}",
    )


@tree
def nginx_captures_that_double(g: Ground) -> None:
    lines = "".join("rewrite ^(.*)(.*)$ $1$1$1$1$1$1$1$1;" for _ in range(2000))
    g.nginx(
        f"server {{ listen 80; {lines} return 301 https://a$uri; }}", "server { listen 443 ssl; }"
    )


@tree
def nginx_rewrites_in_a_circle(g: Ground) -> None:
    lines = "".join(f"location /l{n} {{ rewrite ^ /l{n + 1} last; }}" for n in range(8000))
    g.nginx(f"server {{ listen 80; {lines} rewrite ^ /l0; }}", "server { listen 443 ssl; }")


@tree
def dovecot_variables_that_double(g: Ground) -> None:
    lines = "".join(f"a{n} = $a{n - 1} $a{n - 1}\n" for n in range(1, 60))
    g.write("etc/dovecot/dovecot.conf", f"a0 = imap\n{lines}protocols = $a59\nlisten = $a59\n")


@tree
def nginx_includes_itself_by_a_pattern(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", "events {}\nhttp { include /etc/nginx/*.conf; }\n")
    for n in range(20):
        g.write(f"etc/nginx/a{n}.conf", "include /etc/nginx/*.conf;\n" * 100)


@tree
def includes_of_all_kinds_in_circles(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", "events {}\nhttp { include nginx.conf; include nginx.conf; }\n")
    g.write("etc/nftables.conf", 'include "/etc/nftables.conf"\n' * 1000)
    g.write("etc/dovecot/dovecot.conf", "!include dovecot.conf\n" * 1000)
    g.write("etc/network/interfaces", "source /etc/network/interfaces\n" * 1000)
    g.write("etc/apache2/apache2.conf", "Include /etc/apache2/*\n" * 1000)
    g.write("etc/bind/named.conf", 'include "/etc/bind/named.conf";\n' * 1000)
    g.write("etc/caddy/Caddyfile", "import /etc/caddy/*\n" * 1000)
    g.write("etc/exim4/exim4.conf", ".include /etc/exim4/exim4.conf\n" * 1000)
    g.write("etc/unbound/unbound.conf", "include: /etc/unbound/*\n" * 1000)
    g.write("etc/sysctl.conf", "")


@tree
def many_includes_of_one_file(g: Ground) -> None:
    g.nginx(more="include /etc/nginx/sites-enabled/a;\n" * 20_000)
    g.write("etc/nginx/sites-enabled/a", "server { listen 443 ssl; server_name a; }\n" * 20)


@tree
def many_includes_of_one_file_in_dovecot(g: Ground) -> None:
    g.write("etc/dovecot/dovecot.conf", "!include a.conf\n" * 40_000)
    g.write("etc/dovecot/a.conf", "protocols = imap\n" * 500)


@tree
def many_includes_of_one_file_in_nft(g: Ground) -> None:
    g.write("etc/nftables.conf", 'include "/etc/a.nft"\n' * 30_000)
    g.write("etc/a.nft", "flush ruleset\n" * 500)


@tree
def links_to_here_in_a_pattern(g: Ground) -> None:
    pattern = "/".join("*" * 8)
    for path in ("etc/nginx/d", "etc/dovecot/d", "etc/network/d"):
        for n in range(40):
            g.link(f"{path}/l{n}", ".")
        g.write(f"{path}/a.conf", "")
    g.nginx(more=f"include d/{pattern}/*.conf;")
    g.write("etc/dovecot/dovecot.conf", f"protocols = imap\n!include d/{pattern}/*.conf\n")
    g.write("etc/nftables.conf", f'include "/etc/nginx/d/{pattern}/*.conf"\n')
    g.write("etc/network/interfaces", f"source d/{pattern}/*.conf\n")


@tree
def braces_in_a_pattern(g: Ground) -> None:
    g.write(
        "etc/dovecot/dovecot.conf",
        "protocols = imap\n!include "
        + "{a,b}" * 5000
        + "\n!include "
        + "{" * 100_000
        + "\n!include "
        + "{a," * 20_000
        + "}" * 20_000
        + "\n",
    )


@tree
def stars_in_a_pattern(g: Ground) -> None:
    stars = "*a" * 100
    g.nginx(more=f"include d/{stars}b; include d/{'*' * 100_000}b; include d/{'[a-' * 50_000};")
    for n in range(50):
        g.write(f"etc/nginx/d/{'a' * 240}{n}", "")


@tree
def many_empty_files(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*;")
    for n in range(5000):
        g.write(f"etc/nginx/sites-enabled/{n}", "")


@tree
def many_directories(g: Ground) -> None:
    for n in range(3000):
        (g.root / f"etc/systemd/system/a{n}.service.d").mkdir(parents=True)
        (g.root / f"h{n}").mkdir()
    _served(g)


@tree
def deep_directories(g: Ground) -> None:
    _served(g)
    place = os.getcwd()
    os.chdir(g.root / "etc/nginx")
    name = "d" * 30
    for _ in range(200):
        os.mkdir(name)
        os.chdir(name)
    os.chdir(place)
    g.write("etc/nftables.conf", f'include "/etc/nginx/{f"{name}/" * 200}x"\n')


@tree
def many_links(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*;")
    for n in range(60):
        g.link(f"etc/nginx/sites-enabled/l{n}", f"l{n + 1}")
    g.write("etc/nginx/sites-enabled/l60", "server { listen 8443 ssl; }\n")


@tree
def many_hosts(g: Ground) -> None:
    for n in range(200):
        g.write(f"h{n}/etc/nginx/nginx.conf", NGINX)


@tree
def many_hosts_of_the_configuration(g: Ground) -> None:
    _served(g)
    g.write(".sslint.yaml", "hosts:\n" + "".join(f"  h{n}: {{root: .}}\n" for n in range(2000)))


@tree
def yaml_aliases_that_double(g: Ground) -> None:
    _served(g)
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    for path in (".sslint.yaml", "compose.yaml", "etc/netplan/a.yaml"):
        g.write(path, "\n".join(lines) + "\n")


@tree
def yaml_of_many_keys(g: Ground) -> None:
    _served(g)
    g.write(".sslint.yaml", "".join(f"k{n}: x\n" for n in range(60_000)))


@tree
def compose_of_many_services(g: Ground) -> None:
    _served(g)
    lines = "".join(f"  s{n}: {{ports: ['{n + 1}:443']}}\n" for n in range(8000))
    g.write("compose.yaml", f"services:\n{lines}")


@tree
def intent_of_many_networks(g: Ground) -> None:
    g.nginx("server { listen 443 ssl; }")
    g.nft("  ip saddr 10.0.0.0/8 accept")
    networks = "".join(f"  n{n}: [10.{n >> 8}.{n & 255}.0/24]\n" for n in range(8000))
    g.write(".sslint.yaml", f"networks:\n{networks}expose:\n  443/tcp: [n1]\n")


@tree
def ignores_by_the_thousand(g: Ground) -> None:
    lines = "# sslint: ignore[tls-port-closed, a, b, c]\n" * 18_000
    g.nginx(f"server {{ listen 443 ssl;\n{lines} }}")


@tree
def hooks_of_a_shell_that_repeat(g: Ground) -> None:
    _served(g)
    text = "#!/bin/sh\n" + "if true; then systemctl reload nginx && " * 10_000 + "\n"
    g.write("etc/letsencrypt/renewal-hooks/deploy/a", text)
    g.write("etc/letsencrypt/renewal-hooks/deploy/b", "#!/bin/sh\n" + "$(" * 100_000)
    g.write("etc/letsencrypt/renewal-hooks/deploy/c", "#!/bin/sh\n" + "a='" * 100_000)
    g.write("etc/letsencrypt/renewal/x.conf", "[renewalparams]\nauthenticator = nginx\n")
    g.write("etc/network/if-up.d/x", "#!/bin/sh\n" + "iptables -A INPUT -j DROP; " * 15_000)


@tree
def scripts_of_many_commands(g: Ground) -> None:
    _served(g)
    lines = "".join(f"iptables -A INPUT -p tcp --dport {n + 1} -j ACCEPT\n" for n in range(15_000))
    g.write("etc/rc.local", f"#!/bin/sh\n{lines}")


@tree
def lineages_by_the_thousand(g: Ground) -> None:
    _served(g)
    for n in range(2000):
        g.write(
            f"etc/letsencrypt/renewal/l{n}.conf",
            f"cert = /etc/letsencrypt/live/l{n}/cert.pem\n[renewalparams]\nauthenticator = nginx\n",
        )


@tree
def interfaces_by_the_thousand(g: Ground) -> None:
    _served(g)
    lines = "".join(
        f"auto e{n}\niface e{n} inet static\n address 10.{n >> 8 & 255}.{n & 255}.1/24\n"
        for n in range(9000)
    )
    g.write("etc/network/interfaces", lines)
    g.nft(" iifname e1 tcp dport 443 accept")


@tree
def packages_by_the_thousand(g: Ground) -> None:
    _served(g)
    g.write(
        "var/lib/dpkg/status",
        "".join(
            f"Package: p{n}\nStatus: install ok installed\nVersion: 1\n\n" for n in range(14_000)
        ),
    )


@tree
def certificates_in_one_file(g: Ground) -> None:
    from tests import pki

    one = pki.pem(pki.authority("Root X1"))
    g.write("etc/ssl/a.pem", one * (ALL // len(one)))
    g.nginx(
        "server { listen 443 ssl; server_name a; ssl_certificate /etc/ssl/a.pem;"
        " ssl_certificate_key /etc/ssl/a.pem; }"
    )


@tree
def packets_that_trace_for_ever(g: Ground) -> Sequence[str]:
    _served(g)
    g.write("etc/iptables/rules.v4", _diamonds(200))
    return ["trace", str(g.root), "443", "--from", "203.0.113.9"]


@tree
def trace_of_diamonds(g: Ground) -> Sequence[str]:
    _served(g)
    g.write("etc/nftables.conf", _nft_diamonds(14))
    return ["trace", str(g.root), "443"]


@tree
def snippets_of_caddy_in_many_sites(g: Ground) -> None:
    sites = "".join(f"s{n}.example.org {{\n import x\n}}\n" for n in range(5000))
    g.write("etc/caddy/Caddyfile", "(x) {\n" + " log\n" * 2000 + "}\n" + sites)


@tree
def braces_of_haproxy_that_do_not_close(g: Ground) -> None:
    g.write("etc/haproxy/haproxy.cfg", 'frontend a\n bind "' + "${a-" * 100_000 + "\n")


@tree
def server_options_of_haproxy(g: Ground) -> None:
    options = " default-server ssl send-proxy\n" * 18_000
    backends = "".join(f"backend b{n}\n server s 127.0.0.1:{n + 1}\n" for n in range(8000))
    text = f"defaults\n{options}{backends}frontend f\n bind :80\n use_backend %[x]\n"
    g.write("etc/haproxy/haproxy.cfg", text)


def _services(ports: Sequence[int], accept: str) -> str:
    return "".join(f"[s{n}]\naccept = {accept}{port}\n" for n, port in enumerate(ports))


@tree
def services_of_stunnel_on_the_same_ports(g: Ground) -> None:
    g.write("etc/stunnel/a.conf", _services([*range(1, 5900), *range(1, 5900)], ""))


@tree
def sockets_of_a_kernel_without_ipv6(g: Ground) -> None:
    g.write("etc/default/grub", 'GRUB_CMDLINE_LINUX="ipv6.disable=1"\n')
    g.write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    g.write("etc/stunnel/a.conf", _services(range(1, 2900), "localhost:"))
    ports = " : ".join(map(str, range(1, 2900)))
    text = f"daemon_smtp_ports = {ports}\nlocal_interfaces = <; 0.0.0.0 ; ::0\n"
    g.write("etc/exim4/exim4.conf", text)
