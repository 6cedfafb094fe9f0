"""Compose files: the ports that containers publish, for which clients and in which networks.

A repository keeps them anywhere (docker/proxy/docker-compose.yml): they are looked for in all of a
tree but in what is there to be tried or read, and but on the machine itself.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sslint.firewalls.docker import Publication
from sslint.reasons import Code
from sslint.regex import regex
from sslint.servers.listening import MAX_PORTS, WILDCARDS, Listener, files
from sslint.servers.programs.container_units import container_units
from sslint.servers.programs.publishing import NAMES, UNSET, may_be_tls, published
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree

if TYPE_CHECKING:
    import yaml

    from sslint.servers.programs.contained import Container

MAX_COMPOSE_FILES = 100
MAX_COMPOSE_SIZE = 1 << 20  # characters
MAX_NODES = 100_000
MAX_PUBLISHED = 256  # each is asked who reaches it
MAX_MOUNTS = 100  # of a container
MAX_DEPTH = 6
MAX_DIRECTORIES = 5_000  # that are looked into for compose files
BESIDE = "/given/compose/"  # where what lies beside a host's directory is mounted

# What lies in a tree and is no project of this host.
_APART = regex(
    r"^(\..*|node_modules|vendor|third.?party|tests?|test.?data|fixtures|examples?|samples?|docs?"
    r"|backups?|old|archive|overlay2|__pycache__)$",
    re.I,
)
_OF_A_SYSTEM = regex(r"/(usr|proc|sys|dev|boot|run|tmp|bin|sbin|lib|lib32|lib64)")
# Images that are run in the network of the host and serve no TLS there.
_HARMLESS = regex(
    r"node.?exporter|cadvisor|promtail|alloy|fluent-?bit|vector|telegraf|watchtower|autoheal"
    r"|cloudflared|tailscale|wireguard|wg-easy|zerotier|ddns|duckdns|fail2ban|crowdsec|certbot"
    r"|netdata|zabbix-agent|datadog|newrelic|avahi|mdns|keepalived|dhcp",
    re.I,
)
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
# What is used if it is named (docker compose -f, docker stack deploy -c); what is to be tried.
_OTHER_NAME = regex(r"^((docker-)?compose|.*stack)[\w.-]*\.ya?ml$", re.I)
_TRIED = regex(r"(^|[^a-z])(dev|test|ci|local|debug|example|sample|override|broken)", re.I)
_VARIABLE = regex(r"\$(?:(\$)|(\w+)|\{(\w+)(?:(:?[-?+])([^{}$]*))?\})")
# What only a swarm reads of `deploy`, compose-spec's deploy.md.
_SWARM = {"mode", "placement", "endpoint_mode", "update_config", "rollback_config"}

Node = object


def compose(tree: Tree) -> Iterator[Listener]:
    """Yield the host's sockets of what compose files in the usual places publish."""
    for one in _published(tree):
        if isinstance(one, Listener):
            yield one
        if not isinstance(one, Publication) or one.floating:
            continue  # which of the host's ports it is, is not known
        for port in one.ports[:MAX_PORTS]:
            for address in (one.host,) if one.host else WILDCARDS:
                yield Listener(
                    "docker",
                    "container",
                    port,
                    one.location,
                    host=address,
                    transport=one.transport,
                    service=one.service,
                )


def publications(tree: Tree) -> Iterator[Publication | Container]:
    """Yield the ports that compose files in the usual places publish, and whose they are."""
    return (one for one in _published(tree) if not isinstance(one, Listener))


def _published(tree: Tree) -> Iterator[Publication | Listener | Container]:
    """Yield what is published; a listener stands for TLS on a port that is not known."""
    found = 0
    read: set[str] = set()
    projects = tree.memo.get("compose")  # asked twice, and the tree has all names by then
    if projects is None:
        projects = tree.memo["compose"] = list(islice(_projects(tree), MAX_COMPOSE_FILES + 1))
    for count, paths in enumerate(projects):
        if count >= MAX_COMPOSE_FILES:
            tree.problem(paths[0], "more compose files than are read", decisive=False)
            return
        for one in _project(tree, list(files(tree, *paths)), read):
            found += isinstance(one, Publication | Listener)  # a container has at least one
            if found > MAX_PUBLISHED:
                tree.problem(one.location, "more published ports than are followed")
                return
            yield one
    yield from container_units(tree)


