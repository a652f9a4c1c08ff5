"""The baseline control ``host-path-volumes`` (``hostPathVolumes`` in Kubernetes): no volume is a directory of the
node.

Why:
    The node's files hold its credentials, the container runtime's socket and other pods' data.

Restricted fields:
    spec.volumes[*].hostPath

Allowed values:
    Absent.

Versions:
    v1.0 and later. At level restricted ``restricted-volumes`` takes its place.

Remediation:
    Use a PersistentVolumeClaim for data that stays, an emptyDir for scratch space (of medium Memory for /dev/shm).

Source:
    k8s.io/pod-security-admission policy/check_hostPathVolumes.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import short
from webhook.kube.shape import indexed, mapping, text


def _judge(visitor: Visitor) -> Iterator[Breach]:
    pod = visitor.pod
    if visitor.judges_pod and "volumes" in pod.spec:
        for index, volume in indexed(pod.spec, "volumes"):
            if volume.get("hostPath") is not None:
                path = text(mapping(volume, "hostPath"), "path") or "a directory"
                yield Breach(
                    pod.field("volumes", index, "hostPath"),
                    f'volume "{short(text(volume, "name"))}" mounts {short(path)} of the node; use a '
                    "PersistentVolumeClaim for data, an emptyDir for scratch space",
                )


CONTROL: Final = Control("host-path-volumes", "hostPathVolumes", "baseline", (Revision(0, _judge),))
