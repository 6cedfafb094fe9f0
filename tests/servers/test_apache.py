"""What Apache does with its files, where no real server is at hand (tests/live has the whole)."""

from __future__ import annotations

import posixpath

import pytest

from sslint.servers.apache.reader import Apache, read
from sslint.servers.model import ServerReading
from tests.support import WHOLE, tree_of

LOADED = "LoadModule ssl_module /x.so\nLoadModule mpm_event_module /y.so\n"


def reading_of(files: dict[str, str]) -> ServerReading:
    found = read(tree_of({f"/etc/apache2/{name}": text for name, text in files.items()}))
    assert found is not None
    return found


def sockets(reading: ServerReading) -> list[tuple[str, int, str]]:
    return [(e.address, e.port, e.tls) for e in reading.endpoints]


def test_debians_files() -> None:
    reading = reading_of(
        {
            "apache2.conf": "IncludeOptional mods-enabled/*.load\nInclude ports.conf\n"
            "IncludeOptional sites-enabled/*.conf\n",
            "mods-enabled/x.load": LOADED,
            "ports.conf": "Listen 80\n<IfModule ssl_module>\n\tListen 443\n</IfModule>\n"
            "<IfModule mod_gnutls.c>\n<IfModule x>\n</IfModule>\n\tListen 444\n</IfModule>\n"
            "#Listen 81\nListen [::1]:82 https\n",
            "sites-enabled/x.conf": "<VirtualHost *:443>\nSSLEngine on\n"
            "SSLCertificateFile /etc/ssl/x.pem\n</VirtualHost>\n",
            "sites-available/y.conf": "Listen 9999\n",
        }
    )
    assert reading.starts
    assert sockets(reading) == [("::", 80, "none"), ("::", 443, "implicit"), ("::1", 82, "none")]
    assert [e.ipv6only for e in reading.endpoints] == [False, False, True]


def test_what_a_host_without_mods_enabled_loads_is_not_known() -> None:
    reading = reading_of({"apache2.conf": "IncludeOptional mods-enabled/*.load\nListen 80\n"
                          "<IfModule ssl_module>\nListen 443\n</IfModule>\n"})  # fmt: skip
    assert [(e.port, e.certain) for e in reading.endpoints] == [(80, True), (443, False)]
    assert reading.starts


CERTIFIED = "SSLCertificateFile /x\n"
FIRST = "<VirtualHost *:443>\nServerName x.test\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Listen 443\n<VirtualHost *:443>\nSSLEngine on\n" + CERTIFIED, [("::", "implicit")]),
        ("Listen 80\n" + FIRST, [("::", "none")]),
        # The first virtual host decides for all.
        (f"Listen 443\n{FIRST}</VirtualHost>\n{FIRST}SSLEngine on\n" + CERTIFIED, [("::", "none")]),
        (
            "Listen 443\n<VirtualHost 192.0.2.10:443>\nSSLEngine on\n" + CERTIFIED,
            [("::", "none"), ("192.0.2.10", "implicit")],
        ),
        ("Listen 443\n" + FIRST + CERTIFIED, [("::", "implicit")]),
        ("Listen 8443\n" + FIRST + CERTIFIED, [("::", "none")]),
        ("Listen 8443\nDefine P 8443\nSSLEngine on\n" + CERTIFIED + FIRST, [("::", "implicit")]),
        ("Listen 443\n<VirtualHost *:443>\nSSLEngine ${X}\n" + CERTIFIED, [("::", "none")]),
    ],
)
def test_tls_by_local_address(text: str, expected: list[tuple[str, str]]) -> None:
    reading = reading_of({"apache2.conf": LOADED + text + "</VirtualHost>\n"})
    assert [(e.address, e.tls) for e in reading.endpoints] == expected


def test_a_variable_that_nothing_sets_is_no_port() -> None:
    reading = reading_of({"apache2.conf": LOADED + "Listen ${PORT}\nListen 80\n"})
    assert [str(r) for r in reading.refusals] == [
        "etc/apache2/apache2.conf:3: Listen ${PORT}: port must be specified"
    ]
    shell = "eval `dpkg-buildflags`\n"
    reading = reading_of({"apache2.conf": LOADED + "Listen ${PORT}\n", "envvars": shell})
    assert reading.starts
    assert [str(r) for r in reading.gaps] == ["etc/apache2/apache2.conf:3: Listen ? is not known"]


def test_a_directory_is_included_with_all_below_it() -> None:
    reading = reading_of(
        {
            "apache2.conf": "Include more\n",
            "more/a/b.dpkg-old": "Listen 1\n",
            "more/.c": "Listen 2\n",
        }
    )
    assert {e.port for e in reading.endpoints} == {1, 2}


