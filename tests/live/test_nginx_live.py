"""Generated configurations, started by the real nginx, against what is read from their files."""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sslint.servers.model import CertificateRef, ServerReading
from sslint.servers.nginx import reader as nginx
from sslint.servers.nginx import shapes
from tests.live import selfsigned
from tests.live.conftest import at_most, count, seed
from tests.live.nginx_lab import Lab, lab
from tests.support import tree_of

pytestmark = pytest.mark.live("nginx", "ss", "unshare", "ip")

SEED = seed()
COUNT = count(40)
LABS = 2
VERSION = (1, 26, 3)

NAMES = ["a.example.test", "b.example.test", "www.example.test", "x.y.other.test", "www.other.org"]
NAMES += ["nobody.invalid"]
SERVER_NAMES = [
    "a.example.test", "b.example.test", "A.Example.Test", "*.example.test", ".example.test",
    "www.example.*", "www.*", ".other.test", "*.y.other.test", "~^www\\.", "~^(?<sub>.+)\\.org$",
    "_", '""', "localhost",
]  # fmt: skip
CERTIFICATES = ["one", "two", "three", "rsa"]


@dataclass
class Generator:
    """Writes one configuration from a seed; about two thirds of them are sound."""

    rng: random.Random
    files: dict[str, str] = field(default_factory=dict)
    servers: int = 0

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def write(self) -> dict[str, str]:
        main = [
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;",
            "load_module /usr/lib/nginx/modules/ngx_mail_module.so;",
            "worker_processes 2;",
            "events { worker_connections 64; }",
        ]
        main.append(self.http())
        if self.chance(35):
            main.append(self.stream())
        if self.chance(30):
            main.append(self.mail())
        self.files["nginx.conf"] = "\n".join(main) + "\n"
        return self.files

    def http(self) -> str:
        lines = ["# comment } { ; '", "access_log off;"]
        if self.chance(70):
            lines += self.certificate()
        if self.chance(8):
            lines.append("ssl_reject_handshake on;")
        if self.chance(15):
            lines.append("http2 on;")
        if self.chance(10):
            lines.append("ssl_protocols TLSv1.2 TLSv1.3;")
        shared = "ssl" if self.chance(70) else ""
        for _ in range(self.rng.randrange(1, 6)):
            server = self.http_server(shared)
            lines.append(self.placed(server))
            if self.chance(35):
                lines += [self.placed(self.alike(server)) for _ in range(self.rng.randrange(1, 4))]
        self.rng.shuffle(lines)
        # A shuffled comment must keep its own line, which the join below gives it.
        return "http {\n" + "\n".join(lines) + "\n}"

    def placed(self, server: str) -> str:
        """Put a server block into an included file, sometimes."""
        if not self.chance(40):
            return server
        name = f"sites/{self.rng.randrange(100):02}-{len(self.files)}.conf"
        self.files[name] = server
        form = self.pick(name, f"/etc/nginx/{name}", name.replace("sites/", "sites/*")[:-4] + "*")
        return f'include "{form}";' if self.chance(30) else f"include {form};"

    def alike(self, server: str) -> str:
        """Return a server block that differs from another in the words that name a site."""

        def words(match: re.Match[str]) -> str:
            if match[1] == "server_name":
                plain = SERVER_NAMES if self.chance(20) else [*NAMES, "*.example.test", "_"]
                new = " ".join(self.rng.sample(plain, self.rng.randrange(1, 4)))
            elif match[1] == "return":
                self.servers += 1
                new = f"{self.pick('200', '404')} server-{self.servers}"
            else:
                new = re.sub("one|two|three", self.pick("one", "two", "three"), match[2])
            return f"{match[1]} {new};"

        return re.sub(r"\b(server_name|ssl_certificate\w*|return) ([^;]*);", words, server)

    def certificate(self) -> list[str]:
        lines = []
        for name in [self.pick(*CERTIFICATES[:3]), *(["rsa"] if self.chance(12) else [])]:
            path = self.pick(f"certs/{name}.pem", f"/etc/nginx/certs/{name}.pem")
            lines.append(f"ssl_certificate {path};")
            if self.chance(97):
                lines.append(f"ssl_certificate_key '{path}';")
        return lines

    def listen(self, kind: str, shared: str) -> str:
        port = self.pick("443", "8443", "80") if kind == "http" else self.pick("9000", "9001")
        if kind == "http" and self.chance(5):
            port = "8000-8002"
        host = self.pick(
            "", "", "", "*:", "0.0.0.0:", "192.0.2.10:", "192.0.2.11:", "127.0.0.1:",
            "[::]:", "[::]:", "[2001:db8::10]:", "[::1]:", "[0:0::0]:", "[2001:DB8:0::10]:",
        )  # fmt: skip
        if self.chance(2):
            host = "localhost:"
        address = host + port
        if kind == "http" and host not in ("",) and self.chance(4):
            address = host[:-1]
        flags = []
        if kind == "http" and self.chance(12):
            flags.append("quic")
        elif kind == "stream" and self.chance(20):
            flags.append("udp")
        else:
            if "443" in address and self.chance(80 if shared else 25):
                flags.append("ssl")
            if self.chance(5) and kind != "mail":
                flags.append("proxy_protocol")
            if self.chance(5) and kind == "http":
                flags.append("http2")
            if self.chance(2):
                flags.append(self.pick("backlog=64", "so_keepalive=on", "rcvbuf=32k"))
        if kind != "mail":
            if self.chance(6):
                flags.append("default_server")
            if self.chance(3):
                flags.append("reuseport")
        if self.chance(3):
            flags.append("bind")
        if host.startswith("[") and self.chance(5):
            flags.append(self.pick("ipv6only=on", "ipv6only=off"))
        if self.chance(1):
            flags.append(self.pick("nonsense", "quic ssl", "http3", "spdy"))
        return " ".join(["listen", address, *flags]) + ";"

    def http_server(self, shared: str) -> str:
        self.servers += 1
        listens: dict[str, str] = {}
        for _ in range(self.rng.randrange(0, 4)):
            listen = self.listen("http", shared)
            # Twice the same address in one block is refused; let it happen, but seldom.
            place = re.sub(r"\*:|0\.0\.0\.0:|0:0::0|8:0::", "", listen.split()[1].lower())
            listens[listen if self.chance(3) else place + str("quic" in listen)] = listen
        lines = list(listens.values())
        if self.chance(80):
            names = self.rng.sample(SERVER_NAMES, self.rng.randrange(1, 4))
            lines.append("server_name " + " ".join(names) + ";")
        if self.chance(60):
            lines += self.certificate()
        if self.chance(5):
            lines.append("ssl_reject_handshake on;")
        if self.chance(5):
            lines.append("if ($request_method ~ 'T{3}') { return 405; }")
        lines.append(f"return 200 server-{self.servers};")
        self.rng.shuffle(lines)
        return self.pick("server {\n  ", "server{ ", '"server" {') + "\n  ".join(lines) + "\n}"

    def stream(self) -> str:
        lines = []
        for _ in range(self.rng.randrange(1, 3)):
            inner = sorted({self.listen("stream", "") for _ in range(self.rng.randrange(1, 3))})
            if self.chance(40):
                inner = [
                    line.replace(";", " ssl;") if "udp" not in line and self.chance(90) else line
                    for line in inner
                ]
                inner += self.certificate()
            if self.chance(30):
                inner.append("server_name a.example.test;")
            self.servers += 1
            if self.chance(30):
                inner.append(f"proxy_pass 127.0.0.1:{self.pick('443', '80', '8443')};")
                inner += ["ssl_preread on;"] if self.chance(50) else []
                inner += ["proxy_protocol on;"] if self.chance(10) else []
                inner += ["proxy_ssl on;"] if self.chance(5) else []
            else:
                inner.append(f"return server-{self.servers};")
            self.rng.shuffle(inner)
            lines.append("server {\n  " + "\n  ".join(inner) + "\n}")
        return "stream {\n" + "\n".join(lines) + "\n}"

    def mail(self) -> str:
        lines = ["auth_http 127.0.0.1:9/auth;", "smtp_auth login plain;"]
        lines += self.certificate() if self.chance(70) else []
        if self.chance(30):
            lines.append(f"starttls {self.pick('on', 'only', 'off')};")
        for _ in range(self.rng.randrange(1, 3)):
            ports = self.rng.sample(["143", "993", "110", "995", "25", "587", "465"], 2)
            inner = []
            for port in ports[: self.rng.randrange(1, 3)]:
                host = self.pick("", "", "[::]:", "192.0.2.10:", "*:")
                ssl = " ssl" if port in ("993", "995", "465") or self.chance(10) else ""
                inner.append(f"listen {host}{port}{ssl};")
            if self.chance(20):
                inner.append(f"starttls {self.pick('on', 'only', 'off')};")
            if self.chance(20):
                inner.append(f"protocol {self.pick('imap', 'pop3', 'smtp')};")
            if self.chance(20):
                inner += self.certificate()
            self.rng.shuffle(inner)
            lines.append("server { " + " ".join(inner) + " }")
        return "mail {\n" + "\n".join(lines) + "\n}"


