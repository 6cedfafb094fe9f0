"""Writes random configurations of Apache, and the certificates that they name."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.live import selfsigned

NAMES = ["a.example.test", "www.example.test", "x.y.other.test", "nobody.invalid", ""]
SERVER_NAMES = [
    "a.example.test", "b.example.test", "A.Example.Test", "www.example.test", "x.y.other.test",
    "a.example.test:443", "https://www.example.test:8443", "192.0.2.10",
]  # fmt: skip
ALIASES = ["*.example.test", "*.other.test", "w?w.example.test", "*", "www.*", "x.*.other.test"]
MODULES = "/usr/lib/apache2/modules"
PORTS = ("443", "443", "443", "8443", "80")
ENVVARS = Path("/etc/apache2/envvars")


def certificate_files() -> tuple[dict[str, str], dict[str, str]]:
    """Return file contents by name, and the digests of the certificates by file name."""
    files, digests = {}, {}
    shared, other, rsa = map(selfsigned.new_key, ("shared", "other", "rsa"))
    keys = {"one": shared, "two": shared, "three": shared, "other": other, "rsa": rsa}
    for name, key in keys.items():
        pem, private, digest = selfsigned.certificate(f"{name}.test", key)
        files[f"certs/{name}.pem"] = pem + private
        files[f"certs/{name}.crt"] = pem
        files[f"certs/{name}.key"] = private
        digests[f"{name}.pem"] = digests[f"{name}.crt"] = digest
    files["certs/garbage.pem"] = "no certificate\n"
    files["certs/empty.pem"] = ""
    return files, digests


@dataclass
class Generator:
    """Writes one configuration from a seed; about two thirds of them are sound."""

    rng: random.Random
    files: dict[str, str] = field(default_factory=dict)
    marks: int = 0
    certificates_at: list[str] = field(default_factory=list)

    def chance(self, percent: float) -> bool:
        return self.rng.random() * 100 < percent

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def write(self) -> dict[str, str]:
        self.files["envvars"] = ENVVARS.read_text() + "export LAB_PORT=8443\n"
        lines = [f"ErrorLog {self.pick('/etc/apache2/', '')}error.log", "LogLevel notice"]
        lines += ["PidFile /run/apache2/pid", "User www-data", "Group ${APACHE_RUN_GROUP}"]
        lines += ["ServerLimit 1", "StartServers 1", "ThreadsPerChild 4", "MaxRequestWorkers 4"]
        lines += self.modules()
        if self.chance(80):
            lines.append("ServerName main.example.test")
        elif self.chance(30):
            lines.append("ServerName main.example.test:8443")
        lines.append("Header always set X-Site main")
        rest = self.listens()
        if self.chance(12):
            rest.append(self.pick("SSLEngine on", "SSLEngine off", "SSLEngine on"))
        if self.chance(20):
            rest += self.certificate()
        if self.chance(3):
            rest.append("NameVirtualHost *:443")
        if self.chance(5):
            rest.append("SSLProtocol " + self.pick("all -SSLv3", "-all", "TLSv1.3", "all -TLSv1.2"))
        for _ in range(self.rng.randrange(0, 6)):
            rest.append(self.placed(self.vhost()))
        if self.chance(20):
            self.rng.shuffle(rest)
        rest = [self.guarded(one) if self.chance(25) else one for one in rest]
        if self.chance(20):
            rest.insert(self.rng.randrange(len(rest) + 1), self.oddity())
        self.files["apache2.conf"] = "\n".join([*lines, *rest]) + "\n"
        return self.files

    def modules(self) -> list[str]:
        wanted = ["mpm_event", "headers", "authz_core", "alias", "macro"]
        if self.chance(97):
            wanted.append("ssl")
        loads = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in wanted]
        if self.chance(60):
            return loads
        for name, load in zip(wanted, loads, strict=True):
            self.files[f"mods-enabled/{name}.load"] = load + "\n"
        if self.chance(20):
            self.files["mods-enabled/gone.load"] = "-> ../mods-available/gone.load"
        form = self.pick("mods-enabled/*.load", "mods-enabled", "/etc/apache2/mods-enabled/*.load")
        optional = self.chance(70)
        return [f"{'IncludeOptional' if optional else 'Include'} {form}"]

    def listens(self) -> list[str]:
        lines = []
        for _ in range(self.rng.choice((1, 1, 2, 2, 3, 0) if self.chance(30) else (1, 1, 2, 2, 3))):
            port = self.pick(*PORTS)
            host = self.pick("", "", "", "", "", "*:", "0.0.0.0:", "[::]:", "192.0.2.10:")
            if self.chance(8):
                host = self.pick("[2001:db8::10]:", "127.0.0.1:", "[::1]:", "192.0.2.11:")
            word = host + port
            if self.chance(6):
                word = self.pick("${PORT}", "${LAB_PORT}", "*:${PORT}", "${NOT_SET}", "https")
            if self.chance(25):
                word += self.pick(" https", " http", " HTTPS", " h2")
            lines.append(f"Listen {word}")
        if self.chance(85):
            lines = list(dict.fromkeys(lines))
        if any("${PORT}" in line for line in lines) and self.chance(90):
            lines.insert(
                0, f"Define {self.pick('PORT', 'port', 'PORT')} {self.pick('8443', '443')}"
            )
        return lines

    def certificate(self) -> list[str]:
        lines = []
        for name in [self.pick("one", "two", "three"), *(["rsa"] if self.chance(10) else [])]:
            folder = self.pick("certs", "/etc/apache2/certs")
            if self.chance(50):
                lines.append(f"SSLCertificateFile {folder}/{name}.pem")
                continue
            lines.append(f'SSLCertificateFile "{folder}/{name}.crt"')
            if self.chance(97):
                key = name if self.chance(97) else "other"
                lines.append(f"SSLCertificateKeyFile '{folder}/{key}.key'")
        if self.chance(2):
            lines.append(f"SSLCertificateFile certs/{self.pick('garbage', 'empty', 'none')}.pem")
        if self.chance(8):
            lines.append(f"SSLCertificateChainFile certs/{self.pick('three', 'two')}.crt")
        return lines

    def vhost(self) -> str:
        words = []
        for _ in range(2 if self.chance(12) else 1):
            port = self.pick(*PORTS)
            host = self.pick("*", "*", "*", "*", "_default_", "192.0.2.10", "[2001:db8::10]")
            if self.chance(15):
                host = self.pick("0.0.0.0", "[::]", "127.0.0.1", "192.0.2.11", "nosuch.invalid")
            words.append(host + (f":{port}" if self.chance(88) else self.pick("", ":*")))
        lines = []
        self.marks += 1
        lines.append(f"Header always set X-Site v{self.marks}")
        if self.chance(80):
            lines.append(f"ServerName {self.pick(*SERVER_NAMES)}")
        if self.chance(30):
            lines.append(f"ServerAlias {self.pick(*ALIASES)} {self.pick(*SERVER_NAMES[:4])}")
        if self.chance(10):
            lines.append("DocumentRoot /var/www")
        secure = any("443" in word for word in words)
        if self.chance(80 if secure else 15):
            switch = (
                self.pick("on", "on", "On", "ON", "off", "optional") if self.chance(20) else "on"
            )
            lines.append(f"SSLEngine {switch}")
            if self.chance(98):
                lines += self.certificate()
        elif self.chance(35):
            lines += self.certificate()
        if self.chance(2):
            lines.append(self.pick("Listen 444", "Nonsense on", "Require all granted"))
        if self.chance(5):
            lines.append(
                "SSLProtocol "
                + self.pick("all -SSLv3", "all", "+TLSv1.2", "+TLSv1.3", "-all", "sslv9")
            )
        if self.chance(20):
            self.rng.shuffle(lines)
        lines = [self.guarded(one) if self.chance(6) else one for one in lines]
        close = self.pick("</VirtualHost>", "</virtualhost>")
        return f"<VirtualHost {' '.join(words)}>\n" + "\n".join(lines) + f"\n{close}"

    def placed(self, text: str) -> str:
        """Put statements into an included file or a macro, sometimes."""
        number = len(self.files)
        if self.chance(35):
            name = f"sites/{self.rng.randrange(100):02}-{number}.conf"
            self.files[name] = text + "\n"
            form = self.pick(name, f"/etc/apache2/{name}", f"{name[:8]}*{number}.conf", "sites")
            if form == "sites" and self.chance(70):
                form = name
            return f"{self.pick('Include', 'IncludeOptional')} {form}"
        if self.chance(8):
            text = text.replace("X-Site v", "X-Site $v", 1).replace("$v", "$mark", 1)
            macro = f"<Macro site{number} $mark>\n{text}\n</Macro>"
            mark = f"v{self.marks}" if "X-Site $mark" + str(self.marks) not in text else "v"
            uses = [f"Use {self.pick('site', 'SITE')}{number} {mark}"]
            return "\n".join([macro, *uses])
        return text

    def guarded(self, text: str) -> str:
        """Put statements into a section that is true or false."""
        self.files["there"] = "x\n"
        condition = self.pick(
            "IfModule ssl_module", "IfModule mod_ssl.c", "IfModule mod_ssl", "IfModule !mod_ssl.c",
            "IfModule SSL_MODULE", "IfModule event.c", "IfModule mpm_event_module",
            "IfModule core.c", "IfModule mod_so.c", "IfDefine NEVER", "IfDefine !NEVER",
            "IfVersion >= 2.4", "IfVersion = 2.4", "IfVersion > 2.4", "IfVersion < 2.4",
            "IfVersion ~ ^2\\.4", "IfVersion 2.4.71", "IfFile there", "IfFile /etc/apache2/gone",
            "IfFile !gone", "IfDirective SSLEngine", "IfDirective Nonsense",
            "IfSection VirtualHost",
                        'IfModule "ssl_module"', "IfModule ssl_module ", "ifmodule ssl_module",
        )  # fmt: skip
        return f"<{condition}>\n{text}\n</{condition.split()[0]}>"

    def oddity(self) -> str:
        return self.pick(
            "# a comment that goes on \\\nListen 99",
            "Listen 8081 \\\n  http",
            "Listen 8082 # nine",
            "<IfModule ssl_module>",
            "</IfModule>",
            "<VirtualHost *:443>\nServerName a.example.test\n</Directory>",
            "Include none.conf",
            "IncludeOptional none.conf",
            "Include none/*.conf",
            "IncludeOptional none/*.conf",
            "IncludeOptional sites/*.none",
            "Include sites/*.none",
            "Define EMPTY\n<IfDefine EMPTY>\nListen 8083\n</IfDefine>",
            "Define X1 1\nUnDefine X1\n<IfDefine X1>\nListen 8084\n</IfDefine>",
            "<Directory /var/www>\nListen 8085\n</Directory>",
            "<Directory /var/www>\nRequire all granted\nOptions None\n</Directory>",
            "<Location /x>\nSSLRequireSSL\n</Location>",
            "Require all granted",
            "Use nomacro 1",
            "<Macro m $a>\nListen $a\n</Macro>\nUse m 8086\nUse M 8087",
            "<Macro m $a>\nListen $a\n</Macro>\nUse m",
            "<VirtualHost>\n</VirtualHost>",
            "<VirtualHost 80>\n</VirtualHost>",
            "<VirtualHost *:443>\n<VirtualHost *:444>\n</VirtualHost>\n</VirtualHost>",
            "SSLCertificateFile certs/none.pem",
            "<VirtualHost *:99>\nSSLCertificateFile certs/none.pem\n</VirtualHost>",
            "<VirtualHost *:99>\nSSLEngine on\n</VirtualHost>",
            "RewriteEngine on",
            "\tlisten\t8088",
            'LISTEN "8089"',
            "ServerName",
            "<VirtualHost *:443\nServerName x\n</VirtualHost>",
            "<Proxy *>\n</Proxy>",
        )