WORDS = (
    "Listen listen <IfModule </IfModule> <VirtualHost </VirtualHost> <Macro </Macro> Use Define : "
    "443 [:: ${ } ${X} > < \" ' \\ # Include * / .. x $a ssl_module SSLEngine on \0 \udcff %% <If "
    "SSLCertificateFile ServerName ServerAlias ? [ ] LoadModule UnDefine \u0660 \n \n \n"
)


@pytest.mark.parametrize("seed", range(40))
def test_any_words_are_read(seed: int) -> None:
    import random

    rng = random.Random(seed)
    words = WORDS.split(" ")
    reading_of({"apache2.conf": " ".join(rng.choices(words, k=rng.randrange(1, 60)))})


REQUIRE = "<Directory />\nRequire all denied\n</Directory>\n"


def test_some_of_the_files_that_load_modules_refuse_no_command() -> None:
    found = reading_of(
        {
            "apache2.conf": f"Include mods-enabled/*.load\n{REQUIRE}Listen 80\nExpiresActive On\n"
            "<IfModule ssl_module>\nListen 443\n</IfModule>\n",
            "mods-enabled/mpm.load": "LoadModule mpm_event_module /y.so\n",
        }
    )
    assert found.starts
    assert [(e.port, e.certain) for e in found.endpoints] == [(80, True), (443, False)]


def test_a_command_of_no_loaded_module_is_refused_where_all_are_loaded() -> None:
    base = "LoadModule authz_core_module /z.so\n"
    found = reading_of({"apache2.conf": f"{LOADED}{base}{REQUIRE}Listen 80\nExpiresActive On\n"})
    assert not found.starts


def test_apache_22_has_its_mpm_linked_in() -> None:
    found = reading_of(
        {
            "apache2.conf": "Include mods-enabled/*.load\nListen 80\n",
            "mods-enabled/x.load": "LoadModule authz_default_module /x.so\n",
        }
    )
    assert found.starts


@pytest.mark.parametrize("stock", ["ports.conf", "mods-enabled/*.load", "conf.d/*.conf"])
def test_what_the_package_has_is_not_missing_from_a_part_of_etc(stock: str) -> None:
    found = reading_of({"apache2.conf": f"Include {stock}\nListen 80\n", "envvars": ""})
    assert found.starts
    assert found.complete is stock.startswith("mods")  # which has no sockets


def test_what_the_operator_includes_is_missing() -> None:
    for text in ("Include own.conf", "Include sites/*.conf", "Include own/*.conf"):
        files = {
            "/etc/apache2/apache2.conf": f"{text}\nListen 80\n",
            "/etc/apache2/sites/README": "",
        }
        part, whole = (read(tree_of({**files, **more})) for more in ({}, WHOLE))
        assert whole is not None
        assert not whole.starts
        assert part is not None
        assert part.starts  # a script may make it, and git keeps no secrets
        assert not part.complete


@pytest.mark.parametrize(
    ("main", "included"),
    [
        ("/etc/httpd/conf/httpd.conf", "conf/extra/httpd-ssl.conf"),  # Arch
        ("/etc/httpd/conf/httpd.conf", "conf/extra/httpd-mpm.conf"),
        ("/etc/apache2/httpd.conf", "/etc/apache2/modules.d/*.conf"),  # Gentoo
        ("/etc/apache2/httpd.conf", "/etc/apache2/vhosts.d/*.conf"),
        ("/etc/apache2/httpd.conf", "/etc/apache2/vhosts.d/default_vhost.include"),
        ("/etc/httpd/conf/httpd.conf", "conf.modules.d/*.conf"),  # Red Hat
        ("/etc/httpd/conf/httpd.conf", "conf.d/ssl.conf"),
        ("/etc/apache2/httpd.conf", "/etc/apache2/default-server.conf"),  # SUSE
    ],
)
def test_files_of_a_distribution_are_missing_from_a_part_of_etc(main: str, included: str) -> None:
    path = included if included.startswith("/") else f"/etc/httpd/{included}"
    beside = f"{posixpath.dirname(path)}/other"
    found = read(
        tree_of({main: f"ServerRoot /etc/httpd\nInclude {included}\nListen 80\n", beside: ""})
    )
    assert found is not None
    assert found.starts


def test_what_suse_defines_by_a_file_of_its_own_is_not_known() -> None:
    found = reading_of(
        {
            "httpd.conf": f"{LOADED}Listen 80\n<IfDefine SSL>\nListen 443\n</IfDefine>\n"
            "IncludeOptional /etc/apache2/vhosts.d/*.conf\n",
            "vhosts.d/x.conf": "",
            "vhosts.d/vhost.template": "<VirtualHost *:80>\n</VirtualHost>\n",
        }
    )
    assert [(e.port, e.certain) for e in found.endpoints] == [(80, True), (443, False)]
    assert [setting.name for setting in found.settings if "not-included" in setting.name] == []


