"""What `--help` teaches beside the flags: examples, and what the exit status means."""

from __future__ import annotations

DESCRIPTION = """\
Check from configuration files alone whether clients can reach TLS services: servers, firewall,
certificates and DNS together. It needs no root and no network, and runs nothing that it reads."""

EXAMPLES = """\
examples:
  sslint check /etc                            this machine, as its files are
  sslint check                                 the work tree one stands in
  sslint check . --output html=report.html     a page that shows who reaches what
  sslint endpoints /etc                        each listener and who reaches it
  sslint trace /etc https --from public        who decides, rule by rule with -v
  sslint explain tls-port-closed               what a rule means and how to fix it

exit status:
  0  nothing at or above --fail-on (default: error)
  1  findings at or above it, whatever was not judged; trace: not as --expect says
  2  wrong usage, configuration or rule file
  3  a host was not judged, nothing to check, or a file that decides could not be read
  4  a bug in sslint

SSLINT_NAME in the environment is the flag --name; .sslint.yaml has the same names and more.
`sslint COMMAND --help` says more about each command."""

OF_COMMANDS = {
    "check": """\
examples:
  sslint check /etc
  sslint check . --fail-on warning --config-from origin/main     in CI
  sslint check . --output sarif=sslint.sarif --output junit=sslint.xml
  sslint check /etc --select reachability,certificate
  sslint check etc/nginx/nginx.conf --firewall rules.v4 --firewall rules.v6
  sslint check . --baseline known.json --write-baseline known.json""",
    "endpoints": """\
examples:
  sslint endpoints /etc
  sslint endpoints . --format json""",
    "trace": """\
examples:
  sslint trace /etc 443
  sslint trace . imaps --from 203.0.113.0/24 -v
  sslint trace /etc 5432 --from public --expect closed
  sslint trace /etc --packets packets.jsonl""",
    "init": """\
examples:
  sslint init
  sslint init deploy""",
    "explain": """\
examples:
  sslint explain tls-port-closed""",
    "rules": """\
examples:
  sslint rules
  sslint rules --format json
  sslint rules new our-port-open             a rule of your own to begin with""",
}
