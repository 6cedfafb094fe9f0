"""Green means judged: what each kind of PATH ends in, as root and as another user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jsonschema
import pytest

from sslint.bundled import schema_text
from sslint.cli import main
from sslint.judged import Why
from tests import pki
from tests.cases import EXAMPLES, SOUND, sound_hosts

HERE = Path(__file__).parent
WEB = EXAMPLES / "web-443-closed/etc"
MAIL = SOUND / "mail-nftables/etc"
ACCEPT = "table inet f {\n chain i {\n  type filter hook input priority 0; policy accept;\n }\n}\n"
TLS = (
    "events {}\nhttp {\n  server {\n    listen 443 ssl;\n    server_name shop.example.org;\n"
    "    ssl_certificate /etc/ssl/shop.pem;\n    ssl_certificate_key /etc/ssl/shop.key;\n  }\n}\n"
)
PLAIN = "events {}\nhttp { server { listen 80; } }\n"
PASTE = "no firewall in the files (name one with --firewall, or set firewall: none)"


def write(base: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return base


def whole(base: Path, files: dict[str, str], *started: str) -> Path:
    """Make a host's whole /etc, as a minimal Debian has it."""
    names = ("passwd", "group", "shadow", "hosts", "fstab", "profile", "shells", "debian_version")
    write(base, {f"etc/{name}": "" for name in names})
    wants = base / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for unit in ("cron.service", *started):
        (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    return write(base, files)


def copy(source: Path, place: Path) -> Path:
    return shutil.copytree(source, place)


@dataclass(frozen=True)
class Row:
    """A situation: what lies there, the command, and what must come of it.

    `judged`: the last line holds it. `other`: what differs for a user who may not read it all.
    """

    name: str
    make: Callable[[Path], object]
    arguments: tuple[str, ...]
    status: int
    judged: str
    other: tuple[int, str] | None = None

    @property
    def unprivileged(self) -> tuple[int, str]:
        return self.other or (self.status, self.judged)


def hosts_of_a_repository(base: Path) -> None:
    copy(WEB / "nginx", base / "deploy/nginx")
    shutil.copy(WEB / "nftables.conf", base / "deploy/rules.nft")
    write(
        base,
        {
            ".git/HEAD": "",
            ".sslint.yaml": "hosts:\n  shop:\n    nginx: deploy/nginx\n"
            "    firewall: [deploy/rules.nft]\n",
        },
    )


def unreadable(base: Path) -> None:
    copy(WEB, base / "etc")
    (base / "etc/nginx").chmod(0)


def unreadable_etc(base: Path) -> None:
    copy(WEB, base / "etc")
    (base / "etc").chmod(0)


def linked(base: Path, name: str) -> None:
    write(base, {"etc/nftables.conf": ACCEPT, f"etc/{name}": ""})
    (base / "etc" / name).unlink()
    (base / "etc" / name).symlink_to(f"/opt/elsewhere/{name}")


def linked_etc(base: Path, target: str) -> None:
    for place in ("repo/in", "out"):
        write(base, {f"{place}/nginx/nginx.conf": TLS, f"{place}/nftables.conf": ACCEPT})
    if target != "in":
        shutil.rmtree(base / "repo/in")
    write(base, {"repo/.git/HEAD": ""})
    (base / "repo/etc").symlink_to(target)


def linked_ruleset(base: Path, name: str) -> None:
    there = "nftables.conf" if name != "nftables.conf" else "iptables/rules.v4"
    rules = ACCEPT if there == "nftables.conf" else V4
    write(base, {"etc/nginx/nginx.conf": TLS, f"etc/{there}": rules, f"etc/{name}": ""})
    (base / "etc" / name).unlink()
    (base / "etc" / name).symlink_to(f"/opt/elsewhere/{name}")


def unreadable_sites(base: Path) -> None:
    copy(WEB, base / "etc")
    (base / "etc/nginx/sites-enabled").chmod(0)


def unreadable_ruleset(base: Path) -> None:
    copy(WEB, base / "etc")
    (base / "etc/nftables.conf").chmod(0)


def unreadable_part_of_a_ruleset(base: Path) -> None:
    rules = {"etc/nftables.conf": ACCEPT + 'include "/etc/nftables.d/*.nft"\n'}
    write(base, {"etc/nginx/nginx.conf": TLS, **rules, "etc/nftables.d/drop.nft": DROP})
    (base / "etc/nftables.d").chmod(0)


def unreadable_conf_d(base: Path) -> None:
    protocols = {"etc/dovecot/conf.d/20-imap.conf": "protocols = imap\n"}
    write(base, {**debian_dovecot(), **protocols, "etc/nftables.conf": ACCEPT})
    (base / "etc/dovecot/conf.d").chmod(0)


def unreadable_gitlab(base: Path) -> None:
    copy(EXAMPLES / "sound/etc", base / "etc")
    write(base, {"etc/gitlab/gitlab.rb": "external_url 'http://git.example.org'\n"})
    (base / "etc/gitlab/gitlab.rb").chmod(0)


def unreadable_csf(base: Path) -> None:
    whole(
        base, {"etc/nginx/nginx.conf": TLS, "etc/csf/csf.conf": ""}, "nginx.service", "csf.service"
    )
    (base / "etc/csf").chmod(0)


def unreadable_haproxy(base: Path) -> None:
    write(base, {**HAPROXY, "etc/nftables.conf": DROP})
    (base / "etc/haproxy/haproxy.cfg").chmod(0)


def debian_dovecot(*protocols: str) -> dict[str, str]:
    """Return Dovecot's files as Debian's packages of these protocols leave them in /etc."""
    text = (
        "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\n"
        "!include_try /usr/share/dovecot/protocols.d/*.protocol\n!include conf.d/*.conf\n"
        "listen = *\nssl_server_cert_file = /etc/dovecot/private/dovecot.pem\n"
        "ssl_server_key_file = /etc/dovecot/private/dovecot.key\n"
    )
    pair = {f"etc/dovecot/private/dovecot.{end}": "" for end in ("pem", "key")}
    own = {f"etc/dovecot/conf.d/20-{name}.conf": "" for name in protocols}
    return {"etc/dovecot/dovecot.conf": text, "etc/dovecot/conf.d/10-mail.conf": "", **pair, **own}


BOTH = TLS.replace("listen 443 ssl;", "listen 443 ssl; listen [::]:443 ssl;")
V4 = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
DROP = ACCEPT.replace("policy accept", "policy drop")
HAPROXY = {"etc/haproxy/haproxy.cfg": "frontend x\n bind :443 ssl crt /x.pem\n"}
# Their ports and TLS are read, and their certificates are not.
PARTLY = (
    ("haproxy", 1, "tcp/443", HAPROXY),
    ("caddy", 4, "tcp/443, udp/443", {"etc/caddy/Caddyfile": "shop.example.org {\n}\n"}),
    ("stunnel", 1, "tcp/993", {"etc/stunnel/imaps.conf": "[imaps]\naccept = 993\nconnect = 143\n"}),
    (
        "exim",
        4,
        "tcp/25, tcp/465",
        {"etc/exim4/exim4.conf": "daemon_smtp_ports = 25 : 465\ntls_on_connect_ports = 465\n"},
    ),
    (
        "lighttpd",
        1,
        "tcp/443",
        {"etc/lighttpd/lighttpd.conf": 'server.port = 443\nssl.engine = "enable"\n'},
    ),
    (
        "cyrus",
        2,
        "tcp/993",
        {"etc/cyrus.conf": 'SERVICES {\n imaps cmd="imapd -s" listen="imaps"\n}\n'},
    ),
)
OTHERS = (
    ("exim", "tcp/25", {"etc/exim4/update-exim4.conf.conf": "dc_local_interfaces=''\n"}),
    ("haproxy", "tcp/443", {"etc/haproxy/haproxy.cfg": "frontend x\n bind :443\n"}),
    ("cyrus", "tcp/143", {"etc/cyrus.conf": 'SERVICES {\n a cmd="imapd" listen="imap"\n}\n'}),
    ("slapd", "tcp/636", {"etc/default/slapd": 'SLAPD_SERVICES="ldaps:///"\n'}),
    ("docker", "tcp/443", {"etc/compose.yml": "services: {x: {ports: ['443:443']}}\n"}),
)


CLOSED = "2 TLS listeners: 2 closed"
UNKNOWN = "; not judged: what docker listens on is not known"
QUADLET = "containers/systemd/x.container"
UNIT = "systemd/system/web.service"
RUN = "[Service]\nExecStart=/usr/bin/docker "
NOT_HERE = "1 TLS listener; not judged: " + PASTE
ROWS = (
    Row("whole root", lambda b: copy(WEB.parent, b / "root"), ("root",), 1, CLOSED),
    Row("etc", lambda b: copy(WEB, b / "etc"), ("etc",), 1, CLOSED),
    Row(
        "lone folder",
        lambda b: copy(WEB / "nginx", b / "nginx"),
        ("nginx",),
        3,
        "2 TLS listeners; not judged: " + PASTE,
    ),
    Row("lone file", lambda b: write(b, {"nginx.conf": TLS}), ("nginx.conf",), 3, NOT_HERE),
    Row(
        "a file whose includes are elsewhere",
        lambda b: shutil.copy(WEB / "nginx/nginx.conf", b / "nginx.conf"),
        ("nginx.conf",),
        3,
        "0 TLS listeners; not judged: nginx has no listener that is known",
    ),
    Row(
        "two files",
        lambda b: write(b, {"nginx.conf": TLS, "rules.nft": ACCEPT}),
        ("nginx.conf", "rules.nft"),
        0,
        "1 TLS listener: 1 open",
    ),
    Row("repository with hosts", hosts_of_a_repository, (".",), 1, CLOSED),
    Row(
        "a host of the configuration without its nginx.conf",
        lambda b: write(
            b,
            {
                ".git/HEAD": "",
                "conf/snippets/tls.conf": "ssl_protocols TLSv1.3;\n",
                ".sslint.yaml": "hosts: {x: {nginx: conf, firewall: none}}\n",
            },
        ),
        (".",),
        3,
        "0 TLS listeners; not judged: nginx has no listener that is known",
    ),
    Row(
        "partial copy: no main.cf",
        lambda b: write(b, {"etc/postfix/aliases": "", "etc/nftables.conf": ACCEPT}),
        ("etc",),
        3,
        "0 TLS listeners; not judged: postfix has no listener that is known",
    ),
    Row(
        "partial copy: no sites",
        lambda b: write(
            b,
            {
                "etc/nginx/nginx.conf": (WEB / "nginx/nginx.conf").read_text(),
                "etc/nftables.conf": ACCEPT,
            },
        ),
        ("etc",),
        3,
        "0 TLS listeners; not judged: nginx has no listener that is known",
    ),
    Row(
        "unreadable nginx",
        unreadable,
        ("etc",),
        1,
        CLOSED,
        (3, "etc/nginx/nginx.conf cannot be read"),
    ),
    Row("unreadable sites", unreadable_sites, ("etc",), 1, CLOSED, (3, "nginx has no listener")),
    Row(
        "unreadable ruleset",
        unreadable_ruleset,
        ("etc",),
        1,
        CLOSED,
        (3, "not judged: etc/nftables.conf cannot be read: permission denied"),
    ),
    Row(
        "unreadable ruleset that is named",
        unreadable_ruleset,
        ("etc/nginx", "--firewall", "etc/nftables.conf"),
        1,
        CLOSED,
        (3, "not judged: etc/nftables.conf cannot be read: permission denied"),
    ),
    Row(
        "unreadable ruleset alone",
        unreadable_ruleset,
        ("etc/nftables.conf",),
        0,
        "0 TLS listeners",
        (3, "0 TLS listeners; not judged: etc/nftables.conf cannot be read: permission denied"),
    ),
    Row(
        "unreadable etc",
        unreadable_etc,
        (".",),
        1,
        CLOSED,
        (3, "0 TLS listeners; not judged: etc cannot be read: permission denied"),
    ),
    Row(
        "unreadable part of a ruleset",
        unreadable_part_of_a_ruleset,
        ("etc",),
        1,
        "1 TLS listener: 1 closed",
        (3, "etc/nftables.conf:6:1 includes what is not known: /etc/nftables.d cannot be read"),
    ),
    Row(
        "unreadable conf.d of Dovecot",
        unreadable_conf_d,
        ("etc", "--fail-on", "never"),
        0,
        "2 TLS listeners: 2 open",
        (3, "the enabled protocols are set in files that were not given"),
    ),
    Row(
        "unreadable program that may serve TLS",
        unreadable_gitlab,
        ("etc",),
        0,
        "10 TLS listeners: 10 open",
        (3, "what gitlab listens on is not known: etc/gitlab/gitlab.rb cannot be read"),
    ),
    Row(
        "no firewall in a repository",
        lambda b: write(b, {".git/HEAD": "", "host/etc/nginx/nginx.conf": TLS}),
        (".",),
        3,
        NOT_HERE,
    ),
    Row(
        "the line to paste",
        lambda b: write(
            b,
            {".git/HEAD": "", ".sslint.yaml": "firewall: none\n", "host/etc/nginx/nginx.conf": TLS},
        ),
        (".",),
        0,
        "1 TLS listener: 1 open",
    ),
    Row(
        "a port whose TLS ends elsewhere",
        lambda b: write(
            b,
            {
                ".git/HEAD": "",
                ".sslint.yaml": "terminated_elsewhere: [443]\n",
                "host/etc/nginx/nginx.conf": TLS,
            },
        ),
        (".",),
        0,
        "0 TLS listeners",
    ),
    Row(
        "whole etc without a firewall",
        lambda b: whole(b, {"etc/nginx/nginx.conf": TLS}, "nginx.service"),
        ("etc",),
        0,
        "1 TLS listener: 1 open",
    ),
    Row(
        "whole etc, ufw inactive",
        lambda b: whole(
            b,
            {
                "etc/nginx/nginx.conf": TLS,
                "etc/ufw/ufw.conf": "ENABLED=no\n",
                "etc/nftables.conf": "flush ruleset\n",
            },
            "nginx.service",
            "ufw.service",
        ),
        ("etc",),
        0,
        "1 TLS listener: 1 open",
    ),
    Row(
        "whole etc, a firewall's unit without its ruleset",
        lambda b: whole(
            b, {"etc/nginx/nginx.conf": TLS}, "nginx.service", "netfilter-persistent.service"
        ),
        ("etc",),
        3,
        NOT_HERE,
    ),
    Row(
        "part of etc, ufw inactive",
        lambda b: write(b, {"etc/nginx/nginx.conf": TLS, "etc/ufw/ufw.conf": "ENABLED=no\n"}),
        ("etc",),
        3,
        "not judged: no firewall in force: etc/ufw: ENABLED=no in /etc/ufw/ufw.conf (name one",
    ),
    Row(
        "CSF",
        lambda b: write(b, {"etc/nginx/nginx.conf": TLS, "etc/csf/csf.conf": 'TCP_IN = "443"\n'}),
        ("etc",),
        3,
        "1 TLS listener; not judged: managed by CSF",
    ),
    Row(
        "whole etc, CSF",
        lambda b: whole(
            b,
            {"etc/nginx/nginx.conf": TLS, "etc/csf/csf.conf": 'TCP_IN = "443"\n'},
            "nginx.service",
            "csf.service",
            "lfd.service",
        ),
        ("etc",),
        3,
        "1 TLS listener; not judged: managed by CSF",
    ),
    Row(
        "CSF that only root may read",
        unreadable_csf,
        ("etc",),
        3,
        "1 TLS listener; not judged: managed by CSF",
    ),
    *(
        Row(
            f"{name} alone behind a closed port",
            partial(write, files={**files, "etc/nftables.conf": DROP}),
            ("etc", "--fail-on", "never"),
            3,
            f"0 TLS listeners; not judged: the TLS of {name} on {ports} is not read",
        )
        for name, ports, files in OTHERS
    ),
    *(
        Row(
            f"{name} behind a closed port, {flags}",
            partial(write, files={**files, "etc/nftables.conf": DROP}),
            ("etc", "-v", "--ignore", "tls-port-closed", *flags),
            status,
            f"{count} TLS listener{'s' if count > 1 else ''}: {count} closed; "
            "certificates: 0 of 1 read",
        )
        for flags, status in (((), 0), (("--fail-on", "unknown"), 3))
        for name, count, ports, files in PARTLY
    ),
    Row(
        "HAProxy beside a server that is judged",
        lambda b: (
            copy(EXAMPLES / "sound/etc", b / "etc")
            and write(b, {"etc/haproxy/haproxy.cfg": "frontend x\n bind :8443 ssl crt /x.pem\n"})
        ),
        ("etc", "--ignore", "tls-port-closed"),
        0,
        "10 open, 1 closed; certificates: 0 of 3 read",
    ),
    *(
        Row(
            f"{server} with a port that cannot be one",
            partial(write, files={f"etc/{path}": text, "etc/nftables.conf": DROP}),
            ("etc",),
            3,
            f"not judged: what {server} listens on is not known: etc/{path}:1: ",
        )
        for server, path, text in (
            ("caddy", "caddy/Caddyfile", ":99999 {\n}\n"),
            ("docker", "docker/daemon.json", '{"hosts": ["tcp://0.0.0.0:99999"]}'),
            ("exim", "exim4/exim4.conf", "daemon_smtp_ports = 99999\n"),
            ("named", "bind/named.conf", "listen-on tls x port 99999 { any; };\n"),
            ("unbound", "unbound/unbound.conf", "interface: ::@99999\n"),
        )
    ),
    Row(
        "HAProxy whose ports are not known",
        partial(
            write,
            files={"etc/haproxy/haproxy.cfg": "frontend x\n bind :$P\n", "etc/nftables.conf": DROP},
        ),
        ("etc",),
        3,
        "not judged: what haproxy listens on is not known: etc/haproxy/haproxy.cfg:2: bind :$P",
    ),
    Row(
        "HAProxy that may not be read",
        unreadable_haproxy,
        ("etc",),
        1,
        "1 TLS listener: 1 closed; certificates: 0 of 1 read",
        (3, "what haproxy listens on is not known: etc/haproxy/haproxy.cfg"),
    ),
    Row(
        "HAProxy that is not enabled",
        lambda b: whole(b, {"etc/nginx/nginx.conf": TLS, **HAPROXY}, "nginx.service"),
        ("etc",),
        0,
        "1 TLS listener: 1 open",
    ),
    Row(
        "HAProxy on a port whose TLS ends elsewhere",
        partial(
            write,
            files={
                **HAPROXY,
                "etc/nftables.conf": DROP,
                ".git/HEAD": "",
                ".sslint.yaml": "terminated_elsewhere: [443]\n",
            },
        ),
        (".",),
        0,
        "1 TLS listener: 1 closed",
    ),
    Row(
        "Exim on loopback, as Debian installs it, beside a judged server",
        lambda b: (
            copy(SOUND / "web-nftables/etc", b / "etc")
            and write(
                b,
                {
                    "etc/exim4/update-exim4.conf.conf": "dc_eximconfig_configtype='local'\n"
                    "dc_local_interfaces='127.0.0.1 ; ::1'\n"
                },
            )
        ),
        ("etc",),
        0,
        "4 TLS listeners: 4 open",
    ),
    *(
        Row(
            f"template of {path}",
            partial(write, files={"etc/nginx/nginx.conf": TLS, f"etc/{path}": rules}),
            ("etc",),
            3,
            f"1 TLS listener; not judged: etc/{path}:{place}: a template decides which rules stand",
        )
        for path, place, rules in (
            (
                "nftables.conf",
                "4:2",
                DROP.replace(" }\n}", "{% for port in open %}\n  accept\n{% endfor %}\n }\n}"),
            ),
            (
                "iptables/rules.v4",
                "5:1",
                V4.replace("COMMIT", "{% if web %}\n-A INPUT -j ACCEPT\n{% endif %}\nCOMMIT"),
            ),
        )
    ),
    *(
        Row(
            f"{name} is a link to what was not copied",
            partial(linked, name=name),
            ("etc",),
            3,
            f"0 TLS listeners; not judged: {said}",
        )
        for name, said in (
            ("nginx", "nginx has no listener that is known: etc/nginx is a symbolic link to what"),
            ("postfix", "postfix has no listener that is known"),
            ("dovecot", "dovecot has no listener that is known"),
            ("haproxy", "what haproxy listens on is not known: etc/haproxy/haproxy.cfg"),
            ("haproxy/haproxy.cfg", "what haproxy listens on is not known"),
            ("apache2", "apache has no listener that is known"),
            ("gitlab", "what gitlab listens on is not known"),
        )
    ),
    *(
        Row(
            f"{name} is empty",
            partial(write, files={**files, "etc/nftables.conf": ACCEPT}),
            ("etc", "--fail-on", "never"),
            3,
            f"0 TLS listeners; not judged: {said}",
        )
        for name, files, said in (
            (
                "nginx.conf",
                {"etc/nginx/nginx.conf": "# moved\n"},
                "nginx has no listener that is known: etc/nginx/nginx.conf:1: no",
            ),
            (
                "master.cf",
                {"etc/postfix/main.cf": "", "etc/postfix/master.cf": ""},
                "postfix has no listener that is known: /etc/postfix/master.cf has no services",
            ),
        )
    ),
    *(
        Row(
            f"etc is a link that leads {where}",
            partial(linked_etc, target=target),
            ("repo",),
            status,
            judged,
        )
        for where, target, status, judged in (
            ("within", "in", 0, "1 TLS listener: 1 open"),
            ("out", "../out", 3, "0 TLS listeners; not judged: repo/etc is a symbolic link that"),
        )
    ),
    *(
        Row(
            f"{name} is a link to what was not copied, beside a ruleset that is there",
            partial(linked_ruleset, name=name),
            ("etc", "--fail-on", "never"),
            3,
            f"not judged: etc/{name} is a symbolic link to what was not given",
        )
        for name in ("nftables.conf", "ufw", "firewalld", "iptables", "sysconfig/iptables")
    ),
    Row(
        "a ruleset includes what was not given",
        partial(
            write,
            files={
                "etc/nginx/nginx.conf": TLS,
                "etc/nftables.conf": ACCEPT + 'include "/opt/rules/web.nft"\n',
            },
        ),
        ("etc",),
        3,
        "etc/nftables.conf:6:1 includes what is not known: /opt/rules/web.nft is not in the files",
    ),
    Row(
        "a host of the configuration that names nothing to check",
        partial(
            write,
            files={
                ".git/HEAD": "",
                ".sslint.yaml": "hosts: {x: {firewall: none}}\n",
                "r.nft": ACCEPT,
            },
        ),
        (".",),
        3,
        "",
    ),
    *(
        Row(
            f"compose file: {entry}",
            partial(
                write,
                files={
                    "etc/nftables.conf": DROP,
                    "compose.yml": f"services: {{x: {entry}}}\n"
                    "networks: {of_host: {external: true, name: host}}\n",
                },
            ),
            (".",),
            3 if said else 0,
            "0 TLS listeners" + said,
        )
        for entry, said in (
            (
                "{ports: ['${PORT}:443']}",
                "; not judged: what docker listens on is not known: compo",
            ),
            (
                "{ports: ['443']}",
                "; not judged: what docker listens on is not known: compose.yml:1",
            ),
            ("{ports: ['443:${PORT}']}", "; not judged: the TLS of docker on tcp/443 is not read"),
            (
                "{ports: [",
                "; not judged: what docker listens on is not known: compose.yml is not Y",
            ),
            ("{ports: ['${PORT}:8080']}", ""),
            ("{network_mode: host, image: traefik}", f"{UNKNOWN}: compose.yml:1: a container uses"),
            ("{networks: [of_host]}", f"{UNKNOWN}: compose.yml:1: a container uses the network of"),
            ("{extends: {file: base.yml, service: x}}", f"{UNKNOWN}: compose.yml:1: a container"),
            ("{network_mode: host, image: prom/node-exporter}", ""),
        )
    ),
    *(
        Row(
            f"compose file at {place}",
            partial(
                write,
                files={"etc/nftables.conf": DROP, place: "services: {x: {ports: ['443:443']}}\n"},
            ),
            (".",),
            status,
            "0 TLS listeners" + ("; not judged: the TLS of docker on tcp/443" if status else ""),
        )
        for place, status in (
            ("docker/proxy/docker-compose.yml", 3),
            ("a/b/c/compose.yaml", 3),
            ("tests/compose.yaml", 0),
            ("node_modules/x/docker-compose.yml", 0),
        )
    ),
    Row(
        "compose file beside the directory of the host",
        partial(
            write,
            files={
                "host/etc/nftables.conf": DROP,
                "docker/x/compose.yml": "services: {x: {ports: ['${P:?}:1', '$Q:443']}}\n",
                "docker/x/.env": "Q=443\n",
            },
        ),
        (".",),
        3,
        "0 TLS listeners; not judged: the TLS of docker on tcp/443 is not read",
    ),
    *(
        Row(
            f"containers of units: {path} {line}",
            partial(write, files={"etc/nftables.conf": DROP, f"etc/{path}": line}),
            ("etc",),
            3 if said else 0,
            "0 TLS listeners" + said,
        )
        for path, line, said in (
            (QUADLET, "PublishPort=443:443\n", "; not judged: the TLS of docker on tcp/443"),
            (QUADLET, "Network=host\n", f"{UNKNOWN}: etc/containers/systemd/x.container:1"),
            (QUADLET, "PublishPort=127.0.0.1:443:443\n", ""),
            (UNIT, RUN + "run --rm -p 443:443 nginx\n", "; not judged: the TLS of docker on tcp/4"),
            (UNIT, RUN + "run --publish=8443:443 nginx\n", "; not judged: the TLS of docker on t"),
            (UNIT, RUN + "run -p80:80 nginx\n", ""),
            (UNIT, RUN + "run --net=host nginx\n", f"{UNKNOWN}: etc/systemd/system/web.service:2"),
            (UNIT, RUN + "run -p $PORT:443 nginx\n", f"{UNKNOWN}: etc/systemd/system/web.service:"),
            (UNIT, RUN + "compose -f /opt/x/prod.yml up\n", f"{UNKNOWN}: etc/systemd/system/web.s"),
            (UNIT, RUN + "pull nginx\n", ""),
        )
    ),
    Row(
        "Apache without TLS",
        partial(
            write,
            files={
                "etc/apache2/apache2.conf": "Include ports.conf\n",
                "etc/apache2/ports.conf": "Listen 80\n<IfModule ssl_module>\nListen 443\n"
                "</IfModule>\n",
                "etc/nftables.conf": DROP,
            },
        ),
        ("etc",),
        0,
        "0 TLS listeners",
    ),
    Row(
        "template of a port",
        partial(write, files={"nginx.conf": TLS.replace("443", "{{ port }}"), "rules.nft": ACCEPT}),
        ("nginx.conf", "rules.nft"),
        3,
        "0 TLS listeners; not judged: nginx has no listener that is known",
    ),
    Row(
        "template of a certificate",
        partial(
            write,
            files={"nginx.conf": TLS.replace("/etc/ssl/shop", "{{ name }}"), "rules.nft": ACCEPT},
        ),
        ("nginx.conf", "rules.nft"),
        0,
        "1 TLS listener: 1 open",
    ),
    Row(
        "compose file that publishes no TLS port",
        partial(
            write,
            files={
                "etc/nftables.conf": ACCEPT,
                "etc/nginx/nginx.conf": TLS,
                "compose.yml": "services: {x: {ports: ['127.0.0.1:443:443', '8080:80']}}\n",
            },
        ),
        (".",),
        0,
        "1 TLS listener: 1 open",
    ),
    Row(
        "mail host of which only etc was copied",
        lambda b: whole(
            b, {**debian_dovecot("imap", "lmtp"), "etc/nftables.conf": DROP}, "dovecot.service"
        ),
        ("etc", "--fail-on", "never"),
        0,
        "2 TLS listeners: 2 open",
    ),
    Row(
        "mail host of which part of etc was copied",
        partial(write, files={**debian_dovecot("imap"), "etc/nftables.conf": ACCEPT}),
        ("etc", "--fail-on", "never"),
        0,
        "2 TLS listeners: 2 open",
    ),
    Row(
        "mail host without any sign of its protocols",
        partial(write, files={**debian_dovecot(), "etc/nftables.conf": ACCEPT}),
        ("etc", "--fail-on", "never"),
        3,
        "not judged: whether it is opened is not known: the enabled protocols are set",
    ),
    Row(
        "a server that the configuration excludes",
        partial(
            write,
            files={
                ".git/HEAD": "",
                ".sslint.yaml": "exclude: [etc/nginx]\n",
                "etc/nginx/nginx.conf": TLS,
                "etc/nftables.conf": DROP,
            },
        ),
        (".",),
        0,
        "0 TLS listeners",
    ),
    Row(
        "plain http",
        partial(write, files={"etc/nginx/nginx.conf": PLAIN, "etc/nftables.conf": ACCEPT}),
        ("etc",),
        0,
        "0 TLS listeners",
    ),
    Row(
        "plain http in a repository",
        partial(write, files={"host/etc/nginx/nginx.conf": PLAIN}),
        (".",),
        0,
        "0 TLS listeners",
    ),
    Row(
        "a ruleset alone",
        partial(write, files={"rules.nft": ACCEPT}),
        ("rules.nft",),
        0,
        "0 TLS listeners",
    ),
    Row(
        "documents alone",
        partial(write, files={"zone": "$ORIGIN example.org.\n@ 300 IN MX 10 mail\n"}),
        ("zone",),
        0,
        "0 TLS listeners",
    ),
    Row(
        "one family not judged",
        partial(write, files={"etc/nginx/nginx.conf": BOTH, "etc/iptables/rules.v4": V4}),
        ("etc",),
        3,
        "2 TLS listeners: 1 open; 1 not judged: ",
    ),
    Row(
        "one family not judged, and no unknown may be",
        partial(write, files={"etc/nginx/nginx.conf": BOTH, "etc/iptables/rules.v4": V4}),
        ("etc", "--fail-on", "unknown"),
        3,
        "2 TLS listeners: 1 open; 1 not judged: ",
    ),
    Row(
        "loopback is no verdict",
        partial(
            write,
            files={
                "etc/nginx/nginx.conf": TLS.replace(
                    "listen 443 ssl;", "listen 443 ssl; listen 127.0.0.1:444 ssl;"
                )
            },
        ),
        ("etc",),
        3,
        "2 TLS listeners: 1 closed; 1 not judged: " + PASTE,
    ),
    Row(
        "a server that is not enabled",
        lambda b: whole(b, {"etc/nginx/nginx.conf": TLS}),
        ("etc",),
        3,
        "1 TLS listener; not judged: whether it is opened is not known: nginx.service is not",
    ),
    *(
        Row(
            f"1 wins over 3: a closed port beside a server without a verdict, {flags}",
            partial(
                write,
                files={
                    "etc/nginx/nginx.conf": TLS,
                    "etc/haproxy/haproxy.cfg": "frontend x\n bind :$P\n",
                    "etc/nftables.conf": DROP,
                },
            ),
            ("etc", *flags),
            status,
            "1 TLS listener: 1 closed; not judged: what haproxy listens on is not known",
        )
        for flags, status in (((), 1), (("--fail-on", "unknown"), 1), (("--fail-on", "never"), 3))
    ),
    Row(
        "no firewall, and nothing fails",
        lambda b: write(b, {"etc/nginx/nginx.conf": TLS}),
        ("etc", "--fail-on", "never"),
        3,
        NOT_HERE,
    ),
)


# Without these root reads no more than the modes of the files let anyone.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
RUN_ALL = """
import contextlib, io, json, os, sys
from sslint.cli import main
for place, *arguments in json.load(sys.stdin):
    os.chdir(place)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(["check", *arguments])
    print(json.dumps([status, out.getvalue()]))
"""


@pytest.fixture(scope="session")
def as_another(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """What each row ends in for a user who may read only what its mode allows."""
    if shutil.which(UNPRIVILEGED[0]) is None:
        pytest.skip("no setpriv")
    commands = []
    for row in ROWS:
        place = tmp_path_factory.mktemp("row")
        row.make(place)
        commands.append((str(place), *row.arguments))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SSLINT_")}
    done = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", RUN_ALL],
        input=json.dumps(commands),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {row.name: tuple(one) for row, one in zip(ROWS, found, strict=True)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_run_ends_in(row: Row, tmp_path: Path, monkeypatch, capsys) -> None:
    row.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    status = main(["check", *row.arguments])
    expected = (row.status, row.judged)
    compare(status, capsys.readouterr().out, expected if os.geteuid() == 0 else row.unprivileged)


@pytest.mark.skipif(os.geteuid() != 0, reason="the test before this ran as another user")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_run_of_another_user_ends_in(row: Row, as_another) -> None:
    compare(*as_another[row.name], row.unprivileged)


def compare(status: int, text: str, expected: tuple[int, str]) -> None:
    last = text.rstrip("\n").rpartition("\n")[2]
    assert (status, expected[1] in last) == (expected[0], True), text


def test_no_row_is_green_without_a_verdict() -> None:
    for row in ROWS:
        if row.status == 0:
            assert "open" in row.judged or "closed" in row.judged or row.judged == "0 TLS listeners"


# -- the report -------------------------------------------------------------------------------


@pytest.mark.parametrize("host", sound_hosts())
def test_every_sound_host_is_judged(host: str, capsys) -> None:
    (judged,) = report(capsys, SOUND / host)["judged"]
    assert judged["enough"]
    assert judged["tls_listeners"] > 0
    assert judged["unknown"] == 0
    assert {gap["code"] for gap in judged["not_judged"]} <= {"certificates-unread"}


def test_a_certificate_that_was_not_read_is_named(capsys, tmp_path: Path) -> None:
    write(tmp_path, {"etc/nginx/nginx.conf": TLS, "etc/nftables.conf": ACCEPT})
    (judged,) = report(capsys, tmp_path)["judged"]
    assert judged["enough"]
    assert judged["certificates"] == {"read": 0, "unread": 1}
    (gap,) = judged["not_judged"]
    assert (gap["code"], gap["certificates"]) == ("certificates-unread", ["/etc/ssl/shop.pem"])
    write(tmp_path, {"etc/ssl/shop.pem": pki.pem(pki.leaf(("shop.example.org",)))})
    assert report(capsys, tmp_path)["judged"][0]["certificates"] == {"read": 1, "unread": 0}
    write(tmp_path, {"etc/ssl/shop.pem": "$ANSIBLE_VAULT;1.1;AES256\n"})
    assert report(capsys, tmp_path)["judged"][0]["certificates"] == {"read": 0, "unread": 1}
    main(["check", str(tmp_path), "-v"])
    assert "certificate not read: /etc/ssl/shop.pem\n" in capsys.readouterr().out
    main(["check", str(tmp_path)])
    assert "certificate not read" not in capsys.readouterr().out


def test_each_reason_has_its_code_and_its_ports(capsys, tmp_path: Path) -> None:
    write(tmp_path, {"etc/nginx/nginx.conf": TLS.replace("443 ssl", "8443 ssl")})
    (judged,) = report(capsys, tmp_path)["judged"]
    assert not judged["enough"]
    assert judged["unknown"] == judged["tls_listeners"] == 1
    assert judged["not_judged"][:-1] == [
        {"code": "no-firewall", "reason": PASTE, "tls_listeners": 1, "ports": ["tcp/8443"]}
    ]


def test_the_schema_knows_every_reason() -> None:
    host = json.loads(schema_text("report"))["properties"]["judged"]["items"]["properties"]
    codes = host["not_judged"]["items"]["properties"]["code"]["enum"]
    assert sorted(codes) == sorted(why.value for why in Why)


def test_each_host_of_a_run_must_be_judged(capsys, tmp_path: Path) -> None:
    copy(EXAMPLES / "sound", tmp_path / "a")
    write(tmp_path, {"b/etc/nginx/nginx.conf": TLS})
    assert main(["check", str(tmp_path), "--fail-on", "never"]) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"11 TLS listeners: 10 open; 1 not judged: {PASTE} (b)")
    assert main(["endpoints", str(tmp_path)]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == last


def report(capsys, path: Path) -> dict:
    main(["check", str(path), "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads(schema_text("report")))
    return found


def test_firewall_none_is_printed_as_such(capsys, tmp_path: Path) -> None:
    write(tmp_path, {"etc/nginx/nginx.conf": TLS})
    assert main(["check", str(tmp_path), "--firewall", "none"]) == 0
    said = capsys.readouterr().out
    assert "assumed: this host filters nothing (firewall: none, as configured)\n" in said
    assert "\n1 TLS listener: 1 open; certificates:" in said


def test_a_whole_etc_says_why_it_is_open(capsys, tmp_path: Path) -> None:
    files = {"etc/nginx/nginx.conf": TLS, "etc/ufw/ufw.conf": "ENABLED=no\n"}
    whole(tmp_path, files, "nginx.service", "ufw.service")
    assert main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "assumed: this host filters nothing (/etc is complete and starts no" in said
    assert "ENABLED=no in /etc/ufw/ufw.conf" in said


@pytest.mark.parametrize("name", ["passwd", "shadow", "fstab", "debian_version", "systemd"])
def test_a_part_of_etc_says_nothing_of_what_it_lacks(capsys, tmp_path: Path, name: str) -> None:
    whole(tmp_path, {"etc/nginx/nginx.conf": TLS}, "nginx.service")
    path = tmp_path / "etc" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["check", str(tmp_path)]) == 3
    assert PASTE in capsys.readouterr().out


ACKNOWLEDGED = "not_judged: [{code: no-firewall, ports: [tcp/443], because: a cloud's firewall}]\n"


def configured(base: Path, text: str) -> Path:
    return write(base, {".git/HEAD": "", ".sslint.yaml": text, "etc/nginx/nginx.conf": TLS})


def test_what_is_acknowledged_does_not_make_status_3(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(configured(tmp_path, ACKNOWLEDGED))
    for command in ("check", "endpoints"):
        assert main([command, "."]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith("1 TLS listener; acknowledged as not judged: 1")
    (judged,) = report(capsys, Path("."))["judged"]
    assert judged["enough"]
    assert judged["not_judged"][0]["because"] == "a cloud's firewall"
    assert main(["check", ".", "--fail-on", "unknown"]) == 3  # the certificate
    both = ACKNOWLEDGED + "  - {code: certificates-unread, because: another host has them}\n"
    both = both.replace("[{code", "\n  - {code", 1).replace("}]", "}")
    configured(tmp_path, both)
    assert main(["check", ".", "--fail-on", "unknown"]) == 0


@pytest.mark.parametrize(
    "entry",
    [
        "code: no-firewall, ports: [tcp/8443], because: x",
        "code: no-firewall, ports: [udp/443], because: x",
        "code: no-firewall, host: other*, because: x",
        "code: certificates-unread, ports: [tcp/8443], because: x",
        "code: undecided, because: x",
    ],
)
def test_an_entry_acknowledges_only_what_it_names(
    capsys, tmp_path: Path, monkeypatch, entry: str
) -> None:
    monkeypatch.chdir(configured(tmp_path, f"not_judged: [{{{entry}}}]\n"))
    assert main(["check", "."]) == 3
    err = capsys.readouterr().err
    assert ".sslint.yaml:1: not_judged.0: " in err
    assert "is judged, or not there any more; remove the entry" in err


def test_an_entry_that_counts_is_not_stale(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(configured(tmp_path, ACKNOWLEDGED))
    main(["check", "."])
    assert "remove the entry" not in capsys.readouterr().err
    main(["check", ".", "--firewall", "none"])
    assert "remove the entry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("code: file-unread, because: x", "code"),
        ("code: undecided", "because"),
        ("code: undecided, because: ' '", "because"),
        ("code: undecided, because: x, ports: [ssh]", "ports"),
    ],
)
def test_an_entry_that_means_nothing_is_refused(
    capsys, tmp_path: Path, monkeypatch, entry: str, said: str
) -> None:
    monkeypatch.chdir(configured(tmp_path, f"not_judged: [{{{entry}}}]\n"))
    assert main(["check", "."]) == 2
    err = capsys.readouterr().err
    assert ".sslint.yaml:1" in err
    assert said in err


def test_the_settings_know_every_code_but_a_files() -> None:
    entry = json.loads(schema_text("config"))["properties"]["not_judged"]["items"]["properties"]
    assert {*entry["code"]["enum"], "file-unread"} == {why.value for why in Why}


def test_the_last_line_names_the_way_out(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"etc/nginx/nginx.conf": TLS, "etc/csf/csf.conf": 'TCP_IN = "443"\n'})
    assert main(["check", "etc"]) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert "; to settle it: --firewall FILE or not_judged in .sslint.yaml" in last
    write(tmp_path, {"b/etc/nginx/nginx.conf": TLS, "b/etc/nftables.conf": "table inet {\n"})
    assert main(["check", "b/etc"]) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert "to settle it: --firewall FILE or not_judged" in last


def test_the_last_line_counts_the_hosts(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(write(tmp_path, {".git/HEAD": ""}))
    for name, rules in (("a", ACCEPT), ("b", ACCEPT), ("c", "")):
        write(tmp_path, {f"{name}/etc/nginx/nginx.conf": TLS})
        if rules:
            write(tmp_path, {f"{name}/etc/nftables.conf": rules})
    assert main(["check", "."]) == 3
    assert "; hosts: 2 judged, 1 not" in capsys.readouterr().out.splitlines()[-1]
    assert report(capsys, Path("."))["summary"]["unjudged"] == 1
