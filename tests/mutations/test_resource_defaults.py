"""resource-defaults: what is open is filled in, what stands is respected, and the API server accepts the
result."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mutations.support import (
    compiled,
    container,
    deployment,
    gpu_container,
    mutate,
    pod,
    refused,
    table,
)
from tests.strategies import plausible_pods
from webhook.kube.quantity import parse_quantity
from webhook.kube.shape import JSONObject
from webhook.mutations.resource_defaults import ResourceDefaults

FLAT = {"cpu": "2", "memory": "8Gi"}
SIDES = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
SCALED = {**FLAT, "perAccelerator": {"cpu": "8", "memory": "64Gi"}}


def resources(of: JSONObject | None, parameters: JSONObject, **spec: Any) -> Any:
    """The resources of the only container after the mutation."""
    one = container() if of is None else container(resources=of)
    return mutate(compiled(ResourceDefaults, parameters), pod(one, **spec))["spec"]["containers"][0].get(
        "resources"
    )


BOTH_FLAT = {"limits": {"cpu": "2", "memory": "8Gi"}, "requests": {"cpu": "2", "memory": "8Gi"}}


@table(
    {
        "nothing said": (None, FLAT, BOTH_FLAT),
        "null": ({"limits": None, "requests": {"cpu": None}}, FLAT, BOTH_FLAT),
        "two sides": (None, SIDES, {"limits": SIDES["limits"], "requests": SIDES["requests"]}),
        "a side overrides the flat value": (
            None,
            {"cpu": "2", "requests": {"cpu": "1"}},
            {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}},
        ),
        "requests only": (None, {"requests": {"cpu": "1"}}, {"requests": {"cpu": "1"}}),
        "limits only, so Kubernetes makes it the request": (
            None,
            {"limits": {"cpu": "1"}},
            {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
        ),
        "numbers instead of text": (None, {"cpu": 2}, {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}),
        "ephemeral storage": (
            None,
            {"ephemeral-storage": "10Gi"},
            {"limits": {"ephemeral-storage": "10Gi"}, "requests": {"ephemeral-storage": "10Gi"}},
        ),
        "one resource given": (
            {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
            FLAT,
            {"limits": {"cpu": "1", "memory": "8Gi"}, "requests": {"cpu": "1", "memory": "8Gi"}},
        ),
        "limit given: it is the request, not the default": (
            {"limits": {"cpu": "500m", "memory": "32Gi"}},
            SIDES,
            {"limits": {"cpu": "500m", "memory": "32Gi"}, "requests": {"cpu": "500m", "memory": "32Gi"}},
        ),
        "request given, below the default limit": (
            {"requests": {"cpu": "1", "memory": "1Gi"}},
            SIDES,
            {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": SIDES["limits"]},
        ),
        "request given, above the default limit": (
            {"requests": {"cpu": 16, "memory": "1e12"}},
            SIDES,
            {"requests": {"cpu": 16, "memory": "1e12"}, "limits": {"cpu": 16, "memory": "1e12"}},
        ),
        "request given, equal in another unit": (
            {"requests": {"cpu": "2000m"}},
            {"limits": {"cpu": "2"}},
            {"requests": {"cpu": "2000m"}, "limits": {"cpu": "2"}},
        ),
        "request that is no quantity": (
            {"requests": {"cpu": "lots"}},
            {"cpu": "2"},
            {"requests": {"cpu": "lots"}},
        ),
        "limit that is no quantity": ({"limits": {"cpu": "lots"}}, {"cpu": "2"}, {"limits": {"cpu": "lots"}}),
        "resources of the wrong type": ("lots", FLAT, "lots"),
        "without parameters, requests from limits only": (
            {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}},
            {},
            {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi", "cpu": "1"}},
        ),
        "requests from limits switched off": (
            {"limits": {"cpu": "1"}},
            {**FLAT, "requestsFromLimits": False},
            {"limits": {"cpu": "1", "memory": "8Gi"}, "requests": {"memory": "8Gi"}},
        ),
    },
    "given, parameters, expected",
)
def test_absent_values_are_filled_in(given: Any, parameters: JSONObject, expected: Any) -> None:
    assert resources(given, parameters) == expected


@table(
    {
        "one": ({"limits": {"nvidia.com/gpu": "1"}}, SCALED, "8", "64Gi"),
        "eight": ({"limits": {"nvidia.com/gpu": 8}}, SCALED, "64", "512Gi"),
        "requested only": ({"requests": {"nvidia.com/gpu": "2"}}, SCALED, "16", "128Gi"),
        "of two kinds": ({"limits": {"nvidia.com/gpu": "1", "amd.com/gpu": "2"}}, SCALED, "24", "192Gi"),
        "MIG slices": ({"limits": {"nvidia.com/mig-1g.5gb": "2"}}, SCALED, "16", "128Gi"),
        "zero": ({"limits": {"nvidia.com/gpu": "0"}}, SCALED, "2", "8Gi"),
        "a resource that is not named falls back": (
            {"limits": {"nvidia.com/gpu": "4"}},
            {**FLAT, "perAccelerator": {"cpu": "8"}},
            "32",
            "8Gi",
        ),
        "fractions": (
            {"limits": {"nvidia.com/gpu": "3"}},
            {"perAccelerator": {"cpu": "1500m", "memory": "1.5Gi"}},
            "4500m",
            "4.5Gi",
        ),
    },
    "given, parameters, cpu, memory",
)
def test_values_are_scaled_by_the_accelerators(
    given: JSONObject, parameters: JSONObject, cpu: str, memory: str
) -> None:
    found = resources(given, parameters)
    for side in ("limits", "requests"):
        assert (found[side]["cpu"], found[side]["memory"]) == (cpu, memory)


def test_each_container_is_scaled_by_its_own() -> None:
    obj = pod(
        gpu_container("train", count=2),
        container("exporter"),
        initContainers=[gpu_container("warm-up"), container("sidecar", restartPolicy="Always")],
        ephemeralContainers=[container("debug")],
    )
    spec = mutate(compiled(ResourceDefaults, SCALED), obj)["spec"]
    cpus = {c["name"]: c["resources"]["limits"]["cpu"] for c in spec["containers"] + spec["initContainers"]}
    assert cpus == {"train": "16", "exporter": "2", "warm-up": "8", "sidecar": "2"}
    assert "resources" not in spec["ephemeralContainers"][0]


@table(
    {
        "a GPU": ("one-gpu", "8"),
        "of an unknown class": ("unknown", "8"),
        "a network device": ("fast-network", "2"),
    },
    "template, cpu",
)
def test_a_claim_counts_as_one_accelerator_for_the_container_that_uses_it(template: str, cpu: str) -> None:
    obj = pod(
        container("train", resources={"claims": [{"name": "dev"}]}),
        container("exporter"),
        resourceClaims=[{"name": "dev", "resourceClaimTemplateName": template}],
    )
    train, exporter = mutate(compiled(ResourceDefaults, SCALED), obj)["spec"]["containers"]
    assert train["resources"]["limits"]["cpu"] == cpu
    assert train["resources"]["claims"] == [{"name": "dev"}]
    assert exporter["resources"]["limits"]["cpu"] == "2"


@table(
    {
        "more than any node has": ("10001",),
        "far more": ("1e999",),
    },
    "count",
)
def test_an_absurd_count_multiplies_nothing(count: str) -> None:
    found = resources({"limits": {"nvidia.com/gpu": count}}, SCALED)
    assert set(found["limits"]) == {"nvidia.com/gpu"}


@table(
    {
        "a limit of the pod": ({"limits": {"cpu": "4"}},),
        "a request of the pod": ({"requests": {"cpu": "4"}},),
    },
    "whole",
)
def test_a_resource_given_for_the_whole_pod_is_left_to_it(whole: JSONObject) -> None:
    assert resources(None, FLAT, resources=whole) == {
        "limits": {"memory": "8Gi"},
        "requests": {"memory": "8Gi"},
    }
    assert resources({"limits": {"cpu": "1"}}, {"cpu": "2"}, resources=whole) == {"limits": {"cpu": "1"}}


@table(
    {
        "GPU request": ({"requests": {"nvidia.com/gpu": 2}}, {"limits": {"nvidia.com/gpu": 2}}),
        "GPU limit": ({"limits": {"nvidia.com/gpu": "2"}}, {"requests": {"nvidia.com/gpu": "2"}}),
        "RDMA request": ({"requests": {"rdma/hca": "1"}}, {"limits": {"rdma/hca": "1"}}),
        "huge pages request": ({"requests": {"hugepages-2Mi": "4Mi"}}, {"limits": {"hugepages-2Mi": "4Mi"}}),
        "native request": ({"requests": {"cpu": "1"}}, {}),
        "native limit": ({"limits": {"cpu": "1"}}, {}),
        "different ones are the API server's to refuse": (
            {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}},
            {},
        ),
        "no number": ({"requests": {"nvidia.com/gpu": "some"}}, {}),
    },
    "given, added",
)
def test_extended_resources_get_equal_request_and_limit(given: JSONObject, added: JSONObject) -> None:
    assert resources(given, {"requestsFromLimits": False}) == given | added


def test_an_extended_resource_can_come_by_default() -> None:
    found = resources({"limits": {"nvidia.com/gpu": 2}}, {"perAccelerator": {"requests": {"rdma/hca": 1}}})
    assert found["limits"]["rdma/hca"] == found["requests"]["rdma/hca"] == "2"


def test_windows_pods_get_them_too() -> None:
    assert resources(None, FLAT, os={"name": "windows"}) == BOTH_FLAT


def test_a_container_that_says_everything_is_untouched() -> None:
    obj = pod(container(resources=BOTH_FLAT))
    assert mutate(compiled(ResourceDefaults, SCALED), obj) == obj


def test_a_template_gets_them_too() -> None:
    template = mutate(compiled(ResourceDefaults, FLAT), deployment(pod()))["spec"]["template"]
    assert template["spec"]["containers"][0]["resources"] == BOTH_FLAT


QUANTITIES = st.sampled_from(["100m", "1", "3", "0.5", "64Mi", "2Gi", "1e9"])


def broken(container: JSONObject) -> set[tuple[str, str]]:
    """What the API server would refuse of a container's resources (validateResourceRequirements)."""
    found = container.get("resources") or {}
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    problems: set[tuple[str, str]] = set()
    for name, request in requests.items():
        equal = "/" in name or name.startswith("hugepages-")
        if name not in limits:
            if equal:
                problems.add((name, "limit must be set"))
        elif parse_quantity(request) > parse_quantity(limits[name]):
            problems.add((name, "request above limit"))
        elif equal and parse_quantity(request) != parse_quantity(limits[name]):
            problems.add((name, "must be equal"))
    return problems


