"""CEL as Kubernetes' admission policies have it: expressions compiled and type-checked at load, then evaluated.

    environment = Environment([("requested", "object.spec.containers.map(c, c.?resources.limits.orValue({}))")])
    program = environment.compile("variables.requested.all(r, 'memory' in r)")
    program.evaluate(Scope(object=pod))

The expressions see ``object``, ``oldObject``, ``request``, ``namespaceObject``, ``params`` and ``variables`` as a
ValidatingAdmissionPolicy's do, and Kubernetes' function libraries (``library``). Source: kubernetes.io "Common
Expression Language in Kubernetes", k8s.io/apiserver 1.36.

What runs them is Google's C++ CEL (cel-expr-python 0.1.3), imported when the first expression is compiled. It types a
variable as a whole, knows none of Kubernetes' functions and differs from Kubernetes in a dozen corners, all of which is
put right on the checked syntax tree before it runs: ``compiler`` is the way through. What else is to be known of it,
each tried:

- It evaluates holding the interpreter lock: no two evaluations run at once, and a ``Program`` may be used from any
  thread. A ``Scope`` must stay with one thread at a time.
- It knows no clock. It has the keys of a map in another order every time; what is built from a map here is in the order
  of its keys. Only which of several errors an ``all`` or ``exists`` over a map gives is left to chance.
- It ends an evaluation after 10,000 loop steps, those of nested loops and of composed variables included. What a step
  may cost, and what may grow faster than the object, ``bounds`` bounds, and ``budget`` counts; the length of an
  expression is bounded (``MAX_EXPRESSION_LENGTH``), and its nesting (32, the library's; Kubernetes has 250) and nested
  loops (4). The worst that remains, tried on objects of a megabyte made for it: about a second. What an expression
  builds outside of loops (a variable that is twice another, and so on) is bounded by its length only; that is in the
  hands of who writes the policy, not of who sends an object.
- A composed variable is evaluated when an expression first asks for it, and at most once an evaluation. Kubernetes
  keeps it for all expressions of a policy; a value cannot leave this library and come back unharmed, and evaluating
  it again shows in nothing but time.

Where it differs from Kubernetes it says so when the expression is loaded: no ``authorizer``, ``transformMap``,
``transformMapEntry``, ``type()`` or ``dyn()`` of a Kubernetes type, names of those types, ``%e`` in formats, nothing
done with an ``Object{...}`` or ``JSONPatch{...}`` but to return it (``construct``). More than Kubernetes: ``math``,
``base64``, ``cel.bind``, ``reverse()`` of a string, fields in backticks, and expressions whose type is dyn where a bool
or string is wanted. Literals that cannot be converted, and types that do not fit the path of their field, are found at
load, where Kubernetes finds them at evaluation. ``tests/policy/cel/kubernetes`` has two thousand expressions with what
Kubernetes makes of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import budget, engine, expansion, values
from .celtype import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, NULL, STRING, TIMESTAMP, UINT, CelType, list_of
from .compiler import MAX_LENGTH as MAX_EXPRESSION_LENGTH
from .compiler import Compiled, compile_expression
from .construct import JSON_PATCH, OBJECT
from .errors import CelCompileError, CelEvaluationError
from .scope import Scope

if TYPE_CHECKING:
    from cel_expr_python import cel

__all__ = [
    "MAX_EXPRESSION_LENGTH",
    "CelCompileError",
    "CelEvaluationError",
    "Environment",
    "Program",
    "Returns",
    "Scope",
]

Returns = Literal["bool", "string", "any", "value", "object", "patches"]
"""What an expression is for: a verdict, a message, a JSON value, or a mutation. ``value`` is a JSON value, in which
2.0 is 2, or an ``Object.some.path{...}``, whose fields need not be of one type as those of a map; ``object`` is an
``Object{...}``, given as a map; ``patches`` a list of ``JSONPatch{...}``, given as JSON Patch operations (RFC 6902)."""

_WANTED: dict[Returns, frozenset[CelType]] = {
    "bool": frozenset((BOOL, DYN)),
    "string": frozenset((STRING, DYN)),
    # As exact as in Kubernetes.
    "object": frozenset((OBJECT,)),
    "patches": frozenset((list_of(JSON_PATCH),)),
}
_JSON = frozenset((BOOL, INT, UINT, DOUBLE, STRING, NULL, DYN))
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Environment:
    """What expressions of one policy may use. Immutable.

    ``variables`` are the policy's composed variables, each a name and an expression; a later one may use an earlier one
    as ``variables.NAME``.

    Raises:
        CelCompileError: a variable's expression cannot be used, or its name is no identifier or is taken; the error's
            ``variable`` names it.
    """

    def __init__(self, variables: Sequence[tuple[str, str]] = ()) -> None:
        types: dict[str, CelType] = {}
        trees: dict[str, Any] = {}
        for name, expression in variables:
            if not _NAME.fullmatch(name):
                message = "a variable's name must be letters, digits and _, not beginning with a digit"
                raise CelCompileError(message, expression).of_variable(name)
            if name in types:
                raise CelCompileError("there is another variable of that name", expression).of_variable(name)
            try:
                compiled = compile_expression(expression, types)
            except CelCompileError as error:
                raise error.of_variable(name) from None
            types[name] = compiled.type
            trees[name] = compiled.expr
        self._types: Mapping[str, CelType] = types
        self._trees = trees

    def compile(self, expression: str, returns: Returns = "bool") -> Program:
        """The expression, ready to be evaluated.

        A dyn expression, such as ``object.spec.enabled``, may return anything as far as can be known here; its
        evaluation checks it. (Kubernetes refuses it.)

        Raises:
            CelCompileError: bad syntax, an unknown name or function, types that do not fit, something unsupported or
                too large.
        """
        constructs = returns in ("value", "object", "patches")
        compiled = compile_expression(expression, self._types, constructs=constructs)
        _check_result(compiled, returns, expression)
        return Program(
            expression, returns, compiled.type, expansion.with_variables(compiled.expr, self._trees)
        )


def _check_result(compiled: Compiled, returns: Returns, expression: str) -> None:
    wanted = _WANTED.get(returns)
    if wanted is not None:
        if compiled.type not in wanted:
            named = " or ".join(sorted(str(kind) for kind in wanted if kind != DYN))
            raise CelCompileError(f"must evaluate to {named} but got {compiled.type}", expression)
    elif returns == "value" and compiled.type.name.partition(".")[0] == OBJECT.name:
        return
    elif not _is_json(compiled.type):
        hint = "; convert it with string()" if compiled.type in (TIMESTAMP, DURATION, BYTES) else ""
        hint = "; give its alternative with orValue()" if compiled.type.name == "optional_type" else hint
        raise CelCompileError(f"must evaluate to a JSON value but got {compiled.type}{hint}", expression)


def _is_json(kind: CelType) -> bool:
    if kind.name == "list":
        return _is_json(kind.parameters[0])
    if kind.name == "map":
        key, value = kind.parameters
        return key in (STRING, DYN) and _is_json(value)
    return kind in _JSON


class Program:
    """A compiled expression. Immutable, and safe to use from any thread."""

    __slots__ = (
        "_expression",
        "expression",
        "reads",
        "reads_managed_fields",
        "result_type",
        "returns",
    )

    def __init__(self, expression: str, returns: Returns, result_type: CelType, tree: Any) -> None:
        self.expression = expression
        self.returns = returns
        self.result_type = str(result_type)
        """The static type, in CEL's spelling: ``bool``, ``dyn``, ``list(string)``."""
        self.reads = frozenset(expansion.variables_in(tree))
        """The variables of Kubernetes that its value depends on: ``object``, ``request`` ..."""
        self.reads_managed_fields = expansion.reads_managed_fields(tree)
        """Whether it may look at ``metadata.managedFields`` of an object."""
        self._expression: cel.Expression
        try:
            self._expression = engine.program(tree)
            # The library prepares an expression when it first runs; better at load than in a request.
            budget.start(0)
            self._expression.eval(engine.activation({}))
        except (RuntimeError, ValueError, LookupError) as error:
            if not values.ran_out_of_steps(error):
                raise CelCompileError(values.message(str(error)), expression) from error

    def evaluate(self, scope: Scope) -> Any:
        """The value for one object: a bool, a str, a dict, a list or a JSON value, as ``returns`` has it.

        Raises:
            CelEvaluationError: there is none.
        """
        try:
            variables, size = scope.activation(self.reads_managed_fields)
            budget.start(size)
            result = self._expression.eval(variables)
            if self.returns == "any":
                return values.plain(result)
            if self.returns == "value":
                return values.whole(values.plain(result))
            if self.returns == "object":
                return values.fields(result)
            if self.returns == "patches":
                return values.operations(result)
            return values.scalar(result, self.returns)
        except CelEvaluationError as error:
            message = error.message
        except (RuntimeError, ValueError, LookupError) as error:
            message = values.message(str(error))
        raise CelEvaluationError(scope.unfit(message) or message, self.expression)
