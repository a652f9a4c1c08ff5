"""What holds for every check of pods: its place in CHECKS, its specification, and that nothing breaks it."""

from __future__ import annotations

import copy
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import webhook.checks
from tests.strategies import json_values
from webhook.checks import CHECKS as ALL_CHECKS
from webhook.kube.pod import Pod
from webhook.policy.problems import InvalidPolicy
from webhook.policy.rule import Check, NoParameters
from webhook.policy.schema import parameters_schema
from webhook.policy.strict import Strict
from webhook.policy.validation import validate_parameters

from .pods import JUNK, catalog, compiled, container, spec

CHECKS: list[type[Check]] = [check for check in ALL_CHECKS if issubclass(check, Check)]

SECTIONS = ["Why", "Restricted fields", "Allowed values", "Remediation", "Source"]

# Settings under which a check has something to say, for those that need any or say more with some.
PARAMETERS: dict[str, dict[str, Any]] = {
    "allowed-priority-classes": {"names": ["ml-*"], "required": True},
    "allowed-registries": {"registries": ["ghcr.io/org", "*.gcr.io"]},
    "drop-capabilities": {"allowedAdd": ["CHOWN"]},
    "max-accelerators": {"perContainer": 1, "perPod": 1},
    "no-accelerator-squatting": {"allowDaemonSets": True, "taints": ["sku=gpu:NoExecute"]},
    "no-host-path": {"allowed": [{"pathPrefix": "/mnt", "readOnly": True}]},
    "pod-security": {"level": "baseline"},
    "require-limits": {"resources": ["cpu", "memory"], "requests": ["cpu", "ephemeral-storage"]},
    "required-labels": {"labels": [{"key": "team", "pattern": "[a-z]+"}, {"key": "app"}]},
}

each_check = pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])


def sections(check: type[Check]) -> dict[str, str]:
    """The sections of a check's specification: title to text."""
    parts = re.split(r"^(\w[\w ]*):\n", inspect.getdoc(check) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], (inspect.cleandoc(part) for part in parts[2::2]), strict=True))


def settings_of(check: type[Check]) -> list[type[Any]]:
    """The classes that a check's parameters are made of."""
    made = [check.Parameters]
    module = inspect.getmodule(check)
    made += [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == check.__module__ and issubclass(kind, Strict)
    ]
    return made


# --- registration -------------------------------------------------------------------------------------------


def test_checks_are_in_alphabetical_order_under_unique_names() -> None:
    names = [check.name for check in ALL_CHECKS]
    modules = [check.__module__ for check in ALL_CHECKS]
    assert len(set(names)) == len(names)
    assert modules == sorted(modules)


def test_every_check_in_the_folder_is_registered() -> None:
    folder = Path(webhook.checks.__file__).parent
    defined = {
        # A check of several files is a package.
        path.parent.name if path.name == "__init__.py" else path.stem
        for path in folder.rglob("*.py")
        if re.search(r"^class \w+\((Object)?Check\)", path.read_text(), re.MULTILINE)
    }
    assert defined == {check.__module__.rpartition(".")[2] for check in ALL_CHECKS}


@each_check
def test_a_checks_file_and_class_are_named_as_it_is(check: type[Check]) -> None:
    assert check.__module__ == f"webhook.checks.{check.name.replace('-', '_')}"
    assert check.__name__ == "".join(word.capitalize() for word in check.name.split("-"))


# --- specification ------------------------------------------------------------------------------------------


@each_check
def test_a_check_is_specified_in_the_common_shape(check: type[Check]) -> None:
    first, _, rest = (inspect.getdoc(check) or "").partition("\n")
    assert re.fullmatch(r"[A-Z].*\.", first)
    assert rest.startswith("\n")
    found = sections(check)
    assert list(found) == SECTIONS
    assert all(found.values())


@each_check
def test_restricted_fields_are_paths_and_name_every_kind_of_container(check: type[Check]) -> None:
    fields = sections(check)["Restricted fields"].splitlines()
    assert all(re.fullmatch(r"(spec|metadata)(\.[A-Za-z]+(\[[*A-Z]+\])?)+", field) for field in fields)
    for field in fields:
        if field.startswith("spec.containers[*]"):
            assert field.replace("containers", "initContainers") in fields
            if ".resources" not in field:
                assert field.replace("containers", "ephemeralContainers") in fields


@each_check
def test_a_check_names_its_source(check: type[Check]) -> None:
    assert "https://" in sections(check)["Source"]
    assert re.search(r"\.go\b", sections(check)["Source"])


