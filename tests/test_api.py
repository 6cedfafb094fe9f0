"""The public face."""

from __future__ import annotations

import sslint
import sslint.checker  # a submodule must not hide the function of the face
from tests.cases import EXAMPLES


def test_check_gives_a_typed_report() -> None:
    report = sslint.check(EXAMPLES / "web-443-closed")
    assert [finding.rule.name for finding in report.findings] == ["tls-port-closed"]
    assert report.data()["summary"]["error"] == 1
    assert not report.incomplete


def test_the_face_is_all_there_is() -> None:
    assert set(sslint.__all__) == {"Report", "__version__", "check"}
    assert all(hasattr(sslint, name) for name in sslint.__all__)
