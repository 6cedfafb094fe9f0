"""Debian's Apache as it is installed, and Fedora's layout, started and asked; against the reading.

Fedora's files are not here: what its packages hold stands below in words of its own, and Debian's
modules lie where Fedora's are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslint.servers.apache import reader as apache
from sslint.tree import Tree
from tests.live.apache_configurations import MODULES, NAMES, certificate_files
from tests.live.programs_lab import Case, lab
from tests.live.test_apache_live import COMMAND, VERSION, Judge, case_of

pytestmark = pytest.mark.live("apache2", "ss", "unshare", "ip")

PEMS, DIGESTS = certificate_files()
SITE = """<VirtualHost *:443>
ServerName www.example.test
Header always set X-Site mine
SSLEngine on
SSLCertificateFile {etc}/certs/two.pem
</VirtualHost>
"""
PLAIN = "<VirtualHost *:443>\nServerName plain.example.test\n</VirtualHost>\n"

DEBIAN = {  # what is enabled beside the stock, by the name of its link, and what is written
    "stock": ([], {}),
    "module alone": (["mods-enabled/ssl.load", "mods-enabled/socache_shmcb.load"], {}),
    "default-ssl": (
        ["mods-enabled/ssl.load", "mods-enabled/ssl.conf", "mods-enabled/socache_shmcb.load",
         "sites-enabled/default-ssl.conf"],
        {},
    ),
    "default-ssl without the module": (["sites-enabled/default-ssl.conf"], {}),
    "a site before default-ssl": (
        ["mods-enabled/ssl.load", "mods-enabled/socache_shmcb.load", "mods-enabled/headers.load",
         "sites-enabled/default-ssl.conf"],
        {"sites-enabled/000-mine.conf": SITE.format(etc="/etc/apache2")},
    ),
    "a plain site before default-ssl": (
        ["mods-enabled/ssl.load", "mods-enabled/socache_shmcb.load",
         "sites-enabled/default-ssl.conf"],
        {"sites-enabled/000-mine.conf": PLAIN},
    ),
    "a site without .conf": (
        ["mods-enabled/ssl.load", "mods-enabled/socache_shmcb.load", "mods-enabled/headers.load"],
        {"sites-enabled/mine": SITE.format(etc="/etc/apache2")},
    ),
    "ssl.load without what it needs": (["mods-enabled/ssl.load", "mods-enabled/ssl.conf"], {}),
    "a link that leads nowhere": (
        ["mods-enabled/ssl.load", "mods-enabled/socache_shmcb.load"],
        {"sites-enabled/gone.conf": "-> ../sites-available/gone.conf"},
    ),
    "managed domains": (
        ["mods-enabled/md.load"],
        {"sites-enabled/md.conf": "MDomain a.example.test\n<MDomain b.example.test>\n"
         "MDMember c.example.test\n</MDomain>\n"},
    ),
    "managed domains that share a name": (
        ["mods-enabled/md.load"],
        {"sites-enabled/md.conf": "MDomain a.example.test\n<MDomain b.example.test>\n"
         "MDMember A.example.test\n</MDomain>\n"},
    ),
    "another Listen in a site": (
        ["mods-enabled/ssl.load", "mods-enabled/socache_shmcb.load",
         "sites-enabled/default-ssl.conf"],
        {"sites-enabled/zz.conf": "Listen 443\n"},
    ),
}  # fmt: skip

FEDORA = {
    "conf/httpd.conf": """ServerRoot "/etc/httpd"
