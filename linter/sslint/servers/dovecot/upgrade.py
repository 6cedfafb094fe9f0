"""What 2.4 does not know of 2.3's settings, and what is written instead.

doveconf 2.4.1 refuses each name ("Unknown setting") in every section that holds settings; in lists
such as `fields { }` any name may stand. The guide is
https://doc.dovecot.org/2.4.1/installation/upgrade/2.3-to-2.4.html.
"""

from __future__ import annotations

from sslint.servers.dovecot.settings import Named

_FILE = "{} = /path, without the prefix"
_GUIDE = "the setting named in Dovecot's upgrade guide from 2.3 to 2.4"
_NOTHING = "nothing; remove it"
_PURGE = "mail_cache_purge_{}"

INSTEAD = {
    "address": "listen, with the same addresses",
    "args": "the driver's own settings, in the passdb or userdb that has its name",
    "auth_default_realm": "auth_default_domain",
    "auth_worker_max_count": "process_limit in service auth-worker",
    "default_fields": "fields { } in the passdb or userdb",
    "default_idle_kill": "default_idle_kill_interval",
    "disable_plaintext_auth": "auth_allow_cleartext, with the opposite value",
    "idle_kill": "idle_kill_interval",
    "imap_id_log": _NOTHING,
    "imapc_ssl_verify": "ssl_client_require_valid_cert",
    "location": "mail_driver and mail_path",
    "login_access_sockets": _NOTHING,
    "mail_attachment_dir": "mail_ext_attachment_path",
    "mail_attachment_fs": _GUIDE,
    "mail_attachment_hash": _GUIDE,
    "mail_attachment_min_size": "mail_ext_attachment_min_size",
    "mail_attribute_dict": _GUIDE,
    "mail_cache_compress_continued_percentage": _PURGE.format("continued_percentage"),
    "mail_cache_compress_delete_percentage": _PURGE.format("delete_percentage"),
    "mail_cache_compress_header_continue_count": _PURGE.format("header_continue_count"),
    "mail_cache_compress_min_size": _PURGE.format("min_size"),
    "mail_location": "mail_driver = maildir and mail_path = ~/Maildir for maildir:~/Maildir",
    "override_fields": "fields { } in the passdb or userdb",
    "service_count": "restart_request_count",
    "ssl_alt_cert": _FILE.format("ssl_server_alt_cert_file"),
    "ssl_alt_key": _FILE.format("ssl_server_alt_key_file"),
    "ssl_ca": _FILE.format("ssl_server_ca_file"),
    "ssl_cert": _FILE.format("ssl_server_cert_file"),
    "ssl_cert_file": "ssl_server_cert_file",
    "ssl_cert_username_field": "ssl_server_cert_username_field",
    "ssl_client_ca": _FILE.format("ssl_client_ca_file"),
    "ssl_client_cert": _FILE.format("ssl_client_cert_file"),
    "ssl_client_key": _FILE.format("ssl_client_key_file"),
    "ssl_dh": _FILE.format("ssl_server_dh_file"),
    "ssl_dh_parameters_length": _NOTHING,
    "ssl_disable": "ssl = no",
    "ssl_key": _FILE.format("ssl_server_key_file"),
    "ssl_key_file": "ssl_server_key_file",
    "ssl_key_password": "ssl_server_key_password",
    "ssl_parameters_regenerate": _NOTHING,
    "ssl_prefer_server_ciphers": "ssl_server_prefer_ciphers = server for yes, client for no",
    "ssl_protocols": "ssl_min_protocol, such as TLSv1.2",
    "ssl_require_client_cert": "auth_ssl_require_client_cert",
    "ssl_require_crl": "ssl_server_require_crl",
    "ssl_username_from_cert": "auth_ssl_username_from_cert",
    "ssl_verify_client_cert": "ssl_server_request_client_cert",
    "verbose_ssl": "log_debug = category=ssl",
    **dict.fromkeys(
        (
            "director_flush_socket", "director_mail_servers", "director_servers",
            "director_user_expire", "director_username_hash", "replication_dsync_parameters",
            "replication_full_sync_interval", "replication_max_conns", "replicator_host",
            "replicator_port",
        ),
        "nothing; 2.4 has no director or replicator",
    ),
}  # fmt: skip


# Short names, which other sections know.
IN_SECTIONS = {
    "address": ("inet_listener",),
    "args": ("passdb", "userdb"),
    "default_fields": ("passdb", "userdb"),
    "override_fields": ("passdb", "userdb"),
    "location": ("namespace",),
}


SECTIONS = frozenset(
    (
        "", "protocol", "local", "local_name", "remote", "service", "inet_listener",
        "unix_listener", "fifo_listener", "namespace", "mailbox", "passdb", "userdb",
    )
)  # fmt: skip


def instead(named: Named) -> str | None:
    """Return what takes the place of a setting that 2.4 does not know; None for all others."""
    if named.section not in IN_SECTIONS.get(named.name, SECTIONS):
        return None
    return INSTEAD.get(named.name)
