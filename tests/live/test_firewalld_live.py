"""The real firewalld: the table it builds from a configuration decides as the one built here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from sslint.firewalls import firewalld, nftables
from sslint.firewalls.firewalld import configuration as loading
from sslint.firewalls.firewalld import stock
from sslint.firewalls.firewalld.parsing import read_icmptype, read_service
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet
from sslint.tree import Tree
from tests.live.conftest import at_most, count, seed
from tests.live.firewalld_lab import Lab, configuration
from tests.support import tree_of

pytestmark = pytest.mark.live("firewalld", "dbus-daemon", "unshare", "nft", "ip")
SOURCES = ("203.0.113.8", "192.0.2.7", "10.1.1.1", "8.8.8.8")
SOURCES6 = ("2001:db8:1::5", "fd00::1", "2a00::1", "2001:db8:ffff::9")
INTO_HOST = (
    '<policy target="CONTINUE"><ingress-zone name="public"/><egress-zone name="HOST"/>%s</policy>'
)
PORTS = (22, 25, 443, 587, 993, 1500, 8443)


def packets() -> Iterator[Packet]:
    for source, port, iif in product(SOURCES + SOURCES6, PORTS, ("eth0", "br7")):
        here = "2001:db8:1::1" if ":" in source else "198.51.100.1"
        yield Packet("tcp", source, here, 40000, port, iif)
    for source, port in product(("203.0.113.8", "2a00::1"), (53, 443)):
        here = "2001:db8:1::1" if ":" in source else "198.51.100.1"
        yield Packet("udp", source, here, 500, port, "eth0")


def ours(files: dict[str, str]) -> tuple[Tree, Ruleset]:
    tree = Tree(
        None,
        overlay={f"/etc/firewalld/{path}": text for path, text in files.items()},
        mounts={"/usr/lib/firewalld": Path("/usr/lib/firewalld")},
    )
    ruleset = Ruleset()
    firewalld.read(tree, ruleset)
    return tree, ruleset


def theirs(listing: str) -> Ruleset:
    ruleset = Ruleset()
    nftables.read(tree_of({"/listed.nft": listing}), "/listed.nft", into=ruleset)
    return ruleset


def test_random_configurations_decide_as_firewalld_does() -> None:
    asked = unknown = undecided = 0
    with Lab() as lab:
        lab.start({})
        for number in range(count(12)):
            files = configuration(random.Random(f"{seed()}/{number}"))
            accepted, listing = lab.load(files)
            tree, read = ours(files)
            assert not read.missing, (number, read.missing)
            assert accepted == (not tree.problems), (number, files, tree.problems)
            if not accepted:
                continue
            one, other = Firewall(read), Firewall(theirs(listing))
            verdicts = [one.judge(packet).verdict for packet in packets()]
            for packet, verdict in zip(packets(), verdicts, strict=True):
                assert verdict in (other.judge(packet).verdict, "unknown"), (number, packet, files)
            if set(verdicts) == {"unknown"}:  # two policies of one priority: firewalld draws lots
                undecided += 1
            else:
                asked += len(verdicts)
                unknown += verdicts.count("unknown")
    assert undecided <= at_most(0.05, count(12))
    assert unknown <= asked // 10
    assert asked


@pytest.mark.parametrize(
    "files",
    [
        {"zones/home.xml": '<zone><service name="nosuch"/></zone>'},
        {"ipsets/s.xml": '<ipset type="hash:net"><entry>10.0.0.0/8</entry>'
         "<entry>10.1.0.0/16</entry></ipset>"},
        {"zones/my.zone.xml": "<zone/>"},
        {"policies/p.xml": INTO_HOST % '<forward-port port="22" protocol="tcp" to-port="25"/>'},
        {"policies/p.xml": INTO_HOST % '<rule><protocol value="tcp"/><mark set="5"/></rule>'},
    ],
    ids=["service", "overlap", "name", "forward-port", "mark"],
)  # fmt: skip
def test_a_boot_with_a_fault_loads_the_stock_configuration(files: dict[str, str]) -> None:
    public = '<zone><service name="ssh"/><port port="443" protocol="tcp"/></zone>'
    files = {"zones/public.xml": public, **files}
    with Lab() as lab:
        listing = lab.start(files)
    tree, read = ours(files)
    assert tree.problems
    one, other = Firewall(read), Firewall(theirs(listing))
    for port in (22, 443):
        packet = Packet("tcp", "8.8.8.8", "198.51.100.1", 40000, port, "eth0")
        assert one.judge(packet).verdict == other.judge(packet).verdict


def test_a_daemon_that_does_not_own_its_table_leaves_it_empty() -> None:
    """Rules that are refused when they are applied: the stock ones cannot take their place."""
    files = {
        "firewalld.conf": "DefaultZone=public\nNftablesTableOwner=no\n",
        "policies/x.xml": (
            '<policy target="CONTINUE"><ingress-zone name="public"/><egress-zone name="HOST"/>'
            '<forward-port port="443" protocol="tcp" to-port="8443"/></policy>'
        ),
    }
    with Lab() as lab:
        listing = lab.start(files)
    assert "chain" not in listing
    packet = Packet("tcp", "8.8.8.8", "198.51.100.1", 40000, 443, "eth0")
    assert Firewall(ours(files)[1]).judge(packet).verdict == "accept"


def test_the_bundled_facts_are_those_of_the_installed_firewalld() -> None:
    installed = loading.Library(Tree(None, mounts={"/usr/lib": Path("/usr/lib")}))
    assert installed.complete
    for kind in ("services", "zones", "policies", "icmptypes", "helpers"):
        ours_alone = set(stock.names(kind)) - set(installed.names(kind))
        assert ours_alone <= {"FedoraServer", "FedoraWorkstation"}  # zones of Fedora's package
        assert set(installed.names(kind)) <= set(stock.names(kind))
    for name in stock.names("services"):
        bundled, shipped = stock.file("services", name), installed.file("services", name)
        assert bundled is not None
        assert shipped is not None
        assert _facts(read_service(bundled, name)) == _facts(read_service(shipped, name))
    for name in stock.names("icmptypes"):
        bundled, shipped = stock.file("icmptypes", name), installed.file("icmptypes", name)
        assert bundled is not None
        assert shipped is not None
        assert read_icmptype(bundled, name) == read_icmptype(shipped, name)


def _facts(service: object) -> str:
    import re

    return re.sub(r"location=Location\([^()]*\)", "", repr(service))