def test_sites_that_were_not_given_may_serve_tls() -> None:
    files = {
        "apache2.conf": f"{LOADED}Listen 443\nIncludeOptional sites-enabled/*.conf\n",
        "envvars": "",
    }
    assert [(e.port, e.tls) for e in reading_of(files).endpoints] == [(443, "unknown")]
    files["sites-enabled/x.conf"] = "<VirtualHost *:443>\n</VirtualHost>\n"
    assert [(e.port, e.tls) for e in reading_of(files).endpoints] == [(443, "none")]


def test_a_piece_of_apache2_conf_opens_no_socket_and_refuses_nothing() -> None:
    site = "<VirtualHost *:8080>\n</VirtualHost>\n"
    files = {"ports.conf": "Listen 8080\n", "sites-enabled/x.conf": site}
    found = reading_of({"apache2.conf": REQUIRE, **files})
    assert found.starts
    assert found.settings == []
    assert not found.complete
    assert not reading_of({"httpd.conf": REQUIRE}).starts


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("SSLSessionCache shmcb:/run/x(512000)", False),
        ("SSLStaplingCache shmcb:/run/x(512000)", False),
        ("SSLSessionCache none", True),
        ("LoadModule socache_shmcb_module /z.so\nSSLSessionCache shmcb:/run/x(512000)", True),
        ("LoadModule strange_module /z.so\nSSLSessionCache strange:x", True),
    ],
)
def test_a_cache_of_sessions_needs_its_module(text: str, starts: bool) -> None:
    assert reading_of({"apache2.conf": f"{LOADED}Listen 80\n{text}\n"}).starts is starts


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("MDomain a.test b.test auto\nMDomain c.test auto", True),
        ("MDomain a.test b.test\nMDomain c.test B.test", False),
        ("MDomain a.test\n<MDomain b.test>\nMDMember a.test\n</MDomain>", False),
    ],
)
def test_two_managed_domains_share_no_name(text: str, starts: bool) -> None:
    loaded = f"{LOADED}LoadModule md_module /m.so\nListen 80\n"
    assert reading_of({"apache2.conf": f"{loaded}{text}\n"}).starts is starts


@pytest.mark.parametrize(
    "text", ["SSLSessionTicketKeyFile t.key", "SSLOpenSSLConfCmd DHParameters dh.pem",
             "SSLProxyCACertificateFile ca.pem"]
)  # fmt: skip
def test_files_that_no_certificate_names_are_looked_for_on_the_host_itself(text: str) -> None:
    """A copy may lack them; an empty one is refused wherever it is."""
    name = text.split()[-1]
    files = {"apache2.conf": f"{LOADED}Listen 80\n{text}\n"}
    assert reading_of(files).starts
    assert not reading_of({**files, name: ""}).starts
    assert reading_of({**files, name: "x"}).starts


def test_a_certificate_of_the_main_server_is_that_of_the_hosts_that_inherit_it() -> None:
    text = f"{LOADED}Listen 80\nListen 443\nSSLCertificateFile /x.pem\n<VirtualHost *:443>\n"
    inherited = reading_of({"apache2.conf": f"{text}SSLEngine on\n</VirtualHost>\n"})
    assert [site.own_certificate for site in inherited.sites] == [False, False]
    own = f"{text}SSLEngine on\nSSLCertificateFile /y.pem\n</VirtualHost>\n"
    assert [site.own_certificate for site in reading_of({"apache2.conf": own}).sites] == [True] * 2


def test_apache_2_2_needs_its_name_virtual_host() -> None:
    text = "Listen 80\nNameVirtualHost *:80\n"
    assert not reading_of({"apache2.conf": LOADED + text}).settings
    current = f"LoadModule authz_core_module /z.so\n{LOADED}{text}"
    assert [one.name for one in reading_of({"apache2.conf": current}).settings] == [
        "namevirtualhost"
    ]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("a.test", 0), ("x.b.test", 1), ("y.x.b.test", 1), ("c.b.test", 1), (".b.test", 1),
        ("b.test", 4), ("w3w.d.test", 3), ("www.d.test", 2), ("nobody.test", None),
    ],
)  # fmt: skip
def test_the_first_host_with_a_name_or_a_pattern_for_it_has_it(
    name: str, number: int | None
) -> None:
    names = ["a.test", "a.test *.b.test", "c.b.test *.d.test", "w?w.d.test", "*b.test"]
    names[2:4] = ["c.b.test www.d.test", "w?w.d.test *.d.test"]
    hosts = "".join(
        f"<VirtualHost *:80>\nServerName h{index}\nServerAlias {one}\n</VirtualHost>\n"
        for index, one in enumerate(names)
    )
    reading = reading_of({"apache2.conf": f"{LOADED}Listen 80\n{hosts}"})
    assert isinstance(reading.config, Apache)
    chain = reading.config.chain("::", 80)
    assert chain is not None
    found = chain.find(name, None)
    assert (found.number if found else None) == number


