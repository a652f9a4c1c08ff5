"""Certificates that nobody has to remember, on a real API server that verifies them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from certs.mint import mint_leaf
from certs.renew import Stored
from tests.e2e.certificates import (
    CONFIGURATIONS,
    DAMAGED,
    FRESH_CA,
    POD,
    RUBBISH,
    SECRET,
    SERVICE,
    Installation,
    least_privilege,
    overwrite_bundles,
    readiness,
    stored,
    webhook_kubeconfig,
)
from tests.e2e.cluster import ApiError, ControlPlane
from tests.e2e.serving import Served
from tests.support import POLICIES


@pytest.fixture(scope="module")
def gpuward(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two replicas, one of them with two workers of which one looks after the certificates of both."""
    host = () if control_plane.address is None else ("--host", "0.0.0.0")
    installation = Installation(control_plane, tmp_path_factory.mktemp("certs"), "--workers", "2", *host)
    other = installation.server(tmp_path_factory.mktemp("other"), *host)
    with installation.served, other:
        installation.replicas.append(other)
        installation.install_webhooks()
        control_plane.wait_for(installation.creates_a_pod, 30, "a pod to come through the webhook")
        yield installation
        control_plane.remove_webhooks()
        keys = stored(control_plane, installation.namespace).data()
        for served in installation.replicas:
            assert served.stop() == 0
            log = "".join(served.log)
            assert "PRIVATE KEY" not in log
            for key in ("ca.key", "tls.key"):
                assert keys[key].splitlines()[1].decode() not in log


def test_from_nothing_to_a_call_that_is_trusted(gpuward: Installation) -> None:
    gpuward.settle()
    assert gpuward.creates_a_pod()
    secret = gpuward.cluster.api("GET", f"/api/v1/namespaces/{gpuward.namespace}/secrets/{SECRET}")
    assert secret["type"] == "kubernetes.io/tls"
    assert sorted(secret["data"]) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
    gpuward.cluster.wait_for(
        lambda: "is trusted by 6 webhooks" in readiness(gpuward.served.admin_url)[1],
        10,
        "readiness to say so",
    )


def test_only_the_bundle_of_the_configurations_is_changed(gpuward: Installation) -> None:
    gpuward.settle()
    for path in CONFIGURATIONS:
        obj = gpuward.cluster.api("GET", path)
        mine = [entry for entry in obj["metadata"]["managedFields"] if entry["manager"] == "gpuward"]
        assert mine
        for entry in mine:
            (webhooks,) = entry["fieldsV1"].values()
            for fields in webhooks.values():
                assert fields == {"f:clientConfig": {"f:caBundle": {}}}


