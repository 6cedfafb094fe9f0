"""What services belong to, in the words and the order of the reports."""

from __future__ import annotations

GROUPS = {
    "Web": ("http", "https", "h3"),
    "Mail between servers": ("smtp", "lmtp"),
    "Sending mail": ("submission", "submissions", "smtps"),
    "Mailboxes": ("imap", "imaps", "pop3", "pop3s", "sieve", "managesieve"),
}
OTHER = "Other services"
ALL = (*GROUPS, OTHER)


def group_of(protocol: str) -> str:
    """Return what a protocol belongs to."""
    return next((group for group, known in GROUPS.items() if protocol in known), OTHER)
