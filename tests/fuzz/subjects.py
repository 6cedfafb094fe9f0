"""What is fuzzed: the readers, a subject each, and whole hosts with rules, fixes and reports.

An input of a subject is cut into the files of a host.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jsonschema

from sslint import announcements, ask, bundled, config, engine, intent, silence, yamlfile
from sslint.budgets import Budgets, ExhaustedError, begin, end
from sslint.checker import check
from sslint.errors import SslintError
from sslint.firewalls import firewalld, ipset, iptables, nftables, ufw
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import nft_json
from sslint.firewalls.scripts import reader as scripts
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall
from sslint.plain import harmless
from sslint.reports.data import check_report
from sslint.reports.terminal import Painter
from sslint.reports.text import check_text
from sslint.result import Result
from sslint.servers import servers
from sslint.servers.apache import reader as apache
from sslint.servers.dovecot import reading as dovecot
from sslint.servers.interface import Context
from sslint.servers.nginx import reader as nginx
from sslint.servers.postfix import reader as postfix
from sslint.servers.programs import containers
from sslint.targets import Target
from sslint.tree import Tree, TreeError
from tests import pki
from tests.cases import SOUND, load_cases, target

SEPARATOR = "\n%%%%\n"  # between the files of one input
KEY = pki.key_pem("canary")
CANARIES = [line for line in KEY.splitlines() if not line.startswith("-----")]
FOUND = Path(__file__).parent / "found"
EXAMPLES = SOUND.parents[1] / "examples"


@dataclass(frozen=True)
class Subject:
    """Readers that are fed together. `places` are where the parts of an input lie."""

    name: str
    places: tuple[str, ...]
    read: Callable[[Tree], object]
    beside: dict[str, str] = field(default_factory=dict)  # what never changes
    random_seeds: Callable[[int], dict[str, str]] | None = None  # by place
    given: tuple[str, ...] = ()  # of the places, what is announced
    whole: int = 64  # every so manieth input is checked whole, and reported

    def files(self, data: bytes) -> dict[str, str]:
        """Return the files that an input stands for."""
        parts = data.decode("utf-8", "surrogateescape").split(SEPARATOR)
        shown = zip(self.places, parts, strict=False)
        return {**self.beside, **{place: text for place, text in shown if text}}

    def pack(self, files: dict[str, str]) -> bytes:
        """Return the input that stands for files."""
        text = SEPARATOR.join(files.get(place, "") for place in self.places)
        return text.encode("utf-8", "surrogateescape")

    def tree(self, data: bytes) -> Tree:
        return Tree(None, overlay=self.files(data))


def run(subject: Subject, data: bytes, *, whole: bool | None = None) -> None:
    """Read one input, and some of them whole: a crash is an exception, so is a broken promise."""
    token = begin(Budgets())
    with contextlib.suppress(SslintError, RulesetError, TreeError, ExhaustedError):
        subject.read(subject.tree(data))
    end(token)
    if whole or (whole is None and zlib.crc32(data) % subject.whole == 0):
        report(subject, data)


def report(subject: Subject, data: bytes) -> str:
    """Check a host whole and return its report; it fits its schema, and no key is in it."""
    result = checked(subject, data)
    found = json.dumps(check_report(result), indent=1)
    _schema().validate(json.loads(found))
    shown = harmless(check_text(result, Painter(False), width=100, verbose=True))
    for canary in CANARIES:
        assert canary not in found, "a key is in the JSON report"
        assert canary not in shown, "a key is in the text report"
    strange = {char for char in shown if char != "\n" and not char.isprintable()}
    assert not strange, f"control characters in the report: {strange!a}"
    return found + shown


def checked(subject: Subject, data: bytes) -> Result:
    """Check the host that an input stands for."""
    one = Target("host", subject.tree(data), announced=subject.given, now=pki.NOW)
    return check([one], engine.bundled())


@cache
def _schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(bundled.schema_text("report")))


# -- the readers ----------------------------------------------------------------------------------

NFT = ("/etc/nftables.conf", "/etc/nftables.d/more.nft", "/given/firewall/0/listing.json")
DUMPS = ("/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/iptables/ipsets")
MANAGERS = (
    "/etc/ufw/user.rules", "/etc/ufw/user6.rules", "/etc/ufw/before.rules", "/etc/default/ufw",
    "/etc/ufw/applications.d/nginx", "/etc/firewalld/zones/public.xml",
    "/etc/firewalld/zones/internal.xml", "/etc/firewalld/firewalld.conf",
    "/etc/firewalld/services/custom.xml", "/etc/firewalld/policies/policy0.xml",
    "/etc/firewalld/ipsets/set0.xml", "/etc/firewalld/direct.xml",
)  # fmt: skip
NGINX = ("/etc/nginx/nginx.conf", "/etc/nginx/sites-enabled/www", "/etc/nginx/conf.d/a.conf")
POSTFIX = ("/etc/postfix/main.cf", "/etc/postfix/master.cf", "/etc/postfix/sni")
DOVECOT = (
    "/etc/dovecot/dovecot.conf", "/etc/dovecot/conf.d/10-ssl.conf", "/etc/dovecot/local.conf",
)  # fmt: skip
APACHE = (
    "/etc/apache2/apache2.conf", "/etc/apache2/ports.conf", "/etc/apache2/envvars",
    "/etc/apache2/sites-enabled/000-www.conf", "/etc/apache2/sites-enabled/www-ssl.conf",
)  # fmt: skip
PROGRAMS = (
    "/etc/haproxy/haproxy.cfg", "/etc/caddy/Caddyfile", "/etc/lighttpd/lighttpd.conf",
    "/etc/stunnel/stunnel.conf", "/etc/exim4/exim4.conf", "/etc/cyrus.conf",
)  # fmt: skip
COMPOSE = ("/docker-compose.yml", "/.env", "/proxy/compose.yaml", "/etc/nginx/nginx.conf")
SCRIPTS = ("/etc/firewall.sh", "/etc/firewall.d/functions", "/etc/iptables/rules.v4")
DOCUMENTS = (
    "/etc/bind/named.conf", "/etc/bind/db.example.org", "/given/announced/0/zone",
    "/given/announced/1/config-v1.1.xml", "/given/announced/2/autodiscover.xml",
    "/given/announced/3/mail.mobileconfig", "/given/announced/4/mta-sts.txt",
)  # fmt: skip
HOST = (
    "/etc/nftables.conf", *DUMPS, *NGINX, *POSTFIX, *DOVECOT, *DOCUMENTS,
    "/etc/letsencrypt/renewal/www.example.org.conf", "/etc/letsencrypt/renewal-hooks/deploy/reload",
    "/etc/network/interfaces", "/etc/default/ufw", "/etc/ufw/user.rules", "/etc/ufw/ufw.conf",
    "/etc/haproxy/haproxy.cfg", "/etc/docker-compose.yml",
)  # fmt: skip
SETTINGS = ("/.sslint.yaml", "/rule.yaml", "/baseline.json")


def _ask(ruleset: Ruleset) -> None:
    firewall = Firewall(ruleset)
    for family in (4, 6):
        firewall.reach("tcp", 443, family)  # type: ignore[arg-type]


def _attempt(action: Callable[[], object]) -> None:
    """Read one of several files: what is refused leaves the others."""
    with contextlib.suppress(RulesetError, TreeError, ExhaustedError):
        action()


def _nft(tree: Tree) -> None:
    for path in (NFT[0], NFT[2]):
        if tree.exists(path):
            ruleset = Ruleset()
            if path == NFT[0]:
                _attempt(lambda ruleset=ruleset: nftables.read(tree, NFT[0], ruleset))
            else:
                _attempt(lambda ruleset=ruleset: nft_json.read(tree.read(NFT[2]), ruleset))
            _ask(ruleset)


def _iptables(tree: Tree) -> None:
    ruleset = Ruleset()
    for path, family in ((DUMPS[0], 4), (DUMPS[1], 6)):
        if tree.exists(path):
            file = tree.read(path)
            strict = bool(len(file.text) % 2)
            _attempt(
                lambda file=file, family=family, strict=strict: iptables.read(
                    file, family, into=ruleset, strict=strict
                )
            )
    if tree.exists(DUMPS[2]):
        _attempt(lambda: ipset.read(tree.read(DUMPS[2]), ruleset))
    ipset.resolve(ruleset)
    _ask(ruleset)


def _managers(tree: Tree) -> None:
    for read in (
        lambda ruleset: ufw.read(tree, ruleset, named=True),
        lambda ruleset: firewalld.read(tree, ruleset),
    ):
        ruleset = Ruleset()
        _attempt(lambda read=read, ruleset=ruleset: read(ruleset))
        _ask(ruleset)


def _scripts(tree: Tree) -> None:
    for bash in (False, True):
        ruleset = Ruleset()
        _attempt(lambda bash=bash, into=ruleset: scripts.read(
            tree, tree.read(SCRIPTS[0]), into, bash=bash))  # fmt: skip
        ipset.resolve(ruleset)
        _ask(ruleset)


def _programs(tree: Tree) -> None:
    """Read each program whose file is there."""
    for server in servers():
        if any(entry in PROGRAMS and tree.exists(entry) for entry in server.entries):
            _attempt(lambda server=server: server.read(tree, Context()))


def _compose(tree: Tree) -> None:
    list(containers.compose(tree))
    list(containers.publications(tree))


def _settings(tree: Tree) -> None:
    """Take the parts for a configuration, a rule and a baseline."""
    texts = {path: tree.read(path).text.encode("utf-8", "surrogateescape")
             for path in SETTINGS if tree.exists(path)}  # fmt: skip
    with contextlib.suppress(SslintError):
        document = yamlfile.read("c", texts.get(SETTINGS[0], b""))
        yamlfile.validate(document, "config")
        read = config.Config(Path("/nowhere/.sslint.yaml"), document)
        intent.parse(document.values, read.error)
        named = ask.networks(document.values.get("networks", {}))
        for entry in document.values.get("expect", ()):
            ask.expectation(entry, named)
    with contextlib.suppress(SslintError):
        document = yamlfile.read("r", texts.get(SETTINGS[1], b""), fractions=True)
        yamlfile.validate(document, "rule")
        rule = engine.compile_rule(document.values, engine.OWN)
        engine.run([rule], _facts())
    with contextlib.suppress(SslintError):
        silence.apply_baseline(Result([]), "b", texts.get(SETTINGS[2], b""))


@cache
def _facts() -> object:
    from sslint import host
    from sslint.facts.collection import Facts

    return Facts(host.read(target("mail-announced")))


def _lab(kind: str, names: dict[str, str], start: str = "") -> Callable[[int], dict[str, str]]:
    """Return what makes a random ruleset of the kernel's tests of a seed, by place."""

    def make(seed: int) -> dict[str, str]:
        from tests.live.kernel.generators import generate

        texts = generate(kind, seed, 0).rulesets
        return {names.get(name, start + name): text for name, text in texts.items()}

    return make


