"""What the files say of names, against the real getaddrinfo(3)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sslint.network.hosts import Hosts
from tests.support import tree_of

pytestmark = pytest.mark.live("unshare", "mount")

HOSTS = """127.0.0.1 localhost
::1 six bar.example.  # names end in a dot or not
127.0.1.1 Web web2
::ffff:192.0.2.7 mapped
2001:DB8:0::2 two
192.0.2.1\ttwo other
192.0.2.1 two
10.1 short
1.2.3.4%eth0 zone
 198.51.100.1 indented
#192.0.2.9 comment
"""
NAMES = (
    *("localhost", "LOCALHOST", "six", "bar.example", "bar.example.", "web", "WEB2", "web."),
    *("mapped", "two", "other", "short", "zone", "indented", "comment"),
)
ASK = """import json, socket, sys
def ask(name, family):
    try:
        found = socket.getaddrinfo(name, 1, family, socket.SOCK_STREAM)
    except socket.gaierror:
        return None
    return sorted({address[4][0] for address in found})
families = {"46": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}
print(json.dumps([[name, key, ask(name, family)] for name in json.loads(sys.argv[1])
                  for key, family in families.items()]))
"""


def test_names_mean_what_getaddrinfo_finds(tmp_path: Path) -> None:
    for name, text in (("hosts", HOSTS), ("nsswitch.conf", "hosts: files\n")):
        (tmp_path / name).write_text(text)
    script = (
        f"mount --bind {tmp_path}/hosts /etc/hosts && "
        f"mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf && "
        'exec "$0" -c "$1" "$2"'
    )
    command = ["unshare", "-m", "sh", "-c", script, sys.executable, ASK, json.dumps(NAMES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    names = Hosts(tree_of({"/etc/hosts": HOSTS}))
    unlike = []
    for name, families, real in json.loads(done.stdout):
        said = names.addresses(name, families)
        if said is None and name == "mapped" and families == "46":
            continue  # no server binds what it gets: it is left unknown
        if sorted(said or ()) != sorted(real or ()):
            unlike.append((name, families, real, said))
    assert not unlike
