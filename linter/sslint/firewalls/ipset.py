"""Read `ipset save` and `ipset list` (plain and XML) into named sets (ipset(8)).

An iptables match names a set and one direction for each of its dimensions; which fields of the
packet that compares is only known with the set's type. `resolve` puts the two together once
everything is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from sslint.budgets import spend
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import values
from sslint.firewalls.iptables.arguments import split
from sslint.netfilter import model as m
from sslint.source import Location, SourceFile
from sslint.values import dataclass, replace

_FIELDS = {"ip", "net", "port", "mac", "iface", "mark"}
_TCP_AND_UDP = m.Intervals(((6, 6), (17, 17)))


@dataclass(slots=True)
class Definition:
    """A set that is being read, with the options that change what its elements mean."""

    set: m.Set
    type: str
    family: int
    fields: tuple[str, ...]
    netmask: int | None = None  # bits
    markmask: int = values.ALL32
    most: int = 65536  # elements, if it is a hash


def read(file: SourceFile, into: m.Ruleset) -> None:
    """Add the sets of a file. Raise RulesetError, and add nothing, if it would not be restored."""
    text = file.text.lstrip("\ufeff \r\n\t")
    if text.startswith("<"):
        sets = _read_xml(file)
    elif re.search(r"^Name: ", file.text, re.M):
        sets = _read_list(file)
    else:
        sets = _read_save(file)
    for definition in sets.values():
        _check_size(definition)
        flatten(definition)
        into.ipsets[definition.set.name] = definition.set
    source = m.Source("ipset", file.name)
    if source not in into.sources:
        into.sources.append(source)


# -- the three forms ----------------------------------------------------------------------------

_COMMANDS = {
    "create": "create",
    "-N": "create",
    "--create": "create",
    "n": "create",
    "add": "add",
    "-A": "add",
    "--add": "add",
    "del": "del",
    "-D": "del",
    "--del": "del",
    "flush": "flush",
    "-F": "flush",
    "destroy": "destroy",
    "-X": "destroy",
    "x": "destroy",
    "rename": "rename",
    "-E": "rename",
    "e": "rename",
    "swap": "swap",
    "-W": "swap",
    "w": "swap",
}


def _read_save(file: SourceFile) -> dict[str, Definition]:
    sets: dict[str, Definition] = {}
    for number, line in enumerate(file.text.split("\n"), 1):
        words = split(line.rstrip("\r"))
        if not words or words[0].startswith("#") or words == ["COMMIT"] or words == ["quit"]:
            continue
        try:
            command(sets, words, file, number)
        except RulesetError as error:
            raise RulesetError(error.reason, file.at(number)) from None
    return sets


def command(sets: dict[str, Definition], words: list[str], file: SourceFile, number: int) -> None:
    """Run one command. Raise RulesetError, without a place, where ipset refuses it."""
    exist = "-exist" in words or "-!" in words
    words = [word for word in words if word not in ("-exist", "-!")]
    if words and words[0] == "ipset":
        words = words[1:]
    verb = _COMMANDS.get(words[0]) if words else None
    if verb is None or (len(words) < 2 and verb not in ("flush", "destroy")):
        raise RulesetError("the line is not an ipset command")
    if verb not in ("flush", "destroy") and "" in words[:3]:  # no word, to ipset
        raise RulesetError(f"{verb} needs another argument")
    name = words[1] if len(words) > 1 else ""
    if verb == "create":
        if name in sets and not exist:
            raise RulesetError(f"set {name} is created twice")
        if name not in sets:
            sets[name] = _create(name, words[2:], file.at(number))
        return
    if name and name not in sets:
        raise RulesetError(f"the set {name} does not exist")
    if verb == "destroy":
        for gone in [name] if name else list(sets):
            del sets[gone]
    elif verb == "flush":
        for emptied in [name] if name else list(sets):
            sets[emptied].set.elements.clear()
            sets[emptied].set.holes.clear()
    elif len(words) < 3:
        raise RulesetError(f"{verb} needs another argument")
    elif verb in ("rename", "swap"):
        _rename(sets, verb, name, words[2])
    else:
        _entry(sets[name], words[2:], verb == "del")


def _rename(sets: dict[str, Definition], command: str, name: str, other: str) -> None:
    if (command == "swap") != (other in sets):
        raise RulesetError(f"cannot {command} {name} and {other}")
    first, second = sets.pop(name), sets.pop(other, None)
    first.set.name = other
    sets[other] = first
    if second is not None:
        second.set.name = name
        sets[name] = second


def _read_list(file: SourceFile) -> dict[str, Definition]:
    sets: dict[str, Definition] = {}
    name, kind = "", ""
    current: Definition | None = None
    members = False
    for number, line in enumerate(file.text.split("\n"), 1):
        line = line.rstrip("\r")
        label, _, rest = line.partition(": ")
        try:
            if label == "Name":
                name, kind, current, members = rest.strip(), "", None, False
            elif label == "Type" and not members:
                kind = rest.strip()
            elif label.startswith("Header") and not members:
                current = _create(name, [kind, *split(rest)], file.at(number))
                sets[name] = current
            elif line == "Members:":
                if current is None:
                    current = _create(name, [kind], file.at(number))
                    sets[name] = current
                members = True
            elif members and current is not None and line.strip():
                _entry(current, split(line), False)
        except RulesetError as error:
            raise RulesetError(error.reason, file.at(number)) from None
    return sets


def _read_xml(file: SourceFile) -> dict[str, Definition]:
    from sslint.xmlfile import Start, XmlError, tags  # only this form needs it

    sets: dict[str, Definition] = {}
    path: list[str] = []
    header: list[str] = []
    entry: list[str] = []
    name = kind = ""
    try:
        for tag in tags(file):
            if isinstance(tag, Start):
                path.append(tag.name)
                if tag.name == "ipset":
                    name, kind = tag.attributes.get("name", ""), ""
                    header = []
                elif tag.name == "member":
                    entry = []
                continue
            path.pop()
            content, inside = tag.text.strip(), path[-1] if path else ""
            if tag.name == "type":
                kind = content
            elif inside == "header":
                header += [tag.name, content] if content else [tag.name]
            elif tag.name == "header" or (tag.name == "members" and name not in sets):
                sets[name] = _create(name, [kind, *header], file.at(tag.location.line))
            elif inside == "member":
                entry.append(content if tag.name == "elem" else tag.name)
            elif tag.name == "member" and name in sets:
                _entry(sets[name], entry, False)
    except XmlError as error:
        raise RulesetError(error.reason, error.location) from None
    except RulesetError as error:
        raise RulesetError(error.reason, error.location or tag.location) from None
    return sets


# -- a set and its elements ---------------------------------------------------------------------


def _create(name: str, words: list[str], location: Location) -> Definition:
    if not name or len(name) > 31 or not words:
        raise RulesetError("a set needs a name of at most 31 characters and a type")
    kind, options = words[0], words[1:]
    method, _, rest = kind.partition(":")
    fields = tuple(rest.split(","))
    family = 6 if "inet6" in options else 4
    found = m.Set(
        name, (f"ipset:{kind}", "inet6" if family == 6 else "inet"), [], location=location
    )
    known = method in ("hash", "bitmap") and _FIELDS.issuperset(fields)
    if not known and kind != "list:set":
        found.unknown = f"sets of type {kind[:40]} are not read"
    found.dynamic = "timeout" in options
    definition = Definition(found, kind, family, fields)
    for option, value in pairwise(options):
        if option == "netmask":
            definition.netmask = values.integer(value.lstrip("/"), 0, values.width(family))
        elif option == "bitmask":
            mask = values.network_mask(value, family)
            if not values.contiguous(mask, family):
                found.unknown = f"the bitmask {value} of the set {name} is not a prefix"
            definition.netmask = mask.bit_count()
        elif option == "markmask":
            definition.markmask = values.integer(value)
        elif option == "maxelem":
            definition.most = values.integer(value)
    return definition


def _entry(definition: Definition, words: list[str], delete: bool) -> None:
    found = definition.set
    if found.unknown:
        return
    if not words:
        raise RulesetError("an entry names no element")
    elements = [_element(definition, words[0])]
    hole = "nomatch" in _flags(words[1:])
    if elements[0] is None:
        return
    place = found.holes if hole else found.elements
    element = elements[0]
    if delete:
        for place in (found.elements, found.holes):
            if element in place:
                place.remove(element)
        return
    spend("elements")
    place.append(element)


def _flags(words: list[str]) -> Iterator[str]:
    """Yield the options of an element; the text of a comment is none."""
    skip = False
    for word in words:
        if not skip:
            yield word
        skip = word in ("comment", "timeout", "packets", "bytes", "skbmark", "skbprio", "skbqueue")


def _element(definition: Definition, text: str) -> m.Element | None:
    """Read one element; None for those that no packet with ports can match."""
    if definition.type == "list:set":
        return (m.Names((text,)),)
    parts = text.split(",")
    if len(parts) > len(definition.fields) or len(parts) < len(definition.fields):
        if definition.type != "bitmap:ip,mac" or len(parts) != 1:
            raise RulesetError(f"`{text[:80]}' is not an element of a {definition.type}")
        return _address(definition, parts[0]), m.UnknownValues("the MAC address is learnt later")
    fields: list[m.Values] = []
    for kind, part in zip(definition.fields, parts, strict=True):
        if kind in ("ip", "net"):
            fields.append(_address(definition, part))
        elif kind == "port":
            pair = _port(definition, part)
            if pair is None:
                return None
            fields += pair
        elif kind == "mac":
            number = values.hardware_address(part)
            fields.append(m.Intervals(((number, number),)))
        elif kind == "mark":
            number = values.integer(part) & definition.markmask
            fields.append(m.Intervals(((number, number),)))
        elif part.startswith("physdev:"):
            fields.append(m.UnknownValues("the port of a bridge is compared"))
        else:
            fields.append(m.Names((part,)))
    return tuple(fields)


def _address(definition: Definition, text: str) -> m.Values:
    """Read an address, a network or a range."""
    family = definition.family
    if text.startswith("["):
        text = text.replace("[", "").replace("]", "")
    first, dash, last = text.partition("-")
    interval: m.Interval
    numeric = values.numeric_address(first, family) is not None
    if dash and numeric and values.numeric_address(last, family) is not None:
        found = values.address_range(text, family)
        assert not isinstance(found, m.UnknownValues)
        interval = min(found), max(found)
    else:
        value, mask = values.network(text, family)
        if isinstance(value, m.UnknownValues):
            return value
        if not values.contiguous(mask, family):
            raise RulesetError(f"`{text[:60]}' is not a network")
        interval = value, value | mask ^ ((1 << values.width(family)) - 1)
    if definition.netmask is not None and "ip" in definition.fields:
        host_bits = (1 << (values.width(family) - definition.netmask)) - 1
        interval = interval[0] & ~host_bits, interval[1] | host_bits
    return m.Intervals((interval,))


def _port(definition: Definition, text: str) -> tuple[m.Values, m.Values] | None:
    """Read `[protocol:]port[-port]` as (protocols, ports); without a protocol it is TCP."""
    name, colon, ports = text.rpartition(":")
    bitmap = definition.type.startswith("bitmap")
    protocol = values.protocol(name) if colon else 6
    if protocol not in (6, 17, 132, 136) and not bitmap:
        return None  # ICMP types, and protocols without ports
    protocols = _TCP_AND_UDP if bitmap else m.Intervals(((protocol, protocol),))
    service = {6: "tcp", 17: "udp"}.get(protocol)
    first, dash, last = ports.partition("-")
    if dash and values.number(first) is None:
        first, dash = ports, ""
    low = values.port(first, service)
    high = values.port(last, service) if dash else low
    return protocols, values.bounded(min(low, high), max(low, high))


def _check_size(definition: Definition) -> None:
    """Raise RulesetError if a hash is full before its last element is added.

    The kernel counts by parts of a large table and may let in a few too many; those are let pass.
    """
    if not definition.type.startswith("hash:"):
        return
    found = definition.set
    held = {*found.elements, *found.holes}
    count = len(held)
    if definition.fields == ("ip",):
        intervals = [
            one for (field,) in held if isinstance(field, m.Intervals) for one in field.items
        ]
        count = sum(high - low + 1 for low, high in values.union(intervals).items)
        if definition.netmask is not None:
            count >>= values.width(definition.family) - definition.netmask
    if count > definition.most + definition.most // 1024:
        reason = f"Hash is full, cannot add more elements: {found.name} holds {definition.most}"
        raise RulesetError(reason, found.location)


def flatten(definition: Definition) -> None:
    """Cut the holes out of a set of plain networks: the most specific element decides."""
    found = definition.set
    if not found.holes or definition.fields not in (("ip",), ("net",)):
        return
    marked: list[tuple[m.Interval, bool]] = []
    for elements, hole in (found.elements, False), (found.holes, True):
        for (field,) in elements:
            if not isinstance(field, m.Intervals):
                return
            marked.append((field.items[0], hole))
    marked.sort(key=lambda pair: (pair[0][0], -pair[0][1], pair[1]))
    found.elements[:] = [(m.Intervals((interval,)),) for interval in _visible(marked)]
    found.holes.clear()


def _visible(marked: list[tuple[m.Interval, bool]]) -> list[m.Interval]:
    """Return what nested intervals leave, where the innermost one says in or out."""
    result: list[m.Interval] = []
    stack: list[tuple[int, bool]] = []  # (end, hole) of the intervals around the cursor
    cursor = 0

    def close(limit: int | None) -> None:
        nonlocal cursor
        while stack and (limit is None or stack[-1][0] < limit):
            end, hole = stack.pop()
            if not hole and cursor <= end:
                result.append((cursor, end))
            cursor = max(cursor, end + 1)

    for (low, high), hole in marked:
        close(low)
        if stack and not stack[-1][1] and cursor < low:
            result.append((cursor, low - 1))
        cursor = low
        stack.append((high, hole))
    close(None)
    return list(values.union(result).items)


# -- sets and the rules that name them ------------------------------------------------------------


def resolve(ruleset: m.Ruleset) -> None:
    """Replace the ipset matches of all rules by matches of the packet's fields.

    To be called once everything is read. A set that is not in the files is unknown; a set of the
    other family makes iptables refuse the whole table.
    """
    for table in ruleset.tables:
        family = 6 if table.family == "ip6" else 4
        refused = False
        for chain in table.chains.values():
            for index, rule in enumerate(chain.parts):
                if isinstance(rule, m.Listing):  # which compares numbers alone
                    continue
                for item in rule.items:
                    kind = type(item)
                    if kind is m.Match and type(item.values) is not m.SetRef:  # type: ignore[union-attr]
                        continue
                    if isinstance(item, (m.Match, m.SetUpdate)) and _names_ipset(item):
                        break
                else:
                    continue
                wrong = next(
                    (one for one in rule.items if _of_other_family(one, family, ruleset)), None
                )
                if wrong is not None and not refused:
                    refused = True
                    _refuse(rule.location, family, ruleset)
                items = [new for item in rule.items for new in _resolved(item, table, ruleset)]
                chain.parts[index] = replace(rule, items=tuple(items))


def _names_ipset(item: m.Match | m.SetUpdate) -> bool:
    reference = item.values if isinstance(item, m.Match) else item.set
    return isinstance(reference, m.SetRef) and any(key.name == "ipset" for key in item.keys)


def _of_other_family(item: m.RuleItem, family: int, ruleset: m.Ruleset) -> bool:
    """Whether a rule names a set of addresses of the family that its table is not of."""
    if not isinstance(item, m.Match | m.SetUpdate) or not _names_ipset(item):
        return False
    reference = item.values if isinstance(item, m.Match) else item.set
    assert isinstance(reference, m.SetRef)
    found = ruleset.ipsets.get(reference.name)
    if found is None or found.unknown:
        return False
    fields = found.keys[0].rpartition(":")[2].split(",")
    return bool({"ip", "net"} & set(fields)) and (found.keys[1] == "inet6") != (family == 6)


def _refuse(location: Location | None, family: int, ruleset: m.Ruleset) -> None:
    """Note that iptables does not load a table."""
    where = "" if location is None else f"{location}: "
    reason = f"{where}iptables refuses a set of IPv{10 - family} addresses here"
    missing = m.Missing(reason, (family,), location, may_open=True)
    for one in (ruleset, *ruleset.alternatives):
        one.missing.append(missing)


def _resolved(item: m.RuleItem, table: m.Table, ruleset: m.Ruleset) -> list[m.RuleItem]:
    if not isinstance(item, m.Match | m.SetUpdate) or not _names_ipset(item):
        return [item]
    reference = item.values if isinstance(item, m.Match) else item.set
    assert isinstance(reference, m.SetRef)
    directions = item.keys[0].arg.split(",")
    family = 6 if table.family == "ip6" else 4
    found = ruleset.ipsets.get(reference.name)
    if isinstance(item, m.SetUpdate):
        if found is not None:
            found.dynamic = True
        keys = _keys(found, directions, family) if found is not None else None
        return [replace(item, keys=keys)] if keys else []
    if found is None:
        return [m.Unknown(f"the set {reference.name} is not in the files")]
    if found.keys[0] == "ipset:list:set":
        found = _list_of_sets(found, len(directions), family, ruleset)
    if found.unknown:
        return [m.Unknown(found.unknown)]
    keys = _keys(found, directions, family)
    if keys is None:  # another family, or too few directions: ip_set_test answers no
        return [m.Constant(item.negate, f"the set {reference.name} cannot be matched this way")]
    return [replace(item, keys=keys, values=m.SetRef(found.name))]


def _keys(found: m.Set, directions: list[str], family: int) -> tuple[m.Key, ...] | None:
    """Return what a set compares; None if it never matches."""
    names = found.keys[0].rpartition(":")[2].split(",")
    addressed = "ip" in names or "net" in names
    if len(directions) < len(names) or (addressed and (found.keys[1] == "inet6") != (family == 6)):
        return None
    keys: list[m.Key] = []
    prefix = "ip" if family == 4 else "ip6"
    for name, direction in zip(names, directions, strict=False):
        side = direction[0]
        if name in ("ip", "net"):
            keys.append(m.Key(f"{prefix}.{side}addr"))
        elif name == "port":
            keys += [m.Key("meta.l4proto"), m.Key(f"th.{side}port")]
        elif name == "iface":
            keys.append(m.Key("meta.iifname" if side == "s" else "meta.oifname"))
        elif name == "mac":
            keys.append(m.Key(f"ether.{side}addr"))
        else:
            keys.append(m.Key("meta.mark"))
    return tuple(keys)


def _list_of_sets(found: m.Set, directions: int, family: int, ruleset: m.Ruleset) -> m.Set:
    """Return a set that holds what the members of a list:set hold, or says why it cannot."""
    name = f"{found.name} (IPv{family}, {directions} directions)"
    known = ruleset.ipsets.get(name)
    if known is not None:
        return known
    merged = m.Set(name, ("ipset:hash:ip", "inet6" if family == 6 else "inet"), [])
    merged.location, merged.dynamic = found.location, found.dynamic
    shape: list[str] | None = None
    for (field,) in found.elements:
        member = ruleset.ipsets.get(field.items[0]) if isinstance(field, m.Names) else None
        if member is None or member.unknown:
            merged.unknown = f"a member of the list {found.name} is not in the files"
            break
        kind = member.keys[0].removeprefix("ipset:").partition(":")[2]
        fields = kind.replace("net", "ip").split(",")
        if _keys(member, ["src"] * directions, family) is None:
            continue
        if (shape is not None and fields != shape) or member.holes or kind == "set":
            merged.unknown = f"the list {found.name} holds sets of several kinds"
            break
        shape = fields
        merged.keys = (f"ipset:hash:{','.join(fields)}", merged.keys[1])
        merged.elements += member.elements
        merged.dynamic |= member.dynamic
    ruleset.ipsets[name] = merged
    return merged
