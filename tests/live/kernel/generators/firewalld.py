"""Random files for /etc/firewalld: zones, policies, services, ipsets."""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import quoteattr

from tests.live.kernel.generators.vocabulary import OWN, Vocabulary

ZONES = ("public", "work", "home", "internal", "dmz", "block", "drop", "trusted", "mine")
SERVICES = ("https", "http", "ssh", "imaps", "smtp", "smtps", "smtp-submission", "pop3s", "dns",
            "http3", "mdns", "custom")  # fmt: skip  # the last two may have a destination
PRIORITIES = ("-1", "-10", "10", "1", "-100", "100")
TARGETS = ("", "", "", "ACCEPT", "DROP", "%%REJECT%%")
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'


def _port(words: Vocabulary) -> str:
    if words.chance(0.7):
        return str(words.port())
    low, high = words.port_range()
    return f"{low}-{high}" if low < high else str(low)


def _element(tag: str, /, **attributes: str) -> str:
    written = "".join(
        f" {key.replace('_', '-')}={quoteattr(value)}" for key, value in attributes.items()
    )
    return f"<{tag}{written}/>"


class Zones:
    """Writes the files of one configuration."""

    def __init__(self, words: Vocabulary) -> None:
        self.words = words
        self.pick: Callable[[tuple[str, ...]], str] = words.random.choice
        self.bound: set[str] = set()
        self.sets: dict[str, int] = {}

    def proto(self) -> str:
        return self.pick(("tcp", "tcp", "udp"))

    def elements(self, *, zone: bool, forwards: bool = True) -> list[str]:
        """Return what zones and policies have in common, one element a line.

        `forwards` is whether a forward-port without to-addr loads.
        """
        lines = [_element("service", name=name) for name in set(self._some(self._service, 3))]
        lines += set(
            self._some(lambda: _element("port", port=_port(self.words), protocol=self.proto()), 3)
        )
        if self.words.chance(0.15):
            low, high = self.words.source_port_range()
            span = f"{low}-{high}" if low < high else str(low)
            lines.append(_element("source-port", port=span, protocol=self.proto()))
        if self.words.chance(0.1):
            lines.append(
                _element("protocol", value=self.pick(("tcp", "udp", "icmp", "ipv6-icmp", "gre")))
            )
        if self.words.chance(0.15):
            lines.append(_element("icmp-block", name=self.pick(("echo-request", "echo-reply"))))
        if zone and self.words.chance(0.06):
            lines.append("<icmp-block-inversion/>")
        if zone and self.words.chance(0.3):
            lines.append("<forward/>")
        if forwards and self.words.chance(0.2):
            lines.append(
                _element(
                    "forward-port",
                    port=str(self.words.port()),
                    protocol=self.proto(),
                    to_port=str(self.words.port()),
                )
            )
        lines += set(self._some(lambda: self.rich_rule(forwards=forwards), 3))
        return lines

    def _some(self, make: Callable[[], str], most: int) -> list[str]:
        return [make() for _ in range(self.words.random.randint(0, most))]

    def _service(self) -> str:
        return self.pick(SERVICES)

    def rich_rule(self, *, forwards: bool) -> str:
        family = self.words.random.choice((4, 4, 6, 0))
        attributes = {"family": f"ipv{family}"} if family else {}
        if self.words.chance(0.3):
            attributes["priority"] = self.pick(("-10", "-5", "5", "10", "32767", "-32768"))
        inner = []
        if family and self.words.chance(0.8):
            inverted = {"invert": "yes"} if self.words.chance(0.2) else {}
            named = [name for name, of in self.sets.items() if of == family]
            if named and self.words.chance(0.2):
                inner.append(_element("source", ipset=self.words.random.choice(named), **inverted))
            else:
                inner.append(_element("source", address=self.words.prefix(family), **inverted))
        services = SERVICES
        if family and self.words.chance(0.15):
            services = SERVICES[:-2]  # a service's own destination would conflict
            inner.append(_element("destination", address=self.words.random.choice(OWN[family])))
        subject = self.words.random.random()
        forward = False
        if subject < 0.55:
            inner.append(_element("port", port=_port(self.words), protocol=self.proto()))
        elif subject < 0.7:
            inner.append(_element("service", name=self.pick(services)))
        elif subject < 0.76:
            inner.append(_element("protocol", value=self.pick(("tcp", "udp"))))
        elif subject < 0.84 and family and forwards:
            inner.append(
                _element(
                    "forward-port",
                    port=str(self.words.port()),
                    protocol=self.proto(),
                    to_port=str(self.words.port()),
                )
            )
            forward = True
        elif not inner:
            inner.append(_element("port", port=_port(self.words), protocol=self.proto()))
        if self.words.chance(0.1):
            inner.append('<log prefix="x "/>')
        if not forward:
            inner.append(
                self.words.random.choices(("<accept/>", "<drop/>", "<reject/>"), (6, 3, 2))[0]
            )
        start = "rule" + "".join(f' {key}="{value}"' for key, value in attributes.items())
        return f"<{start}>{''.join(inner)}</rule>"

    def source(self) -> str:
        family = self.words.random.choice((4, 6))
        named = [name for name in self.sets if name not in self.bound]
        if named and self.words.chance(0.2):
            name = self.words.random.choice(named)
            self.bound.add(name)
            return _element("source", ipset=name)
        return _element("source", address=self.words.prefix(family))

    def zone(self, name: str) -> str:
        target = self.pick(TARGETS)
        attributes = f' target="{target}"' if target else ""
        if self.words.chance(0.2):
            attributes += f' ingress-priority="{self.pick(("-10", "10", "100"))}"'
        lines = []
        for interface in ("eth0", "eth1"):
            if interface not in self.bound and self.words.chance(0.25):
                self.bound.add(interface)
                lines.append(_element("interface", name=interface))
        for line in self._some(self.source, 2) if name != "public" else []:
            if line not in self.bound:
                self.bound.add(line)
                lines.append(line)
        return "\n".join(
            [f"{HEAD}<zone{attributes}>", *lines, *self.elements(zone=True), "</zone>", ""]
        )

    def policy(self, priority: str) -> str:
        target = self.pick(("CONTINUE", "CONTINUE", "ACCEPT", "DROP", "REJECT"))
        lines = [f'{HEAD}<policy target="{target}" priority="{priority}">']
        ingress = self.pick(("ANY", "public", "work", "ANY"))
        lines.append(_element("ingress-zone", name=ingress))
        egress = self.pick(("HOST", "HOST", "HOST", "ANY"))
        lines.append(_element("egress-zone", name=egress))
        elements = self.elements(zone=False, forwards=(ingress, egress) == ("ANY", "HOST"))
        return "\n".join([*lines, *elements, "</policy>", ""])

    def ipset(self, family: int) -> str:
        option = '<option name="family" value="inet6"/>' if family == 6 else ""
        entries = self.words.disjoint(lambda: self.words.prefix(family), 4)
        lines = [f"<entry>{entry}</entry>" for entry in sorted(entries)]
        return "\n".join([f'{HEAD}<ipset type="hash:net">{option}', *lines, "</ipset>", ""])

    def service(self) -> str:
        lines = [_element("port", port=_port(self.words), protocol=self.proto()) for _ in range(2)]
        if self.words.chance(0.3):
            lines.append(_element("include", service=self.pick(("https", "ssh"))))
        if self.words.chance(0.2):
            family = self.words.random.choice((4, 6))
            own = self.words.random.choice(OWN[family])
            lines.append(_element("destination", **{f"ipv{family}": own}))
        return "\n".join([f"{HEAD}<service>", *dict.fromkeys(lines), "</service>", ""])


