"""A checked tree made into one the library can run.

Kubernetes' functions are replaced by what they are in terms of the library's and of Python functions, the composed
variables by references to their own trees, and loops that would run away are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from msgspec.structs import replace

from . import bounds, construct, engine, formatting, library, quantity, tree
from .celtype import BYTES, DYN, OPAQUE_NAMES, QUANTITY, STRING
from .functions import Overload
from .tree import Call, Checked, Comprehension, Constant, Expr, Ident, ListExpr, Select
from .typed import Use

VARIABLE_PREFIX = "variables."
_GENERATED = 0
_NEVER = Constant(_GENERATED, False)

_HAS = (
    "cel.bind(v, a0, type(v) == optional_type "
    "? v.hasValue() && cel.bind(v, v.value(), type(v) == map || type(v) == list ? select(v) : false) "
    ": type(v) == map || type(v) == list ? select(v) : false)"
)
_OPTIONAL = (
    "cel.bind(v, a0, type(v) == map || type(v) == list ? select(v) : type(v) != optional_type ? optional.none() "
    ": v.hasValue() ? cel.bind(v, v.value(), type(v) == map || type(v) == list ? select(v) : optional.none()) "
    ": optional.none())"
)

# A map has its keys in another order every time; a list made of them should not.
_SORTED_KEYS = "l.map(k, k).sort()"
_COLLECTED = f"cel.bind(l, a0, {bounds.TOO_MANY_COLLECTED} : type(l) == map ? {_SORTED_KEYS} : l)"
_COLLECTED_PAIRS = (
    f"cel.bind(l, a0, {bounds.TOO_MANY_COLLECTED} : type(l) == map ? select([{_SORTED_KEYS}, l]) : select(l))"
)


class Expansion:
    """Makes one checked tree runnable. ``use_of`` finds the field chain that a name in the tree stands for."""

    def __init__(self, checked: Checked, use_of: Callable[[Expr], Use | None]) -> None:
        self._checked = checked
        self._use_of = use_of
        self._loops = 0
        self._accumulators: list[str] = []

    def expand(self, expr: Expr) -> Expr:
        """A node of the tree as a runnable tree; a composed variable in it is an ``Ident`` of its name behind
        ``variables.``."""
        match expr:
            case Ident():
                use = self._use_of(expr)
                return expr if use is None else _variables(use.expr)
            case Select(_, Ident(_, "variables")):
                return _variables(expr)
            case Call(_, "_?._", (Ident(_, "variables"), Constant(_, str(name)))):
                return Call(_GENERATED, "optional.of", (Ident(_GENERATED, VARIABLE_PREFIX + name),))
            case Select():
                return self._expand_select(expr)
            case Call(_, "_?._" | "_[?_]"):
                operand, field = (self.expand(part) for part in expr.args)
                return _optional(
                    operand, lambda container: Call(_GENERATED, expr.function, (container, field))
                )
            case Call(_, "_[_]") if self._is_optional(expr.args[0]):
                operand, index = (self.expand(part) for part in expr.args)
                return _optional(operand, lambda container: Call(_GENERATED, "_[?_]", (container, index)))
            case Call():
                return self._expand_call(expr)
            case Comprehension():
                return self._expand_loop(expr)
            case _:
                return tree.map_children(expr, self.expand)

    def _expand_loop(self, loop: Comprehension) -> Expr:
        over, initial = self.expand(loop.range), self.expand(loop.initial)
        if not _never_runs(loop):  # the accumulator of a cel.bind is a name that the author has chosen
            self._loops += 1
            self._accumulators.append(loop.accumulator)
        expanded = replace(
            loop,
            range=over,
            initial=initial,
            condition=self.expand(loop.condition),
            step=self.expand(loop.step),
            result=self.expand(loop.result),
        )
        if not _never_runs(loop):
            self._accumulators.pop()
            self._loops -= 1
        return _collecting(expanded) if _collects(loop) else expanded

    def _is_optional(self, expr: Expr) -> bool:
        return self._checked.type_of(expr).name == "optional_type"

    def _expand_select(self, select: Select) -> Expr:
        """To Kubernetes a string, number or null has no fields; to the library the question is an error."""
        operand = self.expand(select.operand)
        if self._is_optional(select.operand) and not select.test_only:
            name = Constant(_GENERATED, select.field)
            return _optional(operand, lambda container: Call(_GENERATED, "_?._", (container, name)))
        if not select.test_only:
            return replace(select, operand=operand)
        return _put(_template(_HAS), {"a0": operand}, lambda container: replace(select, operand=container))

    def _expand_call(self, call: Call) -> Expr:
        if call.function.startswith(construct.PREFIX):
            # At run time an object is the map of its fields.
            return self.expand(call.args[0])
        if self._loops and self._makes(call):
            return _instantiate(bounds.KEPT, (self._expand_plainly(call),))
        return self._expand_plainly(call)

    def _makes(self, call: Call) -> bool:
        """Whether a call makes a text or a list, and not only puts an element into what a loop collects."""
        if call.function not in bounds.MAKERS:
            return False
        first = call.operands[0]
        if call.function == "_+_" and isinstance(first, Ident) and first.name in self._accumulators:
            return False
        kind = self._checked.type_of(call)
        return kind in (DYN, STRING, BYTES) or kind.name == "list"

    def _part(self, expr: Expr) -> Expr:
        """A part of a sum. What the whole sum makes is no less than what a part of it does."""
        is_sum = isinstance(expr, Call) and expr.function == "_+_"
        return self._expand_plainly(expr) if is_sum else self.expand(expr)

    def _expand_plainly(self, call: Expr) -> Expr:
        assert isinstance(call, Call)
        expanded = tree.map_children(call, self._part if call.function == "_+_" else self.expand)
        assert isinstance(expanded, Call)
        operands = expanded.operands
        if call.function in ("_==_", "_!=_"):
            return self._expand_comparison(call, expanded)
        if call.function == "format":
            return formatting.expand(self._checked, call, expanded, _instantiate)
        bounded = bounds.BOUNDED_IN_LOOP if self._loops else bounds.BOUNDED
        if call.function in bounded:
            return _instantiate(bounded[call.function], operands)
        if call.function in bounds.NEEDLES and len(operands) > 1:
            expanded = _bounded_operand(expanded, 1, bounds.NEEDLE)
        if self._loops and call.function in bounds.LONG_OPERANDS:
            expanded = _bounded_operand(expanded, bounds.LONG_OPERANDS[call.function], bounds.OPERAND_IN_LOOP)
        operands = expanded.operands
        if (
            self._loops
            and call.function == "size"
            and self._checked.type_of(call.operands[0]) in (DYN, STRING)
        ):
            return _instantiate(bounds.SIZE_IN_LOOP, operands)
        if self._loops and call.function == "@in" and all(map(self._may_be_large, call.operands)):
            return _instantiate(bounds.IN_IN_LOOP, operands)
        found = self._overload(call)
        if isinstance(found, str):
            return _instantiate(found, operands)
        if found is None:
            return expanded
        if found.cel is not None:
            return _instantiate(found.cel, operands)
        if found.python is not None:
            made = Call(_GENERATED, found.id, operands)
            return _instantiate(bounds.PYTHON_IN_LOOP, (made,)) if self._loops else made
        return expanded

    def _expand_comparison(self, call: Call, expanded: Call) -> Expr:
        if self._checked.type_of(call.args[0]) == QUANTITY:
            equal: Expr = Call(_GENERATED, quantity.EQUALITY.id, expanded.operands)
        elif self._loops and all(map(self._may_be_large, call.operands)):
            equal = _instantiate(bounds.EQUAL_IN_LOOP, expanded.operands)
        else:
            return expanded
        return equal if call.function == "_==_" else Call(_GENERATED, "!_", (equal,))

    def _may_be_large(self, expr: Expr) -> bool:
        """Whether a value may be a map or list of which the object decides how large it is."""
        kind = self._checked.type_of(expr)
        return (kind == DYN or kind.name in ("list", "map", "optional_type")) and not _is_written_out(expr)

    def _overload(self, call: Call) -> Overload | str | None:
        """The overload to run, or the function's own expression for dyn operands, or None where the library knows."""
        known = [
            library.OVERLOADS_BY_ID[overload]
            for overload in self._checked.overloads.get(call.id, ())
            if overload in library.OVERLOADS_BY_ID
        ]
        # ``checks`` keeps Kubernetes-typed values out of dyn, so a dyn operand cannot be one.
        possible = [overload for overload in known if not self._takes_dyn_for_opaque(overload, call)]
        if len(possible) > 1:
            written = library.FUNCTIONS_BY_NAME[call.function].dynamic
            if written is not None:
                return written
        candidates = possible or known
        return candidates[0] if candidates else None

    def _takes_dyn_for_opaque(self, overload: Overload, call: Call) -> bool:
        return any(
            kind.name in OPAQUE_NAMES and self._checked.type_of(operand) == DYN
            for kind, operand in zip(overload.parameters, call.operands, strict=True)
        )


