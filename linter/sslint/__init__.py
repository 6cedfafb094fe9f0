"""Lint a host's TLS against its firewall, its certificates and what clients are told."""

__version__ = "0.1.0"
