"""The check ``protected-labels``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from webhook.checks.wording import short
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Names
from webhook.policy.rule import Context, ObjectCheck, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object


class ProtectedLabels(ObjectCheck):
    """Certain labels of a namespace are set, changed and removed by nobody.

    The policy's ``exclude`` says who may all the same.

    Why:
        The label gpuward.dev/mode decides whether policies are enforced in a namespace. Who may edit the namespace
        can lower it or take it off, and with it every policy.

    Restricted fields:
        metadata.labels

    Allowed values:
        On creation, no label whose key is one of ``keys``. On an update, those labels are as they were. Deletion is
        not judged: what is in the namespace goes with it.

    Remediation:
        Leave the label as it is, and ask those who may change it. They are excluded in the policy.

    Source:
        https://kubernetes.io/docs/concepts/security/pod-security-admission/ (whose labels whoever may update a
        namespace may set)
        k8s.io/pod-security-admission admission/admission.go (ValidateNamespace)
    """

    name = "protected-labels"
    title = "Labels that decide about policies are changed only by those who may"
    severity = Severity.CRITICAL
    kinds = (("", "Namespace"),)
    judges_changes = True

    class Parameters(Strict, frozen=True):
        """Settings of ``protected-labels``."""

        keys: tuple[Annotated[str, MinLen(1)], ...] = ("gpuward.dev/*",)
        """Keys of labels, or globs over them."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        if not parameters.keys:
            raise ParameterError("no label is protected; name a key", "keys")
        self._keys = Names(parameters.keys)

    def __call__(self, obj: Object) -> Iterator[Violation]:
        before = {} if obj.old is None else obj.old.labels
        now = obj.labels
        for key in sorted({*before, *now}):
            if not self._keys.match(key) or before.get(key) == now.get(key):
                continue
            if now.get(key) is None:
                did, instead = "removed", f'write it again: "{short(before[key])}"'
            elif before.get(key) is not None:
                did, instead = "changed", f'leave it at "{short(before[key])}"'
            else:
                did, instead = "set", "leave it out"
            yield Violation(
                f"label-{did}",
                ("metadata", "labels", key),
                f'the label "{short(key)}" may not be {did}; {instead}, or ask the platform team',
            )
