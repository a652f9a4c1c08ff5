"""Compiling the CEL of an admission policy, as strictly as the API server does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from webhook.engine.kubernetes.policies import Condition
from webhook.kube.path import Path
from webhook.policy.kubernetes.documents import MatchCondition, Variable
from webhook.policy.kubernetes.validation import is_identifier
from webhook.policy.problems import Problem

if TYPE_CHECKING:
    from webhook.policy.cel import CelCompileError, Environment, Program, Returns

BOOL: Final = ("bool",)
STRING: Final = ("string",)
STRING_OR_NULL: Final = ("string", "null")
OBJECT: Final = ("Object",)
PATCHES: Final = ("list(JSONPatch)",)

# What the library is asked for, by what is wanted. It takes dyn for both, and anything that can be JSON for "any".
_RETURNS: Final[Mapping[tuple[str, ...], Returns]] = {
    BOOL: "bool",
    STRING: "string",
    OBJECT: "object",
    PATCHES: "patches",
}

_HINTS: Final = {"bool": "write ... == true", "string": "write string(...)"}


class Expressions:
    """The expressions of one policy. Problems are collected in the list that is given."""

    def __init__(self, variables: Sequence[Variable], *, has_params: bool, problems: list[Problem]) -> None:
        """Compiles the variables one after the other, so that a mistake is shown where it is."""
        # Imported where the first admission policy is met: the library is not small.
        from webhook.policy.cel import CelCompileError, Environment

        self._has_params = has_params
        self._problems = problems
        self.variables: list[tuple[str, str]] = []
        """The variables that can be used, each with its expression."""
        self.environment = Environment()
        for i, variable in enumerate(variables):
            name, expression = variable.name or "", variable.expression or ""
            path: Path = ("spec", "variables", i, "expression")
            if not is_identifier(name) or not expression.strip() or name in dict(self.variables):
                continue  # said already
            try:
                self.environment = Environment([*self.variables, (name, expression)])
                self.variables.append((name, expression))
                self.check_params(expression, path)
            except CelCompileError as error:
                self.report(error, path, f"variable {name!r}: ")

    def compile(
        self,
        expression: str | None,
        path: Path,
        types: tuple[str, ...],
        environment: Environment | None = None,
    ) -> Program | None:
        """The expression, ready to run; None where it cannot be used, which is among the problems then.

        Its type must be one of ``types`` and be known before it runs: Kubernetes takes no dyn either.
        """
        from webhook.policy.cel import CelCompileError

        if not (expression or "").strip():
            return None  # said already
        assert expression is not None
        try:
            compiled = (environment or self.environment).compile(expression, _RETURNS.get(types, "any"))
        except CelCompileError as error:
            self.report(error, path)
            return None
        if compiled.result_type not in types:
            wanted = " or ".join(types)
            hint = _HINTS.get(wanted, "") if compiled.result_type == "dyn" else ""
            message = f"CEL: must evaluate to {wanted} but got {compiled.result_type}"
            self._problems.append(Problem(path, message, hint, offset=(1, 1)))
            return None
        return compiled if self.check_params(expression, path) else None

    def conditions(self, conditions: Sequence[MatchCondition], path: Path) -> tuple[Condition, ...]:
        """The match conditions. They are evaluated before anything else, and so cannot use variables."""
        from webhook.policy.cel import Environment
        from webhook.policy.cel.names import free_names

        compiled = []
        environment = Environment()
        for i, condition in enumerate(conditions):
            program = self.compile(condition.expression, (*path, i, "expression"), BOOL, environment)
            if program is not None:
                asks = "namespaceObject" in free_names(program.expression)
                compiled.append(Condition(condition.name or "", program, asks))
        return tuple(compiled)

    def check_params(self, expression: str, path: Path) -> bool:
        """Whether an expression that compiles may use ``params``, if it does."""
        from webhook.policy.cel.names import free_names

        offset = None if self._has_params else free_names(expression).get("params")
        if offset is None:
            return True
        before = expression[:offset]
        place = (before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)
        message = "CEL: undeclared reference to 'params'"
        self._problems.append(Problem(path, message, "params need a paramKind in the policy", offset=place))
        return False

    def report(self, error: CelCompileError, path: Path, prefix: str = "") -> None:
        """Take a compile error as a problem."""
        message = error.message.removeprefix(prefix)
        if path[1] == "matchConditions" and message.startswith("undefined variable"):
            message = "variables cannot be used here: match conditions are evaluated before them"
        self._problems.append(Problem(path, f"CEL: {message}", offset=(error.line, error.column)))
