"""The answers where no ruleset was found: all unknown but loopback, and cheap to import."""

from __future__ import annotations

from typing import Literal

from sslint.netfilter import addresses
from sslint.netfilter.model import HostNetwork
from sslint.netfilter.verdicts import Reach

NO_FIREWALL = "no firewall found"


class NoFirewall:
    """Stands for a `Firewall` without any ruleset."""

    def __init__(self, network: HostNetwork, asleep: str = "") -> None:
        """Take what names the rulesets that are not in force, each with why, "" without any."""
        self.network = network
        self.asleep = asleep
        self.reason = f"no firewall in force: {asleep}" if asleep else NO_FIREWALL

    def reach(
        self,
        transport: Literal["tcp", "udp"],
        port: int,
        family: Literal[4, 6],
        address: str | None = None,
    ) -> Reach:
        """Return who reaches a listener: nobody knows, but for loopback and disabled IPv6."""
        if address is not None:
            kind, value = addresses.parse(address)
            if addresses.contains(addresses.LOOPBACK[kind], value):
                return Reach("closed", reasons=("it is bound to loopback",))
        if family == 6 and self.network.ipv6 is False:
            return Reach("closed", reasons=("IPv6 is disabled",))
        return Reach("unknown", reasons=(self.reason,))

    reach_outer = reach

    translates = False

    def glance(self, port: int, family: Literal[4, 6]) -> Reach:
        """Return the same of a TCP port."""
        return self.reach("tcp", port, family)

    def openings(self) -> tuple[()]:
        """Return the rules that name a port: there are none."""
        return ()

    def suggest_open(
        self,
        transport: Literal["tcp", "udp"],
        port: int,
        *families: Literal[4, 6],
        places: object = None,
    ) -> None:
        """Return where a rule would have to stand: nowhere."""
