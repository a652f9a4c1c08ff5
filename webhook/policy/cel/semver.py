"""CEL's ``semver`` library: semantic versions.

Source: k8s.io/apiserver ``pkg/cel/library/semverlib.go`` and semver.org 2.0.0, as github.com/blang/semver reads it.
"""

from __future__ import annotations

import re

import msgspec

from .celtype import BOOL, INT, SEMVER, STRING
from .functions import FunctionError, Opaque, Overload, function

_UINT64_MAX = 2**64 - 1
_NUMBER = r"0|[1-9][0-9]*"
_VERSION = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


class Version(msgspec.Struct, frozen=True):
    """A version without its build metadata, which takes no part in comparison."""

    major: int
    minor: int
    patch: int
    pre: tuple[int | str, ...]

    def order(self) -> tuple[object, ...]:
        """A sort key: a release comes after its pre-releases, numbers before words."""
        pre = tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in self.pre)
        return (self.major, self.minor, self.patch, not self.pre, pre)


def parse(text: str) -> Version:
    """A version from its text.

    Raises:
        FunctionError: not a semantic version.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise FunctionError(f"{text!r} is not a semantic version; write MAJOR.MINOR.PATCH, such as 1.2.3")
    pre: list[int | str] = []
    for part in (match["pre"] or "").split("."):
        if part.isdigit():
            if len(part) > 1 and part[0] == "0":
                raise FunctionError(f"{text!r} is not a semantic version: {part!r} has a leading zero")
            pre.append(_number(part, text))
        elif part:
            pre.append(part)
    major, minor, patch = (_number(match[name], text) for name in ("major", "minor", "patch"))
    return Version(major, minor, patch, tuple(pre))


def _number(digits: str, text: str) -> int:
    number = int(digits) if len(digits) <= 20 else _UINT64_MAX + 1
    if number > _UINT64_MAX:
        raise FunctionError(f"{text!r} is not a semantic version: {digits} is too large")
    return number


def parse_normalized(text: str, normalize: bool) -> Version:
    """A version from its text; normalised, a leading v, missing minor and patch and leading zeros are forgiven.

    Raises:
        FunctionError: not a version.
    """
    if not normalize:
        return parse(text)
    parts = [_strip_zeros(part) for part in text.removeprefix("v").split(".", 2)]
    if len(parts) < 3 and any(sign in parts[-1] for sign in "+-"):
        raise FunctionError("short version cannot contain PreRelease/Build meta data")
    return parse(".".join(parts + ["0"] * (3 - len(parts))))


def _strip_zeros(part: str) -> str:
    if len(part) < 2:
        return part
    stripped = part.lstrip("0")
    return stripped if stripped[:1] in tuple("0123456789") else "0" + stripped


def _encode(version: Version) -> str:
    core = f"{version.major}.{version.minor}.{version.patch}"
    return core + ("-" + ".".join(map(str, version.pre)) if version.pre else "")


OPAQUE = Opaque(SEMVER, "V", _encode, parse)


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse_normalized(text, normalize)
    except FunctionError:
        return False
    return True


def _compare(left: Version, right: Version) -> int:
    a, b = left.order(), right.order()
    return (a > b) - (a < b)


def _int64(number: int) -> int:
    # Kubernetes casts a uint64 to an int64 here.
    return number - 2**64 if number >= 2**63 else number


FUNCTIONS = (
    function(
        "semver",
        Overload("string_to_semver", (STRING,), SEMVER, python=parse),
        Overload("string_bool_to_semver", (STRING, BOOL), SEMVER, python=parse_normalized),
    ),
    function(
        "isSemver",
        Overload("is_semver_string", (STRING,), BOOL, python=_is_semver),
        Overload("is_semver_string_bool", (STRING, BOOL), BOOL, python=_is_semver),
    ),
    function(
        "major", Overload("semver_major", (SEMVER,), INT, member=True, python=lambda v: _int64(v.major))
    ),
    function(
        "minor", Overload("semver_minor", (SEMVER,), INT, member=True, python=lambda v: _int64(v.minor))
    ),
    function(
        "patch", Overload("semver_patch", (SEMVER,), INT, member=True, python=lambda v: _int64(v.patch))
    ),
)

COMPARISONS = {
    "isGreaterThan": Overload(
        "semver_is_greater_than", (SEMVER, SEMVER), BOOL, member=True, python=lambda a, b: _compare(a, b) > 0
    ),
    "isLessThan": Overload(
        "semver_is_less_than", (SEMVER, SEMVER), BOOL, member=True, python=lambda a, b: _compare(a, b) < 0
    ),
    "compareTo": Overload("semver_compare_to", (SEMVER, SEMVER), INT, member=True, python=_compare),
}
"""Overloads of functions that another library shares; ``library`` puts them together."""
