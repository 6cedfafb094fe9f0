"""What is said of a Postfix configuration against the real Postfix started with it."""

from __future__ import annotations

import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sslint.servers.model import Endpoint, ServerReading
from sslint.servers.postfix.main_cf import parse_main_cf
from sslint.servers.postfix.master_cf import parse_master_cf
from sslint.servers.postfix.reader import read
from sslint.source import SourceFile
from tests.live import postfix_lab, selfsigned
from tests.live.conftest import count, seed
from tests.support import tree_of

pytestmark = pytest.mark.live("postfix", "ss", "unshare", "ip")

SEED = seed()
COUNT = count(40)
LABS = 3
NAMES = ["", "a.example.org", "x.sub.example.org", "sub.example.org", "b.example.net"]
HOSTS = "127.0.0.1 localhost\n::1 localhost\n192.0.2.10 mx.example.org\n"

# -- certificates ---------------------------------------------------------------------------


def make_certificates() -> tuple[dict[str, str], dict[str, str]]:
    """Return PEM files by path and the digest of each certificate file."""
    files: dict[str, str] = {}
    digests: dict[str, str] = {}
    for name in ("rsa1", "rsa2", "ec1", "ec2"):
        pem, secret, digest = selfsigned.certificate(name, selfsigned.new_key(name))
        base = f"/etc/postfix/ssl/{name}"
        for suffix, text in ((".crt", pem), (".key", secret), (".pem", secret + pem)):
            files[base + suffix] = text
            digests[base + suffix] = digest
    return files, digests


@pytest.fixture(scope="module")
def pki() -> tuple[dict[str, str], dict[str, str]]:
    return make_certificates()


# -- what is expected -----------------------------------------------------------------------


def understood(files: dict[str, str]) -> ServerReading:
    with open("/etc/services", encoding="utf-8") as services:
        tree = tree_of(
            {
                **files,
                "/etc/services": services.read(),
                "/etc/hosts": HOSTS,
                "/etc/hostname": "mx.example.org\n",
            }
        )
    reading = read(tree, version=(3, 10, 13))
    assert reading is not None
    return reading


def usable(endpoint: Endpoint) -> bool:
    """Tell whether Postfix can load all default certificates: file and key belong together."""
    default = [c for c in endpoint.certificates if not c.names]
    return bool(endpoint.certificates) and all(
        c.path is not None
        and c.key is not None
        and "missing" not in c.path
        and c.path.rpartition("/")[2].partition(".")[0]
        == c.key.rpartition("/")[2].partition(".")[0]
        for c in default
    )


def expected_digests(endpoint: Endpoint, name: str, digests: dict[str, str]) -> set[str]:
    by_name: dict[str, set[str]] = {}
    for c in endpoint.certificates:
        for own in c.names or ("",):
            by_name.setdefault(own.removeprefix("*"), set()).add(digests.get(c.path or "", "?"))
    candidate = name
    while candidate:
        if candidate in by_name:
            return by_name[candidate]
        dot = candidate.find(".", 1)
        candidate = candidate[dot:] if dot > 0 else ""
    return by_name.get("", set())


def compare_client(endpoint: Endpoint, answer: dict[str, Any], digests: dict[str, str]) -> str:
    settings = dict(endpoint.settings)
    mode = endpoint.tls
    good = usable(endpoint)
    bare = good and expected_digests(endpoint, "", digests)
    if settings.get("broken") or (mode == "implicit" and not bare):
        mode = "silent"  # type: ignore[assignment]
    if answer["mode"] != mode:
        return f"mode {answer['mode']}, said {mode}"
    if mode != "silent" and answer["proxy"] != endpoint.proxy_protocol:
        return f"proxy {answer['proxy']}, said {endpoint.proxy_protocol}"
    if "ehlo" in answer:
        offered = "AUTH PLAIN" in answer["ehlo"]
        said = settings.get("smtpd_sasl_auth_enable") == "yes" and not endpoint.tls_required
        if settings.get("command") == "smtpd" and offered != said:
            return f"AUTH before TLS {offered}, said {said}"
    if mode in ("starttls", "implicit"):
        for name, served in answer["served"].items():
            wanted = expected_digests(endpoint, name, digests) if good else set()
            wanted = wanted or {None}
            if served not in wanted:
                return f"certificate of {name!r}: {served}, said {wanted}"
    return ""


