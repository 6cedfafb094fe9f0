"""Mail-client documents: Thunderbird autoconfig, Outlook autodiscover, Apple profiles, MTA-STS.

A property list is read by plistlib, without its DOCTYPE.
"""

from __future__ import annotations

import re
from typing import Any

from sslint.announcements.model import Announced, Announcement, Kind, Security, StsPolicy
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field

MAX_SIZE = 4 << 20  # characters; real ones are a few KiB
MAX_TEXT = 4096  # of one element
MAX_PAYLOADS = 1000

_AUTOCONFIG_SERVICES = {"imap": "imap", "pop3": "pop3", "smtp": "submission"}
_SOCKET_TYPES: dict[str, Security] = {"SSL": "implicit", "STARTTLS": "starttls", "plain": "none"}
_DEFAULT_PORTS: dict[tuple[str, Security | None], int] = {
    ("imap", "implicit"): 993,
    ("imap", "starttls"): 143,
    ("imap", "none"): 143,
    ("pop3", "implicit"): 995,
    ("pop3", "starttls"): 110,
    ("pop3", "none"): 110,
    ("submission", "implicit"): 465,
    ("submission", "starttls"): 587,
    ("submission", "none"): 25,
}


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]
    location: Location
    text: str = ""
    children: list[_Element] = field(default_factory=list)

    def find(self, name: str) -> _Element | None:
        return next((child for child in self.children if child.name == name), None)

    def value(self, name: str) -> str | None:
        found = self.find(name)
        return found.text.strip() if found is not None else None

    def walk(self) -> list[_Element]:
        found = [self]
        for element in found:
            found.extend(element.children)
        return found


class _RefusedError(Exception):
    """A document is not read; the message says why."""


def _parse(file: SourceFile) -> _Element:
    """Return the root element. Raise _RefusedError."""
    from sslint.xmlfile import Start, XmlError, tags  # few hosts have such a document

    root = _Element("", {}, file.at(1))
    stack = [root]
    try:
        for tag in tags(file):
            if isinstance(tag, Start):
                element = _Element(tag.name.rsplit(":", 1)[-1], tag.attributes, tag.location)
                stack[-1].children.append(element)
                stack.append(element)
            else:
                stack.pop().text = tag.text[:MAX_TEXT]
    except XmlError as error:
        raise _RefusedError(error.reason) from None
    return root.children[0]


def kind_of(text: str) -> Kind | None:
    """Return what document a text is, by its content."""
    head = text[:65536]
    if "<clientConfig" in head:
        return "autoconfig"
    if "<Autodiscover" in head or "autodiscover/outlook" in head:
        return "autodiscover"
    if "<plist" in head and "PayloadContent" in text:
        return "mobileconfig"
    if re.search(r"^version:\s*STSv1", head, re.M):
        return "mta-sts"
    return None


def read(tree: Tree, file: SourceFile, into: Announced, domain: str = "") -> bool:
    """Read a document of any of these kinds; False if it is none."""
    kind = kind_of(file.text)
    try:
        if kind is not None and len(file.text) > MAX_SIZE:
            raise _RefusedError("the document is too large")
        if kind == "autoconfig":
            _autoconfig(_parse(file), into)
        elif kind == "autodiscover":
            _autodiscover(_parse(file), into, domain)
        elif kind == "mobileconfig":
            _mobileconfig(file, into)
        elif kind == "mta-sts":
            _mta_sts(file, into, domain)
        else:
            return False
    except _RefusedError as error:
        tree.problem(file, f"{kind}: {error}", decisive=False)
    return True


# -- Thunderbird: draft-ietf-mailmaint-autoconfig -------------------------------------------------


