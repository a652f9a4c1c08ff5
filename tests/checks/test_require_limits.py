"""require-limits: every container has limits, said once for each container with all that is missing."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.require_limits import RequireLimits

from .pods import JUNK, Said, container, judge, refused, spec, table, violations

LIMITS = "spec.containers[0].resources.limits"
REQUESTS = "spec.containers[0].resources.requests"
MISSING: Said = [("limit-missing", LIMITS)]

ONE_CONTAINER: dict[str, tuple[Any, Said]] = {
    "both limits": ({"limits": {"cpu": "1", "memory": "2Gi"}}, []),
    "numbers as YAML gives them": ({"limits": {"cpu": 2, "memory": 2e9}}, []),
    "a fraction": ({"limits": {"cpu": "500m", "memory": "1.5Gi"}}, []),
    "no memory": ({"limits": {"cpu": "1"}}, MISSING),
    "no cpu": ({"limits": {"memory": "2Gi"}}, MISSING),
    "neither": ({"limits": {}}, MISSING),
    "requests only": ({"requests": {"cpu": "1", "memory": "2Gi"}}, MISSING),
    "no resources": (None, MISSING),
    "zero is unlimited": ({"limits": {"cpu": "0", "memory": "2Gi"}}, MISSING),
    "zero with a unit": ({"limits": {"cpu": "0m", "memory": "2Gi"}}, MISSING),
    "zero as a number": ({"limits": {"cpu": 0, "memory": "2Gi"}}, MISSING),
    "negative": ({"limits": {"cpu": "-1", "memory": "2Gi"}}, MISSING),
    "malformed quantity": ({"limits": {"cpu": "1", "memory": "2 GB"}}, MISSING),
    "null": ({"limits": {"cpu": None, "memory": "2Gi"}}, MISSING),
    "true": ({"limits": {"cpu": True, "memory": "2Gi"}}, MISSING),
    "a list": ({"limits": {"cpu": ["1"], "memory": "2Gi"}}, MISSING),
    "a quantity of a megabyte": ({"limits": {"cpu": "1" * 1_000_000, "memory": "2Gi"}}, MISSING),
}


@table(ONE_CONTAINER, "resources, said")
def test_each_named_resource_needs_a_limit_above_zero(resources: Any, said: Said) -> None:
    assert judge(RequireLimits, spec(container(resources=resources))) == said


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("field", ["resources", "limits"])
def test_what_is_no_map_holds_no_limits(field: str, junk: Any) -> None:
    resources = junk if field == "resources" else {"limits": junk}
    assert judge(RequireLimits, spec({"name": "train", "resources": resources})) == MISSING


@pytest.mark.parametrize("list_name", ["initContainers", "containers"])
@pytest.mark.parametrize("restart_policy", [None, "Always"])
def test_init_containers_sidecars_and_regular_ones_are_judged(list_name: str, restart_policy: Any) -> None:
    bare = container("bare", resources=None, restartPolicy=restart_policy)
    pod = {"containers": [container()]}
    pod[list_name] = [container("first"), bare]
    assert judge(RequireLimits, pod) == [("limit-missing", f"spec.{list_name}[1].resources.limits")]


def test_ephemeral_containers_can_have_no_limits_and_need_none() -> None:
    assert judge(RequireLimits, spec(ephemeralContainers=[{"name": "debug", "image": "busybox"}])) == []


def test_every_container_that_lacks_limits_is_named() -> None:
    pod = spec(container("a", resources=None), container("b"), container("c", resources=None))
    assert judge(RequireLimits, pod) == [
        ("limit-missing", "spec.containers[0].resources.limits"),
        ("limit-missing", "spec.containers[2].resources.limits"),
    ]


MESSAGES: dict[str, tuple[Any, str]] = {
    "nothing there": (
        None,
        'container "train" has no limits for cpu and memory; add resources.limits: {cpu: "1", memory: 2Gi}',
    ),
    "one there": (
        {"limits": {"nvidia.com/gpu": 1, "cpu": "4"}},
        'container "train" has no limit for memory; add to resources.limits: {memory: 2Gi}',
    ),
    "zero": (
        {"limits": {"cpu": "4", "memory": "0"}},
        (
            'container "train" has no limit for memory (memory: "0" does not count); '
            "write in resources.limits: {memory: 2Gi}"
        ),
    ),
    "never below the user's own request": (
        {"requests": {"cpu": "6", "memory": "64Gi"}},
        'container "train" has no limits for cpu and memory; add resources.limits: {cpu: "6", memory: 64Gi}',
    ),
}


@table(MESSAGES, "resources, message")
def test_the_message_names_all_that_is_missing_and_what_to_write(resources: Any, message: str) -> None:
    assert [v.message for v in violations(RequireLimits, spec(container(resources=resources)))] == [message]


POD_LEVEL: dict[str, tuple[Any, Said]] = {
    "limits of the pod count for its containers": ({"limits": {"cpu": "4", "memory": "8Gi"}}, []),
    "only for the resources they name": ({"limits": {"cpu": "4"}}, MISSING),
    "zero does not count": ({"limits": {"cpu": "0", "memory": "0"}}, MISSING),
    "requests of the pod are no limits": ({"requests": {"cpu": "4", "memory": "8Gi"}}, MISSING),
    "junk": ("junk", MISSING),
}


@table(POD_LEVEL, "resources, said")
def test_pod_level_limits_stand_in_for_those_of_containers(resources: Any, said: Said) -> None:
    assert judge(RequireLimits, spec(container(resources=None), resources=resources)) == said


def test_pod_level_and_container_limits_add_to_each_other() -> None:
    pod = spec(
        container("a", resources={"limits": {"memory": "1Gi"}}),
        container("b", resources=None),
        resources={"limits": {"cpu": "4"}},
    )
    said = violations(RequireLimits, pod)
    assert [v.message for v in said] == [
        'container "b" has no limit for memory; add resources.limits: {memory: 2Gi}'
    ]


REQUESTED: dict[str, tuple[Any, Said]] = {
    "a request": ({"requests": {"cpu": "100m"}}, []),
    "a limit implies it": ({"limits": {"cpu": "1"}}, []),
    "neither": ({}, [("request-missing", REQUESTS)]),
    "a request of zero stays zero": (
        {"requests": {"cpu": "0"}, "limits": {"cpu": "1"}},
        [("request-missing", REQUESTS)],
    ),
    "malformed": ({"requests": {"cpu": "lots"}}, [("request-missing", REQUESTS)]),
}


@table(REQUESTED, "resources, said")
def test_requests_can_be_required_without_limits(resources: Any, said: Said) -> None:
    parameters = {"resources": [], "requests": ["cpu"]}
    assert judge(RequireLimits, spec(container(resources=resources)), parameters) == said


@pytest.mark.parametrize("kind", ["limits", "requests"])
def test_pod_level_requests_and_limits_count_as_requests(kind: str) -> None:
    pod = spec(container(resources=None), resources={kind: {"cpu": "1"}})
    assert judge(RequireLimits, pod, {"resources": [], "requests": ["cpu"]}) == []


BOTH: dict[str, tuple[Any, Said]] = {
    "the limit that is missing would bring the request": ({}, MISSING),
    "a request of zero is wrong even so": (
        {"requests": {"cpu": 0}},
        [("limit-missing", LIMITS), ("request-missing", REQUESTS)],
    ),
    "each for another resource": (
        {"limits": {"cpu": "1"}, "requests": {"cpu": "0"}},
        [("request-missing", REQUESTS)],
    ),
}


@table(BOTH, "resources, said")
def test_where_limits_and_requests_are_required_nothing_is_said_twice(resources: Any, said: Said) -> None:
    parameters = {"resources": ["cpu"], "requests": ["cpu"]}
    assert judge(RequireLimits, spec(container(resources=resources)), parameters) == said


@pytest.mark.parametrize(
    ("resource", "example"),
    [("ephemeral-storage", "10Gi"), ("hugepages-2Mi", "2Mi"), ("example.com/fpga", '"1"')],
)
def test_any_resource_can_be_required(resource: str, example: str) -> None:
    (violation,) = violations(RequireLimits, spec(container()), {"resources": [resource]})
    assert violation.message.endswith(f"{{{resource}: {example}}}")


BAD_PARAMETERS: dict[str, tuple[Any, str, str]] = {
    "nothing required": ({"resources": []}, "resources", "nothing is required"),
    "misspelt": ({"resources": ["cpu", "memroy"]}, "resources[1]", 'did you mean "memory"?'),
    "upper case": ({"requests": ["CPU"]}, "requests[0]", '"CPU" is no resource'),
    "huge pages without a size": ({"resources": ["hugepages-"]}, "resources[0]", "hugepages-SIZE"),
    "empty": ({"resources": [""]}, "resources[0]", "is no resource"),
}


@table(BAD_PARAMETERS, "parameters, field, message")
def test_parameters_that_cannot_be_meant_are_refused(parameters: Any, field: str, message: str) -> None:
    error = refused(RequireLimits, parameters)
    assert error.field == field
    assert message in str(error)
