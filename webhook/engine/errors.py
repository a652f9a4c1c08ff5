"""A rule that failed is a finding of its own, and follows its policy's ``failurePolicy``."""

from __future__ import annotations

from webhook.engine.ruleset import Selected
from webhook.policy.findings import Action, Finding, Severity


def failed_rule(selected: Selected, rule: str, error: Exception, *, mutation: bool = False) -> Finding:
    """The finding for a rule that raised ``error`` instead of judging.

    With ``failurePolicy: Fail`` it counts as a violation; with ``Ignore`` it is only recorded. A mutation that fails
    never refuses by itself: the object it leaves unchanged is validated like any other.
    """
    action = selected.action if selected.policy.fail_closed else Action.AUDIT
    if mutation and action is Action.ENFORCE:
        action = Action.WARN
    detail = f"the rule could not be evaluated: {text_of(error)}"
    return failure(selected.policy.name, rule, action, detail)


def failure(policy: str, rule: str, action: Action, detail: str) -> Finding:
    """The finding for a part of a policy that failed. ``detail`` says how, ``action`` what is done about it."""
    return Finding(
        policy=policy,
        rule=rule,
        severity=Severity.HIGH,
        action=action,
        path=(),
        reason="rule-failed",
        message=f"{detail}; this is for the policy's author to mend",
        error=True,
    )


def text_of(error: Exception, *known: type[Exception]) -> str:
    """What may be said of an error: the text of a CEL error, or of one of the ``known`` kinds, tells the policy's
    author what to mend. Any other may quote the object, so only its type is shown."""
    # By its name, as most policy sets never import the library.
    if type(error).__name__ == "CelEvaluationError" or isinstance(error, known):
        return str(error)
    return f"internal error ({type(error).__name__})"
