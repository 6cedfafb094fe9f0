"""Lint a host's TLS against its firewall, its certificates and what is published for clients.

from sslint import check

report = check("/etc")
for finding in report.findings:
    ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sslint.api import Report, check

__all__ = ["Report", "__version__", "check"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in ("Report", "check"):
        from sslint import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
