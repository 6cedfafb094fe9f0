"""Trees that lead out of the root."""

from __future__ import annotations

from collections.abc import Sequence

from tests.hostile.registry import NGINX, Ground, tree


def _host(ground: Ground) -> None:
    ground.write("etc/nginx/nginx.conf", NGINX)


@tree
def configuration_is_a_link_to_credentials(g: Ground) -> None:
    _host(g)
    g.link(".sslint.yaml", g.secret)


@tree
def configuration_is_a_link_to_the_git_configuration(g: Ground) -> None:
    _host(g)
    g.link(".sslint.yaml", ".git/config")


@tree
def configuration_below_is_a_link(g: Ground) -> Sequence[str]:
    _host(g)
    g.link("etc/.sslint.yaml", g.secret)
    return ["check", str(g.root / "etc")]


@tree
def configuration_is_a_fifo(g: Ground) -> None:
    import os

    _host(g)
    os.mkfifo(g.root / ".sslint.yaml")


@tree
def configuration_is_a_directory(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml/x", "x")


@tree
def rule_is_a_link(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "rules: [rule.yaml]\n")
    g.link("rule.yaml", g.secret)


@tree
def rule_in_a_directory_is_a_link(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "rules: [rules]\n")
    g.link("rules/rule.yaml", g.secret)


@tree
def rules_are_a_link_to_a_directory(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "rules: [rules]\n")
    g.link("rules", g.outside)


@tree
def baseline_is_a_link(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "baseline: known.json\n")
    g.link("known.json", g.secret)


@tree
def baseline_lies_outside(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "baseline: ../outside/.git-credentials\n")


@tree
def path_is_a_link(g: Ground) -> Sequence[str]:
    g.link("etc/nginx/sites-enabled/shop", g.secret)
    return ["check", str(g.root / "etc/nginx/sites-enabled/shop")]


@tree
def path_is_a_link_to_a_directory(g: Ground) -> Sequence[str]:
    g.link("deploy", g.outside)
    return ["check", str(g.root / "deploy")]


@tree
def hosts_name_git(g: Ground) -> None:
    g.write(".sslint.yaml", "hosts: {a: {root: .git}, b: {nginx: .git/config}}\n")


@tree
def hosts_name_git_by_a_link(g: Ground) -> None:
    g.link("deploy", ".git")
    g.write(".sslint.yaml", "hosts: {b: {nginx: deploy/config}}\n")


@tree
def hosts_name_a_place_outside(g: Ground) -> None:
    g.write(".sslint.yaml", "hosts: {a: {nginx: ../outside/.git-credentials}}\n")


@tree
def hosts_name_a_link_that_leads_outside(g: Ground) -> None:
    g.link("nginx.conf", g.secret)
    g.write(".sslint.yaml", "hosts: {a: {nginx: nginx.conf}}\n")


@tree
def hosts_name_an_absolute_place(g: Ground) -> None:
    g.write(".sslint.yaml", f"hosts: {{a: {{paths: {{/etc/nginx: {g.outside}}}}}}}\n")


@tree
def paths_with_doubled_slashes(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "hosts: {a: {root: ., paths: {//etc/ssl: etc, ///etc//x/: etc}}}\n")


@tree
def paths_with_dots(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "hosts: {a: {root: ., paths: {/etc/../../..: etc, /./: etc}}}\n")


@tree
def firewall_of_the_configuration_lies_outside(g: Ground) -> None:
    _host(g)
    g.write(".sslint.yaml", "firewall: [nft=../outside/.git-credentials]\n")


@tree
def firewall_of_the_configuration_is_a_link(g: Ground) -> None:
    _host(g)
    g.link("rules.nft", g.secret)
    g.write(".sslint.yaml", "firewall: [nft=rules.nft]\n")


@tree
def announced_of_the_configuration_is_a_link(g: Ground) -> None:
    _host(g)
    g.link("zone", g.secret)
    g.write(".sslint.yaml", "announced: [zone]\n")


@tree
def firewall_of_the_configuration_is_a_fifo(g: Ground) -> None:
    import os

    _host(g)
    os.mkfifo(g.root / "rules.nft")
    g.write(".sslint.yaml", "firewall: [rules.nft]\n")


@tree
def exclude_names_loops_and_nul(g: Ground) -> None:
    _host(g)
    g.link("loop", "loop")
    g.write(".sslint.yaml", 'exclude: [loop, "a\\0b", ../../.., /]\n')


@tree
def site_is_an_absolute_link(g: Ground) -> None:
    g.nginx(more="include /etc/nginx/sites-enabled/*;")
    g.link("etc/nginx/sites-enabled/a", g.secret)


@tree
def site_is_a_relative_link(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*;")
    g.link("etc/nginx/sites-enabled/a", "../../../../outside/.git-credentials")


@tree
def sites_are_a_link_to_a_directory(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*; include sites-enabled/.git-credentials;")
    g.link("etc/nginx/sites-enabled", "../../../outside")


@tree
def nginx_is_a_link(g: Ground) -> None:
    _host(g)
    g.write("etc/nftables.conf", "flush ruleset\n")
    (g.root / "etc/nginx").rename(g.outside / "nginx")
    g.link("etc/nginx", g.outside / "nginx")


@tree
def etc_is_a_link(g: Ground) -> None:
    g.link("host/etc", g.outside)
    (g.outside / "nginx").mkdir()
    (g.outside / "nginx/nginx.conf").write_text(NGINX)


@tree
def includes_climb(g: Ground) -> None:
    up = "../" * 12
    path = f"{up}{g.secret}"
    g.nginx(more=f"include {path}; include {g.secret};")
    g.write("etc/nftables.conf", f'include "{path}"\ninclude "{g.secret}"\n')
    g.write("etc/dovecot/dovecot.conf", f"!include {path}\n!include_try {g.secret}\n")
    g.write("etc/postfix/main.cf", f"mydestination = {g.secret}, texthash:{path}\n")
    g.write("etc/network/interfaces", f"source {path}\nsource-directory {g.outside}\n")
    g.write("etc/bind/named.conf", f'include "{path}";\nzone "x" {{ file "{g.secret}"; }};\n')


@tree
def links_to_proc(g: Ground) -> None:
    g.nginx(more="include sites-enabled/*;")
    for name in ("self/environ", "self/fd/0", "self/root/etc/hostname", "1/environ"):
        g.link(f"etc/nginx/sites-enabled/{name.replace('/', '-')}", f"/proc/{name}")


@tree
def certificates_lead_outside(g: Ground) -> None:
    g.nginx(
        f"server {{ listen 443 ssl; server_name a; ssl_certificate {g.outside}/privkey.pem;"
        f" ssl_certificate_key ../../../outside/privkey.pem; }}"
    )
    g.link("etc/letsencrypt/live/a/fullchain.pem", g.outside / "privkey.pem")
    g.write(
        "etc/letsencrypt/renewal/a.conf",
        f"version = 2.0\ncert = {g.secret}\nprivkey = {g.outside}/privkey.pem\n"
        f"[renewalparams]\nrenew_hook = . {g.secret}\ndeploy_hook = /{g.secret}\n",
    )


@tree
def units_and_scripts_lead_outside(g: Ground) -> None:
    _host(g)
    for path in (
        "etc/systemd/system/nftables.service",
        "etc/network/if-up.d/firewall",
        "etc/rc.local",
        "etc/ufw/before.rules",
        "etc/default/ufw",
        "etc/firewalld/zones/public.xml",
        "etc/iptables/rules.v4",
        "etc/sysctl.conf",
        "etc/os-release",
    ):
        g.link(path, g.secret)


@tree
def fifos_sockets_and_devices(g: Ground) -> None:
    import os
    import socket

    g.nginx(more="include sites-enabled/*;")
    (g.root / "etc/nginx/sites-enabled").mkdir()
    os.mkfifo(g.root / "etc/nginx/sites-enabled/fifo")
    os.mkfifo(g.root / "etc/nftables.conf")
    g.link("etc/nginx/sites-enabled/zero", "/dev/zero")
    g.link("etc/nginx/sites-enabled/tty", "/dev/tty")
    place = os.getcwd()
    os.chdir(g.root / "etc/nginx/sites-enabled")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    os.chdir(place)
