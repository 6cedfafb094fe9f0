"""postfix."""
