"""Trees that are malformed where a reader might stumble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.hostile.registry import NGINX, POLICY_DROP, Ground, tree


def _served(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)


@tree
def empty_service_of_firewalld(g: Ground) -> None:
    _served(g)
    g.write("usr/lib/firewalld/services/http.xml", "")
    g.write("etc/firewalld/zones/public.xml", '<zone><service name="http"/></zone>')


@tree
def empty_files_of_firewalld(g: Ground) -> None:
    _served(g)
    for kind in (
        "zones/public",
        "services/a",
        "ipsets/b",
        "policies/c",
        "icmptypes/d",
        "helpers/e",
    ):
        g.write(f"etc/firewalld/{kind}.xml", "")
        g.write(f"usr/lib/firewalld/{kind}.xml", "<")
    g.write("etc/firewalld/direct.xml", "")
    g.write("etc/firewalld/firewalld.conf", "\0")


@tree
def numbers_of_firewalld(g: Ground) -> None:
    _served(g)
    g.write(
        "etc/firewalld/zones/public.xml",
        '<zone priority="9e99"><port port="99999999999999999999-1" protocol="tcp"/>'
        '<port port="" protocol=""/><port/><source address="1.2.3.4/99"/><rule priority="x">'
        '<source/><limit value="0/x"/></rule><forward-port port="1-0" to-port="x" to-addr="y"/>'
        "</zone>",
    )


@tree
def main_cf_with_nul(g: Ground) -> None:
    g.write("etc/postfix/main.cf", b"=\0\n m")
    g.write("etc/postfix/master.cf", b"smtp inet n - y - - smtpd\n\0 x\n")


@tree
def main_cf_of_edges(g: Ground) -> None:
    g.write("etc/postfix/main.cf", "=\n = \n$\n${\n${a?{b}:{c}}\n a = ${a:${b}}\nb = ${a\n\\\n")
    g.write("etc/postfix/master.cf", "x\n- - - - - - - -\nsmtp inet n - - - - smtpd -o\n  -o {\n")


def _json(g: Ground, *items: Any) -> None:
    _served(g)
    head: list[Any] = [
        {"table": {"family": "inet", "name": "f", "handle": 1}},
        {
            "chain": {
                "family": "inet",
                "table": "f",
                "name": "i",
                "type": "filter",
                "hook": "input",
                "prio": 0,
                "policy": "drop",
            }
        },
    ]
    g.write("rules.json", json.dumps({"nftables": [*head, *items]}))
    g.write(".sslint.yaml", "firewall: [rules.json]\n")


def _rule(*expressions: Any) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "f", "chain": "i", "expr": list(expressions)}}


def _match(right: Any, left: Any = None) -> dict[str, Any]:
    payload = {"payload": {"protocol": "tcp", "field": "dport"}}
    return {"match": {"op": "==", "left": left or payload, "right": right}}


_STRANGE: dict[str, Any] = {
    "range_of_ranges": {"range": [{"range": [1, 2]}, {"range": [3, 4]}]},
    "range_of_one": {"range": [1]},
    "range_of_none": {"range": []},
    "range_of_objects": {"range": [{}, {}]},
    "range_of_lists": {"range": [[1], [2]]},
    "range_of_null": {"range": [None, None]},
    "range_that_is_text": {"range": "1-2"},
    "concat_of_nothing": {"concat": []},
    "concat_of_concat": {"concat": [{"concat": [1, 2]}, {"range": [1, {"concat": [1]}]}]},
    "concat_that_is_text": {"concat": "x"},
    "prefix_without_length": {"prefix": {"addr": "1.2.3.4"}},
    "prefix_of_prefix": {"prefix": {"addr": {"prefix": {"addr": "1.2.3.4", "len": 8}}, "len": 99}},
    "prefix_of_text": {"prefix": {"addr": "x", "len": "y"}},
    "set_of_sets": {"set": [{"set": [{"set": []}]}, {"elem": {"val": {"elem": {}}}}]},
    "elem_without_value": {"set": [{"elem": {}}]},
    "map_of_nothing": {"map": {"key": {}, "data": {"set": [[1], [1, 2, 3], "x"]}}},
    "immense_number": 10**4000,
    "negative_number": -1,
    "fraction": 1.5,
    "not_a_number": float("nan"),
    "truth": True,
    "null": None,
    "empty_object": {},
    "binary_of_one": {"|": [1]},
    "binary_of_text": {"&": "x"},
    "shift_without_bound": {"<<": [1, 10**9]},
    "name_of_a_set_that_is_none": "@nothing",
    "name_that_is_a_list": ["@x"],
    "deep_nesting": json.loads("[" * 400 + "]" * 400),
}
for _name, _value in _STRANGE.items():

    def _maker(g: Ground, value: Any = _value) -> None:
        _json(
            g,
            {
                "set": {
                    "family": "inet",
                    "table": "f",
                    "name": "s",
                    "type": ["inet_service", "mark"],
                    "flags": ["interval"],
                    "elem": [value, {"concat": [value, value]}],
                }
            },
            _rule(_match(value), {"accept": None}),
            _rule(_match({"set": [value, {"range": [value, value]}]}), {"accept": None}),
            _rule(_match(value, {"concat": [value, {"meta": {"key": "mark"}}]}), {"drop": None}),
            _rule({"vmap": {"key": value, "data": {"set": [[value, {"accept": None}]]}}}),
            _rule({"limit": value}, {"jump": value}, {"jump": {"target": value}}),
        )

    _maker.__name__ = f"nft_json_{_name}"
    tree(_maker)


@tree
def nft_json_objects_of_wrong_types(g: Ground) -> None:
    _json(
        g,
        *(
            {kind: value}
            for kind in ("table", "chain", "rule", "set", "element", "map", "ct helper")
            for value in (
                {},
                {"family": 1, "name": {}, "table": []},
                {
                    "family": "inet",
                    "table": "f",
                    "name": "i",
                    "chain": {},
                    "expr": 1,
                    "elem": 1,
                    "type": {},
                    "prio": {},
                },
            )
        ),
    )


@tree
def nft_json_that_ends_early(g: Ground) -> None:
    _served(g)
    g.write("rules.json", '{"nftables": [{"table": {"family": "inet", "name": "f"}}, ')
    g.write(".sslint.yaml", "firewall: [rules.json]\n")


@tree
def ipset_without_names(g: Ground) -> None:
    _served(g)
    g.write(
        "etc/iptables/rules.v4",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set a src -j ACCEPT\nCOMMIT\n",
    )
    g.write("etc/iptables/ipsets", 'create a hash:ip\nadd ""\nadd a ""\ncreate "" hash:ip\nadd\n')


@tree
def ipset_with_empty_words(g: Ground) -> None:
    ipset_without_names_of(g, 'create a hash:ip\n""\n')


@tree
def ipset_with_commands_on_no_set(g: Ground) -> None:
    ipset_without_names_of(g, 'create a hash:ip\nswap "" a\n')


@tree
def ipset_with_an_empty_name_in_add(g: Ground) -> None:
    ipset_without_names_of(g, 'create a hash:ip\nadd "" 1.2.3.4\n')


@tree
def ipset_with_an_empty_new_name(g: Ground) -> None:
    ipset_without_names_of(g, 'create a hash:ip\nrename a ""\nadd a ""\n')


@tree
def ipset_with_an_empty_member_in_xml(g: Ground) -> None:
    ipset_without_names_of(
        g,
        '<ipsets><ipset name="a"><type>hash:ip</type><header/><members><member/></members>'
        "</ipset></ipsets>",
    )


def ipset_without_names_of(g: Ground, text: str) -> None:
    _served(g)
    g.write(
        "etc/iptables/rules.v4",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set a src -j ACCEPT\nCOMMIT\n",
    )
    g.write("etc/iptables/ipsets", text)


@tree
def nft_prefixes_of_thousands_of_digits(g: Ground) -> None:
    _served(g)
    n = "9" * 5000
    g.write(
        "etc/nftables.conf",
        "table inet f {\n set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/"
        f"{n} }} }}\n chain i {{ type filter hook input priority 0; policy drop;\n"
        f" ip saddr {{ 10.0.0.0/{n} }} accept\n}} }}\n",
    )


@tree
def postfix_names_in_latin_1(g: Ground) -> None:
    g.write(
        "etc/postfix/main.cf",
        b"myhostname = a.example.org\nmail_name = caf\xe9\nsmtpd_banner = $mail_name\nsmtpd_tls_cert_file = /\xe9.pem\n",
    )
    g.write("etc/postfix/master.cf", b"smtp inet n - y - - smtpd\n -o syslog_name=\xe9\n")


@tree
def includes_of_two_thousand_globs(g: Ground) -> None:
    for part in ("*", "[a]", "?*"):
        path = "/".join([part] * (4000 // (len(part) + 1)))
        g.nginx(more=f"include {path};")
        g.write("etc/nftables.conf", f'include "{path}"\n')
        g.write("etc/dovecot/dovecot.conf", f"!include {path}\n")
        g.write("etc/apache2/apache2.conf", f"Include {path}\n")
        g.write("etc/caddy/Caddyfile", f"import {path}\n")


@tree
def braces_of_a_script_that_do_not_end(g: Ground) -> None:
    _served(g)
    g.write("etc/rc.local", "#!/bin/bash\nfor p in {" + "," * 5000 + "\ndo iptables -F; done\n"
            "for p in x{" + "," * 5000 + "; do iptables -A INPUT -p tcp --dport $p; done\n"
            "iptables -A INPUT -p tcp --dport {" + "," * 5000 + " -j ACCEPT\n")  # fmt: skip


@tree
def yaml_merges_of_merges(g: Ground) -> None:
    _served(g)
    merges = "a0: &a0 {}\n" + "".join(
        f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)
    )
    g.write(".sslint.yaml", merges)
    g.write("compose.yaml", f"{merges}services:\n web: {{<<: *a39, ports: ['443:443']}}\n")


@tree
def yaml_that_merges_itself(g: Ground) -> None:
    _served(g)
    g.write(".sslint.yaml", "hosts: &a {<<: *a}\n")


@tree
def ipset_of_edges(g: Ground) -> None:
    _served(g)
    g.write(
        "etc/iptables/rules.v4",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set a src -j ACCEPT\nCOMMIT\n",
    )
    g.write(
        "etc/iptables/ipsets",
        "create a hash:ip,port,net family inet6 hashsize x maxelem -1 netmask 999\n"
        "add a 1,2,3,4\nadd a ,,,\nadd a 0/0-1,tcp:99999,x timeout 99999999999999999999\n"
        "create b bitmap:port range 9-1\nadd b 5\ncreate c list:set\nadd c c\nadd c a before\n",
    )


@tree
def iptables_of_edges(g: Ground) -> None:
    _served(g)
    g.write(
        "etc/iptables/rules.v4",
        "*filter\n:INPUT DROP\n:INPUT\n:\n-A\n-A INPUT -p\n-A INPUT -p 999999999999999999999\n"
        "-A INPUT -m\n-A INPUT -m multiport --dports ,\n-A INPUT -s /\n-A INPUT -j\n"
        '-A INPUT -m comment --comment "\n-D INPUT 0\n-I INPUT 99999999999999999999 -j DROP\n',
    )


@tree
def nft_of_edges(g: Ground) -> None:
    _served(g)
    g.write(
        "etc/nftables.conf",
        "define a = $a\ndefine b = { $b }\ntable inet f { chain i { type filter hook input priority"
        " 99999999999999999999; policy drop; tcp dport { , } accept\n ip saddr /33 drop\n"
        " tcp dport 99999999999999999999-1 accept\n jump\n tcp dport vmap { } \n} }\n",
    )


@tree
def immense_integers_in_a_mobileconfig(g: Ground) -> Sequence[str]:
    _served(g)
    number = "9" * 300_000
    g.write(
        "a.mobileconfig",
        '<?xml version="1.0"?><plist version="1.0"><dict><key>PayloadContent</key><array><dict>'
        "<key>PayloadType</key><string>com.apple.mail.managed</string>"
        "<key>IncomingMailServerHostName</key><string>a.example.org</string>"
        f"<key>IncomingMailServerPortNumber</key><integer>{number}</integer>"
        f"<key>x</key><integer>0x{'f' * 300_000}</integer>"
        "</dict></array></dict></plist>",
    )
    return ["check", str(g.root), "--announced", str(g.root / "a.mobileconfig")]


@tree
def immense_numbers_everywhere(g: Ground) -> None:
    n = "9" * 5000
    g.nginx(f"server {{ listen {n} ssl; listen 1.2.3.{n}:443; ssl_session_timeout {n}d; }}")
    g.write("etc/nftables.conf", POLICY_DROP % f"tcp dport {n} accept\nmeta mark {n} accept")
    g.write(
        "etc/iptables/rules.v4",
        f"*filter\n:INPUT DROP [{n}:{n}]\n-A INPUT -p tcp --dport {n}"
        f" -m mark --mark {n} -j ACCEPT\nCOMMIT\n",
    )
    g.write("etc/postfix/master.cf", f"{n} inet n - y - - smtpd\n")
    g.write("etc/postfix/main.cf", f"compatibility_level = {n}\n")
    g.write(
        "etc/dovecot/dovecot.conf", f"service imap-login {{\ninet_listener a {{\nport={n}\n}}\n}}\n"
    )
    g.write("etc/sysctl.conf", f"net.ipv6.conf.all.disable_ipv6 = {n}\n")
    g.write("etc/ufw/user.rules", f"### tuple ### allow tcp {n} 0.0.0.0/0 any 0.0.0.0/{n} in\n")
    g.write("etc/bind/named.conf", f"options {{ listen-on port {n} {{ any; }}; }};\n")
    g.write("etc/haproxy/haproxy.cfg", f"frontend a\n bind :{n} ssl\n bind :1-{n}\n")


@tree
def long_versions(g: Ground) -> None:
    _served(g)
    g.write("etc/dovecot/dovecot.conf", f"dovecot_config_version = {'1.' * 100_000}9{'9' * 5000}\n")
    n = "9" * 5000
    g.write(".sslint.yaml", f"versions: {{nginx: '{n}.{n}', postfix: '²', dovecot: '٣.٤'}}\n")
    g.write("etc/postfix/main.cf", "myhostname = a\n")
    g.write(
        "var/lib/dpkg/status",
        f"Package: nginx\nStatus: install ok installed\nVersion: {n}:{n}.{n}~{n}\n\n",
    )
    g.write("etc/os-release", f'ID=debian\nVERSION_ID="{n}"\n')


@tree
def recursive_yaml(g: Ground) -> None:
    _served(g)
    g.write(".sslint.yaml", "hosts: &a {x: *a}\n")


@tree
def recursive_yaml_in_a_rule(g: Ground) -> None:
    _served(g)
    g.write(".sslint.yaml", "rules: [r.yaml]\n")
    g.write(
        "r.yaml",
        "name: x\nmatch: &a {either: [*a]}\nseverity: info\nsummary: x\n"
        "each: endpoint\nmessage: x\nwhy: x\n",
    )


@tree
def recursive_yaml_elsewhere(g: Ground) -> None:
    _served(g)
    text = "services: &a\n  web: *a\n  x: &b [*b, *a]\nnetwork: &c {ethernets: *c, version: 2}\n"
    g.write("docker-compose.yml", text)
    g.write("etc/netplan/a.yaml", text)
    g.write("compose.yaml", "services: {a: &x {ports: &p [*p, *x, '443:443']}}\n")


@tree
def yaml_of_edges(g: Ground) -> None:
    _served(g)
    g.write(
        "compose.yaml",
        "services: {a: {ports: [1e400, .nan, 0o777, 2001-99-99, {target: {}}, null, '::', '1:2:3:4:5',"
        " '[::1]:x:y', '0-99999999999:1']}, b: null, c: [], 1: {ports: 1}}\n? [a]\n: b\n",
    )
    g.write(
        "etc/netplan/a.yaml", "network: {ethernets: {a: {addresses: [1, null, {}, '/']}, b: 1}}\n"
    )


@tree
def yaml_that_is_deep(g: Ground) -> None:
    _served(g)
    g.write(".sslint.yaml", "[" * 100_000)


@tree
def yaml_keys_of_all_types(g: Ground) -> None:
    _served(g)
    g.write(".sslint.yaml", "1: a\nnull: b\n2001-01-01: c\n[1]: d\ntrue: e\n1.5: f\n")


@tree
def yaml_with_strange_values(g: Ground) -> None:
    _served(g)
    g.write(
        ".sslint.yaml",
        "expose: {443/tcp: [0.0.0.0/0, 1.2.3.4/99, '', null]}\nnetworks: {a: a, b: [b]}\n"
        "exclude: [1]\nversions: {nginx: 1}\nfirewall: [1]\nnow: 99999-01-01\n",
    )


@tree
def bytes_that_are_not_utf8(g: Ground) -> None:
    g.nginx("server { listen 443 ssl; server_name caf\udce9.example.org \udcff; }")
    g.write("etc/nftables.conf", b'table inet f { chain \xff { comment "\xfe"; } }\n')
    g.write("etc/postfix/main.cf", b"myhostname = \xc3\x28\n")
    g.write("etc/dovecot/dovecot.conf", b"protocols = \xe9\n")
    g.write(".sslint.yaml", b"fail_on: \xff\n")


@tree
def utf16_and_byte_order_marks(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX.encode("utf-16"))
    g.write("etc/nftables.conf", b"\xef\xbb\xbf" + (POLICY_DROP % "").encode())
    g.write("etc/postfix/main.cf", "myhostname = a\n".encode("utf-32"))
    g.write(".sslint.yaml", "fail_on: never\n".encode("utf-16"))


@tree
def names_of_files_that_are_not_utf8(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*;")
    g.write("etc/nginx/sites-enabled/caf\udce9", "server { listen 443 ssl; }\n")
    g.write("etc/nginx/sites-enabled/\u202eevil", "server { listen 8443 ssl }\n")
    g.write("h\udcff/etc/nginx/nginx.conf", NGINX)


@tree
def names_of_255_bytes(g: Ground) -> None:
    g.nginx(
        f"server {{ listen 443 ssl; server_name {'a' * 70_000}; }}",
        more=f"include {'x' * 300}; include {'a/' * 5000}; include sites-enabled/*;",
    )
    g.write(f"etc/nginx/sites-enabled/{'n' * 255}", "server { listen 8443 ssl; }\n")
    g.write("etc/nftables.conf", f'include "{"y" * 5000}"\n')


@tree
def nul_bytes_everywhere(g: Ground) -> None:
    for path in (
        "etc/nginx/nginx.conf",
        "etc/nftables.conf",
        "etc/postfix/main.cf",
        "etc/postfix/master.cf",
        "etc/dovecot/dovecot.conf",
        "etc/iptables/rules.v4",
        "etc/ufw/user.rules",
        "etc/firewalld/zones/public.xml",
        ".sslint.yaml",
    ):
        g.write(path, b"\0" * 1000)


@tree
def nul_in_names_of_files(g: Ground) -> None:
    g.nginx("server { listen 443 ssl; ssl_certificate /etc/\0; root /x\0y; }", more="include a\0b;")
    g.write("etc/nftables.conf", 'include "a\0b"\n')
    g.write("etc/dovecot/dovecot.conf", "!include a\0b\nssl_cert = <a\0b\n")
    g.write("etc/postfix/main.cf", "smtpd_tls_cert_file = a\0b\nmydestination = hash:/a\0b\n")


@tree
def pem_of_edges(g: Ground) -> None:
    g.nginx(
        *(
            f"server {{ listen {8000 + n} ssl; ssl_certificate /etc/ssl/{n}.pem;"
            f" ssl_certificate_key /etc/ssl/{n}.pem; }}"
            for n in range(6)
        )
    )
    begin, end = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
    g.write("etc/ssl/0.pem", begin)
    g.write("etc/ssl/1.pem", begin + end)
    g.write("etc/ssl/2.pem", begin + "MA==\n" + end)
    g.write("etc/ssl/3.pem", begin + "MIIB" + "/" * 5000 + "\n" + end)
    g.write("etc/ssl/4.pem", (begin + "AAAA\n" + end) * 2000)
    g.write(
        "etc/ssl/5.pem",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n"
        "-----END RSA PRIVATE KEY-----\n",
    )


@tree
def xml_of_edges(g: Ground) -> Sequence[str]:
    _served(g)
    g.write("a.xml", "<clientConfig>" * 5000)
    g.write("b.xml", '<?xml version="1.0" encoding="x"?><clientConfig/>')
    g.write(
        "c.xml",
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "/etc/passwd">]>'
        "<clientConfig>&b;&c;</clientConfig>",
    )
    g.write("d.xml", '<clientConfig xmlns:a="b"' + ' a="b"' * 1000 + "/>")
    files = [word for n in "abcd" for word in ("--announced", str(g.root / f"{n}.xml"))]
    return ["check", str(g.root), *files]


@tree
def systemd_of_edges(g: Ground) -> None:
    _served(g)
    g.write(
        "etc/systemd/system/nftables.service", "[Service]\nExecStart=\n\\\nExecStart=@\nX\n=\n["
    )
    g.link("etc/systemd/system/multi-user.target.wants/nginx.service", "nginx.service")
    g.link("etc/systemd/system/nginx.service", "nginx.service")
    g.write("etc/systemd/system/ufw.service.d/a.conf/x", "")


@tree
def every_file_is_a_directory(g: Ground) -> None:
    for path in (
        "etc/nginx/nginx.conf",
        "etc/nftables.conf",
        "etc/postfix/main.cf",
        "etc/dovecot/dovecot.conf",
        "etc/iptables/rules.v4",
        "etc/ufw/ufw.conf",
        "etc/firewalld/firewalld.conf",
        "etc/os-release",
        "etc/sysctl.conf",
    ):
        g.write(f"{path}/x", "")


@tree
def every_directory_is_a_file(g: Ground) -> None:
    for name in (
        "nginx",
        "postfix",
        "dovecot",
        "ufw",
        "firewalld",
        "iptables",
        "letsencrypt",
        "systemd",
        "network",
        "ssl",
        "haproxy",
        "apache2",
        "bind",
    ):
        g.write(f"etc/{name}", "x")
    g.write("etc/nftables.conf", POLICY_DROP % "")


@tree
def quotes_that_never_end(g: Ground) -> None:
    g.nginx('server { listen 443 ssl; server_name "a; }')
    g.write("etc/nftables.conf", 'table inet f { chain i { comment "x; } }\n')
    g.write("etc/dovecot/dovecot.conf", 'protocols = "imap\n')
    g.write(
        "etc/iptables/rules.v4", '*filter\n:INPUT DROP [0:0]\n-A INPUT -m comment --comment "x\n'
    )
    g.write("etc/letsencrypt/renewal/a.conf", "[renewalparams\nx = '''\n")
