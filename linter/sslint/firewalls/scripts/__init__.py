"""Scripts of iptables, nft and ipset commands as possible rulesets; nothing is run."""
