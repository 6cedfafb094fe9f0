"""Postfix: main.cf and master.cf into endpoints."""

from sslint.servers.postfix.reader import read

__all__ = ["read"]