def compare(reading: ServerReading, answer: dict[str, Any], digests: dict[str, str]) -> list[str]:
    assert reading.complete, reading.reasons
    said = sorted((e.address, e.port) for e in reading.endpoints) if reading.starts else []
    real = sorted((a, p) for a, p in answer["sockets"])
    if said != real:
        return [f"sockets {real}, said {said} {reading.reasons}"]
    found = []
    # Two of postscreen's services do not share its cache: the second waits for the lock.
    screened = {e.port for e in reading.endpoints if dict(e.settings)["command"] == "postscreen"}
    for address, port, client in answer["clients"]:
        candidates = [e for e in reading.endpoints if (e.address, e.port) == (address, port)]
        if len(candidates) > 1:  # two services on one address: either may answer
            continue
        if dict(candidates[0].settings)["command"] not in ("smtpd", "postscreen"):
            continue
        if len(screened) > 1 and port in screened:
            continue
        found += [
            f"[{address}]:{port}: {difference}"
            for difference in (compare_client(e, client, digests) for e in candidates)
            if difference
        ]
    return found


# -- generated configurations ---------------------------------------------------------------

SERVICES = (
    ("smtp", 8),
    ("25", 1),
    ("submission", 5),
    ("587", 2),
    ("submissions", 4),
    ("smtps", 2),
    ("465", 2),
    ("urd", 1),
    ("imaps", 1),
    ("127.0.0.1:10025", 2),
    ("[::1]:2525", 1),
    ("::1:2526", 1),
    ("localhost:2527", 2),
    ("192.0.2.10:25", 1),
    ("mx.example.org:2528", 1),
    ("0.0.0.0:587", 1),
    ("[::]:465", 1),
    (":2529", 1),
    ("[2001:db8::10]:submission", 1),
    ("[IPv6:::1]:2530", 1),
    ("nosuchservice", 0.1),
    ("99999", 0.1),
    ("[::1:25", 0.1),
    ("25x", 0.1),
)
LEVELS = ("may", "encrypt", "none", "", "MAY", "verify", "secure", "fingerprint", "dane", "bogus")
LEVEL_WEIGHTS = (10, 6, 2, 2, 1, 1, 1, 1, 0.5, 0.5)
BOOLS = ("yes", "no", "YES", "No", "true", "", "1")
BOOL_WEIGHTS = (6, 6, 1, 1, 0.3, 0.2, 0.2)


