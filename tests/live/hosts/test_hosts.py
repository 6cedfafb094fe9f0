"""What a client gets from a whole host is what `sslint endpoints` says of its files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.live.hosts.client import Cell
from tests.live.hosts.lab import HOST, Observed, observe_all
from tests.live.hosts.trees import MIXED, PORTS, SOURCES, write

pytestmark = pytest.mark.live(
    "ip", "unshare", "nft", "iptables-nft-restore", "ufw", "firewalld", "dbus-daemon",
    "nginx", "apache2", "postfix", "dovecot",
)  # fmt: skip

# A connection may open and then stay silent: the client's next packets or the answers are dropped.
SERVED_NOBODY = ("nothing", "silent")
TLS = {"implicit": "tls", "starttls": "starttls", "none": "plain"}


def endpoints(tree: Path) -> list[dict[str, Any]]:
    """Return what sslint says listens, from the files alone."""
    program = "from sslint.cli import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", program, "endpoints", str(tree), "--format", "json",
         "--host-ip", HOST[4], "--host-ip", HOST[6]],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["endpoints"]
    return found


def expected(tree: Path, listed: Sequence[dict[str, Any]], cell: Cell) -> tuple[str, str] | None:
    """Return what sslint says a source gets and the certificate's hash; None if it is unknown."""
    family = "ipv6" if ":" in cell.address else "ipv4"
    wildcard = "::" if family == "ipv6" else "0.0.0.0"
    taking = [
        each
        for each in listed
        if each["transport"] == "tcp"
        and each["reach"][family] is not None
        and cell.port in each["reached_as"]
        and each["address"] in (wildcard, cell.address, "::")
    ]
    if not taking:
        return "nothing", ""
    # The most specific socket answers.
    taking.sort(key=lambda each: [cell.address, wildcard, "::"].index(each["address"]))
    reach = taking[0]["reach"][family]
    if _among(cell.source, reach["unknown"]) or reach["verdict"] == "unknown":
        return None
    if not _among(cell.source, reach["open"]):
        return "nothing", ""
    outcome = TLS[taking[0]["tls"]]
    certificates = [each for each in taking[0]["certificates"] if not each["names"]]
    served = outcome != "plain" and certificates
    return outcome, _fingerprint(tree, certificates[0]["path"]) if served else ""


def _among(source: str, networks: Sequence[str]) -> bool:
    return any(ip_address(source) in ip_network(network) for network in networks)


def _fingerprint(tree: Path, path: str) -> str:
    loaded = x509.load_pem_x509_certificate((tree / path.lstrip("/")).read_bytes())
    return hashlib.sha256(loaded.public_bytes(Encoding.DER)).hexdigest()


def differences(tree: Path, observed: Observed) -> tuple[list[str], int]:
    """Return the cells that differ from what sslint says, and how many it leaves unknown."""
    listed = endpoints(tree)
    wrong, unknown = [], 0
    for cell in observed.cells:
        said = expected(tree, listed, cell)
        if said is None:
            unknown += 1
        elif said[0] == "nothing" and cell.outcome in SERVED_NOBODY:
            continue
        elif said != (cell.outcome, cell.certificate):
            seen = f"{cell.outcome} {cell.certificate[:8]}"
            wrong.append(
                f"{tree.name}: {cell.source} to {cell.address} port {cell.port} got {seen}, "
                f"sslint says {said[0]} {said[1][:8]}"
            )
    return wrong, unknown


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Observed]]:
    """Run all hosts side by side, once."""
    root = tmp_path_factory.mktemp("hosts")
    trees = {name: write(root / name, files) for name, files in MIXED.items()}
    seen = observe_all(list(trees.values()), PORTS, SOURCES)
    return {name: (tree, one) for (name, tree), one in zip(trees.items(), seen, strict=True)}


@pytest.mark.parametrize("name", MIXED)
def test_every_cell_is_what_endpoints_says(
    name: str, observed: dict[str, tuple[Path, Observed]]
) -> None:
    tree, one = observed[name]
    assert len(one.cells) == len(PORTS) * len(SOURCES)
    wrong, unknown = differences(tree, one)
    assert not wrong, "\n".join([*wrong, one.log])
    assert unknown == 0


def test_the_lab_sees_something(observed: dict[str, tuple[Path, Observed]]) -> None:
    """Without this the lab could agree with everything by reaching nothing."""
    outcomes = {cell.outcome for _, one in observed.values() for cell in one.cells}
    assert outcomes == {"nothing", "silent", "plain", "starttls", "tls"}
