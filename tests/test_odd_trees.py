"""Repositories and copies of odd shapes: none is green without a verdict or an honest zero."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint.cli import main

CERTIFICATE = "ssl_certificate /etc/ssl/shop.pem; ssl_certificate_key /etc/ssl/shop.key;"
SITE = f"server {{\n listen 443 ssl;\n server_name shop.example.org;\n {CERTIFICATE}\n}}\n"
TLS = f"events {{}}\nhttp {{\n{SITE}}}\n"
PLAIN = "events {}\nhttp { server { listen 80; } }\n"
SITES = "events {}\nhttp {\n include conf.d/*.conf;\n include sites-enabled/*;\n}\n"
NFT = "table inet f {\n chain i {\n  type filter hook input priority 0; policy accept;\n }\n}\n"
V4 = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
NAT = "table ip nat {\n chain p { type nat hook postrouting priority 100; masquerade; }\n}\n"
MAIN = "myhostname = mail.example.org\nsmtpd_tls_cert_file=/etc/ssl/a.pem\n"
MASTER = "smtp inet n - y - - smtpd\n"
SSL_SITE = """<VirtualHost *:443>
SSLEngine on
SSLCertificateFile /etc/ssl/shop.pem
SSLCertificateKeyFile /etc/ssl/shop.key
</VirtualHost>
"""
VHOST = "<VirtualHost *:443>\nSSLEngine on\n</VirtualHost>\n"
PUBLISH = "services: {x: {ports: ['443:443']}}\n"
START = """#!/bin/sh
iptables -P INPUT DROP
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m state --state ESTABLISHED -j ACCEPT
iptables -A INPUT -p tcp --dport 443 -j ACCEPT
"""
STOP = """#!/bin/sh
iptables -P INPUT ACCEPT
iptables -P FORWARD ACCEPT
iptables -P OUTPUT ACCEPT
iptables -F
"""
RULES = {"etc/nftables.conf": NFT}
WEB = {"etc/nginx/nginx.conf": TLS}
FIREWALLD = "etc/firewalld/zones/public.xml"
OPEN = "1 TLS listener: 1 open"

# What lies there, the exit status, what the last line says was judged.
JUDGED: dict[str, tuple[dict[str, str], str]] = {
    "nginx and its ruleset side by side": (
        {"nginx/conf.d/x.conf": SITE, "firewall/rules.v4": V4},
        OPEN,
    ),
    "modules of Puppet": (
        {"modules/nginx/files/nginx.conf": TLS, "modules/fw/files/rules.v4": V4},
        OPEN,
    ),
    "an overlay of a root": (
        {f"rootfs/{path}": text for path, text in (WEB | RULES).items()},
        OPEN,
    ),
    "etc and one nginx beside it": ({"h/etc/nftables.conf": NFT, "x/nginx.conf": TLS}, OPEN),
    "a ruleset kept aside": (WEB | {"etc/iptables.rules": V4}, OPEN),
    "scripts that start and stop the firewall": (
        WEB | {"etc/firewall-start.sh": START, "etc/firewall-stop.sh": STOP},
        OPEN,
    ),
    "openresty": (RULES | {"usr/local/openresty/nginx/conf/nginx.conf": TLS}, OPEN),
    "Alpine": ({"etc/nginx/http.d/x.conf": SITE, "etc/nftables.nft": NFT}, OPEN),
    "SUSE": (RULES | {"etc/nginx/vhosts.d/x.conf": SITE}, OPEN),
    "firewalld's zone alone": (WEB | {FIREWALLD: "<zone><service name='https'/></zone>"}, OPEN),
    "a certificate that a directory that was not given may set": (
        RULES
        | {
            "etc/nginx/nginx.conf": "events {}\nhttp {\n include conf.d/*.conf;\n"
            f"{SITE.replace(CERTIFICATE, '')}}}\n"
        },
        OPEN,
    ),
    "a site of Debian's Apache": (
        RULES | {"etc/apache2/sites-enabled/shop.conf": SSL_SITE},
        "2 TLS listeners: 2 open",
    ),
    "a site of Debian's Apache whose link was not kept": (
        RULES | {"etc/apache2/sites-available/default-ssl.conf": SSL_SITE},
        "2 TLS listeners: 2 open",
    ),
    "a backup beside the host": (RULES | WEB | {"backup/etc/nginx/nginx.conf": TLS}, OPEN),
}
ZERO: dict[str, dict[str, str]] = {
    "a ruleset alone": RULES,
    "plain http": RULES | {"etc/nginx/nginx.conf": PLAIN},
    "plain http with directories that git does not keep": RULES
    | {"etc/nginx/nginx.conf": SITES, "etc/nginx/sites-enabled/x": "server { listen 80; }\n"},
    "what is there to be tried or read": RULES
    | {"tests/nginx.conf": TLS, "docs/compose.yml": PUBLISH, "backup/etc/nginx/nginx.conf": TLS},
    "what the configuration excludes": RULES
    | {"docker/nginx.conf": TLS, ".sslint.yaml": "exclude: [docker]\n"},
    "the connector of Tomcat in a comment": RULES
    | {"etc/tomcat9/server.xml": '<!--\n<Connector port="1" SSLEnabled="true"/>\n-->\n'},
    "a script that is called Caddyfile": RULES | {"web/Caddyfile": "#!/bin/sh\ncaddy run\n"},
    "a compose file for development": RULES | {"docker-compose.dev.yml": PUBLISH},
}
NOT_JUDGED: dict[str, tuple[dict[str, str], str]] = {
    "two environments": (
        {f"roles/nginx/files/{name}/nginx.conf": TLS for name in ("prod", "stage")}
        | {"roles/fw/files/nftables.conf": NFT},
        "",
    ),
    "hosts apart": ({"hosts/a/nginx.conf": TLS, "hosts/b/nftables.conf": NFT}, ""),
    "a template of nginx.conf": (
        RULES | {"roles/nginx/templates/nginx.conf.j2": TLS},
        "roles/nginx/templates/nginx.conf.j2 may serve TLS and belongs to no host",
    ),
    "two of nginx beside etc": (
        RULES | {"x/nginx.conf": TLS, "y/nginx.conf": TLS},
        "x/nginx.conf may serve TLS and belongs to no host; y/nginx.conf may serve TLS",
    ),
    "two of nginx beside a host": (
        {"h/etc/nftables.conf": NFT, "x/nginx.conf": TLS, "y/nginx.conf": TLS},
        "x/nginx.conf may serve TLS and belongs to no host; y/nginx.conf may serve TLS",
    ),
    "nginx of an image": (
        RULES | {"docker/nginx.conf": TLS, "docker/Dockerfile": "FROM nginx\n"},
        "docker/nginx.conf may serve TLS and belongs to no host",
    ),
    **{
        f"{name} beside etc": (RULES | {name: text}, f"{name} may serve TLS and belongs to no host")
        for name, text in (
            ("lb/haproxy.cfg", "frontend x\n bind :443 ssl crt /x\n"),
            ("Caddyfile", "shop.example.org {\n}\n"),
            ("apache/shop.conf", VHOST),
            ("sites/shop.conf", SITE),
            (
                "traefik/dynamic.yml",
                "http:\n  routers:\n    x:\n      tls:\n        certResolver: x\n",
            ),
            ("nixos/web.nix", "services.nginx.virtualHosts.x = {\n  forceSSL = true;\n};\n"),
            ("roles/x/templates/compose.yml.j2", "services:\n x:\n  ports:\n   - 443:443\n"),
        )
    },
    **{
        f"{name} in etc": (
            RULES | {f"etc/{name}": text},
            f"etc/{name} may serve TLS, and no server here reads it",
        )
        for name, text in (
            ("tengine/nginx.conf", TLS),
            ("httpd/conf.d/ssl.conf", "Listen 443 https\n" + VHOST),
            ("caddy/sites/shop.caddy", "shop.example.org {\n}\n"),
            ("traefik/dynamic/tls.yml", "tls: {}\n"),
            ("tomcat9/server.xml", '<Server>\n<Connector port="8443" SSLEnabled="true"/>\n'),
            ("postfix-in/main.cf", MAIN),
            ("etc/nginx/nginx.conf", TLS),
        )
    },
    "a submodule that is not checked out": (
        RULES | {".gitmodules": '[submodule "web"]\n\tpath = etc/nginx\n'},
        "etc/nginx is a submodule that is not checked out",
    ),
    **{
        f"compose: {name}": (RULES | files, "the TLS of docker on tcp/443 is not read")
        for name, files in (
            ("another name", {"docker-compose.prod.yml": PUBLISH}),
            ("beside the base", {"compose.yml": "services: {}\n", "compose.prod.yml": PUBLISH}),
            ("a stack", {"web-stack.yml": PUBLISH}),
            ("include", {"compose.yml": "include: [a/b.yml]\n", "a/b.yml": PUBLISH}),
            ("include path", {"compose.yml": "include: [{path: [a/b.yml]}]\n", "a/b.yml": PUBLISH}),
            (
                "merged",
                {"compose.yml": "x-a: &a {ports: ['443:443']}\nservices: {x: {<<: [*a]}}\n"},
            ),
            ("version 1", {"docker-compose.yml": "web:\n  image: x\n  ports: ['443:443']\n"}),
        )
    },
    "compose: include of what is not there": (
        RULES | {"compose.yml": "include: [a/b.yml]\n"},
        "what docker listens on is not known: compose.yml:1: it includes what is not in the files",
    ),
    "compose: includes itself": (
        RULES | {"compose.yml": "include: [compose.yml]\n" + PUBLISH},
        "the TLS of docker on tcp/443 is not read",
    ),
    "a ruleset of each role": (
        WEB | {f"etc/nftables/nftables-{role}.conf": NFT for role in ("db", "mail", "web")},
        "which of etc/nftables/nftables-db.conf, etc/nftables/nftables-mail.conf and "
        "etc/nftables/nftables-web.conf is loaded is not in the files",
    ),
    "two scripts that start the firewall": (
        WEB | {"etc/firewall-up.sh": START, "etc/iptables-start.sh": START},
        "which of etc/firewall-up.sh and etc/iptables-start.sh is run is not in the files",
    ),
    "two rulesets kept aside": (
        WEB | {"etc/iptables.rules": V4, "etc/iptables.up.rules": V4},
        "which of etc/iptables.rules and etc/iptables.up.rules is loaded is not in the files",
    ),
    "a piece of a ruleset": (
        WEB | {"etc/nftables.d/ssh.nft": "table inet f {\n chain i {\n  accept\n }\n}\n"},
        "etc/nftables.d/ssh.nft has no rules for input: what else is loaded is not in the files",
    ),
    "a ruleset for translation alone": (
        WEB | {"etc/nat.nft": NAT},
        "etc/nat.nft has no rules for input: what else is loaded is not in the files",
    ),
    "a ruleset that includes a directory that was not given": (
        WEB | {"etc/nftables.conf": 'include "/etc/nftables.d/*.nft"\n'},
        "etc/nftables.conf:1:1 includes what is not known: /etc/nftables.d is not in the files",
    ),
    "firewalld without a zone and its settings": (
        WEB | {"etc/firewalld/services/x.xml": "<service/>"},
        "the zone public and firewalld.conf are not in etc/firewalld",
    ),
    "a directory of sites that was not given": (
        RULES | {"etc/nginx/nginx.conf": PLAIN.replace("{ server", "{ include vhosts/*; server")},
        "nginx may have more listeners: etc/nginx/nginx.conf:2: vhosts/* was not given",
    ),
    "sites-available with a backup alone": (
        RULES | {"etc/nginx/sites-available/shop.bak": SITE},
        "nginx has no listener that is known",
    ),
    **{
        f"a firewall of {one} and nginx of {other}": (
            {f"{one}/etc/nftables.conf": NFT, f"{other}/nginx.conf": TLS},
            f"{other}/nginx.conf may serve TLS and belongs to no host",
        )
        for one, other in (
            ("web1", "web2"),
            ("hosts/a", "hosts/b"),
            ("production", "staging"),
            ("a.example.org", "b.example.org"),
        )
    },
    "a part of Dovecot that does not name its protocols": (
        RULES | {"etc/dovecot/conf.d/10-ssl.conf": "ssl_cert = </a.pem\nssl_key = </a.key\n"},
        "the enabled protocols are set in files that were not given",
    ),
    "a dovecot.conf without its conf.d": (
        RULES | {"etc/dovecot/dovecot.conf": "ssl_cert = </a.pem\n!include conf.d/*.conf\n"},
        "the enabled protocols are set in files that were not given",
    ),
    "a ruleset in conflict": (
        WEB | {"etc/nftables.conf": f"<<<<<<< HEAD\n{NFT}=======\n{NFT}>>>>>>> x\n"},
        "etc/nftables.conf cannot be loaded: etc/nftables.conf:1:1: syntax error",
    ),
}


def lay(base: Path, files: dict[str, str]) -> None:
    for name, text in ({".git/HEAD": ""} | files).items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)


def last_line(base: Path, files: dict[str, str], monkeypatch, capsys) -> tuple[int, str]:
    lay(base, files)
    monkeypatch.chdir(base)
    status = main(["check", ".", "--fail-on", "never"])
    return status, capsys.readouterr().out.rstrip("\n").rpartition("\n")[2]


@pytest.mark.parametrize("name", JUDGED)
def test_what_lies_apart_is_judged(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    files, said = JUDGED[name]
    status, last = last_line(tmp_path, files, monkeypatch, capsys)
    assert (status, last.partition("; certificates: ")[0]) == (0, said)


@pytest.mark.parametrize("name", ZERO)
def test_what_has_no_tls_is_zero(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    found = last_line(tmp_path, ZERO[name], monkeypatch, capsys)
    assert found == (0, "0 TLS listeners")


@pytest.mark.parametrize("name", NOT_JUDGED)
def test_what_was_not_judged_is_not_green(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    files, said = NOT_JUDGED[name]
    status, last = last_line(tmp_path, files, monkeypatch, capsys)
    assert (status, said in last) == (3, True), last


def test_rulesets_beside_no_server_are_named(tmp_path: Path, monkeypatch, capsys) -> None:
    names = [f"etc/nftables/nftables-{number:02}.conf" for number in range(30)]
    lay(tmp_path, dict.fromkeys(names, NFT))
    monkeypatch.chdir(tmp_path)
    assert main(["check", "."]) == 0
    (line,) = [one for one in capsys.readouterr().out.split("\n") if one.startswith("unknown: ")]
    assert f"{names[18]} and 11 others is loaded is not in the files" in line


def test_the_configuration_says_where_apache_lies(tmp_path: Path, monkeypatch, capsys) -> None:
    files = {
        "deploy/apache2.conf": "Listen 443\n<VirtualHost *:443>\nSSLEngine on\n"
        "SSLCertificateFile /etc/ssl/x.pem\n</VirtualHost>\n",
        "filter.nft": NFT,
        ".sslint.yaml": "hosts: {web: {apache: deploy, firewall: filter.nft}}\n",
    }
    _, last = last_line(tmp_path, files, monkeypatch, capsys)
    assert last.startswith("2 TLS listeners: 2 open")


UPSTART = "start on runlevel [2345]\nexec /usr/sbin/nginx\n"
NAGIOS = "Alias /nagios3 /usr/share/nagios3\n<Directory /x>\n AllowOverride None\n</Directory>\n"


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("frontend/nginx.conf", TLS, True),  # for an image
        ("init/nginx.conf", UPSTART, False),
        ("nagios3/apache2.conf", NAGIOS, False),
        ("other/apache2.conf", "Listen 80\n", False),  # the only one: the host's
    ],
)
@pytest.mark.parametrize("etc", ["etc", "."])
def test_what_lies_beside_a_judged_host(
    etc: str, path: str, text: str, named: bool, tmp_path: Path, monkeypatch, capsys
) -> None:
    host = {name.removeprefix("etc/"): text for name, text in (WEB | RULES).items()}
    lay(tmp_path, {f"x/{etc}/{name}": text for name, text in (host | {path: text}).items()})
    monkeypatch.chdir(tmp_path / "x")
    assert main(["check", "."]) == 0
    out = capsys.readouterr().out
    assert (f"assumed: {path}: not of this host" in out) == (named and etc == ".")
    assert "no findings" in out
    assert "not judged" not in out


def test_what_lies_beside_an_etc_without_a_server_may_be_its_own(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    lay(tmp_path, {"e/nftables.conf": NFT, "e/x/nginx.conf": PLAIN, "e/y/nginx.conf": PLAIN})
    monkeypatch.chdir(tmp_path / "e")
    assert main(["check", "."]) == 3
    assert "x/nginx.conf belongs to no host" in capsys.readouterr().out
