"""Shell text inside other files: a Vagrantfile's inline provisioning, cloud-init's user data."""

from __future__ import annotations

import re

from sslint.firewalls.scripts.partial import HOLE
from sslint.regex import regex
from sslint.source import SourceFile

# `config.vm.provision "shell", inline: <<-SHELL` (Ruby), up to the line with its word.
_WORD = r"<<[-~]?([\"']?)([A-Z_a-z]\w{0,40})\1"
_INLINE = regex(rf"\binline:[ \t]{{0,20}}{_WORD}")
_VARIABLE = regex(rf"^[ \t]{{0,40}}[$@]?\w{{1,40}}[ \t]{{0,9}}=[ \t]{{0,9}}{_WORD}", re.M)
_RUBY = regex(r"#\{[^{}\n]{0,200}\}")  # a value that Ruby fills in
_RUN = regex(r"^(?:runcmd|bootcmd):[ \t]*$", re.M)
MAX_YAML = 1 << 17  # characters


def shell_of(file: SourceFile) -> SourceFile | None:
    """Return the shell commands of a file that is no script, with their line numbers.

    None for a file that holds none.
    """
    name = file.path.rpartition("/")[2]
    if name == "Vagrantfile":
        lines = _vagrant(file)
    elif file.text.startswith("#cloud-config"):
        lines = _cloud(file)
    else:
        return None
    if not lines:
        return None
    text = [""] * (max(lines) + 1)
    for number, line in lines.items():
        text[number - 1] = line
    return SourceFile(file.path, file.name, "\n".join(text))


def _vagrant(file: SourceFile) -> dict[int, str]:
    """Return the lines of here-documents that are provisioning, by number."""
    found: dict[int, str] = {}
    lines = file.text.split("\n")
    starts = [*_INLINE.finditer(file.text), *_VARIABLE.finditer(file.text)]
    for start in sorted(starts, key=lambda match: match.start()):
        end_word = start[2]
        first = file.text.count("\n", 0, start.end()) + 1
        for number in range(first, len(lines)):
            if lines[number].strip() == end_word:
                break
            found[number + 1] = _RUBY.sub(HOLE, lines[number].strip())
    return found


def _cloud(file: SourceFile) -> dict[int, str]:
    """Return the commands of runcmd and bootcmd, by the line they stand on (cloud-init(1))."""
    import yaml

    found: dict[int, str] = {}
    if _RUN.search(file.text) is None or len(file.text) > MAX_YAML:
        return found
    try:
        document = yaml.compose(file.text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return found
    if not isinstance(document, yaml.MappingNode):
        return found
    for key, value in document.value:
        if key.value not in ("runcmd", "bootcmd") or not isinstance(value, yaml.SequenceNode):
            continue
        for item in value.value:
            line = item.start_mark.line + 1
            if isinstance(item, yaml.ScalarNode):
                block = item.style in ("|", ">")
                for offset, text in enumerate(str(item.value).split("\n")):
                    found[line + offset + block] = text
            elif isinstance(item, yaml.SequenceNode):
                found[line] = " ".join(_quoted(str(word.value)) for word in item.value)
    return found


def _quoted(word: str) -> str:
    if re.fullmatch(r"[\w./:=,@%+-]+", word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"
