"""firewalld's files, read into the table that firewalld 2.3.1 builds from them."""

from __future__ import annotations

import pytest

from sslint.firewalls import firewalld
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet
from sslint.tree import Tree
from tests.support import tree_of

ETC = "/etc/firewalld"
HERE4, HERE6 = "198.51.100.1", "2001:db8:1::1"


def load(files: dict[str, str], **options: object) -> tuple[Tree, Ruleset]:
    tree = tree_of({f"{ETC}/{path}": text for path, text in files.items()})
    ruleset = Ruleset()
    firewalld.read(tree, ruleset, **options)  # type: ignore[arg-type]
    return tree, ruleset


def judge(
    ruleset: Ruleset, port: int, source: str = "203.0.113.9", proto: str = "tcp", iif: str = "eth0"
) -> str:
    here = HERE6 if ":" in source else HERE4
    packet = Packet(proto, source, here, sport=40000, dport=port, iif=iif)
    return Firewall(ruleset).judge(packet).verdict


def zone(inner: str, attributes: str = "") -> dict[str, str]:
    return {"firewalld.conf": "DefaultZone=public\n", "zones/public.xml": _zone(inner, attributes)}


def _zone(inner: str, attributes: str = "") -> str:
    return f"<?xml version='1.0'?>\n<zone{attributes}>\n{inner}\n</zone>\n"


def test_the_stock_configuration_from_etc_alone() -> None:
    tree, ruleset = load({"firewalld.conf": "DefaultZone=public\n"})
    assert judge(ruleset, 22) == "accept"
    assert judge(ruleset, 22, "2001:db8:9::1") == "accept"
    assert judge(ruleset, 443) == "reject"
    assert not tree.problems
    assert [(table.family, table.origin) for table in ruleset.tables] == [("inet", "firewalld")]
    bases = {c.name: c.base.priority for c in ruleset.tables[0].chains.values() if c.base}
    assert bases["filter_INPUT"] == 10
    assert bases["nat_PREROUTING"] == -90
    assert len(ruleset.assumptions) == 1


def test_a_service_opens_its_ports_and_its_includes_and_says_where() -> None:
    files = zone('  <service name="mine"/>')
    files["services/mine.xml"] = (
        '<service><port port="8443" protocol="tcp"/><include service="imaps"/></service>'
    )
    _, ruleset = load(files)
    assert judge(ruleset, 8443) == judge(ruleset, 993) == "accept"
    assert judge(ruleset, 8443, proto="udp") == "reject"
    firewall = Firewall(ruleset)
    verdict = firewall.judge(Packet("tcp", "203.0.113.9", HERE4, 40000, 993, "eth0"))
    assert verdict.by is not None
    assert verdict.by.rule is not None
    assert verdict.by.rule.text == '<service name="mine"/>'
    assert (verdict.by.rule.location.line, verdict.by.rule.location.column) == (3, 3)


def test_a_services_destination_restricts_it() -> None:
    files = zone('<service name="mine"/>')
    files["services/mine.xml"] = (
        '<service><port port="443" protocol="tcp"/><destination ipv4="192.0.2.0/24"/></service>'
    )
    _, ruleset = load(files)
    assert judge(ruleset, 443) == "reject"
    files["services/mine.xml"] = files["services/mine.xml"].replace("192.0.2.0", "198.51.100.0")
    assert judge(load(files)[1], 443) == "accept"


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        ("ACCEPT", "accept"),
        ("DROP", "drop"),
        ("%%REJECT%%", "reject"),
        ("{chain}_{zone}", "reject"),
    ],
)
def test_targets(target: str, verdict: str) -> None:
    assert judge(load(zone("", f' target="{target}"'))[1], 443) == verdict


def test_a_source_binding_beats_an_interface_and_zones_go_by_name() -> None:
    files = zone('<interface name="eth0"/>')
    files["zones/aa.xml"] = _zone(
        '<source address="203.0.113.0/24"/><port port="443" protocol="tcp"/>'
    )
    files["zones/bb.xml"] = _zone('<source address="203.0.113.9"/><port port="25" protocol="tcp"/>')
    _, ruleset = load(files)
    assert judge(ruleset, 443) == "accept"
    assert judge(ruleset, 25) == "reject"  # aa comes first, although bb is narrower
    assert judge(ruleset, 443, "192.0.2.1") == "reject"
    files["zones/bb.xml"] = files["zones/bb.xml"].replace("<zone", '<zone ingress-priority="-5"')
    assert judge(load(files)[1], 25) == "accept"


