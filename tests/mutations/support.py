"""How mutations are tested: a minimal pod to tweak, a way to run them, and the laws that hold for each
run."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from webhook.kube import accelerators
from webhook.kube.accelerators import Catalog, catalog_from_documents
from webhook.kube.gvk import parse_api_version
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject
from webhook.kube.workloads import find_pods
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.validation import validate_parameters

# What the claims of the tests' pods are for: a GPU, a network device that is no accelerator; others are not
# known.
DEVICE_CLASSES: Mapping[str, tuple[str, ...]] = {
    "one-gpu": ("gpu.nvidia.com",),
    "fast-network": ("nic.example.com",),
}


@cache
def catalog() -> Catalog:
    """The catalog that is shipped."""
    file = Path(accelerators.__file__).with_suffix(".yaml")
    return catalog_from_documents([yaml.safe_load(file.read_text())])


def compiled(mutation: type[Mutation], parameters: JSONObject | None = None) -> Mutation:
    """The mutation with these parameters, read as a policy file is."""
    return mutation(validate_parameters(mutation, parameters or {}, ("parameters",)), Context(catalog()))


def refused(mutation: type[Mutation], parameters: JSONObject) -> ParameterError:
    """The error with which a mutation refuses its parameters."""
    with pytest.raises(ParameterError) as caught:
        compiled(mutation, parameters)
    return caught.value


def run(mutations: Sequence[Mutation], obj: JSONObject) -> Draft:
    """Run mutations one after the other on every pod of an object, as the engine does."""
    draft = Draft(obj)
    for mutation in mutations:
        for pod in pods_of(draft.object):
            mutation(pod, draft)
    return draft


def pods_of(obj: JSONObject) -> tuple[Pod, ...]:
    """The pods that stand in the object as they are."""
    return tuple(pod for pod in _described(obj) if pod.root is obj)


def mutable(obj: JSONObject) -> list[JSONObject]:
    """What mutations may be run on for an object: itself, and the pods put together from pieces of it."""
    # Through JSON, as one piece can stand in two places, where a patch applied in place would change both.
    apart = [json.loads(json.dumps(pod.root)) for pod in _described(obj) if pod.root is not obj]
    found = [{"apiVersion": "v1", "kind": "Pod", **root} for root in apart]
    return [obj, *found] if pods_of(obj) else found


def _described(obj: JSONObject) -> tuple[Pod, ...]:
    return find_pods(parse_api_version(obj["apiVersion"], obj["kind"]), obj, catalog(), DEVICE_CLASSES)


def mutate(mutation: Mutation, obj: JSONObject) -> JSONObject:
    """The object after a mutation, having checked the laws that hold for every mutation and every object."""
    return check_laws([mutation], obj)


def check_laws(mutations: Sequence[Mutation], obj: JSONObject) -> JSONObject:
    """The patch applies, gives the object, is the same on JSON that was just read; a second run changes
    nothing."""
    before = copy.deepcopy(obj)
    draft = run(mutations, obj)
    assert obj == before, "the original was changed"
    operations = json.loads(json.dumps(draft.operations))
    assert jsonpatch.apply_patch(copy.deepcopy(before), operations) == draft.object
    result: JSONObject = json.loads(json.dumps(draft.object))
    again = run(mutations, result)
    assert again.operations == [], "a second run changes something"
    return result


def keeps(before: Any, after: Any) -> bool:
    """Whether everything that was set is still there: same values, list items in the same order, null for
    nothing."""
    if isinstance(before, dict):
        return isinstance(after, dict) and all(
            value is None or (key in after and keeps(value, after[key])) for key, value in before.items()
        )
    if isinstance(before, list):
        if not isinstance(after, list):
            return False
        rest = iter(after)
        return all(any(keeps(item, candidate) for candidate in rest) for item in before)
    return before is None or (type(before) is type(after) and bool(before == after))


def pod(*containers: JSONObject, metadata: JSONObject | None = None, **spec: Any) -> JSONObject:
    """A minimal pod with these containers (one without resources, where none are given) and fields of the
    spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train", **(metadata or {})},
        "spec": {"containers": list(containers) or [container()], **spec},
    }


def container(name: str = "main", **fields: Any) -> JSONObject:
    return {"name": name, "image": "ghcr.io/org/app:1.2", **fields}


def gpu_container(
    name: str = "main", count: Any = "1", resource: str = "nvidia.com/gpu", **fields: Any
) -> JSONObject:
    return container(name, resources={"limits": {resource: count}}, **fields)


def deployment(of: JSONObject) -> JSONObject:
    """A Deployment whose template is that pod."""
    template = {"metadata": of["metadata"], "spec": of["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": template},
    }


def table(cases: Mapping[str, tuple[Any, ...]], names: str) -> Callable[[Any], Any]:
    """Parametrize a test by a table of cases with readable ids."""
    assert all(len(row) == names.count(",") + 1 for row in cases.values())
    return pytest.mark.parametrize(names.split(", "), list(cases.values()), ids=list(cases))
