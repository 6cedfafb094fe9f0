"""Which location answers, and with what: generated server blocks asked by a real client."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sslint.servers.nginx import reader as nginx
from sslint.servers.nginx.routing import Answer, answer
from tests.live.conftest import count, seed
from tests.live.nginx_lab import lab
from tests.support import tree_of

pytestmark = pytest.mark.live("nginx", "ss", "unshare", "ip")

SEED = seed()
COUNT = count(40)
HOST = "www.example.test"
URIS = (
    "/a", "/a/b", "/a/b.php", "/x.php", "/.well-known/acme-challenge/token", "/.well-known/x",
    "/b/c/d.txt", "/A", "/.git", "/other",
)  # fmt: skip
ROOTS = ("r1", "r2", "r3")
PREFIXES = ["/", "/a", "/a/", "/.well-known/", "/.well-known/acme-challenge/", "/b", "/a/b"]
PATTERNS = [
    r"\.php$", r"/\.", r"^/(a|b)/", r"/\.(?!well-known).*", r"^/a", "challenge", r"^/(?<x>[ab])",
]  # fmt: skip


class Generator:
    """Writes one server block; every answer can be told from every other."""

    def __init__(self, number: int) -> None:
        self.rng = random.Random(number)
        self.marks = 0

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def server(self) -> str:
        lines = ["listen 80;", "server_name www.example.test;"]
        if self.chance(80):
            lines.append(f"root /etc/nginx/{self.rng.choice(ROOTS)};")
        if self.chance(10):
            lines.append("auth_basic closed; auth_basic_user_file /etc/nginx/users;")
        if self.chance(10):
            lines.append(self.rng.choice(["deny all;", "allow all; deny all;"]))
        if self.chance(15):
            lines.append(self.rewrite())
        if self.chance(15):
            lines.append(self.condition())
        lines.append(self.locations(0, "/"))
        lines.append("location @named { " + self.content("/") + " }")
        self.rng.shuffle(lines)
        return "server {\n" + "\n".join(lines) + "\n}"

    def rewrite(self) -> str:
        return self.rng.choice(
            [
                "rewrite ^/a/(.*)$ /b/c/$1 last;",
                "rewrite ^/x /a break;",
                "rewrite ^/other https://elsewhere.test/ permanent;",
                "rewrite ^/\\.git /a/b;",
                "rewrite ^/(.*)\\.php$ /$1 redirect;",
            ]
        )

    def condition(self) -> str:
        self.marks += 1
        test = self.rng.choice(
            [
                "$host = www.example.test", "$host != www.example.test", "$scheme = https",
                "$request_uri ~ well-known", "$uri !~* \"^/A\"", "$https",
            ]
        )  # fmt: skip
        return f"if ({test}) {{ return 418 'L{self.marks}'; }}"

    def locations(self, depth: int, inside: str) -> str:
        heads = {}
        for _ in range(self.rng.randrange(1, 5)):
            kind = self.rng.choice(["", "", "", "^~", "=", "~", "~*"])
            if kind in ("~", "~*"):
                text = self.rng.choice(PATTERNS)
            else:
                choices = URIS if kind == "=" else PREFIXES
                text = self.rng.choice([p for p in choices if p.startswith(inside)] or [inside])
            key = text if kind not in ("=", "~", "~*") else kind + text
            if kind == "=" and text.endswith("/"):
                continue
            if depth and text == inside:
                continue
            heads[key] = (kind, text)
        blocks = []
        for kind, text in heads.values():
            body = self.content(text if kind in ("", "^~") else "")
            if depth < 2 and kind in ("", "^~") and self.chance(25):
                body += " " + self.locations(depth + 1, text)
            quoted = f'"{text}"' if "{" in text or self.chance(20) else text
            blocks.append(f"location {kind} {quoted} {{ {body} }}")
        return "\n".join(blocks)

    def content(self, prefix: str) -> str:
        self.marks += 1
        root = f"/etc/nginx/{self.rng.choice(ROOTS)}"
        choices = [
            f"return 418 'L{self.marks}';",
            f"return 301 https://$host:8443/L{self.marks};",
            f"root {root};",
            f"root {root}; try_files $uri =404;",
            f"root {root}; try_files $uri/none @named;",
            "try_files $uri /other;",
            "deny all;",
            f"auth_basic x; auth_basic_user_file /etc/nginx/users; root {root};",
            f"auth_basic off; allow all; root {root};",
            self.rewrite(),
            self.condition(),
            "",
        ]
        if prefix.endswith("/"):
            choices.append(f"alias {root}{prefix};")
            choices.append(f"proxy_pass http://127.0.0.1:8081/L{self.marks};")
        return self.rng.choice(choices)


def files_of(number: int) -> dict[str, str]:
    main = (
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
        "events {}\nhttp { access_log off; absolute_redirect off;\n"
        'server { listen 8081; return 418 "proxied"; }\n' + Generator(number).server() + "\n}\n"
    )
    files = {"nginx.conf": main, "users": "x:y\n"}
    for root in ROOTS:
        for uri in URIS:
            if uri not in ("/a", "/.well-known"):
                files[f"{root}{uri}"] = f"/etc/nginx/{root}{uri}"
    return files


def differs(answer: Answer, page: list[object], files: dict[str, str]) -> bool:
    status, target, body = page
    if answer.kind == "file":
        here = (answer.path or "").removeprefix("/etc/nginx/")
        if here in files:
            return body != files[here]
        if answer.otherwise is not None:
            return differs(answer.otherwise, page, files)
        return status not in (301, 403, 404)  # a directory is redirected to, or not listed
    if answer.kind == "proxy":
        return body != "proxied"
    if answer.kind == "redirect":
        return status != answer.status or target != answer.url
    if answer.kind in ("return", "deny", "auth"):
        assert answer.location is not None
        if status != answer.status:
            return True
        line = answer.location.file.line(answer.location.line)[answer.location.column - 1 :]
        return status == 418 and str(body) not in line
    return False


def test_generated_locations(tmp_path: Path) -> None:
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    wrong, started, judged = [], 0, 0
    with lab() as running:
        for number in range(SEED, SEED + COUNT):
            files = files_of(number)
            directory = tmp_path / str(number)
            for name, text in files.items():
                path = directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            seen = running.run(directory, [HOST], URIS)
            tree = tree_of({f"/etc/nginx/{name}": text for name, text in files.items()})
            reading = nginx.read(tree)
            assert reading is not None
            if not seen["started"]:
                continue
            started += 1
            for uri in URIS:
                found = answer(reading, 80, HOST, uri)
                judged += found.kind != "unknown"
                if differs(found, seen["pages"][uri], files):
                    wrong.append(f"SSLINT_SEED={number} {uri}: {found} real {seen['pages'][uri]}")
    print(f"{started} of {COUNT} started, {judged} of {started * len(URIS)} answers judged")
    assert not wrong, "\n".join(wrong)
    assert started > COUNT // 2
    assert judged > started * len(URIS) // 2
