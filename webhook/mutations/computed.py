"""Values that are worked out by an expression: what the mutations that take them have in common.

An expression sees the pod (as ``object``), ``request``, ``namespaceObject`` and the policy's ``variables``. Null, and
for texts the empty one, is no value: nothing is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from webhook.kube.path import render
from webhook.policy.rule import Context, ParameterError

if TYPE_CHECKING:
    from webhook.policy.cel import Program, Scope

_TEXTS: Final = ("string", "null", "dyn")


class ComputedText(Struct, frozen=True):
    """A text by its name: of a label, an annotation, a variable."""

    name: str
    program: Program

    def value(self, scope: Scope) -> str:
        """The text; empty for none.

        Raises:
            CelEvaluationError: the expression gives no value, or another than a string.
        """
        found = self.program.evaluate(scope)
        if found is None:
            return ""
        if type(found) is not str:
            raise unusable(f"{self.name}: must evaluate to string or null; write string(...)", self.program)
        return found


def unusable(message: str, program: Program) -> Exception:
    """The error for a value that cannot be used, as one of the expression that gave it."""
    from webhook.policy.cel import CelEvaluationError

    return CelEvaluationError(message, program.expression)


def compile_text(name: str, expression: str, field: str, context: Context) -> ComputedText:
    """The expression of a text, ready to be evaluated.

    Raises:
        ParameterError: it does not compile, or gives something else.
    """
    program = context.compile(expression, field)
    if program.result_type not in _TEXTS:
        message = f"CEL: must evaluate to string or null but got {program.result_type}; write string(...)"
        raise ParameterError(message, field, (1, 1))
    return ComputedText(name, program)


def compile_texts(
    values: Mapping[str, str],
    expressions: Mapping[str, str],
    key_problem: Callable[[str], str | None],
    context: Context,
) -> tuple[ComputedText, ...]:
    """The expressions of ``valueExpressions``, beside the ``values`` that are written out.

    Raises:
        ParameterError: neither is given, a key cannot be one or is in both, or an expression is wrong.
    """
    if not values and not expressions:
        raise ParameterError("give values or valueExpressions")
    found = []
    for key, expression in expressions.items():
        field = render(("valueExpressions", key))
        if problem := key_problem(key):
            raise ParameterError(problem, field)
        if key in values:
            raise ParameterError(f'"{key}" is given under values too', field)
        found.append(compile_text(key, expression, field, context))
    return tuple(found)


def reads_pod(program: Program) -> bool:
    """Whether the value depends on the pod, which the mutation changes."""
    return bool(program.reads & {"object", "oldObject"})