def test_a_target_that_is_written_as_default_ends_nothing() -> None:
    files = zone('<port port="443" protocol="tcp"/>')
    inner = '<source address="203.0.113.0/24"/>'
    files["zones/work.xml"] = _zone(inner, ' target="default"')
    assert judge(load(files)[1], 443) == "accept"  # it goes on to public
    files["zones/work.xml"] = _zone(inner)
    assert judge(load(files)[1], 443) == "reject"


def test_network_manager_binds_interfaces() -> None:
    files = zone("")
    files["zones/work.xml"] = _zone('<port port="443" protocol="tcp"/>')
    _, ruleset = load(files, zones={"eth0": "work"})
    assert judge(ruleset, 443) == "accept"
    assert judge(ruleset, 443, iif="eth1") == "reject"


RULE = '<rule family="ipv4"{priority}><source address="203.0.113.0/24"/>{what}</rule>'
PORT = '<port port="443" protocol="tcp"/>'


def test_deny_comes_before_allow_at_priority_zero() -> None:
    _, ruleset = load(zone('<service name="https"/>' + RULE.format(priority="", what="<drop/>")))
    assert judge(ruleset, 443) == "drop"
    assert judge(ruleset, 443, "192.0.2.1") == "accept"


def test_priorities_order_rich_rules() -> None:
    accept = RULE.format(priority=' priority="-10"', what=PORT + "<accept/>")
    drop = RULE.format(priority=' priority="-5"', what="<drop/>")
    assert judge(load(zone(accept + drop))[1], 443) == "accept"
    swapped = accept.replace("-10", "-1") + drop
    assert judge(load(zone(swapped))[1], 443) == "drop"


def test_a_conflict_at_one_priority_is_unknown() -> None:
    accept = RULE.format(priority=' priority="7"', what=PORT + "<accept/>")
    drop = RULE.format(priority=' priority="7"', what="<drop/>")
    _, ruleset = load(zone(accept + drop))
    assert judge(ruleset, 443) == "unknown"
    assert judge(ruleset, 25) == "drop"  # the accept does not match


def test_a_limited_accept_is_open_to_the_first_connection() -> None:
    rule = f'<rule>{PORT}<accept><limit value="5/m"/></accept></rule>'
    assert judge(load(zone(rule))[1], 443) == "accept"


def test_policies_of_either_side_of_a_zone() -> None:
    policy = (
        '<policy target="{target}" priority="{priority}"><ingress-zone name="ANY"/>'
        '<egress-zone name="HOST"/><port port="443" protocol="tcp"/></policy>'
    )
    files = zone("", ' target="DROP"')
    files["policies/p.xml"] = policy.format(target="CONTINUE", priority=5)
    _, ruleset = load(files)
    assert judge(ruleset, 443) == "accept"  # before the zone's target
    assert judge(ruleset, 25) == "drop"
    files = zone('<port port="25" protocol="tcp"/>')
    files["policies/p.xml"] = policy.format(target="REJECT", priority=5)
    assert judge(load(files)[1], 25) == "accept"  # after what the zone has accepted
    files["policies/p.xml"] = policy.format(target="REJECT", priority=-5)
    assert judge(load(files)[1], 25) == "reject"


def test_a_forward_port_is_ipv4_only_and_needs_no_opening() -> None:
    forward = '<forward-port port="443" protocol="tcp" to-port="8443"/>'
    _, ruleset = load(zone(forward, ' target="DROP"'))
    assert judge(ruleset, 443) == "accept"
    assert judge(ruleset, 443, "2001:db8:9::1") == "drop"
    assert judge(ruleset, 8443) == "drop"
    files = zone(forward)
    files["firewalld.conf"] += "StrictForwardPorts=yes\n"
    assert judge(load(files)[1], 443) == "accept"


