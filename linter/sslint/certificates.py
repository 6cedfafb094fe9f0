"""Certificates, chains and keys as files: what a server that reads them would send.

A private key is only ever turned into its public half, to be compared; nothing of it is kept.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from sslint.regex import is_number, regex
from sslint.servers.model import CertificateRef
from sslint.tree import Status, Tree, TreeError
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from cryptography import x509

FileStatus = Literal["present", "absent", "unknown"]
ChainStatus = Literal[
    "complete", "leaf-only", "misordered", "issuer-first", "self-signed", "issued-by-root-unknown",
    "unknown",
]  # fmt: skip

# Warnings of cryptography about a certificate are not for the user of sslint.
warnings.filterwarnings("ignore", module=r"sslint\.certificates")

MANY_NAMES = 16  # of one certificate: to be sorted once
MAX_SORTED = 64  # certificates of so many names
MAX_FILE = 4 << 20  # bytes; the bundle of all public roots is 220 kB
MAX_CERTIFICATES = 200  # from one file
MAX_KEYS = 20
ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_STAGING = ("(STAGING)", "Fake LE ")

# Days a public TLS certificate may be valid, by the day it is issued: CA/Browser Forum
# Baseline Requirements 6.3.2 with ballots SC-031 and SC-081v3.
_LIFETIME_LIMITS = (
    (datetime(2029, 3, 15, tzinfo=UTC), 47),
    (datetime(2027, 3, 15, tzinfo=UTC), 100),
    (datetime(2026, 3, 15, tzinfo=UTC), 200),
    (datetime(2020, 9, 1, tzinfo=UTC), 398),
    (datetime(2018, 3, 1, tzinfo=UTC), 825),
)


@dataclass(frozen=True, slots=True)
class Link:
    """One certificate of a chain. `names` are its DNS names and addresses, as text."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    authority: bool
    self_signed: bool
    server_auth: bool
    ocsp_url: str | None
    ca_issuers: str | None
    key_algorithm: str
    der: bytes
    spki: bytes

    @property
    def lifetime_days(self) -> float:
        """Days from the first to the last second of its validity."""
        return (self.not_after - self.not_before).total_seconds() / 86400

    @property
    def common_name(self) -> str | None:
        """The common name of its subject, for a certificate without other names."""
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        subject = x509.load_der_x509_certificate(self.der).subject
        found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(found[0].value) if found else None

    def association(self, selector: int, matching: int) -> bytes | None:
        """Return the data of a TLSA record for it (RFC 6698, 2.1); None for unknown types."""
        from hashlib import sha256, sha512  # OpenSSL: 4 ms that most runs do not need

        data = {0: self.der, 1: self.spki}.get(selector)
        if data is None:
            return None
        return {0: data, 1: sha256(data).digest(), 2: sha512(data).digest()}.get(matching)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the files of one certificate say.

    `status` "unknown": outside what was given, or not permitted. `problem`: why a file that is
    there cannot be used. `sent` are the certificates in the order a server sends them, `leaf`
    the one it stands for. `key_matches` None: the key is missing, unreadable or encrypted.
    """

    path: str | None
    key_path: str | None
    status: FileStatus
    problem: str = ""
    leaf: Link | None = None
    sent: tuple[Link, ...] = ()
    chain_status: ChainStatus = "unknown"
    key_status: FileStatus = "unknown"
    key_problem: str = ""
    key_matches: bool | None = None
    public_keys: tuple[bytes, ...] = ()  # SHA-256 of the public halves in the key file

    @property
    def names(self) -> tuple[str, ...]:
        """DNS names and addresses of the leaf; the common name does not count (RFC 9525)."""
        return self.leaf.names if self.leaf else ()

    @property
    def staging(self) -> bool:
        """Tell whether a test authority issued it that no client trusts."""
        return self.leaf is not None and any(mark in self.leaf.issuer for mark in _STAGING)


@dataclass(slots=True)
class _Memo:
    """What was read of the certificates of a tree."""

    pairs: dict[tuple[object, ...], Certificate] = field(default_factory=dict)
    files: dict[str, _Pem] = field(default_factory=dict)
    roots: frozenset[bytes] | None = None


def _memo(tree: Tree) -> _Memo:
    found: _Memo | None = tree.memo.get("certificates")
    if found is None:
        found = tree.memo["certificates"] = _Memo()
    return found


def load(tree: Tree, ref: CertificateRef) -> Certificate:
    """Return what the files of a reference say; the same files are read only once."""
    cache = _memo(tree).pairs
    key = (ref.path, ref.key, ref.chain_files, ref.issuer_files)
    found = cache.get(key)
    if found is None:
        found = cache[key] = _load(tree, ref)
    return found


def is_read(tree: Tree, ref: CertificateRef) -> bool:
    """Whether the file of a reference holds a certificate; it is not parsed for that."""
    if ref.path is None:
        return False
    known = _memo(tree).files.get(ref.path)
    if known is not None:
        return bool(known.certificates)
    try:
        return b"CERTIFICATE-----" in tree.read_bytes(ref.path)
    except TreeError:
        return False


def keep(tree: Tree, other: Tree, changed: Collection[str]) -> bool:
    """Take over what was read in one tree for another in which the files at some paths differ.

    Return False, and take nothing, if a certificate or a key was read from one of these.
    """
    known = _memo(tree)
    if tree.lead_to((*known.files, *ROOTS), changed):
        return False
    other.memo["certificates"] = _Memo(dict(known.pairs), dict(known.files), known.roots)
    return True


def key_in(certificate: Certificate, others: Iterable[Certificate]) -> bool | None:
    """Tell whether a leaf's key is among the keys of several pairs; None where it cannot be said.

    A server with an RSA and an ECDSA pair takes certificates and keys in any order.
    """
    if certificate.leaf is None:
        return None
    wanted = _sha256(certificate.leaf.spki)
    unread = False
    for other in others:
        if wanted in other.public_keys:
            return True
        unread = unread or other.key_status != "present" or bool(other.key_problem)
    return None if unread else False


def covers(names: Iterable[str], host: str) -> bool:
    """Tell whether one of a certificate's names is a host's (RFC 9525, 6.3 and 6.4).

    `*` stands for exactly one whole label, the leftmost; an address is only equal to itself.
    """
    wanted = _ascii(host)
    if not wanted:
        return False
    address = _address(wanted)
    parent = wanted.partition(".")[2]
    names = tuple(names)
    if len(names) > MANY_NAMES and address is None:
        _, exact, parents = _sorted_names(names)
        return wanted in exact or ("." in parent and parent in parents)
    for name in names:
        if address is not None:
            if _address(name) == address:
                return True
            continue
        candidate = _ascii(name)
        if candidate == wanted and "*" not in candidate:
            return True
        # Like OpenSSL, no wildcard right below a top-level domain.
        if candidate.startswith("*.") and candidate[2:] == parent and "." in parent:
            return True
    return False


_Sorted = tuple[tuple[str, ...], frozenset[str], frozenset[str]]
_sorted_before: dict[int, _Sorted] = {}  # by identity: to hash thousands of names takes as long


def _sorted_names(names: tuple[str, ...]) -> _Sorted:
    """Return names, those without a wildcard, and what stands behind the others' leading `*.`."""
    found = _sorted_before.get(id(names))
    if found is None:
        known = [_ascii(name) for name in names]
        exact = frozenset(name for name in known if "*" not in name)
        found = names, exact, frozenset(name[2:] for name in known if name.startswith("*."))
        if len(_sorted_before) >= MAX_SORTED:
            _sorted_before.clear()
        _sorted_before[id(names)] = found
    return found


