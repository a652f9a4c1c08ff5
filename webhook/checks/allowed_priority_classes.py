"""The check ``allowed-priority-classes``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from webhook.checks.wording import listed, short
from webhook.kube.shape import text
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Listed
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Pod

_SYSTEM_PREFIX: Final = "system-"


class AllowedPriorityClasses(Check):
    """A pod has one of the named priority classes, or none.

    Why:
        Priority decides who is preempted when accelerators run out. Whoever may pick any class can push out
        every other team's training, and with a system class even what keeps the node running.

    Restricted fields:
        spec.priorityClassName

    Allowed values:
        A class that ``names`` admits, by name or glob; absent or empty, unless ``required``. The classes of
        Kubernetes itself (system-node-critical, system-cluster-critical, and whatever begins with system-)
        are admitted only where they are written out: no glob admits them. Pods without a class have been
        given the cluster's default class, if there is one, before they come here: name it.

    Remediation:
        Write an allowed class as priorityClassName, or remove the field.

    Source:
        https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
        k8s.io/kubernetes plugin/pkg/admission/priority/admission.go
    """

    name = "allowed-priority-classes"
    title = "Pods use allowed priority classes"
    severity = Severity.MEDIUM

    class Parameters(Strict, frozen=True):
        """Settings of ``allowed-priority-classes``."""

        names: tuple[str, ...]
        """Names of priority classes, or globs over them (``ml-*``). With none, no class may be named."""
        required: bool = False
        """Whether a pod must name a class."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        if parameters.required and not parameters.names:
            raise ParameterError("a class is required and none is allowed; name one", "names")
        if "" in parameters.names:
            raise ParameterError("a priority class has a name", f"names[{parameters.names.index('')}]")
        self._required = parameters.required
        self._literal = frozenset(parameters.names)
        self._names = Listed(parameters.names)
        self._wanted = f"write {listed(parameters.names, 'or')}" if parameters.names else "remove it"

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        name = text(pod.spec, "priorityClassName")
        if not name:
            if self._required:
                yield Violation(
                    "priority-class-missing",
                    pod.field("priorityClassName"),
                    f"the pod names no priority class; {self._wanted} as priorityClassName",
                )
            return
        # A literal name that is also a glob ("ml-*") cannot be a class's, so the set admits nothing too much.
        if name in self._literal:
            return
        if name.startswith(_SYSTEM_PREFIX) or not self._names.match(name):
            yield Violation(
                "priority-class-not-allowed",
                pod.field("priorityClassName"),
                f'the priority class "{short(name)}" is not allowed here; {self._wanted}'
                + (", or leave it out" if self.parameters.names and not self._required else ""),
            )
