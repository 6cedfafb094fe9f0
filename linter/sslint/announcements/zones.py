"""DNS zone files (RFC 1035, section 5) with file and line of every record, by dnspython."""

from __future__ import annotations

import re
from typing import Any

from sslint.announcements.model import Announced, Announcement, Record, Security
from sslint.regex import regex
from sslint.source import SourceFile
from sslint.tree import Tree

MAX_RECORDS = 500_000
MAX_ERRORS = 100  # in one file; a text with more is not a zone file

# RFC 6186, RFC 8314 section 5.1, RFC 5804, RFC 6764, XEP-0368.
SRV_SERVICES: dict[str, tuple[str, Security]] = {
    "_imap": ("imap", "starttls"),
    "_imaps": ("imap", "implicit"),
    "_pop3": ("pop3", "starttls"),
    "_pop3s": ("pop3", "implicit"),
    "_submission": ("submission", "starttls"),
    "_submissions": ("submission", "implicit"),
    "_sieve": ("sieve", "starttls"),
    "_xmpps-client": ("xmpp", "implicit"),
    "_caldavs": ("caldav", "implicit"),
    "_carddavs": ("carddav", "implicit"),
    "_autodiscover": ("autodiscover", "implicit"),
}
_ORIGIN = regex(r"^[ \t]*\$ORIGIN\s+(\S+)", re.M | re.I)
# $GENERATE makes millions of records of one line; $INCLUDE leads to another file.
_SKIPPED = regex(r"^(\$(?:GENERATE|INCLUDE)\b)[^\n]*", re.M | re.I)
_PREFIX = regex(r"^_(\d{1,5})\._https\.(.+)$")
NO_DEFAULT_ALPN = 2
_SOA = regex(r"^(\S+)\s[^;\n]*\bSOA\b", re.M | re.I)


def looks_like_zone(text: str) -> bool:
    """Tell whether a text is a zone file."""
    head = text[:65536]
    return bool(
        re.search(r"^\$(ORIGIN|TTL)\s", head, re.M)
        or re.search(r"\bIN\s+(SOA|A|AAAA|MX|SRV|NS|TXT|CNAME|TLSA|CAA|HTTPS)\s", head)
    )


def read(tree: Tree, file: SourceFile, into: Announced, origin: str = "") -> None:
    """Read a zone file. A record that cannot be parsed is reported, and the rest is read.

    `origin` is the zone's name where a name server's configuration gives it. What is missing
    from a fragment (no SOA), or from a file that is not understood whole, is not known.
    """
    import dns.rdataclass
    import dns.rdatatype

    found, complete = _records(tree, file, origin.rstrip(".") or _origin(file).rstrip("."))
    apex = [name for name, data, _ in found if data.rdtype == dns.rdatatype.SOA]
    zone = (origin or (apex[0] if apex else _origin(file))).rstrip(".").lower()
    if zone:
        into.zones.add(zone)
        if not complete or not (apex or origin):
            into.incomplete.add(zone)
    for name, data, line in found:
        if zone and name != zone and not name.endswith(f".{zone}"):
            continue  # a server ignores what lies outside of the zone
        record = Record(name, dns.rdatatype.to_text(data.rdtype), data, file.at(line), zone)
        into.add(record)
        _announce(record, into)


def _records(tree: Tree, file: SourceFile, origin: str) -> tuple[list[tuple[str, Any, int]], bool]:
    """Return (owner, rdata, line) of the records, and whether all of the file was understood."""
    import dns.exception
    import dns.name
    import dns.rdataclass
    import dns.tokenizer
    import dns.zonefile

    found: list[tuple[str, Any, int]] = []
    errors = 0

    def wrong(line: int, error: object) -> None:
        nonlocal errors
        errors += 1
        place = file.at(min(max(line, 1), len(file.starts)))
        tree.problem(place, f"zone file: {error}", decisive=False)

    class Reader(dns.zonefile.Reader):
        """Remember the line of each record, and go on after one that is wrong."""

        line = 1

        def _rr_line(self) -> None:
            # A name that ends its line has already counted the line feed.
            self.line = self.tok.where()[1] - (self.tok.ungotten_char == "\n")
            try:
                super()._rr_line()
            except (dns.exception.DNSException, ValueError, IndexError) as error:
                wrong(self.line, error)
                if errors >= MAX_ERRORS or isinstance(error, dns.exception.UnexpectedEnd):
                    raise
                if self.tok.quoting:  # a quote that its line leaves open ends there
                    self.tok.quoting, self.tok.delimiters = False, tokenizer.delimiters_outside
                # The error may have been found at the line's end, which is then already read.
                if self.tok.multiline or not tokenizer.line_is_read:
                    self._eat_line()  # type: ignore[no-untyped-call]
            if len(found) >= MAX_RECORDS:
                raise ValueError(f"more than {MAX_RECORDS} records")

    class Tokenizer(dns.tokenizer.Tokenizer):
        """Remember whether the last token ended a line."""

        line_is_read = False

        def __init__(self, text: str, filename: str) -> None:
            super().__init__(text, filename)
            self.delimiters_outside = self.delimiters

        def get(self, want_leading: bool = False, want_comment: bool = False) -> Any:
            self.line_is_read = True  # so after the error of a line feed within quotes
            token = super().get(want_leading, want_comment)
            self.line_is_read = token.is_eol_or_eof()
            return token

        def unget(self, token: Any) -> None:
            super().unget(token)
            self.line_is_read = False

    class Transaction:
        """What a reader wants of a transaction, and no more."""

        def __init__(self) -> None:
            self.manager = self

        def origin_information(self) -> tuple[Any, bool, Any]:
            return dns.name.root, False, dns.name.root

        def check_put_rdataset(self, check: object) -> None:
            pass

        def _set_origin(self, name: object) -> None:
            pass

        def add(self, name: Any, _ttl: int, data: Any) -> None:
            found.append((str(name.to_text()).rstrip(".").lower(), data, reader.line))

    text = file.text.encode("utf-8", "replace").decode("utf-8").removeprefix("\ufeff")
    skipped = list(_SKIPPED.finditer(text))
    for match in skipped[:MAX_ERRORS]:
        place = file.span(match.start(1), match.end(1))
        tree.problem(place, f"zone file: {match.group(1)} is not supported", decisive=False)
    text = _SKIPPED.sub(";", text)
    tokenizer = Tokenizer(text, filename=file.name)
    reader = Reader(
        tokenizer,
        dns.rdataclass.IN,
        Transaction(),  # type: ignore[arg-type]
        allow_directives={"$ORIGIN", "$TTL"},
        default_ttl=3600,
    )
    try:
        reader.current_origin = dns.name.from_text(f"{origin}.")
        reader.read()
    except (dns.exception.DNSException, ValueError, IndexError, RecursionError) as error:
        reason = re.sub(rf"^{re.escape(file.name)}:\d+: ", "", str(error))
        wrong(tokenizer.where()[1], f"{reason}; the rest of the file is not read")
    return found, not errors and not skipped


