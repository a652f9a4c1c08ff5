"""What is left of a document when its mistakes of form are taken out, so that the rest can be looked at as well.

An author who misspelt a field and a rule is to be told of both at once. The result is for finding further problems,
never for use.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from webhook.kube.path import MISSING, Path, lookup
from webhook.policy.model import API_VERSION, Policy
from webhook.policy.problems import InvalidPolicy, Problem
from webhook.policy.validation import validate_policy

# In the place of an entry of a list, so that those after it keep their numbers.
_GONE: Final = object()

# What stands in for a field that is required and not there: whichever its type takes.
_FILLERS: Final[tuple[Any, ...]] = ("x", {}, [])

# For a policy that has no good rule left: one that has nothing wrong with it.
_STAND_IN: Final = {"expression": "true"}

# Each round takes out at least one thing or fills one in; documents with more mistakes than this wait for the next try.
_ROUNDS: Final = 20


class Remains:
    """The good parts of a policy document. ``policy`` is None where there are not enough of them."""

    def __init__(self, document: Any, problems: Sequence[Problem]) -> None:
        """``problems`` are those that the validation of ``document`` has found."""
        self._document = copy.deepcopy(document)
        self._filled: dict[Path, int] = {}
        self.removed: set[Path] = set()
        self.policy: Policy | None = None
        for _ in range(_ROUNDS):
            for problem in problems:
                self._mend(problem.path)
            if () in self.removed:
                return
            try:
                self.policy = validate_policy(self._pruned())
            except InvalidPolicy as invalid:
                problems = [Problem(self.original(problem.path), "") for problem in invalid.problems]
            else:
                return

    def original(self, path: Path) -> Path:
        """Where something in ``policy`` stands in the document."""
        found: Path = ()
        for segment in path:
            holder = lookup(self._document, found)
            if type(holder) is list and type(segment) is int:
                kept = [i for i, item in enumerate(holder) if item is not _GONE]
                found += (kept[segment] if segment < len(kept) else segment,)
            else:
                found += (segment,)
        return found

    def is_consequence(self, path: Path) -> bool:
        """Whether a problem at this place of the document comes of what was taken out or filled in."""
        for gone in (*self.removed, *self._filled):
            holder = gone[:-1]
            if path[: len(gone)] == gone or (path[: len(holder)], path[len(holder) :][:1]) == (
                holder,
                ("parameters",),
            ):
                return True
        return False

    def _mend(self, path: Path) -> None:
        if path in self._filled or (path and lookup(self._document, path) is MISSING):
            self._fill(path)
        else:
            self._remove(path)

    def _fill(self, path: Path) -> None:
        attempt = self._filled.get(path, 0)
        holder = lookup(self._document, path[:-1])
        if attempt == len(_FILLERS) or type(holder) is not dict:
            self._remove(path[:-1])
            return
        holder[path[-1]] = copy.copy(_FILLERS[attempt])
        self._filled[path] = attempt + 1

    def _remove(self, path: Path) -> None:
        self.removed.add(path)
        holder = lookup(self._document, path[:-1]) if path else None
        if type(holder) is dict:
            holder.pop(path[-1], None)
        elif type(holder) is list and type(path[-1]) is int and path[-1] < len(holder):
            holder[path[-1]] = _GONE

    def _pruned(self) -> Any:
        pruned = _without_gone(self._document)
        if type(pruned) is dict:
            pruned |= {"apiVersion": API_VERSION, "kind": "Policy"}
            spec = pruned.get("spec")
            if type(spec) is dict and not spec.get("mutate") and not spec.get("validate"):
                spec["validate"] = [_STAND_IN]
        return pruned


def _without_gone(value: Any) -> Any:
    if type(value) is dict:
        return {key: _without_gone(item) for key, item in value.items()}
    if type(value) is list:
        return [_without_gone(item) for item in value if item is not _GONE]
    return value
