"""The edge of a reader: whatever goes wrong inside, the run goes on and says what is not known."""

from __future__ import annotations

import os
from types import TracebackType

from sslint.budgets import ExhaustedError, begin, end, shortage
from sslint.errors import SslintError
from sslint.reasons import Code
from sslint.source import Location
from sslint.tree import Tree


class Edge:
    """Take an unexpected error of one reader for "not understood", with its place.

    `reason` says afterwards why the layer is unknown, "" if it is known, and `code` of what kind
    that is. With SSLINT_DEBUG an unexpected error goes on, so that tests fail on it.
    """

    def __init__(self, tree: Tree, layer: str, path: str) -> None:
        self._tree = tree
        self._layer = layer
        self._path = path
        self.reason = ""
        self.code = Code.LIMIT
        self.location: Location | None = None

    def __enter__(self) -> Edge:
        self._token = begin(self._tree.budgets)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        end(self._token)
        if error is None or isinstance(error, SslintError):
            return False
        if isinstance(error, ExhaustedError):
            self.reason, self.location = str(error), error.location
        elif short := shortage(error):
            self.reason = short
            self._tree.budgets.refused += 1
        elif not isinstance(error, Exception) or os.environ.get("SSLINT_DEBUG"):
            return False
        else:
            self.code = Code.BUG
            self.reason = (
                f"cannot be analysed: {_origin(error)}; this is a bug in sslint, report it"
            )
        said = f"{self._layer} {self.reason}"
        self._tree.problem(self.location or self._place(), said, code=self.code)
        return True

    def _place(self) -> str:
        """Return the file that was read last, below the reader's own path if there is one."""
        read = [file.path for file in self._tree.files()]
        own = [path for path in read if path.startswith(self._path)]
        return (own or [self._path])[-1]


def _origin(error: Exception) -> str:
    """Return the kind of an error and where it arose; its text may quote the input."""
    trace = error.__traceback__
    where = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if f"{os.sep}sslint{os.sep}" in code.co_filename:
            where = f" in {os.path.basename(code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{where}"