def _apache(seed: int) -> dict[str, str]:
    from tests.live.apache_configurations import Generator

    files = Generator(random.Random(seed)).write()
    texts = {f"/etc/apache2/{name}": text for name, text in files.items()}
    return {place: text for place, text in texts.items() if place in APACHE}


def _generated(*names: str) -> Callable[[int], dict[str, str]]:
    """Return what makes a random configuration of one of some programs, by place."""

    def make(seed: int) -> dict[str, str]:
        os.environ.setdefault("SSLINT_SEED", "0")  # which the module of the generators asks for
        from tests.live import exim_lab, test_programs_live

        name = names[seed % len(names)]
        if name == "exim":
            files = exim_lab.Generator(random.Random(seed)).write()
            return {f"/etc/exim4/{place}": text for place, text in files.items()}
        place = next(place for place in PROGRAMS if f"/{name}" in place)
        write, _ = test_programs_live.NAMES[name]
        return {place: write(random.Random(seed))[1]}

    return make


_BOTH = {"v4": DUMPS[0], "v6": DUMPS[1], "ipset": DUMPS[2]}
_CLOSED = {"/etc/nftables.conf": "table inet f {\n chain i {\n  type filter hook input priority 0;"
           " policy drop;\n  tcp dport { 25, 80 } accept\n }\n}\n"}  # fmt: skip
