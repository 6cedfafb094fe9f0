"""Hosts that mix three servers and every kind of firewall, written as trees of files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PORTS = (25, 80, 110, 143, 443, 465, 587, 993, 995, 8443)
SOURCES = ("203.0.113.9", "10.1.2.3", "2001:db8:2::9", "fd00:1::9")

NGINX = """user www-data;
events {{}}
http {{
    access_log off;
    server {{
{listens}
        server_name www.example.org;
        ssl_certificate /etc/ssl/lab/nginx.pem;
        ssl_certificate_key /etc/ssl/lab/nginx.key;
        location / {{ return 200 "here\\n"; }}
    }}
}}
"""
MAIN_CF = """compatibility_level = 3.6
myhostname = mail.example.org
mydestination =
maillog_file = /dev/stdout
smtpd_peername_lookup = no
smtpd_tls_cert_file = /etc/ssl/lab/postfix.pem
smtpd_tls_key_file = /etc/ssl/lab/postfix.key
smtpd_tls_security_level = may
"""
MASTER_CF = """pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""
SMTP = "smtp inet n - n - - smtpd\n"
SUBMISSION = "submission inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt\n"
SUBMISSIONS = "submissions inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
DOVECOT = """dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap pop3
mail_driver = maildir
mail_path = ~/Maildir
ssl_server_cert_file = /etc/ssl/lab/dovecot.pem
ssl_server_key_file = /etc/ssl/lab/dovecot.key
passdb static {
  password = secret
}
userdb static {
  fields {
    uid = nobody
    gid = nogroup
    home = /tmp
  }
}
"""
APACHE = """PidFile /run/apache2.pid
User www-data
Group www-data
ErrorLog /dev/stderr
ServerName main.example.org
{modules}
{text}
"""
APACHE_TLS = """SSLEngine on
SSLCertificateFile /etc/ssl/lab/apache.pem
SSLCertificateKeyFile /etc/ssl/lab/apache.key
"""
BOTH = "        listen 443 ssl;\n        listen [::]:443 ssl;\n        listen 80;\n"

NFT = """table inet filter {{
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto ipv6-icmp accept
{rules}
    }}
}}
"""
IPTABLES = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p {icmp} -j ACCEPT
{rules}
COMMIT
"""


@cache
def certificate(name: str) -> tuple[str, str]:
    """Return a self-signed certificate and its key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=90))
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def write(directory: Path, files: Mapping[str, str]) -> Path:
    """Write a tree, with a certificate for each server, and return it."""
    everything = dict(files)
    if "etc/default/ufw" in files:  # what ufw ships, which only root may read
        for name in ("before.rules", "before6.rules", "after.rules", "after6.rules"):
            everything[f"etc/ufw/{name}"] = Path("/etc/ufw", name).read_text()
    for server in ("nginx", "apache", "postfix", "dovecot"):
        public, private = certificate(f"{server}.example.org")
        everything[f"etc/ssl/lab/{server}.pem"] = public
        everything[f"etc/ssl/lab/{server}.key"] = private
    for name, text in everything.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def servers(
    listens: str = BOTH,
    master: str = SMTP + SUBMISSION + SUBMISSIONS,
    main: str = "",
    dovecot: str = "",
) -> dict[str, str]:
    """Return the three servers' files."""
    return {
        "etc/nginx/nginx.conf": NGINX.format(listens=listens),
        "etc/postfix/main.cf": MAIN_CF + main,
        "etc/postfix/master.cf": master + MASTER_CF,
        "etc/dovecot/dovecot.conf": DOVECOT + dovecot,
    }  # fmt: skip


def apache(text: str) -> dict[str, str]:
    """Return the files of an Apache, its modules loaded."""
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "alias", "ssl")
    )
    return {"etc/apache2/apache2.conf": APACHE.format(modules=modules, text=text)}


def virtual_host(place: str, text: str = APACHE_TLS) -> str:
    return f"<VirtualHost {place}>\nServerName www.example.org\n{text}</VirtualHost>\n"


def nft(*rules: str, more: str = "") -> dict[str, str]:
    """Return an nftables ruleset with these rules before the policy drops."""
    lines = "\n".join(f"        {rule}" for rule in rules)
    return {"etc/nftables.conf": f"flush ruleset\n{NFT.format(rules=lines)}{more}"}


