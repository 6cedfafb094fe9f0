"""What changes the ruleset at boot beside its managers, and scripts that the tree does not hold."""

from __future__ import annotations

import pytest

from sslint.host import read
from sslint.targets import Target
from tests.support import tree_of

NFT = "table inet f {\n chain i { type filter hook input priority 0; policy drop; }\n}\n"
NGINX = "events {}\nhttp { server { listen 443 ssl; ssl_certificate a; ssl_certificate_key b; } }\n"
UNITS = "etc/systemd/system"
RECORDED = f"{UNITS}/multi-user.target.wants/cron.service"
WHOLE = {
    f"etc/{name}": ""
    for name in ("passwd", "group", "shadow", "hosts", "fstab", "profile", "shells", "os-release")
} | {RECORDED: "", f"{UNITS}/multi-user.target.wants/nginx.service": ""}
SHELL = "#!/bin/sh\n"


def verdict(files: dict[str, str], port: int = 443) -> tuple[str, str]:
    """Return who reaches a port over IPv4, and why that is not known."""
    host = read(Target("h", tree_of({"etc/nginx/nginx.conf": NGINX, **files})))
    assert host.firewall is not None
    reach = host.firewall.reach("tcp", port, 4)
    return reach.verdict, reach.reasons[0] if reach.reasons else ""


def started(name: str) -> dict[str, str]:
    return {f"{UNITS}/multi-user.target.wants/{name}": ""}


def unit(lines: str, name: str = "app.service") -> dict[str, str]:
    return {f"{UNITS}/{name}": f"[Service]\n{lines}\n", **started(name)}


@pytest.mark.parametrize(
    ("files", "absent"),
    [
        (unit("ExecStart=/usr/local/bin/setup.sh"), "/usr/local/bin/setup.sh"),
        (unit("ExecStart=/bin/sh /opt/setup"), "/opt/setup"),
        (unit("ExecStart=/bin/bash -e /opt/setup"), "/opt/setup"),
        (unit("Type=oneshot\nExecStart=/opt/setup"), "/opt/setup"),
        (unit("RemainAfterExit=yes\nExecStart=/opt/setup"), "/opt/setup"),
        (unit("Type=oneshot\nExecStart=/usr/bin/python3 /opt/setup.py"), "/opt/setup.py"),
        (unit("ExecStart=/opt/daemon\nExecStartPre=/opt/prepare"), "/opt/prepare"),
        ({"etc/rc.local": SHELL + "cd /tmp && /root/start &\n"}, "/root/start"),
        ({"etc/rc.local": SHELL + "if true; then /root/start; fi\n"}, "/root/start"),
        ({"etc/cron.d/x": "@reboot root /root/start\n"}, "/root/start"),
        ({"etc/crontab": "@reboot\troot\tsh /root/start\n"}, "/root/start"),
        ({"etc/network/interfaces": "iface eth0 inet dhcp\n up /root/start\n"}, "/root/start"),
        ({"etc/rc.local": SHELL + "/opt/a\n", "opt/a": SHELL + "sh /opt/b\n"}, "/opt/b"),
        ({"etc/init.d/app": SHELL + "/opt/b.sh\n", "etc/rc2.d/S01app": ""}, "/opt/b.sh"),
    ],
)
def test_a_script_that_is_not_in_the_tree_may_load_rules(
    files: dict[str, str], absent: str
) -> None:
    found, reason = verdict({**WHOLE, **files})
    assert (found, f" runs {absent}, which is not in the files" in reason) == ("unknown", True)
    # Where a ruleset is there, what else may change it is not asked.
    assert verdict({**WHOLE, **files, "etc/nftables.conf": NFT, **started("nftables.service")}) == (
        "closed",
        "",
    )


