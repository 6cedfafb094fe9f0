"""A ruleset that is named decides as the same files do in the tree."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sslint import cli, targets
from sslint.firewalls import discovery
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall, Reach
from sslint.network import read_network
from sslint.targets import Target, find
from sslint.tree import Tree

SOUND = Path(__file__).parents[1] / "sound"
ALLOW = '<zone><service name="ssh"/><port port="443" protocol="tcp"/></zone>\n'
MINE = '<service><port port="8443" protocol="tcp"/></service>\n'
DUMP = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a work tree that one stands in, with a host's etc/ufw and etc/default/ufw."""
    work = tmp_path / "work"
    shutil.copytree(SOUND / "web-ufw/etc", work / "etc")
    monkeypatch.chdir(work)
    return work


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def named(*texts: str, whence: str = "firewall", tree: Tree | None = None) -> Ruleset:
    """Return the ruleset of `--firewall` (or, `whence` boot, of `firewall:`)."""
    tree = tree or Tree(None, base=Path.cwd())
    given = []
    for index, text in enumerate(texts):
        kind, real = targets.ruleset(text)
        assert isinstance(real, Path)
        given.append((kind, targets.ruleset_place(real.name, index, whence)))
        tree.mount(given[-1][1], real)
    return discovery.load(tree, read_network(tree), given)


def as_path(path: str) -> Ruleset:
    """Return the ruleset of a file that PATH names."""
    (target,) = find([path])
    return of(target)


def of(target: Target) -> Ruleset:
    return discovery.load(target.tree, read_network(target.tree), target.firewall)


def reach(ruleset: Ruleset, port: int, family: int = 4) -> Reach:
    return Firewall(ruleset).reach("tcp", port, 4 if family == 4 else 6)


def verdicts(ruleset: Ruleset) -> list[str]:
    ports = (22, 80, 443, 993, 8443)
    return [reach(ruleset, port, family).verdict for port in ports for family in (4, 6)]


# -- ufw ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ufw=etc/ufw",
        "etc/ufw",
        "ufw=etc",
        "ufw=.",
        "etc/ufw/user.rules",
        "etc/ufw/user6.rules",
        "ufw=etc/ufw/before.rules",
        "etc/ufw/ufw.conf",
    ],
)
@pytest.mark.parametrize("whence", ["firewall", "boot"])
def test_ufw_takes_its_policy_from_beside_it(here: Path, name: str, whence: str) -> None:
    tree = Tree(here)
    wanted = discovery.load(tree, read_network(tree))
    ruleset = named(name, whence=whence)
    assert verdicts(ruleset) == verdicts(wanted)
    assert "closed" in verdicts(ruleset)
    assert not ruleset.missing
    (decision, *_) = reach(ruleset, 993).blocked_by
    assert decision.location is not None
    assert decision.location.path == "etc/default/ufw"
    assert [(s.kind, s.path) for s in ruleset.sources] == [("ufw", "etc/ufw")]


def test_user_rules_as_a_path(here: Path) -> None:
    assert verdicts(as_path("etc/ufw/user.rules")) == verdicts(named("ufw=etc/ufw"))


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("default/ufw", "ufw's default policy is in etc/default/ufw, which is missing"),
        ("ufw/before.rules", "ufw loads etc/ufw/before.rules, which is missing"),
        ("ufw/after.rules", "ufw loads etc/ufw/after.rules, which is missing"),
        ("ufw/user.rules", "ufw loads etc/ufw/user.rules, which is missing"),
    ],
)
def test_what_is_missing_of_ufw_is_not_known(here: Path, gone: str, reason: str) -> None:
    (here / "etc" / gone).unlink()
    for ruleset in (named("ufw=etc/ufw"), discovery.load(Tree(here), read_network(Tree(here)))):
        for port in (443, 993):
            assert reach(ruleset, port).verdict == "unknown"
            assert reason in reach(ruleset, port).reasons


def test_what_lies_outside_of_what_was_given_is_not_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = here.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    ruleset = named(f"ufw={here}/etc/ufw")
    assert reach(ruleset, 993).verdict == "unknown"
    assert "default policy" in reach(ruleset, 993).reasons[0]
    assert verdicts(named(f"ufw={here}/etc")) == verdicts(named("ufw=../work/etc"))
    assert "closed" in verdicts(named(f"ufw={here}/etc"))


