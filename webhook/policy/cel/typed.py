"""The fields of ``request`` and ``namespaceObject``, and of the composed ``variables``, each with its type.

The library types a variable as a whole, as a protobuf message at most; Kubernetes types these three field by field, so
that ``request.operaton`` and ``request.kind == 'Pod'`` are errors at load. So an expression that uses them is parsed
first, which shows where it does, and then checked with a name of the right type in the place of each use.
Source: k8s.io/apiserver ``pkg/admission/plugin/cel/compile.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import msgspec

from .celtype import BOOL, DOUBLE, DYN, INT, STRING, TIMESTAMP, CelType, list_of, map_of
from .construct import Edit
from .errors import CelCompileError
from .tree import Call, Checked, Comprehension, Constant, Expr, Ident, Select, children

_TEXT_MAP = map_of(STRING, STRING)
_KIND = CelType("kubernetes.GroupVersionKind")
_RESOURCE = CelType("kubernetes.GroupVersionResource")
_USER = CelType("kubernetes.UserInfo")
_REQUEST = CelType("kubernetes.AdmissionRequest")
_NAMESPACE = CelType("kubernetes.Namespace")
_NAMESPACE_METADATA = CelType("kubernetes.NamespaceMetadata")
_NAMESPACE_SPEC = CelType("kubernetes.NamespaceSpec")
_NAMESPACE_STATUS = CelType("kubernetes.NamespaceStatus")
_VARIABLES = CelType("variables")

_FIELDS: dict[CelType, dict[str, CelType]] = {
    _REQUEST: {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": STRING,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": STRING,
        "name": STRING,
        "namespace": STRING,
        "operation": STRING,
        "userInfo": _USER,
        "dryRun": BOOL,
        "options": DYN,
    },
    _KIND: {"group": STRING, "version": STRING, "kind": STRING},
    _RESOURCE: {"group": STRING, "version": STRING, "resource": STRING},
    _USER: {
        "username": STRING,
        "uid": STRING,
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    },
    _NAMESPACE: {"metadata": _NAMESPACE_METADATA, "spec": _NAMESPACE_SPEC, "status": _NAMESPACE_STATUS},
    _NAMESPACE_METADATA: {
        "name": STRING,
        "generateName": STRING,
        "namespace": STRING,
        "labels": _TEXT_MAP,
        "annotations": _TEXT_MAP,
        "UID": STRING,
        "creationTimestamp": TIMESTAMP,
        "deletionGracePeriodSeconds": INT,
        "deletionTimestamp": TIMESTAMP,
        "generation": INT,
        "resourceVersion": STRING,
        "finalizers": list_of(STRING),
    },
    _NAMESPACE_SPEC: {"finalizers": list_of(STRING)},
    # The conditions are objects too, but within a list the checker would have to know them; they stay dyn.
    _NAMESPACE_STATUS: {"conditions": list_of(DYN), "phase": STRING},
}

ROOTS = {"request": _REQUEST, "namespaceObject": _NAMESPACE, "variables": _VARIABLES}
"""The variables whose fields have types."""

OBJECT_NAMES = frozenset(kind.name for kind in _FIELDS)

# An environment of the library takes milliseconds to make, so that one knows all the types that are likely.
_COMMON = frozenset(kind for fields in _FIELDS.values() for kind in fields.values()) | {
    BOOL,
    INT,
    DOUBLE,
    STRING,
}


class Use(msgspec.Struct, frozen=True):
    """A chain of fields, such as ``request.userInfo.username``, from ``start`` to ``end`` in the source."""

    start: int
    end: int
    type: CelType
    expr: Expr


class Fields:
    """Finds the uses of typed fields in an expression that was parsed.

    ``variables`` are the composed variables that may be used, each with its type.
    """

    def __init__(self, expression: str, checked: Checked, variables: Mapping[str, CelType]) -> None:
        self._expression = expression
        self._checked = checked
        self._fields = {**_FIELDS, _VARIABLES: variables}
        self._uses: dict[int, Use] = {}

    def uses(self) -> list[Use]:
        """Every use whose type is worth checking, in source order.

        Raises:
            CelCompileError: a field that does not exist.
        """
        self._visit(self._checked.expr, frozenset(), called=True)
        return [self._uses[start] for start in sorted(self._uses)]

    def _visit(self, expr: Expr, bound: frozenset[str], called: bool = False) -> None:
        """``bound`` names hide the roots; ``called`` is whether the expression is an operand of a call."""
        match expr:
            case Select():
                self._visit_select(expr, bound, called)
            case Call(_, "_?._", (operand, Constant(_, str(field)))) if kind := self._object_type(
                operand, bound
            ):
                self._field(kind, field, self._checked.positions.get(expr.id, 0))
            case Ident(_, "variables") if "variables" not in bound:
                raise self._error("variables cannot be used as a whole; write variables.NAME", expr)
            case Ident(_, name) if name.startswith(Substitution.PREFIX):
                raise self._error(f"undeclared reference to {name!r}", expr)
            case Comprehension():
                self._visit(expr.range, bound)
                self._visit(expr.initial, bound)
                inner = bound | {expr.variable, expr.variable2, expr.accumulator}
                for part in (expr.condition, expr.step, expr.result):
                    self._visit(part, inner)
            case _:
                for child in children(expr):
                    self._visit(child, bound, called=isinstance(expr, Call))

    def _visit_select(self, expr: Select, bound: frozenset[str], called: bool) -> None:
        kind = self._object_type(expr.operand, bound)
        if kind is None:
            self._visit(expr.operand, bound)
            return
        field = self._field(kind, expr.field, self._checked.positions.get(expr.id, 0))
        # has() needs the field itself; an object that goes on to be bound or listed would lose its fields.
        keeps_fields = field.contains(OBJECT_NAMES) and not (called and field in _FIELDS)
        if expr.test_only or keeps_fields or field == DYN:
            return
        start, end = self._extent(expr)
        self._uses[start] = Use(start, end, field, expr)

    def _object_type(self, expr: Expr, bound: frozenset[str]) -> CelType | None:
        """The type of a chain that is an object with known fields."""
        match expr:
            case Ident(_, name) if name not in bound:
                return ROOTS.get(name)
            case Select(test_only=False):
                kind = self._object_type(expr.operand, bound)
                if kind is None:
                    return None
                field = self._field(kind, expr.field, self._checked.positions.get(expr.id, 0))
                return field if field in self._fields else None
            case _:
                return None

    def _field(self, kind: CelType, name: str, offset: int) -> CelType:
        fields = self._fields[kind]
        if name in fields:
            return fields[name]
        what = "undefined variable" if kind == _VARIABLES else f"undefined field in {kind}:"
        close = get_close_matches(name, fields, n=1)
        known = f"; did you mean {close[0]!r}?" if close else ""
        if kind == _VARIABLES and not close:
            known = (
                "; a variable must be defined before it is used" if fields else "; no variables are defined"
            )
        raise CelCompileError.at(f"{what} {name!r}{known}", self._expression, offset)

    def _extent(self, expr: Select) -> tuple[int, int]:
        root: Expr = expr
        while isinstance(root, Select):
            root = root.operand
        dot = self._checked.positions[expr.id]
        name = self._expression.index(expr.field, dot)
        return self._checked.positions[root.id], name + len(expr.field)

    def _error(self, message: str, expr: Expr) -> CelCompileError:
        return CelCompileError.at(message, self._expression, self._checked.positions.get(expr.id, 0))


class Substitution:
    """An expression with a name of the right type in the place of each use, other edits made, and the way back."""

    PREFIX = "gpuward_type_"
    """How the names begin. An expression must have no such name itself."""

    def __init__(self, expression: str, uses: list[Use], edits: Sequence[Edit] = ()) -> None:
        kinds = sorted(_COMMON.union(use.type for use in uses), key=str)
        names = {kind: f"{self.PREFIX}{index}" for index, kind in enumerate(kinds)}
        self.names = tuple((name, kind) for kind, name in names.items())
        """The names that stand for types, for the checker to know."""
        self._moves = [(0, 0)]
        self._replaced: set[int] = set()
        self._uses: dict[int, Use] = {}
        by_start = {use.start: use for use in uses}
        changes = [Edit(use.start, use.end, names[use.type]) for use in uses]
        text, done = "", 0
        for change in sorted((*changes, *edits), key=lambda change: (change.start, change.end)):
            text += expression[done : change.start]
            if change.start in by_start:
                self._uses[len(text)] = by_start[change.start]
            self._replaced.add(len(text))
            self._moves.append((len(text), change.start))
            text += change.text
            self._moves.append((len(text), change.end))
            done = change.end
        self.expression = text + expression[done:]

    def use_at(self, offset: int) -> Use | None:
        """The use whose place a name took."""
        return self._uses.get(offset)

    def origin(self, offset: int) -> int:
        """The offset in the expression of an offset in the text."""
        moved, start = next((there, here) for there, here in reversed(self._moves) if there <= offset)
        # Within a replacement: its start is as near as it gets.
        return start if moved in self._replaced else start + offset - moved
