"""Random ufw commands and edits of its files; the real ufw writes the rest."""

from __future__ import annotations

import shlex

from tests.live.kernel.generators.iptables import Rules
from tests.live.kernel.generators.vocabulary import OWN, Vocabulary

APPLICATIONS = (
    *("Nginx Full", "Nginx HTTP", "nginx https", "Nginx QUIC", "Postfix", "Postfix SMTPS"),
    *("Dovecot IMAP", "SSH", "DNS", "CIFS"),
)
SERVICES = ("https", "ssh", "smtp", "imaps", "domain")
PORTLESS = ("esp", "ah", "gre", "igmp", "ipv6", "vrrp")
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
# What is put into a command that ufw then mostly refuses.
STRAY = (
    *("log", "in", "out", "on", "eth0", "to", "any", "port", "443", "from", "proto", "tcp", "app"),
    *("comment", "insert", "0", "443,80", "80:443", "443/tcp", "delete", "ALLOW", "route", "::1"),
)


def _address(words: Vocabulary, family: int) -> str:
    if words.chance(0.1):
        return ANYWHERE[family]
    return words.prefix(family) if words.chance(0.8) else "any"


def _port(words: Vocabulary) -> str:
    if words.chance(0.7):
        return str(words.port())
    if words.chance(0.5):
        low, high = words.port_range()
        return f"{low}:{high}" if low < high else str(low)
    return ",".join(dict.fromkeys(str(words.port()) for _ in range(3)))


def command(words: Vocabulary, earlier: list[str]) -> str:
    """Return the arguments of one ufw command; rules that were told already are told again."""
    pick = words.random.choice
    if words.chance(0.07):
        return f"--force delete {words.random.randint(1, 5)}"
    if words.chance(0.02):
        return pick(("--force reset", "reload", "app update all", "logging on", "default deny"))
    action = words.random.choices(("allow", "deny", "reject", "limit"), (8, 4, 2, 1))[0]
    if action == "limit":
        words.remembers_sources = True
    where = pick(("", "", "", "", "delete ", "prepend ", f"insert {words.random.randint(1, 5)} "))
    rule = pick(earlier) if earlier and words.chance(0.3) else _rule(words)
    earlier.append(rule)
    if words.chance(0.05):
        rule += f" comment {pick(('web', chr(39) + 'a -j DROP' + chr(39)))}"
    text = f"{where}{action} {rule.removeprefix('route ')}"
    text = f"route {text}" if rule.startswith("route ") else text
    return f"--dry-run {text}" if words.chance(0.04) else text


def _rule(words: Vocabulary) -> str:
    """Return a rule without its action."""
    pick = words.random.choice
    log = pick(("", "", "", "", "log ", "log-all "))
    if words.chance(0.15):
        return f"{pick(('', 'in ', 'out '))}{log}{_simple(words)}"
    if words.chance(0.1):
        return f"route in on eth0 {pick(('', 'out on eth1 '))}to {words.prefix(4)}"
    if words.chance(0.1):
        return f"'{pick(APPLICATIONS)}'"
    direction = pick(("", "", "in ", "in on eth0 ", "in on eth1 ", "out "))
    family = pick((4, 4, 6))
    source, destination = _address(words, family), pick(("any", "any", "any", pick(OWN[family])))
    if words.chance(0.1):
        application = pick(APPLICATIONS[3:])
        return f"{direction}{log}from {source} to {destination} app '{application}'"
    if words.chance(0.05):
        return f"{direction}{log}proto {pick(PORTLESS)} from {source} to {destination}"
    proto = pick(("proto tcp ", "proto tcp ", "proto udp ", ""))
    text = f"{direction}{log}{proto}from {source}"
    if words.chance(0.1) and proto:
        text += f" port {words.random.choice(('1024:65535', '443', '40000'))}"
    text += f" to {destination}"
    port = _port(words)
    if words.chance(0.85) and (proto or not set(port) & set(":,")):
        text += f" port {port}"
    return text


def _simple(words: Vocabulary) -> str:
    pick = words.random.choice
    port = _port(words)
    if set(port) & set(":,"):
        return f"{port}/{pick(('tcp', 'udp'))}"
    return pick((port, f"{port}/tcp", f"{port}/udp", pick(SERVICES), f"{pick(SERVICES)}/tcp"))


def odd(words: Vocabulary, text: str) -> list[str]:
    """Return the words of a command with one that is missing, strayed, or in another's place."""
    found = shlex.split(text)
    at = words.random.randrange(len(found))
    kind = words.random.randrange(3)
    if kind == 0:
        del found[at]
    elif kind == 1:
        found.insert(at, words.random.choice(STRAY))
    else:
        other = words.random.randrange(len(found))
        found[at], found[other] = found[other], found[at]
    return found


def _edits(words: Vocabulary, family: int, stage: str) -> str:
    """Return rules that somebody wrote into before.rules or after.rules."""
    rules = Rules(words, family)
    chain = f"ufw{'6' if family == 6 else ''}-{stage}-input"
    return "\n".join(
        rules.rule("filter", chain, "INPUT", []) for _ in range(words.random.randint(1, 3))
    )


def _translations(words: Vocabulary, family: int) -> str:
    rules = Rules(words, family)
    lines = [
        f"-A PREROUTING -p tcp --dport {words.port()} {rules.translation()}"
        for _ in range(words.random.randint(1, 2))
    ]
    return "\n".join(["*nat", ":PREROUTING ACCEPT [0:0]", *lines, "COMMIT"])


def rulesets(words: Vocabulary) -> dict[str, str]:
    """Return ufw's commands, defaults, and additions to its rules files, by name."""
    commands = []
    if words.chance(0.4):
        policy = words.random.choice(("allow", "reject", "deny"))
        commands.append(f"default {policy} incoming")
    if words.chance(0.2):
        commands.append(f"logging {words.random.choice(('off', 'full', 'medium'))}")
    earlier: list[str] = []
    commands += [command(words, earlier) for _ in range(words.random.randint(0, 9))]
    result = {"ufw": "\n".join(commands) + "\n"}
    if words.chance(0.12):
        result["ufw-ipv6"] = words.random.choice(("no", "NO", "yes"))
    for family in (4, 6):
        suffix = "6" if family == 6 else ""
        for stage in ("before", "after"):
            if words.chance(0.2):
                result[f"{stage}{suffix}.rules"] = _edits(words, family, stage)
        if words.chance(0.15):
            result[f"nat{suffix}"] = _translations(words, family)
    return result
