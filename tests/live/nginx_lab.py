"""Runs real nginx on given files and reports its sockets and what clients get.

As a program it is the inside of the laboratory: it runs in network, mount and process
namespaces of its own (`Lab` starts it), reads one case a line and answers with one line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import select
import socket
import ssl
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.live.laboratory import Laboratory, running

ADDRESSES = ("192.0.2.10/32", "192.0.2.11/32", "2001:db8::10/128")
READY = 20  # seconds
BANNERS = (b"* OK", b"+OK", b"220 ")
QUIET = 0.4  # seconds a server may take to say something by itself


class Lab(Laboratory):
    """One laboratory; several may run side by side."""

    def __init__(self) -> None:
        super().__init__("tests.live.nginx_lab")

    def run(self, directory: Path, names: list[str], uris: tuple[str, ...] = ()) -> dict[str, Any]:
        """Start nginx with `directory` as /etc/nginx and ask every socket for every name.

        With `uris`, ask for these on port 80 instead.
        """
        answer: dict[str, Any] = self.ask([str(directory), names, uris])
        return answer


def lab() -> AbstractContextManager[Lab]:
    """Return a laboratory that ends with the block it is used in."""
    return running(Lab())


# -- inside ---------------------------------------------------------------------------------


def sockets() -> list[list[object]]:
    """Return what `ss -ltnu` shows: transport, address, port, both families."""
    output = subprocess.run(["ss", "-ltnuH"], capture_output=True, text=True, check=True).stdout
    found = set()
    for line in output.splitlines():
        transport, _, _, _, local = line.split()[:5]
        address, _, port = local.rpartition(":")
        dual = address == "*"
        found.add((transport, "::" if dual else address.strip("[]"), int(port), dual))
    return [list(item) for item in sorted(found)]


def connect(address: str, port: int) -> socket.socket:
    client = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return socket.create_connection((client, port), timeout=3)


def handshake(
    address: str, port: int, name: str | None, proxy: bool
) -> tuple[str, ssl.SSLSocket | None]:
    """Return ("tls", connection), ("turned away", None) or ("no", None)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL")
    raw = connect(address, port)
    if proxy:
        raw.sendall(b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 443\r\n")
    try:
        return "tls", context.wrap_socket(raw, server_hostname=name)
    except ssl.SSLError as error:
        raw.close()
        return ("turned away" if "UNRECOGNIZED_NAME" in str(error) else "no"), None
    except OSError:
        raw.close()
        return "no", None


def plain(address: str, port: int, name: str, proxy: bool) -> str:
    """Return what a plain client gets, "" for nothing."""
    with connect(address, port) as raw:
        if proxy:
            raw.sendall(b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 443\r\n")
        text = talk(raw, name)
        if "sent to HTTPS port" in text or text.startswith("\x15\x03"):
            return ""
        return text


def talk(connection: socket.socket, name: str) -> str:
    """Return what a server says by itself, or else to an HTTP request."""
    data = b""
    with contextlib.suppress(OSError):
        if not select.select([connection], [], [], 0.03)[0]:
            connection.sendall(f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
        connection.settimeout(QUIET)
        while part := connection.recv(4096):
            data += part
            if data.startswith(BANNERS) and data.endswith(b"\n"):
                break
    return data.decode("latin-1")


def digest(connection: ssl.SSLSocket) -> str:
    """Return the served certificate's digest, "" if the server hung up already."""
    try:
        certificate = connection.getpeercert(True)
    except OSError:
        return ""
    return hashlib.sha256(certificate or b"").hexdigest()


def http_body(text: str) -> str:
    return text.partition("\r\n\r\n")[2] if text.startswith("HTTP/") else text


def ask(address: str, port: int, names: list[str]) -> dict[str, object]:
    """Return how a TCP socket answers: mode, PROXY header, certificate and server by name."""
    for proxy in (False, True):
        first, connection = handshake(address, port, names[0], proxy)
        if first == "no":
            text = plain(address, port, names[0], proxy)
            if text and "400 Bad Request" not in text.split("\r\n")[0]:
                return plain_answer(address, port, names, proxy, text)
            others = [handshake(address, port, name, proxy) for name in names[1:]]
            for _, other in others:
                if other is not None:
                    other.close()
            if all(state == "no" for state, _ in others):
                continue
        if connection is not None:
            connection.close()
        served: dict[str, str] = {}
        bodies: dict[str, str] = {}
        for name in names:
            state, connection = handshake(address, port, name or None, proxy)
            if connection is None:
                served[name] = state
                continue
            served[name] = digest(connection)
            with connection:
                bodies[name] = http_body(talk(connection, name))
        return {"mode": "implicit", "proxy": proxy, "served": served, "bodies": bodies}
    return {"mode": "silent", "proxy": False, "served": {}, "bodies": {}}


def plain_answer(
    address: str, port: int, names: list[str], proxy: bool, text: str
) -> dict[str, object]:  # fmt: skip
    starts = {"* OK": (b"a STARTTLS\r\n", "a OK"), "+OK": (b"STLS\r\n", "+OK")}
    starts["220 "] = (b"STARTTLS\r\n", "220 ")
    for banner, (command, agreed) in starts.items():
        if text.startswith(banner):
            raw = connect(address, port)
            raw.settimeout(3)
            raw.recv(4096)
            if banner == "220 ":
                raw.sendall(b"EHLO client.test\r\n")
                raw.recv(4096)
            raw.sendall(command)
            if not raw.recv(4096).decode("latin-1").startswith(agreed):
                return {"mode": "none", "proxy": proxy, "served": {}, "bodies": {}}
            context = ssl._create_unverified_context()
            with context.wrap_socket(raw, server_hostname=names[0] or None) as connection:
                served = {name: digest(connection) for name in names}
            return {"mode": "starttls", "proxy": proxy, "served": served, "bodies": {}}
    bodies = {name: http_body(plain(address, port, name, proxy)) for name in names}
    return {"mode": "none", "proxy": proxy, "served": {}, "bodies": bodies}


def prepare() -> None:
    script = ["mount --make-rprivate /", "ip link set lo up"]
    for address in ADDRESSES:
        script.append(f"ip addr add {address} dev lo" + (" nodad" if ":" in address else ""))
    script += [f"mount -t tmpfs tmpfs {path}" for path in ("/run", "/var/log", "/var/lib/nginx")]
    script.append("mkdir /var/log/nginx")
    subprocess.run(["sh", "-ec", "\n".join(script)], check=True)


def fetch(name: str, uri: str) -> tuple[int, str, str]:
    """Return status, Location and body of a request on port 80."""
    with connect("127.0.0.1", 80) as raw:
        raw.sendall(f"GET {uri} HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
        raw.settimeout(3)
        data = b""
        while part := raw.recv(65536):
            data += part
    head, _, body = data.decode("latin-1").partition("\r\n\r\n")
    lines = head.split("\r\n")
    target = next((line[10:] for line in lines if line.lower().startswith("location: ")), "")
    return int(lines[0].split()[1]), target, body


def one(directory: str, names: list[str], uris: list[str]) -> dict[str, object]:
    subprocess.run(["mount", "--bind", directory, "/etc/nginx"], check=True)
    log = Path(directory) / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            ["nginx", "-g", "daemon off; error_log stderr notice;"], stdout=stream, stderr=stream
        )
    try:
        deadline = time.monotonic() + READY
        while server.poll() is None and "start worker process " not in log.read_text():
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        answer: dict[str, object] = {"started": server.poll() is None, "log": log.read_text()}
        if answer["started"] and uris:
            answer["pages"] = {uri: fetch(names[0], uri) for uri in uris}
        elif answer["started"]:
            found = sockets()
            answer["sockets"] = found
            answer["answers"] = [
                [address, port, ask(str(address), int(str(port)), names)]
                for transport, address, port, _ in found
                if transport == "tcp"
            ]
        return answer
    finally:
        server.terminate()
        server.wait()
        subprocess.run(["umount", "/etc/nginx"], check=True)


def main() -> None:
    prepare()
    for line in sys.stdin:
        print(json.dumps(one(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
