"""Programs that may serve TLS and have no reader: how their files say that they do.

Of these only that they may speak TLS, and on which port by all appearance, is told: no socket of
theirs is certain. One whose files bind it to loopback alone is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sslint.servers.listening import Listener, files, leads_away
from sslint.tree import Status, Tree
from sslint.values import dataclass

NOT_READ = "its configuration is not read"


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its files, the lines that show TLS, its ports.

    `shows`: one line of each must be there; `unless`: none of it. `port` finds one that is set.
    """

    name: str
    units: tuple[str, ...]
    files: tuple[str, ...]
    shows: tuple[str, ...]
    ports: tuple[int, ...]
    port: str = ""
    unless: str = ""


_LOCAL = r"[ \t=]+['\"]?(?:localhost|127\.\d+\.\d+\.\d+|-?::1)(?:[ ,]+-?::1)?['\"]?[ \t]*(?:#.*)?$"

PROGRAMS = (
    Program(
        "vsftpd",
        ("vsftpd",),
        ("/etc/vsftpd.conf", "/etc/vsftpd/vsftpd.conf"),
        ("ssl_enable=(?i:yes|true|1)",),
        (21,),
        r"listen_port=(\d+)",
    ),
    Program(
        "proftpd",
        ("proftpd",),
        ("/etc/proftpd.conf", "/etc/proftpd/proftpd.conf", "/etc/proftpd/conf.d/*.conf"),
        (r"(?i:TLSEngine\s+on|Include\s+/etc/proftpd/tls\.conf)",),
        (21,),
        r"(?i:Port)[ \t]+(\d+)",
    ),
    Program(
        "pure-ftpd",
        ("pure-ftpd",),
        ("/etc/pure-ftpd/conf/TLS", "/etc/pure-ftpd/pure-ftpd.conf"),
        (r"(?:TLS[ \t]+)?[123][ \t]*$",),
        (21,),
    ),
    Program(
        "slapd",
        ("slapd",),
        ("/etc/default/slapd", "/etc/sysconfig/slapd"),
        (r"SLAPD_(?:SERVICES|URLS)=.*ldaps://",),
        (636,),
    ),
    Program(
        "slapd",
        ("slapd",),
        ("/etc/ldap/slapd.d/cn=config.ldif", "/etc/openldap/slapd.d/cn=config.ldif"),
        ("olcTLSCertificateFile:",),
        (389,),
    ),
    Program(
        "slapd",
        ("slapd",),
        ("/etc/ldap/slapd.conf", "/etc/openldap/slapd.conf"),
        ("(?i:TLSCertificateFile)[ \t]",),
        (389,),
    ),
    Program(
        "postgresql",
        ("postgresql",),
        ("/etc/postgresql/*/*/postgresql.conf", "/etc/postgresql/*/*/conf.d/*.conf"),
        (r"ssl[ \t=]+'?(?i:on|true|yes|1)\b", "listen_addresses[ \t=]"),
        (5432,),
        r"port[ \t=]+(\d+)",
        "listen_addresses" + _LOCAL,
    ),
    Program(
        "pgbouncer",
        ("pgbouncer",),
        ("/etc/pgbouncer/pgbouncer.ini",),
        (r"client_tls_sslmode[ \t]*=[ \t]*(?:allow|prefer|require|verify)",),
        (6432,),
        r"listen_port[ \t=]+(\d+)",
        "listen_addr" + _LOCAL,
    ),
    Program(
        "mariadb",
        ("mariadb", "mysql", "mysqld"),
        ("/etc/mysql/my.cnf", "/etc/my.cnf", "/etc/mysql/*/*.cnf", "/etc/my.cnf.d/*.cnf"),
        (r"ssl[-_]cert[ \t]*=",),
        (3306,),
        r"port[ \t=]+(\d+)",
        "bind[-_]address" + _LOCAL,
    ),
    Program(
        "redis",
        ("redis-server", "redis", "valkey-server", "valkey"),
        ("/etc/redis/*.conf", "/etc/valkey/*.conf"),
        (r"tls-port[ \t]+[1-9]",),
        (6379,),
        r"tls-port[ \t]+(\d+)",
        "bind" + _LOCAL,
    ),
    Program(
        "prosody", ("prosody",), ("/etc/prosody/prosody.cfg.lua",), ("VirtualHost",), (5222, 5269)
    ),
    Program(
        "ejabberd",
        ("ejabberd",),
        ("/etc/ejabberd/ejabberd.yml",),
        (r"certfiles:|(?:- )?(?:star)?tls(?:_required)?: true",),
        (5222, 5269),
    ),
    Program("cockpit", ("cockpit.socket",), ("/etc/cockpit/ws-certs.d/*.cert",), ("",), (9090,)),
    Program(
        "webmin", ("webmin",), ("/etc/webmin/miniserv.conf",), ("ssl=1",), (10000,), r"port=(\d+)"
    ),
    Program(
        "mosquitto",
        ("mosquitto",),
        ("/etc/mosquitto/mosquitto.conf", "/etc/mosquitto/conf.d/*.conf"),
        ("certfile[ \t]",),
        (8883,),
        r"listener[ \t]+(\d+)",
    ),
    Program(
        "rabbitmq",
        ("rabbitmq-server",),
        ("/etc/rabbitmq/rabbitmq.conf",),
        (r"(?:listeners\.ssl|ssl_options)\.",),
        (5671,),
        r"listeners\.ssl\.\w+[ \t]*=[ \t]*(?:\S+:)?(\d+)",
    ),
    Program(
        "squid",
        ("squid",),
        ("/etc/squid/squid.conf", "/etc/squid/conf.d/*.conf"),
        ("https_port[ \t]",),
        (3129,),
        r"https_port[ \t]+(?:\S+:)?(\d+)",
    ),
    Program("hitch", ("hitch",), ("/etc/hitch/hitch.conf",), ("pem-(?:file|dir)",), (443,)),
    Program("sslh", ("sslh",), ("/etc/sslh.cfg", "/etc/sslh/sslh.cfg"), ("protocols",), (443,)),
    Program(
        "ocserv",
        ("ocserv",),
        ("/etc/ocserv/ocserv.conf",),
        ("server-cert[ \t=]",),
        (443,),
        r"tcp-port[ \t=]+(\d+)",
    ),
    Program(
        "coturn",
        ("coturn",),
        ("/etc/turnserver.conf", "/etc/coturn/turnserver.conf"),
        ("cert=",),
        (5349,),
        r"tls-listening-port=(\d+)",
    ),
    Program(
        "opensmtpd",
        ("opensmtpd", "smtpd"),
        ("/etc/smtpd.conf", "/etc/opensmtpd/smtpd.conf"),
        (r"listen on (?!lo\d?\b|localhost|127\.|socket).*(?:tls|smtps)",),
        (25,),
        r"listen on .*port (\d+)",
    ),
    Program(
        "sendmail", ("sendmail",), ("/etc/mail/sendmail.cf",), ("O[ \t]+ServerCertFile=",), (25,)
    ),
    Program(
        "courier",
        ("courier-imap-ssl", "courier-imap"),
        ("/etc/courier/imapd-ssl",),
        ("(?:IMAPDSSLSTART|IMAPDSTARTTLS)=(?i:yes)",),
        (143, 993),
    ),
    Program(
        "courier",
        ("courier-pop-ssl", "courier-pop"),
        ("/etc/courier/pop3d-ssl",),
        ("(?:POP3DSSLSTART|POP3_STARTTLS)=(?i:yes)",),
        (110, 995),
    ),
    Program(
        "traefik",
        ("traefik",),
        tuple(f"/etc/traefik/traefik.{suffix}" for suffix in ("yml", "yaml", "toml")),
        (r".*(?:websecure|:443\b)",),
        (443,),
    ),
    Program(
        "envoy",
        ("envoy",),
        ("/etc/envoy/envoy.yaml",),
        (".*(?:DownstreamTlsContext|tls_context)",),
        (443,),
        r"port_value:[ \t]*(\d+)",
    ),
    Program(
        "angie",
        ("angie",),
        ("/etc/angie/angie.conf", "/etc/angie/http.d/*.conf", "/etc/angie/sites-enabled/*"),
        (r"listen[ \t].*\b(?:ssl|quic)\b",),
        (443,),
        r"listen[ \t]+(?:\S+:)?(\d+)[ \t].*\b(?:ssl|quic)\b",
    ),
    Program(
        "h2o",
        ("h2o",),
        ("/etc/h2o/h2o.conf", "/etc/h2o.conf"),
        ("ssl:",),
        (443,),
        r"port:[ \t]*(\d+)",
    ),
    Program(
        "gitlab",
        ("gitlab-runsvdir",),
        ("/etc/gitlab/gitlab.rb",),
        (r"external_url[ \t(]*['\"]https://",),
        (443,),
    ),
    Program(
        "dnsdist",
        ("dnsdist",),
        ("/etc/dnsdist/dnsdist.conf", "/etc/dnsdist/dnsdist.yml"),
        (".*(?:addTLSLocal|addDOHLocal|addDOH3Local|addDOQLocal|protocol: DoT)",),
        (853,),
    ),
    Program(
        "grafana",
        ("grafana-server",),
        ("/etc/grafana/grafana.ini",),
        (r"protocol[ \t=]+(?:https|h2)\b",),
        (3000,),
        r"http_port[ \t=]+(\d+)",
        "http_addr" + _LOCAL,
    ),
    Program(
        "cups",
        ("cups", "cups.socket"),
        ("/etc/cups/cupsd.conf",),
        (r"(?i:SSLListen|SSLPort|Port|Listen)[ \t]+(?!localhost|127\.|\[?::1|/)\S",),
        (631,),
    ),
)


