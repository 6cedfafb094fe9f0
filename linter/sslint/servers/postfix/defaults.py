"""What `postconf -d` prints for the parameters that decide sockets and TLS, by version.

A default may refer to other parameters. SHARED are in the order in which every program reads them
(mail_params.c); PROGRAM follow, as smtpd, postscreen, tlsproxy and smtp read theirs. The order
matters: a reference to a parameter that is not in main.cf and has not been read yet is empty in
the running program, whatever `postconf -x` shows.
"""

from __future__ import annotations

KNOWN_TCP_PORTS = "lmtp=24, smtp=25, smtps=submissions=465, submission=587"  # since 3.6

SHARED: dict[str, str | None] = {  # None: decided at run time or when Postfix was built
    "config_directory": None,
    "compatibility_level": "0",
    "mail_version": None,
    "inet_protocols": "all",
    "multi_instance_directories": "",
    "multi_instance_group": "",
    "multi_instance_name": "",
    "maillog_file": "",
    "known_tcp_ports": None,
    "smtputf8_enable": "${{$compatibility_level} <level {1} ? {no} : {yes}}",
    "myhostname": None,
    "mydomain": None,
    "mail_name": "Postfix",
    "syslog_name": "${multi_instance_name?{$multi_instance_name}:{postfix}}",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "mydestination": "$myhostname, localhost.$mydomain, localhost",
    "myorigin": "$myhostname",
    "relayhost": "",
    "daemon_directory": None,
    "data_directory": "/var/lib/postfix",
    "command_directory": "/usr/sbin",
    "meta_directory": None,
    "queue_directory": "/var/spool/postfix",
    "inet_interfaces": "all",
    "proxy_interfaces": "",
    "default_privs": "nobody",
    "default_database_type": None,
    "recipient_delimiter": "",
    "mynetworks_style": "${{$compatibility_level} <level {2} ? {subnet} : {host}}",
    "multi_instance_wrapper": "",
    "default_process_limit": "100",
    "disable_dns_lookups": "no",
    "multi_instance_enable": "no",
    "mynetworks": None,
}

MASTER: dict[str, str | None] = {
    "master_service_disable": "",
}

_SMTPD_TEXT = {
    "smtpd_tls_chain_files": "",
    "smtpd_tls_cert_file": "",
    "smtpd_tls_key_file": "$smtpd_tls_cert_file",
    "smtpd_tls_dcert_file": "",
    "smtpd_tls_dkey_file": "$smtpd_tls_dcert_file",
    "smtpd_tls_eccert_file": "",
    "smtpd_tls_eckey_file": "$smtpd_tls_eccert_file",
    "smtpd_tls_CAfile": "",
    "smtpd_tls_CApath": "",
    "smtpd_tls_protocols": ">=TLSv1",
    "smtpd_tls_mandatory_protocols": ">=TLSv1",
    "smtpd_tls_security_level": "",
    "stress": "",
    "smtpd_upstream_proxy_protocol": "",
    "smtpd_discard_ehlo_keywords": "",
    "smtpd_sasl_security_options": "noanonymous",
    "tls_server_sni_maps": "",
    "tls_append_default_CA": "no",
}

_POSTSCREEN_TEXT = {
    "postscreen_tls_security_level": "$smtpd_tls_security_level",
    "postscreen_upstream_proxy_protocol": "",
    "postscreen_discard_ehlo_keywords": "$smtpd_discard_ehlo_keywords",
    "tlsproxy_service_name": "tlsproxy",
    "smtpd_service_name": "smtpd",
}

_TLSPROXY_TEXT = {
    f"tlsproxy_tls_{name}": f"$smtpd_tls_{name}"
    for name in """
        chain_files cert_file key_file dcert_file dkey_file eccert_file eckey_file CAfile CApath
        protocols mandatory_protocols security_level
    """.split()
}

_FLAGS = {
    "smtpd_sasl_auth_enable": "no",
    "smtpd_use_tls": "no",
    "smtpd_enforce_tls": "no",
    "smtpd_tls_wrappermode": "no",
    "smtpd_tls_auth_only": "no",
    "smtpd_tls_ask_ccert": "no",
    "smtpd_tls_req_ccert": "no",
    "postscreen_pipelining_enable": "no",
    "postscreen_non_smtp_command_enable": "no",
    "postscreen_bare_newline_enable": "no",
    "postscreen_use_tls": "$smtpd_use_tls",
    "postscreen_enforce_tls": "$smtpd_enforce_tls",
    "tlsproxy_use_tls": "$smtpd_use_tls",
    "tlsproxy_enforce_tls": "$smtpd_enforce_tls",
}

_CLIENT = {
    "default_transport": "smtp",
    "relay_transport": "relay",
    "smtp_tls_security_level": "",  # 3.11: `may` from compatibility_level 3.11 on
    "smtp_tls_wrappermode": "no",
    "smtp_use_tls": "no",
    "smtp_enforce_tls": "no",
    "smtp_tls_protocols": ">=TLSv1",
    "smtp_tls_mandatory_protocols": ">=TLSv1",
    "smtp_tls_CAfile": "",
    "smtp_tls_CApath": "",
}

PROGRAM: dict[str, str | None] = {
    **_SMTPD_TEXT,
    **_POSTSCREEN_TEXT,
    **_TLSPROXY_TEXT,
    **_FLAGS,
    **_CLIENT,
}
ORDER = {name: index for index, name in enumerate((*SHARED, *MASTER, *PROGRAM))}
LAST = len(ORDER)

SINCE = {  # parameters that older versions ignore
    "known_tcp_ports": (3, 6),
    "smtpd_tls_chain_files": (3, 4),
    "tlsproxy_tls_chain_files": (3, 4),
    "tls_server_sni_maps": (3, 4),
    "smtpd_upstream_proxy_protocol": (2, 10),
    "postscreen_upstream_proxy_protocol": (2, 10),
    "master_service_disable": (2, 6),
}