def bare(rules: str, more: str = "") -> dict[str, str]:
    """Return an nftables ruleset with nothing but these rules before the policy drops."""
    head = "table inet filter {\n chain input {\n  type filter hook input priority filter; "
    return {"etc/nftables.conf": f"{head}policy drop;\n  {rules}\n }}\n{more}}}\n"}


def iptables(four: str | None, six: str | None) -> dict[str, str]:
    """Return iptables-persistent's files with these rules before the policies drop."""
    files = {}
    if four is not None:
        files["etc/iptables/rules.v4"] = IPTABLES.format(icmp="icmp", rules=four)
    if six is not None:
        files["etc/iptables/rules.v6"] = IPTABLES.format(icmp="ipv6-icmp", rules=six)
    return files


def ufw(four: str, six: str, *, ipv6: str = "yes", policy: str = "DROP") -> dict[str, str]:
    """Return an enabled ufw with these user rules; `write` adds what ufw ships."""
    files = {"etc/ufw/ufw.conf": "ENABLED=yes\nLOGLEVEL=low\n"}
    for suffix, rules in (("", four), ("6", six)):
        chains = "\n".join(
            f":ufw{suffix}-{name} - [0:0]"
            for name in ("user-input", "user-output", "user-forward", "user-limit",
                         "user-limit-accept", "user-logging-input")
        )  # fmt: skip
        prefix = f"ufw{suffix}-user-input"
        lines = "\n".join(f"-A {prefix} {rule}" for rule in rules.splitlines())
        files[f"etc/ufw/user{suffix}.rules"] = f"*filter\n{chains}\n{lines}\nCOMMIT\n"
    files["etc/default/ufw"] = (
        f'IPV6={ipv6}\nDEFAULT_INPUT_POLICY="{policy}"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n'
        'DEFAULT_FORWARD_POLICY="DROP"\nDEFAULT_APPLICATION_POLICY="SKIP"\n'
        'MANAGE_BUILTINS=no\nIPT_MODULES=""\n'
    )
    return files


def firewalld(zones: Mapping[str, str], options: str = "") -> dict[str, str]:
    """Return /etc/firewalld with these zones."""
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    files = {f"etc/firewalld/zones/{name}.xml": head + text for name, text in zones.items()}
    files["etc/firewalld/firewalld.conf"] = f"DefaultZone=public\n{options}"
    return files


ALL = "25, 80, 110, 143, 443, 465, 587, 993, 995"
MULTI = ALL.replace(" ", "")
REDIRECT = """table inet nat {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        tcp dport 443 redirect to :8443
    }
}
"""

