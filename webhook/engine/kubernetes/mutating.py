"""Compiling a MutatingAdmissionPolicy and its bindings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from webhook.engine.kubernetes.common import common_parts
from webhook.engine.kubernetes.expressions import OBJECT, PATCHES, Expressions
from webhook.engine.kubernetes.policies import Binding, MutatingPolicy, MutationRule
from webhook.policy.kubernetes.documents import (
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    Mutation,
)
from webhook.policy.kubernetes.matching import ResourceMatcher
from webhook.policy.kubernetes.parameters import Parameters
from webhook.policy.problems import InvalidPolicy, Problem

_WRITTEN_IN: Final = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def compile_mutating(document: MutatingAdmissionPolicy, bindings: Sequence[Binding]) -> MutatingPolicy:
    """Compile one policy, in force through these bindings.

    Raises:
        InvalidPolicy: with everything that is wrong with its CEL and annotations.
    """
    problems: list[Problem] = []
    expressions, parts = common_parts(document, bindings, problems)
    spec = document.spec
    mutations = [
        rule for i, entry in enumerate(spec.mutations or ()) for rule in _mutation(entry, i, expressions)
    ]
    if problems:
        raise InvalidPolicy(problems)
    return MutatingPolicy(
        **parts,
        mutations=tuple(mutations),
        reinvoked=spec.reinvocationPolicy == "IfNeeded",
    )


def compile_mutating_binding(
    document: MutatingAdmissionPolicyBinding, parameters: Parameters | None
) -> Binding:
    """Compile one binding, which must have no problems of its own."""
    resources = document.spec.matchResources
    return Binding(
        name=document.metadata.name,
        matcher=None if resources is None else ResourceMatcher(resources),
        parameters=parameters,
    )


def _mutation(mutation: Mutation, index: int, expressions: Expressions) -> list[MutationRule]:
    field = _WRITTEN_IN.get(mutation.patchType or "")
    written = None if field is None else getattr(mutation, field)
    if field is None or written is None:
        return []  # said already
    patches = mutation.patchType == "JSONPatch"
    path = ("spec", "mutations", index, field, "expression")
    program = expressions.compile(written.expression, path, PATCHES if patches else OBJECT)
    return [] if program is None else [MutationRule(f"mutations[{index}]", program, patches)]
