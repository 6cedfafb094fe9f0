"""Certificates, chains, keys and names."""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from sslint import certificates
from sslint.certificates import Certificate, covers, key_in, lifetime_limit, load, missing
from sslint.servers.model import CertificateRef
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from tests import pki
from tests.support import tree_of

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
WHERE = Location(SourceFile("/etc/x.conf", "etc/x.conf", ""), 1)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, password: bytes | None = None, *, old: bool = False) -> str:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        form = serialization.PrivateFormat.PKCS8
        if old:
            form = serialization.PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


def issue(
    name: str,
    issuer: Pair | None = None,
    *,
    key: Key | None = None,
    san: tuple[str, ...] = (),
    authority: bool = False,
    ca_issuers: bool = False,
    days: float = 90,
    usage: x509.ObjectIdentifier | None = None,
) -> Pair:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    if san:
        general: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(n))
            if n[0].isdigit() or ":" in n
            else x509.DNSName(n)
            for n in san
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if ca_issuers:
        access = [
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS,
                x509.UniformResourceIdentifier("http://ca.example/i.der"),
            ),
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP,
                x509.UniformResourceIdentifier("http://ocsp.example/"),
            ),
        ]
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    signer = issuer.key if issuer else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Pair(builder.sign(signer, algorithm), key)


@cache
def authority() -> dict[str, Pair]:
    root = issue("Root", authority=True)
    middle = issue("Middle", root, authority=True)
    leaf = issue("leaf", middle, san=("a.example.org", "192.0.2.1"), ca_issuers=True)
    return {"root": root, "middle": middle, "leaf": leaf}


def of(text: str, key: str | None = None, **files: str) -> Certificate:
    given = {"/etc/c.pem": text, **files}
    if key is not None:
        given["/etc/k.pem"] = key
    ref = CertificateRef("/etc/c.pem", "/etc/k.pem" if key is not None else None, WHERE)
    return load(tree_of(given), ref)


def chain(*names: str) -> str:
    return "".join(authority()[name].pem for name in names)


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (("leaf",), "leaf-only"),
        (("leaf", "middle"), "complete"),
        (("leaf", "middle", "root"), "complete"),
        (("leaf", "root", "middle"), "complete"),
        (("middle", "leaf"), "issuer-first"),
        (("root",), "self-signed"),
        (("leaf", "root"), "leaf-only"),
    ],
)
def test_chain_status(names: tuple[str, ...], status: str) -> None:
    found = of(chain(*names))
    assert found.chain_status == status
    assert len(found.sent) == len(names)
    if "leaf" in names:
        assert found.leaf is not None
        assert found.leaf.subject == "CN=leaf"


def test_deep_chain_out_of_order_is_misordered() -> None:
    made = authority()
    lower = issue("Lower", made["middle"], authority=True)
    leaf = issue("deep", lower, ca_issuers=True)
    assert of(leaf.pem + made["middle"].pem + lower.pem).chain_status == "misordered"
    assert of(leaf.pem + lower.pem + made["middle"].pem).chain_status == "complete"


def test_second_pair_and_cross_signed_twin_do_not_disturb_a_chain() -> None:
    made = authority()
    other_root = issue("Other Root", authority=True)
    twin = issue("Middle", other_root, key=made["middle"].key, authority=True)
    other = issue("other", other_root, ca_issuers=True)
    text = chain("leaf") + twin.pem + chain("middle") + other.pem
    assert of(text).chain_status == "complete"


def test_same_name_with_another_key_is_not_the_issuer() -> None:
    impostor = issue("Middle", authority=True)
    assert of(chain("leaf") + impostor.pem).chain_status == "leaf-only"


def test_issuer_without_address_may_be_a_root() -> None:
    made = authority()
    leaf = issue("private", made["root"])
    assert of(leaf.pem).chain_status == "issued-by-root-unknown"
    roots = {certificates.ROOTS[0]: "# roots\n" + made["root"].pem}
    assert of(leaf.pem, **roots).chain_status == "complete"


