"""Scripts of firewall commands: what they leave, read without running them."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from pathlib import Path

import pytest

from sslint import check
from sslint.firewalls import discovery, ipset
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.scripts import possible
from sslint.firewalls.scripts import reader as scripts
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet
from sslint.network import read_network
from tests.live.kernel.judge import NETWORK
from tests.support import tree_of

PATH = "/etc/firewall.sh"
DROP = "iptables -P INPUT DROP\n"


def read(text: str, **others: str) -> Ruleset:
    files = {PATH: text, **{f"/etc/{name}": content for name, content in others.items()}}
    tree = tree_of(files)
    ruleset = Ruleset()
    scripts.read(tree, tree.read(PATH), ruleset)
    ipset.resolve(ruleset)
    return ruleset


def verdict(text: str, port: int, source: str = "203.0.113.9", **others: str) -> str:
    """Return what becomes of a SYN to a port."""
    own = "2001:db8:1::1" if ":" in source else "198.51.100.1"
    packet = Packet(6, source, own, 40000, port, "eth0")
    return Firewall(read(text, **others), NETWORK).judge(packet).verdict


SSH = "iptables -A INPUT -p tcp --dport 22 -j ACCEPT\n"
SCRIPTS = {
    "a variable": ("I=iptables\nP=22\n$I -A INPUT -p tcp --dport ${P:-1} -j ACCEPT\n", "accept"),
    "a default": ("iptables -A INPUT -p tcp --dport ${P:-22} -j ACCEPT\n", "accept"),
    "an empty variable": ("iptables -A INPUT $X -p tcp --dport 22 $X -j ACCEPT\n", "accept"),
    "an empty argument": ('iptables -A INPUT "$X" -p tcp --dport 22 -j ACCEPT\n', "drop"),
    "a loop": ("for p in 21 22; do iptables -A INPUT -p tcp --dport $p -j ACCEPT; done\n", "accept"),
    "a loop left": ("for p in 21 22; do break; " + SSH + "done\n", "drop"),
    "a counted loop": ("p=20\nwhile [ $p -lt 23 ]; do iptables -A INPUT -p tcp --dport $p -j ACCEPT\n"
                       "p=$((p+1)); done\n", "accept"),
    "a function": ('f() { iptables -A INPUT -p tcp --dport "$1" -j ACCEPT; }\nf 22\n', "accept"),
    "a function never called": ("f() { " + SSH + "}\n", "drop"),
    "lines that are read": ("while read p rest; do iptables -A INPUT -p tcp --dport $p -j ACCEPT; done"
                            " <<X\n22 ssh\nX\n", "accept"),
    "an unknown test": ('if [ -n "$(hostname)" ]; then\n' + SSH + "fi\n", "unknown"),
    "both ways alike": ("if uname; then\n" + SSH + "else\n" + SSH + "fi\n", "accept"),
    "a known test": ('X=a\nif [ "$X" = b ]; then\n' + SSH + "fi\n", "drop"),
    "an unknown address": ("iptables -A INPUT -s $(hostname) -p tcp --dport 22 -j ACCEPT\n", "unknown"),
    "an unknown address, another port": (
        "iptables -A INPUT -s $(hostname) -p tcp --dport 23 -j ACCEPT\n", "drop"),
    "an unknown loop": ("for p in $(hostname); do " + SSH + "done\n", "unknown"),
    "a policy of one way": ("if uname; then iptables -P INPUT ACCEPT; fi\n", "unknown"),
    "an unknown case": ("case $(uname) in a) " + SSH + ";; esac\n", "unknown"),
    "a case with a start": ("case $1 in stop) iptables -P INPUT ACCEPT;; start) " + SSH + ";; esac\n",
                            "accept"),
    "a failed command": ("iptables -A INPUT -p tcp --dport x -j ACCEPT && " + SSH, "drop"),
    "set -e": ("set -e\niptables -A NOSUCH -j ACCEPT\n" + SSH, "drop"),
    "giving up": ("uname || exit 1\n" + SSH, "accept"),
    "an end that may be": ("uname && exit 0\n" + SSH, "unknown"),
    "a here-document": ("iptables-restore -n <<E\n*filter\n-A INPUT -p tcp --dport 22 -j ACCEPT\n"
                        "COMMIT\nE\n", "accept"),
    "a restore of what is not known": ("hostname | iptables-restore\n", "unknown"),
    "a rule deleted": (SSH + SSH.replace("-A", "-D"), "drop"),
    "a rule with a comment kept": (
        SSH.replace("-j", "-m comment --comment a -j") + SSH.replace("-A", "-D"), "accept"),
    "a rule inserted": (SSH + "iptables -I INPUT -j DROP\n", "drop"),
    "eval": ("R='-A INPUT -p tcp --dport 22 -j ACCEPT'\neval iptables $R\n", "accept"),
    "sh -c": ("W=22 sh -c 'iptables -A INPUT -p tcp --dport $W -j ACCEPT'\n", "accept"),
    "sourced": (". /etc/part\n", "accept"),
    "called": ("sh /etc/part\n", "accept"),
    "a subshell's variable": ("( P=22 ); iptables -A INPUT -p tcp --dport $P -j ACCEPT\n", "drop"),
    "a set": ("ipset create s hash:net\nipset add s 203.0.113.0/24\n"
              "iptables -A INPUT -m set --match-set s src -j ACCEPT\n", "accept"),
    "the other family": ("ip6tables -A INPUT -p tcp --dport 22 -j ACCEPT\n", "drop"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_leaves(name: str) -> None:
    text, wanted = SCRIPTS[name]
    assert verdict(DROP + text, 22, part=SSH) == wanted


def test_nft_commands() -> None:
    text = """#!/bin/sh
