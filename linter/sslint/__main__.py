"""The program, and `python -m sslint`: nothing is imported before it is known to have memory."""

from __future__ import annotations

import sys

_LEAST = 64 << 20  # bytes of address space; libraries in C end the process with less


def entry() -> None:
    """Run as a program."""
    try:
        if not _is_enough():
            raise MemoryError
        from sslint import cli
    except MemoryError:
        sys.stderr.write("sslint: needs more memory than is available\n")
        sys.exit(3)
    cli.entry()


def _is_enough() -> bool:
    try:
        import resource
    except ImportError:  # this system has no such limits
        return True
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit == resource.RLIM_INFINITY or limit >= _LEAST


if __name__ == "__main__":
    entry()
