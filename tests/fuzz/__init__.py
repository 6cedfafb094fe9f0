"""Random inputs: `python -m tests.fuzz SUBJECT` guided by coverage, test_*.py a few of them."""