def lifetime_limit(not_before: datetime) -> int | None:
    """Return the days a public certificate issued then may be valid; None before any limit."""
    for start, days in _LIFETIME_LIMITS:
        if not_before >= start:
            return days
    return None


def _sha256(data: bytes) -> bytes:
    from hashlib import sha256

    return sha256(data).digest()


def _ascii(name: str) -> str:
    """Return a name in lower case with A-labels, without the trailing dot; "" if it is none."""
    name = name.strip().rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return ".".join(
            label if label.isascii() else label.encode("idna").decode()
            for label in name.replace("\u3002", ".").split(".")
        )
    except UnicodeError:
        return ""


def _address(text: str) -> object | None:
    text = text.strip("[]")
    if ":" not in text and not is_number(text.rpartition(".")[2]):
        return None
    import ipaddress

    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# -- files ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pem:
    """A PEM file: its certificates in order, the public halves of its keys, what is wrong."""

    status: FileStatus
    reason: str = ""
    certificates: tuple[Link, ...] = ()
    public_keys: tuple[bytes, ...] = ()
    key_problem: str = ""


def _load(tree: Tree, ref: CertificateRef) -> Certificate:
    if ref.path is None:
        return Certificate(None, ref.key, "unknown", ref.reason or "the path is not known")
    file = _file(tree, ref.path)
    sent = list(file.certificates)
    problem = file.reason
    if file.status == "present" and not sent and not problem:
        problem = "no certificate in the file"
    for path in ref.chain_files:
        sent += _file(tree, path).certificates
    leaf = _leaf(sent)
    key = _Pem("unknown", "no key is configured")
    if ref.key is not None:
        key = _file(tree, ref.key, key=True)
    key_problem = key.key_problem or ("" if key.public_keys else key.reason)
    if key.status == "present" and not key.public_keys and not key_problem:
        key_problem = "no private key in the file"
    matches: bool | None = None
    if leaf is not None and key.public_keys:
        matches = _sha256(leaf.spki) in key.public_keys
        if not matches and key.key_problem:
            matches = None
    return Certificate(
        path=ref.path,
        key_path=ref.key,
        status=file.status,
        problem=problem,
        leaf=leaf,
        sent=tuple(sent),
        chain_status=_completed(
            tree, ref, leaf, _chain_status(tree, sent, leaf, problem), several=len(sent) > 1
        ),
        key_status=key.status,
        key_problem=key_problem,
        key_matches=matches,
        public_keys=key.public_keys,
    )