def _autoconfig(root: _Element, into: Announced) -> None:
    for provider in root.walk():
        if provider.name != "emailProvider":
            continue
        domain = provider.value("domain") or provider.attributes.get("id", "")
        ranks: dict[str, int] = {}
        for server in provider.children:
            if server.name not in ("incomingServer", "outgoingServer"):
                continue
            service = _AUTOCONFIG_SERVICES.get(server.attributes.get("type", ""))
            host = (server.value("hostname") or "").replace("%EMAILDOMAIN%", domain).lower()
            port = _number(server.value("port"))
            label = server.value("socketType") or ""
            security = _SOCKET_TYPES.get(label)
            if service is None or not host or port is None or "%" in host:
                continue
            place = _child_place(server, "port")
            rank = ranks[service] = ranks.get(service, -1) + 1
            into.announcements.append(
                Announcement(
                    "autoconfig", service, host, port, security, place, domain, label, rank=rank
                )
            )


def _child_place(element: _Element, name: str) -> Location:
    child = element.find(name)
    return child.location if child is not None else element.location


# -- Outlook: MS-OXDSCLI --------------------------------------------------------------------------


def _autodiscover(root: _Element, into: Announced, domain: str) -> None:
    ranks: dict[str, int] = {}
    for protocol in root.walk():
        if protocol.name != "Protocol":
            continue
        service = {"IMAP": "imap", "POP3": "pop3", "SMTP": "submission"}.get(
            (protocol.value("Type") or protocol.attributes.get("Type", "")).upper()
        )
        host = (protocol.value("Server") or "").lower()
        if service is None or not host or any(c in host for c in "{%$"):
            continue
        encryption = (protocol.value("Encryption") or "").upper()
        ssl = (protocol.value("SSL") or "on").lower() != "off"
        port = _number(protocol.value("Port"))
        security: Security | None
        ambiguous = False
        if encryption in ("SSL", "TLS", "NONE"):
            security = {"SSL": "implicit", "TLS": "starttls"}.get(encryption, "none")  # type: ignore[assignment]
        elif encryption == "AUTO":
            security = None
        elif ssl:
            # Without <Encryption>, Outlook versions read "on" for 587 in two ways.
            security, ambiguous = "implicit", port in (25, 143, 110, 587)
        else:
            security = "none"
        if port is None:
            port = _DEFAULT_PORTS.get((service, security))
        if port is None:
            continue
        rank = ranks[service] = ranks.get(service, -1) + 1
        into.announcements.append(
            Announcement(
                "autodiscover", service, host, port, security, _child_place(protocol, "Port"),
                domain, encryption or f"SSL {'on' if ssl else 'off'}", rank=rank,
                ambiguous=ambiguous,
            )
        )  # fmt: skip


# -- Apple: Device Management, com.apple.mail.managed ----------------------------------------


def _mobileconfig(file: SourceFile, into: Announced) -> None:
    import plistlib

    # A signed profile is CMS around the same XML; the signature does not matter here.
    content = file.text.encode("utf-8", "surrogateescape")
    if content[:1] == _SEQUENCE:
        content = _signed_content(content)
    start, end = content.find(b"<plist"), content.rfind(b"</plist>")
    if start < 0 or end < 0:
        raise _RefusedError("the file has no property list")
    body = content[start : end + len(b"</plist>")]
    # The DOCTYPE that every property list has is Apple's own, and left out with its entities.
    try:
        data = plistlib.loads(body, fmt=plistlib.FMT_XML)
    except Exception as error:
        raise _RefusedError(f"not a property list: {error}") from None
    payloads = data.get("PayloadContent") if isinstance(data, dict) else None
    for payload in payloads[:MAX_PAYLOADS] if isinstance(payloads, list) else ():
        if isinstance(payload, dict):
            _payload(file, payload, into)


_SEQUENCE, _DATA, _OCTETS = b"\x30", bytes.fromhex("06092a864886f70d010701"), 0x04


def _signed_content(data: bytes) -> bytes:
    """Return what CMS signs (RFC 5652, section 5.2); BER may cut it in pieces (X.690, 8.7.3)."""
    position = data.find(_DATA, 0, 4096)
    if position < 0:
        raise _RefusedError("a signed message without its content")
    position += len(_DATA)
    pieces = []
    while position + 2 <= len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            digits = length & 0x7F
            length = int.from_bytes(data[position : position + min(digits, 8)], "big")
            position += digits
        if tag == _OCTETS:
            pieces.append(data[position : position + length])
            position += length
        elif tag not in (0xA0, _OCTETS | 0x20):  # [0] EXPLICIT and a cut octet string go deeper
            break
    return b"".join(pieces)