def test_leaf_and_ca_are_rotated_twice_under_load_and_no_call_fails(
    gpuward: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    gpuward.settle()
    with gpuward.load() as load:
        for arguments in ((), ("--ca",)) * 2:
            before = stored(gpuward.cluster, gpuward.namespace)
            assert gpuward.certs("rotate", *arguments) == 0
            gpuward.settle()
            after = stored(gpuward.cluster, gpuward.namespace)
            assert after.chain != before.chain
            assert (after.bundle != before.bundle) == bool(arguments)
    assert load.failures == []
    assert load.admitted > 10
    assert load.handshakes > 10
    assert "rest" in capsys.readouterr().out


def test_a_deleted_secret_is_made_anew_and_no_call_fails(gpuward: Installation) -> None:
    gpuward.settle()
    before = stored(gpuward.cluster, gpuward.namespace)
    with gpuward.load() as load:
        gpuward.cluster.api("DELETE", f"/api/v1/namespaces/{gpuward.namespace}/secrets/{SECRET}")
        gpuward.cluster.wait_for(
            lambda: stored(gpuward.cluster, gpuward.namespace).bundle, 30, "the Secret to be made anew"
        )
        gpuward.settle()
    assert load.failures == []
    assert stored(gpuward.cluster, gpuward.namespace).bundle != before.bundle


@pytest.mark.parametrize("pem", RUBBISH.values(), ids=RUBBISH)
def test_a_bundle_that_somebody_overwrote_is_mended(gpuward: Installation, pem: bytes) -> None:
    gpuward.settle()
    before = stored(gpuward.cluster, gpuward.namespace)
    overwrite_bundles(gpuward.cluster, pem)
    gpuward.settle()
    assert stored(gpuward.cluster, gpuward.namespace).chain == before.chain
    gpuward.cluster.wait_for(gpuward.creates_a_pod, 20, "pods to come through again")


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_secret_is_mended_and_no_call_fails(
    gpuward: Installation, damage: Callable[[Stored], dict[str, bytes]]
) -> None:
    gpuward.settle()
    with gpuward.load() as load:
        gpuward.damage(damage)
        gpuward.settle()
    assert load.failures == []


def test_a_server_whose_certificate_is_not_trusted_is_not_ready_and_says_why(
    gpuward: Installation, tmp_path: Path
) -> None:
    """Another installation without the right to mend the configurations."""
    other = Installation(gpuward.cluster, tmp_path)
    kubeconfig = least_privilege(gpuward.cluster, other.namespace, configurations="get")
    served = other.server(tmp_path, "--cert-service", SERVICE, kubeconfig=kubeconfig)
    with pytest.raises(RuntimeError) as failed, served:
        pass
    assert "cannot patch resource" in str(failed.value)


def test_mounted_files_are_compared_with_the_bundle(gpuward: Installation, tmp_path: Path) -> None:
    cluster = gpuward.cluster
    gpuward.settle()
    kubeconfig = ("--kubeconfig", str(cluster.kubeconfig), "--policies", str(POLICIES))
    flags = ("--webhook-configurations", "gpuward", "--cert-poll", "200ms", "--admin-port", "auto")
    now = stored(cluster, gpuward.namespace)
    (tmp_path / "given.crt").write_bytes(now.data()["tls.crt"])
    (tmp_path / "given.key").write_bytes(now.data()["tls.key"])
    files = ("--tls-cert", str(tmp_path / "given.crt"), "--tls-key", str(tmp_path / "given.key"))
    with Served(tmp_path, *kubeconfig, *flags, *files, own_certificate=False) as served:
        assert readiness(served.admin_url)[0] == 200
        leaf = mint_leaf(FRESH_CA, [gpuward.name], datetime.now(UTC))
        (tmp_path / "given.key").write_bytes(leaf.key)
        (tmp_path / "given.crt").write_bytes(leaf.certificate)
        cluster.wait_for(lambda: readiness(served.admin_url)[0] == 503, 15, "it to be not ready")
        assert "none of the CAs in the bundle" in readiness(served.admin_url)[1]


def test_show_says_what_there_is_and_what_is_wrong(
    gpuward: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    gpuward.settle()
    assert gpuward.certs("show") == 0
    text = capsys.readouterr().out
    assert f"for {gpuward.name}" in text
    assert "trusts the leaf" in text
    assert "PRIVATE" not in text
    assert gpuward.certs("show", "-o", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert report["leaf"]["daysLeft"] > 89
    assert [one["trusted"] for one in report["trusts"]] == [True] * 6
    assert gpuward.certs("show", "--secret", "no-such-secret") == 1
    assert "there is no Secret" in capsys.readouterr().out


def test_install_alone_puts_everything_in_place(
    control_plane: ControlPlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For those who run no manager: once, from a workstation, for servers that mount the Secret."""
    installation = Installation(control_plane, tmp_path)
    none = ("--webhook-configurations", "no-such-configuration")
    assert installation.certs("install", "--dry-run", *none) == 0
    shown = capsys.readouterr().out
    assert "kind: Secret" in shown
    assert "(not shown)" in shown
    with pytest.raises(ApiError):
        stored(control_plane, installation.namespace)
    assert installation.certs("install", *none) == 0
    made = stored(control_plane, installation.namespace)
    assert made.is_of_signing_ca
    quick = ("--cert-trust-delay", "1s", "--cert-overlap", "1s")
    assert installation.certs("rotate", "--ca", "--wait", *quick, *none) == 0
    assert stored(control_plane, installation.namespace).bundle != made.bundle
    assert len(stored(control_plane, installation.namespace).bundle) == 1


def test_the_api_server_shows_its_client_certificate(control_plane: ControlPlane, tmp_path: Path) -> None:
    """An API server with a certificate for webhooks is served, and one without is not."""
    authority = trustme.CA()
    pair = authority.issue_cert("api.example.com", common_name="kube-apiserver")
    certificate, key, ca = tmp_path / "client.crt", tmp_path / "client.key", tmp_path / "client-ca.crt"
    certificate.write_bytes(pair.cert_chain_pems[0].bytes())
    pair.private_key_pem.write_to_path(str(key))
    ca.write_bytes(authority.cert_pem.bytes())
    with (
        webhook_kubeconfig(tmp_path, certificate, key) as configuration,
        ControlPlane(
            control_plane.assets,
            tmp_path / "cluster",
            api_server_args=(f"--admission-control-config-file={configuration}",),
        ) as cluster,
    ):
        arguments = (
            "--policies",
            str(POLICIES),
            "--kubeconfig",
            str(cluster.kubeconfig),
            "--client-ca",
            str(ca),
        )
        for names, served_at_all in (("kube-apiserver", True), ("somebody-else", False)):
            with Served(tmp_path / names, *arguments, "--client-names", names) as served:
                cluster.install_webhooks(served.url, served.ca_pem)
                namespace = cluster.create_namespace("client-", {"gpuward.dev/mode": "enforce"})
                path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
                if served_at_all:
                    made = cluster.api("POST", path, POD)
                    assert (
                        made["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
                    )
                else:
                    with pytest.raises(ApiError, match="failed calling webhook"):
                        cluster.api("POST", path, POD)