@settings(deadline=None)
@given(
    obj=plausible_pods(),
    requests=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES),
    limits=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES),
    each=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES),
)
def test_no_default_makes_a_pod_invalid(obj: JSONObject, requests: Any, limits: Any, each: Any) -> None:
    """Whatever the policy and the pod, what the API server refuses afterwards it refused before."""
    requests = {
        name: request
        for name, request in requests.items()
        if name not in limits or parse_quantity(request) <= parse_quantity(limits[name])
    }
    rule = compiled(ResourceDefaults, {"requests": requests, "limits": limits, "perAccelerator": each})
    after = mutate(rule, obj)
    for kind in ("containers", "initContainers"):
        for before, mutated in zip(obj["spec"].get(kind, ()), after["spec"].get(kind, ()), strict=True):
            assert broken(mutated) <= broken(before)
    whole = (obj["spec"].get("resources") or {}).get("limits") or {}
    for before, mutated in zip(obj["spec"]["containers"], after["spec"]["containers"], strict=True):
        own = (before.get("resources") or {}).get("limits") or {}
        for name in (mutated.get("resources") or {}).get("limits") or {}:
            if name in whole and name not in own:
                # Only an extended resource, whose limit is the container's own request.
                assert "/" in name or name.startswith("hugepages-")


