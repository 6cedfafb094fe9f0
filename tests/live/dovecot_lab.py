"""Run Dovecot on given configurations, one after the other, and say what a client gets.

Runs inside namespaces of its own: `unshare -n -m --pid --fork --kill-child python3 THIS`.
One JSON request a line on stdin ({"files": {path: text}, "names": [...]}), one answer a line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LOCAL4, REMOTE4 = "192.0.2.1", "192.0.2.9"
LOCAL6, REMOTE6 = "2001:db8::1", "2001:db8::9"
TIMEOUT = 4.0
QUICK = 0.3


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def prepare() -> None:
    run("mount", "--make-rprivate", "/")
    for path in ("/run", "/etc/dovecot", "/var/lib/dovecot"):
        run("mount", "-t", "tmpfs", "tmpfs", path)
    run("mount", "-t", "proc", "proc", "/proc")
    run("ip", "link", "set", "lo", "up")
    for address in (LOCAL4, REMOTE4):
        run("ip", "address", "add", f"{address}/24", "dev", "lo")
    for address in (LOCAL6, REMOTE6):
        run("ip", "-6", "address", "add", f"{address}/64", "dev", "lo", "nodad")


def install(files: dict[str, str]) -> None:
    for child in Path("/etc/dovecot").iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()
    for child in Path("/run").iterdir():
        if child.name == "dovecot":
            shutil.rmtree(child)
    for path, text in files.items():
        target = Path(path)
        assert path.startswith(("/etc/dovecot/", "/run/")), path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def listening() -> list[tuple[str, int]]:
    found = []
    for line in run("ss", "-ltnH").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        found.append((address.strip("[]").split("%")[0], int(port)))
    return sorted(("0.0.0.0" if a == "*" else a, p) for a, p in found)


def sockets_now() -> list[str]:
    found = []
    for name in ("tcp", "tcp6"):
        rows = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        found += [row.split()[1] for row in rows if row.split()[3] == "0A"]
    rows = Path("/proc/net/unix").read_text().splitlines()[1:]
    return found + [row.split()[7] for row in rows if len(row.split()) > 7]


def ready(process: subprocess.Popen[bytes]) -> bool:
    """Wait until Dovecot has opened its sockets: nothing new for 0.1 s beside its pid file."""
    deadline = time.monotonic() + 30
    before, since = [""], time.monotonic()
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        now = sockets_now()
        if now != before or not Path("/run/dovecot/master.pid").exists():
            before, since = now, time.monotonic()
        elif time.monotonic() - since > 0.1:
            return True
        time.sleep(0.01)
    return False


def connect(
    address: str, port: int, *, proxy: bool = False, timeout: float = TIMEOUT
) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    local, remote = (LOCAL6, REMOTE6) if ":" in address else (LOCAL4, REMOTE4)
    target = {"0.0.0.0": local, "::": local}.get(address, address)
    stream = socket.socket(family, socket.SOCK_STREAM)
    stream.settimeout(timeout)
    if target not in ("127.0.0.1", "127.0.0.2", "::1"):
        stream.bind((remote, 0))
    stream.connect((target, port))
    if proxy:
        kind = "TCP6" if ":" in address else "TCP4"
        stream.sendall(f"PROXY {kind} {remote} {target} 40000 {port}\r\n".encode())
    return stream


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certificate(stream: socket.socket, name: str | None) -> str:
    with client_context().wrap_socket(stream, server_hostname=name) as secure:
        der = secure.getpeercert(binary_form=True)
    return hashlib.sha256(der or b"").hexdigest()


def implicit(address: str, port: int, names: list[str], proxy: bool) -> dict[str, str] | None:
    found = {}
    for name in ["", *names]:
        try:
            found[name] = certificate(connect(address, port, proxy=proxy), name or None)
        except (OSError, ssl.SSLError):
            if not name:
                return None
            found[name] = "fails"
    return found


class Talk:
    """A line protocol spoken far enough to know what is offered before the login."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.buffer = b""

    def line(self) -> str:
        while b"\n" not in self.buffer:
            data = self.stream.recv(4096)
            if not data:
                raise OSError("closed")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("latin-1").strip()

    def say(self, text: str) -> None:
        self.stream.sendall(text.encode() + b"\r\n")

    def until(self, *ends: str) -> str:
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1].startswith(ends):
                return "\n".join(lines)


