"""The registry of servers: a line each, and nothing imported before a server is read."""

from __future__ import annotations

import subprocess
import sys

from sslint import servers


def test_each_line_is_a_server() -> None:
    assert tuple(one.name for one in servers.servers()) == servers.SERVERS
    for one in servers.servers():
        assert all((one.units, one.package.names)), one.name
        assert f"{one.entries[0]}/".startswith(f"{one.directory}/"), one.name


def test_a_port_has_its_owners() -> None:
    assert servers.owners("tcp", 443)[:2] == ("nginx", "apache")
    assert servers.owners("tcp", 25)[0] == "postfix"
    assert servers.owners("tcp", 993)[0] == "dovecot"
    assert servers.owners("tcp", 65000) == ()


def test_registry_imports_no_reader() -> None:
    code = (
        "import sys; from sslint import servers; servers.servers();"
        "print(*(m for m in sys.modules if m.startswith('sslint.servers')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {f"sslint.servers.{name}" for name in servers.SERVERS}
    assert set(found.stdout.split()) == {"sslint.servers", "sslint.servers.interface", *rooms}