def _origin(file: SourceFile) -> str:
    """Return a zone's name: its $ORIGIN, its SOA's owner, or the file's name."""
    for pattern in (_ORIGIN, _SOA):
        match = pattern.search(file.text[:65536])
        if match and match.group(1).endswith("."):
            return match.group(1)
    name = file.path.rsplit("/", 1)[-1]
    for prefix in ("db.", "zone."):
        name = name.removeprefix(prefix)
    for suffix in (".zone", ".db", ".txt", ".hosts", ".zonefile"):
        name = name.removesuffix(suffix)
    return name if "." in name else ""


def _announce(record: Record, into: Announced) -> None:
    """Turn a record that sends clients somewhere into an announcement."""
    data = record.data
    if record.type == "SRV":
        label, _, rest = record.name.partition(".")
        transport, _, domain = rest.partition(".")
        target = _target(data.target)
        if label in SRV_SERVICES and transport == "_tcp" and target:
            service, security = SRV_SERVICES[label]
            into.announcements.append(
                Announcement(
                    "srv",
                    service,
                    target,
                    data.port,
                    security,
                    record.location,
                    domain,
                    label,
                    rank=data.priority,
                )
            )
    elif record.type == "MX":
        target = _target(data.exchange)
        if target:
            into.announcements.append(
                Announcement(
                    "mx", "smtp", target, 25, None, record.location, record.name, "MX",
                    rank=data.preference,
                )
            )  # fmt: skip
    elif record.type == "HTTPS" and data.priority:
        _announce_https(record, into)


def https_origin(record: Record) -> tuple[str, int]:
    """Return the origin a HTTPS record speaks of: `_8443._https.example.org` names its port.

    RFC 9460, section 9.1.
    """
    match = _PREFIX.match(record.name)
    return (match.group(2), int(match.group(1))) if match else (record.name, 443)


def https_endpoint(record: Record) -> tuple[str, int, list[str]]:
    """Return the target, the port and the protocols of a HTTPS record in service mode.

    RFC 9460, sections 2.5.2, 7.1 and 7.2: without `no-default-alpn` HTTP over TCP is among them.
    """
    name, default = https_origin(record)
    parameters = {int(key): value for key, value in record.data.params.items()}
    port = getattr(parameters.get(3), "port", None) or default
    alpn = [item.decode("ascii", "replace") for item in getattr(parameters.get(1), "ids", ())]
    if NO_DEFAULT_ALPN not in parameters:
        alpn.append("http/1.1")
    return _target(record.data.target) or name, port, alpn


def _announce_https(record: Record, into: Announced) -> None:
    target, port, alpn = https_endpoint(record)
    name, _ = https_origin(record)
    wanted = [("tcp", "https")] if any(not a.startswith("h3") for a in alpn) else []
    wanted += [("udp", "h3")] if any(a.startswith("h3") for a in alpn) else []
    for transport, label in wanted:
        into.announcements.append(
            Announcement(
                "https-record", "https", target, port, "implicit", record.location, name, label,
                transport="udp" if transport == "udp" else "tcp",
            )
        )  # fmt: skip


def _target(name: Any) -> str:
    """Return a target's name, "" for the root (RFC 2782: the service is not offered)."""
    return str(name.to_text()).rstrip(".").lower()
