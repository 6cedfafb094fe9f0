"""What the commands of a script do, as far as a firewall goes: builtins, tools, other programs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from sslint.firewalls.scripts import builtins
from sslint.firewalls.scripts.ends import Leave, Status
from sslint.firewalls.scripts.nft import placed
from sslint.firewalls.scripts.parsing import parse
from sslint.firewalls.scripts.partial import HOLE, HOLES, has_hole
from sslint.firewalls.scripts.syntax import Function
from sslint.firewalls.scripts.tables import spent
from sslint.firewalls.scripts.world import IPTABLES
from sslint.firewalls.ufw_settings import DEFAULTS
from sslint.regex import is_number, regex
from sslint.source import SourceFile
from sslint.tree import Status as FileStatus
from sslint.tree import TreeError

if TYPE_CHECKING:
    from sslint.firewalls.scripts.evaluation import Interpreter

MAX_TEXT = 1_000_000  # of a script

_BEFORE = frozenset(("command", "sudo", "nohup", "builtin", "time", "doas", "setsid", "ionice"))
_SAVES = regex(r"(?:ip6?tables(?:-nft|-legacy)?-save|iptables-xml|xtables-monitor)$")
# Arguments by which a command that is not known shows itself to be a firewall's.
_TOLD = regex(r"-[AIDNPFX]|--(?:append|insert|delete|policy|flush|new-chain)|-t|add|flush")
# Programs and services that change the ruleset in ways that are not read.
_CHANGES = regex(
    r"(?:firewall-offline-cmd|csf|apf|shorewall6?|ferm|firehol|fwbuilder|arptables"
    r"|ebtables(?:-restore)?|iptables-apply|iptables-translate|netfilter-persistent"
    r"|iptables-persistent|fail2ban-client|docker|podman|lxc|lxd|virsh|wg-quick|conntrackd?|awall"
    r"|foomuuri|nftables|uruk)$"
)
_SERVICES = regex(
    r"(?:ip6?tables|nftables|netfilter-persistent|iptables-persistent|ufw|firewalld|shorewall6?"
    r"|ferm|firehol|csf|ipset|firewall|fail2ban|docker|libvirtd?|lxd|networking|network)(?:\.service)?$"
)
_MANAGERS = regex(r"(?:ufw|firewalld|nftables|ip6?tables)(?:\.service)?$")
_STARTS = frozenset(
    ("start", "restart", "reload", "force-reload", "try-restart", "stop", "condrestart")
)
_NAMED = regex(r"(?:^|[-_.])(?:firewall|iptables|ip6tables|nftables|fw|rules)(?:[-_.]|$)")
_LIBRARY = regex(
    r"/lib/lsb/\S*|/etc/(?:rc\.d/)?init\.d/functions|/etc/rc\.(?:status|subr|conf)|/etc/os-release"
    r"|/usr/share/debconf/confmodule|/etc/lsb-release|/etc/init\.d/functions\.sh"
)
_SETTINGS = regex(
    r"/etc/(?:default|sysconfig|conf\.d)/\S+|\S+\.(?:conf|cfg|env|config|vars)|/root/\.\S+"
)


def run(shell: Interpreter, words: list[str]) -> Status:
    """Run one command; the first word is its name."""
    shell.spend(spent(words))
    words = _bare(shell, words)
    if not words:
        return 0
    name, rest = words[0], words[1:]
    if has_hole([name]):
        return _unknown(shell, words)
    functions = shell.state.functions.get(name, (None,))
    if functions == (None,):
        return _named(shell, name, rest)
    ways = [_way(shell, function, name, rest) for function in functions]
    return ways[0]() if len(ways) == 1 else shell.either(*ways)


def _way(
    shell: Interpreter, function: Function | None, name: str, rest: list[str]
) -> Callable[[], Status]:
    if function is None:
        return lambda: _named(shell, name, rest)
    return lambda: shell.call(function, rest)


def _named(shell: Interpreter, name: str, rest: list[str]) -> Status:
    """Run a command that is no function."""
    builtin = _BUILTINS.get(name)
    if builtin is not None:
        return builtin(shell, rest)
    base = name.rpartition("/")[2]
    if base in ("sh", "bash", "dash", "ash", "source"):
        return _shell(shell, base, rest)
    if base in ("xtables-nft-multi", "xtables-legacy-multi", "xtables-multi") and rest:
        base, rest = rest[0], rest[1:]
    if IPTABLES.match(base):
        return _iptables(shell, base, rest)
    if _SAVES.match(base):
        shell.print(HOLE)
        return 0
    tool = _TOOLS_READ.get(base)
    return tool(shell, rest) if tool is not None else _program(shell, name, rest)


def read(shell: Interpreter, path: str) -> str | None:
    """Return a file that a script reads, None if it is not known."""
    if path == "/dev/null":
        return ""
    if has_hole([path]) or not path.startswith("/"):
        return None
    if shell.tree.status(path) is not FileStatus.FILE:
        return None
    file = shell.tree.try_read(path, decisive=False)
    return None if file is None or len(file.text) > MAX_TEXT else file.text


# -- inside -----------------------------------------------------------------------------------


def _shown(name: str) -> str:
    """Return a name as a reason may quote it."""
    return name if re.fullmatch(r"[\w./+-]{1,100}", name, re.ASCII) else "a program"


def _bare(shell: Interpreter, words: list[str]) -> list[str]:
    """Take away what only says how a command is run."""
    while words:
        base = words[0].rpartition("/")[2]
        if base in _BEFORE and base not in shell.state.functions:
            if base == "command" and words[1:2] and words[1] in ("-v", "-V"):
                return words
            words = words[1:]
            while words and words[0].startswith("-"):
                taken = 2 if words[0] in ("-u", "-g", "-c", "-p") and base != "command" else 1
                words = words[taken:]
        elif base == "env":
            words = words[1:]
            while words and (words[0].startswith("-") or re.match(r"\w+=", words[0])):
                words = words[1:]
        elif base == "nice":
            words = words[1:]
            while words and words[0].startswith("-"):
                words = words[2 if words[0] == "-n" else 1 :]
        elif base == "timeout":
            words = words[1:]
            while words and (words[0].startswith("-") or re.fullmatch(r"\d+[smh]?", words[0])):
                words = words[1:]
        else:
            break
    return words


def _unknown(shell: Interpreter, words: list[str]) -> Status:
    """Judge a command whose name is not known by its arguments."""
    if len(words) > 1 and _is_tool(words[1]):  # `$SUDO iptables`
        return shell.either(lambda: run(shell, words[1:]), lambda: 1)
    if any(_TOLD.fullmatch(word) for word in words[1:3]) or words == [HOLES]:
        shell.fail("it is not known which program this runs")
    shell.assume("programs whose names the files do not tell leave the ruleset alone")
    shell.print(HOLE)
    return None


_APPENDS = frozenset(("-A", "--append", "-P", "--policy", "-N", "--new-chain"))


def _is_tool(word: str) -> bool:
    base = word.rpartition("/")[2]
    return IPTABLES.match(base) is not None or base in ("nft", "ipset")


def _iptables(shell: Interpreter, name: str, rest: list[str]) -> Status:
    """Run iptables, ip6tables or their -restore."""
    world, where = shell.state.world, shell.here()
    held = world.of_iptables(name)
    if name.endswith("-restore"):
        if has_hole(rest):
            held.lose(f"what {name} reads is not known", where)
            return None
        text = _rest_of_input(shell)
        shell.spend(1 + len(text or "") // 100 + held.size() // 30)
        return world.run_restore(name, rest, text, where)
    shell.spend(held.breadth // 50)
    if not _APPENDS.intersection(rest):  # the others look at what is there
        shell.spend(1 + held.size() // 40)
    status = world.run_iptables(name, rest, where)
    if any(word in ("-L", "-S", "--list", "--list-rules", "-nL", "-nvL", "-vnL") for word in rest):
        shell.print(HOLE)
    return status


def _nft(shell: Interpreter, rest: list[str]) -> Status:
    world, where = shell.state.world, shell.here()
    if has_hole(rest) and any(word in ("-f", "--file") for word in rest):
        world.nft.lose("what nft loads is not known", where)
        return None
    if any(word in ("list", "-a") for word in rest):
        shell.print(HOLE)
    text = _rest_of_input(shell)
    shell.spend(1 + len(text or "") // 100 + world.nft.weight // 20)
    status = world.run_nft(rest, text, where)
    if status:  # then all that it holds is read again
        shell.spend(world.nft.weight)
    return status


def _firewall_cmd(shell: Interpreter, rest: list[str]) -> Status:
    shell.print(HOLE)
    return shell.state.world.firewalld.run(rest, shell.here())


def _ufw(shell: Interpreter, rest: list[str]) -> Status:
    shell.print(HOLE)
    ufw = shell.state.world.ufw
    shell.spend(1 + len(ufw.kept) // 8)
    return ufw.run(rest, shell.here(), _rest_of_input(shell))


def _rest_of_input(shell: Interpreter) -> str | None:
    source = shell.input
    return None if source.text is None else source.text[source.position :]


def _ipset(shell: Interpreter, rest: list[str]) -> Status:
    world, where = shell.state.world, shell.here()
    verbs = [word for word in rest if word not in ("-exist", "-!", "--exist")]
    if verbs[:1] in (["restore"], ["-R"], ["--restore"]):
        text = _rest_of_input(shell)
        if len(verbs) > 2 and verbs[1] in ("-f", "-file"):
            text = read(shell, verbs[2])
        if text is None:
            return world.ipset.run(["add", HOLE, HOLE], where)
        status: Status = 0
        for line in text.split("\n"):
            words = line.split()
            if words and words[0][:1] != "#" and words[0] not in ("COMMIT", "quit"):
                shell.spend(1)
                exist = ["-exist"] if len(verbs) != len(rest) else []
                status = world.ipset.run([*exist, *words], where)
                if status:
                    return status
        return status
    if any(word in ("list", "-L", "save", "-S") for word in rest):
        shell.print(HOLE)
    return world.ipset.run(rest, where)


def _shell(shell: Interpreter, base: str, rest: list[str]) -> Status:
    """Run sh, bash: a command line or a script."""
    if base == "source" and not shell.bash:
        shell.fail("`source' is not in the language of sh")
    if base == "source":
        return _source(shell, rest)
    bash = base == "bash"
    while rest and re.fullmatch(r"[-+][euxvl]+", rest[0]):
        rest = rest[1:]
    if not rest:
        text = _rest_of_input(shell)
        if text is None:
            shell.fail("what the shell reads is not known")
        return _text(shell, text, [], bash=bash)
    if rest[0] in ("-c", "-ec", "-lc", "-xc"):
        if len(rest) < 2 or has_hole(rest[1:2]):
            shell.fail("the command line of a shell is not known")
        return _text(shell, rest[1], rest[3:], bash=bash)
    return script(shell, rest[0], rest[1:], bash=bash)


def _text(shell: Interpreter, text: str, arguments: list[str], *, bash: bool) -> Status:
    commands = parse(_placed(shell, text), bash=bash)
    return shell.child(_placed(shell, text), commands, arguments)


def _placed(shell: Interpreter, text: str) -> SourceFile:
    where = shell.here()
    shell.spend(1 + (len(text) + where.line) // 2000)
    return placed(text, where)


def script(shell: Interpreter, path: str, arguments: list[str], *, bash: bool | None) -> Status:
    """Run a script that lies in the tree."""
    file = _file(shell, path)
    if file is None:
        shell.fail(f"{_shown(path)} is run and is not in these files")
    if bash is None:
        bash = is_bash(file)
        if bash is None:
            if file.text.startswith("#!") and re.match(r"#!.*\bnft\b", file.text):
                return shell.state.world.run_nft(["-f", file.path], None, shell.here())
            shell.fail(f"{_shown(path)} is run and is not a shell script")
    shell.spend(1 + len(file.text) // 500)
    return shell.child(file, parse(file, bash=bash), arguments)


def is_bash(file: SourceFile) -> bool | None:
    """Tell which shell a script is for by its first line; None if it is for none."""
    first = file.text.split("\n", 1)[0]
    if not first.startswith("#!"):
        return False
    found = re.match(r"#!\s*(?:/\S*/env\s+(?:-S\s+)?)?(?:/?\S*/)?(\w+)", first)
    name = found.group(1) if found else ""
    return {"sh": False, "dash": False, "ash": False, "bash": True}.get(name)


def _file(shell: Interpreter, path: str) -> SourceFile | None:
    """Find a file that a script names; a relative one lies beside the script, or nowhere."""
    if has_hole([path]) or len(path) > 4096:
        return None
    if not path.startswith("/"):
        path = shell.file.path.rpartition("/")[0] + "/" + path.removeprefix("./")
    if shell.tree.status(path) is not FileStatus.FILE:
        return None
    try:
        file = shell.tree.read(path)
    except TreeError:
        return None
    return None if len(file.text) > MAX_TEXT or "\0" in file.text[:512] else file


def _source(shell: Interpreter, rest: list[str]) -> Status:
    """Run `.`: a file in this shell."""
    path = rest[0] if rest else ""
    file = _file(shell, path)
    if file is not None:
        shell.spend(1 + len(file.text) // 500)
        return shell.source(file, parse(file, bash=shell.bash))
    if has_hole([path]) or not (_LIBRARY.fullmatch(path) or _SETTINGS.fullmatch(path)):
        shell.fail(f"{_shown(path)} is read into the script and is not in these files")
    if not _LIBRARY.fullmatch(path):
        shell.assume(f"{path}, which is not in these files, holds settings only")
        state = shell.state
        state.opaque = True
        state.variables = dict.fromkeys(state.variables, HOLE)
    return 0


def _only_looks(base: str, rest: list[str]) -> bool:
    """Tell whether a manager of rules is not told to change them."""
    first = rest[0] if rest else ""
    if base in ("docker", "podman"):
        return first not in ("run", "compose", "network", "start", "restart", "stack")
    return first in ("status", "--version", "--state") or (
        base == "netfilter-persistent" and first == "save"
    )


def _program(shell: Interpreter, name: str, rest: list[str]) -> Status:
    """Run another program: it changes no rules, or that is not known."""
    base = name.rpartition("/")[2]
    if _CHANGES.match(base) and not _only_looks(base, rest):
        shell.fail(f"what {base} does to the ruleset is not read")
    if base in ("service", "rc-service", "invoke-rc.d", "systemctl", "initctl", "start", "stop"):
        services = [word for word in rest if _SERVICES.match(word)]
        world = shell.state.world
        if services and all(one.startswith("firewalld") for one in services):
            if not {"stop", "disable", "mask"}.intersection(rest):
                return world.firewalld.run(["--reload"], shell.here())
            if not world.firewalld.touched:
                return None
        stopped = {"stop", "disable", "mask"}.intersection(rest)
        if services and stopped and not world.touched and all(map(_MANAGERS.match, services)):
            return None  # it has done nothing yet
        if (services and _STARTS.intersection(rest)) or (base == "stop" and services):
            shell.fail(f"a service that changes the ruleset is to {_verb(rest)}")
    elif re.match(r"/etc/(?:rc\.d/)?init\.d/", name) and _SERVICES.match(base):
        if rest[:1] != ["save"]:
            shell.fail(f"a service that changes the ruleset is to {_verb(rest)}")
    elif "/" in name and _file(shell, name) is not None and not name.startswith(_OWN):
        return script(shell, name, rest, bash=None)
    elif name.endswith(".sh") or ("/" in name and _NAMED.search(base)):
        shell.fail(f"{_shown(name)} is run and is not in these files")
    return _harmless(shell, base, rest)


_OWN = ("/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/lib/")


def _verb(rest: list[str]) -> str:
    return next((word for word in rest if word in _STARTS), "run")


# They print nothing that is read.
_SILENT = frozenset(
    ("sleep", "modprobe", "insmod", "depmod", "sysctl", "logger", "clear", "mkdir", "chmod")
)
_RUNNERS = frozenset(
    ("xargs", "parallel", "find", "awk", "perl", "python", "python3", "ssh", "at", "chroot", "ip")
)


_TOOLS = regex(r"(?<!/etc/)(?<!/default/)\b(?:ip6?tables|nft|ufw|firewall-cmd)\b(?![/.])")
# They leave alone the files that they are given.
_READERS = frozenset(
    (
        *("cat", "grep", "egrep", "fgrep", "ls", "stat", "head", "tail", "diff", "cmp", "wc"),
        *("md5sum", "sha256sum", "chown", "chgrp", "file", "tar"),
    )
)
_COPIES = frozenset(("cp", "install", "ln", "rsync", "scp"))  # to the last of their arguments
_SUBSTITUTION = regex(r"s([/|#,])(\^?[^\\.*\[\]^$/|#,]+(?:\.\*)?)\1([^\\&/|#,]*)\1(g?)")


def _writes(shell: Interpreter, base: str, rest: list[str]) -> None:
    """Note what a program does to the files of ufw or firewalld."""
    paths = rest[-1:] if base in _COPIES else rest
    if base == "sed":
        substitutions = [found for found in map(_SUBSTITUTION.fullmatch, rest) if found]
        options = [word for word in rest[: -1 - len(substitutions)] if word != "-e"]
        if not any(word.startswith(("-i", "--in-place")) for word in rest):
            return
        if rest[-1:] == [DEFAULTS] and all(word[:2] == "-i" for word in options):
            changes = [(found[2], found[3], bool(found[4])) for found in substitutions]
            if shell.state.world.ufw.substitute(changes):
                return
    for path in paths:
        shell.state.world.write(path, shell.here())


def _harmless(shell: Interpreter, base: str, rest: list[str]) -> Status:
    """Run a program that has nothing to do with the firewall."""
    if base == "cat":
        texts = [
            _rest_of_input(shell) if path == "-" else read(shell, path)
            for path in (rest or ["-"])
            if not path.startswith("--")
        ]
        shell.print("".join(HOLE if text is None else text for text in texts))
        return 0 if None not in texts else None
    if base == "tee":
        _writes(shell, base, rest)
        text = _rest_of_input(shell)
        shell.print(HOLE if text is None else text)
        return None
    if base == "id" and rest in (["-u"], ["-ru"], ["-un"], ["-nu"]):
        shell.print("0\n" if rest[0] in ("-u", "-ru") else "root\n")
        return 0
    if base == "whoami":
        shell.print("root\n")
        return 0
    if base == "which" or (base == "command" and rest[:1] in (["-v"], ["-V"])):
        return _which(shell, [word for word in rest if not word.startswith("-")])
    if base == "seq" and re.fullmatch(r"\d{1,4}( \d{1,4})?", " ".join(rest)):
        low, high = (1, int(rest[0])) if len(rest) == 1 else (int(rest[0]), int(rest[1]))
        shell.print("".join(f"{number}\n" for number in range(low, high + 1)))
        return 0
    if base == "basename" and len(rest) == 1 and not has_hole(rest):
        shell.print(rest[0].rstrip("/").rpartition("/")[2] + "\n")
        return 0
    if base == "dirname" and len(rest) == 1 and not has_hole(rest):
        shell.print((rest[0].rpartition("/")[0] or ".") + "\n")
        return 0
    if base in _SILENT:
        return None
    if base in _RUNNERS and any(_TOOLS.search(word) for word in rest):
        shell.fail(f"what {base} runs is not known")
    if base not in _READERS:
        _writes(shell, base, rest)
    shell.print(HOLE)
    return None


def _which(shell: Interpreter, names: list[str]) -> Status:
    """Run `which` or `command -v`: the tools of the firewall are installed."""
    status: Status = 0
    for name in names:
        base = name.rpartition("/")[2]
        if IPTABLES.match(base) or _SAVES.match(base) or base in ("nft", "ipset", "sh", "bash"):
            shell.print(f"/usr/sbin/{base}\n")
        else:
            shell.print(HOLE)
            status = None
    return status


# -- builtins ---------------------------------------------------------------------------------


def _leave(kind: str) -> Callable[[Interpreter, list[str]], Status]:
    def leave(shell: Interpreter, rest: list[str]) -> Status:
        given = rest[0] if rest else ""
        if kind in ("break", "continue"):
            levels = int(given) if is_number(given) and len(given) < 3 else 1
            raise Leave(kind, 0, max(levels, 1))  # type: ignore[arg-type]
        status = shell.state.status if not given else None
        if is_number(given) and len(given) < 10:
            status = int(given) & 255
        raise Leave(kind, status)  # type: ignore[arg-type]

    return leave


def _eval(shell: Interpreter, rest: list[str]) -> Status:
    text = " ".join(rest)
    if has_hole([text]):
        shell.fail("what `eval' is given is not known")
    file = _placed(shell, text)
    commands = parse(file, bash=shell.bash)
    shell.calls += 1
    if shell.calls > 20:
        shell.fail("`eval' in `eval' too deeply")
    try:
        return shell.run(commands)
    finally:
        shell.calls -= 1


def _exec(shell: Interpreter, rest: list[str]) -> Status:
    if not rest:
        return 0
    raise Leave("exit", run(shell, rest))


def _trap(shell: Interpreter, rest: list[str]) -> Status:
    ends = {"EXIT", "0", "ERR"} & set(rest[1:])
    words = rest[0].split() if rest else []
    harmless = not words or words[0] in ("-", "echo", "rm", "exit", "kill", "true", ":", "logger")
    if ends and not harmless:
        shell.fail("`trap' runs commands when the script ends")
    return 0


def _let(shell: Interpreter, rest: list[str]) -> Status:
    from sslint.firewalls.scripts.arithmetic import evaluate

    if not shell.bash:
        shell.fail("`let' is not in the language of sh")
    status: Status = 1
    for word in rest:
        value = evaluate(word, shell.parameter, shell.assign)
        status = None if value is None else int(not value)
    return status


def _test(shell: Interpreter, rest: list[str]) -> Status:
    if rest[-1:] != ["]"]:
        return 2
    return builtins.test(shell, rest[:-1])


def _command(shell: Interpreter, rest: list[str]) -> Status:
    return _which(shell, rest[1:]) if rest else 0


def _type(shell: Interpreter, rest: list[str]) -> Status:
    return _which(shell, [word for word in rest if not word.startswith("-")])


def _getopts(shell: Interpreter, rest: list[str]) -> Status:
    if shell.state.arguments:
        shell.fail("`getopts' is not followed")
    return 1


def _nothing(shell: Interpreter, rest: list[str]) -> Status:
    return 0


_TOOLS_READ: dict[str, Callable[[Interpreter, list[str]], Status]] = {
    "nft": _nft,
    "ipset": _ipset,
    "firewall-cmd": _firewall_cmd,
    "ufw": _ufw,
}
_BUILTINS: dict[str, Callable[[Interpreter, list[str]], Status]] = {
    ":": _nothing,
    ".": _source,
    "[": _test,
    "break": _leave("break"),
    "cd": lambda shell, rest: None,
    "command": _command,
    "continue": _leave("continue"),
    "declare": lambda shell, rest: builtins.declare(shell, rest, local=True, export=False),
    "echo": builtins.echo,
    "eval": _eval,
    "exec": _exec,
    "exit": _leave("exit"),
    "export": lambda shell, rest: builtins.declare(shell, rest, local=False, export=True),
    "false": lambda shell, rest: 1,
    "getopts": _getopts,
    "hash": _type,
    "let": _let,
    "local": lambda shell, rest: builtins.declare(shell, rest, local=True, export=False),
    "printf": builtins.printf,
    "read": builtins.read,
    "readonly": lambda shell, rest: builtins.declare(shell, rest, local=False, export=False),
    "return": _leave("return"),
    "set": builtins.set_options,
    "shift": builtins.shift,
    "shopt": _nothing,
    "test": builtins.test,
    "trap": _trap,
    "true": _nothing,
    "type": _type,
    "typeset": lambda shell, rest: builtins.declare(shell, rest, local=True, export=False),
    "ulimit": _nothing,
    "umask": _nothing,
    "unset": builtins.unset,
    "wait": _nothing,
}