def test_icmp_blocks_and_their_inversion() -> None:
    def echo(inner: str) -> str:
        ruleset = load(zone(inner))[1]
        packet = Packet("icmp", "203.0.113.9", HERE4, iif="eth0")
        return Firewall(ruleset).judge(packet).verdict

    assert echo("") == "accept"
    assert echo('<icmp-block name="echo-request"/>') == "reject"
    assert echo("<icmp-block-inversion/>") == "reject"
    assert echo('<icmp-block-inversion/><icmp-block name="echo-request"/>') == "accept"


def test_ipsets_as_sources() -> None:
    files = zone('<rule><source ipset="us"/><port port="443" protocol="tcp"/><accept/></rule>')
    files["ipsets/us.xml"] = (
        '<ipset type="hash:net"><entry>203.0.113.0/24</entry><entry>nonsense</entry></ipset>'
    )
    _, ruleset = load(files)
    assert judge(ruleset, 443) == "accept"
    assert judge(ruleset, 443, "192.0.2.1") == "reject"
    assert judge(ruleset, 443, "2001:db8:9::1") == "reject"


def test_a_mac_source_is_unknown() -> None:
    files = zone("")
    files["zones/work.xml"] = _zone(
        '<source address="00:11:22:33:44:55"/><port port="443" protocol="tcp"/>'
    )
    assert judge(load(files)[1], 443) == "unknown"


def test_files_of_one_directory_make_one_zone() -> None:
    files = {
        "zones/web/a.xml": _zone('<interface name="eth0"/>'),
        "zones/web/b.xml": _zone('<service name="https"/>', ' target="DROP"'),
    }
    _, ruleset = load(files)
    assert judge(ruleset, 443) == "accept"
    assert judge(ruleset, 25) == "reject"  # the target of the parts is lost
    assert judge(ruleset, 443, iif="eth1") == "reject"


INTO_HOST = (
    '<policy target="CONTINUE"><ingress-zone name="public"/><egress-zone name="HOST"/>%s</policy>'
)
REFUSED = {
    "unknown element": "<nonsense/>",
    "not well-formed": "<service",
    "bad port": '<port port="99999" protocol="tcp"/>',
    "bad protocol": '<port port="443" protocol="quic"/>',
    "bad source": '<source address="203.0.113.300"/>',
    "mac attribute": '<source mac="00:11:22:33:44:55"/>',
    "unknown ipset": '<source ipset="nosuch"/>',
    "unknown ICMP type": '<icmp-block name="nosuch"/>',
    "rule without family": '<rule><source address="192.0.2.1"/><accept/></rule>',
    "rule without action": f"<rule>{PORT}</rule>",
    "tcp reset of UDP": (
        '<rule family="ipv4"><port port="53" protocol="udp"/><reject type="tcp-reset"/></rule>'
    ),
    "unknown attribute": '<service name="http" port="80"/>',
    "two actions": f"<rule>{PORT}<accept/><drop/></rule>",
}


@pytest.mark.parametrize("inner", REFUSED.values(), ids=REFUSED.keys())
def test_one_fault_and_the_stock_configuration_is_loaded(inner: str) -> None:
    tree, ruleset = load(zone(PORT + inner))
    assert judge(ruleset, 443) == "reject"
    assert judge(ruleset, 22) == "accept"
    (problem,) = tree.problems
    assert problem.decisive
    assert "stock configuration" in problem.reason
    assert problem.location is not None
    assert problem.path == "etc/firewalld/zones/public.xml"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("zones/home.xml", ""),
        ("zones/my.zone.xml", "<zone/>"),
        ("zones/home.xml", '<zone target="REJECT"/>'),
        ("services/x.xml", '<service><include service="ssh"/><port port="0x1"/></service>'),
        ("ipsets/x.xml", '<ipset type="list:set"/>'),
        ("ipsets/x.xml", "<ipset type='hash:net'><entry>10.0.0.0/8</entry>"
         "<entry>10.1.0.0/16</entry></ipset>"),
        ("policies/p.xml", '<policy target="ACCEPT" priority="0"/>'),
        ("policies/p.xml", '<policy target="ACCEPT"><ingress-zone name="x"/></policy>'),
        ("policies/p.xml", INTO_HOST % '<forward-port port="22" protocol="tcp" to-port="25"/>'),
        ("policies/p.xml", INTO_HOST % '<rule><protocol value="tcp"/><mark set="5"/></rule>'),
        ("icmptypes/x.xml", "<zone/>"),
        ("helpers/x.xml", '<helper module="x"/>'),
    ],
)  # fmt: skip
def test_a_fault_in_a_file_that_nothing_uses_counts_as_well(path: str, text: str) -> None:
    files = zone(PORT)
    files[path] = text
    tree, ruleset = load(files)
    assert judge(ruleset, 443) == "reject"
    assert tree.problems[0].path == f"etc/firewalld/{path}"