def _is_written_out(expr: Expr) -> bool:
    """Whether a value stands in the expression itself."""
    return all(isinstance(node, Constant | ListExpr | tree.Struct) for node in tree.walk(expr))


def _variables(expr: Expr) -> Expr:
    """A field chain with ``variables.name`` in it as a reference. Having a variable is certain: it was checked."""
    match expr:
        case Select(_, Ident(_, "variables"), name, test_only):
            return Constant(_GENERATED, True) if test_only else Ident(_GENERATED, VARIABLE_PREFIX + name)
        case Select():
            return replace(expr, operand=_variables(expr.operand))
        case _:
            return expr


def _bounded_operand(call: Call, index: int, bound: str) -> Call:
    """The call with one operand bounded in size, unless it is written out."""
    operand = call.operands[index]
    if isinstance(operand, Constant | ListExpr | tree.Struct):
        return call
    operands = list(call.operands)
    operands[index] = _instantiate(bound, (operand,))
    if call.target is None:
        return replace(call, args=tuple(operands))
    return replace(call, target=operands[0], args=tuple(operands[1:]))


def _collecting(loop: Comprehension) -> Expr:
    """A loop that builds a list, bounded and in a certain order."""
    if not loop.variable2:
        return replace(loop, range=_instantiate(_COLLECTED, (loop.range,)))

    def select(over: Expr) -> Expr:
        if not isinstance(over, ListExpr):
            return replace(loop, range=over)
        # A loop with two names over a list has the index and the element, which is the key here.
        keys, container = over.elements
        value = Call(_GENERATED, "_[_]", (container, Ident(_GENERATED, loop.variable)))
        step = _bind(loop.variable2, value, loop.step)
        return replace(loop, variable="@gpuward:index", variable2=loop.variable, range=keys, step=step)

    return _put(_template(_COLLECTED_PAIRS), {"a0": loop.range}, select)


