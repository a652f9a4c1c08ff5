"""What the parameters of all mutations share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Strict:
    """Parameters, or a part of them: unknown fields are errors, docstrings of fields their descriptions."""

    # Read by pydantic where it validates policy files. A plain map, so that a mutation needs no pydantic.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}
