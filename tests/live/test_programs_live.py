"""HAProxy, Caddy, stunnel and lighttpd on generated files: their sockets and TLS, as read."""

from __future__ import annotations

import functools
import random
import re
import subprocess
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
    lines = ["global", " limited-quic", " setenv P 8443", " setenv H 192.0.2.11"]
    if rng.random() < 0.1:
        lines.append(" stats socket ipv4@127.0.0.1:9000 level admin")
    if rng.random() < 0.1:
        lines.append(" unsetenv P")
    if rng.random() < 0.05:
        lines.append(" noreuseport")
    timeouts = [" timeout client 5s", " timeout connect 5s", " timeout server 5s"]
    mode = rng.choice(["http", "http", "tcp"])
    lines += ["defaults", f" mode {mode}", *timeouts]
    if rng.random() < 0.3:
        lines += [" disabled"] * (rng.random() < 0.5) + ["defaults two", " mode http", *timeouts]
        lines += [" disabled"] * (rng.random() < 0.2)
    if rng.random() < 0.1:
        lines += ["log-forward logs", " bind 127.0.0.1:1514", " dgram-bind :1514", " log global"]
    for number in range(rng.randrange(1, 4)):
        chosen = " from two" if "defaults two" in lines and rng.random() < 0.5 else ""
        lines += haproxy_section(rng, f"f{number}{chosen}", quic=mode == "http")
    text = "\n".join(lines) + "\n"
    if rng.random() < 0.2:
        text += f".if {rng.choice('01')}\nfrontend off\n bind :9999\n.endif\n"
    command = ["env", "O=192.0.2.10", "haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
    return "/etc/haproxy", text, command


def haproxy_section(rng: random.Random, name: str, *, quic: bool) -> list[str]:
    """Return a section that may bind, with what binds in one of HAProxy's forms."""
    lines = [f"{rng.choice(['frontend', 'listen'])} {name}"]
    for _ in range(rng.choice([1, 1, 2])):
        lines.append(f" bind {haproxy_bind(rng, quic=quic)}")
        if rng.random() < 0.4 and "quic" not in lines[-1]:
            lines[-1] += " ssl crt /etc/haproxy/certs/one.pem"
        lines[-1] += rng.choice(["", "", "", " # ssl", " name x#y", " name ssl"])
    if rng.random() < 0.1:
        lines.append(rng.choice([" disabled", " enabled", " mode http"]))
    return [*lines, " #bind :7777", " timeout client 6s"]


def haproxy_bind(rng: random.Random, *, quic: bool) -> str:
    hosts = ["", "*", "0.0.0.0", "192.0.2.10", "127.0.0.1", "localhost", "ipv4@", "ipv4@*", "tcp@"]
    hosts += ["tcp4@*", "tcp4@192.0.2.11", "ip@", "stream+ipv4@", "${H}", "$O"]
    six = ["[::]", "::", "ipv6@", "ipv6@*", "ipv6@::", "tcp6@", "[2001:db8::10]", "2001:DB8::10"]
    host = rng.choice(hosts if rng.random() < 0.6 else six)
    port = rng.choice(["443", "80", "8443", "8000-8001", "$P", "0443", "${P}", "${P-8444}"])
    bind = f"{host}:{port}"
    form = rng.random()
    if form < 0.1 or "-8444" in bind:
        bind = f'"{bind}"'.replace("$O", "${O-127.0.0.1}")
    elif form < 0.15:
        bind = f"'{bind}'"
    elif form < 0.2 and "$" not in bind:
        bind = bind.replace("4", "\\x34", 1)
    elif form < 0.3:
        bind = f"{bind},{rng.choice(['127.0.0.1:81', ':82', '192.0.2.10:83', '/run/haproxy/x'])}"
    elif form < 0.35:
        return rng.choice(
            ["/run/haproxy/y", "unix@/run/haproxy/z", "abns@x", "uxst@/run/haproxy/u"]
        )
    elif form < 0.42 and quic:
        host = rng.choice(["quic4@", "quic6@", "quic4@*", "quic6@[::]"])
        return f"{host}:{rng.choice(['443', '8443'])} ssl crt /etc/haproxy/certs/one.pem"
    flags = rng.choice(["", " v4v6", " v6only", " v4v6 v6only", " transparent", " interface lo"])
    return f"{bind}{flags if rng.random() < 0.6 else ''}"


def stunnel(rng: random.Random) -> tuple[str, str, list[str]]:
    accepts = ["443", "*:443", "0.0.0.0:8443", ":::993", "192.0.2.10:465", "2001:db8::10:465"]
    accepts += ["localhost:4433", "127.0.0.1:8444", "::1:8445", ":::8446", "2001:DB8:0::10:466"]
    accepts += ["imaps", "0.0.0.0:993", "192.0.2.11:smtp", "8447"]
    lines = ["foreground = yes", "pid =", "Cert=/etc/stunnel/certs/one.pem", "; accept = 1"]
    for option in ("client = yes", "protocol = smtp", "socket = a:IPV6_V6ONLY=yes"):
        if rng.random() < 0.1:
            lines.append(option)
    for number, accept in enumerate(rng.sample(accepts, rng.randrange(1, 4))):
        lines.append(f"[s{number}]")
        inner = [rng.choice(["accept = ", "Accept=", "  accept  =  "]) + accept]
        inner.append("connect = 127.0.0.1:9")
        if rng.random() < 0.15:
            inner.append(f"accept = {rng.choice(['127.0.0.1:8450', '8451', ':::8452'])}")
        options = ["client = yes", "CLIENT = no", "# client = yes", "protocol = imap"]
        options += ["socket = a:IPV6_V6ONLY=1", "socket = a:IPV6_V6ONLY=no", "protocol = proxy"]
        inner += rng.sample(options[:4], rng.choice([0, 0, 1])) + rng.sample(options[4:], 1) * (
            rng.random() < 0.2
        )
        rng.shuffle(inner)
        lines += inner
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
    options += [
        "default_bind 192.0.2.10 [::1]",
        "default_bind tcp4/0.0.0.0 # all",
        "http_port 8080",
    ]
    options += ["servers {\n protocols h1 h2\n }", "https_port 4443", "log {\n output discard\n }"]
    chosen = rng.sample(options, rng.choice([0, 0, 1, 1, 2]))
    if sum(option.startswith(("auto", "default")) for option in chosen) > 1:
        chosen = chosen[:1]
    text = "{\n admin off\n storage file_system /run/caddy\n " + "\n ".join(chosen) + "\n}\n"
    text += "# here {\n(shared) {\n header X a # {\n bind 192.0.2.11\n}\n"
    text += "(plain) {\n respond ok\n}\n(which) {\n bind {args.0}\n}\n"
    names = ["a.example.test", "b.example.test:8443", ":8444", "http://c.example.test", ":80"]
    names += [
        "d.example.test, http://e.example.test:8081",
        "https://f.example.test:8445",
        "https://",
    ]
    names += ["http://", "HTTP://G.example.test:8082", "192.0.2.10", "[2001:db8::10]:8446", ":8447"]
    names += ["h.example.test:80", "i.example.test/x*", "localhost:8448", "https://:8449", "*:8450"]
    for name in rng.sample(names, rng.randrange(1, 4)):
        inner = caddy_inner(rng)
        if name == ":8444":
            inner += " tls /etc/caddy/certs/one.crt /etc/caddy/certs/one.key\n"
        text += f"{name} {{\n{inner}}}\n" if rng.random() < 0.9 else f'"{name}" {{\n{inner}}}\n'
    return "/etc/caddy", text, ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]


