"""Random Dovecot 2.4 configurations that use what the reader must understand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

CERTIFICATES = ("a", "b", "c", "d")
NAMES = ("one.example.org", "two.example.org", "a.b.example.org", "mail.example.net")
LOGIN = {
    "imap-login": (("imap", 143), ("imaps", 993)),
    "pop3-login": (("pop3", 110), ("pop3s", 995)),
    "submission-login": (("submission", 587), ("submissions", 465)),
    "managesieve-login": (("sieve", 4190),),
}
PROTOCOLS = ("imap", "pop3", "submission", "sieve", "lmtp")
ADDRESSES = ("*", "::", "192.0.2.1", "127.0.0.1", "[::1]", "2001:db8::1", "[::]", "127.0.0.2")


@dataclass
class Generated:
    """A configuration: its files and the names a client will ask for."""

    files: dict[str, str]
    names: list[str] = field(default_factory=lambda: list(NAMES))


class Generator:
    """Write one configuration; `include` puts a part of it into a file of its own."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_
        self.files: dict[str, str] = {}
        self.ports = iter(
            random_.sample(range(1024, 32000), 200)  # below what clients are given
        )

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def generate(self) -> Generated:
        parts = [self.protocols(), self.tls(), *self.services()]
        parts += [self.names_() for _ in range(self.random.choice((0, 0, 1, 2, 3)))]
        parts += [self.protocol() for _ in range(self.random.choice((0, 0, 1)))]
        if self.chance(0.25):
            parts.append(self.wide())
        if self.chance(0.2):
            parts.append(self.group())
        if self.chance(0.3):
            parts.append(f"listen = {self.addresses()}\n")
        if self.chance(0.2):
            parts.append(
                f"auth_allow_cleartext = {self.random.choice(('yes', 'no', 'YES', '1'))}\n"
            )
        self.random.shuffle(parts)
        text = (
            "# made up\ndovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.0\n"
            "submission_relay_host = 127.0.0.1\n"
            "haproxy_trusted_networks = 192.0.2.0/24 2001:db8::/32 127.0.0.0/8 ::1\n"
            "passdb static {\n  password = x\n}\n"
        )
        for part in parts:
            text += self.include(part) if self.chance(0.25) else self.dress(part)
        self.files["/etc/dovecot/dovecot.conf"] = text
        return Generated(self.files)

    def dress(self, text: str) -> str:
        """Add comments, blanks and continuation lines that change nothing."""
        lines = []
        for line in text.splitlines():
            if self.chance(0.05):
                line += "  # a comment with 'quotes\" and { braces }"
            if self.chance(0.05):
                lines.append("   # } not closed")
            if " = " in line and "#" not in line and "!" not in line and self.chance(0.05):
                line = line.replace(" = ", " \\\n   = ", 1)
            lines.append(self.random.choice(("", "", "", "\t")) + line)
        return "\n".join(lines) + "\n"

    def include(self, part: str) -> str:
        number = len(self.files)
        style = self.random.randrange(3)
        if style == 0:
            self.files[f"/etc/dovecot/conf.d/{number}.conf"] = self.dress(part)
            return f"!include conf.d/{number}.conf\n"
        if style == 1:
            self.files[f"/etc/dovecot/p{number}/x.conf"] = self.dress(part)
            return f"!include_try p{number}/{{w,x}}.conf\n"
        self.files[f"/etc/dovecot/q{number}/a.conf"] = "!include z/*.inc\n"
        self.files[f"/etc/dovecot/q{number}/z/b.inc"] = self.dress(part)
        return f"!include /etc/dovecot/q{number}/*.conf\n!include_try nothing/*.conf\n"

    def protocols(self) -> str:
        chosen = self.random.sample(PROTOCOLS, self.random.choice((1, 2, 3, 5, 5)))
        if self.chance(0.5):
            text = f"protocols = {self.random.choice((' ', ', ')).join(chosen)}\n"
        else:
            text = "".join(f"protocols {{\n  {p} = yes\n}}\n" for p in chosen)
        if self.chance(0.2):
            text += f"protocols {{\n  {self.random.choice(PROTOCOLS)} = {self.flag()}\n}}\n"
        return text

    def flag(self) -> str:
        return self.random.choice(("yes", "no"))

    def certificate(self, indent: str = "") -> str:
        name = self.random.choice(CERTIFICATES)
        if self.chance(0.2):
            return (
                f"{indent}ssl_server {{\n{indent}  cert_file = {name}.pem\n"
                f"{indent}  key_file = /etc/dovecot/{name}.key\n{indent}}}\n"
            ).replace("= " + name, f"= /etc/dovecot/{name}")
        return (
            f"{indent}ssl_server_cert_file = /etc/dovecot/{name}.pem\n"
            f"{indent}ssl_server_key_file = </etc/dovecot/{name}.key\n"
        ).replace("= <", "= ")

    def tls(self) -> str:
        text = self.certificate() if self.chance(0.9) else ""
        if self.chance(0.4):
            text += f"ssl = {self.random.choice(('yes', 'yes', 'required', 'no'))}\n"
        return text

    def addresses(self) -> str:
        if self.chance(0.6):
            return self.random.choice(("*", "::", "* ::", "*, ::", "127.0.0.1"))
        return " ".join(self.random.sample(ADDRESSES[2:5], self.random.choice((1, 2))))

    def services(self) -> list[str]:
        found = []
        for service, listeners in LOGIN.items():
            if self.chance(0.6):
                found.append(self.service(service, [name for name, _ in listeners]))
        for service in ("lmtp", "doveadm", "auth", "stats"):
            if self.chance(0.15):
                found.append(self.service(service, []))
        return found

    def service(self, name: str, listeners: list[str]) -> str:
        text = f"service {name} {{\n"
        if self.chance(0.05):
            text += f"  inet_listener_ssl = {self.flag()}\n"
        if self.chance(0.05):
            text += self.certificate("  ")
        for listener in listeners:
            if self.chance(0.6):
                text += self.listener(listener, new=False)
        if self.chance(0.4) or not listeners:
            text += self.listener(f"extra{self.random.randrange(9)}", new=True)
        return text + "}\n"

    def listener(self, name: str, *, new: bool) -> str:
        quoted = self.random.choice((name, f'"{name}"'))
        text = f"  inet_listener {quoted} {{\n"
        if new or self.chance(0.4):
            port = next(self.ports)
            text += f"    port = {self.random.choice((port, port, port, 0))}\n"
        if self.chance(0.3):
            text += f"    ssl = {self.flag()}\n"
        if self.chance(0.25):
            text += f"    listen = {self.addresses()}\n"
        if self.chance(0.1):
            text += f"    haproxy = {self.flag()}\n"
        if self.chance(0.05):
            text += self.certificate("    ")
        return text + "  }\n"

    def names_(self) -> str:
        name = self.random.choice((*NAMES, "*.example.org", "*.example.net", "ONE.example.org"))
        kind = self.random.randrange(5)
        if kind == 0:
            address = self.random.choice(("192.0.2.1", "192.0.2.0/24", "127.0.0.1"))
            inner = f"  local_name {name} {{\n{self.certificate('    ')}  }}\n"
            text = f"local {address} {{\n" + (inner if self.chance(0.5) else "")
            return text + (self.certificate("  ") if self.chance(0.7) else "") + "}\n"
        if kind == 1:
            protocol = self.random.choice(("imap", "pop3"))
            return (
                f"local_name {name} {{\n  protocol {protocol} {{\n"
                f"{self.certificate('    ')}  }}\n}}\n"
            )
        return f"local_name {name} {{\n{self.certificate('  ')}}}\n"

    def protocol(self) -> str:
        name = self.random.choice(("imap", "pop3", "submission", "sieve", "!imap"))
        inner = self.random.choice(
            (self.certificate("  "), "  ssl = no\n", "  ssl = required\n", "  listen = 127.0.0.9\n")
        )
        return f"protocol {name} {{\n{inner}}}\n"

    def wide(self) -> str:
        return self.random.choice(
            (
                "inet_listener_ssl = no\n",
                "inet_listener_ssl = yes\n",
                "service/imap-login/inet_listener/imaps/ssl = no\n",
                f"service/pop3-login/inet_listener/pop3/port = {next(self.ports)}\n",
                "service imap-login {\n  inet_listener_haproxy = no\n}\n",
            )
        )

    def group(self) -> str:
        inner = self.random.choice(
            (
                self.certificate("  "),
                "  ssl = no\n",
                f"  service imap-login {{\n    inet_listener imap {{\n      port = "
                f"{next(self.ports)}\n    }}\n  }}\n",
                f"  service pop3-login {{\n    inet_listener more {{\n      port = "
                f"{next(self.ports)}\n    }}\n  }}\n",
            )
        )
        text = f"group @tls standard {{\n{inner}}}\n"
        return text + ("@tls = standard\n" if self.chance(0.8) else "")
