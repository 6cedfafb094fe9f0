"""Dovecot, 2.3 and 2.4: what it listens on, with which TLS and which certificates."""

from __future__ import annotations

from sslint.servers.dovecot.reading import read

__all__ = ["read"]