def greet(talk: Talk) -> tuple[str, str, bool | None, str]:
    """Return (protocol, what it offers, whether cleartext logins are taken, the TLS command)."""
    first = talk.line()
    if first.startswith("* OK"):
        talk.say("a CAPABILITY")
        text = talk.until("a ")
        return "imap", text, "LOGINDISABLED" not in text, "b STARTTLS"
    if first.startswith("+OK"):
        talk.say("CAPA")
        text = talk.until(".", "-ERR")
        return "pop3", text, "USER" in text.split(), "STLS"
    if first.startswith('"'):
        text = first + "\n" + talk.until("OK")
        return "sieve", text, '"SASL" ""' not in text, "STARTTLS"
    if first.startswith("220"):
        talk.say("EHLO client.example")
        text = talk.until("250 ", "5")
        if text.startswith("5"):
            talk.say("LHLO client.example")
            text = talk.until("250 ", "5")
            return "lmtp", text, None, "STARTTLS"
        return "submission", text, "AUTH " in text, "STARTTLS"
    return "other", first, None, ""


def speaks(address: str, port: int, proxy: bool) -> bool:
    """Tell whether the server greets at once, as only a listener without implicit TLS does."""
    try:
        with connect(address, port, proxy=proxy, timeout=QUICK) as stream:
            return bool(stream.recv(1))
    except OSError:
        return False


def plain(address: str, port: int, names: list[str], proxy: bool) -> dict[str, Any] | None:
    """Return what a client without TLS is offered, None where there is no greeting."""
    try:
        talk = Talk(connect(address, port, proxy=proxy))
        protocol, text, cleartext, command = greet(talk)
    except OSError:
        return None
    offered = "STARTTLS" in text or "STLS" in text
    found: dict[str, Any] = {
        "text": text,
        "protocol": protocol,
        "starttls": offered,
        "cleartext": cleartext,
    }
    if offered:
        found["certificates"] = {}
        for name in ["", *names]:
            try:
                talk = Talk(connect(address, port, proxy=proxy))
                greet(talk)
                talk.say(command)
                answer = talk.line()
                found["answer"] = answer
                found["certificates"][name] = certificate(talk.stream, name or None)
            except (OSError, ssl.SSLError):
                found["certificates"][name] = "fails"
                break
    return found


def judge(request: dict[str, Any]) -> dict[str, Any]:
    install(request["files"])
    log = Path("/run/lab.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["dovecot", "-F", *request.get("arguments", [])], stdout=output, stderr=output
        )
        try:
            if not ready(process):
                return {"starts": False, "log": log.read_text(errors="replace")[-2000:]}
            names, found = request.get("names", []), []
            quiet = request.get("quiet", [])
            proxies = {tuple(p) for p in request.get("proxies", [])}
            for address, port in listening():
                proxy = (address, port) in proxies
                entry: dict[str, Any] = {"address": address, "port": port, "proxy": proxy}
                entry["implicit"] = None
                if not speaks(address, port, proxy):
                    entry["implicit"] = implicit(address, port, names, proxy)
                if entry["implicit"] is None and port not in quiet:
                    entry["plain"] = plain(address, port, names, proxy)
                if proxy:
                    entry["bare"] = plain(address, port, [], False) is not None
                found.append(entry)
            text = log.read_text(errors="replace")[-2000:]
            return {"starts": process.poll() is None, "sockets": found, "log": text}
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End Dovecot and what it started: everything else in this pid namespace but ourselves."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        rest = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
        rest = [pid for pid in rest if pid not in (1, os.getpid()) and alive(pid)]
        if not rest:
            break
        for pid in rest:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)
    process.wait()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> None:
    prepare()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(judge(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
