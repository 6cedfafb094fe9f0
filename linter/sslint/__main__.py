"""`python -m sslint`."""

from sslint.cli import entry

if __name__ == "__main__":
    entry()
