"""The form of directives: what nginx -t refuses for a place, an argument or a value, is refused.

More: `SSLINT_COUNT=20000 .venv/bin/python -m pytest tests/live/test_nginx_directives_live.py`.
"""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from sslint.servers.nginx import directives
from sslint.servers.nginx import reader as nginx
from tests.live.conftest import count, expect_none
from tests.support import tree_of

MODULES = "/usr/lib/nginx/modules"
EVENTS = "events { }"
# Where a directive is put, in every context.
PLACES = {
    "main": "%s " + EVENTS,
    "events": "events { %s }",
    "http": EVENTS + " http { %s }",
    "server": EVENTS + " http { server { %s } }",
    "location": EVENTS + " http { server { location / { %s } } }",
    "server-if": EVENTS + " http { server { if ($host) { %s } } }",
    "location-if": EVENTS + " http { server { location / { if ($host) { %s } } } }",
    "limit_except": EVENTS + " http { server { location / { limit_except GET { %s } } } }",
    "upstream": EVENTS + " http { upstream u { server 127.0.0.1; %s } }",
    "stream": EVENTS + " stream { %s }",
    "stream-server": EVENTS + " stream { server { listen 127.0.0.1:9; return x; %s } }",
    "stream-upstream": EVENTS + " stream { upstream u { server 127.0.0.1:9; %s } }",
    "mail": EVENTS + " mail { %s }",
    "mail-server": EVENTS + " mail { auth_http 127.0.0.1/; server { listen 127.0.0.1:9; "
    "protocol imap; %s } }",
}
WORDS = {
    "flag": ["on", "off", "ON", "yes", "1", "true", "of"],
    "number": ["0", "1", "9", "10", "-1", "1k", "x", "007", "256", "400", "9223372036854775808"],
    "size": ["1", "10k", "1M", "1g", "1kk", "k", "", "0", "8 k", "9007199254740993k", "-1"],
    "offset": ["0", "10k", "1M", "1g", "1G", "g", "1t", "", "1.5m"],
    "time": ["1", "1s", "1m", "1ms", "1h 30m", "30m1h", "1y", "1M", "s", "1 s", "1s2", "1m2ms 3"],
    "buffers": ["4", "0", "4k", "8k", "x"],
}
WORDS["seconds"] = WORDS["time"]
PLAIN = ["on", "off", "/x", "1", "10", "10k", "x", "$host", "GET", "127.0.0.1", "default", "1m", ""]
# What they take that no list above has.
TAKEN = {
    "aio": "on",
    "alias": "/x/",
    "auth_request": "/x",
    "charset": "utf-8",
    "directio": "4m",
    "disable_symlinks": "on",
    "expires": "1h",
    "fastcgi_pass": "127.0.0.1:9",
    "geoip_city": "/x",
    "grpc_pass": "127.0.0.1:9",
    "internal": "",
    "keepalive": "4",
    "keepalive_timeout": "10s 20s",
    "memcached_pass": "127.0.0.1:9",
    "open_file_cache": "max=10",
    "open_log_file_cache": "max=10",
    "pass": "127.0.0.1:9",
    "proxy_bind": "127.0.0.1",
    "proxy_cache": "off",
    "proxy_pass": "http://127.0.0.1:9",
    "real_ip_header": "X-Real-IP",
    "resolver": "127.0.0.1",
    "return": "x",
    "root": "/x",
    "scgi_pass": "127.0.0.1:9",
    "ssl_alpn": "h2",
    "ssl_password_file": "/dev/null",
    "try_files": "/a /b",
    "use": "epoll",
    "user": "root",
    "userid_expires": "max",
    "userid_mark": "off",
    "uwsgi_pass": "127.0.0.1:9",
    "worker_connections": "100",
    "worker_cpu_affinity": "auto",
    "worker_processes": "auto",
}
SAID = re.compile(
    r"\"(?P<name>\w+)\" directive (is not allowed here|is duplicate|invalid value|invalid number"
    r"|value must be)|directive \"\w+\" (is not terminated|has no opening)"
    r"|invalid number of arguments in|invalid value \".*\" in|value must be "
)