def test_facts_of_the_leaf() -> None:
    found = of("Bag Attributes\n  some: text\n" + chain("leaf") + "trailing text\n")
    leaf = found.leaf
    assert leaf is not None
    assert found.names == ("a.example.org", "192.0.2.1")
    assert (leaf.common_name, leaf.issuer) == ("leaf", "CN=Middle")
    assert (leaf.not_before, leaf.lifetime_days) == (START, 90)
    assert leaf.key_algorithm == "EC-secp256r1"
    assert leaf.ocsp_url == "http://ocsp.example/"
    assert leaf.ca_issuers == "http://ca.example/i.der"
    assert leaf.server_auth
    assert not leaf.authority
    assert not found.staging
    spki = authority()["leaf"].certificate.public_key()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(
        spki.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert leaf.association(1, 1) == digest.finalize()
    assert leaf.association(9, 1) is None


def test_client_certificate_and_staging_issuer() -> None:
    root = issue("(STAGING) Pretend Pear X1", authority=True)
    found = of(issue("x", root, usage=ExtendedKeyUsageOID.CLIENT_AUTH).pem)
    assert found.staging
    assert found.leaf is not None
    assert not found.leaf.server_auth


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_key_matches(kind: str) -> None:
    make = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ec": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    pair = issue("x", key=make[kind]())
    found = of(pair.pem, pair.key_pem())
    assert (found.key_status, found.key_matches, found.key_problem) == ("present", True, "")
    assert of(pair.pem, authority()["leaf"].key_pem()).key_matches is False


def test_key_in_the_same_file_before_the_certificate() -> None:
    pair = authority()["leaf"]
    tree = tree_of({"/etc/both.pem": pair.key_pem(old=True) + chain("leaf", "middle")})
    found = load(tree, CertificateRef("/etc/both.pem", "/etc/both.pem", WHERE))
    assert (found.key_matches, found.chain_status) == (True, "complete")


def test_keys_that_cannot_be_read_are_unknown() -> None:
    pair = authority()["leaf"]
    for key, problem in (
        (pair.key_pem(b"secret"), "encrypted"),
        (pair.key_pem(b"secret", old=True), "encrypted"),
        (pair.key_pem()[:90], "truncated"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "parsed"),
        ("nothing", "no PEM"),
        (pair.pem, "no private key"),
    ):
        found = of(pair.pem, key)
        assert found.key_matches is None
        assert problem in found.key_problem


def test_no_key_material_is_kept() -> None:
    pair = authority()["leaf"]
    secret = pair.key_pem().splitlines()[1]
    assert secret not in repr(of(pair.pem, pair.key_pem()))
    assert secret not in repr(of(pair.pem, pair.key_pem()[:-20]))


def test_several_pairs_match_as_sets() -> None:
    one, two, three = (issue(name) for name in ("one", "two", "three"))
    files = {"/1.pem": one.pem, "/2.pem": two.pem, "/1.key": one.key_pem(), "/2.key": two.key_pem()}
    tree = tree_of({**files, "/3.pem": three.pem, "/bad.key": "x"})
    first = load(tree, CertificateRef("/1.pem", "/2.key", WHERE))
    second = load(tree, CertificateRef("/2.pem", "/1.key", WHERE))
    assert first.key_matches is False
    assert key_in(first, [first, second]) is True
    third = load(tree, CertificateRef("/3.pem", "/bad.key", WHERE))
    assert key_in(third, [first, second]) is False
    assert key_in(third, [first, third]) is None


def test_broken_certificates_are_reported(tmp_path: Path) -> None:
    pem = authority()["leaf"].pem
    for text, problem in (
        ("", "no PEM"),
        ("\x00\x01garbage", "no PEM"),
        (pem[:200], "truncated"),
        (pem[:200] + "\n" + pem, "truncated"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "parsed"),
        (pem.replace("M", "N", 20), "parsed"),
        (authority()["leaf"].key_pem(), "no certificate"),
    ):
        found = of(text)
        assert found.status == "present"
        assert problem in found.problem
    (tmp_path / "etc").mkdir()
    der = authority()["leaf"].certificate.public_bytes(serialization.Encoding.DER)
    (tmp_path / "etc/c.der").write_bytes(der)
    (tmp_path / "etc/big.pem").write_bytes(b"-" * (certificates.MAX_FILE + 1))
    tree = Tree(tmp_path)
    assert "no PEM" in load(tree, CertificateRef("/etc/c.der", None, WHERE)).problem
    assert "larger" in load(tree, CertificateRef("/etc/big.pem", None, WHERE)).problem
    assert "directory" in load(tree, CertificateRef("/etc", None, WHERE)).problem


def test_random_damage_never_raises() -> None:
    chosen = random.Random(7)
    pair = authority()["leaf"]
    whole = (pair.pem + pair.key_pem()).encode()
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(chosen.randrange(1, 6)):
            start = chosen.randrange(len(data))
            data[start : start + chosen.randrange(3)] = chosen.randbytes(chosen.randrange(3))
        of(bytes(data).decode("latin-1"), bytes(data).decode("latin-1"))


def test_many_unfinished_blocks_are_read_in_linear_time() -> None:
    found = of("-----BEGIN CERTIFICATE-----\n" * 100_000)
    assert "truncated" in found.problem


def test_absence_is_certain_only_where_the_tree_holds_the_directory(tmp_path: Path) -> None:
    for name in ("ssl/other.pem", "tls/dhparam.pem", "keys/other.key"):
        (tmp_path / "etc" / name).parent.mkdir(parents=True)
        (tmp_path / "etc" / name).touch()
    (tmp_path / "etc/live").mkdir()
    (tmp_path / "etc/live/c.pem").symlink_to("../archive/c1.pem")
    tree = Tree(tmp_path)

    def status(path: str) -> str:
        return load(tree, CertificateRef(path, path, WHERE)).status

    assert status("/etc/ssl/missing.pem") == "absent"
    assert status("/etc/tls/missing.pem") == "unknown"  # certificates are not committed there
    assert status("/etc/letsencrypt/live/x/fullchain.pem") == "unknown"
    assert status("/run/secrets/c.pem") == "unknown"
    assert status("/etc/live/c.pem") == "unknown"
    copied = load(tree, CertificateRef("/etc/ssl/missing.pem", "/etc/ssl/missing.key", WHERE))
    assert copied.key_status == "unknown"
    assert missing(tree, "/etc/keys/missing.key", key=True) is None
    unnamed = load(tree, CertificateRef(None, None, WHERE, reason="a variable"))
    assert (unnamed.status, unnamed.problem) == ("unknown", "a variable")


def test_a_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Tree.read_bytes

    def counted(tree: Tree, path: str) -> bytes:
        read.append(path)
        return original(tree, path)

    monkeypatch.setattr(Tree, "read_bytes", counted)
    tree = tree_of({"/etc/c.pem": chain("leaf", "middle")})
    for number in range(100):
        ref = CertificateRef("/etc/c.pem", f"/etc/{number}.key", WHERE)
        assert load(tree, ref).chain_status == "complete"
    assert read.count("/etc/c.pem") == 1


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        (("example.org",), "example.org", True),
        (("example.org",), "EXAMPLE.org.", True),
        (("example.org",), "www.example.org", False),
        (("*.example.org",), "www.example.org", True),
        (("*.example.org",), "a.b.example.org", False),
        (("*.example.org",), "example.org", False),
        (("*.example.org",), "*.example.org", True),
        (("w*.example.org",), "www.example.org", False),
        (("*.org",), "example.org", False),
        (("xn--bcher-kva.example",), "bücher.example", True),
        (("*.bücher.example",), "www.xn--bcher-kva.example", True),
        (("192.0.2.1",), "192.0.2.1", True),
        (("2001:db8::1",), "2001:db8:0::1", True),
        (("*.0.2.1",), "192.0.2.1", False),
        ((), "example.org", False),
        (("example.org",), "", False),
    ],
)
def test_covers(names: tuple[str, ...], host: str, covered: bool) -> None:
    assert covers(names, host) is covered


