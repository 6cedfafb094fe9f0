"""Every rule of the things that go wrong most has its evidence."""

from __future__ import annotations

import pytest

from tests.live.evidence import (
    test_announcements,
    test_certificates,
    test_firewalls,
    test_reachability,
    test_renewal,
    test_tls,
)
from tests.live.evidence.trees import RULES

TOP = (
    "aaaa-without-listener",
    "acme-http01-port-closed",
    "cert-expired",
    "cert-name-mismatch",
    "chain-incomplete",
    "client-port-not-served",
    "client-socket-type-mismatch",
    "docker-bypasses-firewall",
    "dovecot-24-legacy-setting",
    "key-mismatch",
    "lineage-mismatch",
    "mail-host-not-in-cert",
    "quic-udp-closed",
    "renewal-no-reload",
    "shadowed-accept",
    "standalone-port-conflict",
    "submission-disabled",
    "submission-tls-not-enforced",
    "tls-port-closed",
    "tls-port-closed-ipv6",
    "tls-port-plaintext",
    "webroot-mismatch",
)
MODULES = (
    test_announcements,
    test_certificates,
    test_firewalls,
    test_reachability,
    test_renewal,
    test_tls,
)


@pytest.mark.parametrize("rule", TOP)
def test_rule_has_evidence(rule: str) -> None:
    assert rule in RULES
    name = f"test_{rule.replace('-', '_')}"
    assert any(hasattr(module, name) for module in MODULES)