def test_versions_before_2_2_left_faults_out() -> None:
    tree, ruleset = load(zone(PORT + "<nonsense/>"), version="1.3.3")
    assert ruleset.missing
    assert not ruleset.tables
    assert tree.problems


def test_an_unknown_service_is_invalid_only_where_packages_are_in_the_tree() -> None:
    _, ruleset = load(zone('<service name="vendor"/>'))
    assert "no service vendor" in ruleset.missing[0].reason
    assert ruleset.missing[0].may_open
    files = {
        f"{ETC}/{path}": text for path, text in zone(PORT + '<service name="vendor"/>').items()
    }
    for kind, name in (("services", "ssh"), ("zones", "public"), ("zones", "block")):
        files[f"/usr/lib/firewalld/{kind}/{name}.xml"] = (
            '<service><port port="22" protocol="tcp"/></service>'
            if kind == "services"
            else "<zone/>"
        )
    tree = tree_of(files)
    ruleset = Ruleset()
    firewalld.read(tree, ruleset)
    assert not ruleset.missing
    assert judge(ruleset, 443) == "reject"


def test_a_doctype_is_not_read() -> None:
    text = '<!DOCTYPE zone [<!ENTITY a "b">]><zone/>'
    _, ruleset = load({"zones/public.xml": text})
    assert "DOCTYPE" in ruleset.missing[0].reason


@pytest.mark.parametrize(
    "data", ["\udcff\udcfe<zone/>", "<zone>" * 50, "\0", "<?xml encoding='x'?>"]
)
def test_any_bytes_are_no_crash(data: str) -> None:
    tree, _ = load({"zones/public.xml": data, "direct.xml": data})
    assert tree.problems


def test_direct_rules_close_and_do_not_open_with_nftables() -> None:
    direct = (
        '<direct><rule ipv="ipv4" table="filter" chain="INPUT" priority="{}">'
        "-p tcp --dport {} -j {}</rule></direct>"
    )
    files = zone(PORT)
    files["direct.xml"] = direct.format(0, 443, "DROP")
    _, ruleset = load(files)
    assert judge(ruleset, 443) == "drop"
    assert judge(ruleset, 443, "2001:db8:9::1") == "accept"
    files["direct.xml"] = direct.format(0, 25, "ACCEPT")
    assert judge(load(files)[1], 25) == "reject"
    files["firewalld.conf"] += "FirewallBackend=iptables\n"
    assert judge(load(files)[1], 25) == "accept"


def test_a_passthrough_that_is_not_read_leaves_the_layer_unknown() -> None:
    files = zone(PORT)
    files["direct.xml"] = '<direct><passthrough ipv="ipv4">-F</passthrough></direct>'
    _, ruleset = load(files)
    assert "passthrough" in ruleset.missing[0].reason
    files["direct.xml"] = (
        '<direct><passthrough ipv="ipv4">-I INPUT -p tcp --dport 443 -j DROP</passthrough></direct>'
    )
    assert judge(load(files)[1], 443) == "drop"


def test_the_default_zone_may_not_exist() -> None:
    files = zone(PORT) | {"firewalld.conf": "DefaultZone=nosuch\n"}
    _, ruleset = load(files)
    assert "no zone nosuch" in ruleset.missing[0].reason  # a distribution may ship it


