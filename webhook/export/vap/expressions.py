"""Expressions of the policy's author: they go into the export as they are, where Kubernetes knows all they use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from webhook.export.vap.parts import Inexpressible
from webhook.export.vap.variables import USED

if TYPE_CHECKING:
    from webhook.policy.cel import Environment, Program, Returns
    from webhook.policy.model import Variable

# Strings (raw ones, in which a backslash is one, and those of three quotes first) and comments: what is no code.
_NO_CODE: Final = re.compile(
    r"(?<!\w)(?:[rR][bB]?|[bB][rR])(?:\'\'\'.*?\'\'\'|\"\"\".*?\"\"\"|'[^']*'|\"[^\"]*\")"
    r"|(?:(?<!\w)[bB])?(?:\'\'\'(?:\\.|.)*?\'\'\'|\"\"\"(?:\\.|.)*?\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|//[^\n]*",
    re.DOTALL,
)

# What gpuward's CEL has and Kubernetes' has not; see webhook.policy.cel.
_LACKING: Final = (
    (re.compile(r"(?<![\w.])math\s*\.\s*\w+\s*\("), "the functions math.*"),
    (re.compile(r"(?<![\w.])base64\s*\.\s*\w+\s*\("), "the functions base64.*"),
    (re.compile(r"(?<![\w.])cel\s*\.\s*bind\s*\("), "cel.bind"),
    (re.compile(r"\.\s*reverse\s*\("), "reverse() of strings, and that this is of a list is not certain"),
    (re.compile(r"`"), "field names in backticks; write them as object.labels['name']"),
)


def code(expression: str) -> str:
    """The expression with its strings emptied and its comments gone."""
    return _NO_CODE.sub(lambda match: "" if match[0].startswith("//") else "''", expression)


def names(expression: str, word: str) -> bool:
    """Whether the expression uses a variable of this name. It may say yes to a field of that name, never no."""
    return re.search(rf"\b{word}\b", code(expression)) is not None


def variables_used(expression: str) -> set[str]:
    """The composed variables that the expression uses itself."""
    return set(USED.findall(re.sub(r"\s*\.\s*", ".", code(expression))))


def grouped(expression: str) -> str:
    """The expression in parentheses, which a comment at its end must not swallow."""
    written = expression.strip()
    return f"({written}\n)" if "//" in written else f"({written})"


class Authors:
    """The variables of a policy's author, and what can be done with expressions over them."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self._written = {variable.name: variable.expression for variable in variables}
        self._environment: Environment | None = None

    @property
    def written(self) -> dict[str, str]:
        """Name to expression, for the variables of an export."""
        return {name: expression.strip() for name, expression in self._written.items()}

    def export(self, expression: str, returns: Returns) -> str:
        """The expression as Kubernetes takes it, which wants a bool where gpuward takes what may be one.

        Raises:
            Inexpressible: it, or a variable that it uses, has what Kubernetes lacks.
        """
        program = self._compile(expression, returns)
        self._refuse_what_is_lacking(expression)
        for name in sorted(self._closure(expression)):
            try:
                self._refuse_what_is_lacking(self._written[name])
            except Inexpressible as lacking:
                raise Inexpressible(f"{lacking} (in the variable {name})") from None
        if program.result_type != "dyn":
            return expression.strip()
        return (
            f"{grouped(expression)} ? true : false"
            if returns == "bool"
            else f"[{grouped(expression)}].join('')"
        )

    def asks_more_than_a_condition_may(self, expression: str) -> bool:
        """Whether it uses what Kubernetes' matchConditions do not have: variables and the namespace."""
        return any(names(expression, word) for word in ("variables", "namespaceObject", "params"))

    def _compile(self, expression: str, returns: Returns) -> Program:
        from webhook.policy.cel import Environment

        if self._environment is None:
            self._environment = Environment(list(self._written.items()))
        return self._environment.compile(expression, returns=returns)

    def _closure(self, expression: str) -> set[str]:
        found: set[str] = set()
        waiting = [expression]
        while waiting:
            for name in variables_used(waiting.pop()) - found:
                if name in self._written:
                    found.add(name)
                    waiting.append(self._written[name])
        return found

    def _refuse_what_is_lacking(self, expression: str) -> None:
        written = code(expression)
        for pattern, what in _LACKING:
            if pattern.search(written):
                raise Inexpressible(f"Kubernetes' CEL has no {what}")
        if names(expression, "params"):
            raise Inexpressible("params are for policies with parameter objects, which this one has not")
