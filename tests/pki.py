"""Certificates for tests, made when they are asked for and the same within one run."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID as Access
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def key(name: str) -> Key:
    """Return the key of this name; names that start with "rsa" have RSA keys."""
    if name.startswith("rsa"):
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@cache
def authority(name: str, issuer: str | None = None, left: int = 2000) -> x509.Certificate:
    """Return an authority's certificate, `left` days valid; self-signed without an issuer."""
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer or name))
        .public_key(key(name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=2000))
        .not_valid_after(NOW + timedelta(days=left))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key(issuer or name), hashes.SHA256())
    )


@cache
def leaf(
    names: tuple[str, ...],
    *,
    days: int = 90,
    left: int = 60,
    issuer: str = "Intermediate R1",
    own_key: str = "leaf",
    client: bool = False,
    self_signed: bool = False,
    ocsp: bool = False,
    aia: bool = True,
) -> x509.Certificate:
    """Return a leaf for the names, valid `days` days, of which `left` are left at NOW."""
    end = NOW + timedelta(days=left)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(_name(names[0] if self_signed else issuer))
        .public_key(key(own_key).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=days))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
    )
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    if aia and not self_signed:
        access = [
            x509.AccessDescription(
                Access.CA_ISSUERS, x509.UniformResourceIdentifier("http://i.example/r1")
            )
        ]
        if ocsp:
            access.append(
                x509.AccessDescription(
                    Access.OCSP, x509.UniformResourceIdentifier("http://o.example/")
                )
            )
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), False)
    return builder.sign(key(own_key if self_signed else issuer), hashes.SHA256())


def pem(*certificates: x509.Certificate) -> str:
    """Return certificates as PEM, one after the other."""
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in certificates)


def key_pem(name: str = "leaf") -> str:
    """Return a key as PEM."""
    return (
        key(name)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def spki_hash(name: str = "leaf") -> str:
    """Return the data of a TLSA 3 1 1 record for a key."""
    public = (
        key(name)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return hashlib.sha256(public).hexdigest()


def files(spec: dict) -> tuple[str, str]:
    """Return (chain, key) as PEM for a case's `certificate` edit."""
    spec = dict(spec)
    chain = spec.pop("chain", "full")
    names = tuple(spec.pop("names"))
    key_name = spec.pop("key", None)
    issuer = spec.get("issuer", "Intermediate R1")
    certificate = leaf(names, **spec)
    intermediate = authority(issuer, "Root X1")
    root = authority("Root X1")
    chains = {
        "full": (certificate, intermediate),
        "leaf": (certificate,),
        "misordered": (intermediate, certificate),
        "reverse": (certificate, authority("Middle", "Root X1"), authority(issuer, "Middle")),
        "root": (certificate, intermediate, root),
        "expired cross-sign": (certificate, intermediate, authority("Root X1", "Old Root", -30)),
        "issuer expired": (certificate, authority(issuer, "Root X1", -30)),
        "both kinds": (
            certificate,
            intermediate,
            leaf(names, issuer="Intermediate R2", own_key="rsa leaf"),
            authority("Intermediate R2", "Root X1"),
        ),
    }
    if spec.get("self_signed"):
        chains["full"] = (certificate,)
    return pem(*chains[chain]), key_pem(key_name or spec.get("own_key", "leaf"))
