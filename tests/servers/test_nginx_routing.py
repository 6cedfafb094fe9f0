"""Which location answers; tests/live asks the real nginx the same of generated blocks."""

from __future__ import annotations

import pytest

from sslint.servers.nginx import reader as nginx
from sslint.servers.nginx import regex
from sslint.servers.nginx.routing import Answer, answer
from tests.support import tree_of

TOKEN = "/.well-known/acme-challenge/token"


def ask(*servers: str, uri: str = TOKEN, port: int = 80, name: str = "a.test") -> Answer:
    blocks = "\n".join(f"server {{ {server} }}" for server in servers)
    tree = tree_of({"/etc/nginx/nginx.conf": f"events {{}} http {{ {blocks} }}"})
    reading = nginx.read(tree)
    assert reading is not None
    return answer(reading, port, name, uri)


@pytest.mark.parametrize(
    ("server", "kind", "value"),
    [
        ("root /var/www;", "file", f"/var/www{TOKEN}"),
        ("root /srv/$host;", "file", f"/srv/a.test{TOKEN}"),
        ("root /srv/$unknown;", "file", None),
        ("root html;", "file", None),
        ("root /w; return 301 https://$host$request_uri;", "redirect", f"https://a.test{TOKEN}"),
        ("root /w; if ($scheme = http) { return 404; }", "return", 404),
        ("root /w; if ($scheme = https) { return 404; }", "file", f"/w{TOKEN}"),
        ("root /w; if ($http_user_agent ~ x) { return 404; }", "unknown", None),
        ("root /w; if ($http_user_agent ~ x) { add_header A b; }", "file", f"/w{TOKEN}"),
        ("location / { proxy_pass http://app; }", "proxy", "http://app"),
        ("location / { auth_basic x; root /w; }", "auth", 401),
        ("auth_basic x; location / { auth_basic off; root /w; }", "file", f"/w{TOKEN}"),
        ("root /w; location ~ /\\. { deny all; }", "deny", 403),
        ("root /w; location ~ /\\.(?!well-known) { deny all; }", "file", f"/w{TOKEN}"),
        ("root /w; location ~ /\\. { allow 10.0.0.1; deny all; }", "deny", 403),
        (
            "location ~ /\\. { deny all; } location ^~ /.well-known { root /l; }",
            "file",
            f"/l{TOKEN}",
        ),
        ("location ~ /\\. { deny all; } location /.well-known { root /l; }", "deny", 403),
        (f"location = {TOKEN} {{ return 200 x; }}", "return", 200),
        (
            "location /.well-known/acme-challenge/ { alias /l/.well-known/acme-challenge/; }",
            "file",
            f"/l{TOKEN}",
        ),
        ("location /.well-known/acme-challenge { alias /l; }", "file", "/l/token"),
        ("root /w; location / { try_files $uri =404; }", "file", f"/w{TOKEN}"),
        ("root /w; location / { try_files /x =404; }", "return", 404),
        ("location / { try_files /x @app; } location @app { fastcgi_pass a; }", "proxy", "a"),
        ("location / { try_files /x @a; } location @a { try_files /x @a; }", "return", 500),
        ("rewrite ^ /x last; location = /x { return 410; }", "return", 410),
        ("location / { rewrite ^ /y last; } location /y { rewrite ^ /x last; }", "return", 500),
        ("root /w; if ($host) { root /x; }", "unknown", None),
        ("root /w; include /opt/acme.conf;", "unknown", None),
        ("root /w; location / { include /opt/acme.conf; }", "unknown", None),
        ("root /w; location /x { include /opt/acme.conf; }", "file", f"/w{TOKEN}"),
        ("location ~ '[[:alpha:]]' { return 404; }", "unknown", None),
        ("location /.well-known { internal; }", "return", 404),
    ],
)  # fmt: skip
def test_answers(server: str, kind: str, value: str | int | None) -> None:
    found = ask(f"listen 80; {server}")
    assert found.kind == kind, found
    assert (found.path or found.url or found.status) == value
    assert found.site == 0


def test_the_webroot_behind_an_alias() -> None:
    place = "/.well-known/acme-challenge/"
    assert ask(f"listen 80; location {place} {{ alias /l{place}; }}").root == "/l"
    assert ask(f"listen 80; location {place} {{ alias /l/; }}").root is None


def test_which_server_answers() -> None:
    servers = ["listen 80; return 403;", "listen 80; server_name a.test; return 410;"]
    assert (ask(*servers).site, ask(*servers, name="b.test").site) == (1, 0)
    assert ask("listen 81; return 403;").kind == "none"
    assert ask("listen [::]:80; return 403;").status == 403
    assert ask("listen 127.0.0.1:80; return 403;", "listen 192.0.2.1:80; return 410;").status == 410


def test_what_is_not_there_falls_back() -> None:
    found = ask("listen 80; root /w; location / { try_files $uri @a; } location @a { return 410; }")
    assert found.otherwise is not None
    assert found.otherwise.status == 410


@pytest.mark.parametrize(
    "pattern", [r"(a+)+\1$", "(a|aa)*(b*)*c", "(?=a*a*a*a*a*a*b)", "x" * 2000, "(", "\\h"]
)
def test_patterns_that_are_not_judged(pattern: str) -> None:
    assert regex.search(pattern, "a" * 60) is None


def test_patterns() -> None:
    assert regex.search(r"^/(?<name>a|b)(?:/|$)", "/a/x")
    assert regex.search(r"\.PHP$", "/a.php", ignore_case=True)
    assert regex.search(r"/\.(?!well-known).*", "/.well-known/x") is False
