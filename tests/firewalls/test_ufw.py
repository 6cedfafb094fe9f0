"""/etc/ufw to the chains that ufw-init builds."""

from __future__ import annotations

import pytest

from sslint.firewalls import ufw, ufw_settings
from sslint.netfilter.model import Ruleset, Table
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet, judge
from sslint.tree import Tree
from tests.support import tree_of

BEFORE = """*filter
:{p}-before-input - [0:0]
:{p}-before-output - [0:0]
:{p}-before-forward - [0:0]
:{p}-not-local - [0:0]
-A {p}-before-input -i lo -j ACCEPT
-A {p}-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A {p}-before-input -m conntrack --ctstate INVALID -j {p}-logging-deny
-A {p}-before-input -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
AFTER = """*filter
:{p}-after-input - [0:0]
-A {p}-after-input -p udp --dport 137 -j {p}-skip-to-policy-input
COMMIT
"""
USER = """*filter
:{p}-user-input - [0:0]
:{p}-user-output - [0:0]
:{p}-user-forward - [0:0]
:{p}-user-limit - [0:0]
:{p}-user-limit-accept - [0:0]
### RULES ###

### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in
-A {p}-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_Nginx%20Full'

### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=c3368
-A {p}-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set
-A {p}-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 -j {p}-user-limit
-A {p}-user-input -p tcp --dport 22 -j {p}-user-limit-accept

