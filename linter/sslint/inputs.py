"""Which hosts a run reads: what PATH, the flags and the configuration mean together."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslint import budgets, targets
from sslint.config import Config
from sslint.errors import UsageError
from sslint.intent import parse as parse_intent
from sslint.reasons import Code, Problem
from sslint.targets import Given, Stream, Target
from sslint.tree import Tree, real_path, work_tree
from sslint.yamlfile import Where, display

if TYPE_CHECKING:
    from sslint.netfilter.model import Ruleset


def default_paths(options: argparse.Namespace) -> list[str]:
    """Return what is checked where no PATH is given: /etc, or the work tree one stands in.

    With --root it is the etc/ of that directory. Raise UsageError if there is none.
    """
    if options.root is not None:
        etc = os.path.join(options.root, "etc")
        if not os.path.isdir(etc):
            raise UsageError(f"--root: {etc}: no such directory", tip="name a PATH as well")
        return [etc]
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the working directory is gone", tip="name a PATH") from None
    for directory in (here, *here.parents):
        if os.path.exists(directory / ".git"):
            return [str(directory)]
    return ["/etc"]


def limit(options: argparse.Namespace) -> budgets.Budgets:
    """Let what follows count against the limits of the flags. Raise UsageError."""
    limits = budgets.parse(options.limit or ())
    budgets.last_stop.use(limits)
    budgets.begin(limits)
    return limits


def find(
    options: argparse.Namespace,
    config: Config,
    paths: Sequence[str],
    warn: Callable[[str], None],
) -> list[Target]:
    """Return the hosts to read: those of the configuration if it names any, else the paths'.

    `warn` is told what does nothing. Raise UsageError or NothingToCheckError.
    """
    excluded = _excluded(config, warn)
    if options.config is None and not options.no_config and not options.config_from:
        _warn_of_settings(config, paths, excluded, warn)
    if config.values.get("hosts") and not (options.root or _is_one_host(config, paths)):
        found = _configured(config)
    elif paths:
        found = targets.find(paths, root=options.root, excluded=excluded)
    else:
        found = [Target("given", Tree(None, base=Path.cwd()))]
    intent = parse_intent(config.values, config.error)
    running = _running() if options.live else None
    announced = _announced(config, options)
    given = options.firewall or []
    if "none" in given and set(given) != {"none"}:
        raise UsageError("--firewall none: cannot be combined with a ruleset")
    rulesets = [targets.ruleset(text) for text in given if text != "none"]
    limits = limit(options)
    for target in found:
        target.tree.budgets = limits
        target.tree.exclude(excluded)
        target.addresses = (*target.addresses, *_addresses(config, options))
        target.now = _now(config, options)
        target.intent = intent
        target.running = running
        target.versions = {**_versions(config.values), **target.versions}
        targets.announce(target, announced)
        _firewall(config, target, rulesets, none="none" in given)
    return found


def _firewall(
    config: Config,
    target: Target,
    rulesets: Sequence[tuple[str | None, Path | Stream]],
    *,
    none: bool,
) -> None:
    """Give a host the rulesets of the flags or the environment, else of the configuration."""
    if none:
        target.no_firewall, target.firewall = True, ()
    elif rulesets:
        kept = () if "hosts" in config.values else target.firewall
        added = targets.lay_rulesets(target.tree, rulesets)
        target.firewall = (*kept, *added)
        target.no_firewall = False
    elif "hosts" not in config.values:
        _set_firewall(config, target, ("firewall",), config.values.get("firewall"))


def _announced(config: Config, options: argparse.Namespace) -> list[Path | Stream]:
    """Return the files that are published for clients; named hosts have the configuration's."""
    given = [targets.named(text, "--announced") for text in options.announced or ()]
    own = () if "hosts" in config.values else config.values.get("announced", ())
    return [*given, *(config.within(text, ("announced", n)) for n, text in enumerate(own))]


def _running() -> Ruleset:
    from sslint.firewalls.live import load_live

    return load_live()


def _excluded(config: Config, warn: Callable[[str], None]) -> list[str]:
    found = []
    for index, text in enumerate(config.values.get("exclude", ())):
        path = config.base / text
        if not os.path.lexists(path):
            warn(str(config.error(("exclude", index), "names no file or directory")))
        found.append(str(path))
    return found


def _warn_of_settings(
    config: Config, paths: Sequence[str], excluded: Sequence[str], warn: Callable[[str], None]
) -> None:
    """Say which settings files lie below a PATH of a work tree and are not read."""
    from sslint.config import FILE_NAMES

    for top in dict.fromkeys(real_path(path) for path in paths if os.path.isdir(path)):
        if top != (tree := work_tree(top)) or os.path.exists(tree / ".git"):
            for found in targets.settings_below(top, excluded, FILE_NAMES):
                if found != config.path:
                    read = "none is" if config.path is None else f"{display(config.path)} is"
                    warn(f"{display(found)} is not read ({read}); check its directory by itself")