_KEY = {"/etc/ssl/private/key.pem": KEY}

SUBJECTS = {
    one.name: one
    for one in (
        Subject("nft", NFT, _nft, random_seeds=_lab("nft", {"nft": NFT[0]})),
        Subject("iptables", DUMPS, _iptables, random_seeds=_lab("iptables", _BOTH)),
        Subject("managers", MANAGERS, _managers,
                random_seeds=_lab("firewalld", {}, "/etc/firewalld/")),
        Subject("nginx", NGINX, nginx.read, {**_CLOSED, **_KEY}),
        Subject("postfix", POSTFIX, postfix.read, {**_CLOSED, **_KEY}),
        Subject("dovecot", DOVECOT, dovecot.read, {**_CLOSED, **_KEY}),
        Subject("apache", APACHE, lambda tree: apache.read(tree), {**_CLOSED, **_KEY},
                random_seeds=_apache),
        Subject("haproxy", PROGRAMS[:1], _programs, {**_CLOSED, **_KEY},
                random_seeds=_generated("haproxy")),
        Subject("caddy", PROGRAMS[1:2], _programs, {**_CLOSED, **_KEY},
                random_seeds=_generated("caddy")),
        Subject("programs", PROGRAMS[2:], _programs, {**_CLOSED, **_KEY},
                random_seeds=_generated("lighttpd", "stunnel", "exim")),
        Subject("compose", COMPOSE, _compose, _CLOSED),
        Subject("scripts", SCRIPTS, _scripts),
        Subject("documents", DOCUMENTS,
                lambda tree: announcements.read(tree, [d for d in DOCUMENTS[2:] if tree.exists(d)]),
                _CLOSED, given=DOCUMENTS[2:]),
        Subject("settings", SETTINGS, _settings),
        Subject("host", HOST, lambda tree: None, _KEY, given=DOCUMENTS[2:], whole=1),
    )
}  # fmt: skip