def generate(number: int) -> dict[str, str]:
    return Generator(random.Random(number)).write()


def compare(files: dict[str, str], seen: dict, digests: dict[str, str]) -> list[str]:  # type: ignore[type-arg]
    """Return every difference between the reading and the real nginx."""
    tree = tree_of({f"/etc/nginx/{name}": text for name, text in files.items()})
    reading = nginx.read(tree, version=VERSION)
    assert reading is not None
    if reading.starts != seen["started"]:
        log = [line for line in seen["log"].splitlines() if "emerg" in line]
        return [f"starts: read {reading.starts} {reading.reasons}, real {log}"]
    if not seen["started"]:
        return []
    problems = [f"problem: {p}" for p in tree.problems]
    config = reading.config
    assert isinstance(config, nginx.Nginx)
    expected = set()
    for endpoint in reading.endpoints:
        shared = "shares-socket-of" in dict(endpoint.settings)
        if endpoint.certain and not shared:
            dual = ":" in endpoint.address and not endpoint.ipv6only and endpoint.address == "::"
            expected.add((endpoint.transport, endpoint.address, endpoint.port, dual))
    real = {tuple(item) for item in seen["sockets"]}
    if expected != real:
        problems.append(f"sockets: only read {expected - real}, only real {real - expected}")
    answers = {(a, p): answer for a, p, answer in seen["answers"]}
    for (address, port), answer in answers.items():
        problems += judge(reading, config, address, port, answer, digests)
    return problems


