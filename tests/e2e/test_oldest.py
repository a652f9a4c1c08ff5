"""The short path on the oldest Kubernetes that is tested: install, serve through the Service, enforce, remove."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.generate import CHART, NAMESPACE
from tests.manifests.rendering import chart

from .cluster import ControlPlane, KubectlError
from .installation import Installation
from .test_chart import POD_LIMITS, pod


def test_kubernetes_is_older_than_the_other(oldest_control_plane: ControlPlane) -> None:
    version = oldest_control_plane.api("GET", "/version")["gitVersion"]
    assert version == oldest_control_plane.assets.version
    assert version.startswith("v1.32.")


def test_chart_says_that_it_can_be_installed_there() -> None:
    assert 'kubeVersion: ">=1.30.0-0"' in (CHART / "Chart.yaml").read_text(encoding="utf-8")


def test_release_serves_enforces_and_goes(
    oldest_control_plane: ControlPlane, helm: Path, tmp_path: Path
) -> None:
    cluster = oldest_control_plane
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rendered"}})
    rendered = chart(helm, namespace="rendered")
    done = cluster.apply(rendered, None, "--dry-run=server", "--validate=strict")
    assert len(done.stdout.splitlines()) == len(rendered)

    installation = Installation(cluster, helm, tmp_path)
    installation.install()
    namespaces = {
        mode: cluster.create_namespace(f"{mode}-", {"gpuward.dev/mode": mode}) for mode in ("enforce", "warn")
    }
    with installation.replica() as replica:
        installation.publish([replica])

        def called() -> bool:
            done = cluster.apply(pod("probe"), namespaces["enforce"], "--dry-run=server", check=False)
            return "resources.limits" in done.stderr

        cluster.wait_for(called, 60, "the API server to call the replica")
        with pytest.raises(KubectlError, match=r"spec\.containers\[0\]\.resources\.limits"):
            cluster.apply(pod("bad"), namespaces["enforce"])
        cluster.apply(pod("good", resources=POD_LIMITS), namespaces["enforce"])
        made = cluster.api("GET", f"/api/v1/namespaces/{namespaces['enforce']}/pods/good")
        assert made["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False, (
            "not mutated"
        )
        assert "Warning:" in cluster.apply(pod("bad"), namespaces["warn"]).stderr
        assert not [line for line in replica.log if "forbidden" in line.lower()]
        # The CEL of matchConditions is compiled by this API server too: status is not asked about.
        installation.publish([])
        assert replica.stop() == 0
    path = f"/api/v1/namespaces/{namespaces['enforce']}/pods/good"
    merge = "application/merge-patch+json"
    cluster.api("PATCH", f"{path}/status", {"status": {"phase": "Failed"}}, content_type=merge)
    cluster.api("PATCH", path, {"metadata": {"finalizers": ["example.com/hold"]}}, content_type=merge)
    cluster.api("PATCH", path, {"metadata": {"finalizers": []}}, content_type=merge)
    installation.uninstall()
    assert installation.configurations() == []
    cluster.apply(pod("bad"), namespaces["enforce"])
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