def unread(tree: Tree) -> Iterator[Listener]:
    """Yield a listener for each port that such a program may serve TLS on."""
    present = {f"/etc/{name}" for name in tree.names("/etc")}
    for program in PROGRAMS:
        # Most are on no host: one listing of /etc tells.
        paths = [p for p in program.files if "/".join(p.split("/", 3)[:3]) in present]
        found = list(files(tree, *paths))
        if not found or any(_line(file.text, program.unless) for file in found if program.unless):
            continue
        if not all(any(_line(file.text, show) for file in found) for show in program.shows):
            continue
        shown = next(file for file in found if _line(file.text, program.shows[0]))
        match = _line(shown.text, program.shows[0])
        location = shown.span(match.start()) if match and program.shows[0] else shown.at(1)
        for port in _ports(program, [file.text for file in found]):
            yield Listener(
                program.name,
                program.name,
                port,
                location,
                tls="unknown",
                service=program.name,
                certain=False,
                reasons=(f"{location.path}: {NOT_READ}",),
            )


def unreadable(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield the programs of which a file is there that may not be read or was not given."""
    present = {f"/etc/{name}" for name in tree.names("/etc")}
    for program in PROGRAMS:
        for path in program.files:
            if "*" in path or "/".join(path.split("/", 3)[:3]) not in present:
                continue
            status = tree.status(path)
            hidden = status is Status.UNKNOWN and not tree.is_excluded(path)
            shut = status is Status.FILE and tree.try_read(path, decisive=False) is None
            if hidden or shut or leads_away(tree, path):
                yield program.name, path


def _line(text: str, pattern: str) -> re.Match[str] | None:
    return re.search(rf"^[ \t]*(?:{pattern})", text, re.M)


def _ports(program: Program, texts: list[str]) -> tuple[int, ...]:
    if program.port:
        for text in texts:
            match = _line(text, program.port)
            port = match and next((group for group in match.groups() if group), None)
            if port is not None and len(port) < 6 and 0 < int(port) < 65536:
                return (int(port),)
    return program.ports
