"""Pods for the tests of checks: a minimal one that breaks no rule, to be tweaked, and how to judge it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.kube import accelerators
from webhook.kube.accelerators import Catalog, catalog_from_documents
from webhook.kube.path import render
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject
from webhook.policy.findings import Violation
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.validation import validate_parameters

# What a check said of a pod: the reason and the path, as the user sees it.
Said = list[tuple[str, str]]

DIGEST = "sha256:" + "0123456789abcdef" * 4

# Values of the wrong type for any field, for tests that nothing crashes on them.
JUNK: tuple[Any, ...] = (None, True, 0, -1.5, "", "junk", [], ["junk", None, {}], {}, {"junk": []})


@cache
def catalog() -> Catalog:
    """The catalog that is shipped."""
    file = Path(accelerators.__file__).with_suffix(".yaml")
    return catalog_from_documents([yaml.safe_load(file.read_text())])


def container(name: str = "train", **fields: Any) -> JSONObject:
    """A container that breaks no rule, with fields set, or left out where given as None."""
    made = {
        "name": name,
        "image": "ghcr.io/org/app:1.2",
        "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
        "securityContext": {"capabilities": {"drop": ["ALL"]}},
        **fields,
    }
    return {key: value for key, value in made.items() if value is not None}


def spec(*containers: JSONObject, **fields: Any) -> JSONObject:
    """The spec of a pod that breaks no rule, with these containers in place of its own, and fields set."""
    return {"containers": list(containers) or [container()], **fields}


def limits(**quantities: Any) -> JSONObject:
    """``resources`` with limits; ``gpu`` stands for nvidia.com/gpu."""
    return {"limits": _named(quantities)}


def requests(**quantities: Any) -> JSONObject:
    """``resources`` with requests."""
    return {"requests": _named(quantities)}


def _named(quantities: JSONObject) -> JSONObject:
    return {"nvidia.com/gpu" if key == "gpu" else key: value for key, value in quantities.items()}


def violations(
    check: type[Check],
    pod_spec: Any,
    parameters: JSONObject | None = None,
    metadata: JSONObject | None = None,
) -> list[Violation]:
    """What a check finds in a pod with this spec; ``parameters`` as a policy file gives them."""
    return list(compiled(check, parameters)(Pod(metadata or {}, pod_spec, catalog())))


def judge(
    check: type[Check],
    pod_spec: Any,
    parameters: JSONObject | None = None,
    metadata: JSONObject | None = None,
) -> Said:
    """As ``violations``: reasons and rendered paths only."""
    return [(v.reason, render(v.path)) for v in violations(check, pod_spec, parameters, metadata)]


def compiled(check: type[Check], parameters: JSONObject | None = None) -> Check:
    """The check with these parameters, read as a policy file is."""
    return check(validate_parameters(check, parameters or {}, ("parameters",)), Context(catalog()))


def refused(check: type[Check], parameters: JSONObject) -> ParameterError:
    """The error with which a check refuses its parameters."""
    with pytest.raises(ParameterError) as caught:
        compiled(check, parameters)
    return caught.value


def table(cases: dict[str, tuple[Any, ...]], names: str) -> Callable[[Any], Any]:
    """Parametrize a test by a table of cases with readable ids."""
    assert all(len(row) == names.count(",") + 1 for row in cases.values())
    return pytest.mark.parametrize(names.split(", "), list(cases.values()), ids=list(cases))
