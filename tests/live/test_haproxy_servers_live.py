"""HAProxy before nginx: whether a request is answered, and whether a finding says why not."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sslint.checker import check
from sslint.host import read
from sslint.targets import Target
from tests.live import selfsigned
from tests.support import tree_of
from tests.test_rules import RULES

NGINX = """pid %(base)s/pid; error_log stderr; events {}
http { access_log off;
ssl_certificate %(base)s/cert.pem; ssl_certificate_key %(base)s/key.pem;
server { listen 127.0.0.1:8081%(listen)s; return 200; } }
"""
HAPROXY = """defaults
    mode %(mode)s
    retries 0
    timeout connect 2s
    timeout client 1s
    timeout server 1s
%(default)sfrontend front
    bind 127.0.0.1:8080
    default_backend web
backend web
    server one 127.0.0.1:8081%(server)s
backend unused
    server one 127.0.0.1:8081 ssl verify none send-proxy
"""
PROXIES = ("proxy-protocol-inconsistent", "upstream-scheme-mismatch")
# What a client of the proxy does: it speaks TLS itself where the proxy passes it on.
ASK = """
import ssl, socket, subprocess, sys, time
for _ in range(200):
    if subprocess.run(["ss", "-Hltn"], capture_output=True).stdout.count(b"LISTEN") == 2: break
    time.sleep(0.05)
try:
    client = socket.create_connection(("127.0.0.1", 8080), 5)
    if sys.argv[1] == "tls":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = context.wrap_socket(client)
    client.sendall(b"GET / HTTP/1.0\\r\\nHost: a\\r\\n\\r\\n")
    print(client.recv(1000).split(b"\\r\\n")[0].decode())
except OSError as error:
    print(error)
"""


def answered(base: Path, client: str) -> bool:
    """Start both, and tell whether a request gets nginx's page."""
    inside = (
        f"ip link set lo up; nginx -g 'daemon off;' -c {base}/nginx.conf & "
        f'haproxy -db -f {base}/haproxy.cfg & {sys.executable} -c "$0" {client}'
    )
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", inside, ASK],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process:  # which closes its pipe
        try:
            said = process.stdout.readline()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    return b" 200" in said


@pytest.mark.live("nginx", "haproxy", "unshare", "ip", "ss")
@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_a_finding_says_why_a_request_fails(mode: str, tmp_path: Path) -> None:
    certificate, key, _ = selfsigned.certificate("a", selfsigned.new_key("ec"))
    options = itertools.product(("", " ssl"), ("", " proxy_protocol"), ("", " ssl"), (0, 1, 2))
    for number, (secure, header, ssl, sends) in enumerate(options):
        base = tmp_path / str(number)
        base.mkdir()
        (base / "cert.pem").write_text(certificate)
        (base / "key.pem").write_text(key)
        server = f"{ssl} verify none" if ssl else ""
        default = "    default-server send-proxy-v2\n" if sends == 2 else ""
        values = {
            "base": base,
            "listen": secure + header,
            "mode": mode,
            "default": default,
            "server": server + (" send-proxy" if sends == 1 else ""),
        }
        files = {"nginx.conf": NGINX % values, "haproxy.cfg": HAPROXY % values}
        for name, text in files.items():
            (base / name).write_text(text)
        tree = tree_of({f"/etc/{name[:-5]}/{name}": text for name, text in files.items()}
                       | {"/etc/haproxy/haproxy.cfg": files["haproxy.cfg"]})  # fmt: skip
        found = check([Target("host", tree)], [RULES[name] for name in PROXIES]).findings
        # In TCP mode a client may speak what the listener does.
        client = "tls" if mode == "tcp" and secure and not ssl else "plain"
        assert answered(base, client) is not bool(found), (values, found)


BINDS = ("443", "ipv4@443", "127.0.0.1", "*", "*:443", ":443", "ipv4@:443", "127.0.0.1:443",
         ":80,443", ":80,:443", "::", ":::443", "[::]:443", "/run/s", "unix@s", "quic4@443",
         "tcp4@:443", "localhost:443", "localhost")  # fmt: skip


@pytest.mark.live("haproxy")
def test_a_bind_without_a_port_is_refused(tmp_path: Path) -> None:
    text = "defaults\n timeout client 9s\nfrontend f\n bind {}\n bind :8443\n"
    config = tmp_path / "haproxy.cfg"
    for bind in BINDS:
        config.write_text(text.format(bind))
        starts = not subprocess.run(["haproxy", "-c", "-f", config], capture_output=True).returncode
        tree = tree_of({"/etc/haproxy/haproxy.cfg": text.format(bind)})
        (reading,) = read(Target("h", tree)).readings
        known = all("names no port" not in one.text for one in reading.refusals)
        assert known is starts, bind