def _projects(tree: Tree) -> Iterator[tuple[str, ...]]:
    """Yield the files of each project: one, and perhaps one that overrides it."""
    for parent in _directories(tree):
        present = [one for one in tree.names(parent) if one.lower().endswith((".yml", ".yaml"))]
        chosen = [next((n for n in names if n in present), "") for names in (NAMES, _OVERRIDES)]
        if chosen[0]:
            yield tuple(posixpath.join(parent, name) for name in chosen if name)
        for name in present:
            if name not in chosen and _OTHER_NAME.search(name) and not _TRIED.search(name):
                yield (posixpath.join(parent, name),)


def _directories(tree: Tree) -> Iterator[str]:
    """Yield where projects may lie, the usual places first; links are followed only there."""
    usual = ["/"]
    for directory in ("/etc", "/opt", "/srv", "/root", "/home"):
        usual += [directory, *(posixpath.join(directory, n) for n in tree.names(directory))]
    usual += {posixpath.dirname(place): 0 for place in tree.mounts if place.startswith(BESIDE)}
    yield from usual
    if tree.live:
        return
    seen, pending = set(usual), ["/"]
    for visited, directory in enumerate(pending):
        if visited >= MAX_DIRECTORIES:
            return
        if directory not in seen:
            yield directory
        if directory.count("/") < MAX_DEPTH:
            below = (posixpath.join(directory, n) for n in tree.subdirectories(directory))
            pending += (
                path
                for path in below
                if not _OF_A_SYSTEM.fullmatch(path) and not _APART.match(posixpath.basename(path))
            )


def find(top: Path, excluded: Sequence[str], beside: Path | None) -> Iterator[Path]:
    """Yield the compose files below a directory, and what sets their variables.

    What lies in `beside`, a host's own directory, is left out.
    """
    tree = Tree(top)
    tree.exclude(excluded)
    for count, paths in enumerate(_projects(tree)):
        if count >= MAX_COMPOSE_FILES:
            break
        variables = posixpath.join(posixpath.dirname(paths[0]), ".env")
        for path in (*paths, variables):
            real = top / path[1:]
            plain = tree.status(path) is Status.FILE and tree.link_target(path) is None
            if plain and (beside is None or beside not in real.parents):
                yield real
    tree.close()


# -- one project ----------------------------------------------------------------------------------


def _project(
    tree: Tree, parts: list[SourceFile], read: set[str]
) -> Iterator[Publication | Listener | Container]:
    """Yield what one project publishes, with what it includes; `read` are the files so far."""
    documents = [
        (file, root)
        for file in parts
        if file.path not in read and (root := _document(tree, file)) is not None
    ]
    if not documents:
        return
    read.update(file.path for file, _ in documents)
    variables = _environment(tree, documents[0][0])
    networks: dict[str, Node] = {}
    services: dict[str, list[tuple[SourceFile, Node]]] = {}
    for file, root in documents:
        networks |= dict(_pairs(_member(root, "networks")))
        for name, body in _services(root):
            services.setdefault(name, []).append((file, body))
        yield from _included(tree, file, root, read)
    first = documents[0][0]
    doubt = ""
    if posixpath.basename(first.path) not in (*NAMES, *_OVERRIDES):
        doubt = f"whether {first.name} is used is not in the files"
    for name, bodies in services.items():
        nodes = [body for _, body in bodies]
        bridge, reason = _network(nodes, networks)
        optional = not reason and doubt != ""
        reason = reason or doubt
        yield from _elsewhere(bodies, networks)
        ports = _ports(bodies)
        own: list[Publication] = []
        for file, node in ports:
            location = file.at(node.start_mark.line + 1)
            text = _text(node, variables)
            for one in published(text, name, location, bridge, reason):
                own.append(one)
                yield one
                if one.floating and may_be_tls(text):
                    where = f"{location.path}:{location.line}: {location.text[:80]}"
                    yield Listener(
                        "docker", "container", 0, location, certain=False, reasons=(where,)
                    )  # fmt: skip
        if own and not any(_host_network(node, networks) for node in nodes):
            from sslint.servers.programs.contained import Container

            yield Container(
                name,
                _start(*(ports or bodies)[0]),
                tuple(_mounts(tree, bodies, variables)),
                tuple(own),
                reason,
                optional,
                tuple(_known_as(name, bodies)),
            )


def _known_as(name: str, bodies: list[tuple[SourceFile, Node]]) -> Iterator[tuple[str, str]]:
    """Yield the directory and the name of a service, and of those that it extends."""
    for file, body in bodies:
        yield posixpath.dirname(file.path), name
        extended = _member(body, "extends")
        path = posixpath.join(posixpath.dirname(file.path), _scalar(_member(extended, "file")))
        of = _scalar(extended) or _scalar(_member(extended, "service"))
        if of:
            yield posixpath.normpath(posixpath.dirname(path)), of