def judge(
    reading: ServerReading,
    config: nginx.Nginx,
    address: str,
    port: int,
    answer: dict,  # type: ignore[type-arg]
    digests: dict[str, str],
) -> list[str]:
    client = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    found = {(e.address, e.port): e for e in reading.endpoints if e.transport == "tcp"}
    endpoint = found.get((client, port)) or found.get((address, port))
    socket = config.socket("tcp", client, port)
    if endpoint is None or socket is None:
        return [f"{address}:{port}: not read"]
    if endpoint.reasons:
        return []
    place = f"{endpoint.address}:{port}"
    problems = []
    if endpoint.passthrough:
        certain = endpoint.tls != "unknown" and answer["mode"] != "silent"
        if certain and endpoint.tls != answer["mode"]:
            problems.append(f"{place}: read {endpoint.tls}, real {answer['mode']}")
        return problems
    of_names = [nginx.certificates_for(reading, endpoint, name) for name in NAMES]
    if any(_has_other_key(reference) for some in of_names for reference in some or ()):
        return []
    refused = all(some == () for some in of_names)
    mode = "silent" if endpoint.tls == "implicit" and refused else endpoint.tls
    if mode != answer["mode"] and not (mode == "silent" and answer["mode"] == "implicit"):
        problems.append(f"{place}: read {endpoint.tls}, real {answer['mode']}")
        return problems
    if mode != "silent" and endpoint.proxy_protocol != answer["proxy"]:
        problems.append(f"{place}: PROXY read {endpoint.proxy_protocol}, real {answer['proxy']}")
    for name, real in answer["served"].items():
        served = nginx.certificates_for(reading, endpoint, name)
        if served is None:
            continue
        wanted = {digests[Path(c.path or "").name] for c in served} or {"turned away"}
        if real not in wanted:
            problems.append(f"{place}: {name} is served {real}, read {served}")
    for name, body in answer["bodies"].items():
        server = socket.find(name)
        if body.startswith("server-") and server is not None and socket.kind == "http":
            texts = [d.args[-1] for d in server.own("return")]
            if body not in texts:
                problems.append(f"{place}: {name} answers {body!r}, read {texts}")
    return problems


def _has_other_key(reference: CertificateRef) -> bool:
    """Tell whether a certificate meets a key of another algorithm.

    nginx starts with such a pair, and has no certificate for clients.
    """
    files = {Path(path or "").name for path in (reference.path, reference.key)}
    return len(files) == 2 and "rsa.pem" in files


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    """Make the certificates; return file contents (key and certificate in one) and digests."""
    files, digests = {}, {}
    # One key for all but the RSA one: a certificate may meet a key that it inherits.
    shared = selfsigned.new_key("shared")
    for name in CERTIFICATES:
        key = selfsigned.new_key(name) if name == "rsa" else shared
        pem, private, digest = selfsigned.certificate(f"{name}.test", key)
        files[f"certs/{name}.pem"] = pem + private
        digests[f"{name}.pem"] = digest
    return files, digests


def test_generated_configurations(
    tmp_path: Path,
    certificates: tuple[dict[str, str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shapes, "_OFTEN", (1, 2, 4))  # blocks are few here
    pems, digests = certificates
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")

    def part(lab_number: int) -> list[str]:
        wrong = []
        with lab() as running:
            for number in range(SEED + lab_number, SEED + COUNT, LABS):
                wrong += [f"SSLINT_SEED={number}: {text}" for text in case(running, number)]
        return wrong

    started = []

    def case(running: Lab, number: int) -> list[str]:
        files = generate(number)
        directory = tmp_path / str(number)
        for name, text in {**files, **pems}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        seen = running.run(directory, NAMES)
        started.append(seen["started"])
        return compare(files, seen, digests)

    with ThreadPoolExecutor(LABS) as pool:
        wrong = [text for part_of in pool.map(part, range(LABS)) for text in part_of]
    print(f"{sum(started)} of {len(started)} started")
    assert not wrong, "\n".join(wrong)
    assert started.count(False) <= at_most(0.5, len(started))
