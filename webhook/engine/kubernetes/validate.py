"""Judging a request by ValidatingAdmissionPolicies, as the API server does it.

What differs is what comes of a verdict: the namespace's mode is a ceiling over the binding's actions, as over every
policy's. The verdict itself does not differ, so an update is judged as a whole, not for what it changes.

Source: k8s.io/apiserver ``pkg/admission/plugin/policy/validating``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import orjson
from msgspec import Struct

from webhook.engine.errors import failure, text_of
from webhook.engine.kubernetes.incoming import Incoming
from webhook.engine.kubernetes.invoke import Invocation, conditions_hold, invocations, of_binding
from webhook.engine.kubernetes.policies import Binding, ValidatingPolicy, ValidationRule
from webhook.policy.findings import EFFECTIVE_ACTION, Action, Finding, Mode

if TYPE_CHECKING:
    from webhook.policy.cel import Scope

# The API server's key has a prefix of its own, and what a webhook answers may have none.
FAILURES_ANNOTATION: Final = "validation_failure"

# Audit annotations end in the API server's audit log, once a request.
_MAX_FAILURES: Final = 50

_MAX_MESSAGE_BYTES: Final = 5 * 1024
_MAX_ANNOTATION_BYTES: Final = 10 * 1024


class Verdict:
    """The findings of all policies, and what they have for the audit log."""

    __slots__ = ("_annotations", "_failures", "findings")

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._annotations: dict[str, dict[str, None]] = {}
        self._failures: list[dict[str, object]] = []

    def annotate(self, key: str, value: str) -> None:
        """Take an audit annotation. Several values of one key are listed."""
        cut = value.encode()[:_MAX_ANNOTATION_BYTES].decode(errors="ignore")
        self._annotations.setdefault(key, {})[cut] = None

    def record(self, policy: ValidatingPolicy, binding: Binding, index: int, message: str) -> None:
        """Take a violation for the audit log."""
        self._failures.append(
            {
                "message": message,
                "policy": policy.name,
                "binding": binding.name,
                "expressionIndex": index,
                "validationActions": binding.actions,
            }
        )

    @property
    def audit_annotations(self) -> dict[str, str]:
        """For the API server's audit log."""
        annotations = {key: ", ".join(values) for key, values in self._annotations.items()}
        if self._failures:
            annotations[FAILURES_ANNOTATION] = orjson.dumps(self._failures[:_MAX_FAILURES]).decode()
        return annotations


def judge(policies: Iterable[ValidatingPolicy], incoming: Incoming, mode: Mode) -> Verdict:
    """What the policies say about the request in a namespace of this mode. Does not raise."""
    verdict = Verdict()
    for policy in policies:
        for invocation in invocations(policy, incoming):
            verdict.findings.extend(_Evaluation(policy, invocation, mode, verdict).run(incoming))
    return verdict


class _Evaluation(Struct, frozen=True):
    """One invocation of a policy, and where its results go."""

    policy: ValidatingPolicy
    invocation: Invocation
    mode: Mode
    verdict: Verdict

    def run(self, incoming: Incoming) -> Iterator[Finding]:
        """Every finding of this invocation."""
        policy, invocation = self.policy, self.invocation
        if invocation.failure is not None:
            # Whatever the binding's actions are: the policy is not set up.
            yield self.failed(invocation.failure.part, str(invocation.failure), Action.ENFORCE)
            return
        assert invocation.scope is not None
        try:
            if not conditions_hold(policy, incoming, invocation):
                return
        except Exception as error:  # noqa: BLE001 - a condition that cannot be evaluated is a finding
            yield self.violated(0, self.failed("matchConditions", text_of(error), invocation.binding.action))
            return
        for index, rule in enumerate(policy.validations):
            finding = self.validate(rule, invocation.scope)
            if finding is not None:
                yield self.violated(index, finding)
        for annotation in policy.audit_annotations:
            try:
                value = annotation.program.evaluate(invocation.scope)
            except Exception as error:  # noqa: BLE001 - as above
                # Denies whatever the binding's actions are, as in the API server.
                yield self.failed(annotation.name, text_of(error), Action.ENFORCE)
                continue
            if isinstance(value, str) and value.strip():
                self.verdict.annotate(annotation.annotation, value.strip())

    def validate(self, rule: ValidationRule, scope: Scope) -> Finding | None:
        """The finding of one validation that does not hold."""
        action = self.invocation.binding.action
        try:
            if rule.program.evaluate(scope) is True:
                return None
        except Exception as error:  # noqa: BLE001 - an expression that cannot be evaluated is a finding
            return self.failed(rule.name, text_of(error), action)
        return Finding(
            policy=self.policy.name,
            rule=rule.name,
            severity=self.policy.severity,
            action=EFFECTIVE_ACTION[action, self.mode],
            path=(),
            reason=rule.reason,
            message=self._of_binding(_message(rule, scope)),
        )

    def violated(self, index: int, finding: Finding) -> Finding:
        """The finding, recorded for the audit log where the binding asks for it."""
        if "Audit" in self.invocation.binding.actions and (self.policy.fail_closed or not finding.error):
            self.verdict.record(self.policy, self.invocation.binding, index, finding.message)
        return finding

    def failed(self, rule: str, detail: str, action: Action) -> Finding:
        """The finding for a policy that could not judge: with failurePolicy Fail as a violation, else recorded."""
        action = EFFECTIVE_ACTION[action, self.mode] if self.policy.fail_closed else Action.AUDIT
        return failure(
            self.policy.name, rule, action, self._of_binding(f"the policy could not be evaluated: {detail}")
        )

    def _of_binding(self, message: str) -> str:
        return of_binding(self.policy, self.invocation.binding, message)


def _message(rule: ValidationRule, scope: Scope) -> str:
    """The text of a violation. An expression for it that fails, or gives an empty, long or broken text, is passed
    over."""
    if rule.message_program is not None:
        try:
            text = rule.message_program.evaluate(scope).strip()
        except Exception:  # noqa: BLE001 - the fallback is the specified behaviour
            text = ""
        if text and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE_BYTES:
            return str(text)
    return rule.message
