"""Documents for mail clients."""

from __future__ import annotations

import plistlib

import pytest

from sslint.announcements import documents
from sslint.announcements.model import Announced
from sslint.tree import Tree
from tests.support import tree_of


def read(text: str, domain: str = "example.org") -> tuple[Announced, Tree, bool]:
    tree = tree_of({"/d": text})
    announced = Announced()
    return announced, tree, documents.read(tree, tree.read("/d"), announced, domain)


def told(announced: Announced) -> list[tuple]:
    return [(a.service, a.host, a.port, a.security) for a in announced.announcements]


def test_autoconfig() -> None:
    announced, tree, _ = read(
        '<clientConfig version="1.1">\n<emailProvider id="example.org">\n'
        '<incomingServer type="imap"><hostname>imap.%EMAILDOMAIN%</hostname>\n<port> 993 </port>'
        "<socketType>SSL</socketType><authentication>OAuth2</authentication></incomingServer>\n"
        '<incomingServer type="exchange"><hostname>x.org</hostname><port>443</port>'
        "</incomingServer>\n"
        '<outgoingServer type="smtp"><hostname>smtp.example.org</hostname>'
        "<socketType>SSL</socketType></outgoingServer>\n"
        '<outgoingServer type="smtp"><hostname>SMTP.example.org</hostname><port>587</port>'
        "<socketType>STARTTLS</socketType></outgoingServer>\n</emailProvider></clientConfig>\n"
    )
    assert tree.problems == []
    assert told(announced) == [
        ("imap", "imap.example.org", 993, "implicit"),
        ("submission", "smtp.example.org", 587, "starttls"),
    ]
    assert [a.location.line for a in announced.announcements] == [4, 7]


@pytest.mark.parametrize("namespace", ["responseschema/2006", "outlook/responseschema/2006a"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("<Port>993</Port><SSL>on</SSL>", (993, "implicit")),
        ("<Port>143</Port><SSL>off</SSL>", (143, "none")),
        ("<Port>143</Port><SSL>on</SSL><Encryption>TLS</Encryption>", (143, "starttls")),
        ("<Port>143</Port><Encryption>None</Encryption>", (143, "none")),
        ("<Port>143</Port><Encryption>Auto</Encryption>", (143, None)),
    ],
)
def test_autodiscover(namespace: str, settings: str, expected: tuple) -> None:
    url = f"http://schemas.microsoft.com/exchange/autodiscover/{namespace}"
    announced, _, _ = read(
        f'<Autodiscover xmlns="{url}"><Response xmlns="{url}"><Account><Protocol><Type>IMAP</Type>'
        f"<Server>mail.example.org</Server>{settings}</Protocol></Account></Response></Autodiscover>"
    )
    assert [t[2:] for t in told(announced)] == [expected]


def profile(**settings: object) -> bytes:
    payload = {"PayloadType": "com.apple.mail.managed", "EmailAccountType": "EmailTypeIMAP"}
    return plistlib.dumps({"PayloadContent": [{**payload, **settings}]})


IMAP = {"IncomingMailServerHostName": "mail.example.org"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"IncomingMailServerUseSSL": True}, [("imap", "mail.example.org", 993, "implicit")]),
        ({"IncomingMailServerUseSSL": False}, [("imap", "mail.example.org", 143, "none")]),
        ({}, []),  # neither the port nor what it is by default can be said
        ({"IncomingMailServerPortNumber": 993.0}, [("imap", "mail.example.org", 993, None)]),
    ],
)
def test_mobileconfig(settings: dict, expected: list) -> None:
    announced, tree, _ = read(profile(**IMAP, **settings).decode())
    assert tree.problems == []
    assert told(announced) == expected


def _der(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize("cut", [0, 100])
def test_a_signed_profile(cut: int) -> None:
    body = profile(**IMAP, IncomingMailServerUseSSL=True)
    data = bytes.fromhex("06092a864886f70d010701")
    if cut:
        pieces = b"".join(_der(4, body[i : i + cut]) for i in range(0, len(body), cut))
        content = b"\xa0\x80\x24\x80" + pieces + bytes(4)
    else:
        content = _der(0xA0, _der(4, body))
    signed = _der(
        0x30, bytes.fromhex("06092a864886f70d010702") + data + content + b"\x31\xff</plist>"
    )
    announced, tree, _ = read(signed.decode("utf-8", "surrogateescape"))
    assert tree.problems == []
    assert told(announced) == [("imap", "mail.example.org", 993, "implicit")]


def test_mta_sts() -> None:
    announced, _, _ = read(
        "version: STSv1\r\nmode: enforce\r\nmx: A.example.org.\r\nmx: *.b.org\r\nmax_age: 1\r\n"
    )
    policy = announced.policies[0]
    assert (policy.mode, policy.mx) == ("enforce", ("a.example.org", "*.b.org"))
    assert (policy.mode_location.line, policy.location.line) == (2, 3)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]><clientConfig>&a;</clientConfig>',
        "<clientConfig><emailProvider>",
        '<?xml version="1.0" encoding="no-such"?><clientConfig/>',
        '<?xml version="1.0" encoding="euc-jp"?><clientConfig/>',
        "<clientConfig>" + "<a>" * 1000,
        "<clientConfig>" + " " * documents.MAX_SIZE + "</clientConfig>",
        '<!DOCTYPE x [<!ENTITY a "b">]><plist><dict><key>PayloadContent</key>&a;</dict></plist>',
        "0\x06\x09<plist PayloadContent",
    ],
)
def test_what_is_refused_is_reported(text: str) -> None:
    announced, tree, is_document = read(text)
    assert is_document
    assert announced.announcements == []
    assert len(tree.problems) == 1