### END RULES ###
-A {p}-user-limit -j REJECT
-A {p}-user-limit-accept -j ACCEPT
COMMIT
"""  # noqa: E501
DEFAULTS = """IPV6=yes
DEFAULT_INPUT_POLICY="DROP"
DEFAULT_OUTPUT_POLICY="ACCEPT"
DEFAULT_FORWARD_POLICY="DROP"
MANAGE_BUILTINS=no
"""


def files() -> dict[str, str]:
    found = {"/etc/ufw/ufw.conf": "# x\nENABLED=yes\n", "/etc/default/ufw": DEFAULTS}
    for suffix, prefix in ("", "ufw"), ("6", "ufw6"):
        for name, text in ("before", BEFORE), ("after", AFTER), ("user", USER):
            found[f"/etc/ufw/{name}{suffix}.rules"] = text.replace("{p}", prefix)
    return found


def load(**changes: str | None) -> tuple[Tree, Ruleset]:
    """Read ufw with some files changed: the names are paths with `/` as `__` and `.` as `_dot_`."""
    named = {
        "/" + name.replace("__", "/").replace("_dot_", "."): text for name, text in changes.items()
    }
    contents = {path: text for path, text in {**files(), **named}.items() if text is not None}
    tree = tree_of(contents)
    ruleset = Ruleset()
    assert ufw.read(tree, ruleset)
    return tree, ruleset


def filter_table(ruleset: Ruleset, family: str = "ip") -> Table:
    (table,) = [t for t in ruleset.tables if (t.family, t.name) == (family, "filter")]
    return table


def verdict(ruleset: Ruleset, port: int, source: str = "203.0.113.9", protocol: str = "tcp") -> str:
    host = "2001:db8::1" if ":" in source else "198.51.100.1"
    return judge(Firewall(ruleset), Packet(protocol, source, host, 40000, port)).verdict


def test_the_skeleton() -> None:
    tree, ruleset = load()
    assert tree.problems == []
    table = filter_table(ruleset)
    texts = [rule.items[-1].chain for rule in table.chains["INPUT"].rules]  # type: ignore[union-attr]
    assert texts == [
        f"ufw-{name}-input"
        for name in ("before-logging", "before", "after", "after-logging", "reject", "track")
    ]
    base = table.chains["INPUT"].base
    assert base is not None
    assert base.policy == "drop"
    assert str(base.policy_location) == "etc/default/ufw:2:1"
    last = table.chains["ufw-before-input"].rules[-1]
    assert last.items[-1].chain == "ufw-user-input"  # type: ignore[union-attr]
    assert last.location.path == "etc/ufw/ufw.conf"
    assert ruleset.families == {4, 6}
    assert [(source.kind, source.path) for source in ruleset.sources] == [("ufw", "etc/ufw")]


@pytest.mark.parametrize("source", ["203.0.113.9", "2001:db8:1::1"])
def test_verdicts(source: str) -> None:
    _, ruleset = load()
    assert verdict(ruleset, 443, source) == "accept"
    assert verdict(ruleset, 22, source) == "accept"
    assert verdict(ruleset, 993, source) == "drop"
    assert verdict(ruleset, 443, source, "udp") == "drop"


def test_rules_carry_the_application_that_wrote_them() -> None:
    _, ruleset = load()
    rules = filter_table(ruleset).chains["ufw-user-input"].rules
    assert [rule.label for rule in rules] == ["Nginx Full", "", "", ""]


@pytest.mark.parametrize(
    ("line", "on"),
    [
        ("ENABLED=yes", True),
        ("ENABLED=YES", True),
        ('ENABLED="yes"', True),
        ("ENABLED=yes # on", True),
        ("ENABLED=Yes", False),
        ("ENABLED=true", False),
        ("ENABLED=no", False),
        ("ENABLED=yes\nENABLED=no", False),
        ("#ENABLED=yes", False),
        ("", False),
    ],
)
def test_enabled(line: str, on: bool) -> None:
    tree = tree_of({**files(), "/etc/ufw/ufw.conf": line + "\n"})
    ruleset = Ruleset()
    assert ufw_settings.is_enabled(tree) is on
    assert ufw.read(tree, ruleset) is on
    assert bool(ruleset.tables) is on


@pytest.mark.parametrize("line", ["ENABLED={{ ufw_state }}", 'ENABLED="{{ x }}"', "ENABLED=$UFW"])
def test_a_template_that_decides_whether_it_starts_leaves_all_open(line: str) -> None:
    tree = tree_of({**files(), "/etc/ufw/ufw.conf": line + "\n"})
    ruleset = Ruleset()
    assert ufw_settings.is_enabled(tree) is None
    assert ufw.read(tree, ruleset)
    assert [missing.reason for missing in ruleset.missing] == [
        "a template decides whether ufw is enabled in etc/ufw/ufw.conf"
    ]
    assert not ruleset.tables


def test_without_etc_ufw() -> None:
    assert ufw.read(tree_of({}), Ruleset()) is False


def test_ipv6_no_closes_it() -> None:
    _, ruleset = load(etc__default__ufw=DEFAULTS.replace("IPV6=yes", "IPV6=no"))
    assert verdict(ruleset, 443, "2001:db8:1::1") == "drop"
    assert verdict(ruleset, 443) == "accept"
    base = filter_table(ruleset, "ip6").chains["INPUT"].base
    assert base is not None
    assert str(base.policy_location) == "etc/default/ufw:1:1"


@pytest.mark.parametrize(
    ("policy", "expected"), [("DROP", "drop"), ("REJECT", "reject"), ("ACCEPT", "accept")]
)
def test_default_policies(policy: str, expected: str) -> None:
    _, ruleset = load(
        etc__default__ufw=DEFAULTS.replace('INPUT_POLICY="DROP"', f"INPUT_POLICY={policy}")
    )
    assert verdict(ruleset, 993) == expected


def test_a_policy_in_lower_case_leaves_accept() -> None:
    tree, ruleset = load(
        etc__default__ufw=DEFAULTS.replace('INPUT_POLICY="DROP"', "INPUT_POLICY=drop")
    )
    assert verdict(ruleset, 993) == "accept"
    assert {str(problem.location) for problem in tree.problems} >= {"etc/default/ufw:2:1"}


def test_a_file_that_does_not_load_is_skipped_and_the_rest_loads() -> None:
    broken = BEFORE.replace("{p}", "ufw").replace(
        "COMMIT", "-A ufw-before-input --nonsense\nCOMMIT"
    )
    tree, ruleset = load(etc__ufw__before_dot_rules=broken)
    assert [str(problem.location) for problem in tree.problems] == ["etc/ufw/before.rules:10:1"]
    assert "ufw-not-local" not in filter_table(ruleset).chains
    assert verdict(ruleset, 443) == "accept"
    assert verdict(ruleset, 993) == "drop"


def test_tables_before_an_error_are_loaded() -> None:
    text = (
        "*nat\n-A PREROUTING -p tcp --dport 8443 -j REDIRECT --to-ports 443\nCOMMIT\n"
        "*filter\n-A nowhere -j DROP\nCOMMIT\n"
    )
    _, ruleset = load(etc__ufw__before_dot_rules=text)
    assert verdict(ruleset, 8443) == "accept"


def test_missing_files() -> None:
    tree, ruleset = load(etc__ufw__user_dot_rules=None)
    assert tree.problems == []
    assert [m.reason for m in ruleset.missing] == ["ufw loads etc/ufw/user.rules, which is missing"]
    assert "ufw-user-input" not in filter_table(ruleset).chains
    assert verdict(ruleset, 443) == "unknown"
    _, ruleset = load(etc__default__ufw=None)
    (missing,) = ruleset.missing
    assert missing.may_open


def test_user_rules_where_old_versions_keep_them() -> None:
    _, ruleset = load(
        etc__ufw__user_dot_rules=None, lib__ufw__user_dot_rules=USER.replace("{p}", "ufw")
    )
    assert verdict(ruleset, 443) == "accept"


def test_profiles() -> None:
    text = (
        "# comment\n[Nginx QUIC]\ntitle=Web Server\ndescription=x = y\n"
        "ports=80,443/tcp|443/udp\n\n[DNS]\nports=53\n[Range]\nports = 6000:6007/tcp\n"
    )
    found = ufw.profiles(tree_of({"/etc/ufw/applications.d/nginx": text}))
    assert found["Nginx QUIC"].ports == {"tcp": ((80, 80), (443, 443)), "udp": ((443, 443),)}
    assert found["Nginx QUIC"].title == "Web Server"
    assert str(found["Nginx QUIC"].location) == "etc/ufw/applications.d/nginx:2:1"
    assert found["DNS"].ports == {"tcp": ((53, 53),), "udp": ((53, 53),)}
    assert found["Range"].ports == {"tcp": ((6000, 6007),)}


ANYWHERE = "0.0.0.0/0 any 0.0.0.0/0"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (f"allow tcp 443 {ANYWHERE} in", ("allow", "443/tcp", False, 443)),
        (f"allow any 443 {ANYWHERE} in comment=78", ("allow", "443", True, 443)),
        (f"allow_log tcp 443 {ANYWHERE} in", ("allow log", "443/tcp", False, 443)),
        (f"limit_log-all tcp 22 {ANYWHERE} in", ("limit log-all", "22/tcp", False, 22)),
        (f"allow tcp 80,443 {ANYWHERE} Nginx%20Full - in", ("allow", "'Nginx Full'", False, None)),
        (f"allow tcp 60:61 {ANYWHERE} in", ("allow", "60:61/tcp", False, None)),
        ("allow tcp 443 0.0.0.0/0 any 10.0.0.0/8 in", None),
        ("allow tcp 443 10.0.0.1 any 0.0.0.0/0 in", None),
        ("allow tcp 993 0.0.0.0/0 53 0.0.0.0/0 in", None),
        (f"allow tcp 443 {ANYWHERE} in_eth0", None),
        (f"route:allow tcp 443 {ANYWHERE} in", None),
        (f"allow$(reboot) tcp 443 {ANYWHERE} in", None),
        (f"allow tcp 443;reboot {ANYWHERE} in", None),
        (f"allow tcp;x 443 {ANYWHERE} in", None),
        (
            f"allow tcp 443 {ANYWHERE} a%27;reboot;%27 - in",
            ("allow", "'a'\"'\"';reboot;'\"'\"''", False, 443),
        ),
    ],
)
def test_what_was_typed(fields: str, expected: tuple | None) -> None:
    text = f"### tuple ### {fields}\n-A ufw-user-input -p tcp --dport 443 -j ACCEPT\n-A more\n"
    file = tree_of({"/etc/ufw/user.rules": text}).read("/etc/ufw/user.rules")
    for line in (2, 3):
        found = ufw.written(file.at(line))
        assert (found and (found.action, found.what, found.both, found.port)) == expected
    assert ufw.written(file.at(1)) is None
