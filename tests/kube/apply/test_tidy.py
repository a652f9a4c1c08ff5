"""Empty maps and lists that a mutation leaves."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.kube.apply import of, tidied
from webhook.kube.gvk import POD


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"metadata": {}}, {"metadata": {"labels": {}}}, {"metadata": {}}, id="a-map"),
        pytest.param(
            {"spec": {}},
            {"spec": {"tolerations": [], "volumes": [{"name": "a", "emptyDir": {}}]}},
            {"spec": {"volumes": [{"name": "a", "emptyDir": {}}]}},
            id="a-list-but-no-structure",
        ),
        pytest.param(
            {"spec": {"containers": [{"name": "a", "env": []}]}},
            {"spec": {"containers": [{"name": "a", "env": []}, {"name": "b", "env": []}]}},
            {"spec": {"containers": [{"name": "a", "env": []}, {"name": "b"}]}},
            id="in-new-items-only",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "b"}}},
            {"metadata": {"labels": {}}},
            {"metadata": {}},
            id="emptied",
        ),
        pytest.param({}, {"unknown": {"x": []}}, {"unknown": {"x": []}}, id="not-the-unknown"),
    ],
)
def test_empty_maps_and_lists_that_are_new_are_dropped(before: Any, after: Any, expected: Any) -> None:
    shared = before.get("spec", {}).get("containers")
    if shared:
        after["spec"]["containers"][0] = shared[0]

    assert tidied(before, after, of(POD)) == expected


def test_what_has_nothing_empty_is_the_same() -> None:
    after = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a"}]}}

    assert tidied({"metadata": {}}, after, of(POD)) is after