nft flush ruleset
nft add table inet f
nft 'add chain inet f in { type filter hook input priority 0; policy drop; }'
for port in 22 443; do nft add rule inet f in tcp dport $port accept; done
nft -f - <<EOF
table inet f { chain in { tcp dport ${SMTP:-25} accept; }; }
table inet f { chain in { tcp dport ${SMTP:-25} accept; }; }
EOF
nft insert rule inet f in ip saddr $(hostname) tcp dport 80 accept
"""
    assert [verdict(text, port) for port in (22, 25, 26)] == ["accept", "accept", "unknown"]


NOT_FOLLOWED = {
    "iptables -P INPUT DROP\n/opt/more-rules.sh\n": 2,
    "\ncsf -r\n": 2,
    "service iptables restart\n": 1,
    "iptables -A INPUT -j DROP &\n": 1,
    'eval "$(hostname)"\n': 1,
    "if true; then\n": 2,
    "\n. /srv/rules\n": 2,
    "$(hostname) -A INPUT -j DROP\n": 1,
    "iptables -A INPUT -j DROP\n[[ -n $X ]]\n": 2,
    "f() { f; }\nf\n": 1,
    "(" * 100: 1,
    "\nxargs -n1 ufw allow from < /root/list\n": 2,
    "find /root -exec firewall-cmd --permanent --add-source={} ;\n": 1,
}


@pytest.mark.parametrize("text", NOT_FOLLOWED)
def test_what_is_not_followed_is_unknown_with_its_line(text: str) -> None:
    with pytest.raises(RulesetError) as caught:
        read(text)
    assert caught.value.location is not None
    assert caught.value.location.line == NOT_FOLLOWED[text]


def _reach(files: dict[str, str]) -> tuple[str, Ruleset]:
    tree = tree_of(files)
    ruleset = discovery.load(tree, read_network(tree))
    reach = Firewall(ruleset, read_network(tree).network).reach_outer("tcp", 443, 4)
    return reach.verdict, ruleset


HTTPS = """#!/bin/sh
iptables -P INPUT DROP
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m state --state ESTABLISHED -j ACCEPT
iptables -A INPUT -p tcp --dport 443 -j ACCEPT
"""


def test_a_script_is_a_possible_ruleset() -> None:
    for path in ("/etc/rc.local", "/etc/firewall.sh", "/usr/local/sbin/iptables.sh"):
        found, ruleset = _reach({path: HTTPS})
        assert found == "open", path
        assert ruleset.possible
        assert any(path[1:] in text for text in ruleset.assumptions)


def test_a_saved_ruleset_is_not_mixed_with_a_script() -> None:
    rules = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
    found, ruleset = _reach({"/etc/iptables/rules.v4": rules, "/etc/firewall.sh": HTTPS})
    assert found == "closed"
    assert not ruleset.possible
    found, ruleset = _reach({"/etc/iptables/rules.v4": rules, "/etc/rc.local": HTTPS})
    assert found == "unknown"
    assert any("rc.local" in missing.reason for missing in ruleset.missing)


def test_a_script_that_is_run_and_not_followed_leaves_its_layer_unknown() -> None:
    found, ruleset = _reach({"/etc/rc.local": HTTPS + "/root/rules.sh\n"})
    assert found == "unknown"
    assert [missing.location.line for missing in ruleset.missing if missing.location] == [6]


def test_two_scripts_are_not_chosen_from() -> None:
    found, ruleset = _reach({"/etc/firewall.sh": HTTPS, "/etc/iptables.sh": HTTPS})
    assert found == "unknown"
    assert "firewall.sh" in ruleset.missing[0].reason


def test_a_finding_on_a_possible_ruleset_is_a_warning_without_an_edit(tmp_path: Path) -> None:
    (tmp_path / "etc/nginx").mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text(
        "events {}\nhttp { server { listen 443 ssl; listen 80; server_name a.example.org;\n"
        "return 301 https://$host$request_uri; } }\n"
    )
    (tmp_path / "etc/firewall.sh").write_text(HTTPS.replace("443", "22"))
    report = check(tmp_path)
    closed = [one for one in report.findings if "closed" in one.rule.name]
    assert closed
    assert not any(one.severity == "error" for one in closed)
    fixes = report.result.fixes.values()
    assert any(one.commands for one in fixes)
    assert not any(one.edits for one in fixes)


def test_ufw_commands() -> None:
    text = "ufw default deny incoming\nfor p in 22 443; do ufw allow $p/tcp; done\nufw deny from 203.0.113.0/24 to any port 25\n"
    assert verdict(text, 22) == "unknown"  # it is not enabled
    text += "echo y | ufw enable\n"
    assert [verdict(text, port) for port in (22, 443, 25, 80)] == [
        "accept",
        "accept",
        "drop",
        "drop",
    ]
    assert verdict(text, 443, "2001:db8:9::1") == "accept"
    ruleset = read(text)
    assert any(
        rule.location.line == 2
        for table in ruleset.tables
        for chain in table.chains.values()
        for rule in chain.rules
    )


VAGRANT = """Vagrant.configure("2") do |config|
  config.vm.provision "shell", inline: <<-SHELL
    iptables -P INPUT DROP
    iptables -A INPUT -p tcp --dport 443 -j ACCEPT
    iptables -A INPUT -p tcp --dport #{port} -j ACCEPT
  SHELL
