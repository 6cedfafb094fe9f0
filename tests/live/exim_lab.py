"""Writes random configurations of Exim, and starts the real one, which is unpacked only.

Debian's packages of Exim and Postfix conflict, so that `.ci/exim` unpacks Exim's into build/exim,
and here they are laid over the file system inside the laboratory.
"""

from __future__ import annotations

import random
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "build/exim/root"
GET = ".ci/exim unpacks it into build/exim"
ETC = "/run/exim-etc"  # where the laboratory mounts the case's directory

# As exim4.service does it. `$0` is the directory of the unpacked packages, `$1` where it logs.
SCRIPT = f"""
mount --make-rprivate /
mkdir -p /run/over
mount -t tmpfs tmpfs /run/over
mkdir -p /run/over/etc /run/over/etc-work /run/over/var /run/over/var-work
mount -t overlay -o lowerdir=$0/etc:/etc,upperdir=/run/over/etc,workdir=/run/over/etc-work x /etc
mount -t overlay -o lowerdir=$0/usr:/usr x /usr
mount -t overlay -o lowerdir=$0/var:/var,upperdir=/run/over/var,workdir=/run/over/var-work x /var
id Debian-exim >/dev/null 2>&1 || {{
    echo 'Debian-exim:x:9925:9925::/var/spool/exim4:/usr/sbin/nologin' >>/etc/passwd
    echo 'Debian-exim:x:9925:' >>/etc/group
}}
mkdir -p /var/lib/exim4 /var/spool/exim4 /var/log/exim4 /run/exim4
mount --bind $1 /var/log/exim4
chown Debian-exim:Debian-exim /var/spool/exim4 /var/log/exim4 /run/exim4
echo host.example.test >/etc/mailname
cp -r {ETC}/. /etc/exim4/
EXIMSERVICE='-bdf -q30m'
[ ! -e /etc/exim4/default ] || . /etc/exim4/default
update-exim4.conf
exec exim4 $EXIMSERVICE
"""
COMMAND = ["unshare", "-m", "sh", "-ec", SCRIPT, str(ROOT)]
READY = "daemon started"
BLOCKED = "waiting 30s before trying again"  # an address is in use; until then nobody is served

PORTS = [
    "25", "smtp", "25 : 465", "<; 25 ; 587", "25:465:587", "smtp : submissions", "smtp:ssmtp",
    "<, 25, 2525", "submission", "587:465", "25 : 0x1d1", "25 : smtp", "031:587",
]  # fmt: skip
LOCAL = [
    "0.0.0.0", "<; ::0", "<; 0.0.0.0 ; ::0", "127.0.0.1 : ::::1", "192.0.2.10", "192.0.2.10.26",
    "<; [2001:db8::10]:27 ; ::1", "[192.0.2.10]::2525 : 192.0.2.11", "<; 192.0.2.10 ; 2001:db8::10",
    "192.0.2.10 : 192.0.2.10.587", "<; 0.0.0.0 ; 192.0.2.11", "0.0.0.0.26",
    "<; ::0 ; [::1]:26", "",
]  # fmt: skip
WRAPPED = ["465", "submissions", "ssmtp", "<; 465 ; 25", "587", "smtps : 26", ""]
ADVERTISE = ["*", "*", "", ":", "!192.0.2.1 : *"]
SWITCHES = ["disable_ipv6", "disable_ipv6 = true", "disable_ipv6 = no", "no_disable_ipv6"]
OVERRIDES = ["-oX 587:465", "-oX 2525", "-oX 192.0.2.10.26", "-oX <;::1", "-oX 25"]


REST = """begin acl

begin routers
local_interfaces:
  driver = accept
  transport = t

begin transports
t:
  driver = appendfile
  file = /dev/null
"""


