"""Keys and values of labels and the like, as the API server takes them."""

from __future__ import annotations

import pytest

from webhook.kube.names import (
    annotation_key_problem,
    label_key_problem,
    label_value_problem,
    variable_name_problem,
)

# The longest prefix there can be: DNS names have 253 characters, and their parts here no bound of their own.
LONGEST_PREFIX = f"{'a' * 200}.{'b' * 52}"

KEYS = {
    "team": True,
    "T": True,
    "a_b.c-d": True,
    "n" * 63: True,
    "n" * 64: False,
    "example.com/team": True,
    "nvidia.com/gpu.present": True,
    f"{LONGEST_PREFIX}/team": True,
    f"{LONGEST_PREFIX}c/team": False,
    "": False,
    "/team": False,
    "example.com/": False,
    "a/b/c": False,
    "my team": False,
    "-team": False,
    "team-": False,
    "Example.com/team": False,
    "example..com/team": False,
    "-example.com/team": False,
    "exa_mple.com/team": False,
    "team\n": False,
    "t\u00e9am": False,
}


@pytest.mark.parametrize(("key", "valid"), KEYS.items(), ids=lambda value: str(value)[:20])
def test_label_keys(key: str, valid: bool) -> None:
    assert (label_key_problem(key) is None) is valid


def test_what_is_wrong_with_a_label_key_is_said() -> None:
    assert "example.com/team" in (label_key_problem("a b/team") or "")
    assert "63" in (label_key_problem("n" * 64) or "")


def test_annotation_keys_may_have_upper_case_prefixes() -> None:
    assert annotation_key_problem("Example.com/Team") is None
    assert annotation_key_problem("a/b/c") is not None


@pytest.mark.parametrize(
    ("value", "valid"),
    [("", True), ("v" * 63, True), ("v" * 64, False), ("two words", False), ("a_b", True), ("-a", False)],
)
def test_label_values(value: str, valid: bool) -> None:
    assert (label_value_problem(value) is None) is valid


@pytest.mark.parametrize(
    ("name", "valid"),
    [("NCCL_DEBUG", True), ("a.b", True), ("1A", False), (".", False), ("..a", False), ("A B", False)],
)
def test_variable_names(name: str, valid: bool) -> None:
    assert (variable_name_problem(name) is None) is valid