def rulesets(words: Vocabulary) -> dict[str, str]:
    """Return files by their path in /etc/firewalld."""
    zones = Zones(words)
    files = {"services/custom.xml": zones.service()}
    words.ports += [443, 80, 22, 993, 25, 465, 587, 995, 53]
    for number in range(words.random.choices((0, 1, 2), (6, 3, 1))[0]):
        family = words.random.choice((4, 6))
        files[f"ipsets/set{number}.xml"] = zones.ipset(family)
        zones.sets[f"set{number}"] = family
    names = {"public", *words.random.sample(ZONES, words.random.randint(0, 3))}
    for name in sorted(names):
        files[f"zones/{name}.xml"] = zones.zone(name)
    # Of two policies with one priority it is not said which comes first.
    priorities = words.random.sample(PRIORITIES, words.random.choices((0, 1, 2), (6, 3, 1))[0])
    for number, priority in enumerate(priorities):
        files[f"policies/policy{number}.xml"] = zones.policy(priority)
    default = words.random.choice(("public", "public", "public", *sorted(names)))
    strict = words.random.choice(("no", "no", "yes"))
    reverse = words.random.choice(("no", "no", "strict"))
    files["firewalld.conf"] = (
        f"DefaultZone={default}\nFirewallBackend=nftables\nIPv6_rpfilter={reverse}\n"
        f"StrictForwardPorts={strict}\n"
    )
    return files
