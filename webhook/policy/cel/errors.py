"""What can go wrong with an expression: it does not compile, or it does not evaluate."""

from __future__ import annotations


class CelCompileError(ValueError):
    """An expression that cannot be used: bad syntax, an unknown name, the wrong type, or something unsupported.

    ``message`` says what is wrong in one sentence; ``line`` and ``column`` (both 1-based, in characters) say where in
    ``expression``; ``variable`` names the composed variable the expression belongs to, if it belongs to one.
    ``str()`` adds the line itself with a caret under the place.
    """

    def __init__(
        self, message: str, expression: str = "", line: int = 1, column: int = 1, variable: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expression = expression
        self.line = line
        self.column = column
        self.variable = variable

    @classmethod
    def at(cls, message: str, expression: str, offset: int) -> CelCompileError:
        """The error at a place given as an offset into the expression, in characters."""
        before = expression[:offset]
        line = before.count("\n") + 1
        return cls(message, expression, line, offset - (before.rfind("\n") + 1) + 1)

    def of_variable(self, name: str) -> CelCompileError:
        """The same error, told to be in the composed variable ``name``."""
        return CelCompileError(
            f"variable {name!r}: {self.message}", self.expression, self.line, self.column, name
        )

    def __str__(self) -> str:
        lines = self.expression.splitlines()
        if not 1 <= self.line <= len(lines):
            return self.message
        # A tab stays a tab below itself, so that the caret stands under its character.
        source = lines[self.line - 1]
        indent = "".join("\t" if character == "\t" else " " for character in source[: self.column - 1])
        margin = " " * len(str(self.line))
        return f"{self.message}\n{self.line} | {source}\n{margin} | {indent}^"


class CelEvaluationError(Exception):
    """An expression that gave no value for these objects: a missing key, a division by zero, too many loop steps.

    ``message`` says what happened; ``expression`` is the expression.
    """

    def __init__(self, message: str, expression: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expression = expression
