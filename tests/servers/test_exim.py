"""What Exim opens, where the real one is not at hand (tests/live/test_exim_live.py asks it)."""

from __future__ import annotations

import pytest

from sslint.servers.exim.reader import port_of, read
from sslint.servers.model import ServerReading
from tests.support import tree_of

OWN = "/etc/exim4/exim4.conf"
CONF = "/etc/exim4/update-exim4.conf.conf"
INTERNET = "dc_eximconfig_configtype='internet'\n"
TEMPLATE = (
    "UPEX4CmacrosUPEX4C = 1\n.ifdef MAIN_LOCAL_INTERFACES\n"
    "local_interfaces = MAIN_LOCAL_INTERFACES\n.endif\nbegin acl\n"
)


def reading_of(files: dict[str, str]) -> ServerReading:
    found = read(tree_of(files))
    assert found is not None
    return found


def sockets(files: dict[str, str]) -> set[tuple[str, int]]:
    return {(e.address, e.port) for e in reading_of(files).endpoints}


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("P = 587\ndaemon_smtp_ports = 25 : P", {25, 587}),
        ("P = 5\ndaemon_smtp_ports = 2P", {25}),  # wherever its name stands
        ("P = 25\nP == 26\ndaemon_smtp_ports = P", {26}),
        ("daemon_smtp_ports = \\\n  # a comment\n  25 : \\\n  26", {25, 26}),
        ("tls_certificate = \\\n  \ndaemon_smtp_ports = 26", {26}),  # a blank line ends it
        ("hide daemon_smtp_port = 26", {26}),
        ('daemon_smtp_ports = "25 : 26"', {25, 26}),
        ("daemon_smtp_ports = 0x1d1 : 031", {465, 25}),
        (
            ".ifdef A\ndaemon_smtp_ports = 1\n.elifdef B\n.else\ndaemon_smtp_ports = 26\n.endif",
            {26},
        ),
        ("A=1\n.ifdef A\ndaemon_smtp_ports = 26\n.elifndef B\ndaemon_smtp_ports = 1\n.endif", {26}),
        (".include /etc/exim4/part", {2525}),
        (".include_if_exists /etc/exim4/none\ndaemon_smtp_ports = 26", {26}),
    ],
)
def test_ports(text: str, ports: set[int]) -> None:
    files = {OWN: f"{text}\nbegin acl\n", "/etc/exim4/part": "daemon_smtp_ports = 2525\n"}
    assert {port for _, port in sockets(files)} == ports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local_interfaces =", set()),
        ("local_interfaces = <; ::1.26 ; [192.0.2.1]:27", {("::1", 26), ("192.0.2.1", 27)}),
        ("disable_ipv6", {("0.0.0.0", 25)}),
        ("disable_ipv6 = no", {("0.0.0.0", 25), ("::", 25)}),
        ("disable_ipv6\nno_disable_ipv6\nlocal_interfaces = ::::1", {("::1", 25)}),
        ("disable_ipv6 = true\nlocal_interfaces = ::::1 : 127.0.0.1", {("127.0.0.1", 25)}),
    ],
)
def test_addresses(text: str, expected: set[tuple[str, int]]) -> None:
    found = read(tree_of({OWN: f"{text}\n"}))
    assert {(e.address, e.port) for e in found.endpoints} == expected if found else not expected


@pytest.mark.parametrize(
    "text",
    ["local_interfaces = 0.0.0.0 : 192.0.2.1", "local_interfaces = 192.0.2.1 : 0.0.0.0",
     "daemon_smtp_ports = 25 : smtp", "local_interfaces = <; ::0 ; [::1]:25"],
)  # fmt: skip
def test_it_waits_in_vain_for_a_port_that_is_its_own(text: str) -> None:
    reading = reading_of({OWN: f"{text}\n"})
    assert not reading.starts
    assert reading.conflicts


def test_the_families_have_sockets_of_their_own() -> None:
    assert reading_of({OWN: "local_interfaces = <; ::0 ; 0.0.0.0 ; [::1]:26\n"}).starts


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-bdf -q30m -oX 587:465", {("127.0.0.1", 587), ("127.0.0.1", 465)}),
        ("-bdf -oX 192.0.2.10.26", {("192.0.2.10", 26)}),
        ("-bdf -oX <,::1,2525", {("::1", 2525)}),
    ],
)
def test_what_its_service_overrides(options: str, expected: set[tuple[str, int]]) -> None:
    files = {
        OWN: "local_interfaces = 127.0.0.1\n",
        "/etc/default/exim4": f"EXIMSERVICE='{options}'\n",
    }
    assert sockets(files) == expected


@pytest.mark.parametrize(
    ("macros", "address"), [("", "192.0.2.1"), ("MAIN_LOCAL_INTERFACES = 192.0.2.2\n", "192.0.2.2")]
)
def test_local_macros_come_before_what_debian_puts_in(macros: str, address: str) -> None:
    files = {
        CONF: INTERNET + "dc_local_interfaces='192.0.2.1'\n",
        "/etc/exim4/exim4.conf.localmacros": macros,
        "/etc/exim4/exim4.conf.template": TEMPLATE,
    }
    assert sockets(files) == {(address, 25)}


def test_debian_puts_nothing_in_for_an_unknown_kind() -> None:
    files = {
        CONF: "dc_eximconfig_configtype='none'\ndc_local_interfaces='192.0.2.1'\n",
        "/etc/exim4/exim4.conf.template": TEMPLATE,
    }
    assert sockets(files) == {("0.0.0.0", 25), ("::", 25)}


def test_a_part_of_debians_is_replaced_by_its_rul() -> None:
    files = {
        CONF: INTERNET + "dc_use_split_config='true'\n",
        "/etc/exim4/conf.d/main/01_macros": TEMPLATE.replace("begin acl\n", ""),
        "/etc/exim4/conf.d/main/02_ports": "daemon_smtp_ports = 1\n",
        "/etc/exim4/conf.d/main/02_ports.rul": "daemon_smtp_ports = 26\n",
    }
    assert {port for _, port in sockets(files)} == {26}


def test_an_include_that_cannot_be_read_leaves_it_incomplete() -> None:
    assert not reading_of({OWN: ".include /etc/exim4/gone\n"}).complete
    assert not reading_of({OWN: ".include /etc/exim4/exim4.conf\n"}).complete


def test_macros_that_grow_are_bounded() -> None:
    text = "A = x\n" + "".join(f"A{n} = A{n - 1 or ''}A{n - 1 or ''}\n" for n in range(1, 60))
    assert sockets({OWN: f"{text}daemon_smtp_ports = 26\n"}) == {("0.0.0.0", 26), ("::", 26)}


@pytest.mark.parametrize(
    "text",
    [
        "local_interfaces = <; [192.0.2.1]:" + "9" * 5000,
        "local_interfaces = <; [192.0.2.1]:99999",
        "local_interfaces = 192.0.2.1.70000",
        "local_interfaces = <; [192.0.2.1]:\u0663\u0664",
        "daemon_smtp_ports = 99999",
        "daemon_smtp_ports = 0",
    ],
)
def test_a_port_that_cannot_be_one_is_said(text: str) -> None:
    found = reading_of({OWN: f"{text}\nbegin acl\n"})
    assert not found.complete
    assert not [one for one in found.endpoints if one.certain]
    assert all(f":1: {text.partition(' ')[0]} = " in str(gap) for gap in found.gaps)


@pytest.mark.parametrize("text", ["", "nothing", "08", "0x", "1" * 50, "²"])
def test_what_is_no_port(text: str) -> None:
    assert port_of(text) is None
