"""The form of settings: what doveconf refuses for a name, a place or a value, is refused.

More: `SSLINT_COUNT=20000 .venv/bin/python -m pytest tests/live/test_dovecot_settings_live.py`.
"""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from sslint.servers.dovecot import forms, reading
from tests.live.conftest import count, expect_none
from tests.support import tree_of

VERSION = (2, 4, 1)  # of Debian 13
HEAD = "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\nprotocols = imap\n"
PLACES = [
    "%s",
    "protocol imap {\n%s\n}",
    "local_name mail.example.org {\n%s\n}",
    "local 192.0.2.1 {\nprotocol imap {\n%s\n}\n}",
    "remote 192.0.2.0/24 {\n%s\n}",
    "service imap-login {\n%s\n}",
    "service imap-login {\ninet_listener imap {\n%s\n}\n}",
    "service auth {\nunix_listener auth-x {\n%s\n}\n}",
    "service auth {\nfifo_listener x {\n%s\n}\n}",
    "passdb static {\n%s\n}",
    "passdb a {\ndriver = static\n%s\n}",
    "userdb static {\n%s\n}",
    "userdb static {\nfields {\n%s\n}\n}",
    "namespace inbox {\n%s\n}",
    "namespace inbox {\nmailbox Drafts {\n%s\n}\n}",
    "ssl_server {\n%s\n}",
    "ssl_client {\n%s\n}",
    "oauth2 {\n%s\n}",
    "dict_server {\ndict x {\ndriver = file\n%s\n}\n}",
    "mail_plugins {\n%s\n}",
    "protocols {\n%s\n}",
    "protocol lmtp {\nmail_plugins {\n%s\n}\n}",
    "metric x {\nfilter = event=y\n%s\n}",
    "metric x {\nfilter = event=y\ngroup_by z {\n%s\n}\n}",
    "event_exporter x {\n%s\n}",
    "quota user {\n%s\n}",
    "quota user {\nwarning w {\n%s\n}\n}",
    "sieve_script x {\npath = /x\n%s\n}",
    "acl x {\n%s\n}",
    "imapc {\n%s\n}",
    "language en {\n%s\n}",
    "auth_policy {\n%s\n}",
    "mail_attribute {\n%s\n}",
    "group @g x {\n%s\n}",
    "group @g x {\nnamespace inbox {\n%s\n}\n}",
]
WORDS = {
    "bool": ["yes", "no", "YES", "y", "n", "1", "0", "true", "", "%{x}", "yes no", "on"],
    "uint": ["0", "1", "007", "10k", "-1", "", "unlimited", "4294967295", "4294967296", "x", "1 "],
    "octal": ["0600", "0x1", "600", "08", "0", "", "unlimited", "rw"],
    "time": ["0", "5", "5s", "5 min", "5 mins", "5minutes", "1h", "1 hour", "2 hoursx", "1d", "1w"],
    "size": ["0", "5", "5k", "5 kB", "5KiB", "5kk", "5b", "5bb", "1T", "999999999T", "", "M", "-1"],
    "port": ["0", "143", "65535", "65536", "imap", "-1", "", "00143", "unlimited", "%{x}"],
    "": ["x", "yes", "0", "", '"a b"', "%{user}"],
    "boollist": ["a b", "a, b", "", "x", 'a "b c"', 'a "b'],
    "strlist": ["", "x"],
    "file": ["", "inline:x"],
    "filter": ["", "x"],
}
WORDS["time"] += ["5ms", "1000ms", "1500 msecs", "1 year", "infinite", "99999999 weeks", "", "1.5h"]
WORDS |= {"msecs": WORDS["time"], "uintmax": WORDS["uint"], "array": WORDS["filter"]}
SAID = re.compile(  # with "Error in": what is refused by form, and not for what other settings say
    r"Error in configuration file .*"
    r"(Invalid (boolean value|number|value|size|time interval|port number)|Time interval"
    r"|Size is too large|Milliseconds not supported|Setting is a (named|string list)"
    r"|Auth settings not supported)"
)


def case(number: int) -> str:
    """Return a configuration with a random setting in a random section."""
    rng = random.Random(f"form {number}")
    place = PLACES[0] if rng.random() < 0.3 else rng.choice(PLACES)
    known = forms._table("new", VERSION)[""]
    kinds = sorted({kind.split(" ")[0] for kind in known.values()})
    if rng.random() < 0.6:
        wanted = rng.choice(kinds)
        name = rng.choice(sorted(n for n, kind in known.items() if kind.split(" ")[0] == wanted))
    else:
        name = rng.choice(sorted(known))
    word, *choices = known[name].split(" ")
    value = rng.choice([*choices, "x", "yes"] if choices else WORDS.get(word, WORDS[""]))
    sections = [line.split(" ")[0] for line in place.splitlines() if line.endswith("{")]
    for section in sections:
        if name.startswith(f"{section}_") and rng.random() < 0.9:
            name = name.removeprefix(f"{section}_")
    if rng.random() < 0.1:
        at = rng.randrange(len(name))
        name = name[:at] + rng.choice(["", "x", name[at] * 2]) + name[at + 1 :]
    elif rng.random() < 0.1:
        old = forms._every("old")[-1]
        name = rng.choice(sorted(old[rng.choice(sorted(old))]))
    line = f"{name} = {value}"
    if rng.random() < 0.05:
        line = f"{name} " + rng.choice(["{\n}", "x {\n}", "x {\na = b\n}", "{\na = b\n}"])
    elif rng.random() < 0.05:
        line = f"pop3_lock_session = no\n{name} = $SET:pop3_lock_session"
    return HEAD + place % line + "\n"


def real(base: Path, number: int, text: str) -> str:
    """Return what doveconf refuses a configuration for; "" if it takes it."""
    path = base / f"{number}.conf"
    path.write_text(text)
    command = ["doveconf", "-n", "-x", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    path.unlink()
    errors = [line for line in done.stderr.splitlines() if "Fatal:" in line or "Error:" in line]
    return (errors[0] if errors else done.stderr) if done.returncode else ""


def difference(base: Path, number: int) -> str:
    """Return what sslint and doveconf do not agree on."""
    text = case(number)
    said = real(base, number, text)
    readings = [
        reading.read(tree_of({"/etc/dovecot/dovecot.conf": text}), version=version)
        for version in (VERSION, None)
    ]
    ours, unsure = ([reason.text for reason in one.refusals] for one in readings if one)
    told = f"{number}: {text}\n  doveconf: {said}\n  sslint: {ours}, any version: {unsure}"
    if (ours or unsure) and not said:
        return told
    return told if SAID.search(said) and not ours else ""


@pytest.mark.live("doveconf")
def test_random_settings(tmp_path: Path) -> None:
    expect_none(lambda number: difference(tmp_path, number), count(400))
