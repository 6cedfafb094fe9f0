"""Which rulesets are in force, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint.firewalls import discovery, formats
from sslint.netfilter.model import Ruleset
from sslint.network import read_network
from sslint.tree import Tree
from tests.support import tree_of

RULES = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n"
NFT = "table inet f {\n chain i { type filter hook input priority 0; policy drop; }\n}\n"
ETC = "/etc/systemd/system"
OTHER = f"{ETC}/multi-user.target.wants/ssh.service"


def load(files: dict[str, str], *given: discovery.Given) -> tuple[Tree, Ruleset]:
    tree = tree_of(files)
    return tree, discovery.load(tree, read_network(tree), given)


def kinds(ruleset: Ruleset) -> list[tuple[str, str]]:
    return [(source.kind, source.path) for source in ruleset.sources]


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/etc/iptables/rules.v4", RULES, "iptables"),
        ("/etc/iptables/rules.v6", RULES, "ip6tables"),
        ("/etc/sysconfig/iptables", RULES, "iptables"),
        ("/etc/sysconfig/ip6tables", RULES, "ip6tables"),
        ("/etc/iptables/iptables.rules", RULES, "iptables"),
        ("/etc/iptables/rules-save", RULES, "iptables"),
        ("/etc/iptables/rules6-save", RULES, "ip6tables"),
        ("/var/lib/ip6tables/rules-save", RULES, "ip6tables"),
        ("/etc/nftables.conf", NFT, "nft"),
        ("/etc/nftables.nft", NFT, "nft"),
        ("/etc/sysconfig/nftables.conf", NFT, "nft"),
    ],
)
def test_the_places_of_the_distributions(path: str, text: str, kind: str) -> None:
    tree, ruleset = load({path: text})
    assert kinds(ruleset) == [(kind, path.lstrip("/"))]
    families = {"iptables": {4}, "ip6tables": {6}, "nft": {4, 6}}
    assert ruleset.families == families[kind]
    assert not tree.problems
    assert not ruleset.missing


INIT = "IPTABLES='iptables'\n$IPTABLES-restore $OPT /etc/default/$IPTABLES\n"
OPEN = NFT.replace("drop", "accept")


@pytest.mark.parametrize(
    ("files", "managed"),
    [
        ({"/etc/init.d/iptables": INIT, "/etc/rc2.d/S01iptables": INIT}, True),
        ({"/etc/init.d/iptables": INIT, "/etc/rc2.d/K01iptables": INIT}, False),
        (
            {
                "/etc/init.d/fw": INIT,
                "/etc/runlevels/default/fw": INIT,
                "/etc/runlevels/boot/nftables": "",
            },
            True,
        ),
        ({"/etc/init.d/fw": INIT, "/etc/rc3.d/S99fw": INIT, OTHER: ""}, True),
        (
            {
                "/etc/init.d/fw": INIT,
                "/etc/rc3.d/S99fw": INIT,
                "/lib/systemd/system/fw.service": "[Service]\n",
                OTHER: "",
            },
            False,
        ),
        (  # units of packages lie there, and OpenRC starts the script
            {
                "/etc/init.d/fw": INIT,
                "/etc/runlevels/default/fw": INIT,
                "/etc/runlevels/default/nftables": "",
                "/lib/systemd/system/fw.service": "[Service]\n",
            },
            True,
        ),
        (
            {"/etc/init.d/fw": INIT, "/etc/rc3.d/S99fw": INIT, OTHER: "", f"{ETC}/fw.service": ""},
            False,
        ),
        ({"/etc/init.d/ssh": "sshd\n", "/etc/rc2.d/S01ssh": "sshd\n"}, False),
        ({"/etc/init.d/x": "echo 'needs iptables here'\n", "/etc/rc2.d/S01x": ""}, False),
        (
            {"/etc/init.d/x": "if iptables -nL | grep -q y; then z; fi\n", "/etc/rc2.d/S01x": ""},
            False,
        ),
        ({"/etc/init.d/iptables-persistent": INIT, "/etc/rc2.d/S01iptables-persistent": ""}, False),
        (
            {
                "/etc/init.d/iptables": INIT,
                "/etc/rc2.d/S01iptables": INIT,
                "/etc/sysconfig/iptables": RULES,
            },
            False,
        ),
    ],
)
def test_an_init_script_that_loads_rules(files: dict[str, str], managed: bool) -> None:
    _, ruleset = load({**files, "/etc/nftables.conf": OPEN})
    name = next(path for path in files if path.startswith("/etc/init.d"))
    expected = [f"the script {name} manages the firewall"] if managed else []
    found = [missing.reason.partition(" and is not followed")[0] for missing in ruleset.missing]
    assert found == expected


def test_a_unit_that_is_not_enabled_loads_nothing() -> None:
    files = {OTHER: "", "/etc/nftables.conf": NFT, "/etc/iptables/rules.v4": RULES}
    tree, ruleset = load(files)
    assert ruleset.empty
    found = {c.path: c.inactive for c in discovery.inactive(tree, read_network(tree))}
    assert found["/etc/nftables.conf"] == "nftables.service is disabled"
    assert "/etc/iptables/rules.v4" in found


def test_an_enabled_unit_loads_its_file_alone() -> None:
    wants = "/etc/systemd/system/sysinit.target.wants/nftables.service"
    files = {wants: "", OTHER: "", "/etc/nftables.conf": NFT, "/etc/iptables/rules.v4": RULES}
    assert kinds(load(files)[1]) == [("nft", "etc/nftables.conf")]


def test_a_drop_in_names_another_file() -> None:
    drop_in = "/etc/systemd/system/nftables.service.d/x.conf"
    files = {
        drop_in: "[Service]\nExecStart=\nExecStart=/usr/sbin/nft -f /etc/fw/main.nft\n",
        "/etc/fw/main.nft": NFT,
        "/etc/nftables.conf": NFT,
    }
    assert kinds(load(files)[1]) == [("nft", "etc/fw/main.nft")]


def test_the_distribution_decides_between_two_nftables_files() -> None:
    files = {"/etc/nftables.conf": NFT, "/etc/sysconfig/nftables.conf": NFT}
    files["/etc/os-release"] = "ID=rocky\nVERSION_ID=9.4\n"
    assert kinds(load(files)[1]) == [("nft", "etc/sysconfig/nftables.conf")]


@pytest.mark.parametrize(
    "interfaces",
    [
        "iface eth0 inet dhcp\n pre-up iptables-restore < /etc/my.rules\n",
        "iface eth0 inet dhcp\n up /sbin/iptables-restore /etc/my.rules\n",
    ],
)
def test_interfaces_that_restore_one_file(interfaces: str) -> None:
    files = {"/etc/network/interfaces": interfaces, "/etc/my.rules": RULES}
    assert kinds(load(files)[1]) == [("iptables", "etc/my.rules")]


def test_a_hook_that_restores_files_and_one_that_does_more() -> None:
    hook = "#!/bin/sh\nset -e\n/sbin/iptables-restore < /etc/my.rules\nexit 0\n"
    files = {
        "/etc/network/interfaces": "iface eth0 inet dhcp\n",
        "/etc/network/if-pre-up.d/iptables": hook,
        "/etc/my.rules": RULES,
    }
    assert kinds(load(files)[1]) == [("iptables", "etc/my.rules")]
    files["/etc/network/if-pre-up.d/iptables"] = "#!/bin/sh\niptables -A INPUT -j DROP\n"
    _, ruleset = load(files)
    assert [m.reason for m in ruleset.missing] == [
        "the script /etc/network/if-pre-up.d/iptables manages the firewall"
    ]
    assert ruleset.missing[0].may_open
    assert ruleset.missing[0].location is not None
    assert ruleset.missing[0].location.line == 2


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/crontab", "@reboot root iptables-restore < /etc/my.rules\n"),
        (
            "/etc/cron.d/firewall",
            "PATH=/sbin\n@reboot\troot\t/sbin/iptables-restore /etc/my.rules\n",
        ),
        ("/var/spool/cron/crontabs/root", "@reboot iptables-restore < /etc/my.rules\n"),
        (
            "/etc/NetworkManager/dispatcher.d/50-rules",
            "#!/bin/sh\niptables-restore < /etc/my.rules\n",
        ),
        (
            "/etc/networkd-dispatcher/routable.d/rules",
            "#!/bin/sh\niptables-restore < /etc/my.rules\n",
        ),
        (
            f"{ETC}/ssh.service.d/rules.conf",
            "[Service]\nExecStartPre=/sbin/iptables-restore /etc/my.rules\n",
        ),
        (
            f"{ETC}/ssh.service",
            "[Service]\nExecStart=/sbin/sshd\nExecStartPost=/sbin/iptables-restore /etc/my.rules\n",
        ),
    ],
)
def test_what_loads_rules_at_boot(path: str, text: str) -> None:
    wants = f"{ETC}/multi-user.target.wants"
    units = {f"{wants}/{name}.service": "" for name in ("NetworkManager", "networkd-dispatcher")}
    files = {path: text, "/etc/my.rules": RULES, OTHER: "", **units}
    assert kinds(load(files)[1]) == [("iptables", "etc/my.rules")]
    changed = text.replace("iptables-restore", "iptables -P INPUT DROP;")
    assert "manages the firewall" in load({**files, path: changed})[1].missing[0].reason
    assert load({**files, path: text.replace("iptables-restore", "logger")})[1].empty


def test_a_hook_that_runs_a_firewall_that_is_not_here() -> None:
    files = {
        "/etc/network/interfaces": "iface eth0 inet dhcp\n",
        "/etc/network/if-up.d/local": "#!/bin/sh\n/usr/local/sbin/firewall.sh start\n",
    }
    assert "manages the firewall" in load(files)[1].missing[0].reason


def test_cron_is_asked_for_what_runs_at_boot_alone() -> None:
    files = {"/etc/crontab": "*/5 * * * * root iptables-restore < /etc/my.rules\n", OTHER: ""}
    assert load(files)[1].empty


def test_a_unit_of_the_administrators_that_runs_a_script() -> None:
    unit = "[Service]\nExecStart=/usr/local/sbin/firewall.sh start\n"
    files = {"/etc/systemd/system/fw.service": unit, OTHER: ""}
    assert load(files)[1].empty  # not enabled
    files["/etc/systemd/system/multi-user.target.wants/fw.service"] = ""
    assert "manages the firewall" in load(files)[1].missing[0].reason


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"/etc/csf/csf.conf": ""}, "managed by CSF"),
        ({"/etc/shorewall/shorewall.conf": "STARTUP_ENABLED=Yes\n"}, "managed by Shorewall"),
        ({"/etc/ferm/ferm.conf": ""}, "managed by ferm"),
        ({"/etc/firehol/firehol.conf": ""}, "managed by FireHOL"),
    ],
)
def test_managers_that_are_not_read(files: dict[str, str], reason: str) -> None:
    _, ruleset = load(files)
    assert [missing.reason for missing in ruleset.missing] == [reason]
    assert ruleset.missing[0].may_open
    assert not load(files | {OTHER: ""})[1].missing


def test_a_manager_that_is_switched_off() -> None:
    assert load({"/etc/shorewall/shorewall.conf": "STARTUP_ENABLED=No\n"})[1].empty
    files = {"/etc/ferm/ferm.conf": "", "/etc/default/ferm": 'ENABLED="no"\n'}
    assert load(files)[1].empty


def test_a_ruleset_that_does_not_load_is_unknown_as_a_whole() -> None:
    broken = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT --nonsense\nCOMMIT\n"
    tree, ruleset = load({"/etc/iptables/rules.v4": broken, "/etc/nftables.conf": NFT})
    assert [table.origin for table in ruleset.tables] == ["nft"]
    assert "etc/iptables/rules.v4 cannot be loaded" in ruleset.missing[0].reason
    assert ruleset.missing[0].families == (4,)
    assert [(p.path, p.decisive) for p in tree.problems] == [("etc/iptables/rules.v4", True)]


DUMP_OF_UFW = RULES.replace(
    "-A INPUT", ":{p}-user-input - [0:0]\n-A INPUT -j {p}-user-input\n-A {p}-user-input"
)


def test_a_dump_of_ufws_chains_is_in_force_in_place_of_what_ufw_loads() -> None:
    files = {
        **{f"{ETC}/multi-user.target.wants/{name}.service": "" for name in ("ufw", "cron")},
        f"{ETC}/multi-user.target.wants/netfilter-persistent.service": "",
        "/etc/ufw/ufw.conf": "ENABLED=yes\n",
        "/etc/default/ufw": "IPV6=yes\nDEFAULT_INPUT_POLICY=DROP\n",
        **{
            f"/etc/ufw/{name}{six}.rules": "*filter\nCOMMIT\n"
            for name in ("before", "after", "user")
            for six in ("", "6")
        },
        "/etc/iptables/rules.v4": DUMP_OF_UFW.format(p="ufw"),
    }
    six = {"/etc/iptables/rules.v6": DUMP_OF_UFW.format(p="ufw6")}
    _, both = load(files | six)
    assert {table.origin for table in both.tables} == {"iptables"}
    assert not both.missing
    assert both.assumptions == [
        "ufw is not in force: etc/iptables/rules.v4 holds its chains, "
        "and is loaded in place of its rules"
    ]
    _, four = load(files)
    assert [missing.families for missing in four.missing] == [(6,)]  # ufw may have been first
    del files["/etc/iptables/rules.v4"]
    _, alone = load(files | six)  # which ufw fills anew, if it comes last
    assert [missing.families for missing in alone.missing] == [(6,)]


def test_ufw_and_rules_v4_fill_the_same_chains_in_an_unknown_order() -> None:
    files = {
        "/etc/ufw/ufw.conf": "ENABLED=yes\n",
        "/etc/default/ufw": "IPV6=yes\nDEFAULT_INPUT_POLICY=DROP\n",
        "/etc/iptables/rules.v4": RULES,
    }
    _, ruleset = load(files)
    assert any("the same chains" in missing.reason for missing in ruleset.missing)
    files["/etc/ufw/ufw.conf"] = "# yes\nENABLED=no\n"
    _, ruleset = load(files)
    assert kinds(ruleset) == [("iptables", "etc/iptables/rules.v4")]
    assert not ruleset.missing


def test_firewalld_as_it_is_shipped_beside_a_ruleset_in_use() -> None:
    files = {"/etc/firewalld/firewalld.conf": "DefaultZone=public\n"}
    assert kinds(load(files)[1]) == [("firewalld", "etc/firewalld")]
    files["/etc/iptables/rules.v4"] = RULES
    assert kinds(load(files)[1]) == [("iptables", "etc/iptables/rules.v4")]
    files["/etc/firewalld/zones/public.xml"] = "<zone/>"
    assert ("firewalld", "etc/firewalld") in kinds(load(files)[1])


def test_given_rulesets_replace_what_the_tree_has() -> None:
    files = {"/etc/nftables.conf": NFT, "/x/dump": RULES, "/x/six": RULES, "/x/y": "hello"}
    _, ruleset = load(files, (None, "/x/dump"), ("ip6tables", "/x/six"))
    assert kinds(ruleset) == [("iptables", "x/dump"), ("ip6tables", "x/six")]
    tree, ruleset = load(files, (None, "/x/y"))
    assert not ruleset.tables
    assert ruleset.missing
    assert tree.problems[0].decisive


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/a", "# Generated by ip6tables-save v1.8\n" + RULES, "ip6tables"),
        ("/rules.v6", RULES, "ip6tables"),
        ("/a", "-P INPUT ACCEPT\n-A INPUT -p tcp -j ACCEPT\n", "iptables"),
        ("/a", "*filter\n-A INPUT -s 2001:db8::/32 -j DROP\nCOMMIT\n", "ip6tables"),
        ("/a", NFT, "nft"),
        ("/a", "#!/usr/sbin/nft -f\nflush ruleset\n", "nft"),
        ("/a", "add rule inet f i accept\n", "nft"),
        ("/a", '{"nftables": [{"metainfo": {}}]}', "nft-json"),
        ("/a", "create s hash:net family inet\nadd s 10.0.0.0/8\n", "ipset"),
        ("/a", '<?xml version="1.0"?>\n<zone target="DROP"/>\n', "firewalld"),
        ("/a", "*filter\n:ufw-user-input - [0:0]\n-A ufw-user-input -j DROP\nCOMMIT\n", "ufw"),
        ("/a", "server { listen 80; }\n", None),
        ("/a", "", None),
    ],
)
def test_detecting_a_kind(path: str, text: str, kind: str | None) -> None:
    assert formats.detect(tree_of({path: text}).read(path)) == kind


def test_daemons_that_ban_are_said_once() -> None:
    files = {"/etc/fail2ban/jail.local": "", "/etc/docker/daemon.json": "{}"}
    assert len(load(files)[1].assumptions) == 2


def test_an_unreadable_ruleset_is_not_an_absent_one(tmp_path: Path) -> None:
    (tmp_path / "etc/iptables").mkdir(parents=True)
    (tmp_path / "etc/iptables/rules.v4").symlink_to("rules.v4")
    tree = Tree(tmp_path)
    ruleset = discovery.load(tree, read_network(tree))
    assert "cannot be read" in ruleset.missing[0].reason
    assert tree.problems


ASSUMED = "is loaded at boot: what loads it is not in these files"


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/etc/iptables.rules", RULES, "iptables"),
        ("/etc/iptables.up.rules", RULES, "iptables"),
        ("/etc/ip6tables.up.rules", RULES, "ip6tables"),
        ("/etc/iptables/firewall", RULES, "iptables"),
        ("/etc/network/iptables", RULES, "iptables"),
        ("/etc/nftables/main.nft", NFT, "nft"),
        ("/etc/firewall.nft", NFT, "nft"),
    ],
)
def test_a_ruleset_that_nothing_loads_is_taken_to_be_loaded(
    path: str, text: str, kind: str
) -> None:
    _, ruleset = load({path: text, "/etc/nginx/nginx.conf": ""})
    assert kinds(ruleset) == [(kind, path.lstrip("/"))]
    assert ruleset.assumptions == [f"{path.lstrip('/')} {ASSUMED}"]


def test_of_several_kept_rulesets_none_is_taken() -> None:
    _, ruleset = load({"/etc/iptables.rules": RULES, "/etc/iptables.up.rules": RULES})
    assert [one.reason for one in ruleset.missing] == [
        "which of etc/iptables.rules and etc/iptables.up.rules is loaded is not in the files"
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/iptables.rules.bak": RULES},
        {"/etc/iptables.rules": "# none yet\n"},
        {"/etc/iptables/example.rules": RULES},
        {"/etc/iptables.rules": RULES, OTHER: "[Unit]\n"},  # what starts is listed
    ],
)
def test_what_is_not_kept_to_be_loaded(files: dict[str, str]) -> None:
    assert load(files)[1].empty


def test_a_kept_ruleset_does_not_stand_beside_one_in_force() -> None:
    _, ruleset = load({"/etc/iptables/rules.v4": RULES, "/etc/iptables.up.rules": RULES})
    assert kinds(ruleset) == [("iptables", "etc/iptables/rules.v4")]
