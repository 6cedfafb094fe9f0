"""Trees with keys and tokens where a reader might quote them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.hostile.registry import KEY, NGINX, POLICY_DROP, TOKEN, Ground, tree

ONE_LINE = "".join(line for line in KEY.splitlines() if not line.startswith("-----"))
FILES = (
    "etc/nginx/nginx.conf",
    "etc/dovecot/dovecot.conf",
    "etc/postfix/main.cf",
    "etc/postfix/master.cf",
    "etc/nftables.conf",
    "etc/iptables/rules.v4",
    "etc/iptables/ipsets",
    "etc/ufw/user.rules",
    "etc/ufw/ufw.conf",
    "etc/default/ufw",
    "etc/firewalld/zones/public.xml",
    "etc/network/interfaces",
    "etc/netplan/a.yaml",
    "etc/sysctl.conf",
    "etc/letsencrypt/renewal/a.conf",
    "etc/systemd/system/nginx.service",
    "etc/haproxy/haproxy.cfg",
    "etc/apache2/apache2.conf",
    "etc/caddy/Caddyfile",
    "etc/exim4/exim4.conf",
    "etc/bind/named.conf",
    "etc/stunnel/stunnel.conf",
    "etc/wireguard/wg0.conf",
    "etc/openvpn/server/a.conf",
    "etc/unbound/unbound.conf",
    "etc/docker/daemon.json",
    "docker-compose.yml",
)


def _each(name: str, path: str, make: object) -> None:
    assert callable(make)

    def maker(g: Ground) -> None:
        g.write("etc/nginx/nginx.conf", NGINX)
        g.write("etc/nftables.conf", "flush ruleset\n")
        g.write(path, make(path))

    maker.__name__ = f"{name}_{path.replace('/', '_').replace('.', '_')}"
    tree(maker)


for _path in FILES:
    _each("key_as", _path, lambda path: KEY)


@tree
def key_in_dovecot_by_include(g: Ground) -> None:
    g.write("etc/dovecot/dovecot.conf", "protocols = imap\n!include key.pem\n")
    g.write("etc/dovecot/key.pem", KEY)


@tree
def key_in_nginx_by_include(g: Ground) -> None:
    g.nginx(more="include /etc/ssl/key.pem;")
    g.write("etc/ssl/key.pem", KEY)


@tree
def key_in_nft_by_include(g: Ground) -> None:
    g.write("etc/nftables.conf", 'include "/etc/ssl/key.pem"\n')
    g.write("etc/ssl/key.pem", KEY)


@tree
def key_in_nft_comment(g: Ground) -> None:
    g.nft(f'  tcp dport 443 drop comment "{ONE_LINE[:120]}"')
    g.write("etc/nginx/nginx.conf", NGINX)


@tree
def key_on_one_line_as_a_server_name(g: Ground) -> None:
    g.nginx(f"server {{ listen 443 ssl; server_name {ONE_LINE}; }}")
    g.nft("  tcp dport 22 accept")


@tree
def key_on_one_line_as_an_unknown_directive(g: Ground) -> None:
    g.nginx(f"server {{ listen 443 ssl; {ONE_LINE} on; }}")


@tree
def key_on_one_line_as_an_address(g: Ground) -> None:
    g.nginx(f"server {{ listen {ONE_LINE}:443 ssl; }}")
    g.write("etc/postfix/main.cf", f"inet_interfaces = {ONE_LINE}\nmyhostname = {ONE_LINE}\n")
    g.write("etc/postfix/master.cf", f"{ONE_LINE} inet n - y - - smtpd\n")
    g.write("etc/dovecot/dovecot.conf", f"protocols = {ONE_LINE}\nlisten = {ONE_LINE}\n")


@tree
def key_in_a_chain_name(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(
        "etc/iptables/rules.v4", f"*filter\n:INPUT DROP [0:0]\n-A INPUT -j {ONE_LINE}\nCOMMIT\n"
    )


@tree
def key_inline_in_dovecot(g: Ground) -> None:
    lines = KEY.replace("\n", "\\n")
    g.write("etc/dovecot/dovecot.conf", f"protocols = imap\nssl = yes\nssl_key = {lines}\n")


@tree
def key_inline_in_postfix(g: Ground) -> None:
    folded = KEY.replace("\n", "\n  ")
    g.write(
        "etc/postfix/main.cf", f"smtpd_tls_key_file = {folded}\nsmtpd_tls_chain_files = {folded}"
    )
    g.write("etc/postfix/master.cf", "smtp inet n - y - - smtpd\n")


@tree
def key_as_a_certificate(g: Ground) -> None:
    g.nginx(
        "server { listen 443 ssl; server_name a; ssl_certificate /etc/ssl/a.pem;"
        " ssl_certificate_key /etc/ssl/a.pem; }"
    )
    g.write("etc/ssl/a.pem", KEY)


@tree
def key_in_a_hook(g: Ground) -> None:
    g.nginx(
        "server { listen 443 ssl; server_name a;"
        " ssl_certificate /etc/letsencrypt/live/a/fullchain.pem; }"
    )
    g.write("etc/letsencrypt/renewal-hooks/deploy/x", f"#!/bin/sh\nX='{KEY}'\n{ONE_LINE} | sh\n")
    g.write(
        "etc/letsencrypt/renewal/a.conf",
        f"version = 2.0\n[renewalparams]\nrenew_hook = echo {ONE_LINE}\nauthenticator = nginx\n",
    )


@tree
def key_in_the_configuration(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", KEY)


@tree
def token_as_the_configuration(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", TOKEN)


@tree
def token_in_a_value_of_the_configuration(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"fail_on: {TOKEN}\n")


@tree
def token_in_lists_of_the_configuration(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"expose: [[{TOKEN}]]\nhosts: {TOKEN}\nselect: {{a: {TOKEN}}}\n")


@tree
def token_where_yaml_breaks(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"a: &x [\n  *ghp_Canary, !ghp_Canary {TOKEN}\n")


@tree
def token_as_a_yaml_tag(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", "a: !!python/object:ghp_Canary {}\n")


@tree
def token_as_intent(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"expose: {{443/tcp: '{TOKEN}'}}\n")


@tree
def token_as_a_port_of_the_intent(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"internal: ['{TOKEN}']\nhost_ip: ['{TOKEN}']\nnow: '{TOKEN}'\n")


@tree
def token_as_now(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"now: '{TOKEN}'\n")


@tree
def token_as_an_address(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"host_ip: ['{TOKEN}']\n")


@tree
def token_as_a_rule_name(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f"select: ['{TOKEN}']\n")


@tree
def token_in_a_rule(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", "rules: [r.yaml]\n")
    g.write(
        "r.yaml", f"name: x\nseverity: {TOKEN}\nsummary: x\neach: {TOKEN}\nmessage: x\nwhy: x\n"
    )


@tree
def token_in_a_condition_of_a_rule(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", "rules: [r.yaml]\n")
    g.write(
        "r.yaml",
        "name: my-rule\nseverity: info\nsummary: x\neach: endpoint\nmessage: x\nwhy: x\n"
        f"match: ['{TOKEN}']\n",
    )


@tree
def token_as_a_rule(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", "rules: [r.yaml]\n")
    g.write("r.yaml", TOKEN)


@tree
def token_as_a_baseline(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", "baseline: known.json\n")
    g.write("known.json", TOKEN)


@tree
def token_as_the_name_of_a_firewall(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write("f.nft", POLICY_DROP % "")
    g.write(".sslint.yaml", "firewall: ['ghp_CanaryKind=f.nft']\n")


@tree
def key_as_a_path(g: Ground) -> Sequence[str]:
    g.write("site.conf", f"server {{\nlisten 443 ssl;\n{ONE_LINE}\n}}\n{KEY}")
    return ["check", str(g.root / "site.conf")]