class Generator:
    """Writes one configuration from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.files: dict[str, str] = {}

    def chance(self, percent: float) -> bool:
        return self.rng.random() * 100 < percent

    def write(self) -> dict[str, str]:
        """Return the files of /etc/exim4; `default` stands for /etc/default/exim4."""
        if self.chance(50):
            self.files["exim4.conf"] = "\n".join(self.main()) + "\n" + REST
        else:
            self.debian()
        if self.chance(20):
            override = shlex.quote(f"-bdf -q30m {self.rng.choice(OVERRIDES)}")
            self.files["default"] = f"EXIMSERVICE={override}\n"
        return self.files

    def main(self) -> list[str]:
        """Return statements of the main section."""
        lines = []
        for name, values, percent in (
            ("daemon_smtp_ports", PORTS, 70),
            ("local_interfaces", LOCAL, 60),
            ("tls_on_connect_ports", WRAPPED, 50),
            ("tls_advertise_hosts", ADVERTISE, 30),
        ):
            if self.chance(percent):
                lines += self.option(name, self.rng.choice(values))
        if self.chance(15):
            lines.append(self.rng.choice(SWITCHES))
        if self.chance(40):
            lines.append("tls_certificate = /etc/exim4/certs/one.pem")
        self.rng.shuffle(lines)
        return lines

    def option(self, name: str, value: str) -> list[str]:
        """Return an option in one of the forms that Exim takes."""
        number = len(self.files) + self.rng.randrange(100)
        if name == "daemon_smtp_ports" and self.chance(10):
            name = "daemon_smtp_port"
        if self.chance(15):
            return [f"L{number} = {value}\n{name} = L{number}"]
        if self.chance(10):
            return [f"L{number}=1\n.ifdef L{number}\n{name} = {value}\n.else\n{name} = 1\n.endif"]
        if self.chance(10):
            return [f".ifndef NEVER{number}\n  {name} = {value}\n.endif"]
        if self.chance(5):
            return [f".ifdef NEVER\n{name} = 1\n.elifdef NEVER2\n.else\n{name} = {value}\n.endif"]
        if self.chance(8):
            return [f"{name} = \\\n   {value}"]
        if self.chance(5):
            return [f'{name} = "{value}"']
        if self.chance(5):
            return [f"hide {name} = {value}"]
        if self.chance(8) and "exim4.conf" not in self.files:
            self.files[f"part{number}"] = f"{name} = {value}\n"
            return [f".include /etc/exim4/part{number}"]
        if self.chance(4):
            return [f"L{number} = 1\nL{number} == {value}\n{name} = L{number}"]
        return [f"{name} = {value}"]

    def debian(self) -> None:
        split = self.chance(50)
        interfaces = self.rng.choice(
            ["", "", "127.0.0.1 ; ::1", "127.0.0.1", "<; 192.0.2.10", "192.0.2.10 ; ::1",
             "0.0.0.0", "192.0.2.10 : 127.0.0.1", "0.0.0.0.26 ; ::0"]
        )  # fmt: skip
        kind = self.rng.choice(["internet", "internet", "smarthost", "satellite", "local", "none"])
        conf = [f"dc_eximconfig_configtype='{kind}'", f"dc_local_interfaces='{interfaces}'"]
        conf += ["dc_other_hostnames=''", f"dc_use_split_config='{str(split).lower()}'"]
        if self.chance(10):
            conf.append("MAIN_TLS_ENABLE='yes'")
        self.files["update-exim4.conf.conf"] = "\n".join(conf) + "\n"
        lines = self.local_macros()
        mine = "exim4.conf.localmacros" if not split or self.chance(15) else "conf.d/main/000_local"
        self.files[mine] = "\n".join(lines) + "\n"
        if self.chance(10):
            self.files["conf.d/main/zz.conf"] = "daemon_smtp_ports = 1\n"

    def local_macros(self) -> list[str]:
        lines = []
        if self.chance(40):
            lines.append(f"daemon_smtp_ports = {self.rng.choice(PORTS)}")
        if self.chance(40):
            lines.append(f"tls_on_connect_ports = {self.rng.choice(WRAPPED)}")
        if self.chance(40):
            lines += ["MAIN_TLS_ENABLE = yes", "MAIN_TLS_CERTKEY = /etc/exim4/certs/one.pem"]
        if self.chance(20):
            lines.append(f"MAIN_TLS_ADVERTISE_HOSTS = {self.rng.choice(['*', ':'])}")
        if self.chance(20):
            lines.append("MAIN_LOCAL_INTERFACES = 192.0.2.11")
        return lines
