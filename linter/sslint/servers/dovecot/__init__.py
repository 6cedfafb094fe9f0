"""dovecot."""
