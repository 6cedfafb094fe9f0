"""A template of nginx's configuration: its values are not known, and nothing is called an error."""

from __future__ import annotations

import time

import pytest

from sslint import engine
from sslint.checker import check
from sslint.servers.nginx import reader as nginx
from sslint.servers.nginx.templates import masked
from sslint.targets import Target
from tests.support import tree_of

SITE = """events {}
http {
  server {
    listen %s;
    server_name %s;
    ssl_certificate /etc/letsencrypt/live/%s/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/%s/privkey.pem;
  }
}
"""
VALUES = [
    "{{ port }}",
    "{{port}}",
    "${PORT}",
    "%PORT%",
    "%%PORT%%",
    "__PORT__",
    "@PORT@",
    "<%= p %>",
]


def found(text: str) -> list[tuple[str, str]]:
    result = check([Target("x", tree_of({"/etc/nginx/nginx.conf": text}))], engine.bundled())
    return [(finding.rule.name, finding.message) for finding in result.findings]


def reading(text: str) -> nginx.ServerReading:
    made = nginx.read(tree_of({"/etc/nginx/nginx.conf": text}))
    assert made is not None
    return made


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("listen", ["%s", "%s ssl", "0.0.0.0:%s ssl", "[::]:%s ssl", "443 ssl %s"])
def test_a_value_is_not_known_and_no_error(value: str, listen: str) -> None:
    text = SITE % (listen % value, value, value, value)
    assert found(text) == []
    assert reading(text).starts


def test_a_known_listener_stays_known() -> None:
    text = SITE % ("443 ssl {{ more }}", "{{ name }}", "{{ name }}", "{{ name }}")
    [endpoint] = reading(text).endpoints
    assert (endpoint.port, endpoint.tls, endpoint.certain) == (443, "implicit", True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{% if tls %}", "{% endif %}"),
        ("{% for s in sites -%}", "{%- endfor %}"),
        ("<% if tls %>", "<% end %>"),
        ("{{ if .TLS }}", "{{ end }}"),
        ("{{#each sites}}", "{{/each sites}}"),
    ],
)
def test_what_a_statement_decides_about_is_not_certain(before: str, after: str) -> None:
    text = (SITE % ("443 ssl", "a.example", "a", "a")).replace("  server", f"  {before}\n  server")
    text = text.replace("  }\n}", f"  }}\n  {after}\n}}")
    assert found(text) == []
    made = reading(text)
    assert made.starts
    assert not made.complete
    assert [endpoint.certain for endpoint in made.endpoints] == [False]


def test_both_branches_are_no_conflict_and_a_block_of_statements_may_hold_the_certificate() -> None:
    text = """events {}
http {
  server {
    {% if tls %}
    listen 443 ssl default_server;
    {{ tls_settings }}
    {% else %}
    listen 443 default_server;
    listen [::]:443 ipv6only=off;
    {% endif %}
    server_name a.example;
  }
}
"""
    assert found(text) == []


def test_broken_braces_of_a_template_are_not_called_an_error() -> None:
    text = "events {}\nhttp {\n{% if a %}\nserver {\n{% else %}\nserver {\n{% endif %}\n}\n}\n"
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "proxy_set_header Host ${host};",
        "content_by_lua_block { return {{1, 2}, {3}} }",
        "# {{ comment }} __NAME__",
        "rewrite ^/%E4%B8%AD /x;",
        "location ~ ^/[a-z]{2}$ { }",
        'log_format main "$remote_addr - [$time_local]";',
    ],
)
def test_nginx_s_own_words_are_no_template(text: str) -> None:
    assert masked(text) == (text, False)


def test_offsets_and_lines_stay() -> None:
    text = "a {{ b }} c\n{% if\n x %}\n{{ a_long_value }}\nd\n"
    changed, seen = masked(text)
    assert seen
    assert len(changed) == len(text)
    assert [len(line) for line in changed.split("\n")] == [len(line) for line in text.split("\n")]


@pytest.mark.parametrize("part", ["{{a}}", "{{", "<%", "{% ", "%AAA", "__A", "${A", "@A"])
def test_a_long_line_takes_no_time(part: str) -> None:
    started = time.process_time()
    masked(part * ((1 << 18) // len(part)))
    assert time.process_time() - started < 10
