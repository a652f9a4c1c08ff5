"""The mutation ``environment``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Struct, structs
from msgspec.structs import replace

from webhook.kube.names import annotation_key_problem, label_key_problem, variable_name_problem
from webhook.kube.pod import Container, Pod
from webhook.kube.shape import JSONObject, items
from webhook.mutations.computed import ComputedText, compile_text
from webhook.mutations.devices import accelerator_count
from webhook.policy.constraints import MinLen
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.policy.cel import Scope

ContainerChoice = Literal["All", "Accelerator", "NonAccelerator"]

# Source: k8s.io/kubernetes pkg/apis/core/validation (validEnvDownwardAPIFieldPathExpressions,
# validContainerResourceFieldPathExpressions, validateContainerResourceDivisor).
_FIELD_PATHS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_KEYED_FIELD_PATH: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_RESOURCE: Final = re.compile(r"(?:limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMGT]i)")
_CPU_DIVISORS: Final = ("1m", "1")
_BYTE_DIVISORS: Final = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


class FieldRef(Strict, frozen=True):
    """A field of the pod."""

    fieldPath: str
    """The field, such as ``status.podIP`` or ``metadata.labels['team']``."""
    apiVersion: str = "v1"
    """The version of the path's schema; v1 is the only one."""


class ResourceFieldRef(Strict, frozen=True):
    """A request or limit of a container."""

    resource: str
    """The value, such as ``limits.memory``."""
    containerName: str | None = None
    """The container; absent: the one that has the variable."""
    divisor: str | None = None
    """The unit to express it in, such as ``1Mi``."""


class KeyRef(Strict, frozen=True):
    """A key of a ConfigMap or Secret in the pod's namespace."""

    name: Annotated[str, MinLen(1)]
    """The object's name."""
    key: Annotated[str, MinLen(1)]
    """The key."""
    optional: bool | None = None
    """Whether the pod may start without it. In a namespace that does not have the object, a pod with a
    variable that is not optional does not start."""


class ValueFrom(Strict, frozen=True):
    """Where a value comes from: exactly one of these."""

    fieldRef: FieldRef | None = None
    """A field of the pod."""
    resourceFieldRef: ResourceFieldRef | None = None
    """A request or limit of a container."""
    configMapKeyRef: KeyRef | None = None
    """A key of a ConfigMap."""
    secretKeyRef: KeyRef | None = None
    """A key of a Secret."""


class Variable(Strict, frozen=True):
    """One environment variable."""

    name: str
    """The variable's name, such as ``GPU_MEMORY_FRACTION``."""
    value: str | None = None
    """Its value. ``$(NAME)`` in it stands for a variable of the container that comes before."""
    valueFrom: ValueFrom | None = None
    """Where the value comes from, instead of ``value``."""
    valueExpression: str | None = None
    """CEL that works the value out, instead of ``value``: over the pod as ``object``, ``request``,
    ``namespaceObject`` and ``variables``. Null or an empty text adds nothing."""
    containers: ContainerChoice = "All"
    """Which containers get it: All, those that request an Accelerator, or those that request none
    (NonAccelerator)."""


class _Injected(Struct, frozen=True):
    name: str
    containers: ContainerChoice
    value: str | None
    value_from: tuple[str, dict[str, Any]] | None
    computed: ComputedText | None = None

    def as_json(self) -> JSONObject:
        if self.value_from is None:
            return {"name": self.name, "value": self.value}
        source, reference = self.value_from
        return {"name": self.name, "valueFrom": {source: dict(reference)}}


