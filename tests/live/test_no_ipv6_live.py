"""What servers do on a kernel that has no sockets of IPv6 (ipv6.disable=1)."""

from __future__ import annotations

import ctypes
import platform
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from errno import EAFNOSUPPORT
from pathlib import Path
from socket import AF_INET6
from typing import NamedTuple

import pytest

from sslint.host import read
from sslint.servers.model import Endpoint
from sslint.targets import Target
from tests.live import exim_lab
from tests.support import tree_of

ATTEMPTS = 200  # of 100 ms each
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
APACHE = """ServerRoot %(dir)s
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
PidFile %(dir)s/pid
DefaultRuntimeDir %(dir)s/run
ErrorLog /dev/stderr
ServerName x
Listen 127.0.0.1:8444
"""
CADDY = """{
    admin off
    storage file_system %(dir)s/state
    auto_https off
}
:8443 {
    BIND
}
"""
LIGHTTPD = """server.document-root = "%(dir)s"
server.port = 8444
"""
EXIM = f"daemon_smtp_ports = 8443\nlocal_interfaces = <; ADDRESSES\n{exim_lab.REST}"
POSTFIX = """compatibility_level = 3.6
mydestination =
myhostname = host.example.test
"""

IN_EXIM = f"""
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir {exim_lab.ETC}
cp "$1" {exim_lab.ETC}/exim4.conf
mkdir "$2/log"
exec sh -ec "$3" {exim_lab.ROOT} "$2/log"
"""
IN_POSTFIX = """
mount --make-rprivate /
for directory in /run /var/log /etc/postfix /var/spool/postfix /var/lib/postfix; do
    mount -t tmpfs -o mode=755 tmpfs $directory
done
chown postfix /var/lib/postfix
cp "$1" /etc/postfix/
touch /etc/postfix/dynamicmaps.cf /etc/postfix/postfix-files
echo "$2 inet n - n - - smtpd" >/etc/postfix/master.cf
echo "127.0.0.1:8444 inet n - n - - smtpd" >>/etc/postfix/master.cf
cd /var/spool/postfix
mkdir active bounce corrupt defer deferred flush hold incoming maildrop pid private public
chown postfix active bounce corrupt defer deferred flush hold incoming private
chown postfix:postdrop maildrop public
exec /usr/lib/postfix/sbin/master -d
"""


class Program(NamedTuple):
    """A server: the host path of its file, what the file is and how it is started with it."""

    path: str
    texts: dict[str, str]
    command: Callable[[Path], list[str]]
    master: str = ""  # of Postfix


def exim(path: Path) -> list[str]:
    script = ["sh", "-ec", IN_EXIM, "sh", str(path), str(path.parent), exim_lab.SCRIPT]
    return ["unshare", "--mount", *script]


def postfix(service: str) -> Program:
    def command(path: Path) -> list[str]:
        return ["unshare", "--mount", "sh", "-ec", IN_POSTFIX, "sh", str(path), service]

    texts = {
        "all": POSTFIX,
        "IPv4": f"{POSTFIX}inet_protocols = ipv4\n",
        "the loopback": f"{POSTFIX}inet_interfaces = loopback-only\n",
        "one of each": f"{POSTFIX}inet_interfaces = 127.0.0.1, [::1]\n",
    }
    return Program("/etc/postfix/main.cf", texts, command, service)