def test_a_link_beside_ufw_leads_nowhere_else(here: Path) -> None:
    secret = here.parent / "secret"
    secret.write_text("DEFAULT_INPUT_POLICY=ACCEPT\n")
    (here / "etc/default/ufw").unlink()
    (here / "etc/default/ufw").symlink_to(secret)
    ruleset = named("ufw=etc/ufw")
    assert reach(ruleset, 993).verdict == "unknown"


def test_ufw_that_is_not_enabled_loads_nothing(here: Path) -> None:
    write(here / "etc/ufw/ufw.conf", "ENABLED=no\n")
    found = reach(named("ufw=etc/ufw"), 443)
    assert (found.verdict, found.reasons) == (
        "unknown",
        ("ufw is not enabled in etc/ufw/ufw.conf: it loads nothing until `ufw enable`",),
    )


def test_without_ufw_conf_what_is_named_is_assumed_to_be_enabled(here: Path) -> None:
    wanted = verdicts(named("ufw=etc/ufw"))
    (here / "etc/ufw/ufw.conf").unlink()
    ruleset = named("ufw=etc/ufw")
    assert verdicts(ruleset) == wanted
    assert "ufw is enabled: ufw.conf, which would say so, is missing" in ruleset.assumptions
    ruleset = discovery.load(Tree(here), read_network(Tree(here)))
    assert verdicts(ruleset) == wanted
    assert "ufw is enabled: ufw.conf, which would say so, is missing" in ruleset.assumptions


def test_the_hosts_own_policy_stands_in_for_one_that_is_not_beside_it(here: Path) -> None:
    shutil.copytree(here / "etc/ufw", here / "deploy/ufw")
    wanted = verdicts(named("ufw=etc/ufw"))
    ruleset = named("ufw=deploy/ufw", tree=Tree(here))
    assert verdicts(ruleset) == wanted
    assert "ufw's default policy is this host's, from etc/default/ufw" in ruleset.assumptions


@pytest.mark.parametrize("line", ["\r\n", "ufw status\n", "  true\n"])
def test_a_setting_that_the_shell_runs_may_end_the_start(here: Path, line: str) -> None:
    defaults = here / "etc/default/ufw"
    defaults.write_text(defaults.read_text() + line)
    assert reach(named("ufw=etc/ufw"), 443).verdict == "unknown"


def test_a_carriage_return_is_a_part_of_a_setting(here: Path) -> None:
    defaults = here / "etc/default/ufw"
    policy = 'DEFAULT_INPUT_POLICY="DROP"'
    defaults.write_bytes(defaults.read_bytes().replace(policy.encode(), f"{policy}\r".encode()))
    assert reach(named("ufw=etc/ufw"), 993).verdict == "open"  # the policy stays ACCEPT


def test_ufws_rules_under_another_name(here: Path) -> None:
    shutil.copy("etc/ufw/user.rules", "deployed")
    ruleset = named("deployed")
    assert [s.kind for s in ruleset.sources] == ["ufw"]
    assert reach(ruleset, 443).verdict == "unknown"
    ruleset = named("iptables=etc/ufw/user.rules")
    assert reach(ruleset, 443).verdict == "unknown"
    assert "a part of ufw's rules" in reach(ruleset, 443).reasons[0]


# -- firewalld ---------------------------------------------------------------------------------


@pytest.fixture
def zones(here: Path) -> Path:
    """Return a work tree with an etc/firewalld whose zones decide."""
    shutil.rmtree(here / "etc/ufw")
    etc = here / "etc/firewalld"
    write(etc / "firewalld.conf", "DefaultZone=web\n")
    write(etc / "zones/web.xml", ALLOW.replace("<service", '<service name="mine"/><service', 1))
    write(etc / "services/mine.xml", MINE)
    write(
        etc / "direct.xml",
        '<direct><rule ipv="ipv4" table="filter" chain="INPUT" priority="0">'
        "-p tcp --dport 22 -j DROP</rule></direct>\n",
    )
    return here


@pytest.mark.parametrize(
    "name",
    [
        "firewalld=etc/firewalld",
        "etc/firewalld",
        "firewalld=etc",
        "etc/firewalld/zones",
        "etc/firewalld/zones/web.xml",
        "etc/firewalld/firewalld.conf",
        "firewalld=etc/firewalld/services/mine.xml",
        "etc/firewalld/direct.xml",
    ],
)
@pytest.mark.parametrize("whence", ["firewall", "boot"])
def test_the_zones_that_are_named_decide(zones: Path, name: str, whence: str) -> None:
    wanted = discovery.load(Tree(zones), read_network(Tree(zones)))
    ruleset = named(name, whence=whence)
    assert verdicts(ruleset) == verdicts(wanted)
    assert reach(ruleset, 8443).verdict == "open"  # the service of this configuration
    assert reach(ruleset, 22).verdict == "closed"  # direct.xml
    assert reach(ruleset, 993).verdict == "closed"
    (decision, *_) = reach(ruleset, 443).decided_by
    assert decision.location is not None
    assert decision.location.path == "etc/firewalld/zones/web.xml"


