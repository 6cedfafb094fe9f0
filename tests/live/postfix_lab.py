"""Runs real Postfix on given files and reports its sockets and what clients get.

As a program it is the inside of the laboratory: it runs in network, mount and process
namespaces of its own (`Lab` starts it), reads one case a line and answers with one line.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread
from typing import Any

from tests.live.laboratory import Laboratory, running

ADDRESSES = ("192.0.2.10/32", "192.0.2.11/32", "2001:db8::10/128", "2001:db8::11/128")
# Reached through a wildcard socket only, whatever else listens.
ANY = {"0.0.0.0": "192.0.2.11", "::": "2001:db8::11"}
READY = 20.0  # seconds
QUICK = 1.0  # seconds in which a banner usually comes
SILENT = 3.0  # seconds after which a socket counts as mute
MASTER = "/usr/lib/postfix/sbin/master"
SPOOL = "/var/spool/postfix"
# Opened last: when its socket exists, master has opened all others.
SENTINEL = "zz-last-service"

# Every case has these, so that smtpd finds what it needs and waits for no DNS.
MAIN = """
smtpd_peername_lookup = no
alias_maps =
local_recipient_maps =
mynetworks = 127.0.0.0/8
maillog_file = /dev/stdout
smtpd_sasl_type = dovecot
smtpd_sasl_path = auth
postscreen_greet_wait = 1s
"""
MASTER_CF = f"""
rewrite   unix  -       -       n       -       -       trivial-rewrite
anvil     unix  -       -       n       -       1       anvil
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
proxymap  unix  -       -       n       -       -       proxymap
cleanup   unix  n       -       n       -       0       cleanup
postlog   unix-dgram n  -       n       -       1       postlogd
{SENTINEL} unix - - n - - error
"""


class Lab(Laboratory):
    """One laboratory; several may run side by side."""

    def __init__(self) -> None:
        super().__init__("tests.live.postfix_lab")

    def run(
        self, files: dict[str, str], names: list[str], patience: float = SILENT
    ) -> dict[str, Any]:
        """Start Postfix on `files` (host paths) and ask every socket for every SNI name."""
        answer: dict[str, Any] = self.ask([files, names, patience])
        return answer


def lab() -> AbstractContextManager[Lab]:
    """Return a laboratory that ends with the block it is used in."""
    return running(Lab())


# -- inside ---------------------------------------------------------------------------------


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def prepare() -> None:
    run("mount", "--make-rprivate", "/")
    Path("/etc/postfix").mkdir(exist_ok=True)
    for path in ("/run", "/etc/postfix", SPOOL, "/var/lib/postfix", "/var/log", "/mnt"):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
    run("mount", "-t", "proc", "proc", "/proc")
    Path("/mnt/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n192.0.2.10 mx.example.org\n")
    run("mount", "--bind", "/mnt/hosts", "/etc/hosts")
    run("ip", "link", "set", "lo", "up")
    for address in ADDRESSES:
        run("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
    run("chown", "postfix:postfix", "/var/lib/postfix")
    directories = "active bounce corrupt defer deferred flush hold incoming saved trace private"
    for name in directories.split():
        Path(SPOOL, name).mkdir(mode=0o700)
        run("chown", "postfix:root", f"{SPOOL}/{name}")
    for name, mode in (("public", 0o710), ("maildrop", 0o730)):
        Path(SPOOL, name).mkdir(mode=mode)
        Path(SPOOL, name).chmod(mode)
        run("chown", "postfix:postdrop", f"{SPOOL}/{name}")
    Path(SPOOL, "pid").mkdir(mode=0o755)


def install(files: dict[str, str]) -> None:
    for child in Path("/etc/postfix").iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()
    for directory in ("private", "public"):
        for child in Path(SPOOL, directory).iterdir():
            child.unlink()
    for path, text in files.items():
        assert path.startswith("/etc/postfix/")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        target.chmod(0o644)
    for name in ("dynamicmaps.cf", "postfix-files"):
        Path("/etc/postfix", name).touch()
    if "/etc/postfix/sni" in files:
        subprocess.run(["postmap", "-F", "hash:/etc/postfix/sni"], capture_output=True, check=False)


def listening() -> list[tuple[str, int]]:
    found = []
    for line in run("ss", "-ltnH").splitlines():
        host, _, port = line.split()[3].rpartition(":")
        found.append((host.strip("[]").partition("%")[0], int(port)))
    return sorted(found)


def reply(stream: Any) -> str:
    """Return one SMTP reply, or "" at the end of the connection."""
    text = ""
    while line := stream.readline(2000):
        text += line.decode("latin-1")
        if line[3:4] != b"-":
            return text
    return text if text.endswith("\n") else ""


def connect(address: str, port: int, patience: float) -> socket.socket:
    return socket.create_connection((ANY.get(address, address), port), timeout=patience)


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


def digest(connection: ssl.SSLSocket) -> str | None:
    """Return the certificate's digest; None for an anonymous handshake."""
    certificate = connection.getpeercert(True)
    return hashlib.sha256(certificate).hexdigest() if certificate else None