PROGRAMS = {
    "nginx": Program(
        "/etc/nginx/nginx.conf",
        {
            "IPv4": NGINX.replace("%s}", "server { listen 8443; }\n}"),
            "IPv6": NGINX.replace("%s}", "server { listen 8443; listen [::]:8443; }\n}"),
        },
        lambda path: ["nginx", "-c", str(path)],
    ),
    "dovecot": Program(
        "/etc/dovecot/dovecot.conf",
        {"IPv4": f"{DOVECOT}listen = *\n", "IPv6": f"{DOVECOT}listen = *, ::\n"},
        lambda path: ["dovecot", "-F", "-c", str(path)],
    ),
    "haproxy": Program(
        "/etc/haproxy/haproxy.cfg",
        {
            "IPv4": f"{HAPROXY}frontend a\n bind :8443\n http-request return status 200\n",
            "IPv6": f"{HAPROXY}frontend a\n bind :::8443 v4v6\n http-request return status 200\n",
        },
        lambda path: ["haproxy", "-db", "-f", str(path)],
    ),
    "stunnel": Program(
        "/etc/stunnel/a.conf",
        {"IPv4": f"{STUNNEL}accept = 0.0.0.0:8443\n", "IPv6": f"{STUNNEL}accept = :::8443\n"},
        lambda path: ["stunnel4", str(path)],
    ),
    "apache": Program(
        "/etc/apache2/apache2.conf",
        {
            "all": f"{APACHE}Listen 8443\n",
            "all by a star": f"{APACHE}Listen *:8443\n",
            "IPv4": f"{APACHE}Listen 0.0.0.0:8443\n",
            "IPv6": f"{APACHE}Listen [::]:8443\n",
            "the loopback": f"{APACHE}Listen [::1]:8443\n",
            "both": f"{APACHE}Listen [::]:8443\nListen 0.0.0.0:8443\n",
            "both, one after the other": f"{APACHE}Listen 8443\nListen [::1]:8444\n",
        },
        lambda path: ["apache2", "-DFOREGROUND", "-f", str(path)],
    ),
    "caddy": Program(
        "/etc/caddy/Caddyfile",
        {
            text: CADDY.replace("BIND", text)
            for text in ("", "bind ::", "bind 0.0.0.0", "bind [::1]", "bind 127.0.0.1 ::1")
        },
        lambda path: ["caddy", "run", "--config", str(path)],
    ),
    "lighttpd": Program(
        "/etc/lighttpd/lighttpd.conf",
        {
            place: f'{LIGHTTPD}$SERVER["socket"] == "{place}" {{\n}}\n'
            for place in ("0.0.0.0:8443", "[::]:8443", "[::1]:8443")
        }
        | {
            "both by one socket": f'{LIGHTTPD}server.bind = "[::]:8443"\n'
            'server.set-v6only = "disable"\n$SERVER["socket"] == "127.0.0.1:8444" {\n}\n'
        },
        lambda path: ["lighttpd", "-D", "-f", str(path)],
    ),
    "exim": Program(
        "/etc/exim4/exim4.conf",
        {
            addresses: EXIM.replace("ADDRESSES", addresses)
            for addresses in (
                *("0.0.0.0", "::0", "::0 ; 0.0.0.0", "0.0.0.0 ; ::0", "::0 ; 127.0.0.1"),
                *("0.0.0.0 ; ::1", "[::0]:8444 ; 0.0.0.0", "::0 ; [0.0.0.0]:8443"),
            )
        },
        exim,
    ),
    "postfix": postfix("8443"),
    "postfix at an address": postfix("[::1]:8443"),
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


def takes_ipv4(command: list[str], *, ipv6: bool) -> bool | None:
    """Tell whether a server listens on port 8443 over IPv4; None where it ends."""
    namespaces = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen(
        [*namespaces, "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=None if ipv6 else without_ipv6,
        start_new_session=True,
    )
    listing = ["nsenter", f"--net=/proc/{process.pid}/ns/net", "ss", "-Hltn"]
    before = ""
    try:
        for _ in range(ATTEMPTS):
            if process.poll() is not None:
                return None
            output = subprocess.run(listing, capture_output=True, check=False, text=True).stdout
            if output and output == before and ":844" in output:
                found = [line.split()[3].rpartition(":") for line in output.splitlines()]
                return any(port == "8443" and "[" not in host for host, _, port in found)
            before = output
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait(10)
    raise AssertionError(f"{command} neither listens nor ends")


def is_dual(endpoint: Endpoint) -> bool:
    return endpoint.address == "::" and not endpoint.ipv6only


def read_to_take_ipv4(files: dict[str, str]) -> bool | None:
    """Tell what `takes_ipv4` does of a host, as it is read."""
    (reading,) = read(Target("h", tree_of(files))).readings
    if reading.refusals:
        return None
    return any(
        e.port == 8443 and e.certain and (":" not in e.address or is_dual(e))
        for e in reading.endpoints
    )


@pytest.mark.live("unshare", "ss", "ip", "nginx", "dovecot", "haproxy", "stunnel")
@pytest.mark.live("apache2", "caddy", "lighttpd", "postfix")
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_they_do_without(name: str) -> None:
    if name == "exim" and not exim_lab.ROOT.exists():
        pytest.skip(f"needs Debian's Exim: {exim_lab.GET}")
    program = PROGRAMS[name]
    wrong = []
    for what, pattern in program.texts.items():
        for kernel in ("with", "without"):
            directory = Path(tempfile.mkdtemp())  # short, for Dovecot's sockets
            directory.chmod(0o755)
            for each in ("run", "state"):
                (directory / each).mkdir()
            text = pattern.replace("%(dir)s", str(directory))
            path = directory / Path(program.path).name
            path.write_text(text)
            real = takes_ipv4(program.command(path), ipv6=kernel == "with")
            shutil.rmtree(directory)
            grub = f"GRUB_CMDLINE_LINUX='ipv6.disable={int(kernel == 'without')}'\n"
            files = {program.path: text, "/etc/default/grub": grub}
            if program.master:
                service = f"{program.master} inet n - n - - smtpd\n"
                files["/etc/postfix/master.cf"] = service
            said = read_to_take_ipv4(files)
            if said != real:
                wrong.append(f"{what}, {kernel} IPv6: read {said}, real {real}")
    assert not wrong, "\n".join(wrong)