def _start(file: SourceFile, node: Node) -> Location:
    import yaml

    return file.at(node.start_mark.line + 1 if isinstance(node, yaml.Node) else 1)


def _mounts(
    tree: Tree, bodies: list[tuple[SourceFile, Node]], variables: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what is mounted into a container, and where; the last one of a target counts."""
    import yaml

    from sslint.servers.programs.contained import bind

    variables = {"PWD": ".", **variables}  # where compose is run
    found: dict[str, str] = {}
    for file, body in bodies:
        listed = _member(body, "volumes")
        if isinstance(listed, yaml.Node) and listed.tag in ("!reset", "!override"):
            found.clear()
        if not isinstance(listed, yaml.SequenceNode) or listed.tag == "!reset":
            continue
        for node in listed.value[:MAX_MOUNTS]:
            if isinstance(node, yaml.ScalarNode):
                source, _, target = _substituted(node.value, variables).partition(":")
                target = target.partition(":")[0]
            else:
                source, target = (
                    _substituted(_scalar(_member(node, key)), variables)
                    for key in ("source", "target")
                )
            is_path = _scalar(_member(node, "type")) == "bind"
            mount = bind(source, target, posixpath.dirname(tree.name(file.path)), always=is_path)
            found.pop(posixpath.normpath(target), None)
            if mount is not None:
                found[mount[1]] = mount[0]
    return ((source, target) for target, source in found.items())


def _services(root: Node) -> Iterator[tuple[str, Node]]:
    """Yield the services of a project; before version 2 they stand at the top."""
    listed = _member(root, "services")
    if listed is not None or _member(root, "version") is not None:
        yield from _pairs(listed)
    else:
        known = ("image", "build", "ports")
        yield from ((n, b) for n, b in _pairs(root) if any(_member(b, one) for one in known))


def _included(
    tree: Tree, file: SourceFile, root: Node, read: set[str]
) -> Iterator[Publication | Listener | Container]:
    """Yield what the projects of `include` publish, compose-spec's 14-include.md."""
    import yaml

    listed = _member(root, "include")
    for entry in listed.value[:MAX_COMPOSE_FILES] if isinstance(listed, yaml.SequenceNode) else ():
        node = entry if isinstance(entry, yaml.ScalarNode) else _member(entry, "path")
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            path = posixpath.join(posixpath.dirname(file.path), _scalar(one))
            parts = list(files(tree, path)) if tree.status(path) is Status.FILE else []
            yield from _project(tree, parts, read)
            if not parts:
                location = file.at(entry.start_mark.line + 1)
                where = f"{location.path}:{location.line}: it includes what is not in the files"
                yield Listener(
                    "docker", "container", 0, location, certain=False, reasons=(where,)
                )  # fmt: skip


def _elsewhere(
    bodies: list[tuple[SourceFile, Node]], networks: dict[str, Node]
) -> Iterator[Listener]:
    """Yield what stands for listeners that no `ports` shows: of the host's network, of a file."""
    import yaml

    for file, body in bodies:
        images = [value for value in map(_scalar, (_member(body, "image"),)) if value]
        for what, node in (
            ("the network of the host", _host_network(body, networks)),
            ("a service of another file", _member(_member(body, "extends"), "file")),
        ):
            harmless = any(map(_HARMLESS.search, images)) and what.endswith("host")
            if isinstance(node, yaml.Node) and not harmless:
                location = file.at(node.start_mark.line + 1)
                where = f"{location.path}:{location.line}: a container uses {what}"
                yield Listener(
                    "docker", "container", 0, location, certain=False, reasons=(where,)
                )  # fmt: skip


def _host_network(body: Node, networks: dict[str, Node]) -> Node | None:
    """Return the statement by which a service is in the network of the host itself."""
    mode = _member(body, "network_mode")
    if mode is not None:
        return mode if _scalar(mode) == "host" else None
    listed = _member(body, "networks")
    named = (networks.get(name) for name in _names(listed))
    return listed if any(_scalar(_member(one, "name")) == "host" for one in named) else None


def _scalar(node: Node) -> str:
    import yaml

    return node.value if isinstance(node, yaml.ScalarNode) else ""


def _document(tree: Tree, file: SourceFile) -> Node | None:
    import yaml

    if len(file.text) > MAX_COMPOSE_SIZE:
        tree.problem(file, "is too large for a compose file", decisive=False, code=Code.UNUSABLE)
        return None
    _members.cache_clear()
    try:
        return yaml.compose(file.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError, UnicodeError):
        tree.problem(file, "is not YAML", decisive=False, code=Code.UNUSABLE)
        return None


def _ports(bodies: list[tuple[SourceFile, Node]]) -> list[tuple[SourceFile, yaml.Node]]:
    """Return the entries of `ports`, those of an override added unless its tag says otherwise."""
    import yaml

    found: list[tuple[SourceFile, yaml.Node]] = []
    for file, body in bodies:
        listed = _member(body, "ports")
        if isinstance(listed, yaml.Node) and listed.tag in ("!reset", "!override"):
            found.clear()
            if listed.tag == "!reset":
                continue
        if isinstance(listed, yaml.SequenceNode):
            found += [(file, node) for node in listed.value[:MAX_NODES]]
    return found[:MAX_NODES]


def _text(node: yaml.Node, variables: dict[str, str]) -> str:
    """Return an entry of `ports` in its short form, "" if it is none."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return _substituted(node.value, variables)
    fields = {
        name: _substituted(value.value, variables)
        for name, value in _pairs(node)
        if isinstance(value, yaml.ScalarNode)
    }
    host = fields.get("host_ip", "")
    host = f"[{host}]:" if ":" in host else f"{host}:" if host else ""
    text = f"{host}{fields.get('published', '')}:{fields.get('target', '0')}"
    return f"{text}/{fields.get('protocol', 'tcp')}"


def _network(bodies: list[Node], networks: dict[str, Node]) -> tuple[str, str]:
    """Return the bridge of a service, "" for the project's own, and what makes it another."""
    import yaml

    mode, names = "", []
    for body in bodies:
        for key in ("extends", "profiles"):
            if _member(body, key) is not None:
                return "", f"it has {key}"
        value = _member(body, "network_mode")
        if isinstance(value, yaml.ScalarNode):
            mode = value.value
        names += _names(_member(body, "networks"))
        if _SWARM & {name for name, _ in _pairs(_member(body, "deploy"))}:
            return "", "it is deployed to a swarm"
    if mode == "bridge":
        return "docker0", ""
    if mode:
        return "", f"its network_mode is {mode}"
    for name in names or ["default"]:
        body = networks.get(name)
        if body is None and name not in networks and name != "default":
            return "", f"its network {name} is not in the file"
        for key, value in _pairs(body):
            plain = key in ("name", "labels", "attachable") or (
                key == "driver" and isinstance(value, yaml.ScalarNode) and value.value == "bridge"
            )
            if not plain:
                return "", f"its network {name} sets {key}"
    return "", ""


def _names(node: Node) -> list[str]:
    """Return the names of a sequence or the keys of a mapping."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [item.value for item in node.value if isinstance(item, yaml.ScalarNode)]
    return [name for name, _ in _pairs(node)]


def _pairs(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the pairs of a mapping; its own come before those that `<<` merges into it."""
    import yaml

    pending, seen, names = [node], set[int](), set[str]()
    while pending:
        mapping = pending.pop(0)
        if not isinstance(mapping, yaml.MappingNode) or id(mapping) in seen:
            continue
        seen.add(id(mapping))
        own = [(key.value, v) for key, v in mapping.value if isinstance(key, yaml.ScalarNode)]
        for name, value in own:
            if name == "<<":
                pending += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif name not in names:
                yield name, value
        names.update(name for name, _ in own)


def _member(node: Node, name: str) -> Node | None:
    return _members(node).get(name)


@lru_cache(maxsize=8)  # many services may be one mapping, and each is asked for many names
def _members(node: Node) -> dict[str, Node]:
    """Return the pairs of a mapping, the first of each name."""
    return dict(reversed(list(_pairs(node))))


# -- variables and ports --------------------------------------------------------------------------


def _environment(tree: Tree, file: SourceFile) -> dict[str, str]:
    """Return the variables of the `.env` beside a compose file."""
    path = posixpath.join(posixpath.dirname(file.path), ".env")
    text = "" if (found := tree.try_read(path, decisive=False)) is None else found.text
    variables: dict[str, str] = {}
    for line in text.split("\n"):
        match = re.fullmatch(
            r"\s*(?:export\s+)?(\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^#\s]*).*)", line
        )
        if match:
            variables[match.group(1)] = match.group(2) or match.group(3) or match.group(4) or ""
    return variables


def _substituted(text: str, variables: dict[str, str]) -> str:
    """Replace variables as Compose does; one that is not set is UNSET, or its default."""

    def value(match: re.Match[str]) -> str:
        dollar, plain, name, operator, word = match.groups()
        if dollar:
            return "$"
        known = variables.get(plain or name)
        if operator in ("+", ":+"):
            return word if known or (known == "" and operator == "+") else ""
        if known is None or (not known and (operator or "").startswith(":")):
            return word if operator in ("-", ":-") else UNSET
        return known

    return _VARIABLE.sub(value, text)
