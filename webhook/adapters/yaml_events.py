"""The parser under our YAML reading: events, from the C library where it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from webhook.adapters.yaml_scalars import Scalar, convert, resolve, unsupported_tag

try:
    from yaml._yaml import CParser as Parser
except ImportError:  # PyYAML without libyaml: slower, the same events
    from yaml import SafeLoader as Parser  # type: ignore[assignment]  # used for its events alone

_CORE: Final = "tag:yaml.org,2002:"


class RefusedError(ValueError):
    """What the grammar allows and JSON or kubectl does not. ``mark`` has the line and column, from 0."""

    def __init__(self, message: str, mark: Any) -> None:
        super().__init__(message)
        self.mark = mark


def events(text: str) -> Iterator[Any]:
    """The events of a text (``yaml.events``), each with its marks.

    Raises:
        yaml.YAMLError: from the iterator, where the text stops to be YAML.
    """
    parser: Any = Parser(text)
    while (event := parser.get_event()) is not None:
        yield event


def scalar_of(event: Any) -> Scalar:
    """The value of a scalar event.

    Raises:
        RefusedError: its tag is not of the core schema or does not fit it, or JSON cannot say it.
    """
    tag = event.tag
    try:
        if tag is None:
            # implicit[0]: nothing stands against giving a plain scalar the type it looks like.
            return resolve(event.value) if event.implicit[0] else str(event.value)
        if tag == "!":
            return str(event.value)
        return convert(event.value, _short(tag))
    except ValueError as error:
        raise RefusedError(str(error), event.start_mark) from None


def check_collection_tag(event: Any, expected: str) -> None:
    """Refuse a map or a list with a tag of another type.

    Raises:
        RefusedError: it has one.
    """
    if event.tag not in (None, "!", _CORE + expected):
        raise RefusedError(unsupported_tag(_short(event.tag)), event.start_mark)


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
