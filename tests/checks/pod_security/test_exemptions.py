"""Exemptions: single controls leave out containers by their images."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.pods import Said, compiled, judge, refused, table
from webhook.checks.pod_security import PodSecurity
from webhook.policy.problems import InvalidPolicy

EXPORTER = "nvcr.io/nvidia/k8s/dcgm-exporter:4.2.0"
ML = "ghcr.io/org/train:1"


def container(name: str, image: str | None, **context: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "securityContext": context}
    return made if image is None else {**made, "image": image}


def exempt(control: str, *images: str, level: str = "baseline", version: str = "latest") -> dict[str, Any]:
    return {"level": level, "version": version, "exempt": [{"control": control, "images": list(images)}]}


# --- which containers ---------------------------------------------------------------------------------------


def test_only_the_images_named_are_exempt_and_only_from_the_control_named() -> None:
    pod = {
        "initContainers": [container("a", EXPORTER, privileged=True, procMount="Unmasked")],
        "containers": [container("b", ML, privileged=True), container("c", EXPORTER, privileged=True)],
        "ephemeralContainers": [container("d", "busybox", privileged=True)],
    }
    assert judge(PodSecurity, pod, exempt("privileged", "nvcr.io/nvidia/*")) == [
        ("privileged", "spec.containers[0].securityContext.privileged"),
        ("privileged", "spec.ephemeralContainers[0].securityContext.privileged"),
        ("proc-mount", "spec.initContainers[0].securityContext.procMount"),
    ]


def test_several_exemptions_of_one_control_add_up() -> None:
    pod = {"containers": [container("a", EXPORTER, privileged=True), container("b", ML, privileged=True)]}
    first, second = exempt("privileged", "nvcr.io/*"), exempt("privileged", "ghcr.io/org/train")
    assert judge(PodSecurity, pod, first | {"exempt": first["exempt"] + second["exempt"]}) == []


GLOBS: dict[str, tuple[str, str, bool]] = {
    "the image": ("nvcr.io/nvidia/cuda:12", "nvcr.io/nvidia/cuda:12", True),
    "another tag": ("nvcr.io/nvidia/cuda:12", "nvcr.io/nvidia/cuda:13", False),
    "any tag": ("nvcr.io/nvidia/cuda", "nvcr.io/nvidia/cuda:12", True),
    "no tag": ("nvcr.io/nvidia/cuda", "nvcr.io/nvidia/cuda", True),
    "a digest": ("nvcr.io/nvidia/cuda", "nvcr.io/nvidia/cuda:12@sha256:" + "0" * 64, True),
    "a tag with a digest": ("nvcr.io/nvidia/cuda:12", "nvcr.io/nvidia/cuda:12@sha256:" + "0" * 64, True),
    "a longer name": ("nvcr.io/nvidia/cuda", "nvcr.io/nvidia/cuda-evil:12", False),
    "a name below": ("nvcr.io/nvidia/cuda", "nvcr.io/nvidia/cuda/evil:12", False),
    "a star across parts": ("nvcr.io/nvidia/*", "nvcr.io/nvidia/k8s/dcgm-exporter:4", True),
    "a star within a tag": ("nvcr.io/nvidia/cuda:12.*", "nvcr.io/nvidia/cuda:12.8", True),
    "a question mark": ("nvcr.io/nvidia/cuda:1?", "nvcr.io/nvidia/cuda:12", True),
    "a star in the host": ("*.gcr.io/ml/*", "eu.gcr.io/ml/train", True),
    "a star in the host stays there": ("*.gcr.io/ml/*", "evil.test/x.gcr.io/ml/train", False),
    "a dot is a dot": ("gcr.io/ml/*", "gcrxio/ml/train", False),
    "any host": ("*/ml/train", "reg.test/ml/train:1", True),
    "a host in upper case": ("Reg.Test/ml/train", "reg.test/ml/train:1", True),
    "Docker Hub": ("docker.io/library/busybox", "busybox:1", True),
    "Docker Hub in full": ("docker.io/library/busybox", "docker.io/library/busybox", True),
    "a host that begins like Docker Hub's": ("docker.io/library/busybox", "docker.io.evil/busybox", False),
    "all": ("*", "busybox", True),
    "all, without an image": ("*", "", True),
    "all, with no image name": ("*", "Not An Image", True),
    "no image": ("*/*", "", False),
    "no image name": ("*/*", "Not An Image", False),
}


@table(GLOBS, "glob, image, exempted")
def test_globs_match_full_names(glob: str, image: str, exempted: bool) -> None:
    found = judge(
        PodSecurity, {"containers": [container("a", image, privileged=True)]}, exempt("privileged", glob)
    )
    assert (found == []) is exempted


# --- what is the pod's own ----------------------------------------------------------------------------------

POD_FIELDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "namespaces": ("host-namespaces", {"hostPID": True}, "spec.hostPID"),
    "volumes": (
        "host-path-volumes",
        {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]},
        "spec.volumes[0].hostPath",
    ),
    "sysctls": (
        "sysctls",
        {"securityContext": {"sysctls": [{"name": "x"}]}},
        "spec.securityContext.sysctls[0].name",
    ),
    "SELinux": (
        "se-linux-options",
        {"securityContext": {"seLinuxOptions": {"user": "x"}}},
        "spec.securityContext.seLinuxOptions.user",
    ),
    "seccomp": (
        "seccomp-profile-baseline",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "spec.securityContext.seccompProfile.type",
    ),
}


@table(POD_FIELDS, "control, fields, path")
def test_a_pods_own_fields_are_left_out_where_all_its_containers_are(
    control: str, fields: dict[str, Any], path: str
) -> None:
    said: Said = [(control, path)]
    exporter, other = container("a", EXPORTER), container("b", ML)
    parameters = exempt(control, "nvcr.io/*")
    assert judge(PodSecurity, {**fields, "containers": [exporter]}, parameters) == []
    assert judge(PodSecurity, {**fields, "containers": [exporter, other]}, parameters) == said
    assert judge(PodSecurity, {**fields, "containers": []}, parameters) == said
    assert judge(PodSecurity, {**fields, "containers": []}, exempt(control, "*")) == []
    debugged = {**fields, "containers": [exporter], "ephemeralContainers": [other]}
    assert judge(PodSecurity, debugged, parameters) == said


def test_restricted_volumes_are_left_out_where_all_containers_are() -> None:
    pod = {"containers": [container("a", EXPORTER)], "volumes": [{"name": "a", "nfs": {}}]}
    parameters = exempt("restricted-volumes", "nvcr.io/*", level="restricted")
    assert "restricted-volumes" not in dict(judge(PodSecurity, pod, parameters))


def test_a_container_that_is_not_exempt_does_not_profit_from_one_that_is() -> None:
    pod = {
        "securityContext": {"runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"}},
        "containers": [container("a", EXPORTER), container("b", ML)],
    }
    parameters = exempt("run-as-non-root", "nvcr.io/*", level="restricted")
    found = [path for reason, path in judge(PodSecurity, pod, parameters) if reason == "run-as-non-root"]
    assert found == ["spec.securityContext.runAsNonRoot", "spec.containers[1].securityContext.runAsNonRoot"]


APP_ARMOR = "container.apparmor.security.beta.kubernetes.io"
SECCOMP = "container.seccomp.security.alpha.kubernetes.io"


@pytest.mark.parametrize(
    ("control", "prefix"),
    [("app-armor-profile", APP_ARMOR), ("seccomp-profile-baseline", SECCOMP)],
)
def test_annotations_about_an_exempt_container_are_left_out(control: str, prefix: str) -> None:
    metadata = {"annotations": {f"{prefix}/a": "unconfined", f"{prefix}/b": "unconfined"}}
    pod = {"containers": [container("a", EXPORTER), container("b", ML)]}
    parameters = exempt(control, "nvcr.io/*", version="v1.18")
    assert judge(PodSecurity, pod, parameters, metadata) == [(control, f"metadata.annotations[{prefix}/b]")]


def test_a_container_cannot_hide_behind_the_name_of_an_exempt_one() -> None:
    metadata = {"annotations": {f"{APP_ARMOR}/a": "unconfined"}}
    pod = {"containers": [container("a", EXPORTER), container("a", ML)]}
    parameters = exempt("app-armor-profile", "nvcr.io/*")
    assert judge(PodSecurity, pod, parameters, metadata) == [
        ("app-armor-profile", f"metadata.annotations[{APP_ARMOR}/a]")
    ]


# --- exemptions that cannot be meant ------------------------------------------------------------------------

USELESS: dict[str, tuple[dict[str, Any], str]] = {
    "of a stricter level": (
        exempt("run-as-user", "*"),
        '"run-as-user" is a control of level restricted',
    ),
    "before its time": (
        exempt("host-probes-and-host-lifecycle", "*", version="v1.29"),
        '"host-probes-and-host-lifecycle" is part of the standards since v1.34 only',
    ),
    "replaced": (
        exempt("capabilities-baseline", "*", level="restricted"),
        '"capabilities-baseline" is not judged at level restricted; "capabilities-restricted" takes its place',
    ),
}


@table(USELESS, "parameters, message")
def test_an_exemption_from_what_is_not_judged_is_refused(parameters: dict[str, Any], message: str) -> None:
    error = refused(PodSecurity, parameters)
    assert (error.field, str(error)) == ("exempt[0].control", message)


def test_what_is_replaced_later_can_be_exempt_before() -> None:
    compiled(PodSecurity, exempt("capabilities-baseline", "*", level="restricted", version="v1.21"))


BAD_GLOBS: dict[str, tuple[str, str]] = {
    "no registry": ("busybox", '"busybox" has no registry; for Docker Hub write "docker.io/library/busybox"'),
    "a path alone": ("org/app", '"org/app" has no registry; for Docker Hub write "docker.io/org/app"'),
    "a registry alone": ("nvcr.io/", '"nvcr.io/" names a registry and no image; write "nvcr.io/*"'),
    "empty": ("", '"" has no registry; for Docker Hub write "docker.io/library/"'),
}


@table(BAD_GLOBS, "glob, message")
def test_globs_that_no_image_could_match_are_refused(glob: str, message: str) -> None:
    error = refused(PodSecurity, exempt("privileged", "*", glob))
    assert (error.field, str(error)) == ("exempt[0].images[1]", message)


def test_an_unknown_control_gets_a_suggestion() -> None:
    with pytest.raises(InvalidPolicy, match='did you mean "seccomp-profile-baseline"'):
        compiled(PodSecurity, exempt("seccompProfile_baseline", "*"))


def test_no_images_are_an_error() -> None:
    with pytest.raises(InvalidPolicy, match="at least 1 entry"):
        compiled(PodSecurity, exempt("privileged"))
