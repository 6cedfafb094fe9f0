"""What certbot does on a host when a certificate is due, without an authority to talk to."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from configobj import ConfigObj

from tests import pki
from tests.live.evidence.clients import fetch
from tests.live.evidence.lab import Host, until
from tests.live.hosts.lab import CLIENT, HOST

CHALLENGE = "/.well-known/acme-challenge/token"
PROOF = "token.thumbprint"
# The hooks speak to systemd, and the lab has none.
SYSTEMCTL = """#!/bin/sh
case $1 in
    reload)
        case $2 in
            nginx) nginx -s reload ;;
            dovecot) doveadm reload ;;
        esac ;;
    stop) nginx -s stop; while [ -e /run/nginx.pid ]; do sleep 0.02; done ;;
    start) nginx > /dev/null 2>&1 ;;
esac
"""


def http01(host: Host, name: str, authority: str = CLIENT[4]) -> tuple[int, str]:
    """Prove that a name is this host's; return what an authority at an address gets on port 80.

    Raise OSError where certbot cannot listen.
    """
    settings = _settings(host, name)
    if settings["authenticator"] == "standalone":
        with _stopped(host, settings), _standalone(host):
            return host.outside(fetch, HOST[4], name, CHALLENGE, authority)
    webroot = settings["webroot_map"][name]
    path = host.root / webroot.lstrip("/") / CHALLENGE.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PROOF)
    return host.outside(fetch, HOST[4], name, CHALLENGE, authority)


def _settings(host: Host, name: str) -> dict[str, Any]:
    path = host.root / f"etc/letsencrypt/renewal/{name}.conf"
    settings: dict[str, Any] = ConfigObj(str(path))["renewalparams"]
    return settings


@contextlib.contextmanager
def _stopped(host: Host, settings: dict[str, Any]) -> Iterator[None]:
    """Run the pre hook and, whatever happens, the post hook."""
    if "pre_hook" in settings:
        _hook(host, "sh", "-c", settings["pre_hook"])
    try:
        yield
    finally:
        if "post_hook" in settings:
            _hook(host, "sh", "-c", settings["post_hook"])


@contextlib.contextmanager
def _standalone(host: Host) -> Iterator[None]:
    """Serve the challenge; IPv6 and IPv4 are tried, and one of them is enough."""
    servers = []
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            servers.append(host.inside(_Server.of, family, address))
        except OSError as error:
            failed = error
    if not servers:
        raise failed
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    @classmethod
    def of(cls, family: socket.AddressFamily, address: str) -> _Server:
        kind = type("Server", (cls,), {"address_family": family})
        server: _Server = kind((address, 80), _Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == CHALLENGE else 404)
        self.end_headers()
        self.wfile.write(PROOF.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def renew(host: Host, name: str) -> str:
    """Put a new certificate where certbot puts it, run the deploy hooks, and return it."""
    live = host.root / "etc/letsencrypt/live" / name
    chain, key = pki.files({"names": [name], "left": 89, "own_key": "renewed"})
    (live / "fullchain.pem").write_text(chain)
    (live / "privkey.pem").write_text(key)
    for hook in sorted((host.root / "etc/letsencrypt/renewal-hooks/deploy").glob("*")):
        if os.access(hook, os.X_OK):
            _hook(host, f"/etc/letsencrypt/renewal-hooks/deploy/{hook.name}")
    if "renew_hook" in _settings(host, name):
        _hook(host, "sh", "-c", _settings(host, name)["renew_hook"])
    return chain


def reload(host: Host, server: str) -> None:
    """Reload a server, as systemd would."""
    _hook(host, "systemctl", "reload", server)


def until_reloaded(host: Host, before: set[str]) -> None:
    """Wait until these workers are gone."""
    until(lambda: before.isdisjoint(workers(host)) and bool(workers(host)))


def workers(host: Host) -> set[str]:
    """Return the process ids of nginx's workers."""
    master = (host.root / "run/nginx.pid").read_text().strip()
    return set((host.root / f"proc/{master}/task/{master}/children").read_text().split())


def _hook(host: Host, *command: str) -> None:
    programs = host.root / "run/programs"
    programs.mkdir(exist_ok=True)
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    host.run("env", f"PATH=/run/programs:{os.environ['PATH']}:/usr/sbin", *command)