# -- what to begin with ---------------------------------------------------------------------------


@cache
def seeds(name: str, *, few: bool = False) -> tuple[bytes, ...]:
    """Return the inputs that mutation begins with: the hosts of the tests, and what was found.

    A `few` are those of the sound hosts and examples, and some random rulesets.
    """
    subject = SUBJECTS[name]
    made = dict.fromkeys(subject.pack(files) for files in _sources(subject, few))
    if subject.random_seeds is not None:
        for seed in range(4 if few else 20):
            made[subject.pack(subject.random_seeds(seed))] = None
    for path in sorted((FOUND / name).glob("*")):
        made[path.read_bytes()] = None
    return tuple(data for data in made if data.strip(b"\n%"))


def _sources(subject: Subject, few: bool) -> Iterator[dict[str, str]]:
    if subject.name == "settings":
        yield from _settings_seeds()
        return
    trees = [Tree(path) for path in (*sorted(SOUND.iterdir()), *sorted(EXAMPLES.iterdir()))
             if path.is_dir()]  # fmt: skip
    if not few:
        trees += [target(case.host, case.edits).tree for case in load_cases()]
    for tree in trees:
        found = {}
        for place in subject.places:
            file = tree.try_read(place) if tree.exists(place) else None
            if file is not None:
                found[place] = file.text
        yield found
        tree.close()
    for place, text in _TEXTS.items():
        if place in subject.places:
            yield {place: text}


def _settings_seeds() -> Iterator[dict[str, str]]:
    yield {SETTINGS[0]: _CONFIGURATION, SETTINGS[2]: '{"version": 1, "findings": {"a": "b"}}'}
    for path in sorted(SOUND.parents[1].glob("rules/*/*.yaml"))[::4]:
        yield {SETTINGS[1]: path.read_text()}


