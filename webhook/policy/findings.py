"""What rules say: violations, and the findings a decision is made of."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from webhook.kube.path import Path, render


class Severity(StrEnum):
    """How bad a violation is, in the words of policy reports (openreports.io)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Action(StrEnum):
    """What a policy wants done about a violation."""

    ENFORCE = "Enforce"
    WARN = "Warn"
    AUDIT = "Audit"


class Mode(StrEnum):
    """How far a namespace lets policies go (label ``gpuward.dev/mode``): a ceiling over every policy's action."""

    AUDIT = "audit"
    WARN = "warn"
    ENFORCE = "enforce"


MODE_LABEL = "gpuward.dev/mode"

_STRENGTH = {Action.AUDIT: 0, Action.WARN: 1, Action.ENFORCE: 2}
_CEILING = {Mode.AUDIT: Action.AUDIT, Mode.WARN: Action.WARN, Mode.ENFORCE: Action.ENFORCE}

# (action, mode) to the weaker of both; a table, as it is looked up for every policy of every request.
EFFECTIVE_ACTION = {
    (action, mode): min(action, _CEILING[mode], key=_STRENGTH.__getitem__)
    for action in Action
    for mode in Mode
}


class Violation(Struct, frozen=True):
    """One breach of one rule, as the rule's own code reports it.

    ``reason`` is a stable identifier of the kind of breach (kebab-case), ``path`` where in the whole object it is,
    ``message`` one sentence for the author of the object: what is wrong and what to write instead.
    """

    reason: str
    path: Path
    message: str


class Finding(Struct, frozen=True):
    """A violation together with the policy that found it and what is done about it.

    ``action`` is the effective one: the weaker of the policy's action and the namespace's mode, weakened to Warn
    where an update did not introduce the violation. ``error`` marks a rule that failed rather than one that judged.
    """

    policy: str
    rule: str
    severity: Severity
    action: Action
    path: Path
    reason: str
    message: str
    error: bool = False

    @property
    def field(self) -> str:
        """The path as text, e.g. ``spec.containers[0].image``; empty where the finding is about the whole object."""
        return render(self.path)
