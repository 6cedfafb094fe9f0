"""What shows that a text is a ruleset, and that a file is only kept beside one."""

from __future__ import annotations

import re

from sslint.regex import regex

# What is kept beside a ruleset and is not it.
ASIDE = regex(
    r"~$|^\.|\.(bak|back|backup|old|orig|original|save\d*|rej|swp|sample|example|disabled|off|j2|tmpl"
    r"|template|sh|md|txt|dpkg-\w+|ucf-\w+|rpmnew|rpmsave)$|sample|example",
    re.I,
)
# What no configuration of a server has: nft's text.
NFT = regex(r"^[ \t]*(table[ \t]+(inet|ip|ip6|netdev|bridge|arp)[ \t]|flush[ \t]+ruleset)", re.M)
# A saved ruleset of iptables, and one of nft.
DUMP = regex(r"^[ \t]*\*(filter|nat|mangle|raw)[ \t]*$", re.M)
TABLE = regex(r"^[ \t]*table[ \t]+(inet|ip|ip6)[ \t]+\S+[ \t]*\{", re.M)