@table(
    {
        "no quantity": ({"cpu": "lots"}, "cpu", "not a quantity"),
        "negative": ({"requests": {"cpu": "-1"}}, "requests.cpu", "negative"),
        "a limit of zero": ({"memory": "0"}, "memory", "more than zero"),
        "in perAccelerator": (
            {"perAccelerator": {"limits": {"cpu": "x"}}},
            "perAccelerator.limits.cpu",
            "not a quantity",
        ),
        "request above limit": (
            {"cpu": "2", "requests": {"cpu": "4"}},
            "requests.cpu",
            "more than the default limit",
        ),
        "request above limit per accelerator": (
            {"perAccelerator": {"requests": {"cpu": "4"}, "limits": {"cpu": "2"}}},
            "perAccelerator.requests.cpu",
            "more than the default limit",
        ),
        "a misspelt resource": ({"limits": {"memroy": "1Gi"}}, "limits.memroy", 'did you mean "memory"'),
        "an accelerator": (
            {"limits": {"nvidia.com/gpu": 1}},
            "limits[nvidia.com/gpu]",
            "never given by default",
        ),
        "a MIG slice": (
            {"requests": {"nvidia.com/mig-1g.5gb": 1}},
            "requests[nvidia.com/mig-1g.5gb]",
            "never given",
        ),
        "an extended resource of two sizes": (
            {"requests": {"rdma/hca": 1}, "limits": {"rdma/hca": 2}},
            "requests[rdma/hca]",
            "must be equal",
        ),
        "half a device": ({"limits": {"rdma/hca": "500m"}}, "limits[rdma/hca]", "whole numbers"),
    },
    "parameters, field, says",
)
def test_defaults_that_cannot_be_meant_are_refused(parameters: JSONObject, field: str, says: str) -> None:
    error = refused(ResourceDefaults, parameters)
    assert error.field == field
    assert says in str(error)
