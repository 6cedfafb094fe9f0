"""What a repository keeps in place of a file's text: a ciphertext, or a pointer to it."""

from __future__ import annotations

import re

# How files begin that a repository keeps encrypted.
_ENCRYPTED = {
    "git-crypt": b"\0GITCRYPT\0",
    "ansible-vault": b"$ANSIBLE_VAULT;",
    "age": b"age-encryption.org/v1",
    "age ": b"-----BEGIN AGE ENCRYPTED FILE-----",
    "PGP": b"-----BEGIN PGP MESSAGE-----",
    "OpenSSL": b"Salted__",
    "transcrypt": b"U2FsdGVkX1",
}
_MARKS = tuple(_ENCRYPTED.values())
_SOPS = b"ENC[AES256_GCM,data:"


def not_its_text(data: bytes) -> str:
    """Say what a repository keeps in place of a file's text, "" if that is its text."""
    if data.startswith(_MARKS):
        program = next(name for name, mark in _ENCRYPTED.items() if data.startswith(mark))
        return f"is encrypted with {program.strip()}"
    if _SOPS in data and re.search(rb"^[ \t]*\W?sops(\b|_)", data, re.M):
        return "is encrypted with sops"
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a pointer of Git LFS: its content was not fetched"
    return ""
