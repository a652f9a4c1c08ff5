"""The mutation ``security-context-defaults``."""

from __future__ import annotations

from typing import Final

from webhook.kube.pod import Container, Pod
from webhook.kube.shape import JSONObject, items, mapping, strings
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

_OS_LABELS: Final = ("kubernetes.io/os", "beta.kubernetes.io/os")

# How seccomp profiles were written before Kubernetes 1.19. The API server wants annotation and field to
# match.
_SECCOMP_ANNOTATION: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER_ANNOTATION: Final = "container.seccomp.security.alpha.kubernetes.io/"


class SecurityContextDefaults(Mutation):
    """A pod that leaves its security settings open gets safe ones.

    Why:
        ML images are large, come from many places, and rarely need the rights that Kubernetes grants by
        default. Safe defaults cost the author nothing and make the pod pass the Pod Security checks that
        follow.

    Changes:
        spec.{initContainers,containers,ephemeralContainers}[*].securityContext:
        allowPrivilegeEscalation: false (``disallowPrivilegeEscalation``), capabilities.drop: [ALL]
        (``dropAllCapabilities``), readOnlyRootFilesystem: true (``readOnlyRootFilesystem``).

        spec.securityContext: seccompProfile: {type: RuntimeDefault} (``seccompRuntimeDefault``),
        runAsNonRoot: true (``runAsNonRoot``).

        Each only where the field is absent.

    Leaves alone:
        Windows pods, which must not have these fields: spec.os.name windows, windowsOptions, or a node
        selector or required node affinity for Windows.

        Privileged containers keep their escalation and capabilities; so does the escalation of one that adds
        CAP_SYS_ADMIN. The API server refuses such a pair, and the kernel would not honour it.

        What a container adds in capabilities.add (IPC_LOCK for RDMA) it keeps beside drop [ALL]; where it
        adds ALL, nothing is dropped.

        Nothing is set about seccomp where the pod still uses its annotations, nor about runAsNonRoot where
        the pod or a container says runAsUser: 0, as it would never start.

    Source:
        https://kubernetes.io/docs/concepts/security/pod-security-standards/
        k8s.io/kubernetes pkg/apis/core/validation (ValidateSecurityContext, validateWindows)
        k8s.io/kubernetes pkg/apis/core/validation (validateSeccompAnnotationsAndFields)
    """

    name = "security-context-defaults"
    title = "Pods get safe security settings"

    class Parameters(Strict, frozen=True):
        """Settings of ``security-context-defaults``: which defaults are filled in."""

        disallowPrivilegeEscalation: bool = True
        """Set ``allowPrivilegeEscalation: false`` on containers."""
        dropAllCapabilities: bool = True
        """Set ``capabilities.drop: [ALL]`` on containers that drop nothing themselves."""
        seccompRuntimeDefault: bool = True
        """Set ``seccompProfile.type: RuntimeDefault`` on pods."""
        runAsNonRoot: bool = False
        """Set ``runAsNonRoot: true`` on pods. Images that run as root, as many notebook and CUDA images do,
        then do not start."""
        readOnlyRootFilesystem: bool = False
        """Set ``readOnlyRootFilesystem: true`` on containers. Images that write outside of volumes then
        fail."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._escalation: bool = parameters.disallowPrivilegeEscalation
        self._capabilities: bool = parameters.dropAllCapabilities
        self._seccomp: bool = parameters.seccompRuntimeDefault
        self._non_root: bool = parameters.runAsNonRoot
        self._read_only: bool = parameters.readOnlyRootFilesystem
        self._on_containers = self._escalation or self._capabilities or self._read_only
        if not (self._on_containers or self._seccomp or self._non_root):
            raise ParameterError("every default is switched off, so the rule would do nothing; switch one on")

    def __call__(self, pod: Pod, draft: Draft) -> None:
        if _is_for_windows(pod):
            return
        context = pod.security_context
        defaults: JSONObject = {}
        if self._seccomp and context.get("seccompProfile") is None and not _has_seccomp_annotation(pod):
            defaults["seccompProfile"] = {"type": "RuntimeDefault"}
        if self._non_root and context.get("runAsNonRoot") is None and not _runs_as_root(pod):
            defaults["runAsNonRoot"] = True
        if defaults:
            draft.fill(pod.field("securityContext"), defaults)
        if self._on_containers:
            for container in pod.containers:
                self._harden(container, draft)

    def _harden(self, container: Container, draft: Draft) -> None:
        context = container.security_context
        defaults: JSONObject = {}
        if (
            self._escalation
            and context.get("allowPrivilegeEscalation") is None
            and context.get("privileged") is not True
            and not _adds(context, "SYS_ADMIN", "CAP_SYS_ADMIN", "ALL")
        ):
            defaults["allowPrivilegeEscalation"] = False
        if (
            self._capabilities
            and mapping(context, "capabilities").get("drop") is None
            and context.get("privileged") is not True
            and not _adds(context, "ALL")
        ):
            defaults["capabilities"] = {"drop": ["ALL"]}
        if self._read_only and context.get("readOnlyRootFilesystem") is None:
            defaults["readOnlyRootFilesystem"] = True
        if defaults:
            draft.fill(container.field("securityContext"), defaults)


def _adds(context: JSONObject, *names: str) -> bool:
    capabilities = mapping(context, "capabilities")
    return "add" in capabilities and any(name.upper() in names for name in strings(capabilities, "add"))


def _is_for_windows(pod: Pod) -> bool:
    spec = pod.spec
    if "os" in spec and pod.is_windows:
        return True
    if "nodeSelector" in spec:
        selector = mapping(spec, "nodeSelector")
        if any(selector.get(label) == "windows" for label in _OS_LABELS):
            return True
    if "affinity" in spec and _requires_windows_node(pod):
        return True
    if pod.security_context.get("windowsOptions") is not None:
        return True
    for container in pod.containers:  # noqa: SIM110 - asked for every pod, and a generator costs more than it says
        if container.security_context.get("windowsOptions") is not None:
            return True
    return False


def _requires_windows_node(pod: Pod) -> bool:
    affinity = mapping(mapping(pod.spec, "affinity"), "nodeAffinity")
    required = mapping(affinity, "requiredDuringSchedulingIgnoredDuringExecution")
    return bool(required) and any(
        expression.get("key") in _OS_LABELS
        and expression.get("operator") == "In"
        and "windows" in strings(expression, "values")
        for term in items(required, "nodeSelectorTerms")
        for expression in items(term, "matchExpressions")
    )


def _has_seccomp_annotation(pod: Pod) -> bool:
    return any(
        key == _SECCOMP_ANNOTATION or key.startswith(_SECCOMP_CONTAINER_ANNOTATION) for key in pod.annotations
    )


def _runs_as_root(pod: Pod) -> bool:
    contexts = (pod.security_context, *(container.security_context for container in pod.containers))
    return any(context.get("runAsUser") == 0 for context in contexts)