@pytest.mark.parametrize(
    ("issued", "days"),
    [
        ("2017-01-01", None),
        ("2020-08-31", 825),
        ("2026-03-14", 398),
        ("2026-03-15", 200),
        ("2027-03-15", 100),
        ("2029-03-15", 47),
    ],
)
def test_lifetime_limits(issued: str, days: int | None) -> None:
    assert lifetime_limit(datetime.fromisoformat(issued).replace(tzinfo=UTC)) == days


SHA1 = b"""-----BEGIN CERTIFICATE-----
MIIBcDCCARigAwIBAgIUQ9OShc7NameyR966iQjceKi9sSswCQYHKoZIzj0EATAO
MQwwCgYDVQQDDANPbGQwIBcNMjYxMTI1MjI1NzAyWhgPMjEyNjExMDEyMjU3MDJa
MA4xDDAKBgNVBAMMA09sZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGEGodlC
+0x6Egaqxb2CTJaIKjz3KcioWlnAg6lWYVy39xCWLvdTrNlBS8EdH2eizF3IKm+c
36VEXwEKMci3SNKjUzBRMB0GA1UdDgQWBBSBS0Ou1QPB6cnzcH2G1Kd9yVIIvTAf
BgNVHSMEGDAWgBSBS0Ou1QPB6cnzcH2G1Kd9yVIIvTAPBgNVHRMBAf8EBTADAQH/
MAkGByqGSM49BAEDRwAwRAIgCpBsHgG72Sj82Pnyz10G+8+KyWPuq22Fc+Vu1adr
8uECIEbYQKfgBStJfhM1bF5ALiJS87kWGaywyxD75es1k913
-----END CERTIFICATE-----
"""


def test_a_signature_too_old_to_be_verified_leaves_the_names_to_decide() -> None:
    old = x509.load_pem_x509_certificate(SHA1)
    with pytest.raises(ValueError, match="Unsupported signature algorithm"):
        old.verify_directly_issued_by(old)
    assert certificates._issued(old, old)
    assert not certificates._issued(old, pki.authority("other"))


def test_a_wrong_signature_is_not_the_issuer_s() -> None:
    der = bytearray(pki.authority("own").public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_certificate(bytes(der))
    assert not certificates._issued(forged, forged)


def test_what_cryptography_warns_of_is_not_printed(tmp_path: Path) -> None:
    import subprocess
    import sys

    with pytest.warns(UserWarning, match="64"):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a" * 65, _validate=False)])
    own = pki.key("own")
    dates = pki.NOW - timedelta(days=900), pki.NOW - timedelta(days=800)
    builder = x509.CertificateBuilder(name, name, own.public_key(), 1, *dates)
    pem = tmp_path / "etc/ssl/a.pem"
    pem.parent.mkdir(parents=True)
    pem.write_bytes(builder.sign(own, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (tmp_path / "etc/nginx").mkdir()
    (tmp_path / "etc/nginx/nginx.conf").write_text(
        "events {}\nhttp { server { listen 443 ssl; server_name a.example.org;"
        " ssl_certificate /etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key; } }\n"
    )
    command = [sys.executable, "-m", "sslint", "check", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cert-expired" in said.stdout
    assert said.stderr == ""
