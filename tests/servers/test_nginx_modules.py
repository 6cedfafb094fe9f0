"""Blocks of modules that Debian's nginx has to load, and whether something loads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint.host import read
from sslint.targets import Target
from sslint.tree import Tree

STREAM = "stream { server { listen 127.0.0.1:853; return x; } }"
DEBIAN = "ID=debian\nVERSION_ID=13\n"
DPKG = "Package: {}\nStatus: install ok installed\nVersion: 1.26.3-3+deb13u1\n\n"


def reasons(root: Path, files: dict[str, str], links: dict[str, str] | None = None) -> list[str]:
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    for path, target in (links or {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    (reading,) = read(Target("h", Tree(root))).readings
    return [reason.text for reason in reading.refusals]


NGINX = {
    "etc/nginx/nginx.conf": "include /etc/nginx/modules-enabled/*.conf; events {} " + STREAM,
    "etc/os-release": DEBIAN,
}
OTHER = {"etc/nginx/modules-enabled/50-mod-other.conf": "load_module modules/ngx_other_module.so;"}
LINK = {"etc/nginx/modules-enabled/50-mod-stream.conf": "/usr/share/nginx/mod-stream.conf"}


def test_nothing_loads_the_module_of_a_block(tmp_path: Path) -> None:
    said = 'unknown directive "stream": nothing loads ngx_stream_module.so of libnginx-mod-stream'
    assert reasons(tmp_path, {**NGINX, **OTHER}) == [said]


@pytest.mark.parametrize(
    ("files", "links"),
    [
        ({}, LINK),  # to a file that the copy of /etc does not hold
        ({"etc/nginx/modules-enabled/s.conf": "load_module modules/ngx_stream_module.so;"}, {}),
        ({"etc/os-release": "ID=rhel\nVERSION_ID=10\n", **OTHER}, {}),  # linked in, for all we know
        ({"etc/apt/sources.list": "deb https://nginx.org/packages/debian x nginx\n", **OTHER}, {}),
        ({"var/lib/dpkg/status": DPKG.format("nginx"), **OTHER}, {}),  # has no nginx-common
        ({}, {}),  # modules-enabled was not given
    ],
)
def test_the_module_may_be_there(
    files: dict[str, str], links: dict[str, str], tmp_path: Path
) -> None:
    assert reasons(tmp_path, {**NGINX, **files}, links) == []
