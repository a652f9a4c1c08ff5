"""How checks put values into sentences: bounded and on one line, whatever the user wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from webhook.kube.pod import Container

# Names in Kubernetes have 63 characters at most; image references are longer, and their start tells most.
_LONGEST: Final = 63
_MOST_LISTED: Final = 4


def short(value: Any) -> str:
    """A value as it may stand in a sentence: cut where it is long, without line breaks and the like."""
    if type(value) is str and len(value) <= _LONGEST and value.isprintable():
        return value
    if type(value) is dict:
        return "a map"
    if type(value) is list:
        return "a list"
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int and value.bit_length() > 64:
        return "a huge number"
    cut = str(value)[: _LONGEST + 1]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else "?" for c in cut)
    return cut if len(cut) <= _LONGEST else cut[: _LONGEST - 3] + "..."


def container_called(container: Container) -> str:
    """``container "train"``: how every message names a container."""
    return f'container "{short(container.name)}"'


def listed(words: Iterable[str], conjunction: str = "and") -> str:
    """``a, b and c``; where there are many, ``a, b, c and 7 more``."""
    shown = [short(word) for word in words]
    if len(shown) > _MOST_LISTED:
        left = len(shown) - _MOST_LISTED + 1
        shown[_MOST_LISTED - 1 :] = [f"{left} more"]
        conjunction = "and"
    return f" {conjunction} ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def plural(words: Sequence[Any], one: str, many: str) -> str:
    """The form of a noun that goes with so many words."""
    return one if len(words) == 1 else many


def number(value: Decimal) -> str:
    """A count without superfluous zeros: ``8``, ``0.5``."""
    return f"{value.normalize():f}" if -9 < value.adjusted() < 18 else short(value)