def _bind(name: str, value: Expr, body: Expr) -> Expr:
    """What ``cel.bind`` expands to."""
    return Comprehension(
        _GENERATED,
        variable="#unused",
        range=ListExpr(_GENERATED, ()),
        accumulator=name,
        initial=value,
        condition=_NEVER,
        step=Ident(_GENERATED, name),
        result=body,
    )


def _never_runs(loop: Comprehension) -> bool:
    """Whether a loop is a ``cel.bind``, which is one that never runs."""
    return isinstance(loop.condition, Constant) and loop.condition.value is False


def _collects(loop: Comprehension) -> bool:
    """Whether a loop builds a list of its own, as ``map`` and ``filter`` do."""
    if not isinstance(loop.initial, ListExpr) or _never_runs(loop):
        return False
    return any(isinstance(node, Ident) and node.name == loop.accumulator for node in tree.walk(loop.step))


# Functions written in CEL


@cache
def _template(cel: str) -> Expr:
    """An expression over operands as a tree. Its own variables get names that no expression can have, so that they
    hide none of an operand's."""
    checked = tree.decode(engine.runtime().compile(cel).serialize())
    own = {*engine.FOLD_VARIABLES}
    for node in tree.walk(checked.expr):
        if isinstance(node, Comprehension):
            own |= {name for name in (node.variable, node.variable2, node.accumulator) if name.isidentifier()}

    def rename(expr: Expr) -> Expr:
        match expr:
            case Call(_, "fold", (over, initial, step)):
                return _fold(rename(over), rename(initial), rename(step))
            case Ident(_, name) if name in own:
                return replace(expr, name="@gpuward:" + name)
            case Comprehension():
                renamed = tree.map_children(expr, rename)
                assert isinstance(renamed, Comprehension)
                names = (expr.variable, expr.variable2, expr.accumulator)
                variable, variable2, accumulator = (
                    "@gpuward:" + name if name in own else name for name in names
                )
                return replace(renamed, variable=variable, variable2=variable2, accumulator=accumulator)
            case _:
                return tree.map_children(expr, rename)

    return rename(checked.expr)


