"""Facts about the certificates that certbot renews, and its hooks."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sslint.certificates import Certificate, Link, load
from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.ports import Listener, listening
from sslint.facts.proxies import only_proxies
from sslint.facts.reach import Reach, blocking_spans
from sslint.host import listeners
from sslint.regex import is_number
from sslint.renewal import DIRECTORY, LETS_ENCRYPT, starters_known
from sslint.servers import servers
from sslint.servers.model import CertificateRef

if TYPE_CHECKING:
    from sslint.announcements.model import Record
    from sslint.facts.collection import Facts
    from sslint.host import Host
    from sslint.renewal import Hook as Script
    from sslint.renewal import Lineage as Source
    from sslint.servers.model import Endpoint

ACME_PORT = 80
HOOKS = f"{DIRECTORY}/renewal-hooks"
# A container's first process: what it runs may watch the certificates, and there is no systemd.
SUPERVISORS = ("/etc/supervisor/supervisord.conf", "/etc/supervisor/conf.d", "/etc/s6-overlay")


def lineages(facts: Facts) -> list[Lineage]:
    """Return a fact for each certificate that certbot renews."""
    return [Lineage(facts, lineage) for lineage in facts.host.renewal.lineages]


def latest(facts: Facts) -> dict[object, tuple[datetime, str]]:
    """Return, for the same names and kind of key, the lineage that expires last, and when."""
    found: dict[object, tuple[datetime, str]] = {}
    for lineage in facts.host.renewal.lineages:
        leaf = own_certificate(facts.host, lineage).leaf
        if leaf is not None:
            entry = (leaf.not_after, lineage.name)
            kind = _kind(leaf)
            found[kind] = max(found.get(kind, entry), entry, key=lambda e: e[0])
    return found


def _kind(leaf: Link) -> object:
    """Return what two lineages have in common if one is there instead of the other."""
    return frozenset(leaf.names), leaf.key_algorithm.split("-")[0]


def users(host: Host, lineage: Source) -> dict[str, CertificateRef]:
    """Return which servers name a file of a lineage, with one place for each."""
    if host.by_directory is None:
        host.by_directory = {}
        for reading in host.readings:
            refs = [ref for endpoint in reading.endpoints for ref in endpoint.certificates]
            refs += [ref for site in reading.sites for ref in site.certificates]
            for ref in dict.fromkeys(refs):
                if ref.path:
                    servers = host.by_directory.setdefault(_directory(host, ref.path), {})
                    servers.setdefault(reading.server, ref)
    return host.by_directory.get(lineage.live, {})


def _directory(host: Host, path: str) -> str:
    """Return the directory of a certificate, a link into a lineage followed one step."""
    target = host.tree.link_target(path)
    if target is not None and target.startswith(f"{DIRECTORY}/live/"):
        path = target
    return posixpath.dirname(path)


def own_certificate(host: Host, lineage: Source) -> Certificate:
    """Return the certificate in a lineage's own directory."""
    reference = CertificateRef(
        f"{lineage.live}/fullchain.pem", None, lineage.location(), lineage.location()
    )
    return load(host.tree, reference)


