"""Runs a real server on given files and reports its sockets and what clients get there.

As a program it is the inside of the laboratory: it runs in network, mount, process and IPC
namespaces of its own (`Lab` starts it), reads one case a line and answers with one line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.live.laboratory import Laboratory, running

ADDRESSES = ("192.0.2.10", "192.0.2.11", "2001:db8::10")
CLIENTS = {4: ("127.0.0.1", "192.0.2.10", "192.0.2.11"), 6: ("::1", "2001:db8::10")}
READY = 20.0  # seconds
SETTLED = 0.15  # seconds without a change of the sockets
EPHEMERAL = range(32768, 61000)  # ports of clients, net.ipv4.ip_local_port_range
HTTP = "GET {uri} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"


@dataclass
class Case:
    """One server on one set of files.

    `ready` is a pattern in its log (its standard error and `log`); without, its sockets settle.
    With `blocked` there it does not serve, though it runs.
    """

    directory: str  # what is laid over `target`
    target: str
    command: list[str]
    names: list[str] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)  # asked of the first name, over plain HTTP
    ready: str = ""
    blocked: str = ""
    log: str = ""
    make: list[str] = field(default_factory=list)  # directories that its package makes
    wait: float = READY
    mail: bool = False  # it is asked for STARTTLS


class Lab(Laboratory):
    """One laboratory; several may run side by side."""

    def __init__(self) -> None:
        super().__init__("tests.live.programs_lab", "--ipc")

    def run(self, case: Case) -> dict[str, Any]:
        """Start the server; return `started`, `log`, `sockets` and `answers`, or `pages`."""
        answer: dict[str, Any] = self.ask(asdict(case))
        return answer


def lab() -> AbstractContextManager[Lab]:
    """Return a laboratory that ends with the block it is used in."""
    return running(Lab())


# -- inside ---------------------------------------------------------------------------------


def sockets() -> list[list[object]]:
    """Return what `ss -ltnu` shows: transport, address, port, both families; each as often.

    A UDP socket of a client, such as one that asks for a name, is none that listens.
    """
    output = subprocess.run(["ss", "-ltnuH"], capture_output=True, text=True, check=True).stdout
    found = []
    for line in output.splitlines():
        transport, _, _, _, local = line.split()[:5]
        address, _, port = local.rpartition(":")
        if transport == "udp" and int(port) in EPHEMERAL:
            continue
        dual = address == "*"
        found.append([transport, "::" if dual else address.strip("[]"), int(port), dual])
    return sorted(found, key=str)


def clients(address: str, dual: bool) -> tuple[str, ...]:
    """Return the addresses at which a socket is asked."""
    if address == "0.0.0.0":
        return CLIENTS[4]
    if address == "::":
        return CLIENTS[6] + (CLIENTS[4] if dual else ())
    return (address,)


def connect(address: str, port: int) -> socket.socket:
    return socket.create_connection((address, port), timeout=3)


def mail_mode(address: str, port: int) -> str:
    """Return "implicit", or "starttls" or "none" as a mail server announces it."""
    mode, connection = handshake(address, port, "")
    if connection is not None:
        connection.close()
    if mode != "none":
        return "implicit"
    with contextlib.suppress(OSError), connect(address, port) as raw:
        raw.settimeout(10)
        greeting = raw.recv(4096)
        raw.sendall(b"EHLO client.test\r\n")
        if greeting.startswith(b"220"):
            return "starttls" if b"STARTTLS" in raw.recv(4096) else "none"
    return "closed"


def handshake(address: str, port: int, name: str) -> tuple[str, ssl.SSLSocket | None]:
    """Return ("tls", connection), ("alert", None) where TLS is refused, or ("none", None)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    raw: socket.socket | None = None
    try:
        raw = connect(address, port)
        return "tls", context.wrap_socket(raw, server_hostname=name or None)
    except ssl.SSLError as error:
        alert = re.search("ALERT|alert", str(error)) is not None
        return ("alert" if alert else "none"), None
    except OSError:
        return "none", None
    finally:
        if raw is not None and raw.fileno() >= 0:
            raw.close()


def digest(connection: ssl.SSLSocket) -> str:
    return hashlib.sha256(connection.getpeercert(True) or b"").hexdigest()


