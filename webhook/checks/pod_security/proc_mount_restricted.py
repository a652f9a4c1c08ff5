"""The restricted control ``proc-mount-restricted`` (``procMount_restricted`` in Kubernetes): /proc is masked as
container runtimes do it, in pods with a user namespace too.

Why:
    Unmasked, /proc lets a container read and change settings of the node's kernel.

Restricted fields:
    spec.initContainers[*].securityContext.procMount
    spec.containers[*].securityContext.procMount
    spec.ephemeralContainers[*].securityContext.procMount

Allowed values:
    Absent or Default.

Versions:
    v1.35 and later, in place of ``proc-mount``, which demanded the same before.

Remediation:
    Remove the field.

Source:
    k8s.io/pod-security-admission policy/check_procMount_restricted.go
"""

from __future__ import annotations

from typing import Final

from webhook.checks.pod_security.control import Control, Revision
from webhook.checks.pod_security.proc_mount import masked

CONTROL: Final = Control(
    "proc-mount-restricted",
    "procMount_restricted",
    "restricted",
    (Revision(35, masked),),
    replaces="proc-mount",
)
