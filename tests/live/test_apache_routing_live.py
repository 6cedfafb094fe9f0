"""How virtual hosts answer requests: generated ones asked by a real client."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sslint.servers.apache import reader as apache
from sslint.servers.interface import Answer
from sslint.tree import Tree
from tests.live.apache_configurations import ENVVARS, MODULES
from tests.live.conftest import count, seed
from tests.live.programs_lab import lab
from tests.live.test_apache_live import case_of

pytestmark = pytest.mark.live("apache2", "ss", "unshare", "ip")

SEED = seed()
COUNT = count(40)
HOST = "www.example.test"
TOKEN = "/.well-known/acme-challenge/token"
URIS = ("/a", "/a/b", "/a/b.php", TOKEN, "/.well-known/x", "/b/c/d.txt", "/A", "/other", "/ab")
ROOTS = ("r1", "r2", "r3")
LOADED = ("mpm_event", "authz_core", "alias", "rewrite", "proxy", "proxy_http", "access_compat")
TARGETS = ("https://www.example.test", "https://elsewhere.test:8443/x", "http://192.0.2.9/")


class Generator:
    """Writes one virtual host on port 80, and what the main server says."""

    def __init__(self, number: int) -> None:
        self.rng = random.Random(number)

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def write(self) -> str:
        lines = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED]
        lines += ["ErrorLog /etc/apache2/error.log", "LogLevel notice", "PidFile /run/apache2/pid"]
        lines += ["User www-data", "Group www-data", "ServerName main.example.test", "Listen 80"]
        lines += ["StartServers 1", "ServerLimit 1", "ThreadsPerChild 16", "MaxRequestWorkers 16"]
        lines += ["Listen 8081", "<VirtualHost *:8081>", "RewriteEngine on"]
        lines += ["RewriteRule .* - [R=409,L]"]
        lines += ["</VirtualHost>", "<Directory />", "AllowOverride None", "</Directory>"]
        if self.chance(40):
            lines.append("<Directory />\nRequire all denied\n</Directory>")
            for root in ROOTS:
                if self.chance(80):
                    lines.append(
                        f"<Directory /etc/apache2/{root}>\nRequire all granted\n</Directory>"
                    )
        if self.chance(20):
            lines.append(self.statement())
        host = [f"ServerName {HOST}"]
        if self.chance(85):
            host.append(f"DocumentRoot /etc/apache2/{self.pick(*ROOTS)}")
        rest = [self.statement() for _ in range(self.rng.randrange(1, 5))]
        if self.chance(80) and any(line.startswith("Rewrite") for line in rest):
            rest.insert(0, "RewriteEngine on")
        lines += ["<VirtualHost *:80>", *host, *rest, "</VirtualHost>"]
        return "\n".join(lines) + "\n"

    def statement(self) -> str:
        target = self.pick(*TARGETS)
        root = f"/etc/apache2/{self.pick(*ROOTS)}"
        path = self.pick("/", "/a", "/a/", "/.well-known/", "/.well-known/acme-challenge/", "/b")
        status = self.pick("", "", "permanent ", "301 ", "308 ", "temp ")
        directory = self.pick(
            "<Directory /etc/apache2/r1>", "<Directory /etc/apache2/r2/.well-known>",
            "<Directory /etc/apache2/*>", '<DirectoryMatch "/\\.">', '<DirectoryMatch "/\\.git">',
            f"<Location {path}>", '<LocationMatch "^/(a|b)/">', "<Location /.well-known>",
        )  # fmt: skip
        close = f"</{directory[1:].split()[0]}>"
        choices = [
            f"Redirect {status}{path} {target}{'/' if path == '/' and self.chance(50) else ''}",
            f"Redirect {status}{path} {target}",
            f"RedirectMatch {status}^/(?!\\.well-known)(.*) {target}/$1",
            f"RedirectMatch {status}^{path}(.*)$ {target}$1",
            "Redirect gone /other",
            f"Alias {path} {root}{path}",
            f"Alias {path} {root}{path}",
            f"AliasMatch ^/a/(.*) {root}/a/$1",
            self.rewrite(),
            self.rewrite(),
            self.rewrite(),
            f"ProxyPass {path} http://127.0.0.1:8081{path}",
            f"ProxyPass {path} !",
            "ProxyPassMatch ^/(a|b)/ http://127.0.0.1:8081/",
            f"{directory}\nRequire all {self.pick('granted', 'denied')}\n{close}",
            f"{directory}\nRequire all {self.pick('granted', 'denied')}\n{close}",
            f"<Location {path}>\nRedirect {self.pick('', '301 ')}{target}\n</Location>",
            f"<Location {path}>\nProxyPass http://127.0.0.1:8081{path}\n</Location>",
        ]
        return self.rng.choice(choices)

    def rewrite(self) -> str:
        conditions = [
            "RewriteCond %{HTTPS} off", "RewriteCond %{HTTPS} !=on", "RewriteCond %{HTTPS} on",
            "RewriteCond %{HTTP_HOST} ^www\\. [NC]", "RewriteCond %{HTTP_HOST} !^www\\.",
            "RewriteCond %{REQUEST_URI} !^/\\.well-known/acme-challenge/",
            "RewriteCond %{REQUEST_URI} well-known [OR]\nRewriteCond %{REQUEST_URI} ^/A",
            "RewriteCond %{SERVER_PORT} !^443$", "RewriteCond %{SERVER_PORT} =443",
            "RewriteCond %{HTTP_HOST} ^(?:www\\.)?(.+)$", "RewriteCond %{REQUEST_FILENAME} !-f",
        ]  # fmt: skip
        rules = [
            "RewriteRule ^ https://%{HTTP_HOST}%{REQUEST_URI} [R=301,L]",
            "RewriteRule ^/?(.*) https://%{SERVER_NAME}/$1 [R,L]",
            "RewriteRule (.*) https://%1$1 [R=302,END]",
            "RewriteRule ^/a/(.*)$ /b/c/$1",
            "RewriteRule ^/other /a/b [L]",
            "RewriteRule ^/other /a/b [PT]",
            "RewriteRule ^/b - [F]",
            "RewriteRule ^/A$ - [G,NC]",
            "RewriteRule ^/\\.well-known/ - [L]",
            "RewriteRule ^/x|^/a$ /other [R=303,L]",
            "RewriteRule !^/\\.well-known https://elsewhere.test%{REQUEST_URI} [L,R=301]",
            "RewriteRule ^/b/(.*) http://127.0.0.1:8081/$1 [P]",
        ]
        chosen = [self.rng.choice(conditions)] if self.chance(60) else []
        return "\n".join([*chosen, self.rng.choice(rules)])


def files_of(number: int) -> dict[str, str]:
    files = {
        "apache2.conf": Generator(number).write(),
        "envvars": ENVVARS.read_text(),
    }
    for root in ROOTS:
        for uri in URIS:
            if uri not in ("/a", "/.well-known"):
                files[f"{root}{uri}"] = f"/etc/apache2/{root}{uri}"
    return files


def differs(found: Answer, page: list[object], files: dict[str, str]) -> bool:
    status, target, body = page
    if found.kind == "file":
        here = (found.path or "").removeprefix("/etc/apache2/")
        if here in files:
            return body != files[here]
        return status not in (301, 403, 404)  # a directory is redirected to, or not listed
    if found.kind == "proxy":
        return status != 409
    if found.kind == "redirect":
        return (status, target) != (found.status, found.url)
    return found.kind != "unknown" and status != found.status


def test_generated_virtual_hosts(tmp_path: Path) -> None:
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    wrong, started, judged = [], 0, 0
    with lab() as running:
        for number in range(SEED, SEED + COUNT):
            files = files_of(number)
            root = tmp_path / str(number)
            case = case_of(root / "etc/apache2", files, names=[HOST], uris=list(URIS))
            seen = running.run(case)
            reading = apache.read(Tree(root), version=(2, 4, 71))
            assert reading is not None
            assert reading.web is not None
            if reading.starts != seen["started"]:
                wrong.append(f"SSLINT_SEED={number}: starts {reading.reasons} {seen['log'][-300:]}")
            if not seen["started"]:
                continue
            started += 1
            for uri in URIS:
                found = reading.web.answer(80, HOST, uri)
                judged += found.kind != "unknown"
                if differs(found, seen["pages"][uri], files):
                    wrong.append(f"SSLINT_SEED={number} {uri}: {found} real {seen['pages'][uri]}")
    print(f"{started} of {COUNT} started, {judged} of {started * len(URIS)} answers judged")
    assert not wrong, "\n".join(wrong)
    assert started > COUNT // 2
    assert judged > started * len(URIS) // 2