class Lineage(Fact):
    """A certificate that certbot renews."""

    source: Source

    name: str
    "Its name."
    authenticator: str
    "How the names are proved: webroot, standalone, nginx, dns-..."
    http01: bool | None
    "Renewal needs port 80 from everywhere."
    http01_port: int
    "The port on which certbot listens."
    staging: bool
    "Its authority is a test authority."

    def __init__(self, facts: Facts, source: Source) -> None:
        subjects = {("lineage", source.name), *([("tcp", ACME_PORT)] if source.http01 else [])}
        super().__init__(
            facts,
            source,
            f"lineage {source.name}",
            Span(
                source.location("authenticator"),
                f"authenticator {source.authenticator or 'not set'}",
            ),
            frozenset(subjects),
        )

    @field
    def _leaf(self) -> Link | None:
        return own_certificate(self._host, self.source).leaf

    # -- who renews it ------------------------------------------------------------------------

    @field
    def not_renewed(self) -> Literal["autorenew", "manual", "masked", "unscheduled"] | None:
        """Why nothing renews it without somebody's help."""
        return self.source.by_hand or self.facts.certbot_idle

    @field
    def remedy(self) -> Literal["setting", "script", "timer"] | None:
        """What would have it renewed, for the words on it."""
        if self.not_renewed is None:
            return None
        by_hand = self.source.by_hand
        return "setting" if by_hand == "autorenew" else "script" if by_hand else "timer"

    @field
    def must_staple_refused(self) -> bool:
        """It asks for OCSP Must-Staple, and its authority issues no such certificates any more."""
        authority = self.source.parameters.get("server", "")
        return self.source.must_staple and LETS_ENCRYPT in authority

    @field
    def must_staple_at(self) -> Places:
        """The setting that asks for it."""
        return (Span(self.source.location("must_staple"), "asks for OCSP Must-Staple"),)

    @field
    def not_renewed_at(self) -> Places:
        """The setting that says so."""
        at = self.source.location("autorenew")
        return (Span(at, "not renewed"),) if self.source.by_hand == "autorenew" else ()

    @field
    def starters_known(self) -> bool:
        """All that may start certbot is in the files: no crontab of a user's, no container."""
        return starters_known(self._host.tree, self._host.network.units)

    @field
    def renewed_elsewhere(self) -> bool:
        """The configuration says that another host renews it."""
        elsewhere = self._host.target.intent.renewed_elsewhere
        return any(one in elsewhere for one in (self.name, *self.names))

    # -- the certificate ----------------------------------------------------------------------

    @field
    def names(self) -> tuple[str, ...]:
        """The names that it is for."""
        leaf = self._leaf
        return tuple(self.source.webroots) or (tuple(leaf.names) if leaf is not None else ())

    @field
    def not_after(self) -> str | None:
        """The day on which it expires."""
        return self._leaf.not_after.date().isoformat() if self._leaf is not None else None

    @field
    def lifetime_days(self) -> int | None:
        """For how long it is valid."""
        return round(self._leaf.lifetime_days) if self._leaf is not None else None

    @field
    def window(self) -> float | None:
        """renew_before_expiry as a part of the lifetime."""
        if self._leaf is None:
            return None
        return _window({**self.source.paths, **self.source.parameters}, self._leaf.lifetime_days)

    @field
    def newer_twin(self) -> str | None:
        """A sibling lineage (NAME-0001) for the same names that expires later."""
        if self._leaf is None:
            return None
        not_after, name = self.facts.latest_lineages[_kind(self._leaf)]
        return name if not_after > self._leaf.not_after else None

    @field
    def caa(self) -> Caa | None:
        """What CAA records say about its authority."""
        return _caa(self._host, self.source, self.names)

    @field
    def caa_records(self) -> Places:
        """The CAA records of its first name."""
        return tuple(
            Span(record.location, "allows these certificate authorities")
            for name in self.names[:1]
            for record in _caa_records(self._host, name)
        )

    # -- who uses it --------------------------------------------------------------------------

    @field
    def _users(self) -> Mapping[str, CertificateRef]:
        return users(self._host, self.source)

    @field
    def used(self) -> bool:
        """A server names a file of it."""
        return bool(self._users)

    @field
    def used_at(self) -> Places:
        """Where they do."""
        return tuple(Span(ref.location, f"{s} uses it") for s, ref in self._users.items())

    @field
    def not_reloaded(self) -> tuple[str, ...] | None:
        """Servers that use it, keep the old certificate until they are reloaded, and are not."""
        reloaded = self.source.reloads()
        keeping = (one.name for one in servers() if one.keeps_certificate)
        found = [name for name in keeping if name in self._users and name not in reloaded]
        return tuple(found) or None

    @field
    def reload_units(self) -> tuple[str, ...]:
        """Their units: of several the one that starts at boot, else Debian's."""
        network, known = self._host.network, {one.name: one.units for one in servers()}
        found = []
        for units in (known[name] for name in self.not_reloaded or ()):
            enabled = [unit for unit in units if network.unit_state(unit) == "enabled"]
            found.append((enabled or units)[0])
        return tuple(found)

    @field
    def opaque_hooks(self) -> bool:
        """A hook, or a program of a container, does what is not seen here, or the hooks were not
        given: certbot makes their directory."""
        tree, network = self._host.tree, self._host.network
        return (
            self.source.opaque()
            or not tree.holds(HOOKS)
            or (not network.systemd and any(map(tree.exists, SUPERVISORS)))
        )

    @field
    def hook_opens_firewall(self) -> bool:
        """A hook opens the firewall before renewal."""
        return any(h.kind == "pre" and h.opens_firewall() for h in self.source.hooks)

    @field
    def opaque_pre_hook(self) -> bool:
        """A hook does what is not seen here before renewal: it may open the firewall, or stop the
        program that has the port."""
        return any(h.kind == "pre" and h.opaque() for h in self.source.hooks)

    # -- port 80 ------------------------------------------------------------------------------

    @field
    def port80(self) -> Reach:
        """Who reaches port 80, whatever listens there."""
        firewall = self._host.firewall
        assert firewall is not None
        return Reach(
            (
                firewall.reach_outer("tcp", ACME_PORT, 4),
                firewall.reach_outer("tcp", ACME_PORT, 6),
            )
        )

    @field
    def decided_by(self) -> Places:
        """The lines that keep it closed over IPv4."""
        return blocking_spans(self.port80.source[:1], "tcp/80")

    @field
    def decided_by_ipv6(self) -> Places:
        """The lines that keep it closed over IPv6."""
        return blocking_spans(self.port80.source[1:], "tcp/80")

    @field
    def port80_behind_proxies(self) -> bool:
        """Only proxies that a server trusts reach port 80."""
        ipv4 = self.port80.ipv4
        assert ipv4 is not None
        return ipv4.public == "limited" and only_proxies(self._host, ipv4.open_to)

    @field
    def port80_listener(self) -> Listener | None:
        """Whether any program listens on port 80."""
        return listening(self._host, "tcp", ACME_PORT)

    @field
    def port80_redirected(self) -> bool:
        """The firewall translates port 80 to http01_port."""
        firewall = self._host.firewall
        assert firewall is not None
        if self.http01_port == ACME_PORT:
            return False
        return ACME_PORT in firewall.reach("tcp", self.http01_port, 4).reached_as

    @property
    def _owners(self) -> Sequence[Endpoint]:
        return listeners(self._host, "tcp", self.http01_port)

    @field
    def port80_owner(self) -> tuple[str, ...] | None:
        """Programs that listen on http01_port."""
        return tuple(sorted({o.server for o in self._owners if o.certain})) or None

    @field
    def owner_stopped(self) -> bool:
        """A hook stops the program."""
        return any(hook.stops(owner.server) for hook in self.source.hooks for owner in self._owners)

    @field
    def owners(self) -> Places:
        """What listens there."""
        return tuple(Span(o.location, f"{o.server} listens") for o in self._owners[:1])

    @property
    def _with_aaaa(self) -> list[Record]:
        return [
            record
            for name in self.names
            for record in self._host.announced.addresses(name, "AAAA")
            if self.facts.whereabouts.over(name, 6)
        ]

    @field
    def aaaa_here(self) -> bool:
        """A name of it has an AAAA record that leads here."""
        return bool(self._with_aaaa)

    @field
    def aaaa(self) -> Places:
        """That record."""
        return tuple(Span(record.location, "IPv6 address") for record in self._with_aaaa[:1])