def _file(tree: Tree, path: str, *, key: bool = False) -> _Pem:
    files = _memo(tree).files
    found = files.get(path)
    if found is None:
        found = files[path] = _read(tree, path)
    if key and found.status == "absent" and missing(tree, path, key=True) is None:
        return _Pem("unknown", "the key is not among the files that were given")
    return found


def _read(tree: Tree, path: str) -> _Pem:
    try:
        data = tree.read_bytes(path)
    except TreeError as error:
        if error.status is Status.ABSENT:
            if missing(tree, path):
                return _Pem("absent", error.reason)
            return _Pem("unknown", "the file is outside the files that were given")
        if error.status in (Status.DIRECTORY, Status.OTHER):
            return _Pem("present", error.reason, key_problem=error.reason)
        return _Pem("unknown", error.reason)
    if len(data) > MAX_FILE:
        reason = f"the file is larger than {MAX_FILE >> 20} MiB"
        return _Pem("present", reason, key_problem=reason)
    return _parse(data)


# What certificates are called; a directory that has parameters of DH alone has none.
_NAME = regex(r"^(?!.*(?:dh|key|csr)).+\.(?:pem|crt|cer|cert)$", re.I)


def missing(tree: Tree, path: str, *, key: bool = False) -> bool | None:
    """Tell whether a certificate or a key is missing on the host; None where it cannot be said.

    Certificates are rarely committed, keys never should be, and a copy that was not made by root
    lacks both: of keys only the host itself can say it.
    """
    absent = tree.absent(path, kin=_NAME)
    return None if absent and key and not tree.live else absent


