"""The rule engine: rules are data, facts are objects, and this matches one with the other.

It knows no server and no format. `language` has the conditions, `words` fills what a rule says,
`loader` makes rules of documents, and `causes` runs them and orders what they find.
"""

from __future__ import annotations

from sslint.engine.causes import Finding, line_of, merge_twins, order_causes, run
from sslint.engine.language import Fact, Many, Span, Subject
from sslint.engine.loader import (
    MAX_RULE,
    OWN,
    SEVERITIES,
    Rule,
    Severity,
    bundled,
    compile_rule,
    load,
    select,
)
from sslint.engine.words import described, enumerated, fill, placeholders

__all__ = [
    "MAX_RULE",
    "OWN",
    "SEVERITIES",
    "Fact",
    "Finding",
    "Many",
    "Rule",
    "Severity",
    "Span",
    "Subject",
    "bundled",
    "compile_rule",
    "described",
    "enumerated",
    "fill",
    "line_of",
    "load",
    "merge_twins",
    "order_causes",
    "placeholders",
    "run",
    "select",
]
