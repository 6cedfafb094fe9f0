"""What clients are told: zone files, autoconfig, autodiscover, mobileconfig, MTA-STS."""
