"""A new rule to begin with, as `sslint rules new NAME` writes it; in our tree with its cases."""

from __future__ import annotations

import os
from pathlib import Path

from sslint.errors import UsageError
from sslint.regex import regex
from sslint.tree import not_written, write_named

_NAME = regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
OWN_TREE = ("rules/sslint", "tests/rules", "schemas/rule.schema.json")
FAMILY = "hygiene"

RULE = """\
# `sslint explain {name}` shows what is written here; docs/facts.md has the fields of each kind.
# yaml-language-server: $schema={schema}
name: {name}
summary: nginx listens on a port that it should not       # one line, no full stop
each: service                                             # the kind of fact: one finding each
match:                                                    # all of it must certainly hold
  server: nginx
  port: 8081
  scope: {{not: loopback}}
severity: warning                                         # error, warning or info
message: "{{server}} listens on {{transport}}/{{port}}"   # with this host's own values
clients: ""                                               # what a client sees, if it sees anything
advice: "remove the listener, or bind it to 127.0.0.1"    # the one thing to do
why: >-
  Say why it matters, and what clients see of it.
bad: |
  listen 8081;
good: |
  listen 127.0.0.1:8081;
guards:                                                   # when it stays silent
  - bound to loopback
"""

CASES = """\
# Edits on a host of tests/sound; each severity needs a case that fires, each guard a silent one.
host: web-nftables
fires:
  - case: a listener on the port
    edits:
      - in: etc/nginx/sites-enabled/www
        replace: "    listen 443 ssl default_server;"
        by: "    listen 8081;\\n    listen 443 ssl default_server;"
    expect: {severity: warning, message: tcp/8081}
silent:
  - case: bound to loopback
    edits:
      - in: etc/nginx/sites-enabled/www
        replace: "    listen 443 ssl default_server;"
        by: "    listen 127.0.0.1:8081;\\n    listen 443 ssl default_server;"
"""


def create(name: str) -> list[str]:
    """Write a rule, and return the paths of what was written and what to do next.

    Raise UsageError for a name that is none or that is taken, or a file that cannot be written.
    """
    from sslint.bundled import schema_path
    from sslint.engine import bundled
    from sslint.plain import clean

    if not _NAME.fullmatch(name) or len(name) > 60:
        raise UsageError("rules new: a name is words of small letters, such as quic-udp-closed")
    if any(rule.name == name for rule in bundled()):
        raise UsageError(f"rules new: there is a rule {name}; see sslint explain {name}")
    own = all(map(os.path.exists, OWN_TREE))
    schema = "../../schemas/rule.schema.json" if own else clean(str(schema_path("rule")))
    rule = RULE.format(name=name, schema=schema)
    files = {f"{name}.yaml": rule}
    if own:
        files = {f"rules/{FAMILY}/{name}.yaml": rule, f"tests/rules/{name}.yaml": CASES}
    for path, text in files.items():
        if os.path.lexists(path):
            raise UsageError(f"rules new: {path} exists")
        try:
            write_named(path, text)
        except OSError as error:
            raise UsageError(f"rules new: {path}: {not_written(error)}") from None
    then = "make docs && .venv/bin/python -m pytest -q tests/test_rules.py"
    if not own:
        then = f"name it in .sslint.yaml: rules: [{Path(name).with_suffix('.yaml')}]"
    return [*files, then]
