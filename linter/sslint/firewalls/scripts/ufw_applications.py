"""ufw's application profiles: those of the tree, and those that Debian's packages bring."""

from __future__ import annotations

from sslint.firewalls import ufw as reader
from sslint.firewalls.scripts.ends import UnsureError
from sslint.firewalls.scripts.ufw_rules import RefusedError, Rule
from sslint.network import services
from sslint.regex import is_number, regex
from sslint.tree import Tree
from sslint.values import replace

# Of ufw, openssh-server, nginx-common, apache2, postfix, dovecot, samba, cups, squid.
_SHIPPED = {
    "OpenSSH": "22/tcp", "SSH": "22/tcp", "Telnet": "23/tcp", "VNC": "5900/tcp",
    "Nginx Full": "80,443/tcp", "Nginx HTTP": "80/tcp", "Nginx HTTPS": "443/tcp",
    "Nginx QUIC": "80,443/tcp|443/udp",
    "Apache": "80/tcp", "Apache Secure": "443/tcp", "Apache Full": "80,443/tcp",
    "WWW": "80/tcp", "WWW Secure": "443/tcp", "WWW Full": "80,443/tcp", "WWW Cache": "8080/tcp",
    "Postfix": "25/tcp", "Postfix SMTPS": "465/tcp", "Postfix Submission": "587/tcp",
    "Dovecot IMAP": "143/tcp", "Dovecot POP3": "110/tcp",
    "Dovecot Secure IMAP": "993/tcp", "Dovecot Secure POP3": "995/tcp",
    "SMTP": "25/tcp", "Mail submission": "587/tcp", "IMAP": "143/tcp", "IMAPS": "993/tcp",
    "POP3": "110/tcp", "POP3S": "995/tcp",
    "DNS": "53", "LDAP": "389/tcp", "LDAPS": "636/tcp", "Kerberos KDC": "88",
    "Kerberos Admin": "749/tcp", "Kerberos Password": "464/udp",
    "Kerberos Full": "88,749/tcp|464/udp",
    "CIFS": "137,138/udp|139,445/tcp", "Samba": "137,138/udp|139,445/tcp",
    "NFS": "2049,111/tcp|2049,111/udp", "svnserve": "3690/tcp",
    "IPP": "631", "CUPS": "631", "LPD": "515/tcp",
    "Socks": "1080/tcp", "Transparent Proxy": "8081/tcp", "Squid": "3128/tcp",
    "XMPP": "5222/tcp|5269/tcp", "Transmission": "51413", "Deluge": "6881:6891/tcp",
}  # fmt: skip
_NAME = regex(r"[a-zA-Z0-9][a-zA-Z0-9 _.+-]*")
_NUMBER = regex(r"[+-]?[0-9_]+")  # what int() takes, and more
_PORTLESS = frozenset(("ipv6", "esp", "ah", "igmp", "gre", "vrrp"))
IPV4_ONLY = frozenset(("ipv6", "igmp"))
PROTOCOLS = frozenset(("tcp", "udp", "any")) | _PORTLESS


def valid_name(text: str) -> bool:
    """Tell whether a word can be a profile's name."""
    return text != "all" and not _NUMBER.fullmatch(text) and bool(_NAME.fullmatch(text))


def service_protocol(name: str) -> str | None:
    """Return the protocol of a service of services(5), None for what is none."""
    tcp, udp = services.port_number(name, "tcp"), services.port_number(name, "udp")
    if tcp is None and udp is None:
        return None
    return "any" if tcp is not None and udp is not None else "udp" if tcp is None else "tcp"


def ports(text: str) -> str:
    """Return ports as ufw keeps them (`set_port`). Raise RefusedError."""
    if text == "any":
        return text
    if text[:1] in ",:" or text[-1:] in ",:" or text.count(",") + text.count(":") > 14:
        raise RefusedError
    return ",".join(_port(one) for one in text.split(","))


def _port(text: str) -> str:
    low, colon, high = text.partition(":")
    bounds = [low, high] if colon else [low]
    if all(is_number(one) for one in bounds):
        numbers = [int(one) if len(one) < 10 else 0 for one in bounds]
        if not all(0 < one < 65536 for one in numbers):
            raise RefusedError
        if colon and numbers[0] >= numbers[1]:
            raise RefusedError
        return text
    number = services.port_number(text)
    if number is None:
        raise RefusedError
    return str(number)


def port_and_protocol(text: str) -> tuple[str, str]:
    """Split `443/tcp`. Raise RefusedError."""
    port, slash, protocol = text.partition("/")
    if "/" in protocol or protocol in _PORTLESS:
        raise RefusedError
    return port, protocol if slash else "any"


def known_protocol(text: str) -> str:
    """Return a protocol that ufw supports. Raise RefusedError."""
    if text not in PROTOCOLS:
        raise RefusedError
    return text


class Applications:
    """The profiles of a host."""

    def __init__(self, tree: Tree) -> None:
        own = {name: one.written for name, one in reader.profiles(tree).items()}
        self._ports = {**_SHIPPED, **{name: text for name, text in own.items() if _valid(text)}}
        self._lower: dict[str, list[str]] = {}
        for name in self._ports:
            self._lower.setdefault(name.lower(), []).append(name)

    def name(self, text: str) -> str:
        """Return the name of a profile as it is written. Raise RefusedError, UnsureError."""
        if text in self._ports:
            return text
        names = self._lower.get(text.lower(), [])
        if len(names) > 1:
            raise RefusedError
        if not names:
            raise UnsureError("an application's profile is not in these files")
        return names[0]

    def rules(self, rule: Rule) -> list[Rule]:
        """Return the rules of a command that names profiles. Raise RefusedError, UnsureError."""
        to, source = self._of(rule.application), self._of(rule.source_application)
        found: list[Rule] = []
        if to and rule.application == rule.source_application:
            for port, protocol in to:
                found.append(replace(rule, port=port, source_port=port, protocol=protocol))
        elif to and source:
            for port, protocol in to:
                for from_port, other in source:
                    both = protocol if other == "any" else other
                    found.append(replace(rule, port=port, source_port=from_port, protocol=both))
        else:
            for port, protocol in to:
                found.append(replace(rule, port=port, protocol=protocol))
            for port, protocol in source:
                found.append(replace(rule, source_port=port, protocol=protocol))
        return found

    def _of(self, name: str) -> list[tuple[str, str]]:
        return _parts(self._ports[name]) if name else []


def _parts(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text.split("|"):
        port, protocol = port_and_protocol(part)
        if protocol == "any" and set(port) & set(",:"):
            raise RefusedError
        found.append((ports(port), known_protocol(protocol)))
    return found


def _valid(text: str) -> bool:
    """Tell whether ufw takes the ports of a profile."""
    try:
        return bool(_parts(text))
    except RefusedError:
        return False