def _is_one_host(config: Config, paths: Sequence[str]) -> bool:
    """Tell whether the paths name something within the configuration's tree, not all of it."""
    whole = (config.base, *config.base.parents)
    return any(real_path(path) not in whole for path in paths)


def _addresses(config: Config, options: argparse.Namespace) -> list[str]:
    import ipaddress

    addresses = config.many("host_ip", options.host_ip)
    for index, text in enumerate(addresses):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            if options.host_ip is not None:
                raise UsageError(f"--host-ip: {text!r} is not an address") from None
            raise config.error(("host_ip", index), "must be an IPv4 or IPv6 address") from None
    return addresses


def _versions(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(version) for name, version in values.get("versions", {}).items()}


def _now(config: Config, options: argparse.Namespace) -> datetime | None:
    text = config.get("now", options.now)
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        if options.now is not None:
            raise UsageError(f"--now: {text!r} is not an ISO 8601 date or time") from None
        raise config.error(("now",), "must be an ISO 8601 date or time") from None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def expect(config: Config, found: Sequence[Target]) -> None:
    """Tell hosts what the configuration expects of their ports. Raise UsageError.

    The file lies in their trees, so that findings point at it and its comments may ignore them.
    """
    if config.path is None:
        return
    from sslint import ask

    networks = ask.networks(config.values.get("networks", {}))
    for target in found:
        own = config.values.get("hosts", {}).get(target.name, {}).get("expect", ())
        entries: list[tuple[Where, Any]] = [
            *((("expect", n), entry) for n, entry in enumerate(config.values.get("expect", ()))),
            *((("hosts", target.name, "expect", n), entry) for n, entry in enumerate(own)),
        ]
        if not entries:
            continue
        place = f"/given/configuration/{config.path.name}"
        name = config.path.relative_to(work_tree(config.base)).as_posix()
        target.tree.give(place, name, config.data, str(config.path))
        target.settings = place
        stated = []
        for where, entry in entries:
            try:
                stated.append(ask.expectation(entry, networks, config.document.line(where)))
            except UsageError as error:
                raise config.document.error(where, str(error)) from None
        target.expect = tuple(stated)


# -- hosts of the configuration -------------------------------------------------------------------


def _configured(config: Config) -> list[Target]:
    """Return the hosts that the configuration names."""
    hosts = config.values.get("hosts", {})
    return [_host(config, name, host) for name, host in hosts.items()]


def _host(config: Config, name: str, host: Mapping[str, Any]) -> Target:
    where: Where = ("hosts", name)
    mounts = {
        place: config.within(real, (*where, "paths", place))
        for place, real in host.get("paths", {}).items()
    }
    root = config.within(host["root"], (*where, "root")) if "root" in host else None
    tree = Tree(root, mounts=mounts, base=work_tree(config.base))
    if root is not None and not targets.is_root(root):
        said = "holds no etc/ directory with files that sslint reads"
        tree.problems.append(Problem(display(root), said, code=Code.UNUSABLE))
    assumed: list[str] = []
    for server in targets.keyed():
        if server.name in host:
            real = config.within(host[server.name], (*where, server.name))
            from sslint.targets.laying import serve

            assumed += serve(tree, server, real, targets.confined)
    target = Target(
        name,
        tree,
        addresses=(*host.get("host_ip", ()), *host.get("addresses", ())),
        versions=_versions(host),
        assumed=(*assumed, *targets.complete(tree)),
    )
    own = (*where, "firewall") if "firewall" in host else ("firewall",)
    _set_firewall(config, target, own, host.get("firewall", config.values.get("firewall")))
    for key, holder in ((("announced",), config.values), ((*where, "announced"), host)):
        texts = enumerate(holder.get("announced", ()))
        targets.announce(target, [config.within(text, (*key, n)) for n, text in texts])
    return target


def _set_firewall(config: Config, target: Target, where: Where, value: Any) -> None:
    """Give a host the rulesets that its configuration names."""
    if value is None:
        return
    if value == "none":
        target.no_firewall = True
        return
    given: list[Given] = []
    for index, text in enumerate([value] if isinstance(value, str) else value):
        key = where if isinstance(value, str) else (*where, index)
        kind, name = targets.kind_and_file(text, config.base)
        if kind is not None and kind not in targets.firewall_kinds():
            kinds = ", ".join(targets.firewall_kinds())
            raise config.error(key, f"must be FILE or KIND=FILE; KIND is one of {kinds}")
        real = config.within(name, key)
        place = targets.ruleset_place(real.name, index, "boot")
        target.tree.mount(place, real)
        given.append((kind, place))
    target.firewall = tuple(given)