def _window(parameters: Mapping[str, str], lifetime: float) -> float | None:
    """Return renew_before_expiry as a part of the lifetime."""
    words = parameters.get("renew_before_expiry", "").split()
    if len(words) != 2 or not is_number(words[0]) or len(words[0]) > 6:
        return None
    days = {"day": 1.0, "days": 1.0, "hour": 1 / 24, "hours": 1 / 24, "week": 7.0, "weeks": 7.0}
    unit = days.get(words[1].lower())
    return None if unit is None else int(words[0]) * unit / lifetime


# -- CAA: RFC 8659, RFC 8657 ------------------------------------------------------------------

ISSUERS = {
    "letsencrypt.org": "letsencrypt.org",
    "pki.goog": "pki.goog",
    "zerossl.com": "sectigo.com",
    "buypass.com": "buypass.com",
    "sslcom": "ssl.com",
}


def _caa_records(host: Host, name: str) -> list[Any]:
    """Return the CAA records that apply to a name: its own or its closest ancestor's."""
    bare = name.removeprefix("*.")
    zone = host.announced.zone_of(bare)
    while zone is not None and "." in bare:
        records = host.announced.find(bare, "CAA")
        if records:
            return records
        if bare == zone:
            break
        bare = bare.partition(".")[2]
    return []


