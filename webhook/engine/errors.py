"""A rule that failed is a finding of its own, and follows its policy's ``failurePolicy``."""

from __future__ import annotations

from webhook.engine.subjects import Selected
from webhook.policy.findings import Action, Finding, Severity


def failed_rule(selected: Selected, rule: str, error: Exception, *, mutation: bool = False) -> Finding:
    """The finding for a rule that raised ``error`` instead of judging.

    With ``failurePolicy: Fail`` it counts as a violation; with ``Ignore`` it is only recorded. A mutation that fails
    never refuses by itself: the object it leaves unchanged is validated like any other.
    """
    action = selected.action if selected.policy.fail_closed else Action.AUDIT
    if mutation and action is Action.ENFORCE:
        action = Action.WARN
    # The text of a CEL error tells the policy's author what to mend; any other may quote the object, so only its type
    # is shown.
    detail = (
        str(error)
        if type(error).__name__ == "CelEvaluationError"
        else f"internal error ({type(error).__name__})"
    )
    return Finding(
        policy=selected.policy.name,
        rule=rule,
        severity=Severity.HIGH,
        action=action,
        path=(),
        reason="rule-failed",
        message=f"the rule could not be evaluated: {detail}; this is for the policy's author to mend",
        error=True,
    )
