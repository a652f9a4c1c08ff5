"""The check ``no-host-path``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from webhook.checks.wording import container_called, listed, short
from webhook.kube.shape import indexed, mapping, text
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Pod


class AllowedHostPath(Strict, frozen=True):
    """A directory of the node that may be mounted, with all that is below it."""

    pathPrefix: Annotated[str, MinLen(1)]
    """The directory, such as ``/mnt/datasets``; not ``/mnt/datasets-old``, as whole parts are compared."""
    readOnly: bool = False
    """Whether every mount of it must be read-only."""


class _Allowed(Struct, frozen=True):
    parts: tuple[str, ...]
    read_only: bool


class NoHostPath(Check):
    """A pod mounts no directories of its node, but those allowed.

    Why:
        A hostPath volume reaches past the container: the node's credentials, the container runtime's socket,
        other pods' data. What it holds also stays on one node, so the pod finds it gone when it is scheduled
        elsewhere.

    Restricted fields:
        spec.volumes[*].hostPath
        spec.initContainers[*].volumeMounts[*].readOnly
        spec.containers[*].volumeMounts[*].readOnly
        spec.ephemeralContainers[*].volumeMounts[*].readOnly

    Allowed values:
        No hostPath, or one whose path is an entry of ``allowed`` or lies below one, and mounted with
        readOnly: true everywhere where all entries it lies below demand that. A path that steps back (..) or
        has a backslash is never allowed, as where it leads is for the node to say. PersistentVolumes of type
        hostPath or local are objects of their own and not judged here.

    Remediation:
        Use a PersistentVolumeClaim for data that stays, an emptyDir for scratch space (with medium: Memory
        for /dev/shm).

    Source:
        https://kubernetes.io/docs/concepts/storage/volumes/#hostpath
        k8s.io/pod-security-admission policy/check_hostPathVolumes.go; k8s.io/kubernetes
        pkg/apis/core/validation/validation.go (validatePathNoBacksteps)
    """

    name = "no-host-path"
    title = "Pods do not mount the host's directories"
    severity = Severity.HIGH

    class Parameters(Strict, frozen=True):
        """Settings of ``no-host-path``."""

        allowed: tuple[AllowedHostPath, ...] = ()
        """Directories of the node that may be mounted all the same."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        compiled: list[_Allowed] = []
        for index, entry in enumerate(parameters.allowed):
            parts = _parts(entry.pathPrefix)
            if parts is None:
                message = f'"{short(entry.pathPrefix)}" is no absolute path without ".."'
                raise ParameterError(message, f"allowed[{index}].pathPrefix")
            compiled.append(_Allowed(parts, entry.readOnly))
        self._allowed = tuple(compiled)
        others = "use a PersistentVolumeClaim for data, an emptyDir for scratch space"
        paths = listed(
            [e.pathPrefix + (" (read-only)" if e.readOnly else "") for e in parameters.allowed], "or"
        )
        self._advice = f"{others}, or mount {paths}" if paths else others

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        if "volumes" not in pod.spec:
            return
        for index, volume in indexed(pod.spec, "volumes"):
            if "hostPath" not in volume or volume["hostPath"] is None:
                continue
            path = text(mapping(volume, "hostPath"), "path")
            parts = _parts(path)
            matching = [] if parts is None else [a for a in self._allowed if parts[: len(a.parts)] == a.parts]
            name = text(volume, "name")
            if not matching:
                yield Violation(
                    "host-path",
                    pod.field("volumes", index, "hostPath"),
                    f'volume "{short(name)}" mounts {short(path) or "a directory"} of the node; '
                    f"{self._advice}",
                )
            elif all(allowed.read_only for allowed in matching):
                yield from _writable_mounts(pod, name, path)


def _parts(path: str) -> tuple[str, ...] | None:
    """The parts of an absolute path; None for what is none or could lead out of itself.

    Resolving ``..`` here would not do: behind a symbolic link it leads elsewhere than the text says.
    """
    if not path.startswith("/") or "\\" in path:
        return None
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    return None if ".." in parts else parts


def _writable_mounts(pod: Pod, volume: str, path: str) -> Iterator[Violation]:
    for container in pod.containers:
        if "volumeMounts" not in container.raw:
            continue
        for index, mount in indexed(container.raw, "volumeMounts"):
            if mount.get("name") == volume and mount.get("readOnly") is not True:
                yield Violation(
                    "host-path-writable",
                    container.field("volumeMounts", index, "readOnly"),
                    f"{container_called(container)} may write to {short(path)} of the node; "
                    f'add readOnly: true to its mount of volume "{short(volume)}"',
                )