def test_one_zone_file_that_binds_an_interface(here: Path) -> None:
    write(here / "deploy/web.xml", ALLOW.replace("<zone>", '<zone><interface name="eth0"/>'))
    ruleset = named("deploy/web.xml")
    assert "firewalld.conf is missing" in ruleset.assumptions[-1]
    assert (reach(ruleset, 443).verdict, reach(ruleset, 993).verdict) == ("open", "closed")


def test_one_zone_file_may_be_the_default_zone_or_not(here: Path) -> None:
    write(here / "deploy/web.xml", ALLOW)
    found = reach(named("deploy/web.xml"), 443)
    assert found.verdict == "unknown"
    assert found.reasons == (
        "whether web is the default zone is in firewalld.conf, which is missing",
    )
    write(here / "deploy/public.xml", ALLOW)
    ruleset = named("deploy/public.xml")
    assert (reach(ruleset, 443).verdict, reach(ruleset, 993).verdict) == ("open", "closed")
    assert "the default zone is public" in ruleset.assumptions[-1]


@pytest.mark.parametrize("name", ["zones", "zones/web.xml", "loose", "loose/web.xml"])
def test_zones_whose_firewalld_conf_was_not_given(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for directory in ("zones", "loose"):
        write(here / "deploy" / directory / "web.xml", ALLOW)
    write(here / "deploy/firewalld.conf", "DefaultZone=web\n")
    monkeypatch.chdir(here / "etc")
    found = reach(named(f"firewalld={here}/deploy/{name}"), 443)
    assert found.verdict == "unknown"
    assert found.reasons == (
        "whether web is the default zone is in firewalld.conf, which is missing",
    )
    detected = reach(named(f"{here}/deploy/{name}"), 443)
    assert detected.reasons == found.reasons or name == "loose"


def test_a_directory_without_anything_of_firewalld(here: Path) -> None:
    write(here / "deploy/readme", "zones follow\n")
    found = reach(named("firewalld=deploy"), 22)
    assert (found.verdict, found.reasons) == (
        "unknown",
        ("deploy holds no configuration of firewalld",),
    )


def test_a_zone_file_as_a_path(zones: Path) -> None:
    ruleset = as_path("etc/firewalld/zones/web.xml")
    assert verdicts(ruleset) == verdicts(named("firewalld=etc/firewalld"))


def test_an_etc_is_no_ruleset_of_one_kind(zones: Path) -> None:
    assert reach(named("etc"), 443).reasons == ("the format of etc is not known",)


def test_ufw_beside_iptables_is_not_known(here: Path) -> None:
    write(here / "etc/iptables/rules.v4", DUMP)
    ruleset = named("ufw=etc/ufw", "iptables=etc/iptables/rules.v4")
    assert "fill the same chains" in reach(ruleset, 993).reasons[0]
    ruleset = discovery.load(Tree(here), read_network(Tree(here)))
    assert "which ruleset is in force is not in the files" in reach(ruleset, 993).reasons[0]


# -- nftables ----------------------------------------------------------------------------------

INCLUDING = 'table inet f {}\ninclude "%s"\n'
CLOSED = "table inet f { chain i { type filter hook input priority 0; policy drop; }\n}\n"


@pytest.mark.parametrize("pattern", ["more/*.nft", "/etc/fw/*.nft", "/etc/fw/a.nft"])
@pytest.mark.parametrize("whence", ["firewall", "boot", "path"])
def test_what_nftables_includes_is_found(here: Path, pattern: str, whence: str) -> None:
    shutil.rmtree(here / "etc/ufw")
    write(here / "etc/nftables.conf", INCLUDING % pattern)
    write(here / "etc/fw/a.nft", CLOSED)
    write(here / "etc/more/a.nft", CLOSED)
    wanted = discovery.load(Tree(here), read_network(Tree(here)))
    if whence == "path":
        ruleset = as_path("etc/nftables.conf")
    else:
        ruleset = named("etc/nftables.conf", whence=whence)
    assert verdicts(ruleset) == verdicts(wanted) == ["closed"] * 10


def test_what_is_included_and_not_here_is_not_known(here: Path) -> None:
    write(here / "deploy/main.nft", CLOSED + 'include "/etc/nftables.d/*.nft"\n')
    found = reach(named("deploy/main.nft"), 443)
    assert found.verdict == "unknown"
    assert "/etc/nftables.d/*.nft is included" in found.reasons[0]


# -- iptables ----------------------------------------------------------------------------------

JUNK = {
    "carriage returns": DUMP.replace("\n", "\r\n"),
    "one carriage return": DUMP.replace("*filter", "*filter\r"),
    "one in a policy": DUMP.replace(":INPUT DROP [0:0]", ":INPUT DROP\r"),
    "a line of blanks before": "  \n" + DUMP,
    "a line of blanks after": DUMP + "\t\n",
    "a prompt before": "root@host:~# iptables-save\n" + DUMP,
    "a prompt after": DUMP + "root@host:~# \n",
    "a listing": "-P INPUT DROP\n-A INPUT -p tcp --dport 443 -j ACCEPT\n",
    "an old negated source": DUMP.replace("-p tcp", "-s ! 10.0.0.0/8 -p tcp"),
    "an old negated interface": DUMP.replace("-p tcp", "-i ! lo -p tcp"),
}


@pytest.mark.parametrize("junk", JUNK)
def test_a_dump_that_iptables_restore_refuses(here: Path, junk: str) -> None:
    write(here / "deploy/rules.v4", JUNK[junk])
    flag = named("deploy/rules.v4")
    assert reach(flag, 443).verdict in ("open", "limited")
    assert reach(flag, 993).verdict == "closed"
    assert "although iptables-restore rejects" in flag.assumptions[0]
    configured = named("deploy/rules.v4", whence="boot")
    assert reach(configured, 443).verdict == reach(configured, 993).verdict == "unknown"
    shutil.rmtree(here / "etc/ufw")
    write(here / "etc/iptables/rules.v4", JUNK[junk])
    for ruleset in (
        as_path("etc/iptables/rules.v4"),
        discovery.load(Tree(here), read_network(Tree(here))),
    ):
        assert reach(ruleset, 443).verdict == "unknown"


def test_an_old_negation_of_the_destination(here: Path) -> None:
    write(here / "new.v4", DUMP.replace("-p tcp", "! -d 10.0.0.0/8 -p tcp"))
    write(here / "old.v4", DUMP.replace("-p tcp", "-d ! 10.0.0.0/8 -p tcp"))
    wanted, ruleset = named("new.v4"), named("old.v4")
    for address in ("10.0.0.1", "198.51.100.1"):
        verdict = Firewall(wanted).reach("tcp", 443, 4, address).verdict
        assert Firewall(ruleset).reach("tcp", 443, 4, address).verdict == verdict
    assert "`!` after its option (line 3)" in ruleset.assumptions[0]
    assert reach(named("old.v4", whence="boot"), 443).verdict == "unknown"


def test_a_clean_dump_assumes_nothing(here: Path) -> None:
    write(here / "deploy/rules.v4", DUMP)
    for whence in ("firewall", "boot"):
        ruleset = named("deploy/rules.v4", whence=whence)
        assert (reach(ruleset, 443).verdict, reach(ruleset, 993).verdict) == ("open", "closed")
        assert not ruleset.assumptions


# -- the commands ------------------------------------------------------------------------------


def test_trace_says_what_is_assumed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "deploy/rules.v4", JUNK["carriage returns"])
    assert cli.main(["trace", "--firewall", "deploy/rules.v4", "443"]) == 0
    assert "assumed: deploy/rules.v4 shows what is loaded" in capsys.readouterr().out


def test_the_configuration_names_a_directory(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "deploy").mkdir()
    shutil.move("etc/ufw", "deploy/ufw")
    shutil.move("etc/default", "deploy/default")
    shutil.move("etc/nginx", "deploy/nginx")
    shutil.rmtree("etc")
    (here / ".git").mkdir()
    write(here / ".sslint.yaml", "firewall: deploy/ufw\n")
    assert cli.main(["trace", "deploy/nginx", "993"]) == 0
    out = capsys.readouterr().out
    assert "tcp/993 over IPv4 and IPv6: closed" in out
    assert "default/ufw:" in out