OWN = re.compile(r"is duplicate|invalid value|invalid number in|value must be")  # by its module


VERSION = (1, 26, 3)  # of Debian 13


class Case(NamedTuple):
    """A directive in a context."""

    name: str
    context: str
    form: directives.Syntax | None
    text: str


def case(number: int) -> Case:
    """Return a random directive in a random place, mostly one that has it."""
    rng = random.Random(f"form {number}")
    context = rng.choice(list(PLACES))
    table = directives._table(VERSION)
    known = table[context]
    elsewhere = rng.random() < 0.15
    names = sorted({name for each in table.values() for name in each} if elsewhere else known)
    names = [one for one in names if one not in ("include", "daemon", "load_module", "pid")]
    name = rng.choice((sorted(TAKEN.keys() & names) if rng.random() < 0.2 else []) or names)
    form = known.get(name)
    kind = form.kind if form is not None else ""
    words = WORDS.get(kind.split(" ")[0]) or [*kind.split()[1:], *PLAIN]
    fits = [n for n in range(8) if form is not None and form.counts >> n & 1] or [1]
    number_of_words = rng.choice(fits) if rng.random() < 0.8 else rng.randrange(5)
    args = [rng.choice(words) for _ in range(number_of_words)]
    quoted = "".join(f' "{word}"' if word == "" or " " in word else f" {word}" for word in args)
    block = form is not None and form.block
    if name in TAKEN and rng.random() < 0.5:
        quoted = f" {TAKEN[name]}"
    if rng.random() < 0.05:
        block = not block
    text = f"{name}{quoted}" + (" { }" if block else ";")
    if rng.random() < 0.2:
        text += f" {text}"
    return Case(name, context, form, text)


def real(base: Path, number: int, text: str) -> str:
    """Return what nginx refuses a configuration for; "" if it takes it."""
    directory = base / str(number)
    directory.mkdir()
    path = directory / "nginx.conf"
    modules = ("ngx_stream_module", "ngx_mail_module")
    loads = "".join(f"load_module {MODULES}/{name}.so;\n" for name in modules)
    path.write_text(f"{loads}pid {directory}/pid;\n{text}\n")
    command = ["nginx", "-t", "-p", str(directory), "-c", str(path), "-e", "stderr"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    errors = [line for line in done.stderr.splitlines() if "[emerg]" in line]
    return errors[0] if errors else done.stderr if done.returncode else ""


def difference(base: Path, number: int) -> str:
    """Return what sslint and nginx do not agree on."""
    one = case(number)
    text = PLACES[one.context] % one.text
    said = real(base, number, text)
    readings = [
        nginx.read(tree_of({"/etc/nginx/nginx.conf": text}), version=version)
        for version in (VERSION, None)
    ]
    ours, unsure = ([reason.text for reason in one.refusals] for one in readings if one)
    told = f"{number}: {text}\n  nginx: {said}\n  sslint: {ours}, any version: {unsure}"
    if (ours or unsure) and not said:
        return told
    modelled = (
        one.form is None
        or bool(one.form.kind)
        or not OWN.search(said)
        or (one.form.once and "is duplicate" in said)
    )
    return told if SAID.search(said) and not ours and modelled else ""


@pytest.mark.live("nginx")
def test_random_directives(tmp_path: Path) -> None:
    expect_none(lambda number: difference(tmp_path, number), count(400))


@pytest.mark.live("nginx")
@pytest.mark.parametrize("loads", ["", f"load_module {MODULES}/ngx_stream_module.so;"])
def test_debians_nginx_knows_no_stream(loads: str, tmp_path: Path) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(f"{loads} pid {tmp_path}/pid; {EVENTS} stream {{ }}")
    command = ["nginx", "-t", "-e", "stderr", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ('unknown directive "stream"' in done.stderr) is (not loads)
