"""Which certificate Dovecot serves, by listener and by the name that a client asks for."""

from __future__ import annotations

from sslint.servers.dovecot import names
from sslint.servers.dovecot.settings import Event, Lookup, Value, prefix_length
from sslint.servers.model import CertificateRef
from sslint.values import replace

_NAMES_24 = (
    ("ssl_server_cert_file", "ssl_server_key_file"),
    ("ssl_server_alt_cert_file", "ssl_server_alt_key_file"),
)
_NAMES_23 = (("ssl_cert", "ssl_key"), ("ssl_alt_cert", "ssl_alt_key"))


def references(
    lookup: Lookup, event: Event, *, by_name: bool, by_address: bool
) -> tuple[CertificateRef, ...]:
    """Return the certificates of a listener: the default ones, those of each name, then those
    of connections to one network, which win over all before them there.

    Without a default every handshake fails, also for names that have their own.
    """
    names_ = _local_names(lookup) if by_name else []
    general = _by_name(lookup, event, names_)
    refs = [ref for found in general.values() for ref in found]
    networks = _locals(lookup, event) if by_address else []
    theirs = [_by_name(lookup, _with(event, local=network), names_) for network in networks]
    if any(_identity(found[n]) != _identity(general.get(n, [])) for found in theirs for n in found):
        # All of them: a narrow network may only say again what holds outside a wide one.
        for network, there in zip(networks, theirs, strict=True):
            refs += [replace(ref, address=network) for found in there.values() for ref in found]
    return tuple(refs)


def _by_name(lookup: Lookup, event: Event, sni: list[str]) -> dict[str, list[CertificateRef]]:
    default = _served(lookup, event, ())
    if not default:
        return {}
    found = {"": default}
    for name in sni:
        found[name] = _served(lookup, _with(event, local_name=_sample(name)), (name,))
    return found


def _sample(mask: str) -> str:
    """Return a name that a mask matches and no block names."""
    return mask.replace("*", "any-label").replace("?", "x")


def _local_names(lookup: Lookup) -> list[str]:
    blocks = lookup.configuration.blocks
    names_ = [name for b in blocks if b.kind == "local_name" for name in b.name.split(" ")]
    return [name for name in dict.fromkeys(names_) if name]


def _locals(lookup: Lookup, event: Event) -> list[str]:
    """Return the networks of `local` blocks, the wide ones first."""
    if event.local is not None:
        return []
    blocks = lookup.configuration.blocks
    return sorted(dict.fromkeys(b.name for b in blocks if b.kind == "local"), key=prefix_length)


def _served(lookup: Lookup, event: Event, sni: tuple[str, ...]) -> list[CertificateRef]:
    found = []
    for cert_name, key_name in _NAMES_24 if lookup.configuration.modern else _NAMES_23:
        cert = lookup.value(cert_name, event)
        if cert is None or cert.text == "":
            continue
        key = lookup.value(key_name, event)
        path, reason = _file(cert, lookup.configuration.modern)
        found.append(
            CertificateRef(
                path,
                None if key is None else _file(key, lookup.configuration.modern)[0],
                cert.location,
                None if key is None else key.location,
                sni,
                reason=reason,
            )
        )
    return found


def _file(value: Value, modern: bool) -> tuple[str | None, str]:
    """Return the path that a setting names, and why it is not known."""
    if value.text is None:
        return None, value.reason
    if modern and value.text.startswith(names.INLINE):
        return None, "the certificate is in the configuration itself"
    if modern and value.read:
        return None, f"the value is what {value.text} contains: `<` is not for *_file settings"
    if not modern and not value.read:
        return None, "the value is the text of a certificate: `<` before a path is missing"
    return value.text, ""


def _identity(refs: list[CertificateRef]) -> list[tuple[str | None, str | None, str]]:
    return [(ref.path, ref.key, ref.reason) for ref in refs]


def _with(event: Event, *, local_name: str | None = None, local: str | None = None) -> Event:
    return Event(
        event.service,
        None,
        event.protocol,
        local_name if local_name is not None else event.local_name,
        local if local is not None else event.local,
        event.filters,
    )
