"""accelerator-request-equals-limit: whole numbers, the request the limit's equal."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.accelerator_request_equals_limit import AcceleratorRequestEqualsLimit as Rule

from .pods import JUNK, Said, container, judge, spec, table, violations

GPU = "nvidia.com/gpu"
LIMIT = f"spec.containers[0].resources.limits[{GPU}]"
REQUEST = f"spec.containers[0].resources.requests[{GPU}]"

CASES: dict[str, tuple[Any, Any, Said]] = {
    "a limit alone": ("1", None, []),
    "a number": (1, None, []),
    "equal": ("2", "2", []),
    "equal as text and number": ("2", 2, []),
    "equal in other units": ("1", "1000m", []),
    "equal with a suffix": ("1k", 1000, []),
    "equal with an exponent": ("1e1", "10", []),
    "zero": ("0", "0", []),
    "a request without a limit": (None, "1", [("limit-missing", LIMIT)]),
    "a request of zero without a limit": (None, "0", [("limit-missing", LIMIT)]),
    "a request below": ("2", "1", [("request-differs", REQUEST)]),
    "a request above": ("1", "2", [("request-differs", REQUEST)]),
    "a request of zero": ("1", "0", [("request-differs", REQUEST)]),
    "half a device": ("500m", None, [("count-not-whole", LIMIT)]),
    "half a device twice is one mistake": ("0.5", "0.5", [("count-not-whole", LIMIT)]),
    "a device and a half requested": ("2", "1.5", [("count-not-whole", REQUEST)]),
    "fractions that differ": ("0.5", "0.25", [("count-not-whole", LIMIT), ("count-not-whole", REQUEST)]),
    "negative": ("-1", None, [("count-not-whole", LIMIT)]),
    "a word": ("one", None, [("count-not-whole", LIMIT)]),
    "a list": (["1"], None, [("count-not-whole", LIMIT)]),
    "too small to see": ("1e-9", None, [("count-not-whole", LIMIT)]),
    "beyond any device": ("1e999", None, []),
}


@table(CASES, "limit, requested, said")
def test_accelerators_are_requested_whole_and_as_their_limit(limit: Any, requested: Any, said: Said) -> None:
    resources = {
        "limits": {"cpu": "1"} | ({} if limit is None else {GPU: limit}),
        "requests": {"cpu": "500m"} | ({} if requested is None else {GPU: requested}),
    }
    assert judge(Rule, spec(container(resources=resources))) == said


@pytest.mark.parametrize(
    "resource", ["nvidia.com/mig-1g.5gb", "amd.com/gpu", "google.com/tpu", "aws.amazon.com/neuroncore"]
)
def test_every_accelerator_of_the_catalog_is_judged(resource: str) -> None:
    resources = {"limits": {resource: "2"}, "requests": {resource: "1"}}
    said = judge(Rule, spec(container(resources=resources)))
    assert said == [("request-differs", f"spec.containers[0].resources.requests[{resource}]")]


@pytest.mark.parametrize("resource", ["cpu", "memory", "example.com/licence", "rdma/hca"])
def test_other_resources_are_not_judged(resource: str) -> None:
    resources = {"limits": {resource: "2"}, "requests": {resource: "500m"}}
    assert judge(Rule, spec(container(resources=resources))) == []


@pytest.mark.parametrize("list_name", ["initContainers", "containers"])
def test_init_containers_are_judged_too(list_name: str) -> None:
    pod = spec()
    pod[list_name] = [container(resources={"requests": {GPU: 1}}, restartPolicy="Always")]
    assert judge(Rule, pod) == [("limit-missing", f"spec.{list_name}[0].resources.limits[{GPU}]")]


def test_ephemeral_containers_can_have_no_resources() -> None:
    assert judge(Rule, spec(ephemeralContainers=[container(resources={"requests": {GPU: 1}})])) == []


@pytest.mark.parametrize("junk", JUNK)
def test_resources_of_the_wrong_type_are_the_api_servers_to_refuse(junk: Any) -> None:
    assert judge(Rule, spec(container(resources=junk), container(resources={"limits": junk}))) == []


MESSAGES: dict[str, tuple[Any, str]] = {
    "no limit": (
        {"requests": {GPU: 4}},
        (
            'container "train" requests nvidia.com/gpu without a limit, which Kubernetes refuses; '
            "write resources.limits: {nvidia.com/gpu: 4} instead"
        ),
    ),
    "differs": (
        {"limits": {GPU: 4}, "requests": {GPU: "2"}},
        (
            'container "train" requests 2 of nvidia.com/gpu with a limit of 4; accelerators need both equal, '
            "so remove the request or write 4"
        ),
    ),
    "half": (
        {"limits": {GPU: 0.5}},
        (
            'container "train" asks for "0.5" of nvidia.com/gpu; accelerators are handed out whole, '
            "so write 1, 2, ..."
        ),
    ),
}


@table(MESSAGES, "resources, message")
def test_the_message_says_what_to_write(resources: Any, message: str) -> None:
    assert [v.message for v in violations(Rule, spec(container(resources=resources)))] == [message]