@pytest.mark.parametrize(("flags", "kind"), [("L", "file"), ("PT", "deny")])
def test_a_location_sees_what_was_asked_for_unless_a_rule_passes_through(
    flags: str, kind: str
) -> None:
    text = (
        "LoadModule rewrite_module /r.so\nLoadModule authz_core_module /z.so\nListen 80\n"
        "<Location /b>\nRequire all denied\n</Location>\n<VirtualHost *:80>\nServerName a.test\n"
        f"DocumentRoot /srv\nRewriteEngine on\nRewriteRule ^/a /b/c [{flags}]\n</VirtualHost>\n"
    )
    web = reading_of({"apache2.conf": LOADED + text}).web
    assert web is not None
    assert web.answer(80, "a.test", "/a").kind == kind


def test_no_rule_follows_one_that_passes_through() -> None:
    text = (
        "LoadModule rewrite_module /r.so\nListen 80\n<VirtualHost *:80>\nServerName a.test\n"
        "DocumentRoot /srv\nRewriteEngine on\nRewriteRule ^/a /b/c [PT]\n"
        "RewriteRule ^ https://a.test/ [R,L]\n</VirtualHost>\n"
    )
    web = reading_of({"apache2.conf": LOADED + text}).web
    assert web is not None
    assert web.answer(80, "a.test", "/a").path == "/srv/b/c"
    assert web.answer(80, "a.test", "/x").kind == "redirect"


def test_a_statement_without_a_name_is_none_of_those_that_are_looked_for() -> None:
    reading = reading_of({"apache2.conf": f'{LOADED}Listen 80\n"" x\n<VirtualHost *:80>\n"" y\n'})
    assert [endpoint.port for endpoint in reading.endpoints] == [80]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("KeepAlive yes", "KeepAlive must be On or Off"),
        ("KeepAlive", "KeepAlive must be On or Off"),
        ("Timeout 60 70", "Timeout takes one argument"),
        ('ServerAdmin ""', "ServerAdmin takes one argument"),
        ("Protocols", "Protocols requires at least one argument"),
    ],
)
def test_what_a_directive_does_not_take_is_refused(statement: str, said: str) -> None:
    reading = reading_of({"apache2.conf": f"{LOADED}Listen 80\n{statement}\n"})
    assert reading.reasons == [f"etc/apache2/apache2.conf:4: {said}"]
    taken = "KeepAlive on\nTimeout 60\nServerAlias a b c\n"
    assert reading_of({"apache2.conf": f"{LOADED}Listen 80\n{taken}"}).starts


def test_a_location_of_the_rewritten_uri_counts() -> None:
    text = (
        f"{LOADED}LoadModule rewrite_module /r.so\nLoadModule proxy_module /p.so\n"
        "LoadModule alias_module /a.so\nListen 80\n<VirtualHost *:80>\nServerName a.test\n"
        "RewriteEngine on\nProxyPass /a http://127.0.0.1:8081/a\n"
        "<Location /a>\nRedirect 301 http://192.0.2.9/\n</Location>\n"
        "RewriteRule ^/other /a/b [PT]\n</VirtualHost>\n"
    )
    reading = reading_of({"apache2.conf": text})
    assert reading.web is not None
    assert reading.web.answer(80, "a.test", "/other").kind == "unknown"  # a 301 of the real one
    assert reading.web.answer(80, "a.test", "/a/b").url == "http://192.0.2.9/"


@pytest.mark.parametrize(
    ("name", "known"),
    [("httpd-mpm", True), ("proxy-html", True), ("httpd-ssl", False), ("httpd-vhosts", False)],
)
def test_what_apaches_makers_ship_beside_httpd_conf(name: str, known: bool) -> None:
    path = "/etc/httpd/conf/httpd.conf"
    text = f"ServerRoot /etc/httpd\nListen 80\nInclude conf/extra/{name}.conf\n"
    part = read(tree_of({path: text}), path)
    assert part is not None
    assert part.starts
    assert part.complete == known
    assert any("as Apache ships them" in said for said in part.assumptions) == known
    whole = read(tree_of({**WHOLE, path: text, "/etc/httpd/conf/extra/x": ""}), path)
    assert whole is not None
    assert not whole.starts