class Caa(NamedTuple):
    """What the CAA records of a lineage's names say about its authority."""

    issuer: str
    "The authority, with the method if that is what they do not allow."
    blocks: bool = False
    "They do not allow it."
    name: str = ""
    "The name of which they do not."
    allowed: tuple[str, ...] = ()
    "What they allow in its place."


def _caa(host: Host, lineage: Source, names: Sequence[str]) -> Caa | None:
    server = lineage.parameters.get("server", "https://acme-v02.api.letsencrypt.org/directory")
    issuer = next((issuer for mark, issuer in ISSUERS.items() if mark in server), None)
    if issuer is None or lineage.staging:
        return None
    for name in names:
        allowed: list[str] = []
        parameters = ""
        tag = "issuewild" if name.startswith("*.") else "issue"
        records = _caa_records(host, name)
        if tag == "issuewild" and not any(_tag(r) == "issuewild" for r in records):
            tag = "issue"
        for record in records:
            if _tag(record) == tag:
                value, _, rest = record.data.value.decode("ascii", "replace").partition(";")
                allowed.append(value.strip().lower())
                if value.strip().lower() == issuer:
                    parameters = rest
        if not any(_tag(r) == tag for r in records):
            continue
        if issuer not in allowed:
            return Caa(issuer, True, name, tuple(allowed))
        methods = [p.partition("=")[2] for p in parameters.split(";") if "validationmethods" in p]
        if methods and lineage.http01 and "http-01" not in methods[0]:
            return Caa(f"{issuer} http-01", True, name, tuple(methods))
    return Caa(issuer)


def _tag(record: Any) -> str:
    return str(record.data.tag.decode("ascii", "replace").lower())


# -- hooks ------------------------------------------------------------------------------------


def hooks(facts: Facts) -> list[Hook]:
    """Return a fact for each hook script of certbot's hook directories."""
    return [
        Hook(facts, hook, f"hook {_name(hook)}", Span(hook.location, f"{hook.kind} hook"))
        for hook in facts.host.renewal.hooks
    ]


def _name(hook: Script) -> str:
    return hook.location.path.rsplit("/", 1)[-1]


class Hook(Fact):
    """A script in certbot's hook directories."""

    source: Script

    @field
    def name(self) -> str:
        """The name of the file."""
        return _name(self.source)

    path: str = of("source.location.path")
    "Its path."
    stage: str = of("source.kind")
    "When it runs: pre, deploy or post."

    @field
    def runs(self) -> bool | None:
        """certbot runs it: it is executable, and no backup."""
        return self.source.runs if self.source.executable is not None else None

    @field
    def script(self) -> bool:
        """It looks like a script that is meant to run."""
        ignorable = self.name.startswith((".", "README")) or self.name.endswith(
            (".disabled", ".bak", ".orig", ".dpkg-old", ".md", ".txt")
        )
        return not ignorable and (self.source.text.startswith("#!") or self.name.endswith(".sh"))
