"""Run firewall-cmd commands, and print what firewalld writes of its permanent configuration.

Run by the system's Python, beside a firewalld. Each line of input is JSON: a list of commands,
each a list of words. For each a line is printed: the exit statuses, the texts of the zone files by
name, and firewalld.conf. One process stands for all firewall-cmd: their start takes most of their
time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import firewall.client
import firewall.command  # noqa: F401

PROGRAM = Path("/usr/bin/firewall-cmd")
FILES = Path("/etc/firewalld")
SHIPPED = Path("/usr/lib/firewalld/zones")
CODE = compile(PROGRAM.read_text(), str(PROGRAM), "exec")


def _run(words: list[str]) -> int:
    """Run one command in a child."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        sys.argv = ["firewall-cmd", *words]
        exec(CODE, {"__name__": "__main__"})
        status = 0
    except SystemExit as leave:
        status = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    finally:
        os._exit(status)


def _written() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted((FILES / "zones").glob("*.xml"))}


def _restore() -> None:
    _run(["--set-default-zone=public"])
    made = [
        name for name in _written() if not Path(f"/usr/lib/firewalld/zones/{name}.xml").exists()
    ]
    for name in _written():
        verb = "delete-zone" if name in made else "load-zone-defaults"
        _run(["--permanent", f"--{verb}={name}"])
    if made:
        _run(["--reload"])


def main() -> None:
    """Answer each line of input."""
    for line in sys.stdin:
        statuses = [_run(words) for words in json.loads(line)]
        zones = _written()
        settings = FILES / "firewalld.conf"
        text = settings.read_text() if settings.exists() else ""
        print(json.dumps({"statuses": statuses, "zones": zones, "settings": text}), flush=True)
        _restore()


main()
