"""What is read of the documents that tell mail programs where to connect."""

from __future__ import annotations

import pytest

from sslint.announcements import documents
from sslint.announcements.model import Announced, Announcement
from tests.support import tree_of

PATH = "/autoconfig.xml"


def autoconfig(*servers: str, head: str = "<domain>example.org</domain>") -> str:
    provider = f'<emailProvider id="example.org">{head}{"".join(servers)}</emailProvider>'
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{head}\n<clientConfig version="1.1">{provider}</clientConfig>'


def server(kind: str, port: object, socket: str, host: str = "mail.example.org") -> str:
    tag = "outgoingServer" if kind == "smtp" else "incomingServer"
    return (
        f'<{tag} type="{kind}"><hostname>{host}</hostname><port>{port}</port>'
        f"<socketType>{socket}</socketType><username>%EMAILADDRESS%</username>"
        f"<authentication>password-cleartext</authentication></{tag}>"
    )


def told(text: str) -> list[Announcement]:
    tree = tree_of({PATH: text})
    file = tree.try_read(PATH)
    assert file is not None
    announced = Announced()
    assert documents.read(tree, file, announced)
    assert not tree.problems
    return announced.announcements


@pytest.mark.parametrize(
    ("kind", "port", "socket", "service", "security"),
    [  # every combination that Thunderbird's public database of providers has
        ("imap", 993, "SSL", "imap", "implicit"),
        ("imap", 143, "STARTTLS", "imap", "starttls"),
        ("imap", 143, "plain", "imap", "none"),
        ("imap", 587, "STARTTLS", "imap", "starttls"),
        ("pop3", 995, "SSL", "pop3", "implicit"),
        ("pop3", 993, "SSL", "pop3", "implicit"),
        ("pop3", 110, "STARTTLS", "pop3", "starttls"),
        ("pop3", 110, "plain", "pop3", "none"),
        ("smtp", 465, "SSL", "submission", "implicit"),
        ("smtp", 586, "SSL", "submission", "implicit"),
        ("smtp", 587, "SSL", "submission", "implicit"),
        ("smtp", 587, "STARTTLS", "submission", "starttls"),
        ("smtp", 587, "plain", "submission", "none"),
        ("smtp", 25, "STARTTLS", "submission", "starttls"),
        ("smtp", 25, "plain", "submission", "none"),
    ],
)
def test_server(kind: str, port: int, socket: str, service: str, security: str) -> None:
    (found,) = told(autoconfig(server(kind, port, socket)))
    assert (found.service, found.port, found.security) == (service, port, security)
    assert (found.kind, found.host, found.domain) == (
        "autoconfig",
        "mail.example.org",
        "example.org",
    )


def test_entries_of_one_service_are_ranked_in_their_order() -> None:
    found = told(
        autoconfig(
            server("imap", 993, "SSL"), server("pop3", 995, "SSL"), server("imap", 143, "STARTTLS")
        )
    )
    assert [(a.service, a.port, a.rank) for a in found] == [
        ("imap", 993, 0), ("pop3", 995, 0), ("imap", 143, 1)
    ]  # fmt: skip


def test_the_domain_of_the_address_stands_for_the_host_name() -> None:
    (found,) = told(autoconfig(server("imap", 993, "SSL", "imap.%EMAILDOMAIN%")))
    assert found.host == "imap.example.org"


@pytest.mark.parametrize(
    "odd",
    [
        server("imap", 993, "SSL", "%EMAILLOCALPART%.example.org"),
        server("imap", "none", "SSL"),
        server("exchange", 443, "SSL"),
        '<incomingServer type="imap"></incomingServer>',
    ],
)
def test_a_server_that_names_no_host_port_or_mail_protocol_is_left_out(odd: str) -> None:
    assert [a.service for a in told(autoconfig(odd, server("smtp", 465, "SSL")))] == ["submission"]


def test_comments_documentation_and_other_sections_are_passed_over() -> None:
    text = autoconfig(
        "<!-- <incomingServer type='pop3'/> -->",
        server("imap", 993, "SSL"),
        '<documentation url="https://example.org/"><descr>Anleitung</descr></documentation>',
        head="<domain>example.org</domain><domain>example.net</domain><displayName>Beispiel</displayName>",
    )
    text = text.replace(
        "</clientConfig>",
        '<webMail><loginPage url="https://w.example.org/"/></webMail></clientConfig>',
    )
    assert [(a.service, a.port) for a in told(text)] == [("imap", 993)]


def test_a_document_with_a_doctype_is_refused_and_said_so() -> None:
    text = autoconfig(server("imap", 993, "SSL")).replace(
        "\n", '\n<!DOCTYPE x [<!ENTITY a "b">]>\n'
    )
    tree = tree_of({PATH: text})
    file = tree.try_read(PATH)
    assert file is not None
    announced = Announced()
    assert documents.read(tree, file, announced)
    assert not announced.announcements
    assert [problem.reason for problem in tree.problems] == [
        "autoconfig: a DOCTYPE is not supported"
    ]
