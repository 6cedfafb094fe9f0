"""The form of parameters: what stops master or a daemon of Postfix is said to stop it.

More: `SSLINT_COUNT=2000 .venv/bin/python -m pytest tests/live/test_postfix_forms_live.py`.
"""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from sslint.servers.model import ServerReading
from sslint.servers.postfix import forms
from sslint.servers.postfix import reader as postfix
from tests.live import postfix_lab
from tests.live.conftest import count, seed
from tests.support import tree_of

VERSION = (3, 10)  # of Debian 13
LABS = 3
WORDS = {
    "bool": ["yes", "no", "YES", "maybe", "", "1"],
    "int": ["0", "1", "5", "+7", "-1", "x", "1k", "", "600", "99999", "2147483648", "$nothing"],
    "time": [
        "0",
        "1",
        "1s",
        "2m",
        "1x",
        "s",
        "",
        "-1s",
        "1sx",
        "9999w",
        "100000",
        "1 s",
        "x",
        "5d",
    ],
    "text": ["x", "", "xx", "${nothing}"],
}
WORDS["long"] = WORDS["int"]
MASTER = {
    "smtpd": "smtp inet n - n - - smtpd%s\n",
    "postscreen": "smtp inet n - n - 1 postscreen%s\nsmtpd pass - - n - - smtpd\n",
}
# What has a meaning besides its form, or what is said of it elsewhere.
ELSEWHERE = frozenset(
    """
    daemon_directory command_directory data_directory queue_directory config_directory mail_owner
    default_privs setgid_group default_database_type myhostname mydomain myorigin smtpd_banner
    syslog_name process_name process_id shlib_directory meta_directory compatibility_level
    maillog_file_prefixes stress postlog_service_name smtpd_sasl_type smtpd_tls_security_level
    smtpd_service_name
    """.split()
)
STOPS = re.compile(
    r"bad (numerical|boolean) configuration|bad time value|bad string length"
    r"|invalid \S+( parameter value|: -?\d+ \(m)"
)


def case(number: int) -> dict[str, str]:
    """Return a configuration with a random parameter."""
    rng = random.Random(f"form {number}")
    program = rng.choice(list(MASTER))
    tables = {each: forms._table(each, VERSION) for each in ("all", "master", program)}
    table = rng.choice(list(tables.values()))
    name = rng.choice(sorted(table.keys() - ELSEWHERE))
    form = table[name][0]
    edges = [form.least - 1, form.least, form.most, form.most + 1]
    value = rng.choice(
        [*WORDS[form.kind], *map(str, edges)] if form.kind != "bool" else WORDS["bool"]
    )
    main = postfix_lab.MAIN + "myhostname = mx.example.org\ncompatibility_level = 3.9\n"
    option = ""
    if rng.random() < 0.3 and value:
        option = f" -o {{{name} = {value}}}"
    else:
        main += f"{name} = {value}\n"
    return {
        "/etc/postfix/main.cf": main,
        "/etc/postfix/master.cf": MASTER[program] % option + postfix_lab.MASTER_CF,
    }


def outcome(reading: ServerReading) -> str:
    if reading.refusals:
        return "refused"
    return "stops" if any("broken" in dict(e.settings) for e in reading.endpoints) else "works"


def difference(lab: postfix_lab.Lab, number: int) -> str:
    """Return what sslint and Postfix do not agree on."""
    files = case(number)
    readings = [postfix.read(tree_of(files), version=version) for version in (VERSION, None)]
    ours = [outcome(reading) for reading in readings if reading is not None]
    answer = lab.run(files, [], 1.0)
    stopped = STOPS.search(answer["log"])
    said = "refused" if not answer["sockets"] else "stops" if stopped else "works"
    # Whether a reference is empty is not known: `works` is no more than what is not refused.
    if ours == [said, said] or ("nothing" in "".join(files.values()) and set(ours) == {"works"}):
        return ""
    told = (
        "\n".join(files.values()).replace(postfix_lab.MASTER_CF, "").replace(postfix_lab.MAIN, "")
    )
    return f"{number}: sslint {ours}, Postfix {said}\n{told}\n{answer['log'][-600:]}"


@pytest.mark.live("postfix")
def test_random_parameters() -> None:
    first = seed() % 1_000_000_000
    total = count(24)
    found: list[str] = []

    def work(lane: int) -> None:
        with postfix_lab.lab() as lab:
            for number in range(first + lane, first + total, LABS):
                found.extend(filter(None, [difference(lab, number)]))

    with ThreadPoolExecutor(LABS) as pool:
        list(pool.map(work, range(LABS)))
    assert not found, f"{len(found)}\n" + "\n".join(found[:10])
