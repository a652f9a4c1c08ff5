"""CEL's ``find`` and ``findAll``. Both Kubernetes and the library match by RE2, so the library does the matching.

Source: k8s.io/apiserver ``pkg/cel/library/regex.go``.

The library's own ``regex.extract`` gives a group rather than the match, and its ``regex.extractAll`` leaves out empty
matches. Its ``regex.replace`` sees every match as Go's does, so each match is put between two NULs, which no string of
an object or expression contains, and the text is split there: what stands at odd places is the matches.
"""

from __future__ import annotations

from .celtype import INT, STRING, list_of
from .functions import Overload, function

_PARTS = r"regex.replace(a0, a1, '\x00\\0\x00', {limit}).split('\x00')"
_ALL_PARTS = _PARTS.format(limit=-1)


def _matches(parts: list[str], limit: int = -1) -> list[str]:
    matches = parts[1::2]
    return matches if limit < 0 else matches[:limit]


HELPERS = (
    # A comprehension would copy its result for every match, and the library's own limit repeats empty matches.
    Overload("matches_in", (list_of(STRING),), list_of(STRING), python=_matches),
    Overload("first_matches_in", (list_of(STRING), INT), list_of(STRING), python=_matches),
)

FUNCTIONS = (
    function(
        "find",
        Overload(
            "string_find_string",
            (STRING, STRING),
            STRING,
            member=True,
            # Without a match there is one part, and the first of the two added stands second.
            cel=f"({_PARTS.format(limit=1)} + ['', ''])[1]",
        ),
    ),
    function(
        "findAll",
        Overload(
            "string_find_all_string",
            (STRING, STRING),
            list_of(STRING),
            member=True,
            cel=f"matches_in({_ALL_PARTS})",
        ),
        Overload(
            "string_find_all_string_int",
            (STRING, STRING, INT),
            list_of(STRING),
            member=True,
            cel=f"first_matches_in({_ALL_PARTS}, a2)",
        ),
    ),
)

PATTERN_ARGUMENTS = {"matches": 1, "find": 1, "findAll": 1}
"""The functions that take a regular expression, and which operand it is (the target is operand 0)."""
