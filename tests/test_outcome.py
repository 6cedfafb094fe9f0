"""What becomes of a client's connection: the family that is off decides nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sslint.cli import main

NGINX = (
    "events {}\nhttp {\n server {\n listen 443 ssl;\n listen [::]:443 ssl;\n server_name a.org;\n"
    " ssl_certificate /etc/ssl/a.pem;\n ssl_certificate_key /etc/ssl/a.key;\n }\n}\n"
)
RULES = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 443 -j {}\nCOMMIT\n"
OFF = "net.ipv6.conf.all.disable_ipv6 = 1\n"


@pytest.mark.parametrize(
    ("target", "sysctl", "outcome"),
    [
        ("REJECT", OFF, "the connection is rejected at once"),
        ("DROP", OFF, "the connection times out"),
        ("REJECT", "", "the connection is rejected at once"),
    ],
)
def test_a_family_that_is_off_does_not_time_out(
    target: str, sysctl: str, outcome: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = RULES.format(target)
    for name, text in {
        "nginx/nginx.conf": NGINX,
        "iptables/rules.v4": rules,
        "iptables/rules.v6": rules,
        "sysctl.d/off.conf": sysctl,
    }.items():
        path = tmp_path / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    main(["check", str(tmp_path), "--format", "json", "--select", "tls-port-closed"])
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert outcome in finding["clients"]
