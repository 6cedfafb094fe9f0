"""Let the installed ufw run commands on files of its own; it is never enabled, and loads nothing.

Run by the system's Python. Each line of input is JSON: a list of commands, each a list of words.
For each a line is printed: the exit statuses, the rules of both families, the default policies.
"""

from __future__ import annotations

import gettext
import io
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

gettext.install("ufw")

import ufw.applications  # noqa: E402
import ufw.backend  # noqa: E402
import ufw.backend_iptables  # noqa: E402
import ufw.common  # noqa: E402
import ufw.frontend  # noqa: E402
import ufw.util  # noqa: E402

TEMPLATES = Path("/usr/share/ufw/iptables")
LOOKS = ("help", "--help", "-h", "version", "--version", "status", "show")


class Refusal(Exception):
    """What ufw would print before it exits."""


def _refuse(text: object, do_exit: bool = True) -> None:
    if do_exit:
        raise Refusal


def _quiet(*arguments: Any, **named: Any) -> None:
    pass


def _prepare() -> None:
    """Take from ufw what asks the host, prints, and what it can do only once a second."""
    warnings.simplefilter("ignore")
    ufw.common.do_checks = False
    ufw.util.get_iptables_version = lambda executable: "1.8.11"
    seconds = itertools.count()
    time.strftime = lambda *arguments: str(next(seconds))  # type: ignore[assignment]
    for module in (ufw.util, ufw.frontend, ufw.backend, ufw.backend_iptables, ufw.applications):
        for name, stand_in in (("error", _refuse), ("warn", _quiet), ("msg", _quiet)):
            if hasattr(module, name):
                setattr(module, name, stand_in)


def _run(words: list[str], root: str) -> int:
    """Run one command as /usr/sbin/ufw does."""
    arguments = ["ufw", *words]
    first = 2 if len(arguments) > 1 and arguments[1].lower() == "--dry-run" else 1
    of_application = len(arguments) > first and arguments[first].lower() == "app"
    sys.stdin = io.StringIO("")
    try:
        parsed = ufw.frontend.parse_command(arguments)
        front = ufw.frontend.UFWFrontend(parsed.dryrun, datadir=root)
        front.backend.do_checks = False
        front.backend.caps = {"limit": {"4": True, "6": True}}
        if parsed.action in ("enable", "disable", "reload", *LOOKS):
            return 0
        if of_application and parsed.data.get("type") == "app":
            front.do_application_action(parsed.action, parsed.data["name"])
        elif "rule" in parsed.data:
            data = parsed.data
            front.do_action(parsed.action, data["rule"], data["iptype"], parsed.force)
        else:
            front.do_action(parsed.action, "", "", parsed.force)
    except (Exception, SystemExit):  # ufw exits with 1 for each
        return 1
    return 0


def _script(commands: list[list[str]], stock: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(stock, root, dirs_exist_ok=True)
        statuses = [_run(words, root) for words in commands]
        rules = [
            re.findall("^### tuple ### (.*)", Path(root, "etc/ufw", name).read_text(), re.M)
            for name in ("user.rules", "user6.rules")
        ]
        defaults = Path(root, "etc/default/ufw").read_text()
        policies = re.findall(r'^DEFAULT_(\w+PUT|FORWARD)_POLICY="(\w+)"', defaults, re.M)
    return {"statuses": statuses, "rules": rules, "policies": dict(policies)}


def main() -> None:
    """Answer each line of input."""
    _prepare()
    answers, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115
    with tempfile.TemporaryDirectory() as stock:
        os.makedirs(f"{stock}/etc/default")
        shutil.copytree("/etc/ufw", f"{stock}/etc/ufw")
        shutil.copy("/etc/default/ufw", f"{stock}/etc/default/ufw")
        for path in TEMPLATES.iterdir():
            shutil.copy(path, f"{stock}/etc/ufw")
        for line in sys.__stdin__ or ():
            print(json.dumps(_script(json.loads(line), stock)), file=answers, flush=True)


main()
