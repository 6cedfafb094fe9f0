"""HAProxy, Caddy, stunnel and lighttpd on generated files: their sockets and TLS, as read."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sslint import servers
from sslint.servers.interface import Context
from sslint.servers.model import ServerReading
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
    """Return a configuration of lighttpd: some `:=` come after the `=` that they override."""
    port = rng.choice(["80", "8080", "8443", '"8080"', "var.chosen", "env.PORT"])
    lines = ['server.document-root = "/var/www"', 'server.modules += ("mod_openssl")']
    settings = [f"chosen = 8081\nserver.port = {port}"] if rng.random() < 0.8 else []
    if rng.random() < 0.4:
        hosts = ["192.0.2.10", "[::]", "127.0.0.1", "[::1]", "*", "", "localhost", "/run/x.sock"]
        hosts += ["[::]:8445", "0.0.0.0", "[2001:db8::10]", "[2001:DB8:0::10]"]
        settings.append(f'server.bind = "{rng.choice(hosts)}"')
    for name, share in (("server.use-ipv6", 0.3), ("server.set-v6only", 0.2), ("ssl.engine", 0.1)):
        if rng.random() < share:
            settings.append(f'{name} = "{rng.choice(["enable", "disable", "Enabled", "0"])}"')
    if rng.random() < 0.1:
        settings.append('server.v4mapped = "enable"')
    settings.append(PEMFILE)
    if rng.random() < 0.2:
        settings[-1] += '\nserver.port := 8444\nserver.use-ipv6 := "disable" # "quoted"'
    rng.shuffle(settings)
    for _ in range(rng.randrange(3)):
        settings.append(lighttpd_socket(rng))
    if rng.random() < 0.2:
        settings = [f"global {{\n{text}\n}}" if "$" not in text else text for text in settings]
    command = ["env", "PORT=8446", "lighttpd", "-D", "-f", "/etc/lighttpd/lighttpd.conf"]
    return "/etc/lighttpd", "\n".join(lines + settings) + "\n", command


PEMFILE = 'ssl.pemfile = "/etc/lighttpd/certs/one.pem"'


def lighttpd_socket(rng: random.Random) -> str:
    """Return a condition on a socket, perhaps inside of another or after an `else`."""
    places = [":443", "0.0.0.0:8443", "[::]:443", "192.0.2.10:444", "[::]:8443", ":8080", "[::1]"]
    places += ["127.0.0.1", "*:445", "[2001:db8::10]:446", "/run/y.sock", "localhost:447", "[::]"]
    place = f'"{rng.choice(places)}"'
    if rng.random() < 0.1:
        place = rng.choice(['":" + server.port', '"[::]:" + server.port', '"127.0.0.1:" + 448'])
    inner = ['ssl.engine = "enable"', PEMFILE] if rng.random() < 0.4 else []
    if rng.random() < 0.1:
        inner += ['ssl.engine := "disable"']
    for name in ("server.use-ipv6", "server.set-v6only", "server.v4mapped"):
        if rng.random() < 0.15:
            inner.append(f'{name} = "{rng.choice(["enable", "disable"])}"')
    inside = "".join(f"  {line}\n" for line in inner)
    text = f'$SERVER["socket"] == {place} {{\n{inside}}}'
    form = rng.random()
    if form < 0.1:
        return f'$HTTP["host"] == "a" {{\n{text}\n}}'
    if form < 0.2:
        return f'if $HTTP["host"] == "a" {{ }}\nelse {text}'
    if form < 0.25:
        return f'$SERVER["socket"] != "192.0.2.11:1" {{\n ssl.engine = "disable"\n}}\n{text}'
    if form < 0.3:
        return text.replace("{\n", '{ #{\n  $HTTP["host"] == "}" { ssl.engine = "enable" }\n', 1)
    return text.replace(" ", "") if form < 0.35 else text


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


def compare(name: str, running: Lab, base: Path, number: int) -> tuple[list[str], str]:
    """Return the differences between the reading and the program, and what could be compared."""
    write, file = NAMES[name]
    place, text, command = write(random.Random(number))
    directory = base / place[1:]
    (directory / "certs").mkdir(parents=True)
    (directory / file).write_text(text)
    for path, content in certificate_files()[0].items():
        (directory / path).write_text(content)
    (base / "etc/hosts").write_text(Path("/etc/hosts").read_text())
    make = ["/run/caddy", "/var/log/lighttpd", "/run/lighttpd", "/run/haproxy"]
    case = Case(str(directory), place, command, names=["a.example.test"], make=make, wait=5)
    seen = running.run(case)
    server = servers.server(name)
    assert server is not None
    reading = server.read(Tree(base), Context()) or ServerReading(name)
    if not seen["started"]:
        return [], "refused" if reading.refusals else "not started"
    wrong = differences(reading, seen)
    known = reading.complete and all(endpoint.certain for endpoint in reading.endpoints)
    texts = [f"{name} SSLINT_SEED={number}: {one}\n{text}" for one in wrong]
    return texts, "all known" if known else "unknown"


def differences(reading: ServerReading, seen: dict[str, Any]) -> list[str]:
    """Return where the sockets and the TLS that were found are not those that were read."""
    wrong = [f"starts, but {reason}" for reason in reading.refusals]
    read = {
        (e.transport, e.address, e.port, e.address == "::" and not e.ipv6only): e
        for e in reading.endpoints
    }
    certain = {key for key, endpoint in read.items() if endpoint.certain}
    real = {tuple(item) for item in seen["sockets"]}
    if not certain <= real or (reading.complete and not real <= set(read)):
        wrong.append(f"only read {certain - real}, only real {real - set(read)}")
    for address, port, answer in seen["answers"]:
        wildcard = "::" if ":" in address else "0.0.0.0"
        at = [e for (transport, _, p, _), e in read.items() if (transport, p) == ("tcp", port)]
        modes = {e.tls for e in at if e.address in (address, wildcard)} or {e.tls for e in at}
        real_mode = "none" if answer["mode"] == "none" else "implicit"
        if len(modes) == 1 and modes.isdisjoint({"unknown", real_mode}):
            wrong.append(f"{address}:{port}: read {modes}, real {answer['mode']}")
    return wrong


@pytest.mark.live("haproxy", "caddy", "stunnel4", "lighttpd", "ss", "unshare", "ip")
@pytest.mark.parametrize("name", sorted(NAMES))
def test_generated_files(name: str, tmp_path: Path) -> None:
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    with lab() as running:
        found = [compare(name, running, tmp_path / str(n), n) for n in range(SEED, SEED + COUNT)]
    print(f"{name}, of {COUNT}: {Counter(what for _, what in found)}")
    wrong = [text for texts, _ in found for text in texts]
    assert not wrong, "\n".join(wrong)
    assert sum(what == "all known" for _, what in found) > COUNT // 4