_CONFIGURATION = """\
fail_on: warning
hosts: {mail: {postfix: deploy, firewall: [a, b], paths: {/etc/ssl: certs}, host_ip: [192.0.2.1]}}
networks: {office: [10.0.0.0/8, "2001:db8::/32"]}
expose: {8443/tcp: [office]}
internal: [9090]
nat: {8443: 443}
versions: {nginx: 1.26.2}
expect:
  - {port: 443, is: open}
  - {port: 5432/udp, from: office, is: closed, family: ipv4}
"""
_TEXTS = {
    NFT[2]: json.dumps({"nftables": [
        {"table": {"family": "inet", "name": "f", "handle": 1}},
        {"chain": {"family": "inet", "table": "f", "name": "i", "handle": 1, "type": "filter",
                   "hook": "input", "prio": 0, "policy": "drop"}},
        {"set": {"family": "inet", "table": "f", "name": "s", "type": "ipv4_addr",
                 "flags": ["interval"], "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]}},
        {"rule": {"family": "inet", "table": "f", "chain": "i", "expr": [
            {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established"]}},
            {"accept": None}]}},
        {"rule": {"family": "inet", "table": "f", "chain": "i", "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                       "right": {"set": [80, {"range": [443, 445]}]}}}, {"accept": None}]}},
    ]}),
    SCRIPTS[0]: """#!/bin/bash
. /etc/firewall.d/functions
PORTS="80 443 ${MAIL:-25}"
OPEN=(993 995)
ipset create bad hash:net
for family in iptables ip6tables; do
  $family -F; $family -P INPUT DROP
  $family -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
  for port in $PORTS "${OPEN[@]}" $(seq 8000 8002); do
    open_port "$family" $port
  done
done
case "$1" in stop) iptables -P INPUT ACCEPT ;; start|"") ufw allow 22/tcp ;; esac
while read -r net rest; do ipset add bad "$net"; done <<EOF
192.0.2.0/24 known
EOF
iptables -I INPUT -m set --match-set bad src -j DROP
if [ -n "$X" ] && [[ $X == a* ]]; then nft add rule inet f i tcp dport $((P + 1)) accept; fi
firewall-cmd --permanent --zone=public --add-service=https
iptables-restore -n < /etc/iptables/rules.v4
""",
    SCRIPTS[1]: 'open_port() { "$1" -A INPUT -p tcp --dport "$2" -j ACCEPT; }\n',
    COMPOSE[0]: """services:
  web: &web
    image: "nginx:${VERSION:-1.27}"
    ports: ["443:443", "80:80/tcp", "127.0.0.1:8080-8081:80-81"]
    expose: [{target: 53, published: "53", protocol: udp}]
    environment: {A: "${B:?missing}"}
    networks: [front]
    volumes: ["./nginx.conf:/etc/nginx/nginx.conf:ro"]
  other:
    <<: *web
    network_mode: host
    profiles: [extra]
include: [proxy/compose.yaml]
networks: {front: {driver: bridge, ipam: {config: [{subnet: 172.28.0.0/16}]}}}
""",
    COMPOSE[1]: "VERSION=1.25\nB='x y'\n",
    COMPOSE[2]: "services:\n  db:\n    image: postgres\n    ports: ['5432:5432']\n",
    PROGRAMS[5]: "START { recover cmd=\"ctl_cyrusdb -r\" }\nSERVICES {\n"
                 " imaps cmd=\"imapd -s\" listen=\"imaps\" prefork=1\n}\n",
    MANAGERS[7]: "DefaultZone=public\nFirewallBackend=nftables\n",
    MANAGERS[9]: '<policy priority="-5" target="DROP"><ingress-zone name="ANY"/>'
                 '<egress-zone name="HOST"/><service name="https"/></policy>',
    MANAGERS[11]: '<direct><rule ipv="ipv4" table="filter" chain="INPUT" priority="0">'
                  "-p tcp --dport 443 -j ACCEPT</rule></direct>",
    POSTFIX[2]: "a.example.org /etc/ssl/private/key.pem\n",
    DOVECOT[1]: "ssl = required\nssl_cert = </etc/ssl/private/key.pem\n",
    DOCUMENTS[3]: '<clientConfig version="1.1"><emailProvider id="example.org">'
                  '<domain>example.org</domain><incomingServer type="imap"><hostname>mail.example'
                  ".org</hostname><port>993</port><socketType>SSL</socketType></incomingServer>"
                  "</emailProvider></clientConfig>",
    DOCUMENTS[4]: '<Autodiscover><Response xmlns="http://schemas.microsoft.com/exchange/'
                  'autodiscover/outlook/responseschema/2006a"><Account><AccountType>email'
                  "</AccountType><Action>settings</Action><Protocol><Type>IMAP</Type><Server>mail."
                  "example.org</Server><Port>993</Port><SSL>on</SSL></Protocol></Account>"
                  "</Response></Autodiscover>",
    DOCUMENTS[5]: '<plist version="1.0"><dict><key>PayloadContent</key><array><dict><key>'
                  "PayloadType</key><string>com.apple.mail.managed</string><key>"
                  "IncomingMailServerHostName</key><string>mail.example.org</string><key>"
                  "IncomingMailServerPortNumber</key><integer>993</integer><key>"
                  "IncomingMailServerUseSSL</key><true/></dict></array></dict></plist>",
    DOCUMENTS[6]: "version: STSv1\nmode: enforce\nmx: mail.example.org\nmax_age: 604800\n",
    DOCUMENTS[2]: "$ORIGIN example.org.\n$TTL 1h\n@ IN SOA ns h 1 2 3 4 5\n@ MX 10 mail\n"
                  "mail A 192.0.2.1\n_imaps._tcp SRV 0 1 993 mail\n@ HTTPS 1 . alpn=h3 port=8443\n"
                  "_25._tcp.mail TLSA 3 1 1 "
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
}  # fmt: skip