def _fold(over: Expr, initial: Expr, step: Expr) -> Expr:
    """``fold(list, initial, step)``: ``step`` of each element ``x`` and the ``result`` so far."""
    return Comprehension(
        _GENERATED,
        variable="@gpuward:x",
        range=over,
        accumulator="@gpuward:result",
        initial=initial,
        condition=Constant(_GENERATED, True),
        step=step,
        result=Ident(_GENERATED, "@gpuward:result"),
    )


def _instantiate(cel: str, operands: tuple[Expr, ...]) -> Expr:
    """The expression with operands in their places."""
    return _put(_template(cel), dict(zip(engine.OPERANDS, operands, strict=False)))


def _put(template: Expr, operands: Mapping[str, Expr], select: Callable[[Expr], Expr] | None = None) -> Expr:
    """A template with operands in their places, and ``select(...)`` in it what ``select`` makes of its argument."""

    def put(expr: Expr) -> Expr:
        match expr:
            case Ident(_, name):
                return operands.get(name, expr)
            case Call(_, "select", (argument,)) if select is not None:
                return select(put(argument))
            case _:
                return tree.map_children(expr, put)

    return put(template)


def _optional(operand: Expr, select: Callable[[Expr], Expr]) -> Expr:
    """An optional selection: nothing where the operand, or what it holds, has no fields or elements."""
    return _put(_template(_OPTIONAL), {"a0": operand}, select)


def with_variables(expr: Expr, variables: Mapping[str, Expr]) -> Expr:
    """The tree with the composed variables it uses, each evaluated when first used and then kept.

    ``variables`` are runnable trees in order of definition; each may use those before it.
    """
    used = _used(expr)
    for name in reversed(list(variables)):
        if name in used:
            used |= _used(variables[name])
    names = [name for name in variables if name in used]
    if not names:
        return expr
    index = {VARIABLE_PREFIX + name: f"@index{position}" for position, name in enumerate(names)}

    def put(node: Expr) -> Expr:
        if isinstance(node, Ident):
            return replace(node, name=index.get(node.name, node.name))
        return tree.map_children(node, put)

    # A construct of the library's for common subexpressions; it evaluates an element only when it is asked for.
    values = ListExpr(_GENERATED, tuple(put(variables[name]) for name in names))
    return Call(_GENERATED, "cel.@block", (values, put(expr)))


def _used(expr: Expr) -> set[str]:
    return {
        node.name.removeprefix(VARIABLE_PREFIX)
        for node in tree.walk(expr)
        if isinstance(node, Ident) and node.name.startswith(VARIABLE_PREFIX)
    }


def reads_managed_fields(expr: Expr) -> bool:
    """Whether evaluating may look at ``metadata.managedFields`` of an object: it names them, or takes the metadata or
    the object whole."""
    match expr:
        case Select(_, Select(_, Ident(_, "object" | "oldObject"), "metadata", False), field):
            return field == "managedFields"
        case Select(_, Ident(_, "object" | "oldObject"), field, test_only):
            return field == "metadata" and not test_only
        case Ident(_, name):
            return name in ("object", "oldObject")
        case _:
            return any(map(reads_managed_fields, tree.children(expr)))


def variables_in(expr: Expr) -> set[str]:
    """The variables of Kubernetes in a runnable tree."""
    return {
        node.name for node in tree.walk(expr) if isinstance(node, Ident) and node.name in engine.VARIABLES
    }
