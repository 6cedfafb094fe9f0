"""The reader against Dovecot itself: sockets, TLS modes and certificates must be the same."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sslint.servers.dovecot import upgrade
from sslint.servers.dovecot.reading import read
from sslint.servers.dovecot.settings import name_matches
from sslint.servers.model import Endpoint, ServerReading
from sslint.tree import Tree
from tests.live.dovecot_configurations import CERTIFICATES, Generated, Generator
from tests.live.laboratory import Laboratory
from tests.support import tree_of

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("dovecot") is None,
        reason="needs root and Dovecot: sudo apt-get install dovecot-imapd dovecot-pop3d "
        "dovecot-lmtpd dovecot-submissiond dovecot-managesieved",
    ),
]
SEED = int(os.environ.get("SSLINT_SEED", random.randrange(1 << 30)))
COUNT = int(os.environ.get("SSLINT_COUNT", "12"))
MAIL = ("imap", "imaps", "pop3", "pop3s", "submission", "submissions", "sieve", "lmtp")


class Lab(Laboratory):
    """A Dovecot in its own network and file system."""

    def __init__(self) -> None:
        super().__init__("tests.live.dovecot_lab")
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready"


@pytest.fixture(scope="module")
def labs() -> Iterator[list[Lab]]:
    found = [Lab() for _ in range(2)]
    yield found
    for lab in found:
        lab.close()


@pytest.fixture(scope="module")
def pairs() -> dict[str, str]:
    """Return certificates and keys by their paths."""
    files: dict[str, str] = {}
    for name in CERTIFICATES:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout -"
        made = subprocess.run(
            [*command.split(), "-subj", f"/CN={name}", "-days", "30"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        key, begin, certificate = made.partition("-----BEGIN CERTIFICATE-----")
        files[f"/etc/dovecot/{name}.key"] = key
        files[f"/etc/dovecot/{name}.pem"] = begin + certificate
    return files


def fingerprint(pem: str) -> str:
    import ssl

    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def served(endpoint: Endpoint, name: str, files: dict[str, str], reached: str) -> str:
    """Return the fingerprint of what the reader says a name gets, or "fails"."""
    from sslint.servers.dovecot.settings import within

    there = [r for r in endpoint.certificates if r.address and within(reached, r.address)]
    last = there[-1].address if there else ""
    refs = [r for r in endpoint.certificates if r.address == last]
    exact = [r for r in refs if name in r.names]
    masks = [r for r in refs if any(name_matches(name, mask) for mask in r.names)]
    plain = [r for r in refs if not r.names]
    chosen = (exact or masks or plain) if name else plain
    return fingerprint(files[str(chosen[-1].path)]) if chosen else "fails"


def differences(reading: ServerReading, answer: dict[str, Any], case: Generated) -> list[str]:
    if reading.starts != answer["starts"]:
        return [f"starts: {reading.starts} {reading.reasons}, real {answer}"]
    if not answer["starts"]:
        return []
    found = []
    expected = {(e.address, e.port): e for e in reading.endpoints}
    real = {(s["address"], s["port"]): s for s in answer["sockets"]}
    if expected.keys() != real.keys():
        return [f"sockets: {sorted(expected)} real {sorted(real)}"]
    for place, endpoint in expected.items():
        found += [f"{place}: {text}" for text in compare(endpoint, real[place], case)]
    return found


def compare(endpoint: Endpoint, real: dict[str, Any], case: Generated) -> list[str]:
    if endpoint.tls == "unknown":
        return []
    reached = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}.get(endpoint.address, endpoint.address)
    wanted = {n: served(endpoint, n, case.files, reached) for n in ("", *case.names)}
    if endpoint.tls == "implicit":
        if wanted[""] == "fails":
            return [] if real["implicit"] is None else [f"a handshake succeeds: {real}"]
        return [] if real["implicit"] == wanted else [f"{wanted} real {real}"]
    if real["implicit"] is not None:
        return [f"{endpoint.tls}, real implicit"]
    if endpoint.protocol not in MAIL:
        return []
    plain = real["plain"]
    if plain is None:
        return [f"{endpoint.tls}: no greeting"]
    found = []
    if plain["starttls"] != (endpoint.tls == "starttls"):
        found.append(f"{endpoint.tls}, real {plain}")
    elif plain["starttls"]:
        if wanted[""] == "fails":
            wanted = {"": "fails"}
        if plain["certificates"] != wanted:
            found.append(f"{wanted} real {plain}")
    local = reached in ("127.0.0.1", "::1", "127.0.0.2")
    known = plain["cleartext"] is not None and endpoint.tls_required is not None
    if known and not local and plain["cleartext"] == endpoint.tls_required:
        found.append(f"tls_required {endpoint.tls_required}, real {plain}")
    if endpoint.proxy_protocol and real.get("bare"):
        found.append("answers without a PROXY header")
    return found


class Whole(Tree):
    """A tree that lacks nothing the host has: an include without a match includes nothing there."""

    live = True


def judge(lab: Lab, case: Generated, tree: Tree | None = None) -> list[str]:
    reading = read(tree or Whole(None, overlay=case.files))
    assert reading is not None
    answer = lab.ask(
        {
            "files": case.files,
            "names": case.names,
            "quiet": [e.port for e in reading.endpoints if e.protocol not in MAIL],
            "proxies": [[e.address, e.port] for e in reading.endpoints if e.proxy_protocol],
        }
    )
    return differences(reading, answer, case)


def test_generated(labs: list[Lab], pairs: dict[str, str]) -> None:
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    cases = []
    for number in range(COUNT):
        case = Generator(random.Random(SEED + number)).generate()
        case.files.update(pairs)
        cases.append((SEED + number, case))

    def some(lab: Lab, start: int) -> list[str]:
        found = []
        for seed, case in cases[start :: len(labs)]:
            text = case.files["/etc/dovecot/dovecot.conf"]
            found += [f"SSLINT_SEED={seed} {d}\n{text}" for d in judge(lab, case)[:3]]
        return found

    with ThreadPoolExecutor(len(labs)) as pool:
        results = list(pool.map(some, labs, range(len(labs))))
    wrong = [text for result in results for text in result]
    assert not wrong, f"{len(wrong)} differences\n" + "\n\n".join(wrong[:8])


# Each was seen to matter once: what the generator seldom or never writes.
HEAD = (
    "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.0\n"
    "submission_relay_host = 127.0.0.1\nprotocols = imap pop3 lmtp submission sieve\n"
    "passdb static {\n  password = x\n}\n"
)
PAIR = "ssl_server_cert_file = /etc/dovecot/{0}.pem\nssl_server_key_file = /etc/dovecot/{0}.key\n"
BY_HAND = {
    "no certificate": "",
    "plain": PAIR.format("a"),
    "lmtp and doveadm": PAIR.format("a")
    + """service lmtp {
  inet_listener a {
    port = 24
  }
  inet_listener b {
    port = 2424
    ssl = yes
  }
}
service doveadm {
  inet_listener c {
    port = 2425
    ssl = yes
  }
}
protocol lmtp {
"""
    + PAIR.format("b")
    + "}\n",
    "a name without a default": "local_name one.example.org {\n" + PAIR.format("a") + "}\n",
    "a service without a program": "service x {\n  inet_listener y {\n    port = 1\n  }\n}\n",
    "a listener of every service": "inet_listener imaps {\n  port = 993\n}\n",
    "wildcard beside an address": PAIR.format("a") + "listen = *, 127.0.0.1\n",
    "an address that is not here": PAIR.format("a") + "listen = *\nlisten = ::1, 127.0.0.3\n",
    "required and cleartext": "ssl = required\nauth_allow_cleartext = yes\n",
    "missing certificate with ssl = no": PAIR.format("missing") + "ssl = no\n",
    "old names": "ssl_cert = </etc/dovecot/a.pem\n",
    "file of a file": "ssl_server_cert_file = </etc/dovecot/a.pem\n",
    "protocol without ssl": PAIR.format("a") + "protocol imap {\n  ssl = no\n}\n",
    "negated protocol without ssl": PAIR.format("a") + "protocol !imap {\n  ssl = no\n}\n",
    "comment in a continued line": "listen = 127.0.0.1, \\\n# dropped\n ::1\n",
    "a setting across files": "!include a.conf\n192.0.2.1\n",
    "localhost": PAIR.format("c") + "listen = localhost\n",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(labs: list[Lab], pairs: dict[str, str], name: str) -> None:
    files = {
        **pairs,
        "/etc/dovecot/dovecot.conf": HEAD + BY_HAND[name],
        "/etc/dovecot/a.conf": "listen = 127.0.0.1, \\\n",
    }
    hosts = {"/etc/hosts": Path("/etc/hosts").read_text()}
    assert judge(labs[0], Generated(files), tree_of({**files, **hosts})) == []


@pytest.mark.parametrize(
    "more", ["", "ssl = no\n", "ssl = required\nprotocols {\n  pop3 = no\n}\n"]
)
@pytest.mark.parametrize("with_certificate", [True, False])
def test_stock(labs: list[Lab], pairs: dict[str, str], more: str, with_certificate: bool) -> None:
    """The configuration that Debian ships, with its protocols in /usr/share."""
    stock = Path("/usr/share/dovecot")
    files = {"/etc/dovecot/dovecot.conf": (stock / "dovecot.conf").read_text()}
    for path in (stock / "conf.d").iterdir():
        files[f"/etc/dovecot/conf.d/{path.name}"] = path.read_text()
    files["/etc/dovecot/local.conf"] = more
    if with_certificate:
        files["/etc/dovecot/private/dovecot.pem"] = pairs["/etc/dovecot/a.pem"]
        files["/etc/dovecot/private/dovecot.key"] = pairs["/etc/dovecot/a.key"]
    else:
        files["/etc/dovecot/private/other.pem"] = pairs["/etc/dovecot/a.pem"]
    known = {str(p): p.read_text() for p in (stock / "protocols.d").iterdir()}
    assert judge(labs[1], Generated(files), tree_of({**files, **known})) == []


SECTIONS = {
    "": "{} = x\n",
    "service": "service imap-login {{\n  {} = x\n}}\n",
    "inet_listener": "service imap-login {{\n  inet_listener imap {{\n    {} = x\n  }}\n}}\n",
    "namespace": "namespace inbox {{\n  {} = x\n}}\n",
    "passdb": "passdb pam {{\n  {} = x\n}}\n",
    "userdb": "userdb passwd {{\n  {} = x\n}}\n",
    "protocol": "protocol imap {{\n  {} = x\n}}\n",
}
REFUSED = (
    "passdb {\n  driver = pam\n}\n",
    "userdb {\n  driver = passwd\n}\n",
    "namespace {\n  inbox = yes\n}\n",
    "namespace inbox {\n  mailbox {\n    auto = no\n  }\n}\n",
    "plugin {\n  sieve = ~/.sieve\n}\n",
    "pop3_uidl_format = %08Xu%08Xv\n",
)


ACCEPTED = (  # lists, in which any name may stand
    "userdb passwd {\n  fields {\n    mail_location = x\n    args = y\n  }\n}\n",
    "passdb static {\n  fields {\n    args = y\n    ssl_key = x\n  }\n}\n",
    "import_environment {\n  mail_location = x\n}\n",
    "protocol imap {\n  mail_plugins {\n    mail_location = yes\n  }\n}\n",
    "namespace inbox {\n  mailbox location {\n    auto = no\n  }\n}\n",
)


def test_what_2_4_does_not_know_of_2_3(tmp_path: Path) -> None:
    """doveconf refuses every such setting, wherever it stands, and so does the reader."""
    if subprocess.check_output(["dovecot", "--version"], text=True) < "2.4":
        pytest.skip("needs Dovecot 2.4, whose names these are not")
    old = [
        SECTIONS[section].format(name)
        for name in sorted(upgrade.INSTEAD)
        for section in upgrade.IN_SECTIONS.get(name, SECTIONS)
    ]
    for text in (*old, *REFUSED, *ACCEPTED):
        whole = f"dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\n{text}"
        (tmp_path / "dovecot.conf").write_text(whole)
        asked = ["doveconf", "-n", "-c", str(tmp_path / "dovecot.conf")]
        done = subprocess.run(asked, capture_output=True, check=False)
        assert (done.returncode != 0) is (text not in ACCEPTED), text
        reading = read(tree_of({"/etc/dovecot/dovecot.conf": whole}))
        assert reading is not None
        assert reading.starts is (text in ACCEPTED), text
