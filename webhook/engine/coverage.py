"""Which rules of a policy set its cases have shown at work, and at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from webhook.engine.cases import outcome, policies_about
from webhook.engine.decision import Decision
from webhook.engine.offline import kind_of
from webhook.engine.ruleset import Ruleset

if TYPE_CHECKING:
    from webhook.policy.case import CaseSpec


class Gap(Struct, frozen=True):
    """A rule and what no case shows of it, such as ``finds something`` or ``passes``."""

    policy: str
    rule: str
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.policy}/{self.rule} has no case in which it {' and none in which it '.join(self.missing)}"
        )


class Coverage:
    """Takes note of decisions about cases, and says what they leave out."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._checks = [(policy.name, rule.name) for policy in ruleset.policies for rule in policy.checks]
        self._checks += [
            (policy.name, rule.name) for policy in ruleset.policies for rule in policy.expressions
        ]
        if ruleset.kubernetes is not None:
            self._checks += [
                (policy.name, rule.name)
                for policy in ruleset.kubernetes.validating.policies
                if policy.bindings
                for rule in policy.validations
            ]
        self._object_checks = {
            (policy.name, rule.name): rule.check.kinds
            for policy in ruleset.policies
            for rule in policy.object_checks
        }
        self._mutations = [
            (policy.name, rule.name) for policy in ruleset.policies for rule in policy.mutations
        ]
        self._kubernetes_mutations = [
            (policy.name, rule.name)
            for policy in (ruleset.kubernetes.mutating.policies if ruleset.kubernetes is not None else ())
            if policy.bindings
            for rule in policy.mutations
        ]
        self._spoke: set[tuple[str, str]] = set()
        self._silent: set[tuple[str, str]] = set()

    def record(self, spec: CaseSpec, decision: Decision) -> None:
        """Take note of one case and the decision about it."""
        spoke = {(finding.policy, finding.rule) for finding in decision.findings} | set(decision.mutated_by)
        self._spoke |= spoke
        # A rule that was not asked has not let anything pass.
        spoke |= {(use.policy, use.rule) for use in decision.exempted}
        if outcome(decision) in ("allow", "mutate"):
            # A check of a policy that is not about the object lets nothing pass.
            asked = policies_about(spec, self._ruleset)
            self._silent |= {rule for rule in self._checks if rule[0] in asked} - spoke
            # A check of objects of one kind lets nothing pass in a case about another.
            group, _, kind = kind_of(decision.object or {})
            self._silent |= {
                rule
                for rule, kinds in self._object_checks.items()
                if rule[0] in asked and (group, kind) in kinds
            } - spoke
        self._silent |= {*self._mutations, *self._kubernetes_mutations} - spoke

    def gaps(self) -> list[Gap]:
        """A check that never found anything or never let anything pass, a mutation likewise."""
        gaps = []
        for rules, speaks, silent in (
            ([*self._checks, *self._object_checks], "finds something", "passes"),
            (self._mutations, "changes something", "leaves a pod alone"),
            (self._kubernetes_mutations, "changes something", "leaves an object alone"),
        ):
            for policy, rule in rules:
                shown = ((speaks, self._spoke), (silent, self._silent))
                missing = tuple(word for word, seen in shown if (policy, rule) not in seen)
                if missing:
                    gaps.append(Gap(policy, rule, missing))
        return gaps