@each_check
def test_a_checks_title_is_one_line(check: type[Check]) -> None:
    assert re.fullmatch(r"[A-Z][^.\n]{10,79}", check.title)


# --- parameters ---------------------------------------------------------------------------------------------


@each_check
def test_parameters_are_frozen_and_strict(check: type[Check]) -> None:
    for kind in settings_of(check):
        assert issubclass(kind, Strict)
        assert kind.__struct_config__.frozen


@each_check
def test_every_parameter_is_described_in_the_schema(check: type[Check]) -> None:
    schema = parameters_schema(check)
    described = [schema, *schema.get("$defs", {}).values()]
    for part in described:
        for name, field in part.get("properties", {}).items():
            assert field.get("description", "").endswith("."), name
        if part.get("properties"):
            assert part["additionalProperties"] is False
            assert part["description"]
    assert schema["properties"] or check.Parameters is NoParameters


@each_check
def test_unknown_parameters_are_errors(check: type[Check]) -> None:
    parameters = PARAMETERS.get(check.name, {}) | {"nonsense": 1}
    with pytest.raises(InvalidPolicy, match='unknown field "nonsense"'):
        validate_parameters(check, parameters, ())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("required-labels", {"labels": [{"key": "team", "nonsense": 1}]}),
        ("no-host-path", {"allowed": [{"pathPrefix": "/mnt", "nonsense": 1}]}),
    ],
)
def test_unknown_fields_within_parameters_are_errors(name: str, parameters: Any) -> None:
    check = next(check for check in CHECKS if check.name == name)
    with pytest.raises(InvalidPolicy, match='unknown field "nonsense"'):
        validate_parameters(check, parameters, ())


OUT_OF_BOUNDS = {
    "no registries": ("allowed-registries", {"registries": []}),
    "registries left out": ("allowed-registries", {}),
    "no labels": ("required-labels", {"labels": []}),
    "a label without a key": ("required-labels", {"labels": [{"key": ""}]}),
    "names left out": ("allowed-priority-classes", {}),
    "a negative bound": ("max-accelerators", {"perPod": -1}),
    "a bound that is text": ("max-accelerators", {"perPod": "8"}),
    "an empty prefix": ("no-host-path", {"allowed": [{"pathPrefix": ""}]}),
    "text for a list": ("require-limits", {"resources": "cpu"}),
}


@pytest.mark.parametrize(("name", "parameters"), list(OUT_OF_BOUNDS.values()), ids=list(OUT_OF_BOUNDS))
def test_parameters_of_the_wrong_form_are_errors(name: str, parameters: Any) -> None:
    check = next(check for check in CHECKS if check.name == name)
    with pytest.raises(InvalidPolicy):
        validate_parameters(check, parameters, ())


# --- judging ------------------------------------------------------------------------------------------------

# A pod with every field that some check reads, each in a form that some check objects to.
OFFENDER: dict[str, Any] = {
    "os": {"name": "linux"},
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "priorityClassName": "system-node-critical",
    "securityContext": {"windowsOptions": {"hostProcess": True}},
    "resources": {"limits": {"cpu": "0"}, "requests": {"memory": "1Gi"}},
    "tolerations": [
        {"operator": "Exists"},
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
        {"key": "sku", "value": "gpu"},
    ],
    "volumes": [
        {"name": "sock", "hostPath": {"path": "/var/run", "type": "Directory"}},
        {"name": "data", "hostPath": {"path": "/mnt/data"}},
        {"name": "model", "image": {"reference": "models/llm:latest"}},
    ],
    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one"}],
    **{
        list_name: [
            container(
                "first",
                image="Not:An:Image",
                restartPolicy="Always",
                resources={
                    "limits": {"cpu": "1 core", "nvidia.com/gpu": "1500m", "nvidia.com/mig-1g.5gb": 3},
                    "requests": {"cpu": 0, "nvidia.com/gpu": 2, "amd.com/gpu": "x", "rdma/hca": "1"},
                },
                securityContext={
                    "privileged": True,
                    "windowsOptions": {"hostProcess": True},
                    "capabilities": {"drop": ["NET_RAW"], "add": ["IPC_LOCK", "SYS_ADMIN"]},
                },
                volumeMounts=[{"name": "data", "mountPath": "/data", "readOnly": False}],
                env=[
                    {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
                    {"name": "DB_PASSWORD", "value": "hunter2!"},
                ],
                envFrom=[{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "settings"}}],
            ),
            container("second", image="nginx", resources=None),
        ]
        for list_name in ("initContainers", "containers", "ephemeralContainers")
    },
}
METADATA: dict[str, Any] = {
    "labels": {"team": "X", "app": ""},
    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "a", "controller": False}],
}

