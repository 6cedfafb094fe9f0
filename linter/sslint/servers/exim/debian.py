"""What Debian's update-exim4.conf(8) makes of its files, and how its service starts Exim."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.exim.main import Main, Option
from sslint.servers.listening import files, lines
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import replace

CONF = "/etc/exim4/update-exim4.conf.conf"
SERVICE = "/etc/default/exim4"
WHOLE = ("/etc/exim4/exim4.conf.localmacros", "/etc/exim4/exim4.conf.template")
MARK = "UPEX4CmacrosUPEX4C"  # the settings are put in as macros behind this one
KINDS = ("internet", "smarthost", "satellite", "local")  # with any other nothing is put in
_NAME = regex(r"[A-Za-z0-9_-]+")
_OVERRIDE = regex(r"(?:EXIMSERVICE|SMTPLISTENEROPTIONS)=(?:.*[\s'\"])?-oX\s+([^\s'\"]+)")

Settings = dict[str, tuple[str, Location]]


def made(tree: Tree) -> Main | None:
    """Return the main section that is made of Debian's files; None without them."""
    file = tree.try_read(CONF, decisive=False)
    if file is None:
        return None
    settings = _settings(file)
    main = Main(tree, file.at(1), MARK, _seeds(settings))
    split = _said(settings, "dc_use_split_config") == "true"
    for part in _split(tree) if split else files(tree, *WHOLE):
        main.read(part)
    if MARK not in main.macros:
        _as_shipped(main)
    local = main.options.get("local_interfaces")
    said = settings.get("dc_local_interfaces")
    if local is not None and said is not None and local.value == _list(said[0]):
        main.options["local_interfaces"] = replace(local, location=said[1])
    return main


def override(tree: Tree) -> Option | None:
    """Return what the service's `-oX` says: ports, addresses, or both."""
    file = tree.try_read(SERVICE, decisive=False)
    found = None
    for index, text in lines(file) if file is not None else ():
        match = _OVERRIDE.match(text)
        if match and file is not None:
            found = Option(match[1], file.at(index))
    return found


def _settings(file: SourceFile) -> Settings:
    """Return the variables that the file sets when a shell reads it."""
    found = {}
    for index, text in lines(file):
        name, _, value = text.partition("=")
        found[name.strip()] = (value.strip(), file.at(index))
    return found


def _said(settings: Settings, name: str) -> str:
    value = settings.get(name, ("",))[0]
    return value.strip("'\"").lower()


def _seeds(settings: Settings) -> dict[str, str]:
    """Return the macros that are put in, of which only some can decide a socket or TLS."""
    kind = _said(settings, "dc_eximconfig_configtype")
    if kind not in KINDS:
        return {}
    found = {f"DCconfig_{kind}": "1"}
    local = _said(settings, "dc_local_interfaces")
    if local:
        found["MAIN_LOCAL_INTERFACES"] = _list(local)
    for name, (value, _) in settings.items():
        if name[:1].isupper() and name != "CFILEMODE":
            found.setdefault(name, value.lower())
    return found


def _list(text: str) -> str:
    """Return a list as it is put in: with a `;` it is the separator."""
    text = text.strip("'\"").lower().strip()
    return f"<; {text}" if ";" in text and not text.startswith("<") else text


def _split(tree: Tree) -> Iterator[SourceFile]:
    """Yield the parts of the main section; `NAME.rul` stands for NAME."""
    for file in files(tree, "/etc/exim4/conf.d/main/*"):
        if _NAME.fullmatch(posixpath.basename(file.path)):
            instead = tree.try_read(f"{file.path}.rul", decisive=False)
            yield file if instead is None else instead


def _as_shipped(main: Main) -> None:
    """Add what the package's own files say of the sockets, where they were not given."""
    main.macros = {**main.seeds, **main.macros}
    for option in ("local_interfaces", "tls_advertise_hosts"):
        value = main.macros.get(f"MAIN_{option.upper()}")
        if value is not None:
            main.options.setdefault(option, Option(value, main.first))
    # What older packages said of TLS depends on their version.
    main.options.setdefault("tls_advertise_hosts", Option("?", main.first, certain=False))
