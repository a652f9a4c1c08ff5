"""``gpuward doctor`` on manifests."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from tests.doctor.installs import Install
from webhook.cli.main import main


@pytest.fixture
def install() -> Install:
    return Install()


def _doctor(install: Install, folder: Path, *arguments: str) -> int:
    (folder / "install.yaml").write_text(yaml.safe_dump_all(install.objects), encoding="utf-8")
    return main(["doctor", "-f", str(folder), *arguments])


def test_a_good_installation_is_clean(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The fixture's certificates are of a fixed day, and this command has a clock.
    install.remove("Secret gpuward-certs")
    for webhook in install.mutating + install.validating:
        del webhook["clientConfig"]["caBundle"]
    assert _doctor(install, tmp_path, "--strict") == 0
    assert capsys.readouterr().out == "nothing is wrong\n"


def test_an_error_is_told_with_object_field_and_remedy(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install.enforcing["timeoutSeconds"] = 30
    assert _doctor(install, tmp_path) == 1
    out = capsys.readouterr().out
    assert "error: ValidatingWebhookConfiguration gpuward webhooks[2].timeoutSeconds" in out
    assert "mend: write timeoutSeconds: 3" in out
    assert "[long-timeout]" in out


def test_warnings_count_when_asked_to(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install.remove("PodDisruptionBudget gpuward")
    install.remove("Secret gpuward-certs")
    for webhook in install.mutating + install.validating:
        del webhook["clientConfig"]["caBundle"]
    assert _doctor(install, tmp_path) == 0
    assert _doctor(install, tmp_path, "--strict") == 1
    capsys.readouterr()


def test_json_has_every_part(install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install.deployment["spec"]["replicas"] = 1
    assert _doctor(install, tmp_path, "-o", "json") == 1
    found = {one["code"]: one for one in json.loads(capsys.readouterr().out)}
    one = found["one-replica"]
    assert (one["kind"], one["namespace"], one["name"]) == ("Deployment", "gpuward-system", "gpuward")
    assert one["path"] == "spec.replicas"
    assert one["patch"] == [{"op": "add", "path": "/spec/replicas", "value": 2}]


def test_fixes_are_commands_that_a_shell_can_read(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install.deployment["spec"]["replicas"] = 1
    _doctor(install, tmp_path, "--fix")
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kubectl")]
    words = shlex.split(commands[-1])
    assert words[:6] == ["kubectl", "patch", "deployment", "gpuward", "--namespace", "gpuward-system"]
    assert json.loads(words[-1]) == [{"op": "add", "path": "/spec/replicas", "value": 2}]


def test_manifests_without_gpuward_cannot_be_examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pod.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: x}}\n")
    assert main(["doctor", "-f", str(tmp_path)]) == 2
    assert "no webhook configuration here calls gpuward" in capsys.readouterr().err


def test_manifests_that_cannot_be_read_are_not_examined_in_part(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.yaml").write_text("a: [\n")
    assert _doctor(install, tmp_path) == 2
    assert "broken.yaml" in capsys.readouterr().err


def test_without_a_cluster_it_says_what_to_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["doctor"]) == 2
    assert "--kubeconfig" in capsys.readouterr().err


def _mount(install: Install, **files: str) -> None:
    """Give the servers these policies."""
    install.container["args"].append("--policies=/policies")
    install.container["volumeMounts"] = [{"name": "policies", "mountPath": "/policies"}]
    install.pod["volumes"] = [{"name": "policies", "configMap": {"name": "gpuward-policies"}}]
    metadata = {"name": "gpuward-policies", "namespace": "gpuward-system"}
    data = {f"{name}.yaml": content for name, content in files.items()}
    install.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _policy(name: str, expression: str) -> dict[str, object]:
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": name},
        "spec": {"validate": [{"expression": expression, "message": "no"}]},
    }


def _codes(install: Install, folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> set[str]:
    _doctor(install, folder, "-o", "json", *arguments)
    return {one["code"] for one in json.loads(capsys.readouterr().out)}


def test_policies_are_those_that_the_servers_mount(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _mount(install, nobody=yaml.safe_dump(_policy("nobody", "false")))
    assert "policy-refuses-gpuward" in _codes(install, tmp_path, capsys)
    others = tmp_path / "others"
    others.mkdir()
    (others / "all.yaml").write_text(yaml.safe_dump(_policy("everybody", "true")), encoding="utf-8")
    (tmp_path / "manifests").mkdir()
    codes = _codes(install, tmp_path / "manifests", capsys, "--policies", str(others))
    assert "policy-refuses-gpuward" not in codes


def test_policies_in_custom_resources_count_where_they_are_followed(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _mount(install)
    install.add(_policy("nobody", "false"))
    assert "policy-refuses-gpuward" not in _codes(install, tmp_path, capsys)
    install.container["args"].append("--policy-resources")
    assert "policy-refuses-gpuward" in _codes(install, tmp_path, capsys)


def test_policies_that_cannot_be_used_are_told(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _mount(install, broken=yaml.safe_dump(_policy("broken", "fals e")))
    install.container["args"].append("--policy-resources")
    install.add(_policy("unfinished", "object."))
    assert _doctor(install, tmp_path) == 1
    out = capsys.readouterr().out
    assert "error: ConfigMap gpuward-system/gpuward-policies" in out
    assert "gpuward-policies/broken.yaml:" in out
    assert "error: Policy unfinished" in out
