"""The restricted control ``restricted-volumes`` (``restrictedVolumes`` in Kubernetes): volumes are of the kinds that
Kubernetes itself keeps apart between pods.

Why:
    The other kinds reach the node or a storage system past what administrators grant by a PersistentVolume.

Restricted fields:
    spec.volumes[*]

Allowed values:
    The sources configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected and secret,
    and a volume without a source, which is an emptyDir.

Versions:
    v1.0 and later, in place of ``host-path-volumes``.

Remediation:
    Have a PersistentVolume made for the storage, and use it by a PersistentVolumeClaim.

Source:
    k8s.io/pod-security-admission policy/check_restrictedVolumes.go; k8s.io/kubernetes pkg/apis/core/v1/defaults.go
    (SetDefaults_Volume)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import short
from webhook.kube.shape import indexed, text

_ALLOWED: Final = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)


def _judge(visitor: Visitor) -> Iterator[Breach]:
    pod = visitor.pod
    if not visitor.judges_pod or "volumes" not in pod.spec:
        return
    for index, volume in indexed(pod.spec, "volumes"):
        for source in volume:
            # Whatever is not known is refused: a newer Kubernetes may have volumes of which nothing is known here.
            if source not in _ALLOWED and source != "name" and volume[source] is not None:
                yield Breach(
                    pod.field("volumes", index, source),
                    f'volume "{short(text(volume, "name"))}" is a {short(source)}, which is not allowed; use a '
                    "persistentVolumeClaim for data, an emptyDir for scratch space",
                )


CONTROL: Final = Control(
    "restricted-volumes",
    "restrictedVolumes",
    "restricted",
    (Revision(0, _judge),),
    replaces="host-path-volumes",
)
