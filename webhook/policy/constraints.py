"""What a field of a document may be, beyond its type: written in ``Annotated``, as those of ``annotated_types`` are.

One definition for both who read it: ``reader``, which asks ``accepts``, and pydantic, which takes the constraint over
into its own schema. They are our own because importing annotated_types takes longer than reading a policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class Constraint:
    """One bound on a value. ``accepts`` is asked only of values that have the type of the field."""

    keyword: ClassVar[str]
    """What pydantic's schemas call it."""

    def __init__(self, bound: Any) -> None:
        self.bound = bound

    def accepts(self, value: Any) -> bool:
        """Whether the value keeps within it."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: dict[str, Any] = {**handler(source), self.keyword: self.bound}
        return schema


class MinLen(Constraint):
    """At least so many characters or entries."""

    keyword = "min_length"

    def accepts(self, value: Sized) -> bool:
        return bool(len(value) >= self.bound)


class MaxLen(Constraint):
    """At most so many characters or entries."""

    keyword = "max_length"

    def accepts(self, value: Sized) -> bool:
        return bool(len(value) <= self.bound)


class Ge(Constraint):
    """A number not below this one."""

    keyword = "ge"

    def accepts(self, value: float) -> bool:
        return bool(value >= self.bound)


class Le(Constraint):
    """A number not above this one."""

    keyword = "le"

    def accepts(self, value: float) -> bool:
        return bool(value <= self.bound)


class Pattern(Constraint):
    """A text that a regular expression matches, from ``^`` to ``$``: JSON Schema shows it as it is."""

    keyword = "pattern"

    def __init__(self, bound: str) -> None:
        if not (bound.startswith("^") and bound.endswith("$")):
            raise ValueError(f"a pattern is of the whole text, from ^ to $, not {bound}")
        super().__init__(bound)

    def accepts(self, value: str) -> bool:
        return self._match(value) is not None

    @cached_property
    def _match(self) -> Callable[[str], re.Match[str] | None]:
        # To pydantic and JSON Schema $ is the end of the text; Python's would let a line break follow.
        return re.compile(self.bound[:-1] + r"\Z").match