class Environment(Mutation):
    """A container gets environment variables it does not have.

    Why:
        Libraries are tuned by environment variables (NCCL_DEBUG, GPU_MEMORY_FRACTION), and GPU images carry
        NVIDIA_VISIBLE_DEVICES=all: a container that requests no GPU then sees every GPU of its node. ``void``
        on NonAccelerator containers ends that.

    Changes:
        spec.containers[*].env, sidecars and (``includeInitContainers``) other init containers too: each
        variable of ``variables`` of which the container has none of that name, at the end of the list.

    Leaves alone:
        Variables that the container has, whatever their value.

        Containers with envFrom (``skipContainersWithEnvFrom``): what is in the ConfigMap or Secret is not to
        be seen here, and a variable of its own would win over it.

        Containers that request an accelerator, by name or by claim, never get what is meant for
        NonAccelerator ones. Ephemeral containers, which are added to a running pod.

    Source:
        https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/
        k8s.io/kubernetes pkg/apis/core/validation (ValidateEnv)
    """

    name = "environment"
    title = "Containers get environment variables"

    class Parameters(Strict, frozen=True):
        """Settings of ``environment``."""

        variables: Annotated[tuple[Variable, ...], MinLen(1)]
        """The variables to add."""
        includeInitContainers: bool = True
        """Whether init containers get them too. Sidecars always do."""
        skipContainersWithEnvFrom: bool = True
        """Whether containers with envFrom are left alone. A variable that is added wins over one of the same
        name from envFrom."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._init: bool = parameters.includeInitContainers
        self._skip_env_from: bool = parameters.skipContainersWithEnvFrom
        variables = [
            _compile(variable, f"variables[{i}]", context) for i, variable in enumerate(parameters.variables)
        ]
        _refuse_duplicates(variables)
        self._for_accelerator = tuple(v for v in variables if v.containers != "NonAccelerator")
        self._for_others = tuple(v for v in variables if v.containers != "Accelerator")
        self._alike = self._for_accelerator == self._for_others
        self.computes = any(variable.computed is not None for variable in variables)

    def __call__(self, pod: Pod, draft: Draft) -> None:
        self._add_to_all(pod, draft, None)

    def compute(self, pod: Pod, draft: Draft, scope: Scope) -> None:
        self._add_to_all(pod, draft, scope)

    def _add_to_all(self, pod: Pod, draft: Draft, scope: Scope | None) -> None:
        for container in pod.containers:
            if self._concerns(container):
                uses_accelerator = not self._alike and accelerator_count(pod, container) > 0
                wanted = self._for_accelerator if uses_accelerator else self._for_others
                if wanted:
                    _add(wanted, container, draft, scope)

    def _concerns(self, container: Container) -> bool:
        if container.is_ephemeral:
            return False
        if container.list_name == "initContainers" and not self._init and not container.is_sidecar:
            return False
        return not (self._skip_env_from and container.raw.get("envFrom"))


def _add(wanted: Iterable[_Injected], container: Container, draft: Draft, scope: Scope | None) -> None:
    names = [variable.get("name") for variable in items(container.raw, "env")]
    for injected in wanted:
        variable = injected
        if variable.name not in names:
            if variable.computed is not None:
                assert scope is not None  # one that computes is called with what its expressions see
                value = variable.computed.value(scope)
                if not value:
                    continue
                variable = replace(variable, value=value)
            draft.append(container.field("env"), variable.as_json())


def _compile(variable: Variable, field: str, context: Context) -> _Injected:
    if problem := variable_name_problem(variable.name):
        raise ParameterError(problem, f"{field}.name")
    sources = (variable.value, variable.valueFrom, variable.valueExpression)
    if sum(source is not None for source in sources) != 1:
        raise ParameterError("give either value or valueFrom, or valueExpression", field)
    if variable.valueExpression is not None:
        computed = compile_text(variable.name, variable.valueExpression, f"{field}.valueExpression", context)
        return _Injected(variable.name, variable.containers, None, None, computed)
    if variable.valueFrom is None:
        return _Injected(variable.name, variable.containers, variable.value, None)
    given = [name for name, source in structs.asdict(variable.valueFrom).items() if source]
    if len(given) != 1:
        raise ParameterError(
            "give exactly one of fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef",
            f"{field}.valueFrom",
        )
    reference = getattr(variable.valueFrom, given[0])
    _check_reference(reference, f"{field}.valueFrom.{given[0]}")
    values = {name: value for name, value in structs.asdict(reference).items() if value is not None}
    return _Injected(variable.name, variable.containers, None, (given[0], values))


def _check_reference(reference: FieldRef | ResourceFieldRef | KeyRef, field: str) -> None:
    if isinstance(reference, FieldRef):
        if reference.apiVersion != "v1":
            raise ParameterError("must be v1", f"{field}.apiVersion")
        if reference.fieldPath not in _FIELD_PATHS and not _is_keyed(reference.fieldPath):
            raise ParameterError(
                f"must be one of {', '.join(_FIELD_PATHS)}, metadata.labels['KEY'] and "
                f"metadata.annotations['KEY'], not \"{reference.fieldPath}\"",
                f"{field}.fieldPath",
            )
    elif isinstance(reference, ResourceFieldRef):
        match = _RESOURCE.fullmatch(reference.resource)
        if match is None:
            raise ParameterError(
                "must be limits or requests of cpu, memory, ephemeral-storage or hugepages-SIZE, such as "
                f'limits.memory, not "{reference.resource}"',
                f"{field}.resource",
            )
        divisors = _CPU_DIVISORS if match[1] == "cpu" else _BYTE_DIVISORS
        if reference.divisor is not None and reference.divisor not in divisors:
            raise ParameterError(f"must be one of {', '.join(divisors)}", f"{field}.divisor")


def _is_keyed(path: str) -> bool:
    match = _KEYED_FIELD_PATH.fullmatch(path)
    if match is None:
        return False
    problem = label_key_problem if match[1] == "labels" else annotation_key_problem
    return problem(match[2]) is None


def _refuse_duplicates(variables: list[_Injected]) -> None:
    seen: dict[str, set[ContainerChoice]] = {}
    for i, variable in enumerate(variables):
        before = seen.setdefault(variable.name, set())
        if before and (variable.containers in before or "All" in {*before, variable.containers}):
            raise ParameterError(
                f'"{variable.name}" is given twice for the same containers', f"variables[{i}].name"
            )
        before.add(variable.containers)
