"""nginx's mail blocks: which protocol a server speaks, and what it needs to start."""

from __future__ import annotations

from sslint.reasons import Code
from sslint.servers.nginx.blocks import Server
from sslint.servers.nginx.certificates import uses_starttls
from sslint.servers.nginx.directives import Refuse
from sslint.servers.nginx.sockets import Socket

# src/mail/ngx_mail_{imap,pop3,smtp}_module.c
_PORTS = {143: "imap", 993: "imap", 110: "pop3", 995: "pop3", 25: "smtp", 465: "smtp", 587: "smtp"}
_IMPLICIT = {"imap": "imaps", "pop3": "pop3s"}
_SMTP = {465: "submissions", 587: "submission"}


def protocol(server: Server) -> str | None:
    """Return the protocol of a mail server block: as stated, else by its first known port."""
    stated = server.own("protocol")
    if stated and stated[-1].args:
        return stated[-1].args[0].lower()
    for listen in server.listens:
        # ngx_mail_core_listen looks at the first port of a range only.
        for _, port in listen.addresses[:1]:
            if port in _PORTS:
                return _PORTS[port]
    return None


def endpoint_protocol(server: Server, socket: Socket, implicit: bool) -> str:
    """Return what an endpoint of a mail server is called."""
    name = protocol(server) or "mail"
    if name == "smtp":
        return _SMTP.get(socket.port, "smtp")
    return _IMPLICIT.get(name, name) if implicit else name


def check(server: Server, has_certificate: bool, refuse: Refuse) -> None:
    """Refuse a mail server that lacks what nginx demands (ngx_mail_core_merge_srv_conf)."""
    if server.unknown is not None:
        return
    where = server.directive.location
    wants = any("ssl" in item.flags for item in server.listens)
    starttls = uses_starttls(server) != "off"
    if (wants or starttls) and not has_certificate:
        word = "listen ... ssl" if wants else "starttls"
        text = f'no "ssl_certificate" is defined for the "{word}" directive'
        refuse(where, text, Code.NO_CERTIFICATE)
    if not server.has("auth_http") and "auth_http" not in server.outer:
        refuse(where, 'no "auth_http" is defined for server')
    if server.listens and protocol(server) is None:
        refuse(where, "unknown mail protocol for server")
