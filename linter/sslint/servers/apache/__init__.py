"""Apache httpd: sockets, TLS by local address, certificates, sites and refusals."""

from __future__ import annotations

from sslint.servers.apache.reader import ENTRIES, Apache, certificates_for, read

__all__ = ["ENTRIES", "Apache", "certificates_for", "read"]
