"""How this package describes a CEL function, and how the library is made to run it.

The checker knows every function with its true Kubernetes types. Running one takes one of three ways, an overload each:

- the library runs it itself (a standard function or one of its extensions);
- ``cel``: it is an expression in terms of functions the library runs, put in its place when an expression is
  compiled (see ``expansion``);
- ``python``: a Python function. The library can hand it nothing but plain values: a null loses a reference on the way
  and an optional crashes the process (cel-expr-python 0.1.3). So these take strings, numbers and booleans only.

A value of a Kubernetes type (Quantity, URL, IP ...) is at run time a string: a mark that no Kubernetes object can
contain (``scope`` sees to that), a letter for the type, and the value's canonical text, so that the library's own
equality is the type's equality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from . import budget
from .celtype import CelType

MARK = "\ufdd0"
"""Opens the run-time form of a Kubernetes-typed value. A Unicode noncharacter: never valid in exchanged text."""


class FunctionError(Exception):
    """A CEL function's own error, such as an invalid quantity. Becomes the evaluation's error, in these words."""


class Opaque(msgspec.Struct, frozen=True):
    """A Kubernetes type: how a value is written as canonical text and read back."""

    type: CelType
    letter: str
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]

    def wrap(self, value: Any) -> str:
        """The run-time form of a value."""
        return MARK + self.letter + self.encode(value)

    def unwrap(self, text: str) -> Any:
        """The value of a run-time form.

        Raises:
            FunctionError: the text is no value of this type; it came from a dyn expression.
        """
        if not text.startswith(MARK + self.letter):
            raise FunctionError(f"no such overload: expected a {self.type}, got a string")
        return self.decode(text[2:])


class Overload(msgspec.Struct, frozen=True):
    """One signature of a function. ``parameters`` begin with the target where it is a ``member``."""

    id: str
    parameters: tuple[CelType, ...]
    result: CelType
    member: bool = False
    python: Callable[..., Any] | None = None
    cel: str | None = None
    """An expression over ``a0``, ``a1`` ...: the operands. Each may stand once only, since it is evaluated where it
    stands; ``cel.bind`` is there for more."""


class Function(msgspec.Struct, frozen=True):
    """A CEL function by its name, dots included: ``ip.isCanonical``."""

    name: str
    overloads: tuple[Overload, ...]
    dynamic: str | None = None
    """What runs where an operand is dyn and several overloads may be meant; an expression as ``Overload.cel`` is."""


def function(name: str, *overloads: Overload, dynamic: str | None = None) -> Function:
    return Function(name, overloads, dynamic)


def python_callable(overload: Overload, opaques: Sequence[Opaque]) -> Callable[..., Any]:
    """The overload's Python function as the library may call it: Kubernetes-typed values unwrapped and wrapped."""
    by_type = {opaque.type: opaque for opaque in opaques}
    implementation = overload.python
    assert implementation is not None
    unwrap = [by_type[kind].unwrap if kind in by_type else _same for kind in overload.parameters]
    wrap = by_type[overload.result].wrap if overload.result in by_type else _same

    def call(*arguments: Any) -> Any:
        if not budget.may_read_in_python(arguments):
            raise FunctionError(budget.TOO_MUCH_GIVEN)
        result = wrap(
            implementation(*(read(argument) for read, argument in zip(unwrap, arguments, strict=True)))
        )
        # The library takes a string up to its first NUL; half an answer is worse than none.
        if type(result) is str and "\0" in result:
            raise FunctionError("a string that contains NUL is not supported")
        return result

    return call


def _same(value: Any) -> Any:
    return value