def plain(address: str, port: int, patience: float, proxied: bool) -> str | None:
    """Return the answer to EHLO, or None where no banner comes."""
    with contextlib.suppress(OSError), connect(address, port, patience) as raw:
        if proxied:
            family = "TCP6 ::1 ::1" if ":" in address else "TCP4 127.0.0.1 127.0.0.1"
            raw.sendall(f"PROXY {family} 40000 {port}\r\n".encode())
        with raw.makefile("rb") as stream:
            if not reply(stream).startswith("220"):
                return None
            raw.sendall(b"EHLO client.test\r\n")
            return reply(stream)
    return None


def secure(
    address: str, port: int, patience: float, name: str, starttls: bool, proxied: bool
) -> str | None:
    """Return the digest of the certificate that a name gets, or None without TLS."""
    with contextlib.suppress(OSError, ValueError), connect(address, port, patience) as raw:
        if proxied:
            family = "TCP6 ::1 ::1" if ":" in address else "TCP4 127.0.0.1 127.0.0.1"
            raw.sendall(f"PROXY {family} 40000 {port}\r\n".encode())
        if starttls:
            with raw.makefile("rb", buffering=0) as stream:
                reply(stream)
                raw.sendall(b"EHLO client.test\r\n")
                reply(stream)
                raw.sendall(b"STARTTLS\r\n")
                if not reply(stream).startswith("220"):
                    return None
        with context().wrap_socket(raw, server_hostname=name or None) as connection:
            return digest(connection)
    return None


def ask(address: str, port: int, names: list[str], patience: float) -> dict[str, Any]:
    """Return how a socket answers: mode, PROXY header, certificate by name, answer to EHLO."""
    text, proxied = plain(address, port, QUICK, False), False
    if text is None:
        both = (False, True)
        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(plain, address, port, patience, p) for p in both]
            wrapped = [pool.submit(secure, address, port, patience, "", False, p) for p in both]
            text, behind = (answer.result() for answer in answers)
            found = [answer.result() for answer in wrapped]
        if any(found):
            served = {n: secure(address, port, patience, n, False, not found[0]) for n in names}
            return {"mode": "implicit", "proxy": not found[0], "served": served}
        if text is None:
            text, proxied = behind, behind is not None
    if text is None:
        return {"mode": "silent", "proxy": False, "served": {}}
    if "STARTTLS" not in text:
        return {"mode": "none", "proxy": proxied, "served": {}, "ehlo": text}
    served = {n: secure(address, port, patience, n, True, proxied) for n in names}
    return {"mode": "starttls", "proxy": proxied, "served": served, "ehlo": text}


def authentication(path: str) -> None:
    """Be a Dovecot that knows one mechanism, so that smtpd can offer AUTH."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    os.chmod(path, 0o666)
    server.listen(128)
    hello = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t{}\nDONE\n"
    clients = []
    while True:
        client, _ = server.accept()
        clients.append(client)  # kept open, as Dovecot does
        with contextlib.suppress(OSError):
            client.sendall(hello.format("0" * 32).encode())
        while len(clients) > 200:
            clients.pop(0).close()


def case(files: dict[str, str], names: list[str], patience: float) -> dict[str, Any]:
    install(files)
    with open("/mnt/log", "w+b") as log:
        master = subprocess.Popen(
            [MASTER, "-d"], stdout=log, stderr=log, start_new_session=True, cwd=SPOOL
        )
        try:
            deadline = time.monotonic() + READY
            while master.poll() is None and time.monotonic() < deadline:
                if Path(SPOOL, "private", SENTINEL).exists():
                    break
                time.sleep(0.01)
            sockets = listening() if master.poll() is None else []
            with ThreadPoolExecutor(16) as pool:
                asked = [
                    (s, pool.submit(ask, s[0], s[1], names, patience))
                    for s in dict.fromkeys(sockets)
                ]
                clients = [[*s, answer.result()] for s, answer in asked]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(master.pid, signal.SIGKILL)
            master.wait()
        log.seek(0)
        text = log.read().decode("latin-1")
    return {"sockets": sockets, "clients": clients, "log": text, "exit": master.returncode}


def main() -> None:
    prepare()
    Thread(target=authentication, args=(f"{SPOOL}/auth",), daemon=True).start()
    for line in sys.stdin:
        files, names, patience = json.loads(line)
        print(json.dumps(case(files, names, patience)), flush=True)


if __name__ == "__main__":
    main()
