"""Every rule fires where it must, and is silent on every sound host and every guard's case."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from sslint import ask, bundled, engine
from sslint.checker import check
from sslint.engine import compiled
from sslint.intent import parse
from sslint.servers import SERVERS
from sslint.targets import Target
from tests.cases import Case, load_cases, ruleset, sound_hosts, target

DIRECTORY = Path(__file__).parents[1] / "rules"
RULES = {
    document["name"]: engine.compile_rule(document, family)
    for family, documents in compiled.documents(DIRECTORY).items()
    for document in documents
}
CASES = load_cases()


def _host(case: Case) -> Target:
    running = ruleset(case.running) if case.running is not None else None
    networks = ask.networks(case.settings.get("networks", {}))
    expect = tuple(ask.expectation(one, networks) for one in case.settings.get("expect", ()))
    intent = parse(case.settings)
    return target(case.host, case.edits, intent=intent, expect=expect, running=running)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    result = check([_host(case)], [RULES[case.rule]])
    unread = [problem for problem in result.hosts[0].problems if problem.decisive]
    assert not unread or case.expect.get("incomplete")
    if not case.fires:
        assert [finding.message for finding in result.findings] == []
        return
    assert result.findings, "the rule is silent"
    finding = result.findings[0]
    assert len(result.findings) == case.expect.get("count", 1), [
        (f.message, str(f.span.location) if f.span else None) for f in result.findings
    ]
    assert finding.severity == case.expect["severity"], finding.message
    if "at" in case.expect:
        place = finding.span.location
        assert f"{place.path}:{place.line}" == case.expect["at"]
    for key in ("message", "clients", "advice"):
        assert case.expect.get(key, "") in getattr(finding, key)
    related = [f"{span.location.path}:{span.location.line}" for span in finding.related]
    for place in case.expect.get("related", ()):
        assert place in related


@pytest.mark.parametrize("name", sorted(RULES))
def test_rule_has_a_firing_and_a_silent_case(name: str) -> None:
    own = [case for case in CASES if case.rule == name]
    assert any(case.fires for case in own), "no case in which it fires"
    assert any(not case.fires for case in own), "no case in which it must stay silent"


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_guard_has_its_case(name: str) -> None:
    silent = [case.name for case in CASES if case.rule == name and not case.fires]
    assert RULES[name].document["guards"] == silent


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_severity_has_its_case(name: str) -> None:
    rule = RULES[name]
    wanted = {rule.default_severity, *(severity for _, severity in rule.severities)}
    fired = {case.expect["severity"] for case in CASES if case.rule == name and case.fires}
    assert fired == wanted


ALTERNATIVES = [
    (name, number)
    for name, rule in sorted(RULES.items())
    for number in range(len(rule.document.get("either", ())))
]


@pytest.mark.parametrize(("name", "number"), ALTERNATIVES)
def test_each_alternative_has_its_case(name: str, number: int) -> None:
    whole = RULES[name]
    document = {**whole.document, "either": [whole.document["either"][number]]}
    alone = engine.compile_rule(document, whole.family)
    cases = [case for case in CASES if case.rule == name and case.fires]
    assert any(check([_host(case)], [alone]).findings for case in cases)


def test_cases_are_of_rules() -> None:
    assert {case.rule for case in CASES} <= set(RULES)


@pytest.mark.parametrize("host", sound_hosts())
def test_sound_host_is_silent(host: str) -> None:
    result = check([target(host)], list(RULES.values()))
    found = [
        (finding.rule.name, finding.severity, finding.message)
        for finding in result.findings
        if finding.severity != "info"
    ]
    assert found == []
    assert not result.incomplete, result.hosts[0].problems


@pytest.mark.parametrize("name", sorted(RULES))
def test_rule_follows_the_schema(name: str) -> None:
    rule = RULES[name]
    jsonschema.validate(rule.document, json.loads(bundled.schema_text("rule")))
    assert (DIRECTORY / rule.family / f"{name}.yaml").is_file()


@pytest.mark.parametrize("name", sorted(RULES))
def test_words_that_differ_by_server_have_one_for_any_other(name: str) -> None:
    """Without it the name of a server would stand in the place of a sentence."""
    for field, words in RULES[name].words.items():
        if not isinstance(words, str) and words.keys() & {*SERVERS}:
            assert "*" in words or words.keys() >= {*SERVERS}, field


def test_causes_are_rules() -> None:
    assert {cause for rule in RULES.values() for cause in rule.consequence_of} <= set(RULES)


@pytest.mark.parametrize(
    ("typed", "commands"),
    [
        ("allow any 443 {} in", ("ufw delete allow 443", "ufw allow 443/tcp")),
        ("allow udp 443 {} in", ("ufw delete allow 443/udp",)),
        ("allow udp 80,443 {} in", ()),  # another port would be closed with it
    ],
)
def test_ufw_takes_back_what_was_typed(typed: str, commands: tuple[str, ...]) -> None:
    rule = "-A ufw-user-input -p udp --dport 443 -j ACCEPT\n"
    tuples = f"### tuple ### {typed.format('0.0.0.0/0 any 0.0.0.0/0')}\n{rule}\n### END RULES ###"
    edit = {"in": "etc/ufw/user.rules", "replace": "### END RULES ###", "by": tuples}
    result = check([target("web-ufw", (edit,))], [RULES["open-port-no-listener"]])
    [finding] = result.findings
    assert result.fixes[id(finding)].commands == commands


def test_a_name_that_a_shell_would_obey_is_quoted_where_it_may_be_pasted() -> None:
    live = "etc/letsencrypt/renewal/www.example.org.conf"
    text = (target("web-certbot").tree.root / live).read_text()
    changes = (
        {"remove": "etc/letsencrypt/renewal-hooks/deploy/reload"},
        {"remove": live},
        {"write": "etc/letsencrypt/renewal/a;reboot.conf", "text": text},
    )
    [finding] = check([target("web-certbot", changes)], [RULES["renewal-no-reload"]]).findings
    assert "--cert-name 'a;reboot' --deploy-hook" in finding.advice
    assert finding.message == "nothing reloads nginx after a;reboot is renewed"


@pytest.mark.parametrize("unit", ["apache2", "httpd"])
def test_the_hook_names_the_unit_of_the_server(unit: str) -> None:
    """Of Apache, Debian's is apache2.service and Fedora's is httpd.service."""
    changes = (
        {"remove": "etc/letsencrypt/renewal-hooks/deploy/reload"},
        {"write": f"etc/systemd/system/multi-user.target.wants/{unit}.service", "text": ""},
    )
    [finding] = check([target("web-apache", changes)], [RULES["renewal-no-reload"]]).findings
    assert f"--deploy-hook 'systemctl reload {unit}'" in finding.advice
    assert finding.message.startswith("nothing reloads apache after")