def _blocks(data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield (label, PEM block) in order; the block is None if its end is missing."""
    start = data.find(b"-----BEGIN ")
    end = -1
    while start >= 0:
        eol = data.find(b"-----", start + 11, start + 80)
        following = data.find(b"-----BEGIN ", start + 11)
        if eol >= 0:
            label = data[start + 11 : eol]
            if end < eol:
                end = data.find(b"-----END ", eol)
                end = len(data) if end < 0 else end  # never searched for again
            if end == len(data) or 0 <= following < end:
                yield label, None
            else:
                close = data.find(b"-----", end + 9, end + 80)
                complete = close >= 0 and data[end + 9 : close] == label
                yield label, data[start : close + 5] if complete else None
        start = following


def _parse(data: bytes) -> _Pem:
    certificates: list[Link] = []
    public: list[bytes] = []
    reason = key_problem = ""
    for label, block in _blocks(data):
        if label in _CERTIFICATE_LABELS:
            if len(certificates) >= MAX_CERTIFICATES:
                reason = f"more than {MAX_CERTIFICATES} certificates in the file"
                break
            link, wrong = (_following if certificates else _certificate)(label, block)
            if link is not None:
                certificates.append(link)
            reason = reason or wrong
        elif label.endswith(b"PRIVATE KEY") and len(public) < MAX_KEYS:
            half, wrong = _public_half(label, block)
            if half is not None:
                public.append(half)
            key_problem = key_problem or wrong
    if not certificates and not public and not reason and not key_problem:
        reason = key_problem = "no PEM in the file"
    return _Pem("present", reason, tuple(certificates), tuple(public), key_problem)


def _certificate(label: bytes, block: bytes | None) -> tuple[Link | None, str]:
    if block is None:
        return None, "a certificate in the file is truncated"
    from cryptography import x509

    try:
        if label == b"CERTIFICATE":
            return _link(x509.load_pem_x509_certificate(block)), ""
        return _link(x509.load_der_x509_certificate(_outer(block))), ""
    except Exception:
        return None, "a certificate in the file cannot be parsed"


# Thousands of leaves are sent with the certificates of one issuer.
_following = lru_cache(maxsize=64)(_certificate)


def _outer(block: bytes) -> bytes:
    """Return the first DER object of a PEM block: TRUSTED CERTIFICATE has another after it."""
    import base64

    der = base64.b64decode(b"".join(block.split(b"\n")[1:-1]))
    if len(der) > 4 and der[1] == 0x82:
        return der[: 4 + int.from_bytes(der[2:4], "big")]
    return der


def _public_half(label: bytes, block: bytes | None) -> tuple[bytes | None, str]:
    if block is None:
        return None, "the key is truncated"
    if label.startswith(b"ENCRYPTED") or b"ENCRYPTED" in block[:200]:
        return None, "the key is encrypted"
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_private_key(block, None, unsafe_skip_rsa_key_validation=True)
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except Exception:
        return None, "the key cannot be parsed"
    return _sha256(spki), ""


# -- one certificate ------------------------------------------------------------------------


def _link(certificate: x509.Certificate) -> Link:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = certificate.public_key()
    extensions = {type(one.value): one.value for one in certificate.extensions}
    ocsp, issuers = _access(extensions)
    subject = certificate.subject.rfc4514_string()
    alone = certificate.issuer == certificate.subject
    return Link(
        subject=subject,
        issuer=subject if alone else certificate.issuer.rfc4514_string(),
        names=_names(extensions),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        authority=_authority(extensions),
        self_signed=alone and _issued(certificate, certificate),
        server_auth=_server_auth(extensions),
        ocsp_url=ocsp,
        ca_issuers=issuers,
        key_algorithm=_algorithm(public),
        der=certificate.public_bytes(Encoding.DER),
        spki=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


Extensions = Mapping[type, object]
"""The values of a certificate's extensions by their class, which has each at most once."""


def _names(extensions: Extensions) -> tuple[str, ...]:
    from cryptography import x509

    found = extensions.get(x509.SubjectAlternativeName)
    if found is None or not isinstance(found, x509.SubjectAlternativeName):
        return ()
    names = [str(n.value) for n in found if isinstance(n, x509.DNSName | x509.IPAddress)]
    return tuple(dict.fromkeys(name.lower() for name in names))


def _authority(extensions: Extensions) -> bool:
    from cryptography import x509

    found = extensions.get(x509.BasicConstraints)
    return found is not None and isinstance(found, x509.BasicConstraints) and found.ca


def _server_auth(extensions: Extensions) -> bool:
    """Tell whether it may be a server's: no extended key usage allows everything."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

    found = extensions.get(x509.ExtendedKeyUsage)
    if found is None or not isinstance(found, x509.ExtendedKeyUsage):
        return True
    return Oid.SERVER_AUTH in found or Oid.ANY_EXTENDED_KEY_USAGE in found


def _access(extensions: Extensions) -> tuple[str | None, str | None]:
    """Return the OCSP responder and the issuer's certificate of the AIA extension."""
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID as Oid

    found = extensions.get(x509.AuthorityInformationAccess)
    if found is None or not isinstance(found, x509.AuthorityInformationAccess):
        return None, None
    by_method: dict[object, str] = {}
    for description in found:
        by_method.setdefault(description.access_method, str(description.access_location.value))
    return by_method.get(Oid.OCSP), by_method.get(Oid.CA_ISSUERS)


def _algorithm(public: object) -> str:
    """Return RSA-2048, EC-secp256r1, Ed25519 ..."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(public, rsa.RSAPublicKey):
        return f"RSA-{public.key_size}"
    if isinstance(public, ec.EllipticCurvePublicKey):
        return f"EC-{public.curve.name}"
    return type(public).__name__.lstrip("_").removesuffix("PublicKey")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether the names fit and the signature is the issuer's."""
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except ValueError:
        return _is_not_verified(certificate)
    except (TypeError, NotImplementedError):
        return False
    except Exception as error:
        # An algorithm that is not supported here leaves the names to decide.
        return type(error).__name__ == "UnsupportedAlgorithm"
    return True


def _is_not_verified(certificate: x509.Certificate) -> bool:
    """Tell whether cryptography verifies no signature of this kind: SHA-1 and older.

    The names decide then; whether clients still take it is another question.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return True
    return algorithm is not None and algorithm.name in ("md5", "sha1")


# -- chains ---------------------------------------------------------------------------------


def _leaf(sent: list[Link]) -> Link | None:
    """Return the first certificate, or the first that is not an authority's if that one is."""
    if not sent:
        return None
    if sent[0].authority and not sent[0].self_signed:
        return next((link for link in sent if not link.authority), sent[0])
    return sent[0]


def _chain_status(tree: Tree, sent: list[Link], leaf: Link | None, problem: str) -> ChainStatus:
    """Judge a chain as it is sent: what stands between its certificates does not matter.

    A root at its end, a cross-signed twin, a second leaf with its own chain are all fine, as
    long as the leaf comes first and its issuers follow in order.
    """
    if leaf is None:
        return "unknown"
    if leaf.self_signed:
        return "self-signed"
    if leaf is not sent[0]:  # a server takes the first one, and the key is not its
        return "issuer-first"
    if _issuer(leaf, sent[1:]) is not None:
        return "complete" if _ordered(sent) else "misordered"
    if problem:
        return "unknown"
    if _name_digest(leaf.der, issuer=True) in _root_names(tree):
        return "complete"
    return "leaf-only" if leaf.ca_issuers else "issued-by-root-unknown"


def _completed(
    tree: Tree, ref: CertificateRef, leaf: Link | None, alone: ChainStatus, *, several: bool
) -> ChainStatus:
    """Return the status of a chain that the server may complete, from its own status.

    OpenSSL looks for an issuer only where no certificate but the leaf was configured.
    """
    if leaf is None or several or alone not in ("leaf-only", "issued-by-root-unknown"):
        return alone
    files = [_file(tree, path) for path in ref.issuer_files]
    if _issuer(leaf, [link for file in files for link in file.certificates]) is not None:
        return "complete"
    return "unknown" if any(file.reason for file in files) else alone


def _ordered(sent: list[Link]) -> bool:
    """Tell whether every issuer that is sent comes after one it issued, roots aside."""
    position, link = 0, sent[0]
    while not link.self_signed:
        following = _issuer(link, sent[position + 1 :])
        if following is None:
            earlier = _issuer(link, sent[1:position])
            return earlier is None or earlier.self_signed
        position = next(i for i in range(position + 1, len(sent)) if sent[i] is following)
        link = following
    return True


def _issuer(link: Link, candidates: list[Link]) -> Link | None:
    from cryptography import x509

    named = [c for c in candidates if c.subject == link.issuer]
    if not named:
        return None
    certificate = x509.load_der_x509_certificate(link.der)
    for candidate in named:
        if _issued(certificate, x509.load_der_x509_certificate(candidate.der)):
            return candidate
    return None


def _name_digest(der: bytes, *, issuer: bool) -> bytes:
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    name = certificate.issuer if issuer else certificate.subject
    return _sha256(name.public_bytes())


def _root_names(tree: Tree) -> frozenset[bytes]:
    """Return the subjects of the roots that the tree's own system trusts, if it has them."""
    known = _memo(tree)
    if known.roots is None:
        names: set[bytes] = set()
        for path in ROOTS:
            if tree.status(path) is Status.FILE:
                names.update(_subjects(tree, path))
        known.roots = frozenset(names)
    return known.roots


def _subjects(tree: Tree, path: str) -> Iterator[bytes]:
    from cryptography import x509

    try:
        data = tree.read_bytes(path)
    except TreeError:
        return
    if len(data) > MAX_FILE:
        return
    for label, block in _blocks(data):
        if label in _CERTIFICATE_LABELS and block is not None:
            try:
                subject = x509.load_pem_x509_certificate(block).subject.public_bytes()
            except Exception:  # noqa: S112 - one root less
                continue
            yield _sha256(subject)
