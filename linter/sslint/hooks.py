"""What a renewal hook does: which services its shell commands certainly reload, start or stop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from sslint.regex import regex
from sslint.servers import servers
from sslint.values import dataclass, field

MAX_TEXT = 65536
MAX_VALUES = 32  # of one variable
_RELOAD = frozenset(
    [
        "reload",
        "restart",
        "force-reload",
        "try-restart",
        "condrestart",
        "reload-or-restart",
        "try-reload-or-restart",
        "reload-or-try-restart",
    ]
)
_START, _STOP = frozenset({"start"}), frozenset({"stop", "disable", "quit"})
_MANAGERS = frozenset({"systemctl", "service", "rc-service", "invoke-rc.d", "deb-systemd-invoke"})
_PREFIXES = frozenset(
    {"sudo", "env", "exec", "command", "nice", "ionice", "timeout", "nohup", "time"}
    | {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "("}
)
# Commands that a hook may use without doing anything that matters here.
_HARMLESS = frozenset(
    """
    fi for done case esac exit true false : return echo printf logger set export local umask
    test [ [[ cd sleep cp mv ln rm install chmod chown cat mkdir date basename dirname readlink
    certbot unset shift read tee openssl grep perl } )
    """.split()
)
_VARIABLE = regex(r"\$(?:\{(\w+)\}|(\w+))")
_ASSIGNMENT = regex(r"^\w+\+?=")
_HEREDOC = regex(r"<<-?\s*(['\"]?)(\w+)\1")
_SHELL = regex(r"^#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?\S*?(?:ba|da|k|z|a)?sh\b")


@dataclass(slots=True)
class Effect:
    """What a script does to servers, by name. `opaque`: it also does what is not seen here."""

    reloads: set[str] = field(default_factory=set)
    starts: set[str] = field(default_factory=set)
    stops: set[str] = field(default_factory=set)
    opaque: bool = False


def effect(text: str) -> Effect:
    """Return what a hook's command or script does."""
    found = Effect()
    if text.startswith("#!") and not _SHELL.match(text):
        found.opaque = True
        return found
    found.opaque = len(text) > MAX_TEXT
    variables: dict[str, list[str]] = {}
    for words in _commands(text[:MAX_TEXT]):
        _command(words, variables, found)
    return found


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command; comments and here-documents left out."""
    import shlex

    for line in _lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words: list[str] = []
        try:
            for token in lexer:
                if token and set(token) <= set(";&|"):
                    yield words
                    words = []
                elif token.startswith("#"):
                    break
                else:
                    words.append(token)
        except ValueError:  # a quote that the line leaves open: nothing is certain
            words = ["?"]
        yield words


def _lines(text: str) -> Iterator[str]:
    end: str | None = None
    for line in text.replace("\\\n", " ").splitlines():
        if end is not None:
            end = None if line.strip() == end else end
            continue
        match = _HEREDOC.search(line)
        if match:
            end = match.group(2)
            line = line[: match.start()]
        yield line


def _command(words: list[str], variables: dict[str, list[str]], found: Effect) -> None:
    while words and (words[0] in _PREFIXES or _ASSIGNMENT.match(words[0])):
        name, assigns, value = words[0].partition("=")
        if assigns:
            variables[name] = value.split()
        words = words[1:]
    if not words:
        return
    if words[0] == "for" and words[2:3] == ["in"]:
        variables[words[1]] = words[3:]
        return
    if words[0].endswith("()"):  # the head of a function
        words = words[1:]
        if words:
            _command(words, variables, found)
        return
    _run(words[0], [w for word in words[1:] for w in _expand(word, variables)], found)


def _run(path: str, words: list[str], found: Effect) -> None:
    """Note what a program does that is told these words."""
    name = path.rsplit("/", 1)[-1]
    if path.startswith(("/etc/init.d/", "/etc/rc.d/")):
        _apply(words, [name], found)
    elif name in _MANAGERS:
        _apply(words, words, found)
    elif name in (programs := _control()):
        server, option = programs[name]
        at = next((i for i, word in enumerate(words) if option and word.startswith(option)), None)
        if not option:
            _note(words, {server}, found)
        elif at is not None:  # `-s reload`, `-sreload`
            _note([words[at].removeprefix(option), *words[at + 1 :]], {server}, found)
    elif name in ("kill", "pkill", "killall"):
        hup = any(w in ("-HUP", "-1", "-SIGHUP", "HUP") for w in words)
        if hup:
            _apply(["reload"], [w.rsplit("/", 1)[-1].removesuffix(".pid)") for w in words], found)
        found.opaque |= not hup
    elif name not in _HARMLESS:
        found.opaque = True


def _expand(word: str, variables: dict[str, list[str]]) -> list[str]:
    match = _VARIABLE.search(word)
    if match is None:
        return [word]
    values = variables.get(match.group(1) or match.group(2))
    if values is None or len(values) > MAX_VALUES:
        return [word]
    return [word[: match.start()] + value + word[match.end() :] for value in values]


@cache
def _control() -> dict[str, tuple[str, str]]:
    """Return the programs that tell a server what to do: its name, the option before the verb."""
    texts = [(text.partition(" "), one.name) for one in servers() for text in one.control]
    return {program: (name, option) for (program, _, option), name in texts}


@cache
def _services() -> dict[str, str]:
    """Return the servers by their units."""
    return {unit: one.name for one in servers() for unit in one.units}


@cache
def _reload() -> frozenset[str]:
    return _RELOAD.union(word for one in servers() for word in one.reloads)


def _apply(words: Iterable[str], units: Iterable[str], found: Effect) -> None:
    """Note what the verb among `words` does to the services among `units`."""
    names = {unit.removesuffix(".service").partition("@")[0].rstrip("*") for unit in units}
    known = _services()
    if any("$" in name for name in names) and _reload().intersection(words):
        found.opaque = True
    _note(words, {known[name] for name in names if name in known}, found)


def _note(words: Iterable[str], services: set[str], found: Effect) -> None:
    verbs = {word for word in words if not word.startswith("-")}
    if verbs & _reload():
        found.reloads |= services
    elif verbs & _START:
        found.starts |= services
    elif verbs & _STOP:
        found.stops |= services
