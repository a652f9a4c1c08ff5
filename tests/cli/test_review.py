"""`gpuward review`: the contract of its output, its exit status, and what it takes as input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.cli.main import main

GOOD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "good", "namespace": "team"},
    "spec": {
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "main",
                "image": "nginx:1.29",
                "resources": {
                    "limits": {"cpu": "1", "memory": "1Gi"},
                    "requests": {"cpu": "1", "memory": "1Gi"},
                },
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    },
}
BAD = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "bad"},
    "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "nginx:1.29"}]}}},
}
TRAINING = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "train"},
    "spec": {
        "containers": [{"name": "main", "image": "x:1", "resources": {"limits": {"nvidia.com/gpu": 1}}}]
    },
}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {}}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, *documents: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n".join(yaml.safe_dump(d) if not isinstance(d, str) else d for d in documents))
        return str(path)

    return write


def review(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    status = main(["review", *arguments, "-o", "json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out), captured.err


def test_the_json_contract(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("pods.yaml", GOOD, BAD, CONFIG)
    status, (good, bad, config), errors = review(capsys, "-f", path)
    assert (status, errors) == (1, "")
    assert [(r["source"], r["document"]) for r in (good, bad, config)] == [(path, 0), (path, 1), (path, 2)]
    assert good == {
        "source": path, "document": 0, "apiVersion": "v1", "kind": "Pod", "namespace": "team", "name": "good",
        "allowed": True, "findings": [], "warnings": [], "patch": [], "wouldPatch": [], "exempted": [],
        "breakGlass": None, "object": GOOD,
    }  # fmt: skip
    assert (bad["namespace"], bad["allowed"], bad["patch"], bad["object"]) == ("default", False, [], BAD)
    (finding,) = bad["findings"]
    assert finding.pop("message").startswith('container "main" has no limits for cpu and memory')
    assert finding == {
        "policy": "limits-required",
        "rule": "require-limits",
        "severity": "medium",
        "action": "Enforce",
        "path": "spec.template.spec.containers[0].resources.limits",
        "reason": "limit-missing",
    }
    assert (config["allowed"], config["findings"], config["object"]) == (True, [], CONFIG)


def test_a_clean_input_exits_0(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert review(capsys, "-f", write("pod.yaml", GOOD))[0] == 0


def test_the_patched_object_is_shown(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, (train,), _ = review(capsys, "-f", write("train.yaml", TRAINING))
    assert status == 0
    assert {op["path"] for op in train["patch"]} >= {"/spec/tolerations", "/spec/affinity"}
    assert train["object"]["spec"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize(
    ("mode", "action", "allowed"),
    [("audit", "Audit", True), ("warn", "Warn", True), ("enforce", "Enforce", False)],
)
def test_the_mode_weakens_what_happens(
    mode: str, action: str, allowed: bool, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, (bad,), _ = review(capsys, "-f", write("bad.yaml", BAD), "--mode", mode)
    assert status == 1
    assert ([f["action"] for f in bad["findings"]], bad["allowed"]) == ([action], allowed)
    assert bool(bad["warnings"]) is (mode == "warn")


def test_audit_shows_what_would_change_and_changes_nothing(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, (train,), _ = review(capsys, "-f", write("train.yaml", TRAINING), "--mode", "audit")
    assert train["patch"] == []
    assert train["object"] == TRAINING
    assert train["wouldPatch"]


def test_folders_are_read_recursively_and_lists_taken_apart(
    write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("b/pod.yml", GOOD)
    write("a.yaml", {"apiVersion": "v1", "kind": "List", "items": [GOOD, CONFIG]})
    (tmp_path / "c.json").write_text(json.dumps(GOOD))
    write("notes.txt", "no manifest")
    _, results, errors = review(capsys, "-f", str(tmp_path))
    assert errors == ""
    assert [(Path(r["source"]).name, r["document"], r["kind"]) for r in results] == [
        ("a.yaml", 0, "Pod"),
        ("a.yaml", 0, "ConfigMap"),
        ("pod.yml", 0, "Pod"),
        ("c.json", 0, "Pod"),
    ]


def test_paths_need_no_flag_before_them(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write("a.yaml", CONFIG), write("b.yaml", GOOD)
    _, results, _ = review(capsys, second, "-f", first)
    assert [result["source"] for result in results] == [first, second]


def test_nothing_to_review_is_no_review(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review"]) == 2
    assert "name manifests with -f" in capsys.readouterr().err


def test_standard_input_and_several_files(
    write: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(yaml.safe_dump(CONFIG).encode())))
    _, results, _ = review(capsys, "-f", "-", "-f", write("pod.yaml", GOOD))
    assert [r["source"].rpartition("/")[2] for r in results] == ["<stdin>", "pod.yaml"]


def test_namespaces_in_the_input_give_their_labels(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team", "labels": {"workload": "ml"}},
    }
    status, results, _ = review(capsys, "-f", write("all.yaml", GOOD, namespace))
    assert status == 1
    assert [f["rule"] for f in results[0]["findings"]] == ["required-labels"]
    assert results[1]["namespace"] == ""


def test_namespace_options_hold_for_what_the_input_leaves_open(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--namespace", "ml", "--namespace-labels", "workload=ml,a=b")
    _, (good, train), _ = review(capsys, "-f", write("all.yaml", GOOD, TRAINING), *options)
    assert (good["namespace"], train["namespace"]) == ("team", "ml")
    assert "required-labels" in [f["rule"] for f in train["findings"]]


def test_a_claim_in_the_input_tells_what_a_pod_asks_for(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    template = {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "one-gpu"},
        "spec": {"spec": {"devices": {"requests": [{"exactly": {"deviceClassName": "gpu.nvidia.com"}}]}}},
    }  # fmt: skip
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "claims"},
        "spec": {
            "containers": [{"name": "main", "image": "x:1", "resources": {"claims": [{"name": "gpu"}]}}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
        },
    }  # fmt: skip
    _, (_, claims), _ = review(capsys, "-f", write("claims.yaml", template, pod))
    assert claims["object"]["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", ":"),
        ("just text", "no Kubernetes object: it is not a map"),
        ("a: 1", "no Kubernetes object: it has no apiVersion and kind"),
        ("kind: Pod", "no Kubernetes object: it has no apiVersion"),
        ("apiVersion: v1\nkind: Pod\nkind: Pod", "kind"),
        ("apiVersion: v1\nkind: !!python/object:os.system x", "tag"),
        ("apiVersion: v1\nkind: Pod\nx: .nan", "nan"),
    ],
)
def test_what_cannot_be_read_is_reported_and_the_rest_reviewed(
    text: str, message: str, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("mixed.yaml", GOOD, text + "\n", CONFIG)
    status, results, errors = review(capsys, "-f", path)
    assert status == 2
    assert [r["kind"] for r in results] == ["Pod", "ConfigMap"]
    assert errors.startswith(f"gpuward: {path}:")
    assert message in errors.lower() or message in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f", "/nonexistent.yaml"],
        ["-f", "/nonexistent", "-o", "nonsense"],
        [],
        ["-f", "-", "--mode", "off"],
        ["-f", "-", "--namespace-labels", "novalue"],
        ["-f", "-", "--policies", "/nonexistent"],
    ],
    ids=str,
)
def test_what_cannot_run_exits_2_and_says_why(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["review", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err


def test_the_text_names_objects_verdicts_findings_and_the_diff(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", "-f", write("all.yaml", GOOD, BAD, TRAINING)]) == 1
    out = capsys.readouterr().out
    assert "Pod team/good" in out
    assert "rejected: 1 violation" in out
    assert "spec.template.spec.containers[0].resources.limits" in out
    assert "[limits-required/require-limits]" in out
    assert "+  - key: nvidia.com/gpu" in out
    assert out.endswith("3 objects: 1 rejected, 2 allowed, 1 changed; 1 finding\n")
    assert "\x1b[" not in out


def test_colours_are_there_where_asked_for(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["review", "-f", write("bad.yaml", BAD), "--color", "always"])
    assert "\x1b[31mrejected" in capsys.readouterr().out


def test_yaml_is_the_same_as_json(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("all.yaml", GOOD, BAD, TRAINING)
    _, as_json, _ = review(capsys, "-f", path)
    main(["review", "-f", path, "-o", "yaml"])
    assert yaml.safe_load(capsys.readouterr().out) == as_json


def test_diff_shows_only_changes(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["review", "-f", write("all.yaml", GOOD, TRAINING), "-o", "diff"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["--- Pod default/train as written", "+++ Pod default/train as admitted"]
    assert not any("team/good" in line for line in lines)


def test_thousands_of_containers_get_no_diff_of_their_own(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = {**TRAINING, "spec": {"containers": [{"name": f"c{i}", "image": "x:1"} for i in range(5000)]}}
    assert main(["review", "-f", write("huge.yaml", huge), "-o", "diff"]) == 1
    before, after = capsys.readouterr().out.splitlines()
    assert before == "--- Pod default/train as written"
    assert after.endswith("lines are too long for a diff; -o json has the patch")


LETS_PASS = """\
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: limits}
spec:
  validate: [{rule: require-limits}]
