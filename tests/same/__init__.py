"""Compare the answers of two checkouts on many trees, byte for byte: `make same BASE=REV`."""
