"""The tokens still to be read, those of included files among them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container
from typing import NoReturn

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables.datatypes import number
from sslint.firewalls.nftables.script import Script
from sslint.firewalls.nftables.tokens import tokens_of
from sslint.regex import is_number
from sslint.source import Location, SourceFile
from sslint.values import dataclass

MAX_INSERTED = 1_000_000  # tokens of all included files
MAX_TOKENS = 8_000_000
MAX_MOVED = 500_000_000  # tokens that make room for included ones

# Words that the scanner knows wherever they stand, so that no name or constant may be one.
RESERVED = frozenset(
    """
    include define redefine undefine describe hook device devices table chain rule set element
    map vmap flowtable handle ruleset socket tproxy accept drop continue jump goto return inet
    netdev bridge add replace update create insert delete get list flush rename import export
    monitor position index comment constant interval dynamic auto-merge timeout gc-interval
    elements expires policy flow offload meter counter log queue limit quota hour day reject
    masquerade th type typeof time priority flags mark iif iifname iiftype oif oifname oiftype
    skuid skgid nftrace rtclassid ibriport ibrname obriport obrname pkttype cpu iifgroup
    oifgroup cgroup meta ct numgen jhash symhash dup fwd fib osf synproxy notrack all exthdr
    ipsec secmark xt
    """.split()
)
_NO_NAMES = RESERVED | frozenset(
    """
    destroy ip ip6 arp ether vlan tcp udp udplite icmp icmpv6 igmp esp ah comp dccp sctp snat
    dnat redirect rt hbh frag dst mh exists missing random reset size
    """.split()
)

_STRUCTURE = frozenset(("{", "}", "(", ")", "\n", ";", ",", ":", ".", "$", "@"))


@dataclass(frozen=True, slots=True)
class Grammar:
    """What parts of the grammar need that are read before it: it is recursive."""

    counting: Callable[[Cursor], tuple[str, bool | None]]
    inner_chain: Callable[[Cursor], str]


class Cursor:
    """A position in the tokens. An included file's tokens are put in where they are included.

    Every file has a range of offsets of its own, so that one number says file and place.
    """

    def __init__(self, file: SourceFile, script: Script, grammar: Grammar) -> None:
        self.script = script
        self.grammar = grammar
        self.tokens, self.starts = tokens_of(file)
        if len(self.tokens) > MAX_TOKENS:
            raise RulesetError("the file is too large", file.span(0))
        self.position = 0
        self._files: list[SourceFile] = [file]
        self._bases: list[int] = [0]
        self._end = len(file.text) + 1
        self._moved = 0
        self._inserted = 0

    def insert(self, file: SourceFile) -> int:
        """Put a file's tokens before the next one. Return how many there are."""
        tokens, starts = tokens_of(file)
        if len(self.tokens) + len(tokens) > MAX_TOKENS:
            raise RulesetError("the included files are too large", file.span(0))
        self._inserted += len(tokens)
        if self._inserted > MAX_INSERTED:
            raise RulesetError("the included files are too large", file.span(0))
        del tokens[-2:], starts[-2:]
        self._moved += len(self.tokens) - self.position
        if self._moved > MAX_MOVED:
            raise RulesetError("too many includes in too large a file", file.span(0))
        base = self._end
        self._files.append(file)
        self._bases.append(base)
        self._end = base + len(file.text) + 1
        self.tokens[self.position : self.position] = tokens
        self.starts[self.position : self.position] = [base + start for start in starts]
        return len(tokens)

    def file_of(self, offset: int) -> tuple[SourceFile, int]:
        """Return the file an offset lies in, and the offset in it."""
        index = bisect_right(self._bases, offset) - 1
        return self._files[index], offset - self._bases[index]

    def span(self, first: int, last: int) -> Location:
        """Return the location of the tokens `first` to `last` (both included)."""
        file, start = self.file_of(self.starts[first])
        end_file, end = self.file_of(self.starts[last])
        if end_file is not file:
            return file.span(start)
        return file.span(start, end + len(self.tokens[last]))

    def here(self) -> Location:
        """Return the location of the next token."""
        return self.span(self.position, self.position)

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        """Raise RulesetError at a token, the next one by default."""
        at = self.position if position is None else position
        raise RulesetError(reason, self.span(at, at))

    def unexpected(self) -> NoReturn:
        """Raise the syntax error for the next token."""
        lexeme = self.tokens[self.position]
        shown = {"\n": "newline", "": "end of file"}.get(lexeme, lexeme)
        self.fail(f"syntax error, unexpected {shown}")

    def take(self, lexeme: str) -> bool:
        """Read the token if it is the next one."""
        if self.tokens[self.position] == lexeme:
            self.position += 1
            return True
        return False

    def expect(self, lexeme: str) -> None:
        """Read the token. Raise RulesetError if another is next."""
        if self.tokens[self.position] != lexeme:
            self.unexpected()
        self.position += 1

    def identifier(self) -> str:
        """Read the name of a table, chain, set or object; iptables' own may be any word."""
        lexeme = self.tokens[self.position]
        if self.script.listing and lexeme and lexeme not in _STRUCTURE:
            self.position += 1
            return lexeme
        if lexeme in _NO_NAMES:
            self.unexpected()
        return self.word()

    def word(self) -> str:
        """Read an identifier. Raise RulesetError if something else is next."""
        lexeme = self.tokens[self.position]
        if (
            not (lexeme[:1].isalpha() or (lexeme[:1] in "_." and len(lexeme) > 1))
            or lexeme[-1] == "*"
        ):
            self.unexpected()
        self.position += 1
        return lexeme

    def choice(self, words: Container[str]) -> str:
        """Read one of some words. Raise RulesetError if another is next."""
        lexeme = self.word()
        if lexeme not in words:
            self.position -= 1
            self.unexpected()
        return lexeme

    def named(self) -> tuple[str, Location]:
        """Read the name of a table, chain, set or object, and where it stands."""
        start = self.position
        return self.identifier(), self.span(start, start)

    def string(self) -> str:
        """Read a word or a quoted string, without its quotes."""
        lexeme = self.tokens[self.position]
        if lexeme[:1] == '"':
            self.position += 1
            return lexeme[1:-1]
        if (lexeme[-1:] == "*" and len(lexeme) > 1) or lexeme[:2] == "\\*":
            self.position += 1
            return lexeme
        if is_number(lexeme[:1]) and not is_number(lexeme):  # an address, a time
            self.position += 1
            return lexeme
        return self.word()

    def number(self) -> int:
        """Read a number. Raise RulesetError if something else is next."""
        value = number(self.tokens[self.position])
        if value is None:
            self.unexpected()
        self.position += 1
        return value

    def separator(self) -> None:
        """Read the line feed or semicolon that ends a statement."""
        if self.tokens[self.position] not in ("\n", ";"):
            self.unexpected()
        self.position += 1