---
apiVersion: gpuward.dev/v1alpha1
kind: PolicyException
metadata: {name: legacy}
spec: {policies: [limits], reason: ticket ML-123, match: {users: [ada]}}
---
apiVersion: gpuward.dev/v1alpha1
kind: BreakGlass
metadata: {name: on-call}
spec: {reason: see the runbook, groups: [sre]}
"""


def test_who_applies_the_objects_decides_on_exceptions_and_break_glass(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("-f", write("bad.yaml", BAD), "--policies", write("policies/all.yaml", LETS_PASS))
    status, (refused,), _ = review(capsys, *given, "--user", "eve")
    assert (status, refused["allowed"], refused["exempted"], refused["breakGlass"]) == (1, False, [], None)
    status, (excepted,), _ = review(capsys, *given, "--user", "ada")
    assert (status, excepted["allowed"]) == (0, True)
    assert excepted["exempted"] == [
        {"policy": "limits", "rule": "require-limits", "exception": "legacy", "reason": "ticket ML-123"}
    ]
    status, (passed,), _ = review(capsys, *given, "--user", "eve", "--groups", "staff, sre")
    assert (status, passed["allowed"]) == (1, True)
    assert passed["breakGlass"] == {"name": "on-call", "reason": "see the runbook"}


def test_the_text_says_through_what_an_object_passed(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["review", "-f", write("bad.yaml", BAD), "--policies", write("policies/all.yaml", LETS_PASS)]
    main([*given, "--user", "ada"])
    assert "excepted from limits/require-limits by legacy: ticket ML-123" in capsys.readouterr().out
    main([*given, "--groups", "sre"])
    assert (
        "policies only record this: passed by break-glass on-call: see the runbook" in capsys.readouterr().out
    )


def test_what_is_in_no_namespace_has_no_namespaces_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.yaml").write_text(
        "apiVersion: gpuward.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\n"
        "spec:\n  match: {namespaceSelector: {matchLabels: {workload: ml}}}\n"
        "  validate: [{rule: role-privileges}]\n"
    )
    rules = 'rules: [{apiGroups: [""], resources: [pods], verbs: ["*"]}]\n'
    for kind in ("Role", "ClusterRole"):
        (tmp_path / f"{kind}.yml").write_text(
            f"apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: x}}\n{rules}"
        )
    given = ["--policies", str(tmp_path / "policy.yaml"), "--namespace-labels", "workload=ml"]
    assert main(["review", "-f", str(tmp_path / "Role.yml"), *given]) == 1
    assert "rules[0].verbs[0]" in capsys.readouterr().out
    assert main(["review", "-f", str(tmp_path / "ClusterRole.yml"), *given]) == 0
