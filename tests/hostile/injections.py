"""Trees whose words would be commands where a report lands."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.hostile.registry import NGINX, Ground, tree

COMMAND = "::error file=x,line=1::pwned"
OLD_COMMAND = "##[command]pwned"


@tree
def workflow_commands_as_names(g: Ground) -> None:
    for word in (COMMAND, OLD_COMMAND):
        g.nginx(
            f'server {{ listen 443 ssl; server_name "{word}"; }}',
            f'server {{ listen 8443 ssl; server_name a; ssl_certificate "{word}"; }}',
            f'server {{ listen 80; return 301 "https://{word}/"; }}',
        )
        g.nft(f'  tcp dport 443 drop comment "{word}"')


@tree
def workflow_commands_on_lines_of_their_own(g: Ground) -> None:
    g.nginx(f'server {{ listen 443 ssl; server_name "\n{COMMAND}\n"; }}')
    g.nft(f'  tcp dport 443 drop comment "\n{COMMAND}\n"')
    g.write("etc/postfix/main.cf", f"myhostname =\n  {COMMAND}\n")
    g.write("etc/postfix/master.cf", f"smtp inet n - y - - smtpd\n  {COMMAND}\n")


@tree
def workflow_commands_as_names_of_files(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*; include '::warning::pwned';")
    g.write(f"etc/nginx/sites-enabled/{COMMAND}", "server { listen 443 ssl }\n")
    g.write("etc/nginx/sites-enabled/\n::add-mask::x", "server { listen 443 ssl; x }\n")


@tree
def workflow_commands_as_hosts(g: Ground) -> None:
    g.write(f"{COMMAND}/etc/nginx/nginx.conf", NGINX)
    g.write("\n::stop-commands::x/etc/nginx/nginx.conf", NGINX)
    g.write("##[group]/etc/nginx/nginx.conf", NGINX)


@tree
def workflow_commands_as_hosts_of_the_configuration(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f'hosts: {{"{COMMAND}": {{root: .}}, "\\n{COMMAND}": {{root: .}}}}\n')


@tree
def workflow_commands_in_the_configuration(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f'"{COMMAND}": 1\n"{OLD_COMMAND}": 1\n"\\n{COMMAND}": 1\n')


@tree
def workflow_commands_as_values_of_the_configuration(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(".sslint.yaml", f'fail_on: "{COMMAND}"\nhosts: {{a: {{root: "\\n{COMMAND}"}}}}\n')


@tree
def workflow_commands_in_a_rule(g: Ground) -> None:
    g.nginx("server { listen 443 ssl; server_name a; }")
    g.write(".sslint.yaml", "rules: [r.yaml]\n")
    g.write(
        "r.yaml",
        f'name: my-rule\nseverity: error\nsummary: "{COMMAND}"\neach: endpoint\n'
        f'message: "{COMMAND}"\nwhy: "{OLD_COMMAND}"\nadvice: "\\n{COMMAND}"\nclients: "{COMMAND}"\n'
        "match: {port: 443}\n",
    )


@tree
def workflow_commands_in_xml_and_zones(g: Ground) -> Sequence[str]:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write("etc/firewalld/zones/public.xml", f'<zone><service name="{COMMAND}"/></zone>')
    g.write("zone", f"$ORIGIN example.org.\n@ IN MX x {COMMAND}\n{COMMAND} IN A 192.0.2.1\n")
    return ["check", str(g.root), "--announced", str(g.root / "zone")]


BIDI = "\u202e\u2066\u200b\u200f\u2028\u2029\ufeff\u00ad\U000e0041"


@tree
def directions_of_writing(g: Ground) -> None:
    g.nginx(
        f'server {{ listen 443 ssl; server_name "a{BIDI}b"; }}',
        f'server {{ listen 80; return 301 "https://{BIDI}/"; }}',
        f"{BIDI} on;",
    )
    g.nft(f'  tcp dport 443 drop comment "{BIDI}"')
    g.write(f"etc/nginx/{BIDI}.conf", "")


@tree
def escapes_of_terminals(g: Ground) -> None:
    word = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\b\x7f"
    g.nginx(f'server {{ listen 443 ssl; server_name "{word}"; }}', f'"{word}" on;')
    g.nft(f'  tcp dport 443 drop comment "{word}"')
    g.write(".sslint.yaml", 'hosts: {"\\e[31m": {root: ., nginx: "\\e]0;x\\a"}}\n')


@tree
def markup(g: Ground) -> None:
    word = "<script>alert(1)</script>]]>|`${x}`</testcase>&\"'"
    g.nginx(f"server {{ listen 443 ssl; server_name '{word}'; }}".replace("''", "'"))
    g.nft("  tcp dport 443 drop")
    g.write("etc/nginx/<img src=x>.conf", "")


def _named(g: Ground, table: str, chain: str, other: str = "x") -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    of = {"family": "inet", "table": table}
    g.write(
        "rules.json",
        json.dumps(
            {
                "nftables": [
                    {"table": {"family": "inet", "name": table}},
                    {
                        "chain": {
                            **of,
                            "name": chain,
                            "type": "filter",
                            "hook": "input",
                            "prio": 0,
                            "policy": "drop",
                        }
                    },
                    {"set": {**of, "name": other, "type": "inet_service", "elem": [22]}},
                    {
                        "rule": {
                            **of,
                            "chain": chain,
                            "handle": 7,
                            "expr": [
                                {
                                    "match": {
                                        "op": "==",
                                        "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                                        "right": f"@{other}",
                                    }
                                },
                                {"accept": None},
                            ],
                        }
                    },
                ]
            }
        ),
    )
    g.write(".sslint.yaml", "firewall: [rules.json]\n")


@tree
def nft_table_that_flushes(g: Ground) -> None:
    _named(g, "f i accept ; flush ruleset ; #", "i")


@tree
def nft_chain_that_flushes(g: Ground) -> None:
    _named(g, "f", "i accept ; flush ruleset ; #")


@tree
def nft_chain_that_is_an_option(g: Ground) -> None:
    _named(g, "-f", "--file=x")


@tree
def nft_names_of_the_shell(g: Ground) -> None:
    _named(g, "$(reboot)", "`reboot`", "'; reboot; '")


@tree
def nft_chain_of_two_lines(g: Ground) -> None:
    _named(g, "f", "i\nflush ruleset")


@tree
def certbot_lineage_that_is_an_option(g: Ground) -> None:
    g.nginx(
        "server { listen 443 ssl; server_name a.example.org; ssl_certificate"
        " '/etc/letsencrypt/live/x --deploy-hook=reboot/fullchain.pem'; ssl_certificate_key"
        " '/etc/letsencrypt/live/x --deploy-hook=reboot/privkey.pem'; }"
    )
    for name in ("x --deploy-hook=reboot", "--deploy-hook=reboot", "$(reboot)"):
        g.write(
            f"etc/letsencrypt/renewal/{name}.conf",
            f"cert = /etc/letsencrypt/live/{name}/cert.pem\n[renewalparams]\nauthenticator = x\n",
        )
        g.write(f"etc/letsencrypt/live/{name}/fullchain.pem", "x")


@tree
def paths_of_the_shell(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*;")
    for name in ("$(reboot)", "; reboot", "-rf", "a b", "'"):
        g.write(f"etc/nginx/sites-enabled/{name}", "server { listen 443 ssl; server_name a; }\n")


@tree
def iptables_chains_of_the_shell(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write(
        "etc/iptables/rules.v4",
        '*filter\n:INPUT DROP [0:0]\n:"a;reboot" - [0:0]\n:$(reboot) - [0:0]\n-A INPUT -j "a;reboot"\n'
        '-A INPUT -j $(reboot)\n-A INPUT -i "$(reboot)" -p tcp --dport 443 -j DROP\nCOMMIT\n',
    )


@tree
def firewalld_zone_that_is_an_option(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.write("etc/firewalld/firewalld.conf", "DefaultZone=--panic-on\n")
    g.write("etc/firewalld/zones/--panic-on.xml", "<zone><service name='ssh'/></zone>")


@tree
def baseline_that_hides_all(g: Ground) -> None:
    g.write("etc/nginx/nginx.conf", NGINX)
    g.nft("  tcp dport 22 accept")
    g.write(".sslint.yaml", "baseline: known.json\nfail_on: never\n")
    g.write("known.json", json.dumps({"version": 1, "findings": {"x": "y"}}))
