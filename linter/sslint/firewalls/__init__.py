"""Firewall formats: text to the ruleset model. One module a format."""
