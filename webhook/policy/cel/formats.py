"""CEL's ``format`` library: named formats that say what is wrong with a string.

Source: k8s.io/apiserver ``pkg/cel/library/format.go``, k8s.io/apimachinery ``pkg/api/validation`` and
``pkg/util/validation``, k8s.io/kube-openapi ``pkg/validation/strfmt``. The messages are theirs, as users compare them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from . import urls
from .celtype import NAMED_FORMAT, STRING, list_of, optional_of
from .functions import FunctionError, Opaque, Overload, function

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

_LOWER_CASE = "must consist of lower case alphanumeric characters"
_ENDS = "and must start and end with an alphanumeric character"
_LABEL_RULE = f"a lowercase RFC 1123 label {_LOWER_CASE} or '-', {_ENDS}"
_SUBDOMAIN_RULE = f"a lowercase RFC 1123 subdomain {_LOWER_CASE}, '-' or '.', {_ENDS}"
_LABEL_1035_RULE = (
    f"a DNS-1035 label {_LOWER_CASE} or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_KEY_RULE = f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS}"
_VALUE_RULE = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS}"
)


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _too_long(text: str, limit: int, unit: str) -> list[str]:
    return [f"must be no more than {limit} {unit}"] if len(text.encode()) > limit else []


def _rule(rule: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')"


def _dns1123_label(text: str) -> list[str]:
    errors = _too_long(text, 63, "characters")
    if not _matches(_LABEL, text):
        dotted = _matches(_SUBDOMAIN, text)
        errors.append("must not contain dots" if dotted else _rule(_LABEL_RULE, _LABEL, "my-name", "123-abc"))
    return errors


def _dns1123_subdomain(text: str, unit: str = "characters") -> list[str]:
    valid = _matches(_SUBDOMAIN, text)
    return _too_long(text, 253, unit) + ([] if valid else [_rule(_SUBDOMAIN_RULE, _SUBDOMAIN, "example.com")])


def _dns1035_label(text: str) -> list[str]:
    valid = _matches(_LABEL_1035, text)
    return _too_long(text, 63, "characters") + (
        [] if valid else [_rule(_LABEL_1035_RULE, _LABEL_1035, "my-name", "abc-123")]
    )


def _qualified_name(text: str) -> list[str]:
    rule = _rule(_KEY_RULE, _KEY, "MyName", "my.name", "123-abc")
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    errors: list[str] = []
    if slash:
        found = _dns1123_subdomain(prefix, "bytes") if prefix else ["must be non-empty"]
        errors += [f"prefix part {error}" for error in found]
    if not name:
        errors.append("name part must be non-empty")
    errors += [f"name part {error}" for error in _too_long(name, 63, "bytes")]
    if not _matches(_KEY, name):
        errors.append(f"name part {rule}")
    return errors


def _label_value(text: str) -> list[str]:
    valid = _matches(f"({_KEY})?", text)
    return _too_long(text, 63, "bytes") + (
        [] if valid else [_rule(_VALUE_RULE, f"({_KEY})?", "MyValue", "my_value", "12345")]
    )


def _prefix(validate: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    def validate_prefix(text: str) -> list[str]:
        # A generated name follows, so a dash may come last; Kubernetes puts a letter for the last two characters.
        return validate(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)

    return validate_prefix


def _uri(text: str) -> list[str]:
    try:
        urls.parse_request(text)
    except FunctionError as error:
        return [str(error)]
    return []


def _simple(message: str, test: Callable[[str], bool]) -> Callable[[str], list[str]]:
    return lambda text: [] if test(text) else [message]


def _is_uuid(text: str) -> bool:
    hexadecimal = "[0-9a-fA-F]"
    return _matches("-?".join(f"{hexadecimal}{{{count}}}" for count in (8, 4, 4, 4, 12)), text)


def _is_base64(text: str) -> bool:
    return _matches("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})", text)


def _is_date(text: str) -> bool:
    match = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", text, re.ASCII)
    if match is None:
        return False
    year, month, day = map(int, match.groups())
    try:
        # Go knows the year 0, a leap year as 4 is.
        date(year or 4, month, day)
    except ValueError:
        return False
    return True


_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})(.\d+)?(z|[+-]\d{2}:\d{2})", re.ASCII)


def _is_datetime(text: str) -> bool:
    day, _, rest = text.lower().partition("t")
    match = _TIME.fullmatch(rest.partition("t")[0])
    return _is_date(day) and match is not None and match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


FORMATS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": _dns1123_label,
    "dns1123Subdomain": _dns1123_subdomain,
    "dns1035Label": _dns1035_label,
    "qualifiedName": _qualified_name,
    "dns1123LabelPrefix": _prefix(_dns1123_label),
    "dns1123SubdomainPrefix": _prefix(_dns1123_subdomain),
    "dns1035LabelPrefix": _prefix(_dns1035_label),
    "labelValue": _label_value,
    "uri": _uri,
    "uuid": _simple("does not match the UUID format", _is_uuid),
    "byte": _simple("invalid base64", _is_base64),
    "date": _simple("invalid date", _is_date),
    "datetime": _simple("invalid datetime", _is_datetime),
}
"""What each named format has against a string; nothing where it is valid."""

OPAQUE = Opaque(NAMED_FORMAT, "F", str, str)


def _named(name: str) -> list[str]:
    return [OPAQUE.wrap(name)] if name in FORMATS else []


# The library cannot take an optional from Python, so these give a list, which ``ofNonZeroValue`` makes an optional.
HELPERS = (
    Overload(
        "format_errors",
        (NAMED_FORMAT, STRING),
        list_of(STRING),
        python=lambda name, text: FORMATS[name](text),
    ),
    Overload("format_named", (STRING,), list_of(NAMED_FORMAT), python=_named),
)


def _constant(name: str) -> Callable[[], str]:
    return lambda: name


FUNCTIONS = (
    *(
        function(f"format.{name}", Overload(f"format_{name}", (), NAMED_FORMAT, python=_constant(name)))
        for name in FORMATS
    ),
    function(
        "format.named",
        Overload("format-named", (STRING,), optional_of(NAMED_FORMAT), cel="format_named(a0)[?0]"),
    ),
    function(
        "validate",
        Overload(
            "format-validate",
            (NAMED_FORMAT, STRING),
            optional_of(list_of(STRING)),
            member=True,
            cel="optional.ofNonZeroValue(format_errors(a0, a1))",
        ),
    ),
)
