"""What a tree says of units, interfaces, addresses and versions."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sslint import inifile
from sslint.network import read_network
from sslint.network.hosts import Hosts
from sslint.network.packages import Package
from sslint.network.units import Units
from sslint.servers import server
from sslint.tree import Tree
from tests.support import tree_of


def package(name: str) -> Package:
    found = server(name)
    assert found is not None
    return found.package


def number(text: str) -> int:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return int.from_bytes(socket.inet_pton(family, text), "big")


def host(tmp_path: Path, links: dict[str, str], files: dict[str, str] | None = None) -> Tree:
    for path, target in links.items():
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    for path, text in (files or {}).items():
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return Tree(tmp_path)


WANTS = "/etc/systemd/system/multi-user.target.wants"


def test_a_unit_is_enabled_by_a_link_of_a_target_even_a_dangling_one(tmp_path: Path) -> None:
    units = "/usr/lib/systemd/system"
    links = {f"{WANTS}/{name}": f"{units}/{name}" for name in ("nginx.service", "cron.service")}
    network = read_network(host(tmp_path, links))
    assert network.unit_state("nginx") == "enabled"
    assert network.unit_state("postfix.service") == "disabled"


@pytest.mark.parametrize("own", ["worker.service", "nginx.service", "backup.timer"])
def test_a_unit_of_the_administrators_does_not_say_what_packages_enable(
    tmp_path: Path, own: str
) -> None:
    links = {f"{WANTS}/{own}": f"/etc/systemd/system/{own}"}
    network = read_network(host(tmp_path, links, {f"/etc/systemd/system/{own}": "[Unit]\n"}))
    assert network.systemd
    assert network.unit_state(own) == "enabled"
    assert network.unit_state("nftables") == "unknown"


def test_a_preset_says_what_is_not_enabled() -> None:
    preset = "# ours\ndisable ufw.service\nenable *\n"
    network = read_network(tree_of({"/etc/systemd/system-preset/10-x.preset": preset}))
    assert network.unit_state("ufw") == "disabled"
    assert network.unit_state("nginx") == "unknown"


def test_a_unit_is_masked_by_a_link_to_dev_null(tmp_path: Path) -> None:
    network = read_network(
        host(
            tmp_path,
            {
                f"{WANTS}/ufw.service": "/usr/lib/systemd/system/ufw.service",
                "/etc/systemd/system/ufw.service": "/dev/null",
            },
        )
    )
    assert network.unit_state("ufw") == "masked"


def test_an_alias_has_the_state_of_its_unit(tmp_path: Path) -> None:
    unit = "/usr/lib/systemd/system/netfilter-persistent.service"
    network = read_network(
        host(
            tmp_path,
            {
                "/etc/systemd/system/iptables.service": unit,
                f"{WANTS}/netfilter-persistent.service": unit,
            },
        )
    )
    assert network.unit_state("iptables") == "enabled"


def test_a_target_that_is_not_part_of_a_boot_enables_nothing(tmp_path: Path) -> None:
    links = {
        "/etc/systemd/system/rescue.target.wants/ufw.service": "/lib/x.service",
        f"{WANTS}/ssh.service": "/lib/ssh.service",
    }
    assert read_network(host(tmp_path, links)).unit_state("ufw") == "disabled"


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/nginx/nginx.conf": ""},
        {"/etc/systemd/system/nginx.service.d/x.conf": "[Service]\n"},
    ],
)
def test_without_a_systemd_directory_nothing_is_known(files: dict[str, str]) -> None:
    network = read_network(tree_of(files))
    assert not network.systemd
    assert network.unit_state("nginx") == "unknown"


def test_openrc_and_system_v() -> None:
    openrc = read_network(tree_of({"/etc/runlevels/default/nftables": ""}))
    assert openrc.unit_state("nftables") == "enabled"
    assert openrc.unit_state("iptables") == "disabled"
    system_v = read_network(tree_of({"/etc/rc2.d/S02nginx": "", "/etc/rc2.d/K01ufw": ""}))
    assert system_v.unit_state("nginx") == "enabled"
    assert system_v.unit_state("ufw") == "unknown"


def test_drop_ins_replace_the_command_of_a_unit() -> None:
    network = read_network(
        tree_of(
            {
                "/usr/lib/systemd/system/nginx.service": "[Service]\nExecStart=/usr/sbin/nginx\n",
                "/etc/systemd/system/nginx.service.d/b.conf": (
                    "[Service]\nExecStart=\nExecStart=-/usr/sbin/nginx -c \\\n /etc/other.conf\n"
                ),
                "/etc/systemd/system/x.target.wants/nginx.service": "",
            }
        )
    )
    commands = network.exec_start("nginx")
    assert commands is not None
    assert [command.words for command in commands] == [("/usr/sbin/nginx", "-c", "/etc/other.conf")]
    assert commands[0].location.line == 3
    assert network.exec_start("postfix") is None


def test_ifupdown() -> None:
    network = read_network(
        tree_of(
            {
                "/etc/network/interfaces": (
                    "source interfaces.d/*\nauto lo\niface lo inet loopback\nauto eth0\n"
                    "iface eth0 inet static\n address 192.0.2.10\n netmask 255.255.255.0\n"
                    " gateway 192.0.2.1\niface eth0 inet6 static\n address 2001:db8::10/64\n"
                ),
                "/etc/network/interfaces.d/lan": "iface eth1 inet static\n address 10.0.0.1/8\n",
            }
        )
    ).network
    assert network.public == "eth0"
    eth0 = next(i for i in network.interfaces if i.name == "eth0")
    assert eth0.addresses4 == ((number("192.0.2.10"), 24),)
    assert eth0.addresses6 == ((number("2001:db8::10"), 64),)
    assert {i.name for i in network.interfaces if not i.virtual} == {"eth0", "eth1"}
    assert number("10.0.0.1") in network.addresses4


def test_netplan() -> None:
    network = read_network(
        tree_of(
            {
                "/etc/netplan/50-cloud-init.yaml": (
                    "network:\n  version: 2\n  ethernets:\n    ens3:\n      dhcp4: true\n"
                    "    ens4:\n      addresses: [203.0.113.9/24]\n      routes:\n"
                    "        - to: default\n          via: 203.0.113.1\n"
                    "  tunnels:\n    wg0: {mode: wireguard, addresses: [10.8.0.1/24]}\n"
                )
            }
        )
    ).network
    assert network.public == "ens4"
    assert [i.name for i in network.interfaces if i.virtual] == ["wg0"]


@pytest.mark.parametrize(
    "text", ["network: [", "<<: *a", "network:\n  ethernets: 3\n", "\0", "- 1"]
)
def test_netplan_that_is_no_netplan_is_no_crash(text: str) -> None:
    assert read_network(tree_of({"/etc/netplan/x.yaml": text})).network.interfaces == ()


def test_networkd_bridge_ports_take_no_packets_of_their_own() -> None:
    network = read_network(
        tree_of(
            {
                "/etc/systemd/network/10-port.network": (
                    "[Match]\nName=eno1\n[Network]\nBridge=br0\n"
                ),
                "/etc/systemd/network/20-br.network": (
                    "[Match]\nName=br0\n[Network]\nAddress=198.51.100.7/24\nGateway=198.51.100.1\n"
                ),
            }
        )
    ).network
    assert network.public == "br0"
    assert {i.name: i.virtual for i in network.interfaces} == {"eno1": True, "br0": False}
    assert network.inner == ("eno1",)


def test_a_pattern_of_names_gives_addresses_and_no_interface() -> None:
    network = read_network(
        tree_of(
            {
                "/etc/systemd/network/10.network": (
                    "[Match]\nName=en*\n[Network]\nAddress=192.0.2.3/24\nGateway=192.0.2.1\n"
                )
            }
        )
    ).network
    assert network.interfaces == ()
    assert network.public is None
    assert network.addresses4 == (number("192.0.2.3"),)


def test_network_manager_and_ifcfg_with_their_zones() -> None:
    facts = read_network(
        tree_of(
            {
                "/etc/NetworkManager/system-connections/up.nmconnection": (
                    "[connection]\nid=up\ntype=ethernet\ninterface-name=ens3\nzone=external\n"
                    "[ipv4]\nmethod=manual\naddress1=192.0.2.5/24,192.0.2.1\n[ipv6]\nmethod=auto\n"
                ),
                "/etc/sysconfig/network-scripts/ifcfg-eth1": (
                    'DEVICE="eth1"\nIPADDR=10.1.1.1\nPREFIX=16\nDEFROUTE=no\nZONE=internal\n'
                ),
            }
        )
    )
    assert facts.network.public == "ens3"
    assert facts.zones == {"ens3": "external", "eth1": "internal"}
    eth1 = next(i for i in facts.network.interfaces if i.name == "eth1")
    assert eth1.addresses4 == ((number("10.1.1.1"), 16),)


def test_two_default_routes_leave_the_public_interface_open() -> None:
    text = "iface a inet static\n gateway 192.0.2.1\niface b inet static\n gateway 10.0.0.1\n"
    assert read_network(tree_of({"/etc/network/interfaces": text})).network.public is None


def test_given_addresses_are_the_hosts_own() -> None:
    network = read_network(tree_of({}), addresses=["203.0.113.1", "2001:db8::1", "no"]).network
    assert network.addresses4 == (number("203.0.113.1"),)
    assert network.addresses6 == (number("2001:db8::1"),)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/etc/sysctl.d/a.conf": "net.ipv6.conf.all.disable_ipv6 = 1\n"}, False),
        ({"/etc/sysctl.conf": "net/ipv6/conf/all/disable_ipv6=1\n"}, False),
        (
            {
                "/etc/sysctl.d/a.conf": "net.ipv6.conf.all.disable_ipv6 = 1\n",
                "/etc/sysctl.d/b.conf": "net.ipv6.conf.eth0.disable_ipv6 = 0\n",
            },
            None,
        ),
        ({"/etc/sysctl.d/a.conf": "#net.ipv6.conf.all.disable_ipv6 = 1\n"}, None),
        ({"/etc/sysctl.conf": "net.ipv6.conf.all.lo.disable_ipv6=1\n"}, None),  # no such key
        ({"/etc/sysctl.conf": "net.ipv6.conf.all.disable_ipv6.lo=1\n"}, None),
        ({"/etc/sysctl.conf": "net.ipv6.conf.disable_ipv6=1\n"}, None),
        ({"/etc/sysctl.conf": "net/ipv6.conf/all/disable_ipv6=1\n"}, None),
        ({"/etc/sysctl.conf": "net..ipv6.conf.all.disable_ipv6=1\n"}, False),
        ({"/etc/sysctl.conf": "net.ipv6.conf.*.disable_ipv6=01 # all\n"}, False),
        ({"/etc/sysctl.conf": "net.ipv6.conf.eth*.disable_ipv6=1\n"}, None),
        ({"/etc/sysctl.conf": "net.ipv6.conf.all.disable_ipv6=4294967296\n"}, None),
        ({"/etc/sysctl.conf": "net.ipv6.conf.all.disable_ipv6=1x\n"}, None),
        (
            {
                "/etc/sysctl.conf": "net.ipv6.conf.all.disable_ipv6=1\n"
                "net.ipv6.conf.all.eth0.disable_ipv6=0\n"  # no such key
            },
            False,
        ),
        (
            {
                "/etc/sysctl.conf": "net.ipv6.conf.all.disable_ipv6=1\n"
                "net.ipv6.conf.all.disable_ipv6=00\n"
            },
            None,
        ),
        ({"/etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet ipv6.disable=1"\n'}, False),
        ({"/etc/default/grub": '#GRUB_CMDLINE_LINUX="ipv6.disable=1"\n'}, None),
        ({}, None),
    ],
)
def test_ipv6_disabled_in_the_kernel(files: dict[str, str], expected: bool | None) -> None:
    assert read_network(tree_of(files)).network.ipv6 is expected


@pytest.mark.parametrize(
    ("files", "state"),
    [  # packages bring units for systemd wherever they are installed
        ({"/etc/runlevels/default/nginx": ""}, "enabled"),
        ({"/etc/runlevels/default/sshd": ""}, "disabled"),
        ({"/etc/rc2.d/S01nginx": ""}, "enabled"),
        ({"/etc/rc2.d/K01nginx": ""}, "unknown"),
    ],
)
def test_units_mean_nothing_without_systemd(files: dict[str, str], state: str) -> None:
    unit = {"/lib/systemd/system/nginx.service": "[Service]\n"}
    assert read_network(tree_of({**files, **unit})).unit_state("nginx") == state


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/etc/sysctl.d/a.conf": "net.netfilter.nf_conntrack_tcp_loose = 0\n"}, False),
        ({"/etc/sysctl.d/a.conf": 'net.netfilter.nf_conntrack_tcp_loose = "0"\n'}, False),
        ({"/etc/sysctl.conf": "-net/netfilter/nf_conntrack_tcp_loose=1\n"}, True),
        (
            {
                "/usr/lib/sysctl.d/b.conf": "net.netfilter.nf_conntrack_tcp_loose = 0\n",
                "/etc/sysctl.d/b.conf": "# net.netfilter.nf_conntrack_tcp_loose = 0\n",
            },
            None,
        ),
        ({"/etc/sysctl.d/a.conf": "net.netfilter.nf_conntrack_tcp_be_liberal = 1\n"}, None),
    ],
)
def test_conntrack_that_picks_connections_up(files: dict[str, str], expected: bool | None) -> None:
    assert read_network(tree_of(files)).network.tcp_loose is expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"/etc/sysctl.d/a.conf": "net.ipv4.conf.all.route_localnet = 1\n"}, True),
        ({"/etc/sysctl.d/a.conf": "net.ipv4.conf.default.route_localnet=1\n"}, True),
        ({"/etc/sysctl.d/a.conf": "net.ipv4.conf.eth0.route_localnet=1\n"}, True),
        ({"/etc/sysctl.d/a.conf": "net.ipv4.conf.*.route_localnet=1\n"}, True),
        ({"/etc/sysctl.d/a.conf": "net.ipv4.conf.eth1.route_localnet=1\n"}, False),
        (
            {
                "/etc/sysctl.d/a.conf": "net.ipv4.conf.default.route_localnet=1\n",
                "/etc/sysctl.d/b.conf": "net.ipv4.conf.eth0.route_localnet=0\n",
            },
            False,
        ),
        ({"/etc/ufw/sysctl.conf": "net/ipv4/conf/all/route_localnet=1\n"}, None),
        ({"/etc/rc.local": "sysctl -w net.ipv4.conf.eth0.route_localnet=1\n"}, None),
    ],
)
def test_who_may_send_to_the_loopback(files: dict[str, str], expected: bool | None) -> None:
    assert read_network(tree_of(files)).network.localnet("eth0") is expected


def test_versions_from_the_package_database_and_the_release() -> None:
    status = (
        "Package: nginx\nStatus: install ok installed\nVersion: 1.26.3-3+deb13u1\n\n"
        "Package: dovecot-core\nStatus: install ok installed\nVersion: 1:2.4.1+dfsg1-6\n\n"
        "Package: postfix\nStatus: deinstall ok config-files\nVersion: 3.10.4-1\n\n"
    )
    packages = read_network(tree_of({"/var/lib/dpkg/status": status}))
    assert packages.package_version(package("nginx")) == "1.26.3"
    assert packages.package_version(package("dovecot")) == "2.4.1"
    assert packages.package_version(package("postfix")) is None
    release = {"/etc/os-release": 'ID=debian\nVERSION_ID="12"\n'}
    assert read_network(tree_of(release)).package_version(package("nginx")) == "1.22.1"
    release["/etc/apt/sources.list.d/nginx.list"] = "deb http://nginx.org/packages/debian x nginx"
    assert read_network(tree_of(release)).package_version(package("nginx")) is None
    alma = read_network(tree_of({"/etc/os-release": 'ID="almalinux"\nVERSION_ID="9.4"\n'}))
    assert alma.distribution == ("rhel", "9")


def test_units_of_a_repository_without_the_links_do_not_say_what_starts() -> None:
    own = {"/etc/systemd/system/backup.timer": "[Timer]\nOnCalendar=daily\n"}
    assert Units(tree_of(own)).state("nginx") == "unknown"
    link = "/etc/systemd/system/multi-user.target.wants/backup.service"
    assert Units(tree_of({**own, link: ""})).state("nginx") == "unknown"
    ssh = "/etc/systemd/system/multi-user.target.wants/ssh.service"
    assert Units(tree_of({**own, link: "", ssh: ""})).state("nginx") == "disabled"


HOSTS = """::1 six # comment
127.0.1.1 Web web2
::ffff:192.0.2.7 mapped
192.0.2.1 two
2001:DB8:0::2 two
"""


@pytest.mark.parametrize(
    ("name", "families", "expected"),
    [
        ("localhost", "46", ["127.0.0.1", "::1"]),  # which no line of the file has
        ("six", "46", ["::1"]),
        ("six", "4", ["127.0.0.1"]),
        ("six", "6", ["::1"]),
        ("WEB", "46", ["127.0.1.1"]),
        ("web.", "46", None),
        ("web", "6", []),
        ("two", "46", ["192.0.2.1", "2001:db8::2"]),
        ("mapped", "46", None),
        ("mapped", "4", ["192.0.2.7"]),
        ("elsewhere.example", "46", None),
    ],
)
def test_host_names(name: str, families: str, expected: list[str] | None) -> None:
    assert Hosts(tree_of({"/etc/hosts": HOSTS})).addresses(name, families) == expected
    if name == "localhost":
        assert Hosts(tree_of({"/etc/hostname": "a"})).addresses(name, families) == expected


def test_lines_of_units_go_on_over_comments() -> None:
    text = (
        "before = 1\n[A]\nx = one \\\n# between\n; and\n  two\ny = a\\\\\nz = 3\n[A]\nx = again\n"
    )
    found = inifile.sections(text, systemd=True)
    assert [(s.title, [(e.key, e.value, e.line) for e in s.entries]) for s in found] == [
        ("", [("before", "1", 1)]),
        ("A", [("x", "one    two", 3), ("y", "a\\\\", 7), ("z", "3", 8)]),
        ("A", [("x", "again", 10)]),
    ]
    assert inifile.sections(text)[1].values["x"] == "one \\"


def test_a_network_whose_address_goes_on(tmp_path: Path) -> None:
    files = {
        "/etc/systemd/network/a.network": "[Match]\nName=eth0 \\\n eth1\n[Network]\nDHCP=yes\n"
    }
    found = read_network(host(tmp_path, {}, files)).network
    assert {link.name for link in found.interfaces} == {"eth0", "eth1"}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"/etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet ipv6.disable=1"\n'}, True),
        ({"/etc/default/grub": 'GRUB_CMDLINE_LINUX="ipv6.disable_ipv6=1"\n'}, False),
        ({"/etc/kernel/cmdline": "root=/dev/vda1 ipv6.disable=1\n"}, True),
        ({"/etc/modprobe.d/a.conf": "options ipv6 disable=1\n"}, True),
        ({"/etc/modprobe.d/a.conf": "options ipv6 disable_ipv6=1\n"}, False),
        ({"/etc/modprobe.d/a.conf": "#options ipv6 disable=1\n"}, False),
        ({"/etc/sysctl.d/a.conf": "net.ipv6.conf.all.disable_ipv6 = 1\n"}, False),
    ],
)
def test_a_kernel_without_sockets_of_ipv6(files: dict[str, str], found: bool) -> None:
    assert (read_network(tree_of(files)).no_ipv6_sockets is not None) is found