end
"""
CLOUD = """#cloud-config
packages: [nginx]
runcmd:
  - iptables -P INPUT DROP
  - [iptables, -A, INPUT, -p, tcp, --dport, "443", -j, ACCEPT]
  - |
    for p in 80 25; do
      iptables -A INPUT -p tcp --dport $p -j ACCEPT
    done
"""


@pytest.mark.parametrize(
    ("name", "text", "closed", "line"),
    [("Vagrantfile", VAGRANT, "unknown", 4), ("user-data", CLOUD, "drop", 5)],
)
def test_commands_inside_other_files(name: str, text: str, closed: str, line: int) -> None:
    tree = tree_of({f"/etc/{name}": text})
    file = tree.read(f"/etc/{name}")
    assert possible.tells(file)
    ruleset = Ruleset()
    possible.load(tree, f"/etc/{name}", ruleset)
    judged = Firewall(ruleset, NETWORK)
    packets = [Packet(6, "203.0.113.9", "198.51.100.1", 40000, port, "eth0") for port in (443, 22)]
    assert [judged.judge(packet).verdict for packet in packets] == ["accept", closed]
    by = judged.judge(packets[0]).by
    assert by is not None
    assert by.location.line == line


def test_a_script_beside_a_server_in_a_repository(tmp_path: Path) -> None:
    for path, text in {
        "conf/nginx/nginx.conf": "events {}\nhttp { server { listen 443 ssl; } }\n",
        "deploy/firewall.sh": HTTPS,
        ".git/HEAD": "ref: refs/heads/main\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    report = check(tmp_path)
    ruleset = report.result.hosts[0].ruleset
    assert ruleset.possible
    assert any("firewall.sh" in text for text in ruleset.assumptions)


HOSTILE = {
    "parentheses": "(" * 100_000,
    "braces": "{ " * 50_000,
    "conditions": "if uname; then :; " + "elif uname; then :; " * 5_000 + "fi\n" + SSH,
    "forks": ("if uname; then " + SSH + "fi\n") * 3_000,
    "an endless loop": "while true; do " + SSH + "done\n",
    "loops in loops": "".join(f"for i{n} in 1 2 3 4 5 6 7 8 9; do " for n in range(9)) + SSH + "done; " * 9,
    "recursion": "f() { if uname; then f; else f; fi; }\nf\n" + SSH,
    "a script that runs itself": f"sh {PATH}; sh {PATH}\n" + SSH,
    "a value that grows": "X=aaaaaaaa\n" + "X=$X$X\n" * 40 + SSH,
    "a list that grows": "set -- a b c\n" + 'set -- "$@" "$@"\n' * 40 + SSH,
    "here-documents": "for i in $(seq 1 3000); do iptables-restore -n <<E\n*filter\n" + "-A INPUT -s 1.2.3.4 -j DROP\n" * 300 + "COMMIT\nE\ndone\n",
    "nft and errors": "nft add table inet f\n" + "nft add rule inet f c accept\nnft add table ip t\n" * 9_000,
    "chains": "".join(f"iptables -N c{i}\niptables -A INPUT -j c{i}\n" for i in range(5_000)),
    "ufw": "".join(f"ufw allow {i}/tcp\n" for i in range(1, 3_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_take_too_long_is_unknown(name: str) -> None:
    tree = tree_of({PATH: "#!/bin/sh\n" + HOSTILE[name]})
    ruleset = Ruleset()
    possible.load(tree, PATH, ruleset)
    assert [missing.may_open for missing in ruleset.missing] == [True]
    assert not ruleset.tables


ODD = "ufw insert\nufw insert x allow 1\nufw allow in on\nufw delete\nufw allow 99999999999\nufw route\nufw allow from\n" \
    "ufw allow from 1.2.3.4/99 to ::1 port x\niptables\niptables -A\niptables -t\niptables -P INPUT\niptables -D INPUT 0\n" \
    "iptables -I INPUT 99999999999999999999 -j DROP\niptables -R INPUT 1\niptables -E a\nipset\nipset add\nnft\nnft add\n" \
    "\x1b[31m\x07\nX=$((\nY=$((9**9))\nshift 99999999999\nset -o\nread\ntrap\nexport\nprintf\n[ ]\n[ (\n.\nsh\neval\n"  # fmt: skip


@pytest.mark.parametrize("line", ODD.split("\n"))
def test_odd_commands_are_no_crash(line: str) -> None:
    tree = tree_of({PATH: f"#!/bin/bash\n{DROP}{line}\n{SSH}"})
    possible.load(tree, PATH, Ruleset())


def test_firewall_cmd() -> None:
    text = """systemctl enable --now firewalld
