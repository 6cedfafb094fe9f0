"""The registry of servers: a line each, and nothing imported before a server is read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import sslint
from sslint import servers

# The words of other programs, file by file: all else is asked of the registry.
ALLOWED = {
    "patches.py": (r'r"\|.*nginxconfig\)"',),  # nginxconfig.io
    "renewal.py": (
        # certbot's plugins
        r'HTTP01 = frozenset\(\{"webroot", "standalone", "nginx", "apache"\}\)',
        r'if installer in \("nginx", "apache"\):',
        r'"caddy": \("/etc/caddy",\),',  # who renews certificates beside certbot
        r'"Apache\'s mod_md": \("/etc/apache2/mods-enabled/md.load",\),',
    ),
    "facts/renewal.py": (r'"How the names are proved: webroot, standalone, nginx, dns-..."',),
    "scaffold.py": (
        r"(summary: nginx .*|server: nginx|- in: etc/nginx/.*)",
    ),  # an example of a rule
    "usage.py": (r"sslint check etc/nginx/nginx.conf .*",),  # an example of a command
    "shipped/__init__.py": (  # packages and their lists of files
        r'"(nginx-common|python3-certbot-nginx|apache2|dovecot-core|postfix)": "/etc/\w+",',
        r'"/etc/(nginx|apache2|exim4|httpd)(/[\w.-]+)?",',
    ),
    "firewalls/scripts/ufw_applications.py": (  # ufw's profiles
        r"# Of ufw, .*",
        r'("[\w ]+": "[\d,:|tcpud/]+",? ?)+',
    ),
    "unclaimed.py": (r".*",),  # what shows TLS in files that belong to no host
}
WORDS = re.compile(
    r"nginx|postfix|dovecot|apache|httpd|haproxy|caddy|lighttpd|exim|cyrus|stunnel", re.IGNORECASE
)


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


def test_no_other_room_says_the_name_of_a_server() -> None:
    assert all(WORDS.search(one.name) for one in servers.servers())
    top = Path(sslint.__file__).parent
    said = []
    for path in sorted(top.rglob("*.py")):
        name = path.relative_to(top).as_posix()
        if name.startswith("servers/"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            bare = line.partition("  #")[0].strip()
            allowed = any(re.fullmatch(pattern, bare) for pattern in ALLOWED.get(name, ()))
            if WORDS.search(line) and not allowed:
                said.append(f"{name}:{number}: {line.strip()}")
    assert said == []


def test_what_is_allowed_is_said() -> None:
    top = Path(sslint.__file__).parent
    for name, patterns in ALLOWED.items():
        lines = (top / name).read_text().splitlines()
        for pattern in patterns:
            assert any(re.fullmatch(pattern, line.partition("  #")[0].strip()) for line in lines)