def caddy_inner(rng: random.Random) -> str:
    """Return what a site has: its addresses, and what only looks like an address or TLS."""
    hosts = ["0.0.0.0", "192.0.2.11", "::", "[::]", "[::1]", "::1", "127.0.0.1", "localhost"]
    hosts += ["tcp4/0.0.0.0", "tcp4/", "tcp6/", "tcp6/::", "TCP6/[2001:db8::10]", "tcp/192.0.2.10"]
    hosts += ["unix//run/caddy/x", "2001:db8::10", "tcp4/192.0.2.10", '"192.0.2.10"', "`::1`"]
    lines = []
    if rng.random() < 0.6:
        lines.append(f"bind {' '.join(rng.sample(hosts, rng.choice([1, 1, 2])))}")
    if rng.random() < 0.1:
        lines.append(f"bind {rng.choice(hosts)}")
    if rng.random() < 0.2:
        lines.append(rng.choice(["import shared", "import plain", "import which 192.0.2.10"]))
    if rng.random() < 0.2:
        tls = "transport http {\n tls\n }"
        lines.append(f"reverse_proxy /x 127.0.0.1:9 {{\n {tls}\n }}")
    if rng.random() < 0.1:
        lines.append("handle /y {\n respond bind\n }")
    if rng.random() < 0.1:
        lines.append("# bind 192.0.2.10 {")
    rng.shuffle(lines)
    return "".join(f" {line}\n" for line in [*lines, "respond ok"])


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
    case.ready = "serving initial configuration" if name == "caddy" else ""
    seen = running.run(case)
    server = servers.server(name)
    assert server is not None
    version = caddys_version() if name == "caddy" else None
    reading = server.read(Tree(base), Context(version)) or ServerReading(name)
    if not seen["started"]:
        return [], "refused" if reading.refusals else "not started"
    wrong = differences(reading, seen)
    known = reading.complete and all(endpoint.certain for endpoint in reading.endpoints)
    texts = [f"{name} SSLINT_SEED={number}: {one}\n{text}" for one in wrong]
    return texts, "all known" if known else "unknown"


@functools.cache
def caddys_version() -> tuple[int, ...]:
    said = subprocess.run(["caddy", "version"], capture_output=True, check=True, text=True).stdout
    return tuple(int(part) for part in said.split()[0].lstrip("v").split("-")[0].split("."))


def differences(reading: ServerReading, seen: dict[str, Any]) -> list[str]:
    """Return where the sockets and the TLS that were found are not those that were read."""
    wrong = [f"starts, but {reason}" for reason in reading.refusals]
    read = {
        (e.transport, e.address, e.port, e.address == "::" and not e.ipv6only): e
        for e in reading.endpoints
    }
    certain = {key for key, endpoint in read.items() if endpoint.certain}
    real = {
        (transport, "::", port, True)
        if address == "*%lo"
        else (transport, re.sub(r"\]?%lo$", "", address), port, dual)
        for transport, address, port, dual in seen["sockets"]
    }
    if not certain <= real or (reading.complete and not real <= set(read)):
        wrong.append(f"only read {certain - real}, only real {real - set(read)}")
    for address, port, answer in seen["answers"] if reading.complete else ():
        wildcard = "::" if ":" in address else "0.0.0.0"
        at = [e for e in reading.endpoints if (e.transport, e.port) == ("tcp", port)]
        modes = {e.tls for e in at if e.address in (address, wildcard)} or {e.tls for e in at}
        real_mode = "none" if answer["mode"] == "none" else "implicit"
        modes = {"none" if mode == "starttls" else mode for mode in modes}  # it talks first
        if len(modes) == 1 and "%" not in address and modes.isdisjoint({"unknown", real_mode}):
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
    assert sum(what == "all known" for _, what in found) >= COUNT // 10
