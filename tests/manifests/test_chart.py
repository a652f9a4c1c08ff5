"""The rendered chart: safe by default, no contradictions, and held to gpuward's own policies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from manifests.generate import CHART, NAMESPACE, render
from tests.support import REPOSITORY, shipped_ruleset
from webhook.adapters import policy_files
from webhook.cli.main import main
from webhook.kube.system_namespaces import CLUSTER_NAMESPACES
from webhook.server.calls import read_target

from .rendering import MATRIX, Object, chart, container, one, refusal, served, setting

MODES = ("audit", "warn", "enforce")
NEVER = {NAMESPACE, *CLUSTER_NAMESPACES}


@pytest.fixture(scope="module")
def objects(helm: Path) -> list[Object]:
    """The chart with its defaults."""
    return chart(helm)


def test_helm_lint_finds_nothing(helm: Path) -> None:
    for values in MATRIX.values():
        linted = subprocess.run(
            [helm, "lint", "--strict", CHART, *setting(*values)], capture_output=True, text=True, timeout=60
        )
        assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_combination_is_whole(helm: Path, values: tuple[str, ...]) -> None:
    objects = chart(helm, *values)
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in objects]
    assert len(set(names)) == len(names)
    for obj in objects:
        if obj["kind"] != "CustomResourceDefinition":
            assert "app.kubernetes.io/name" in obj["metadata"]["labels"], obj["metadata"]["name"]
    # What the server is started with it understands.
    (deployment,) = [obj for obj in objects if obj["kind"] == "Deployment"]
    only = container(objects)
    served(objects)
    # Mounts have volumes, and the selectors of all else find the pods.
    pod = deployment["spec"]["template"]
    assert {mount["name"] for mount in only["volumeMounts"]} == {
        volume["name"] for volume in pod["spec"]["volumes"]
    }
    for obj in objects:
        selector = obj["spec"].get("selector") or obj["spec"].get("podSelector") if "spec" in obj else None
        if obj["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment") and selector:
            wanted = selector.get("matchLabels", selector)
            assert wanted.items() <= pod["metadata"]["labels"].items(), obj["kind"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["default", "webhooks", "cert-manager"])
def test_webhooks_are_split_by_mode(helm: Path, name: str, mode: str) -> None:
    objects = chart(helm, *MATRIX[name])
    for kind, webhook in (
        ("MutatingWebhookConfiguration", "mutate"),
        ("ValidatingWebhookConfiguration", "validate"),
    ):
        (entry,) = [
            entry
            for entry in one(objects, kind)["webhooks"]
            if entry["name"] == f"{webhook}-{mode}.gpuward.dev"
        ]
        call = read_target(entry["clientConfig"]["service"]["path"])
        assert (call.webhook, call.mode) == (webhook, mode)
        may_fail = (webhook, mode) == ("validate", "enforce") and name != "webhooks"
        assert entry["failurePolicy"] == ("Fail" if may_fail else "Ignore")
        assert entry["sideEffects"] == "None"
        assert entry["matchPolicy"] == "Equivalent"
        assert entry["timeoutSeconds"] <= 5
        assert entry.get("reinvocationPolicy") == ("IfNeeded" if webhook == "mutate" else None)
        # Who opts in is asked about, and nobody else.
        for value in (None, *MODES, "misspelt"):
            expected = mode == (value if value in MODES else "audit" if value else None)
            assert _selects(entry, "team", value) is expected, value
        for namespace in NEVER:
            assert not _selects(entry, namespace, mode)


def _selects(entry: Object, namespace: str, mode: str | None) -> bool:
    labels = {"kubernetes.io/metadata.name": namespace} | ({"gpuward.dev/mode": mode} if mode else {})
    for requirement in entry["namespaceSelector"]["matchExpressions"]:
        value = labels.get(requirement["key"])
        fits = {
            "Exists": value is not None,
            "In": value in requirement.get("values", ()),
            "NotIn": value not in requirement.get("values", ()),
        }
        if not fits[requirement["operator"]]:
            return False
    return True


def test_a_service_of_the_chart_is_called(objects: list[Object]) -> None:
    service = one(objects, "Service")
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for entry in one(objects, kind)["webhooks"]:
            called = entry["clientConfig"]["service"]
            assert (called["namespace"], called["name"]) == (NAMESPACE, service["metadata"]["name"])
            assert called["port"] == service["spec"]["ports"][0]["port"]
            assert "caBundle" not in entry["clientConfig"], "an upgrade would reset what gpuward has written"


def test_cluster_scoped_kinds_are_left_alone_unless_asked_for(helm: Path, objects: list[Object]) -> None:
    scopes = {
        rule["scope"]
        for entry in one(objects, "ValidatingWebhookConfiguration")["webhooks"]
        for rule in entry["rules"]
    }
    assert scopes == {"Namespaced"}
    asked = one(chart(helm, "webhooks.clusterScopedMode=enforce"), "ValidatingWebhookConfiguration")[
        "webhooks"
    ][-1]
    assert asked["failurePolicy"] == "Ignore"
    assert {rule["scope"] for rule in asked["rules"]} == {"Cluster"}


def test_server_leaves_alone_what_the_webhooks_leave_alone(helm: Path) -> None:
    objects = chart(helm, "webhooks.excludedNamespaces={storage}")
    exempt = set(served(objects).exempt_namespaces.split(","))
    entry = one(objects, "ValidatingWebhookConfiguration")["webhooks"][0]
    excluded = set(entry["namespaceSelector"]["matchExpressions"][-1]["values"])
    # Its own namespace it knows from $POD_NAMESPACE.
    assert exempt | {NAMESPACE} == excluded
    assert "storage" in exempt


@pytest.mark.parametrize("values", [(), MATRIX["no preStop"]], ids=["default", "short"])
def test_grace_period_fits_all_of_the_drain(helm: Path, values: tuple[str, ...]) -> None:
    objects = chart(helm, *values)
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    given = served(objects)
    before = container(objects).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["terminationGracePeriodSeconds"] > before + given.drain_delay + given.shutdown_timeout


def test_policies_in_the_config_map_are_the_shipped_ones(objects: list[Object], tmp_path: Path) -> None:
    for name, text in one(objects, "ConfigMap", "gpuward-policies")["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    loaded = policy_files.load(tmp_path)
    assert loaded.ruleset is not None, "\n".join(map(str, loaded.problems))
    assert [policy.name for policy in loaded.ruleset.policies] == [
        policy.name for policy in shipped_ruleset().policies
    ]


def test_policies_are_added_replaced_and_left_out(helm: Path) -> None:
    shipped = one(chart(helm), "ConfigMap", "gpuward-policies")["data"]
    values = (
        "policies.omit={ml-namespace.yaml}",
        r"policies.files.gpu-scheduling\.yaml=# mine",
        r"policies.files.new\.yaml=# new",
    )
    changed = one(chart(helm, *values), "ConfigMap", "gpuward-policies")["data"]
    assert set(changed) == set(shipped) - {"ml-namespace.yaml"} | {"new.yaml"}
    assert changed["gpu-scheduling.yaml"] == "# mine\n"
    mine = chart(helm, "policies.existingConfigMap=mine")
    assert not [obj for obj in mine if obj["metadata"]["name"].endswith("-policies")]
    volumes = one(mine, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["configMap"]["name"] == "mine"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("replica=2",), "replica"),
        (("webhooks.timeoutSeconds=30",), "timeoutSeconds"),
        (("webhooks.enforceFailurePolicy=fail",), "enforceFailurePolicy"),
        (("certificates.mode=cert-manager",), "mode"),
        (("replicas=0",), "replicas"),
        (("image.digest=latest",), "digest"),
        (("server.logLevel=trace",), "logLevel"),
        (("policies.files.notes=text",), "notes"),
        (("policies.omit={ml-namespaces.yaml}",), "there are gpu-scheduling.yaml"),
        (("policies.shipped=false", "policies.resources=false"), "there are none"),
        (("autoscaling.enabled=true", "autoscaling.maxReplicas=1"), "maxReplicas must not be less"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_values_that_cannot_be_meant_are_refused(helm: Path, values: tuple[str, ...], why: str) -> None:
    assert why in refusal(helm, *values)


def test_policies_that_no_config_map_can_hold_are_refused(helm: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text("# a policy\n" * 100_000, encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render(helm, "--set-file", rf"policies.files.large\.yaml={large}")
    assert "more than a ConfigMap can hold" in refused.value.stderr


def test_chart_can_be_part_of_another(helm: Path) -> None:
    assert chart(helm, "global.anything=1", "enabled=true")


@pytest.mark.parametrize("verb", ["create", "get", "list", "watch", "update", "patch"])
def test_every_verb_has_its_reason_written_beside_it(verb: str) -> None:
    text = (CHART / "templates" / "rbac.yaml").read_text(encoding="utf-8")
    assert re.search(rf"# .*\b{verb}\b[^:\n]*:", text)


def test_rights_are_no_more_than_is_needed(objects: list[Object], helm: Path) -> None:
    def rights(rendered: list[Object]) -> set[tuple[str, str, tuple[str, ...]]]:
        return {
            (resource, verb, tuple(rule.get("resourceNames", ())))
            for obj in rendered
            if obj["kind"] in ("Role", "ClusterRole")
            for rule in obj["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    namespaces = {("namespaces", verb, ()) for verb in ("get", "list", "watch")}
    kinds = ("acceleratorcatalogs", "policies", "policyexceptions", "workloadcatalogs")
    resources = {(kind, verb, ()) for kind in kinds for verb in ("get", "list", "watch")}
    status = {(f"{kind}/status", "patch", ()) for kind in kinds}
    configurations = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    reading = {(resource, "get", ("gpuward",)) for resource in configurations}
    writing = {(resource, "patch", ("gpuward",)) for resource in configurations}
    secret = {
        ("secrets", "create", ()),
        *(("secrets", verb, ("gpuward-certs",)) for verb in ("get", "update")),
    }
    assert rights(objects) == namespaces | resources | status | reading | writing | secret
    assert (
        rights(chart(helm, "certificates.mode=certManager", "policies.resources=false"))
        == namespaces | reading
    )


def test_every_policy_resource_may_be_read(objects: list[Object]) -> None:
    """The role has the kinds of which there are definitions, by their names."""
    plurals = {obj["spec"]["names"]["plural"] for obj in objects if obj["kind"] == "CustomResourceDefinition"}
    assert len(plurals) >= 4
    (role,) = [obj for obj in objects if obj["kind"] == "ClusterRole"]
    allowed = {
        resource
        for rule in role["rules"]
        if rule["apiGroups"] == ["gpuward.dev"] and "watch" in rule["verbs"]
        for resource in rule["resources"]
    }
    assert allowed == plurals


# What the doctor says of values that are a fault, or that leave a part to somebody else. It says nothing of any others.
TOLD = {
    "one replica": {"one-replica", "no-disruption-budget"},
    "no disruption budget": {"no-disruption-budget"},
    "host network": {"policy-refuses-gpuward"},
    "own certificates": {"ca-bundle-unreadable"},
}


@pytest.mark.parametrize("name", sorted(set(MATRIX) - {"no webhooks"}))
def test_doctor_finds_nothing_to_mend(
    helm: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(yaml.safe_dump_all(chart(helm, *MATRIX[name])), encoding="utf-8")
    main(["doctor", "-f", str(rendered), "-o", "json"])
    assert {found["code"] for found in json.loads(capsys.readouterr().out)} == TOLD.get(name, set())


def test_doctor_finds_nothing_to_mend_in_the_plain_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--strict", "-f", str(REPOSITORY / "manifests" / "plain")]) == 0
    assert capsys.readouterr().out == "nothing is wrong\n"


@pytest.mark.parametrize("name", ["default", "cert-manager", "server"])
def test_chart_passes_the_shipped_policies(helm: Path, tmp_path: Path, name: str) -> None:
    """All of them, nothing exempted, in a namespace that is held to the restricted Pod Security Standard."""
    objects = chart(helm, *MATRIX[name])
    manifests = tmp_path / "rendered.yaml"
    manifests.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    reviewed = subprocess.run(
        [
            sys.executable, "-m", "webhook", "review", "-f", str(manifests), "-o", "json", "--namespace", NAMESPACE,
            "--policies", str(REPOSITORY / "policies"),
            "--namespace-labels", "pod-security.kubernetes.io/enforce=restricted",
        ],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    findings = [(one["kind"], found) for one in json.loads(reviewed.stdout) for found in one["findings"]]
    assert findings == []
    assert '"kind":"Deployment"' in reviewed.stdout.replace(" ", "")
    assert reviewed.returncode == 0, reviewed.stderr