Listen 80
Include conf.modules.d/*.conf
User www-data
Group www-data
ServerAdmin root@localhost
<Directory />
    AllowOverride none
    Require all denied
</Directory>
DocumentRoot "/var/www/html"
<IfModule dir_module>
    DirectoryIndex index.html
</IfModule>
<Files ".ht*">
    Require all denied
</Files>
ErrorLog "logs/error_log"
LogLevel notice
<IfModule mime_module>
    TypesConfig /etc/mime.types
</IfModule>
AddDefaultCharset UTF-8
IncludeOptional conf.d/*.conf
""",
    "conf.modules.d/00-base.conf": """LoadModule alias_module modules/mod_alias.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
LoadModule headers_module modules/mod_headers.so
LoadModule socache_shmcb_module modules/mod_socache_shmcb.so
<IfModule !unixd_module>
LoadModule unixd_module modules/mod_unixd.so
</IfModule>
""",
    "conf.modules.d/00-mpm.conf": "LoadModule mpm_event_module modules/mod_mpm_event.so\n",
    "conf.modules.d/00-ssl.conf": "LoadModule ssl_module modules/mod_ssl.so\n",
    "conf.d/ssl.conf": """Listen 443 https
SSLSessionCache shmcb:/run/httpd/sslcache(512000)
SSLSessionCacheTimeout 300
<VirtualHost _default_:443>
ErrorLog logs/ssl_error_log
LogLevel warn
SSLEngine on
SSLHonorCipherOrder on
SSLCertificateFile /etc/pki/tls/certs/one.crt
SSLCertificateKeyFile /etc/pki/tls/private/one.key
<FilesMatch "\\.(cgi|shtml)$">
    SSLOptions +StdEnvVars
</FilesMatch>
</VirtualHost>
""",
    "conf.d/README": "Listen 8080\n",
    "modules": f"-> {MODULES}",
    "logs": "-> ../../var/log/httpd",
    "run": "-> /run/httpd",
}
FEDORAS: dict[str, dict[str, str | None]] = {
    "stock": {},
    "without mod_ssl": {"conf.d/ssl.conf": None, "conf.modules.d/00-ssl.conf": None},
    "ssl.conf without the module": {"conf.modules.d/00-ssl.conf": None},
    "a site that is read before ssl.conf": {"conf.d/a.conf": SITE.format(etc="/etc/pki")},
    "a site that is read after ssl.conf": {"conf.d/z.conf": SITE.format(etc="/etc/pki")},
    "a plain site before ssl.conf": {"conf.d/a.conf": PLAIN},
    "a site in a file of another name": {"conf.d/site": SITE.format(etc="/etc/pki")},
    "Listen 443 twice": {"conf.d/z.conf": "Listen 443\n"},
    "Listen 443 of both families": {"conf.d/z.conf": "Listen 0.0.0.0:8443\nListen [::]:8443\n"},
    "Listen of one family": {"conf.d/a.conf": "Listen 192.0.2.10:8443 https\n"},
    "no conf.d": {name: None for name in FEDORA if name.startswith("conf.d/")},
}
# As its unit does it: /etc is the machine's with the case's httpd and pki laid over it.
AS_FEDORA = """mount --make-rprivate /
mount -t overlay -o lowerdir=/mnt:/etc x /etc
mkdir -p /run/httpd /var/log/httpd
exec apache2 -d /etc/httpd -f conf/httpd.conf -DFOREGROUND
"""


def debian(etc: Path, enabled: list[str], written: dict[str, str]) -> Case:
    """Write the machine's /etc/apache2 with more enabled; return the case."""
    directory = etc / "apache2"
    shutil.copytree("/etc/apache2", directory, symlinks=True)
    for name in enabled:
        kind = name.partition("-")[0]
        (directory / name).symlink_to(f"../{kind}-available/{Path(name).name}")
    site = directory / "sites-available/default-ssl.conf"
    text = site.read_text().replace("/etc/ssl/certs/ssl-cert-snakeoil.pem", "certs/one.crt")
    site.write_text(text.replace("/etc/ssl/private/ssl-cert-snakeoil.key", "certs/one.key"))
    case = case_of(directory, {**PEMS, **written}, names=NAMES)
    case.log = "/var/log/apache2/error.log"
    assert case.command == COMMAND
    return case


def fedora(etc: Path, change: dict[str, str | None]) -> Case:
    """Write /etc/httpd and /etc/pki in Fedora's form; return the case."""
    files = {f"httpd/{n}": t for n, t in {**FEDORA, **change}.items() if t is not None}
    for name, text in PEMS.items():
        folder = "private" if name.endswith(".key") else "certs"
        files[f"pki/tls/{folder}/{Path(name).name}"] = text
        files[f"pki/{name}"] = text
    (etc / "httpd/conf.d").mkdir(parents=True)
    case = case_of(etc, files, names=NAMES)
    case.target, case.log = "/mnt", "/var/log/httpd/error_log"
    case.command = ["unshare", "-m", "sh", "-ec", AS_FEDORA]
    return case


def differences(case: Case, root: Path) -> Iterator[str]:
    with lab() as running:
        seen = running.run(case)
    reading = apache.read(Tree(root), version=VERSION)
    assert reading is not None
    assert reading.complete, reading.reasons
    yield from Judge(reading, DIGESTS).compare(seen)


@pytest.mark.parametrize("name", DEBIAN)
def test_debian(name: str, tmp_path: Path) -> None:
    case = debian(tmp_path / "etc", *DEBIAN[name])
    assert not list(differences(case, tmp_path))


@pytest.mark.parametrize("name", FEDORAS)
def test_fedora(name: str, tmp_path: Path) -> None:
    case = fedora(tmp_path / "etc", FEDORAS[name])
    assert not list(differences(case, tmp_path))
