"""A template is no configuration yet: what it fills in is not known, and no mistake."""

from __future__ import annotations

import pytest

from sslint.servers.apache.reader import read as read_apache
from sslint.servers.dovecot.reading import read as read_dovecot
from sslint.servers.lighttpd.reader import read as read_lighttpd
from tests.support import tree_of

MARKS = ("{{ v }}", "<%= @v %>", "@VALUE@", "__VALUE__", "%VALUE%", "%%VALUE%%")
APACHE = "LoadModule mpm_event_module /m\nListen 8443\n{line}\n"


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("name", ["KeepAlive", "Timeout", "ServerName", "DocumentRoot"])
def test_apache(mark: str, name: str) -> None:
    text = APACHE.format(line=f"{name} {mark}")
    reading = read_apache(tree_of({"/etc/apache2/apache2.conf": text}))
    assert reading is not None
    assert reading.refusals == []
    assert [one.port for one in reading.endpoints] == [8443]


def test_what_is_no_mark_is_refused_of_apache() -> None:
    text = APACHE.format(line="KeepAlive perhaps")
    reading = read_apache(tree_of({"/etc/apache2/apache2.conf": text}))
    assert reading is not None
    assert [one.text for one in reading.refusals] == ["KeepAlive must be On or Off"]


@pytest.mark.parametrize("mark", MARKS)
def test_lighttpd(mark: str) -> None:
    text = f"server.port = 8443\nserver.max-connections = {mark}\n"
    reading = read_lighttpd(tree_of({"/etc/lighttpd/lighttpd.conf": text}))
    assert reading is not None
    assert reading.refusals == []
    assert reading.gaps


@pytest.mark.parametrize("mark", MARKS)
def test_dovecot(mark: str) -> None:
    text = f"protocols = imap\nmail_max_userip_connections = {mark}\nauth_verbose = {mark}\n"
    reading = read_dovecot(tree_of({"/etc/dovecot/dovecot.conf": text}))
    assert reading is not None
    assert reading.refusals == []
