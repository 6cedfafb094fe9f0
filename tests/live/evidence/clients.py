"""Real clients: what they say when they reach a server, and when they do not."""

from __future__ import annotations

import contextlib
import errno
import http.client
import re
import smtplib
import socket
import ssl
import subprocess
from pathlib import Path

from tests import pki

PATIENCE = 1.6  # seconds until an attempt to connect is given up; SYN is sent again after one
SILENCE = 4.0  # seconds without an answer that count as none
ANSWER = 15.0  # seconds for an answer that must come


def connect(address: str, port: int, source: str = "") -> str:
    """Return "connected", or why not: "timed out" or the name of the error."""
    try:
        socket.create_connection((address, port), PATIENCE, (source, 0)).close()
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "connected"


def fetch(address: str, name: str, path: str, source: str = "") -> tuple[int, str]:
    """Get a page over HTTP: its status and text, (0, why) without an answer."""
    reached = connect(address, 80, source)
    if reached != "connected":
        return 0, reached
    asked = http.client.HTTPConnection(address, 80, timeout=ANSWER, source_address=(source, 0))
    with contextlib.closing(asked) as connection:
        connection.request("GET", path, headers={"Host": name})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("latin-1")


def handshake(
    address: str,
    port: int,
    name: str,
    root: Path,
    *,
    starttls: str = "",
    quic: bool = False,
    patience: float = ANSWER,
) -> str:
    """Return "OK", or what openssl says of the connection or the certificate at the tests' time."""
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    command = ["openssl", "s_client", "-connect", target, "-servername", name]
    command += ["-verify_hostname", name, "-verify_return_error", "-CAfile", str(root)]
    command += ["-no-CApath", "-no-CAstore", "-attime", str(int(pki.NOW.timestamp()))]
    command += ["-starttls", starttls] if starttls else []
    command += ["-quic", "-alpn", "h3"] if quic else []
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", timeout=patience,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "timed out"
    said = done.stdout + done.stderr
    found = re.search(r"verify error:num=\d+:(.+)", said)
    found = found or re.search(r"error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):", said)
    if found:
        return found[1]
    if "no peer certificate available" in said:  # it calls that verified, too
        return "closed"
    return "OK" if "Verify return code: 0 (ok)" in said else said


def anonymous(address: str, port: int, name: str) -> str:
    """Return the cipher of STARTTLS with a client that wants no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # TLS 1.3 has no anonymous ciphers
    context.set_ciphers("aNULL:@SECLEVEL=0")
    with smtplib.SMTP(address, port, name, ANSWER) as client:
        client.starttls(context=context)
        assert isinstance(client.sock, ssl.SSLSocket)
        cipher = client.sock.cipher()
    return cipher[0] if cipher else ""


def served(address: str, port: int) -> str:
    """Return the certificate that is served, as PEM, without a look at it."""
    command = ["openssl", "s_client", "-connect", f"{address}:{port}"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER
    )
    found = re.search(
        r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", done.stdout, re.S
    )
    assert found, done.stdout + done.stderr
    return found[0]


def login_in_clear(address: str, port: int) -> int:
    """Return the SMTP code of a login without TLS."""
    with smtplib.SMTP(address, port, timeout=ANSWER) as client:
        client.ehlo("client.example")
        return client.docmd("AUTH", "PLAIN AHNvbWVib2R5AHNlY3JldA==")[0]  # somebody, secret
