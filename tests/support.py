"""What several test folders need: the shipped policies, the data beside the repository, the laws of a patch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from webhook.adapters import policy_files
from webhook.engine.decision import Decision
from webhook.engine.ruleset import Ruleset

REPOSITORY = Path(__file__).resolve().parent.parent
POLICIES = REPOSITORY / "policies"
SHARED = REPOSITORY.parent / "shared"


def shared(folder: str) -> Path:
    """A folder of recorded data beside the repository; skips where it is not there."""
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(
            f"needs the recorded data in ../shared/{folder}, which is not there", allow_module_level=True
        )
    return path


@cache
def shipped_ruleset() -> Ruleset:
    """The policies that come with gpuward."""
    loaded = policy_files.load(POLICIES)
    assert loaded.ruleset is not None, "\n".join(map(str, loaded.problems))
    return loaded.ruleset


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value in a JSON tree that is neither a map nor a list, nor null, with its path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, (*path, index))
    elif node is not None:
        yield path, node


def assert_patch_is_sound(original: dict[str, Any], decision: Decision) -> dict[str, Any]:
    """The patch applies (RFC 6902), gives the decision's object, and leaves every value of the user's where it was."""
    before = copy.deepcopy(original)
    after: dict[str, Any] = jsonpatch.apply_patch(original, copy.deepcopy(list(decision.patch)))
    assert original == before, "the original was changed"
    assert after == decision.object
    changed = dict(leaves(after))
    for path, value in leaves(before):
        assert changed.get(path) == value, f"a value of the user's changed at {path}"
    return after