class Generator:
    """Makes one configuration; most are sound, some are broken on purpose."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.user = 0
        self.main: list[str] = []

    def one(self, choices: dict[str, float]) -> str:
        return self.rng.choices(list(choices), list(choices.values()))[0]

    def level(self) -> str:
        return self.rng.choices(LEVELS, LEVEL_WEIGHTS)[0]

    def flag(self) -> str:
        return self.rng.choices(BOOLS, BOOL_WEIGHTS)[0]

    def indirect(self, value: str) -> str:
        """Return the value, or an expression that comes to it."""
        rng = self.rng
        if rng.random() < 0.6 or "$" in value:
            return value
        self.user += 1
        name = f"user_{self.user}"
        form = rng.randrange(9)
        if form < 4:
            self.main.append(f"{name} = {value}")
            return (f"${name}", f"${{{name}}}", f"$({name})", f"${{{name}?${name}}}")[form]
        return (
            f"${{mail_name?{value}}}",
            f"${{{name}:{value}}}",
            f"${{myhostname?{{{value}}}:{{bogus}}}}",
            f"${{{{$compatibility_level}} >=level {{3.6}} ? {{{value}}} : {{bogus}}}}",
            f"${{{{a}} == {{b}} ? {{bogus}} : {{{value}}}}}",
        )[form - 4]

    def certificates(self) -> list[str]:
        directory = "/etc/postfix/ssl"
        form = self.one(
            {
                "pair": 6,
                "one": 3,
                "two": 2,
                "chain": 3,
                "chains": 2,
                "absent": 2,
                "none": 0.7,
                "mismatch": 0.7,
                "missing": 0.7,
                "both": 1,
                "default": 1,
            }
        )
        pair = [
            f"smtpd_tls_cert_file = {directory}/rsa1.crt",
            f"smtpd_tls_key_file = {directory}/rsa1.key",
        ]
        return {
            "pair": pair,
            "one": [f"smtpd_tls_cert_file = {self.indirect(directory)}/rsa2.pem"],
            "two": [
                *pair,
                f"smtpd_tls_eccert_file={directory}/ec1.crt",
                f"smtpd_tls_eckey_file={directory}/ec1.key",
            ],
            "chain": [f"smtpd_tls_chain_files = {directory}/rsa1.key, {directory}/rsa1.crt"],
            "chains": [
                "smtpd_tls_chain_files =",
                f"  {directory}/ec2.key",
                "# the second one",
                f"  {directory}/ec2.crt,{directory}/rsa2.pem",
            ],
            "absent": [],
            "none": ["smtpd_tls_cert_file = none"],
            "mismatch": [pair[0], f"smtpd_tls_key_file = {directory}/rsa2.key"],
            "missing": [f"smtpd_tls_cert_file = {directory}/missing.pem"],
            "both": [*pair, f"smtpd_tls_chain_files = {directory}/ec1.pem"],
            "default": [
                f"smtpd_tls_eccert_file = {directory}/ec2.pem",
                "smtpd_tls_cert_file =",
            ],
        }[form]

    def sni(self, files: dict[str, str]) -> list[str]:
        directory = "/etc/postfix/ssl"
        form = self.one({"absent": 8, "inline": 2, "texthash": 2, "hash": 2})
        table = (
            f"a.example.org {directory}/rsa2.pem\n"
            "# subdomains\n"
            f".sub.example.org\t{directory}/ec1.key,\n  {directory}/ec1.crt\n"
        )
        if form == "inline":
            return [
                "tls_server_sni_maps = inline:{"
                f" a.example.org={directory}/ec2.pem, {{ .sub.example.org ="
                f" {directory}/rsa1.key {directory}/rsa1.crt }} }}"
            ]
        if form == "absent":
            return []
        files["/etc/postfix/sni"] = table
        return [f"tls_server_sni_maps = {form}:/etc/postfix/sni"]

    def parameters(self) -> list[str]:
        """Return TLS parameters for main.cf or for one service."""
        rng = self.rng
        found = []
        if rng.random() < 0.75:
            found.append(f"smtpd_tls_security_level={self.level()}")
        for name, chance in (
            ("smtpd_tls_wrappermode", 0.15),
            ("smtpd_use_tls", 0.15),
            ("smtpd_enforce_tls", 0.1),
            ("smtpd_tls_auth_only", 0.3),
            ("smtpd_sasl_auth_enable", 0.4),
            ("smtpd_helo_required", 0.1),
        ):
            if rng.random() < chance:
                found.append(f"{name}={self.flag()}")
        if rng.random() < 0.06:
            found.append("smtpd_upstream_proxy_protocol=haproxy")
        if rng.random() < 0.05:
            found.append("smtpd_discard_ehlo_keywords=" + rng.choice(["starttls", "dsn, STARTTLS"]))
        return found

    def option(self, parameter: str) -> str:
        name, _, value = parameter.partition("=")
        if value:
            value = self.indirect(value)
        if " " in value or "{" in value:
            return f"-o {{ {name} = {value} }}"
        return self.one(
            {
                f"-o {name}={value}": 20,
                f"-o{name}={value}": 2,
                f"-o {{ {name} = {value} }}": 3,
                f"{{-o {name}={value}}}": 1,
                f"-vo {name}={value}": 0.5,
                f"-o {name} = {value}": 0.3,
                f"-o {name}= {value}": 0.3,
                f"-o{{{name}={value}}}": 0.3,
                f'-o "{name}={value}"': 0.3,
            }
        )

    def layout(self, line: str) -> str:
        """Return a main.cf line in one of the layouts that mean the same."""
        name, _, value = line.partition("=")
        value = value.strip()
        if line[:1] in " #":
            return line
        return self.rng.choice(
            [
                f"{name.strip()} = {value}",
                f"{name.strip()}={value}",
                f"{name.strip()}\n  = {value}",
                f"{name.strip()} =\n# comment\n\n   {value}" if value else f"{name.strip()} =",
                f"{name.strip()} = {value}   ",
                f"{name.strip()} = {value}\r",
            ]
        )

    def service(self, name: str) -> str:
        rng = self.rng
        command, limit = "smtpd", "-"
        if name in ("smtp", "25") and rng.random() < 0.12:
            command, limit = "postscreen", rng.choices(["1", "-"], [5, 1])[0]
        elif rng.random() < 0.04:
            command = rng.choice(["smtpdd", "qmqpd"])
        parameters = self.parameters()
        if "submissions" in name or name in ("465", "smtps", "urd"):
            parameters.append(f"smtpd_tls_wrappermode={self.rng.choice(['yes', 'yes', 'no'])}")
        options = [self.option(parameter) for parameter in parameters]
        if rng.random() < 0.02:
            options.append("# a comment")
        separator = rng.choice([" ", "\n  ", "\n#c\n\t", "\n\n  "])
        fields = [name, "inet", "n", "-", rng.choice("ny-"), "-", limit, command]
        if rng.random() < 0.01:
            fields[rng.randrange(2, 7)] = rng.choice(["-", "x", "y"])
        return rng.choice([" ", "\t", "   "]).join(fields) + separator.join(["", *options])

    def make(self) -> dict[str, str]:
        rng = self.rng
        files: dict[str, str] = {}
        services = rng.choices(
            [s for s, _ in SERVICES], [w for _, w in SERVICES], k=rng.randrange(1, 6)
        )
        master = [self.service(name) for name in services]
        master.append(
            "smtpd pass - - n - - smtpd"
            + "".join(" " + self.option(p) for p in self.parameters() if rng.random() < 0.3)
        )
        if rng.random() < 0.8:
            master.append("tlsproxy unix - - n - 0 tlsproxy")
        main = [self.layout(p) for p in self.parameters()]
        main += self.certificates() + self.sni(files)
        interfaces = self.one(
            {
                "": 10,
                "all": 3,
                "loopback-only": 2,
                "127.0.0.1": 1,
                "127.0.0.1, [::1]": 1,
                "localhost": 1,
                "$myhostname, localhost": 1,
                "192.0.2.10 2001:db8::10": 1,
                "all, localhost": 0.2,
                "ALL": 0.2,
            }
        )
        protocols = self.one(
            {"": 10, "all": 2, "ipv4": 2, "ipv6": 1, "ipv4, ipv6": 1, "IPV4": 0.5, "ipv5": 0.2}
        )
        if interfaces:
            main.append(f"inet_interfaces = {self.indirect(interfaces)}")
        elif rng.random() < 0.02:
            main.append("inet_interfaces =")
        if protocols:
            main.append(f"inet_protocols = {self.indirect(protocols)}")
        elif rng.random() < 0.02:
            main.append("inet_protocols =")
        if rng.random() < 0.1:
            main.append(
                "master_service_disable = "
                + rng.choice(
                    [
                        "inet",
                        "submission.inet",
                        "587/inet",
                        "!smtp/inet inet",
                        "smtp",
                        "SMTP/INET, 465.inet",
                    ]
                )
            )
        if rng.random() < 0.1:
            main.append(
                "known_tcp_ports = "
                + rng.choice(
                    [
                        "",
                        "submission=2587",
                        "smtps=submissions=2465, smtp=25",
                        "a=b, submission = 2587",
                        "submission=2587, submission=2588, smtp = = 26",
                    ]
                )
            )
        if rng.random() < 0.02:
            main.append(
                rng.choice(
                    [
                        "broken line",
                        "soft_bounce = maybe",
                        "relayhost=MX.example.org",
                        "compatibility_level = x",
                        "mydomain =",
                    ]
                )
            )
        if rng.random() < 0.03:
            main.append(
                rng.choice(
                    [
                        "smtpd_tls_security_level = $smtpd_tls_security_level",
                        "smtpd_tls_security_level = ${",
                        "smtpd_tls_security_level = ${smtpd_tls_auth_only?encrypt}",
                        "smtpd_tls_security_level = $postscreen_tls_security_level",
                        "smtpd_use_tls = ${{1} <> {2}}",
                    ]
                )
            )
        rng.shuffle(main) if rng.random() < 0.3 and not any(m[0] in " #" for m in main) else None
        head = postfix_lab.MAIN + "myhostname = mx.example.org\ncompatibility_level = 3.9\n"
        files["/etc/postfix/main.cf"] = head + "\n".join([*self.main, *main]) + "\n"
        files["/etc/postfix/master.cf"] = "\n".join(master) + "\n" + postfix_lab.MASTER_CF
        return files


def generated(seed: int) -> dict[str, str]:
    return Generator(random.Random(seed)).make()


def judge(
    lab: postfix_lab.Lab, files: dict[str, str], pki: tuple[dict[str, str], dict[str, str]]
) -> list[str]:
    reading = understood({**pki[0], **files})
    answer = lab.run({**pki[0], **files}, NAMES)
    found = compare(reading, answer, pki[1])
    if found:  # a slow machine is no difference
        answer = lab.run({**pki[0], **files}, NAMES, 20.0)
        found = compare(reading, answer, pki[1])
    if found:
        found.append(answer["log"][-3000:])
    return found


def test_generated_configurations(pki: tuple[dict[str, str], dict[str, str]]) -> None:
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    failures: list[str] = []

    def work(lane: int) -> None:
        with postfix_lab.lab() as lab:
            for number in range(lane, COUNT, LABS):
                files = generated(SEED + number)
                found = judge(lab, files, pki)
                if found:
                    failures.append(
                        f"seed {SEED + number}:\n"
                        + "\n".join(found)
                        + "\n".join(f"\n--- {p}\n{t}" for p, t in files.items())
                    )

    with ThreadPoolExecutor(LABS) as pool:
        list(pool.map(work, range(LABS)))
    assert not failures, "\n=====\n".join(failures)


# -- written cases --------------------------------------------------------------------------

PAIR = (
    "smtpd_tls_cert_file = /etc/postfix/ssl/rsa1.crt\n"
    "smtpd_tls_key_file = /etc/postfix/ssl/rsa1.key\n"
)
WRITTEN = {
    "orphan options belong to the service before": (
        PAIR,
        "smtp inet n - n - - smtpd\n#submission inet n - n - - smtpd\n"
        "  -o smtpd_tls_security_level=encrypt\n",
    ),
    "a default is empty until it is read": (
        "inet_protocols = ${mail_name?ipv6}\n",
        "smtp inet n - n - - smtpd\n",
    ),
    "a default of another program is empty": (
        PAIR + "smtpd_tls_security_level = $postscreen_tls_security_level\nsmtpd_use_tls = yes\n",
        "smtp inet n - n - - smtpd\n",
    ),
    "a port is cut to 16 bits": ("", "99999 inet n - n - - smtpd\n"),
    "one name counts once, by its last line": (
        PAIR,
        "smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n465 inet n - n - - smtpd\n",
    ),
    "SNI with anonymous ciphers": (
        "smtpd_tls_cert_file = none\nsmtpd_tls_security_level = may\n"
        "tls_server_sni_maps = inline:{a.example.org=/etc/postfix/ssl/ec1.pem}\n",
        "smtp inet n - n - - smtpd\n",
    ),
    "the PROXY header comes before wrapped TLS": (
        PAIR + "smtpd_upstream_proxy_protocol = haproxy\n",
        "465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n",
    ),
    "postscreen needs a process limit of one": (
        PAIR + "smtpd_tls_security_level = may\n",
        "smtp inet n - n - - postscreen\nsmtpd pass - - n - - smtpd\n",
    ),
    "postscreen without smtpd": (
        PAIR + "smtpd_tls_security_level = may\n",
        "smtp inet n - n - 1 postscreen\n",
    ),
    "no interface to listen on": ("inet_interfaces =\n", "smtp inet n - n - - smtpd\n"),
    "no interface, but a host of its own": (
        "inet_interfaces =\n",
        "127.0.0.1:25 inet n - n - - smtpd\n",
    ),
    "a line without an equals sign": ("x\n", "smtp inet n - n - - smtpd\n"),
    "braces right behind -o name another parameter": (
        PAIR,
        "465 inet n - n - - smtpd -o{smtpd_tls_wrappermode=yes}\n",
    ),
    "blanks around the equals sign stop smtpd": (
        PAIR,
        "465 inet n - n - - smtpd -o smtpd_tls_wrappermode = yes\n",
    ),
    "carriage returns": (
        (PAIR + "smtpd_tls_security_level = encrypt\n").replace("\n", "\r\n"),
        "smtp inet n - n - - smtpd\r\n  -o smtpd_tls_auth_only=yes\r\n",
    ),
}


def test_written_configurations(pki: tuple[dict[str, str], dict[str, str]]) -> None:
    head = postfix_lab.MAIN + "myhostname = mx.example.org\ncompatibility_level = 3.9\n"
    failures = {}
    with postfix_lab.lab() as lab:
        for name, (main, master) in WRITTEN.items():
            files = {
                "/etc/postfix/main.cf": head + main,
                "/etc/postfix/master.cf": master + postfix_lab.MASTER_CF,
            }
            found = judge(lab, files, pki)
            if found:
                failures[name] = found
    assert not failures


# -- postconf -------------------------------------------------------------------------------


def words(text: str) -> str:
    return " ".join(text.split())


def postconf(directory: Path, *options: str) -> list[str]:
    """Return logical lines of what postconf prints, or [] if it refuses the files."""
    done = subprocess.run(
        ["postconf", "-c", str(directory), *options], capture_output=True, text=True, check=False
    )
    found: list[str] = []
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        if line[:1].isspace() and found:
            found[-1] += " " + line.strip()
        elif line:
            found.append(line)
    return found


@pytest.mark.parametrize("number", range(8))
def test_postconf_reads_the_same(number: int, tmp_path: Path) -> None:
    files = generated(SEED + number)
    for path, text in files.items():
        (tmp_path / path.rpartition("/")[2]).write_text(text, newline="")
    main = parse_main_cf(SourceFile("m", "m", files["/etc/postfix/main.cf"]))
    master = parse_master_cf(SourceFile("m", "m", files["/etc/postfix/master.cf"]))
    for line in postconf(tmp_path, "-n"):
        name, _, value = line.partition(" =")
        if name != "config_directory":
            assert words(main.parameters[name].value) == words(value), f"seed {SEED + number}"
    entries = {(s.name, s.type): s for s in master.services}  # postconf goes by the written name
    alone = [(s.name, s.type) for s in master.services]
    for line in postconf(tmp_path, "-P"):
        key, _, value = line.partition(" =")
        service, kind, name = key.rsplit("/", 2)
        entry = entries[service, kind]
        option = entry.options.overrides.get(name)
        # postconf mixes the options of entries with one name, cuts `-on=v` apart, and passes
        # `{-o n=v}` over.
        if alone.count((service, kind)) == 1 and not re.search(r"\s-o\S|\{-o", entry.line.text):
            assert option is not None, f"seed {SEED + number}"
            assert words(option.value) == words(value), f"seed {SEED + number}"
    listed = postconf(tmp_path, "-M")
    if listed and not any(s.error for s in master.services):
        assert {tuple(line.split()[:2]) for line in listed} == set(entries)
