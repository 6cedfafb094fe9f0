"""Random ufw commands and edits of its files; the real ufw writes the rest."""

from __future__ import annotations

from tests.live.kernel.generators.iptables import Rules
from tests.live.kernel.generators.vocabulary import OWN, Vocabulary

APPLICATIONS = ("Nginx Full", "Nginx HTTP", "Postfix", "Postfix SMTPS", "Dovecot IMAP", "SSH")
SERVICES = ("https", "ssh", "smtp", "imaps", "domain")


def _address(words: Vocabulary, family: int) -> str:
    return words.prefix(family) if words.chance(0.8) else "any"


def _port(words: Vocabulary) -> str:
    if words.chance(0.7):
        return str(words.port())
    if words.chance(0.5):
        low, high = words.port_range()
        return f"{low}:{high}" if low < high else str(low)
    return ",".join(dict.fromkeys(str(words.port()) for _ in range(3)))


def command(words: Vocabulary) -> str:
    """Return the arguments of one ufw command."""
    pick = words.random.choice
    action = words.random.choices(("allow", "deny", "reject", "limit"), (8, 4, 2, 1))[0]
    if action == "limit":
        words.remembers_sources = True
    where = pick(("", "", "", "insert 1 ", "prepend "))
    log = pick(("", "", "", "", " log", " log-all"))
    direction = pick(("", "", " in", " in on eth0", " in on eth1", " out"))
    if words.chance(0.15):
        return f"{where}{action} {_simple(words)}"
    if words.chance(0.1):
        return f"route {action} in on eth0 out on eth1 to {words.prefix(4)}"
    if words.chance(0.08):
        return f"{action} '{pick(APPLICATIONS)}'"
    family = pick((4, 4, 6))
    proto = pick((" proto tcp", " proto tcp", " proto udp", ""))
    source, destination = _address(words, family), pick(("any", "any", "any", pick(OWN[family])))
    text = f"{where}{action}{direction}{log}{proto} from {source}"
    if words.chance(0.1) and proto:
        text += f" port {words.random.choice(('1024:65535', '443', '40000'))}"
    text += f" to {destination}"
    port = _port(words)
    if words.chance(0.85) and (proto or not set(port) & set(":,")):
        text += f" port {port}"
    if words.chance(0.05):
        text += f" comment '{pick(('web', 'a -j DROP', 'x: y'))}'"
    return text


def _simple(words: Vocabulary) -> str:
    pick = words.random.choice
    port = _port(words)
    if set(port) & set(":,"):
        return f"{port}/{pick(('tcp', 'udp'))}"
    return pick((port, f"{port}/tcp", f"{port}/udp", pick(SERVICES), f"{pick(SERVICES)}/tcp"))


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
    commands += [command(words) for _ in range(words.random.randint(0, 7))]
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