def test_a_shipped_zone_alone_in_the_tree_is_read() -> None:
    tree = tree_of(
        {
            f"{ETC}/firewalld.conf": "DefaultZone=public\n",
            "/usr/lib/firewalld/zones/public.xml": _zone('<service name="https"/>'),
        }
    )
    ruleset = Ruleset()
    firewalld.read(tree, ruleset)
    assert [judge(ruleset, port) for port in (22, 443)] == ["reject", "accept"]


def test_the_default_zones_of_fedora_are_known() -> None:
    _, ruleset = load({"firewalld.conf": "DefaultZone=FedoraServer\n"})
    ports = (22, 443, 8443, 9090)
    assert [judge(ruleset, p) for p in ports] == ["accept", "reject", "reject", "accept"]
    _, ruleset = load({"firewalld.conf": "DefaultZone=FedoraWorkstation\n"})
    assert [judge(ruleset, p) for p in ports] == ["accept", "reject", "accept", "accept"]


def test_a_refused_apply_without_an_owner_of_the_table_leaves_nothing_that_filters() -> None:
    """Measured with 2.3.1: the stock configuration cannot replace the table, the daemon exits."""
    policy = INTO_HOST % '<forward-port port="443" protocol="tcp" to-port="8443"/>'
    both = '<rule family="ipv6"><destination address="2001:db8::/32"/>'
    both += '<service name="dhcpv6-client"/><accept/></rule>'
    refused: list[dict[str, str]] = [zone(both), zone(REFUSED["tcp reset of UDP"])]
    refused.append(zone("") | {"policies/x.xml": policy})
    for files in refused:
        assert judge(load(files)[1], 443) == "reject"
        files["firewalld.conf"] += "NftablesTableOwner=no\n"
        tree, ruleset = load(files)
        assert judge(ruleset, 443) == "accept"
        assert "nothing filters" in tree.problems[0].reason
    files = zone('<service name="x" port="1"/>')  # is refused before anything is flushed
    files["firewalld.conf"] += "NftablesTableOwner=no\n"
    assert judge(load(files)[1], 443) == "reject"


def test_zone_drifting_of_old_versions_is_unknown() -> None:
    files = zone(PORT)
    files["firewalld.conf"] += "AllowZoneDrifting=yes\n"
    files["zones/work.xml"] = _zone('<source address="203.0.113.0/24"/>')
    assert load(files, version="0.9.3")[1].missing
    assert not load(files, version="2.3.1")[1].missing
    ruleset = load(files)[1]
    assert not ruleset.missing
    assert "AllowZoneDrifting" in ruleset.assumptions[-1]


def test_many_bindings_are_no_explosion() -> None:
    sources = "\n".join(f'<source address="10.{i // 250}.{i % 250}.1"/>' for i in range(3000))
    files = zone(PORT)
    files["zones/work.xml"] = _zone(sources)
    _, ruleset = load(files)
    assert judge(ruleset, 443) == "accept"
    assert judge(ruleset, 443, "10.1.1.1") == "reject"


def test_two_policies_of_one_priority_are_unknown_beside_several_zones() -> None:
    policy = '<policy target="{}"><ingress-zone name="ANY"/><egress-zone name="HOST"/>{}</policy>'
    files = zone("")
    files["policies/a.xml"] = policy.format("CONTINUE", PORT)
    files["policies/b.xml"] = policy.format("CONTINUE", "")
    assert judge(load(files)[1], 443) == "accept"
    files["policies/b.xml"] = policy.format("DROP", "")
    assert judge(load(files)[1], 443) == "drop"  # the later one is asked first
    files["zones/work.xml"] = _zone('<source address="192.0.2.0/24"/>')
    assert judge(load(files)[1], 443) == "unknown"


def test_a_backend_that_does_not_exist_is_refused() -> None:
    tree, ruleset = load(zone(PORT) | {"firewalld.conf": "FirewallBackend=Iptables\n"})
    assert judge(ruleset, 443) == "reject"
    assert tree.problems[0].path == "etc/firewalld/firewalld.conf"


def test_options_that_exclude_each_other_leave_the_defaults() -> None:
    conf = "DefaultZone=drop\nFirewallBackend=iptables\nIPv6_rpfilter=strict-forward\n"
    tree, ruleset = load(zone(PORT) | {"firewalld.conf": conf})
    assert judge(ruleset, 443) == "accept"
    assert not tree.problems
