"""Servers with an address of IPv6 on a kernel that has no such sockets (ipv6.disable=1)."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from errno import EAFNOSUPPORT
from pathlib import Path
from socket import AF_INET6
from typing import NamedTuple

import pytest

from sslint.host import read
from sslint.targets import Target
from tests.support import tree_of

ATTEMPTS = 400  # of 50 ms each
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
RETURN_ERRNO, RETURN_ALLOW = 0x00050000, 0x7FFF0000
SOCKET = {"x86_64": 41, "aarch64": 198}  # the number of socket(2)

NGINX = "daemon off; pid %(dir)s/pid; error_log stderr;\nevents {}\nhttp { access_log off;\n%s}\n"
DOVECOT = """dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = %(dir)s/run
state_dir = %(dir)s/state
log_path = /dev/stderr
protocols = imap
ssl = no
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
service imap-login {
  inet_listener imap {
    port = 8443
  }
}
"""
HAPROXY = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
STUNNEL = "foreground = yes\npid =\n[a]\nclient = yes\nconnect = 127.0.0.1:9\n"


class Program(NamedTuple):
    """A server: the host path of its file, its text for each family, and how it is started."""

    path: str
    ipv4: str
    ipv6: str
    command: Callable[[str], list[str]]


PROGRAMS = {
    "nginx": Program(
        "/etc/nginx/nginx.conf",
        NGINX.replace("%s}", "server { listen 8443; }\n}"),
        NGINX.replace("%s}", "server { listen 8443; listen [::]:8443; }\n}"),
        lambda path: ["nginx", "-c", path],
    ),
    "dovecot": Program(
        "/etc/dovecot/dovecot.conf",
        f"{DOVECOT}listen = *\n",
        f"{DOVECOT}listen = *, ::\n",
        lambda path: ["dovecot", "-F", "-c", path],
    ),
    "haproxy": Program(
        "/etc/haproxy/haproxy.cfg",
        f"{HAPROXY}frontend a\n bind :8443\n http-request return status 200\n",
        f"{HAPROXY}frontend a\n bind :::8443 v4v6\n http-request return status 200\n",
        lambda path: ["haproxy", "-db", "-f", path],
    ),
    "stunnel": Program(
        "/etc/stunnel/a.conf",
        f"{STUNNEL}accept = 0.0.0.0:8443\n",
        f"{STUNNEL}accept = :::8443\n",
        lambda path: ["stunnel4", path],
    ),
}


def without_ipv6() -> None:
    """Let this process and its children have no socket of IPv6, seccomp(2)."""
    code = [
        (0x20, 0, 0, 0),  # the number of the call
        (0x15, 0, 3, SOCKET[platform.machine()]),
        (0x20, 0, 0, 16),  # its first argument
        (0x15, 0, 1, int(AF_INET6)),
        (0x06, 0, 0, RETURN_ERRNO | EAFNOSUPPORT),
        (0x06, 0, 0, RETURN_ALLOW),
    ]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(code), ctypes.addressof(instructions))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def starts(command: list[str], *, ipv6: bool) -> bool:
    """Tell whether a server comes to listen, rather than to end."""
    process = subprocess.Popen(
        ["unshare", "--net", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=None if ipv6 else without_ipv6,
        start_new_session=True,
    )
    listing = ["nsenter", f"--net=/proc/{process.pid}/ns/net", "ss", "-Hltn"]
    try:
        for _ in range(ATTEMPTS):
            if process.poll() is not None:
                return False
            if b":8443 " in subprocess.run(listing, capture_output=True, check=False).stdout:
                return True
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)
    raise AssertionError(f"{command} neither listens nor ends")


@pytest.mark.live("unshare", "ss", "nginx", "dovecot", "haproxy", "stunnel")
@pytest.mark.parametrize("name", PROGRAMS)
def test_which_do_not_start(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    for directory in ("run", "state"):
        (tmp_path / directory).mkdir()
    for family, text in (("ipv4", program.ipv4), ("ipv6", program.ipv6)):
        path = tmp_path / Path(program.path).name
        path.write_text(text.replace("%(dir)s", str(tmp_path)))
        for kernel in ("with", "without"):
            real = starts(program.command(str(path)), ipv6=kernel == "with")
            grub = f"GRUB_CMDLINE_LINUX='ipv6.disable={int(kernel == 'without')}'\n"
            host = read(Target("h", tree_of({program.path: text, "/etc/default/grub": grub})))
            said = not any(reading.refusals for reading in host.readings)
            assert host.readings
            assert said == real == (family == "ipv4" or kernel == "with"), (family, kernel)