@pytest.mark.parametrize(
    "files",
    [
        {},
        unit("ExecStart=/opt/daemon --config /etc/daemon.conf"),
        unit("ExecStart=/usr/bin/node /opt/app/server.js"),
        unit("Type=oneshot\nExecStart=/usr/bin/rsync /srv/a /srv/b"),
        {f"{UNITS}/app.service": "[Service]\nExecStart=/opt/setup.sh\n"},  # not enabled
        {"etc/rc.local": SHELL + "# /root/start\necho /root/start\n/usr/bin/touch /x\n"},
        {"etc/rc.local": SHELL + "/opt/a\n", "opt/a": SHELL + "echo\n"},
        {"etc/cron.d/x": "5 * * * * root /root/backup\n"},
        {"etc/init.d/app": SHELL + ". /etc/default/app\n/opt/app/daemon\n", "etc/rc2.d/S01app": ""},
        {"etc/rc.local": SHELL + "[ -x $DIR/x ] && $DIR/x; /opt/$NAME/start\n"},
    ],
)
def test_a_whole_etc_that_starts_nothing_else_is_open(files: dict[str, str]) -> None:
    assert verdict({**WHOLE, **files}) == ("open", "")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("wireguard/wg0.conf", "[Interface]\nPostUp = iptables -I INPUT -p udp -j ACCEPT\n"),
        ("wireguard/wg0.conf", "[Interface]\npreup=nft -f /root/wg.nft\n"),
        ("wireguard/wg0.conf", "[Interface]\nPostUp = iptables -A FORWARD -i %i -j ACCEPT;"
         " iptables -A INPUT -j DROP\n"),
        ("wireguard/wg0.conf", "[Interface]\nPostUp = iptables -A INPUT -i eth0 -j ACCEPT\n"),
        ("cloud/cloud.cfg.d/99.cfg", "runcmd:\n  - iptables -P INPUT DROP\n"),
        ("cloud/cloud.cfg.d/99.cfg", 'bootcmd:\n - [iptables, -A, INPUT, "-j", DROP]\n'),
        ("rc.local", SHELL + "firewall-cmd --add-port=443/tcp\n"),
        ("rc.local", SHELL + "systemctl stop nftables\n"),
        ("rc.local", SHELL + "/usr/sbin/service iptables stop\n"),
    ],
)  # fmt: skip
def test_what_else_changes_the_ruleset_leaves_it_unknown(path: str, text: str) -> None:
    wg = started("wg-quick@wg0.service")
    rules = {"etc/nftables.conf": NFT, **started("nftables.service")}
    whole = {**WHOLE, **wg}
    # What only stops a firewall does nothing where there is none.
    alone = [] if " stop" in text else [whole]
    for files in (*alone, rules, {**whole, **rules}):
        found, reason = verdict({**files, f"etc/{path}": text})
        assert (found, path in reason) == ("unknown", True), reason


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("wireguard/wg0.conf", "[Interface]\nPostUp = iptables -A FORWARD -i %i -j ACCEPT; "
         "iptables -A FORWARD -o %i -j ACCEPT; iptables -t nat -A POSTROUTING -j MASQUERADE\n"),
        ("wireguard/wg0.conf", "[Interface]\nPostUp = iptables -I INPUT -i wg0 -j ACCEPT && "
         "sysctl -w net.ipv4.ip_forward=1\nPostDown = iptables -F INPUT\n"),
        ("cloud/cloud.cfg.d/99.cfg", "runcmd:\n  - apt install nginx\n# - iptables -F\n"),
        ("rc.local", SHELL + "firewall-cmd --state\nsystemctl status nftables\niptables -L\n"),
    ],
)  # fmt: skip
def test_what_is_of_a_tunnel_or_changes_nothing_is_passed_over(path: str, text: str) -> None:
    wg = started("wg-quick@wg0.service")
    assert verdict({**WHOLE, **wg, f"etc/{path}": text})[0] == "open"
    rules = {"etc/nftables.conf": NFT, **started("nftables.service")}
    assert verdict({**WHOLE, **wg, **rules, f"etc/{path}": text})[0] == "closed"


def test_a_tunnel_that_does_not_start_changes_nothing() -> None:
    rules = "[Interface]\nPostUp = iptables -P INPUT DROP\n"
    assert verdict({**WHOLE, "etc/wireguard/wg0.conf": rules}) == ("open", "")
