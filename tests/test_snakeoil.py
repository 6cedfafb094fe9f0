"""A glance at the snakeoil certificate says what reading it says."""

from __future__ import annotations

import pytest

from sslint import snakeoil
from tests import pki
from tests.support import tree_of

PEM, KEY = f"/etc/ssl/certs/{snakeoil.CERTIFICATE}", f"/etc/ssl/private/{snakeoil.KEY}"


def test_the_dates_are_those_of_the_certificate() -> None:
    certificate = pki.leaf(("box",), self_signed=True, days=3650, left=3000)
    tree = tree_of({PEM: pki.pem(certificate), KEY: "x"})
    assert snakeoil.is_pair(tree, PEM, KEY)
    dates = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    assert snakeoil.validity(tree, PEM) == dates


@pytest.mark.parametrize(
    "text",
    [
        pki.pem(pki.leaf(("box",))),  # issued by somebody else
        pki.pem(pki.authority("Root X1"), pki.authority("Root X1")),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB/wIBADC\n-----END CERTIFICATE-----\n",
        "",
    ],
)
def test_anything_else_is_left_to_the_library(text: str) -> None:
    assert snakeoil.validity(tree_of({PEM: text}), PEM) is None


def test_only_the_pair_of_its_name_counts() -> None:
    tree = tree_of({PEM: "x", KEY: "x", "/etc/ssl/other.key": "x"})
    assert not snakeoil.is_pair(tree, PEM, "/etc/ssl/other.key")
    assert not snakeoil.is_pair(tree, PEM, None)