MIXED: dict[str, dict[str, str]] = {
    "apache-tls-at-one-address": apache(
        "Listen 80\nListen 443\nListen 8443\n"
        + virtual_host("198.51.100.1:443")
        + virtual_host("*:8443")
    )
    | nft("tcp dport { 80, 443, 8443 } accept"),
    "apache-ipv6-lost": apache(
        "Listen [::]:443\nListen 443\nListen [2001:db8:1::1]:8443 https\nListen 0.0.0.0:80\n"
        + virtual_host("*:443")
        + virtual_host("[2001:db8:1::1]:8443", APACHE_TLS.partition("\n")[2])
        + virtual_host("*:80", "Redirect / https://www.example.org/\n")
    )
    | ufw(
        "-p tcp --dport 443 -j ACCEPT\n-p tcp --dport 80 -s 10.0.0.0/8 -j ACCEPT",
        "-p tcp -m multiport --dports 80,443,8443 -j ACCEPT",
    ),
    "apache-first-host-plain": servers(
        listens="        listen 8443 ssl;\n        listen [::]:8443 ssl;\n"
    )
    | apache(
        "Listen 443\n" + virtual_host("*:443", "") + virtual_host("*:443") + virtual_host("*:465")
    )
    | iptables("-A INPUT -p tcp --dport 443 -j ACCEPT", "-A INPUT -p tcp --dport 8443 -j ACCEPT"),
    "nothing-in-front": servers() | {".sslint.yaml": "firewall: none\n"},
    "nft-all-open": servers() | nft(f"tcp dport {{ {ALL} }} accept"),
    "nft-some-open": servers()
    | nft("tcp dport { 80, 443, 465 } accept", "ip saddr 10.0.0.0/8 tcp dport { 587, 993 } accept"),
    "nft-sources-of-both-families": servers(dovecot="ssl = required\n")
    | nft(
        "ip saddr != 10.0.0.0/8 tcp dport vmap { 25 : accept, 143 : accept, 993 : accept }",
        "ip6 saddr { fd00::/8 } tcp dport { 25, 993, 995 } accept",
    ),
    "nft-redirect": servers(listens="        listen 8443 ssl;\n        listen [::]:8443 ssl;\n")
    | nft("tcp dport { 8443, 993 } accept", more=REDIRECT),
    "nft-only-ipv4": servers(dovecot="listen = *\n")
    | {
        "etc/nftables.conf": "table ip filter {\n chain input {\n  type filter hook input "
        "priority filter; policy drop;\n  ct state established accept\n  "
        "tcp dport { 443, 587 } accept\n }\n}\n"
    },
    "nft-without-neighbour-discovery": servers()
    | bare("ct state established,related accept\n  tcp dport { 443, 993 } accept"),
    "nft-only-first-packets": servers()
    | bare("meta l4proto ipv6-icmp accept\n  ct state new tcp dport { 25, 443 } accept"),
    "nft-answers-cannot-leave": servers()
    | bare(
        "accept",
        " chain output {\n  type filter hook output priority filter; policy drop;\n"
        "  meta l4proto ipv6-icmp accept\n  tcp sport { 443, 993 } accept\n }\n",
    ),
    "iptables-both": servers(main="inet_protocols = ipv4\n")
    | iptables(
        f"-A INPUT -p tcp -m multiport --dports {MULTI} -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 80,443,993 -j ACCEPT",
    ),
    "iptables-restricted": servers(listens="        listen [::]:443 ssl ipv6only=off;\n")
    | iptables(
        "-A INPUT -s 10.0.0.0/8 -p tcp --dport 993 -j ACCEPT\n"
        "-A INPUT ! -s 10.0.0.0/8 -p tcp --dport 443 -j ACCEPT\n"
        "-A INPUT -p tcp --dport 465 -j REJECT\n-A INPUT -p tcp --dport 465 -j ACCEPT",
        "-A INPUT -s fd00::/8 -j ACCEPT\n-A INPUT -p tcp --dport 443 -j ACCEPT",
    ),
    "ufw-web-and-mail": servers(master=SMTP + "#" + SUBMISSIONS + SUBMISSION)
    | ufw(
        "-p tcp --dport 443 -j ACCEPT\n-p tcp --dport 465 -j ACCEPT\n"
        "-p tcp --dport 993 -s 10.0.0.0/8 -j ACCEPT\n-p tcp --dport 25 -j ACCEPT",
        "-p tcp --dport 443 -j ACCEPT\n-p tcp --dport 25 -j ACCEPT",
    ),
    "ufw-without-ipv6": servers(dovecot="ssl = no\n")
    | ufw("-p tcp -m multiport --dports 80,143,443,587,993 -j ACCEPT", "", ipv6="no"),
    "ufw-accepts": servers(
        dovecot="service imap-login {\n  inet_listener imaps {\n    port = 0\n  }\n}\n"
    )
    | ufw("-p tcp --dport 25 -j REJECT", "-p tcp --dport 443 -j DROP", policy="ACCEPT"),
    "firewalld-services": servers(main="smtpd_tls_security_level = none\n")
    | firewalld(
        {
            "public": '<zone><service name="https"/><service name="imaps"/><service name="smtp"/>'
            '<port port="465" protocol="tcp"/></zone>\n'
        }
    ),
    "firewalld-zones": servers()
    | firewalld(
        {
            "public": '<zone><rule family="ipv4"><source address="203.0.113.0/24"/>'
            '<port port="443" protocol="tcp"/><drop/></rule><service name="https"/></zone>\n',
            "inside": '<zone target="ACCEPT"><source address="10.0.0.0/8"/></zone>\n',
            "six": '<zone><source address="fd00::/8"/><service name="pop3s"/></zone>\n',
        }
    ),
}