SCALARS = (
    st.sampled_from([junk for junk in JUNK if not isinstance(junk, (list, dict))])
    | st.sampled_from(
        ["Exists", "windows", "ALL", "1", "0", "1e999", "-1", "500m", "9" * 70, "/", "..", "x" * 5000]
    )
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
)
KEYS = st.sampled_from(
    [
        "name",
        "image",
        "limits",
        "requests",
        "cpu",
        "nvidia.com/gpu",
        "rdma/hca",
        "key",
        "effect",
        "hostPath",
        "path",
        "value",
        "valueFrom",
        "matchLabels",
        "tier",
        "port",
    ]
) | st.text(max_size=4)
ANYTHING = json_values(SCALARS, KEYS, most=3, leaves=6)


@st.composite
def damaged(draw: st.DrawFn, whole: Any) -> Any:
    """JSON like the given, with parts left out, replaced by anything, or added to."""
    fate = draw(st.integers(0, 19))
    if fate == 0:
        return draw(ANYTHING)
    if isinstance(whole, dict):
        kept = {key: draw(damaged(value)) for key, value in whole.items() if draw(st.integers(0, 9))}
        return kept | draw(st.dictionaries(KEYS, ANYTHING, max_size=1)) if fate == 1 else kept
    if isinstance(whole, list):
        return [draw(damaged(item)) for item in whole if draw(st.integers(0, 9))]
    return whole


ALL_COMPILED = [compiled(check, PARAMETERS.get(check.name)) for check in CHECKS]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@example(OFFENDER, METADATA)
@given(damaged(OFFENDER), damaged(METADATA))
def test_no_json_makes_a_check_raise_or_change_it(pod_spec: Any, metadata: Any) -> None:
    assume(isinstance(pod_spec, dict) and isinstance(metadata, dict))
    before = json.dumps([pod_spec, metadata])
    untouched = copy.deepcopy(pod_spec)
    for rule in ALL_COMPILED:
        pod = Pod(metadata, pod_spec, catalog(), spec_path=("at", "spec"), metadata_path=("at", "metadata"))
        found = list(rule(pod))
        assert list(rule(pod)) == found
        for violation in found:
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", violation.reason)
            assert violation.path[:1] == ("at",)
            assert all(type(step) in (str, int) for step in violation.path)
            # One line, and no longer than long names make it.
            assert violation.message.isprintable()
            assert 20 < len(violation.message) <= 500
    assert json.dumps([pod_spec, metadata]) == before
    assert list(pod_spec) == list(untouched)


@each_check
def test_a_check_finds_nothing_in_an_empty_pod_that_only_containers_could_have(check: type[Check]) -> None:
    pod = Pod({"labels": {"team": "x", "app": "x"}}, {"priorityClassName": "ml-high"}, catalog())
    assert list(compiled(check, PARAMETERS.get(check.name))(pod)) == []


@each_check
def test_a_check_has_something_to_say_of_the_offender_and_nothing_of_a_good_pod(check: type[Check]) -> None:
    rule = compiled(check, PARAMETERS.get(check.name))
    # A claim would free it to tolerate what it likes.
    offender = {key: value for key, value in OFFENDER.items() if key != "resourceClaims"}
    if check.name == "no-accelerator-squatting":
        offender = {"tolerations": OFFENDER["tolerations"]}
    assert list(rule(Pod(METADATA, offender, catalog())))
    limits = {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "1Gi"}
    good = spec(container(resources={"limits": limits}), priorityClassName="ml-high")
    assert list(rule(Pod({"labels": {"team": "x", "app": "x"}}, good, catalog()))) == []


@each_check
def test_messages_of_ordinary_length_stay_readable(check: type[Check]) -> None:
    rule = compiled(check, PARAMETERS.get(check.name))
    for violation in rule(Pod(METADATA, OFFENDER, catalog())):
        assert len(violation.message) <= 200


def test_the_modules_of_checks_need_no_pydantic() -> None:
    folder = Path(webhook.checks.__file__).parent
    for path in folder.rglob("*.py"):
        assert not re.search(r"^\s*(from|import) (pydantic|yaml)", path.read_text(), re.MULTILINE), path.name
