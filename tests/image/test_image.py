"""The image of the Dockerfile: what is in it, that it serves as a user without rights, that it is the same again."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from manifests.generate import CHART
from manifests.values import Chart
from tests.support import REPOSITORY
from webhook.version import __version__

from .buildah import Buildah

_SECONDS = 60
_READY = re.compile(
    r"serving admission on https://\S+?:(\d+), health and metrics on http://\S+?:(\d+), (\d+) policies"
)

# What a base image brings; the Dockerfile adds nothing to it.
_OURS = "app"


@pytest.fixture(scope="module")
def container(buildah: Buildah, image: str) -> Iterator[str]:
    """A container of the image."""
    with buildah.container(image) as name:
        yield name


@pytest.fixture(scope="module")
def root(buildah: Buildah, container: str) -> Iterator[Path]:
    """Its file system."""
    with buildah.mounted(container) as path:
        yield path


def test_image_says_who_it_is_and_how_it_starts(buildah: Buildah, image: str) -> None:
    config = buildah.inspect(image)["config"]
    # By number and not root: the kubelet refuses a name where runAsNonRoot is asked for.
    assert config["User"] == f"{Chart().pods.runAsUser}:{Chart().pods.runAsUser}"
    # Words, so that no shell is needed, and the process gets the signals itself.
    assert config["Entrypoint"] == ["python3", "-m", "webhook"]
    assert config["Cmd"] == ["serve"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    described = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert labels["org.opencontainers.image.description"] == described["description"]
    assert {f"{Chart().server.port}/tcp", f"{Chart().server.adminPort}/tcp"} == set(config["ExposedPorts"])


def test_image_holds_what_it_needs_and_nothing_of_its_making(root: Path) -> None:
    app = root / _OURS
    assert (app / "webhook" / "shipped_policies").is_dir()
    there = {path.name for path in app.iterdir()}
    assert not there & {"pip", "hatchling", "pytest", "bin", "tests"}
    assert not (root / "src").exists()
    assert not (root / "build").exists()
    assert not (root / "dist").exists()
    names = [line.partition("==")[0] for line in _pins() if "==" in line]
    assert len(names) > 10
    for name in names:
        assert list(app.glob(f"{name.replace('-', '_')}-*.dist-info")) or "platform" in name, name


def _pins() -> list[str]:
    text = (REPOSITORY / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    # Those with a marker are for some platforms only.
    return [line for line in text.splitlines() if re.match(r"[a-z]", line) and ";" not in line]


def test_nobody_but_root_may_change_what_runs(root: Path) -> None:
    for path in _tree(root / _OURS):
        status = path.lstat()
        assert status.st_uid == 0
        assert path.is_symlink() or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), path


def test_modules_are_compiled_and_their_times_do_not_matter(root: Path) -> None:
    compiled = list((root / _OURS).rglob("*.pyc"))
    sources = {path.with_suffix("").name for path in (root / _OURS / "webhook").rglob("*.py")}
    assert len(compiled) > len(sources)
    for path in compiled:
        # PEP 552: bit 0 says that it is checked by hash, bit 1 that the source need not be looked at.
        assert path.read_bytes()[4] & 0b11 == 0b01, path


def test_same_sources_make_the_same_image(buildah: Buildah, image: str, root: Path) -> None:
    again = "localhost/gpuward-test-again"
    buildah.build(again)
    try:
        with buildah.container(again) as container, buildah.mounted(container) as other:
            assert _contents(root / _OURS) == _contents(other / _OURS)
    finally:
        buildah.remove(again)


def _contents(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that makes up a layer: name, kind and rights, time, content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            int(path.lstat().st_mtime),
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in _tree(folder)
    }


def _tree(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*"))


@contextmanager
def _served(
    buildah: Buildah, image: str, container: str, folder: Path
) -> Iterator[tuple[int, int, ssl.SSLContext]]:
    """The server of the image, as the user that the image names; the ports of webhook and health, and trust."""
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    folder.chmod(0o755)
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    (folder / "tls.key").write_bytes(pair.private_key_pem.bytes())
    # Of the test's own certificate; in a cluster the kubelet gives the Secret's files to the pod's group.
    (folder / "tls.key").chmod(0o644)
    entrypoint = buildah.inspect(image)["config"]["Entrypoint"]
    arguments = (
        "serve", "--tls-cert", "/tls/tls.crt", "--tls-key", "/tls/tls.key", "--host", "127.0.0.1", "--port", "0",
        "--admin-port", "auto", "--no-cluster", "--default-mode", "enforce", "--drain-delay", "0",
    )  # fmt: skip
    process = subprocess.Popen(
        buildah.run(container, [*entrypoint, *arguments], "--volume", f"{folder}:/tls:ro"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=buildah.environment, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    try:
        deadline = time.monotonic() + _SECONDS
        for line in process.stdout:
            lines.append(line)
            if (found := _READY.search(line)) is not None:
                break
            assert time.monotonic() < deadline
        else:
            raise AssertionError("the server did not start:\n" + "".join(lines))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        yield int(found[1]), int(found[2]), context
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def _review(containers: list[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "1",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "operation": "CREATE",
                "namespace": "team",
                "userInfo": {"username": "ada"},
                "object": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "train"},
                    "spec": {"containers": containers},
                },
            },
        }
    )


def test_server_of_the_image_reviews(buildah: Buildah, image: str, container: str, tmp_path: Path) -> None:
    with _served(buildah, image, container, tmp_path) as (port, admin, context):
        plain = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
        plain.request("GET", "/readyz")
        assert plain.getresponse().status == 200
        plain.close()
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        limits = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
        answers = []
        for containers in ([{"name": "a", "image": "a:1", **limits}], [{"name": "a", "image": "a:1"}]):
            connection.request(
                "POST", "/validate/enforce", _review(containers), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            assert response.status == 200
            answers.append(json.loads(response.read())["response"])
        connection.close()
    assert [answer["allowed"] for answer in answers] == [True, False]
    assert "spec.containers[0].resources.limits" in answers[1]["status"]["message"]


def test_program_of_the_image_is_this_one_and_nobody(buildah: Buildah, image: str, container: str) -> None:
    def run(*words: str) -> str:
        command = buildah.run(container, words)
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SECONDS, env=buildah.environment
        ).stdout.strip()

    assert __version__ in run("python3", "-m", "webhook", "version")
    assert (
        run("python3", "-c", "import os; print(os.getuid(), os.getgid(), os.access('/app', os.W_OK))")
        == "65532 65532 False"
    )