def _payload(file: SourceFile, payload: dict[str, Any], into: Announced) -> None:
    kind = payload.get("PayloadType")
    if kind == "com.apple.mail.managed":
        incoming = "pop3" if payload.get("EmailAccountType") == "EmailTypePOP" else "imap"
        for side, service in (("Incoming", incoming), ("Outgoing", "submission")):
            _mail_server(file, payload, side, service, into)
    elif kind in ("com.apple.caldav.account", "com.apple.carddav.account"):
        name = "CalDAV" if "caldav" in kind else "CardDAV"
        host = payload.get(f"{name}HostName")
        port = _number(payload.get(f"{name}Port")) or 443
        if isinstance(host, str) and host and payload.get(f"{name}UseSSL", True):
            place = _key_place(file, f"{name}HostName", host)
            into.announcements.append(
                Announcement("mobileconfig", name.lower(), host.lower(), port, "implicit", place)
            )


def _mail_server(
    file: SourceFile, payload: dict[str, Any], side: str, service: str, into: Announced
) -> None:
    host = payload.get(f"{side}MailServerHostName")
    if not isinstance(host, str) or not host:
        return
    ssl = payload.get(f"{side}MailServerUseSSL")
    given = payload.get(f"{side}MailServerPortNumber")
    port = _number(given)
    if port is None:
        if service == "submission":
            return  # the client tries 25, 587 and 465 in turn
        if ssl is None:
            return  # the documents of Apple differ in the default of UseSSL, and so in the port
        port = _DEFAULT_PORTS[service, "implicit" if ssl else "none"]
    # UseSSL does not tell TLS from the first byte from STARTTLS; the port does.
    security: Security | None = "none" if ssl is False else None
    if ssl and port in (465, 993, 995):
        security = "implicit"
    elif ssl and port in (25, 110, 143, 587):
        security = "starttls"
    key, value = (
        (f"{side}MailServerHostName", host)
        if given is None
        else (f"{side}MailServerPortNumber", str(given))
    )
    place = _key_place(file, key, value)
    address = payload.get("EmailAddress")
    domain = address.partition("@")[2] if isinstance(address, str) else ""
    into.announcements.append(
        Announcement(
            "mobileconfig", service, host.lower(), port, security, place, domain,
            f"UseSSL {'on' if ssl else 'off'}",
        )
    )  # fmt: skip


def _key_place(file: SourceFile, key: str, value: str) -> Location:
    """Return where a key of a property list stands, the one whose value follows it."""
    best: Location | None = None
    start = file.text.find(f">{key}<")
    while start >= 0:
        place = file.span(start + 1, start + 1 + len(key))
        best = best or place
        if value in file.text[start : start + len(key) + 200]:
            return place
        start = file.text.find(f">{key}<", start + 1)
    return best or file.at(1)


def _number(value: object) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = int(float(value)) if isinstance(value, (int, float)) else int(str(value).strip())
    except (ValueError, OverflowError):
        return None
    return number if 1 <= number <= 65535 else None


# -- MTA-STS: RFC 8461, section 3.2 ----------------------------------------------------------


def _mta_sts(file: SourceFile, into: Announced, domain: str) -> None:
    mode = ""
    mx: list[str] = []
    place = file.at(1)
    mode_place = place
    for number in range(1, min(len(file.starts), 1000) + 1):
        key, separator, value = file.line(number).partition(":")
        key, value = key.strip().lower(), value.strip()
        if not separator:
            continue
        if key == "mode":
            mode, mode_place = value.lower(), file.at(number)
        elif key == "mx":
            if not mx:
                place = file.at(number)
            mx.append(value.lower().rstrip("."))
    into.policies.append(StsPolicy(mode, tuple(mx), place, mode_place, domain))
