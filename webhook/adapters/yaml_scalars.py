"""What an unquoted word in YAML means, as kubectl reads it.

kubectl turns manifests into JSON with sigs.k8s.io/yaml: YAML 1.1 booleans, octal numbers, no sexagesimal
ones, timestamps stay text. Then whole floats lose their fraction, as Go writes them to JSON without one.
Source: sigs.k8s.io/yaml ``goyaml.v2/resolve.go`` (resolve) and ``yaml.go`` (convertToJSONableObject).
"""

from __future__ import annotations

import re
from typing import Final

Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}

# What JSON cannot say.
_NOT_FINITE: Final = frozenset(
    sign + word for word in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")
) | frozenset((".nan", ".NaN", ".NAN"))

_NUMBER_STARTS: Final = frozenset("+-.0123456789")

_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)"
    r"|(?P<dec>0|[1-9][0-9]*))",
    re.ASCII,
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_UINT64_MAX: Final = 2**64 - 1

_LONGEST_INT64: Final = 20

# The digits of the largest integer there is (0b and 64 of them), and some; longer ones are floats or no
# numbers.
_LONGEST_INTEGER: Final = 70


def resolve(word: str) -> Scalar:
    """The value of a plain (unquoted, untagged) scalar.

    Raises:
        ValueError: it is an infinity or not a number, which JSON has no word for.
    """
    if word in _WORDS:
        return _WORDS[word]
    if word[0] not in _NUMBER_STARTS:
        return word
    if word in _NOT_FINITE:
        raise ValueError(f"JSON has no word for {word}; put it in quotes if it is text")
    # Go removes the underscores of numbers, but not of those that start with a point.
    plain = word if word[0] == "." else word.replace("_", "")
    if len(plain) <= _LONGEST_INTEGER and (match := _INTEGER.fullmatch(plain)):
        integer = _integer(match)
        if _INT64_MIN <= integer <= _INT64_MAX or (integer <= _UINT64_MAX and not match["sign"]):
            return integer
    if _FLOAT.fullmatch(plain):
        number = json_number(float(plain))
        return word if number is None else number
    return word


def convert(word: str, tag: str) -> Scalar:
    """The value of a scalar with an explicit tag, ``!!str`` and the like, quoted or not.

    Raises:
        ValueError: the tag is none of the core schema, or the word is nothing of the kind.
    """
    if tag in ("!!str", "!!timestamp"):
        return word
    if tag not in _KINDS:
        raise ValueError(unsupported_tag(tag))
    value = resolve(word)
    if type(value) not in _KINDS[tag]:
        raise ValueError(f'"{word[:60]}" is no {tag}')
    return value


def unsupported_tag(tag: str) -> str:
    """What to say about a tag that JSON has nothing for."""
    return f"the tag {tag} is not supported: there are maps, lists, text, numbers, booleans and null"


_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "!!null": (type(None),),
    "!!bool": (bool,),
    "!!int": (int,),
    "!!float": (float, int),
}


def _integer(match: re.Match[str]) -> int:
    for name, base in (("dec", 10), ("oct", 8), ("hex", 16), ("bin", 2)):
        if match[name] is not None:
            return int(match["sign"] + match[name], base)
    raise AssertionError("one of the alternatives matched")


def json_number(number: float) -> int | float | None:
    """A float as it arrives at the API server: whole ones as integers. None for one that is out of range."""
    if number in (float("inf"), float("-inf")):
        return None
    if number.is_integer() and _INT64_MIN <= number <= _INT64_MAX:
        return int(number)
    return number


def json_integer(digits: str) -> int | float | None:
    """An integer as the API server reads it: a float where it needs more than 64 bits. None out of range."""
    if len(digits) <= _LONGEST_INT64 and _INT64_MIN <= (integer := int(digits)) <= _UINT64_MAX:
        return integer
    return json_number(float(digits))


def key_text(scalar: Scalar) -> str | None:
    """A map key as JSON has it: text. None for a null key, which kubectl refuses."""
    if isinstance(scalar, str):
        return scalar
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    return None if scalar is None else str(scalar)