firewall-cmd --permanent --zone=public --add-service=https
firewall-cmd --permanent --remove-service ssh
for p in 25 587; do firewall-cmd --permanent --add-port=$p/tcp; done
firewall-cmd --reload
"""
    wanted = {443: "accept", 587: "accept", 22: "reject", 80: "reject"}
    assert {port: verdict(text, port) for port in wanted} == wanted
    assert verdict(text + "firewall-cmd --add-service=http\n", 443) == "unknown"
    assert verdict("systemctl stop firewalld\n" + DROP + SSH, 22) == "accept"
    assert verdict("ufw disable\n" + DROP + SSH, 22) == "accept"


UFW = {
    'the numbers of IPv6 rules follow those of IPv4': ('ufw allow 22\nufw insert 1 allow from 2000::/3 to any port 443 proto tcp\n', "2001:db8:9::1", "drop"),
    'an IPv6 rule is inserted behind those of IPv4': ('ufw deny 443\nufw insert 2 allow from 2000::/3\n', "2001:db8:9::1", "accept"),
    'a rule of both families is inserted in both': ('ufw deny 443\nufw insert 1 allow 443/tcp\n', "2001:db8:9::1", "accept"),
    'a rule that exists is not inserted': ('ufw deny 443\nufw insert 1 allow 443\n', "203.0.113.9", "drop"),
    'a rule that exists is replaced where it is': ('ufw deny 443\nufw allow 443\n', "203.0.113.9", "accept"),
    'nothing is inserted at zero': ('ufw insert 0 allow 443\n', "203.0.113.9", "drop"),
    "an application's rule is not the port's": ("ufw deny 'Nginx HTTPS'\nufw allow 443/tcp\n", "203.0.113.9", "drop"),
    'an application is known by its name in any case': ("ufw allow 'nginx https'\n", "203.0.113.9", "accept"),
    'an application that no package brings': ("ufw allow 'Shop'\n", "203.0.113.9", "unknown"),
    '0.0.0.0/0 is IPv4': ('ufw allow from 0.0.0.0/0 to any port 443 proto tcp\n', "2001:db8:9::1", "drop"),
    '::/0 is IPv6': ('ufw allow from ::/0 to any port 443 proto tcp\n', "203.0.113.9", "drop"),
    'a list of ports is sorted': ('ufw allow 443,80/tcp\nufw deny 80,443/tcp\n', "203.0.113.9", "drop"),
    'a log is a part of what is deleted': ('ufw allow log 443\nufw delete allow 443\n', "203.0.113.9", "accept"),
    'a comment is not': ('ufw allow 443 comment web\nufw delete allow 443\n', "203.0.113.9", "drop"),
    'a number counts over both families': ('ufw allow 443\nufw --force delete 2\n', "2001:db8:9::1", "drop"),
    'a number counts an application once': ("ufw deny 'Nginx Full'\nufw allow CIFS\nufw allow 'Nginx QUIC'\nufw --force delete 1\n", "203.0.113.9", "accept"),
    'a number is asked for': ('ufw allow 443\nufw delete 1\n', "203.0.113.9", "unknown"),
    'and agreed to': ('ufw allow 443\necho y | ufw delete 1\n', "203.0.113.9", "drop"),
    'and not agreed to': ('ufw allow 443\necho n | ufw delete 1\n', "203.0.113.9", "accept"),
    'a dry run': ('ufw --dry-run allow 443\n', "203.0.113.9", "drop"),
    'a rule is not forced': ('ufw --force allow 443\n', "203.0.113.9", "drop"),
    'a policy outlasts a reset': ('ufw default allow\nufw --force reset\n', "203.0.113.9", "accept"),
    'rules do not': ('ufw allow 443\nufw --force reset\n', "203.0.113.9", "drop"),
    'a direction of the default policy': ('ufw default allow in\n', "203.0.113.9", "drop"),
    'log behind the port': ('ufw allow 443 log\n', "203.0.113.9", "drop"),
    'log behind the interface': ('ufw allow in on eth0 log to any port 443\n', "203.0.113.9", "accept"),
    'log and a port alone behind the interface': ('ufw allow in on eth0 log 443\n', "203.0.113.9", "drop"),
    'a direction behind the port': ('ufw allow 443/tcp in\n', "203.0.113.9", "drop"),
    'a port without a side': ('ufw allow port 443\n', "203.0.113.9", "drop"),
    'several ports without a protocol': ('ufw allow from any to any port 443,80\n', "203.0.113.9", "drop"),
    'a protocol in capitals': ('ufw allow 443/TCP\n', "203.0.113.9", "drop"),
    'a protocol without ports': ('ufw allow proto esp from any to any port 443\n', "203.0.113.9", "drop"),
    'igmp is IPv4': ('ufw allow from 2000::/3 proto igmp\nufw allow 443\n', "2001:db8:9::1", "accept"),
    'host bits of IPv4': ('ufw allow from 203.0.113.7/24 to any port 443\nufw deny from 203.0.113.0/255.255.255.0 to any port 443\n', "203.0.113.9", "drop"),
    "IPv6 switched off in a file of ufw": ("ufw allow 443\nsed -i 's/IPV6=yes/IPV6=no/' /etc/default/ufw\n", "2001:db8:9::1", "unknown"),
    "IPv6 switched on where it is on": ("ufw allow 443\nsed -i 's/^IPV6=.*/IPV6=yes/' /etc/default/ufw\n", "2001:db8:9::1", "accept"),
    "the policy of what is forwarded in a file of ufw": ("ufw allow 443\nsed -i 's/DEFAULT_FORWARD_POLICY=\"DROP\"/DEFAULT_FORWARD_POLICY=\"ACCEPT\"/' /etc/default/ufw\n", "203.0.113.9", "accept"),
    "a default policy in a file of ufw": ("sed -i -e 's|DEFAULT_INPUT_POLICY=\"DROP\"|DEFAULT_INPUT_POLICY=\"ACCEPT\"|' /etc/default/ufw\n", "203.0.113.9", "accept"),
    "rules put into a file of ufw": ("ufw allow 443\ncat >> /etc/ufw/before.rules <<E\n-A ufw-before-input -j DROP\nE\n", "203.0.113.9", "unknown"),
    "a file of ufw put aside": ("ufw allow 443\ncp /etc/ufw/user.rules /root/\nrm -f /etc/ufw/*.rules.2*\n", "203.0.113.9", "accept"),
}  # fmt: skip


@pytest.mark.parametrize("name", UFW)
def test_ufw_keeps_its_rules(name: str) -> None:
    commands, source, wanted = UFW[name]
    assert verdict(f"{commands}ufw --force enable\n", 443, source) == wanted


FIREWALL_CMD = {
    "an interface in two zones": ("firewall-cmd --permanent --zone=public --add-interface=eth0\nfirewall-cmd --permanent --zone=trusted --add-interface=eth0\n", "unknown"),
    "an interface that is moved": ("firewall-cmd --permanent --zone=public --add-interface=eth0\nfirewall-cmd --permanent --zone=trusted --change-interface=eth0\n", "accept"),
    "a source is in one zone": ("firewall-cmd --permanent --zone=drop --add-source=203.0.113.0/24\nfirewall-cmd --permanent --zone=trusted --add-source=203.0.113.0/24\n", "drop"),
    "a source that is moved": ("firewall-cmd --permanent --zone=drop --add-source=203.0.113.0/24\nfirewall-cmd --permanent --zone=trusted --change-source=203.0.113.0/24\n", "accept"),
    "a source that is taken from another zone": ("firewall-cmd --permanent --zone=drop --add-source=203.0.113.0/24\nfirewall-cmd --permanent --zone=home --remove-source=203.0.113.0/24\n", "drop"),
    "an address that is none": ("firewall-cmd --permanent --zone=trusted --add-source=203.0.113.300\n", "reject"),
    "one that is none among others": ("firewall-cmd --permanent --zone=trusted --add-source=203.0.113.300 --add-source=203.0.113.0/24\n", "accept"),
    "two kinds of edits in one command": ("firewall-cmd --permanent --add-service=https --add-port=80/tcp\n", "reject"),
    "two services in one command": ("firewall-cmd --permanent --add-service=http --add-service=https\n", "accept"),
    "a zone behind the edit": ("firewall-cmd --permanent --add-service=https --zone=home\n", "reject"),
    "a port of a range is removed": ("firewall-cmd --permanent --add-port=400-500/tcp\nfirewall-cmd --permanent --remove-port=443/tcp\n", "reject"),
    "a port within a range is there already": ("firewall-cmd --permanent --add-port=400-500/tcp\nfirewall-cmd --permanent --add-port=443/tcp\nfirewall-cmd --permanent --remove-port=400-500/tcp\n", "reject"),
    "ports that overlap become one range": ("firewall-cmd --permanent --add-port=400-450/tcp\nfirewall-cmd --permanent --add-port=440-500/tcp\nfirewall-cmd --permanent --remove-port=443/tcp\n", "reject"),
    "ports that do not lie in one range stay": ("firewall-cmd --permanent --add-port=400-450/tcp\nfirewall-cmd --permanent --remove-port=440-500/tcp\n", "accept"),
    "a port by its name": ("firewall-cmd --permanent --add-port=https/tcp\n", "accept"),
    "a port without a protocol": ("firewall-cmd --permanent --add-port=443\n", "reject"),
    "a word that belongs to nothing": ("firewall-cmd --permanent now --add-port=443/tcp\n", "reject"),
    "a target in small letters": ("firewall-cmd --permanent --set-target=accept\n", "reject"),
    "--permanent with what stands alone": ("firewall-cmd --permanent --set-default-zone=trusted\n", "reject"),
    "the default zone": ("firewall-cmd --set-default-zone=trusted\n", "accept"),
    "a service asked for before it is added": ("firewall-cmd --permanent --query-service=https || firewall-cmd --permanent --zone=public --add-service=https\n", "accept"),
    "a service that is there is not added again": ("firewall-cmd --permanent --query-service=ssh || firewall-cmd --permanent --set-target=ACCEPT\n", "reject"),
    "a rich rule": ("firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=203.0.113.0/24 port port=443 protocol=tcp accept'\n", "accept"),
    "a rich rule is one however it is quoted": ("firewall-cmd --permanent --set-target=ACCEPT\nfirewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=203.0.113.0/24 drop'\nfirewall-cmd --permanent --remove-rich-rule='rule family=\"ipv4\" source address=\"203.0.113.0/24\" drop'\n", "accept"),
    "a rich rule that lacks its family": ("firewall-cmd --permanent --add-rich-rule='rule source address=203.0.113.0/24 accept'\n", "unknown"),
    "a rich rule with a limit of its log": ("firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=203.0.113.0/24 log prefix=x limit value=1/m drop'\nfirewall-cmd --permanent --set-target=ACCEPT\n", "drop"),
    "a forwarded port": ("firewall-cmd --permanent --add-forward-port=port=443:proto=tcp:toport=8443\n", "accept"),
    "a service asked for by a name that is not known": ("firewall-cmd --permanent --zone=public --query-service=\"$1\"\n", "reject"),
    "what may be an option": ("firewall-cmd --permanent --query-service=ssh $(cat /run/more)\n", "unknown"),
    "a zone that is made": ("firewall-cmd --permanent --new-zone=shop\nfirewall-cmd --permanent --zone=shop --add-service=https\nfirewall-cmd --reload\nfirewall-cmd --set-default-zone=shop\n", "accept"),
    "a zone that is made and not loaded": ("firewall-cmd --permanent --new-zone=shop\nfirewall-cmd --permanent --zone=shop --add-service=https\nfirewall-cmd --set-default-zone=shop\n", "reject"),
    "a zone that is not there": ("firewall-cmd --permanent --zone=nosuch --set-target=ACCEPT\n", "reject"),
    "a timeout": ("firewall-cmd --permanent --add-service=https --timeout=60\n", "reject"),
    "an abbreviation": ("firewall-cmd --permanent --add-serv=https\n", "unknown"),
    "a zone file that is written": ("firewall-cmd --permanent --add-service=https\necho '<zone/>' > /etc/firewalld/zones/public.xml\n", "unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIREWALL_CMD)
def test_firewall_cmd_keeps_its_zones(name: str) -> None:
    commands, wanted = FIREWALL_CMD[name]
    assert verdict(f"{commands}firewall-cmd --reload\n", 443) == wanted
