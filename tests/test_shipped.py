"""A part of /etc is judged together with what the distribution ships, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint import host, shipped
from sslint.api import check
from sslint.checker import check as run_check
from sslint.engine import bundled
from sslint.network import read_network
from sslint.targets import Target
from sslint.tree import Tree
from tests.live.shipped import settings
from tests.support import tree_of

USER_RULES = (
    "*filter\n:ufw-user-input - [0:0]\n### RULES ###\n"
    "### tuple ### allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in\n"
    "-A ufw-user-input -p tcp --dport 443 -j ACCEPT\nCOMMIT\n"
)
SSL_23 = "ssl = required\nssl_cert = </etc/x.pem\nssl_key = </etc/x.key\n"
SSL_24 = "ssl = required\nssl_server_cert_file = /etc/x.pem\nssl_server_key_file = /etc/x.key\n"
POSTFIX = "myhostname = mail.example.org\nsmtpd_banner = $myhostname ESMTP (Debian)\n"


def fitting(files: dict[str, str], **versions: str) -> list[str]:
    tree = tree_of(files)
    return shipped.fitting(tree, read_network(tree), versions)


def read(files: dict[str, str]) -> host.Host:
    return host.read(Target("host", tree_of(files)))


def ports(found: host.Host) -> list[tuple[str, int, bool]]:
    return sorted({(s.endpoint.server, s.endpoint.port, s.endpoint.certain) for s in found.sockets})


@pytest.mark.parametrize(
    ("files", "releases"),
    [
        ({"/etc/nginx/conf.d/x.conf": ""}, []),  # any distribution's
        ({"/etc/nginx/sites-available/x": ""}, ["debian/13", "debian/12"]),
        ({"/etc/nginx/sites-available/x": "", "/etc/yum.repos.d/x": ""}, []),
        ({"/etc/nginx/conf.d/x.conf": "", "/etc/os-release": "ID=fedora\n"}, []),
        ({"/etc/nginx/sites-available/x": "", "/etc/os-release": "ID=ubuntu\n"}, []),
        ({"/etc/nginx/x": "", "/etc/debian_version": "12.4\n"}, ["debian/12"]),
        ({"/etc/nginx/x": "", "/etc/os-release": "ID=debian\nVERSION_ID=11\n"}, []),
        ({"/etc/dovecot/conf.d/10-ssl.conf": SSL_23, "/etc/apt/x": ""}, ["debian/12"]),
        ({"/etc/dovecot/conf.d/10-ssl.conf": SSL_24, "/etc/apt/x": ""}, ["debian/13"]),
        ({"/etc/postfix/main.cf": POSTFIX}, ["debian/13", "debian/12"]),
        ({"/etc/nftables.conf": "", "/etc/apt/x": ""}, []),  # nothing that is completed
    ],
)
def test_which_release_a_part_of_etc_is_of(files: dict[str, str], releases: list[str]) -> None:
    assert fitting(files) == releases


def test_the_versions_of_the_configuration_choose_the_release() -> None:
    files = {"/etc/nginx/sites-available/x": ""}
    assert fitting(files, nginx="1.26") == ["debian/13"]
    assert fitting(files, nginx="1.22.1") == ["debian/12"]
    assert fitting(files, nginx="1.24") == []


def test_a_main_cf_alone_has_the_packages_services() -> None:
    found = read({"/etc/postfix/main.cf": POSTFIX})
    assert ports(found) == [("postfix", 25, True)]
    assert "etc/postfix/master.cf: as Debian 12 and 13 ship it" in found.assumptions


def test_a_service_that_a_shipped_file_leaves_out_may_be_served() -> None:
    rules = USER_RULES.replace("443", "587")
    files = {"/etc/postfix/main.cf": POSTFIX, "/etc/ufw/user.rules": rules}
    own = {**files, "/etc/postfix/master.cf": "smtp inet n - y - - smtpd\n"}
    for held, expected in ((files, []), (own, ["submission-disabled"])):
        result = run_check([Target("host", tree_of(held))], bundled())
        found = [one.rule.name for one in result.findings if "587" in one.message]
        assert found == expected


def test_files_of_dovecot_that_were_not_edited_are_the_packages() -> None:
    files = {
        "/etc/dovecot/conf.d/10-ssl.conf": SSL_24,
        "/etc/dovecot/conf.d/20-imap.conf": "",
        "/etc/debian_version": "13.1",
    }
    found = read(files)
    assert ("dovecot", 993, True) in ports(found)
    (imaps,) = {s.endpoint.certificates[0].path for s in found.sockets if s.endpoint.port == 993}
    assert imaps == "/etc/x.pem"
    assert "etc/dovecot/dovecot.conf: as Debian 13 ships it" in found.assumptions


def test_a_file_of_the_tree_is_never_replaced() -> None:
    files = {
        "/etc/nginx/nginx.conf": "events {}\nhttp { server { listen 8080; } }\n",
        "/etc/nginx/sites-available/x": "",
    }
    found = read(files)
    assert ports(found) == [("nginx", 8080, True)]
    assert found.assumptions == []


def test_what_the_releases_do_not_agree_on_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    def files(smtps: str) -> dict[str, dict[str, str]]:
        return {"postfix": {"/etc/postfix/master.cf": f"smtp inet n - y - - smtpd\n{smtps}"}}

    table = {
        "debian/13": files("submissions inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n"),
        "debian/12": files("2525 inet n - y - - smtpd\n"),
    }
    monkeypatch.setattr(shipped, "_table", lambda: table)
    found = read({"/etc/postfix/main.cf": POSTFIX})
    listeners = [(25, True), (465, False), (2525, False)]
    assert ports(found) == [("postfix", *listener) for listener in listeners]


def test_rules_of_ufw_alone_stand_on_the_packages_chains(tmp_path: Path) -> None:
    (tmp_path / "etc/ufw").mkdir(parents=True)
    (tmp_path / "etc/ufw/user.rules").write_text(USER_RULES)
    found = host.read(Target("host", Tree(tmp_path)))
    assert found.firewall is not None
    assert found.firewall.reach("tcp", 443, 4).verdict == "open"
    assert found.firewall.reach("tcp", 22, 4).verdict == "closed"
    assert found.firewall.reach("tcp", 443, 6).verdict == "unknown"  # user6.rules is not here
    assert "etc/default/ufw: as Debian 12 and 13 ship it" in found.assumptions


def test_a_statement_of_the_packages_is_not_judged(tmp_path: Path) -> None:
    site = tmp_path / "etc/nginx/sites-available/shop"
    site.parent.mkdir(parents=True)
    site.write_text("server { listen 80; server_name shop.example.org; }\n")
    (tmp_path / "etc/debian_version").write_text("12.5\n")
    result = run_check([Target("host", Tree(tmp_path))], bundled())
    assert "nginx.conf" in " ".join(result.hosts[0].assumptions)
    assert [f.rule.name for f in result.findings] == []  # TLSv1 of Debian 12's own nginx.conf


def test_a_whole_etc_lacks_what_it_lacks(tmp_path: Path) -> None:
    names = ("passwd", "group", "shadow", "hosts", "fstab", "profile", "shells", "debian_version")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "cron.service").touch()
    for name in names:
        (tmp_path / "etc" / name).touch()
    (tmp_path / "etc/nginx/sites-available").mkdir(parents=True)
    tree = Tree(tmp_path)
    assert shipped.fitting(tree, read_network(tree), {}) == []


def test_the_json_names_what_was_taken(tmp_path: Path) -> None:
    (tmp_path / "etc/postfix").mkdir(parents=True)
    (tmp_path / "etc/postfix/main.cf").write_text(POSTFIX)
    data = check(tmp_path / "etc").data()
    assert any("master.cf" in text for text in data["firewall"][0]["assumptions"])


def test_comments_are_cut_and_lines_keep_their_number() -> None:
    text = "# a\n\nuser x; # Don't\n  # b\ndaemon off;\n#c\n"
    assert settings(text) == "\n\nuser x;\n\ndaemon off;\n"


def test_ports_beside_a_relay_of_this_host_alone_are_not_postfixs() -> None:
    files = {
        "/etc/postfix/main.cf": "inet_interfaces = loopback-only\n",
        "/etc/postfix/master.cf": "2525 inet n - n - - smtpd\n#submission inet n - n - - smtpd\n",
        "/etc/ufw/user.rules": USER_RULES.replace("443", "587"),
        "/etc/ufw/ufw.conf": "ENABLED=yes\n",
    }
    result = run_check([Target("host", tree_of(files))], bundled())
    assert not [one.rule.name for one in result.findings if "587" in one.message]


def test_a_path_is_completed_by_the_distribution_before_a_main_file_is_made(tmp_path: Path) -> None:
    sites = tmp_path / "etc/nginx/sites-available"
    sites.mkdir(parents=True)
    for name in ("shop", "blog"):
        (sites / name).write_text(f"server {{ listen 80 default_server; server_name {name}.x; }}\n")
    data = check(tmp_path).data()
    assert [s["starts"] for s in data["servers"]] == [True]
    assumed = data["firewall"][0]["assumptions"]
    assert "etc/nginx: mime.types, nginx.conf as Debian 12 and 13 ship them" in assumed
    assert any(text.startswith("each site in etc/nginx/sites-available is ") for text in assumed)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/lsb-release", "DISTRIB_ID=Ubuntu\n"),
        ("etc/issue", "Ubuntu 22.04.3 LTS \\n \\l\n"),
        ("etc/apt/sources.list", "deb http://archive.ubuntu.com/ubuntu jammy main\n"),
        ("etc/apt/sources.list.d/ubuntu.sources", "URIs: http://archive.ubuntu.com/ubuntu/\n"),
    ],
)
def test_a_distribution_made_of_debian_ships_other_files(path: str, text: str) -> None:
    files = {"etc/apt/x": "", "etc/nginx/sites-enabled/x": ""}
    network = read_network(tree_of(files))
    assert shipped.fitting(tree_of(files), network, {})
    assert not shipped.fitting(tree_of({**files, path: text}), network, {})


@pytest.mark.parametrize("release", ["12", "13"])
def test_what_the_packages_nginx_conf_says_too_is_no_duplicate(release: str) -> None:
    """Where nginx.conf was not given, the one that goes with the other files is another."""
    site = "server { listen 443 ssl; ssl_certificate /c.pem; ssl_certificate_key /c.pem; }\n"
    found = read(
        {
            "/etc/os-release": f"ID=debian\nVERSION_ID={release}\n",
            "/etc/nginx/conf.d/hardening.conf": "server_tokens off;\ngzip on;\n",
            "/etc/nginx/conf.d/site.conf": site,
        }
    )
    [reading] = found.readings
    assert found.completed
    assert reading.refusals == []
    assert [(one.port, one.certain) for one in reading.endpoints] == [(443, True)]


def test_a_snippet_that_the_package_ships_is_no_duplicate_of_the_sites_own() -> None:
    site = (
        "server { listen 80; location / { fastcgi_index main.php;"
        " include snippets/fastcgi-php.conf; } }\n"
    )
    main = "events {}\nhttp { include conf.d/*.conf; }\n"
    found = read(
        {
            "/etc/os-release": "ID=debian\nVERSION_ID=13\n",
            "/etc/nginx/nginx.conf": main,
            "/etc/nginx/conf.d/site.conf": site,
        }
    )
    assert found.readings[0].refusals == []


def test_a_duplicate_in_one_file_is_refused_with_the_packages_files() -> None:
    site = "gzip_vary on;\ngzip_vary on;\nserver { listen 80; }\n"
    found = read(
        {
            "/etc/os-release": "ID=debian\nVERSION_ID=13\n",
            "/etc/nginx/conf.d/site.conf": site,
        }
    )
    [refusal] = found.readings[0].refusals
    assert refusal.text == '"gzip_vary" directive is duplicate'


def _sites(directory: str, text: str) -> dict[str, str]:
    return {f"/etc/nginx/{directory}/{name}": text for name in ("a.conf", "b.conf")}


def test_sites_of_which_perhaps_not_all_are_enabled_may_say_the_same() -> None:
    """Nor need they be without an error: whether nginx starts is not known."""
    main = "events {}\nhttp { include /etc/nginx/sites-enabled/*; }\n"
    site = "gzip on;\nserver { listen 80; server_name a.example; }\n"
    files = {"/etc/nginx/nginx.conf": main, **_sites("sites-available", site)}
    [reading] = read(files).readings
    assert (reading.refusals, reading.gaps) == ([], [])
    assert [(one.port, one.certain) for one in reading.endpoints] == [(80, True)]
    [reading] = read({**files, "/etc/nginx/sites-available/old": "server { listen 80\n"}).readings
    assert reading.refusals == []
    assert reading.gaps
    assert [(one.port, one.certain) for one in reading.endpoints] == [(80, False)]


def test_files_for_which_a_nginx_conf_is_made_may_say_the_same(tmp_path: Path) -> None:
    """They may be of several hosts, or examples."""
    for path, text in _sites("conf.d", "gzip on;\nserver { listen 80; }\n").items():
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert "is duplicate" not in str(check(tmp_path).data())


@pytest.mark.parametrize("statement", ["http2 on;", "ssl_reject_handshake on;", "early_hints 1;"])
def test_a_newer_nginx_than_the_distributions_is_not_refused(statement: str) -> None:
    """Of nginx.org, OpenResty or others: only a list of packages says which is installed."""
    files = {
        "/etc/os-release": "ID=ubuntu\nVERSION_ID=18.04\n",
        "/etc/nginx/nginx.conf": f"events {{}}\nhttp {{ server {{ listen 80; {statement} }} }}\n",
    }
    assert read(files).readings[0].refusals == []
    status = "Package: nginx\nStatus: install ok installed\nVersion: 1.14.0-0ubuntu1\n"
    assert read({**files, "/var/lib/dpkg/status": status}).readings[0].refusals


def test_what_nginx_plus_and_tengine_take_is_not_refused() -> None:
    text = (
        "events {}\nhttp { limit_req_zone $a zone=a:1m rate=1r/s sync; server_tokens mine;"
        " upstream u { sticky; server 127.0.0.1; }"
        " server { listen 80; location / { slice; } } }\n"
    )
    assert read({"/etc/nginx/nginx.conf": text}).readings[0].refusals == []


SITE = (
    "<VirtualHost *:443>\nServerName shop.example.org\nSSLEngine on\n"
    "SSLCertificateFile /etc/x.pem\n</VirtualHost>\n"
)
PORTS = "Listen 80\n<IfModule ssl_module>\nListen 443\n</IfModule>\n"


@pytest.mark.parametrize(
    "files",
    [
        {"ports.conf": PORTS, "sites-enabled/shop.conf": SITE},
        {"ports.conf": PORTS, "sites-available/shop.conf": SITE},
        {"sites-available/shop.conf": SITE},
        {"sites-enabled/shop.conf": f"<IfModule mod_ssl.c>\n{SITE}</IfModule>\n"},  # certbot's
        {"sites-available/shop.conf": SITE, "conf-enabled/own.conf": "Timeout 60\n"},
        {
            "sites-available/shop.conf": SITE,
            "sites-available/old.conf.bak": SITE.replace("443", "8443"),
            "sites-available/default-ssl.conf": SITE.replace("443", "444")
            .replace("ServerName shop.example.org", "DocumentRoot /var/www/html")
            .replace("/etc/x.pem", "/etc/ssl/certs/ssl-cert-snakeoil.pem"),
        },
    ],
)
def test_sites_of_apache_without_its_main_file_are_debians(
    tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        path = tmp_path / "etc/apache2" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = host.read(Target("host", Tree(tmp_path)))
    served = {(s.endpoint.port, s.endpoint.tls, s.endpoint.certain) for s in found.sockets}
    assert served == {(80, "none", True), (443, "implicit", True)}
    assert any("apache2.conf" in text for text in found.assumptions)
    assert any("mod_ssl is loaded" in text for text in found.assumptions)


def test_sites_of_apache_that_another_distribution_keeps_so_are_not_completed() -> None:
    for other in ("/etc/apache2/httpd.conf", "/etc/apache2/vhosts.d/x.conf", "/etc/apk/world"):
        files = {"/etc/apache2/sites-available/shop.conf": SITE, other: "Listen 81\n"}
        assert fitting(files) == []