def request(connection: socket.socket, name: str, uri: str) -> tuple[int, dict[str, str], str]:
    """Return status, header fields by lower-case name and body; 0 where it is no HTTP."""
    data = b""
    with contextlib.suppress(OSError):
        connection.settimeout(3)
        connection.sendall(HTTP.format(uri=uri, name=name or "unnamed.invalid").encode())
        while part := connection.recv(65536):
            data += part
    head, _, body = data.decode("latin-1").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    if not first.startswith("HTTP/"):
        return 0, {}, ""
    pairs = (line.partition(": ") for line in lines)
    return int(first.split()[1]), {key.lower(): value for key, _, value in pairs}, body


def ask(case: Case, address: str, port: int) -> dict[str, object]:
    """Return how a socket answers at an address: mode, and certificate and site by name."""
    if case.mail:
        return {"mode": mail_mode(address, port)}
    mode, connection = handshake(address, port, case.names[0] if case.names else "")
    if connection is not None:
        connection.close()
    served: dict[str, str] = {}
    sites: dict[str, str] = {}
    for name in case.names:
        if mode == "none":
            sites[name] = ""
            with contextlib.suppress(OSError), connect(address, port) as raw:  # it may hang up
                sites[name] = site(request(raw, name, "/"))
            continue
        state, connection = handshake(address, port, name)
        served[name] = state
        if connection is not None:
            with connection:
                served[name] = digest(connection)
                sites[name] = site(request(connection, name, "/"))
    return {"mode": mode, "served": served, "sites": sites}


def site(answer: tuple[int, dict[str, str], str]) -> str:
    """Return what tells the sites of a test apart; "" for a request that was misdirected."""
    status, fields, _ = answer
    return "" if status in (0, 400, 421) else fields.get("x-site", "")


def page(name: str, uri: str) -> tuple[int, str, str]:
    with connect("127.0.0.1", 80) as raw:
        status, fields, body = request(raw, name, uri)
    return status, fields.get("location", ""), body


def prepare() -> None:
    script = ["mount --make-rprivate /", "ip link set lo up"]
    script += ["sysctl -qw net.ipv4.ip_unprivileged_port_start=0"]
    for address in ADDRESSES:
        script.append(f"ip addr add {address} dev lo" + (" nodad" if ":" in address else ""))
    script += [f"mount -t tmpfs tmpfs {path}" for path in ("/run", "/var/log")]
    subprocess.run(["sh", "-ec", "\n".join(script)], check=True)


def wait(case: Case, server: subprocess.Popen[bytes], logs: list[Path]) -> None:
    """Return when the server is ready, has gone away, or is given up."""
    deadline = time.monotonic() + case.wait
    last: list[list[object]] = []
    since = time.monotonic()
    while server.poll() is None and time.monotonic() < deadline:
        if case.ready:
            text = "".join(log.read_text("latin-1") for log in logs if log.exists())
            if re.search(case.ready, text):
                return
        else:
            now = sockets()
            if now != last:
                last, since = now, time.monotonic()
            elif last and time.monotonic() - since > SETTLED:
                return
        time.sleep(0.02)


def end(server: subprocess.Popen[bytes]) -> None:
    """Kill the server and all that it started; as process 1 of the namespace reap them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
    server.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def one(case: Case) -> dict[str, object]:
    for path in case.make:
        Path(path).mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", case.directory, case.target], check=True)
    errors = Path(case.directory) / "lab.stderr"
    logs = [errors, *([Path(case.log)] if case.log else [])]
    with errors.open("wb") as stream:
        server = subprocess.Popen(
            case.command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    try:
        wait(case, server, logs)
        text = "".join(log.read_text("latin-1") for log in logs if log.exists())
        blocked = case.blocked and re.search(case.blocked, text)
        started = server.poll() is None and not blocked
        answer: dict[str, object] = {"started": started, "log": text}
        if started and case.uris:
            answer["pages"] = {uri: page(case.names[0], uri) for uri in case.uris}
        elif started:
            found = sockets()
            answer["sockets"] = found
            answer["answers"] = [
                [client, port, ask(case, client, int(str(port)))]
                for transport, address, port, dual in found
                if transport == "tcp"
                for client in clients(str(address), bool(dual))
            ]
        return answer
    finally:
        end(server)
        subprocess.run(["umount", case.target], check=True)


def main() -> None:
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    prepare()
    for line in sys.stdin:
        print(json.dumps(one(Case(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
