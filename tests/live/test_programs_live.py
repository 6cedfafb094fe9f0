"""HAProxy, Caddy, stunnel and lighttpd on generated files: their sockets and TLS, as read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sslint import servers
from sslint.servers.interface import Context
from sslint.tree import Tree
from tests.live.apache_configurations import certificate_files
from tests.live.conftest import count, seed
from tests.live.programs_lab import Case, Lab, lab

SEED = seed()
COUNT = count(5)


def haproxy(rng: random.Random) -> tuple[str, str, list[str]]:
    hosts = [":", "*:", "0.0.0.0:", "[::]:", ":::", "ipv6@:", "192.0.2.10:", "[2001:db8::10]:"]
    lines = ["global", " setenv P 8443", "defaults", " mode http", " timeout client 5s"]
    lines += [" timeout connect 5s", " timeout server 5s"]
    for number in range(rng.randrange(1, 4)):
        port = rng.choice(["443", "80", "8443", "${P}", "8000-8001"])
        flags = rng.choice(["", "", " v4v6", " v6only"] if rng.random() < 0.5 else [""])
        ssl = " ssl crt /etc/haproxy/certs/one.pem" if rng.random() < 0.5 else ""
        host = rng.choice(hosts)
        if host not in ("[::]:", ":::", "ipv6@:"):
            flags = ""
        bind = f"{host}{port}"
        lines.append(f"frontend f{number}")
        lines.append(f" bind {bind}{flags}{ssl}")
        lines.append(" http-request return status 200")
        if rng.random() < 0.15:
            lines.append(" disabled")
    text = "\n".join(lines) + "\n"
    if rng.random() < 0.2:
        text += ".if 0\nfrontend off\n bind :9999\n.endif\n"
    return "/etc/haproxy", text, ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]


def stunnel(rng: random.Random) -> tuple[str, str, list[str]]:
    accepts = ["443", "*:443", "0.0.0.0:8443", ":::993", "192.0.2.10:465", "2001:db8::10:465"]
    chosen = rng.sample(accepts, rng.randrange(1, 4))
    if "443" in chosen and "*:443" in chosen:
        chosen.remove("443")
    lines = ["foreground = yes", "pid =", "cert = /etc/stunnel/certs/one.pem"]
    for number, accept in enumerate(chosen):
        lines += [f"[s{number}]", f"accept = {accept}", "connect = 127.0.0.1:9"]
        if rng.random() < 0.3:
            lines.append("client = yes")
    return "/etc/stunnel", "\n".join(lines) + "\n", ["stunnel4", "/etc/stunnel/x.conf"]


def lighttpd(rng: random.Random) -> tuple[str, str, list[str]]:
    lines = ['server.document-root = "/var/www"', 'server.modules += ("mod_openssl")']
    lines.append(f"server.port = {rng.choice([80, 8080])}")
    if rng.random() < 0.3:
        lines.append(f'server.bind = "{rng.choice(["192.0.2.10", "[::]", "127.0.0.1"])}"')
    for place in rng.sample([":443", "0.0.0.0:8443", "[::]:443", "192.0.2.10:444"], 2):
        inner = ""
        if rng.random() < 0.7:
            inner = 'ssl.engine = "enable"\n ssl.pemfile = "/etc/lighttpd/certs/one.pem"\n'
        lines.append(f'$SERVER["socket"] == "{place}" {{\n {inner}}}')
    command = ["lighttpd", "-D", "-f", "/etc/lighttpd/lighttpd.conf"]
    return "/etc/lighttpd", "\n".join(lines) + "\n", command


def caddy(rng: random.Random) -> tuple[str, str, list[str]]:
    options = ["auto_https off", "auto_https disable_redirects", "default_bind 192.0.2.10"]
    options += ["servers {\n protocols h1 h2\n }", "https_port 4443", ""]
    chosen = rng.choice(options)
    text = "{\n admin off\n storage file_system /run/caddy\n " + chosen + "\n}\n"
    names = ["a.example.test", "b.example.test:8443", ":8444", "http://c.example.test", ":80"]
    for name in rng.sample(names, rng.randrange(1, 3)):
        inner = rng.choice(["", " bind 0.0.0.0\n", " bind 192.0.2.11\n", ""])
        if name == ":8444":
            inner += " tls /etc/caddy/certs/one.crt /etc/caddy/certs/one.key\n"
        text += f"{name} {{\n{inner} respond ok\n}}\n"
    return "/etc/caddy", text, ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]


NAMES = {
    "haproxy": (haproxy, "haproxy.cfg"),
    "stunnel": (stunnel, "x.conf"),
    "lighttpd": (lighttpd, "lighttpd.conf"),
    "caddy": (caddy, "Caddyfile"),
}


def compare(name: str, running: Lab, base: Path, number: int) -> list[str] | None:
    """Return the differences between the reading and the program; None if it does not start."""
    write, file = NAMES[name]
    place, text, command = write(random.Random(number))
    directory = base / place[1:]
    (directory / "certs").mkdir(parents=True)
    (directory / file).write_text(text)
    for path, content in certificate_files()[0].items():
        (directory / path).write_text(content)
    make = ["/run/caddy", "/var/log/lighttpd", "/run/lighttpd", "/run/haproxy"]
    case = Case(str(directory), place, command, names=["a.example.test"], make=make, wait=5)
    seen = running.run(case)
    if not seen["started"]:
        return None
    server = servers.server(name)
    assert server is not None
    reading = server.read(Tree(base), Context())
    endpoints = reading.endpoints if reading is not None else []
    found = [
        (e.transport, e.address, e.port, e.address == "::" and not e.ipv6only)
        for e in endpoints
        if e.certain
    ]
    real = [tuple(item) for item in seen["sockets"]]
    wrong = []
    if set(found) != set(real):
        wrong.append(f"only read {set(found) - set(real)}, only real {set(real) - set(found)}")
    for address, port, answer in seen["answers"]:
        modes = {
            e.tls
            for e in endpoints
            if e.port == port and e.transport == "tcp" and e.address in (address, "0.0.0.0", "::")
        }
        real_mode = "none" if answer["mode"] == "none" else "implicit"
        if len(modes) == 1 and modes.isdisjoint({"unknown", real_mode}):
            wrong.append(f"{address}:{port}: read {modes}, real {answer['mode']}")
    return [f"{name} SSLINT_SEED={number}: {one}\n{text}" for one in wrong]


@pytest.mark.live("haproxy", "caddy", "stunnel4", "lighttpd", "ss", "unshare", "ip")
@pytest.mark.parametrize("name", sorted(NAMES))
def test_generated_files(name: str, tmp_path: Path) -> None:
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    with lab() as running:
        found = [compare(name, running, tmp_path / str(n), n) for n in range(SEED, SEED + COUNT)]
    started = [one for one in found if one is not None]
    print(f"{name}: {len(started)} of {COUNT} started")
    assert not any(started), "\n".join(text for one in started for text in one)
    assert len(started) > COUNT // 3
