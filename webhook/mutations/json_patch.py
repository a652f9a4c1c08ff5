"""The mutation ``json-patch``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from webhook.kube.path import MISSING, Path, parse_json_pointer, render
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject
from webhook.mutations.computed import reads_pod, unusable
from webhook.mutations.patching import clear_priority_of, fresh, priority_class, refuse_forbidden
from webhook.policy.constraints import MinLen
from webhook.policy.draft import Draft, json_equal
from webhook.policy.places import unfit_parts_at, unfit_place
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.policy.cel import Program, Scope

# move is known only to say what to write instead.
PatchOp = Literal["add", "replace", "remove", "copy", "test", "move"]

# A list index as RFC 6901 writes it; no list is longer than nine digits tell.
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_END: Final = "-"

# Lists of a pod in which two items must not have the same key: a second one would make the pod invalid, or
# (env) overrule the author's. Source: k8s.io/api core/v1/types.go (listMapKey, patchMergeKey).
_KEYS: Final = {
    "initContainers": ("name",),
    "containers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}


class PatchOperation(Strict, frozen=True, rename={"from_": "from"}):
    """One operation of a JSON Patch (RFC 6902)."""

    op: PatchOp
    """add: what is absent. replace: overwrite what is there. remove: a field. copy: as add, with the value at
    ``from``. test: the whole rule is skipped unless the value at ``path`` is ``value``. move is an error:
    write copy, then remove."""
    path: str
    """Where, as a JSON Pointer from the pod's root, such as ``/spec/volumes/-`` (the end of a list)."""
    value: Any = None
    """The value of add, replace and test. A test without value asks that the field is absent."""
    valueExpression: str | None = None
    """CEL that works out the value of add, instead of ``value``: over the pod as ``object``, ``request``,
    ``namespaceObject`` and ``variables``. Null adds nothing. A map whose values are of several types is written
    as in an ApplyConfiguration, ``Object.spec.tolerations{key: 'a', tolerationSeconds: 30}``."""
    from_: str | None = None
    """Where copy takes the value from, a JSON Pointer."""


class _Operation(Struct, frozen=True):
    op: str
    target: tuple[str, ...]
    value: Any
    source: tuple[str, ...]
    program: Program | None = None

    @property
    def overwrites(self) -> bool:
        return self.op in ("replace", "remove")

    @property
    def adds(self) -> bool:
        return self.op in ("add", "copy")

    @property
    def place(self) -> tuple[str, ...]:
        """The target, with the index at which an item is added taken for a wish: other items may come
        first."""
        return (*self.target[:-1], _END) if self.adds and _INDEX.fullmatch(self.target[-1]) else self.target


class JSONPatch(Mutation):
    """A JSON Patch is made on every pod, so that making it twice is making it once.

    Why:
        For what no rule of its own does, above all additions to lists: a volume and its mount, a sidecar, a
        topology spread constraint. Kubernetes asks webhooks again when another one changed the pod, so a
        patch that adds twice is no good.

    Changes:
        metadata and spec, as ``operations`` say; paths start at the pod, and in a workload at its pod
        template.

        add: a field that is absent or null, with the maps (and for ``/-`` the list) that lead to it. Or an
        item of a list, at the end or before an index (behind the last where there are fewer), unless an item
        with the same values is in the list, or, where Kubernetes allows a name only once, one with that name
        (containers, volumes, env, volumeMounts by mountPath, ...).

        copy: the same with the value at ``from``; nothing where that is absent.

        The value of an add may be worked out (``valueExpression``); into a list, from anything but the pod
        itself, as the list would be another one the next time. To replace a value by one that is worked out
        from it could go on for ever: it is an error.

        replace: overwrites a field that is there. This changes what authors wrote, so use it knowingly.

        remove: removes a field that is there.

        test: all tests are made first, on the pod as it comes; if one fails, the rule does nothing.

        Where this changes spec.priorityClassName, the spec.priority and spec.preemptionPolicy that followed
        from the old class are removed; the API server fills in the new ones.

    Leaves alone:
        Values that stand, but for replace and remove. In a cluster, some fields always have a value, as the
        API server fills them in before it asks a webhook (schedulerName, serviceAccountName, dnsPolicy,
        terminationGracePeriodSeconds): those need replace. Where a path does not fit, nothing is done: pods
        differ.

        The fields that say which object this is (metadata.name, namespace, uid), those that the API server
        owns, and everything but metadata and spec: naming one is an error. So are operations that a second
        run would not find done: move, removing a list's item by index, and operations of which one undoes or
        shifts what another one relies on.

    Source:
        RFC 6902 (JSON Patch), RFC 6901 (JSON Pointer)
    """

    name = "json-patch"
    title = "Pods get a JSON Patch"

    class Parameters(Strict, frozen=True):
        """Settings of ``json-patch``."""

        operations: Annotated[tuple[PatchOperation, ...], MinLen(1)]
        """The operations, made in this order."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._compiled = compiled = [
            _compile(operation, f"operations[{i}]", context)
            for i, operation in enumerate(parameters.operations)
        ]
        self.computes = any(operation.program is not None for operation in compiled)
        self._tests = tuple(operation for operation in compiled if operation.op == "test")
        self._changes = tuple(operation for operation in compiled if operation.op != "test")
        if not self._changes:
            raise ParameterError("only tests: give an operation that changes something", "operations")
        _refuse_conflicts(compiled)
        self._sets_priority_class = any(o.target == ("spec", "priorityClassName") for o in self._changes)

    def __call__(self, pod: Pod, draft: Draft) -> None:
        self._make(self._changes, pod, draft)

    def misfits(self) -> Iterator[ParameterError]:
        for i, operation in enumerate(self._compiled):
            for pointer, name in ((operation.target, "path"), (operation.source, "from")):
                if message := unfit_place(pointer):
                    yield ParameterError(message, f"operations[{i}].{name}")
            for path, message in unfit_parts_at(operation.target, operation.value):
                yield ParameterError(message, render(("operations", i, "value", *path)))

    def compute(self, pod: Pod, draft: Draft, scope: Scope) -> None:
        if all(self._holds(test, pod, draft) for test in self._tests):
            # Worked out beforehand: all see the pod as it comes.
            self._make([_with_value(operation, scope) for operation in self._changes], pod, draft)

    def _holds(self, test: _Operation, pod: Pod, draft: Draft) -> bool:
        return json_equal(_find(pod, draft, test.target)[1], test.value)

    def _make(self, changes: Iterable[_Operation], pod: Pod, draft: Draft) -> None:
        for test in self._tests:
            if not self._holds(test, pod, draft):
                return
        before = priority_class(pod, draft) if self._sets_priority_class else None
        for operation in changes:
            _apply(operation, pod, draft)
        if self._sets_priority_class:
            clear_priority_of(before, pod, draft)


# --- at load ------------------------------------------------------------------------------------------------


def _compile(operation: PatchOperation, field: str, context: Context) -> _Operation:
    op, value, source = operation.op, operation.value, operation.from_
    if op == "move":
        raise ParameterError(
            "a move cannot be made twice, and webhooks are asked again; write copy, then remove",
            f"{field}.op",
        )
    target = _pointer(operation.path, f"{field}.path")
    if operation.valueExpression is not None:
        return _compile_computed(operation, operation.valueExpression, target, field, context)
    if op in ("add", "replace") and value is None:
        raise ParameterError(
            f"{op} needs a value" + ("; to delete, use remove" if op == "replace" else ""), field
        )
    if op in ("remove", "copy") and value is not None:
        raise ParameterError(f"{op} takes no value", f"{field}.value")
    if (op == "copy") != (source is not None):
        raise ParameterError("copy needs from" if op == "copy" else f"{op} takes no from", f"{field}.from")
    if op not in ("add", "copy") and target[-1] == _END:
        raise ParameterError(
            '"-" is the place behind a list\'s last item: only add and copy can use it', f"{field}.path"
        )
    if op == "remove" and _INDEX.fullmatch(target[-1]):
        raise ParameterError(
            "removing an item by index removes another one each time; replace the list instead",
            f"{field}.path",
        )
    compiled = _Operation(
        op, target, fresh(value), _pointer(source, f"{field}.from") if source is not None else ()
    )
    if source is not None:
        if compiled.source[-1] == _END:
            raise ParameterError(
                '"-" is the place behind a list\'s last item: there is nothing to copy', f"{field}.from"
            )
        if _overlap(compiled.source, compiled.place):
            raise ParameterError("copies a value into itself or its own list", f"{field}.from")
    if op != "test":
        refuse_forbidden(target[0], target[1], f"{field}.path")
    return compiled


def _compile_computed(
    operation: PatchOperation, expression: str, target: tuple[str, ...], field: str, context: Context
) -> _Operation:
    if operation.op != "add":
        raise ParameterError(
            f"only the value of add can be worked out: the next review might {operation.op} it again",
            f"{field}.valueExpression",
        )
    if operation.value is not None or operation.from_ is not None:
        raise ParameterError("takes neither value nor from beside valueExpression", field)
    refuse_forbidden(target[0], target[1], f"{field}.path")
    program = context.compile(expression, f"{field}.valueExpression")
    if reads_pod(program) and (target[-1] == _END or _INDEX.fullmatch(target[-1])):
        raise ParameterError(
            "what is added to a list must not be worked out from object: the next review might add another",
            f"{field}.valueExpression",
        )
    return _Operation("add", target, None, (), program)


def _pointer(pointer: str, field: str) -> tuple[str, ...]:
    try:
        segments = parse_json_pointer(pointer)
    except ValueError as error:
        raise ParameterError(str(error), field) from error
    if len(segments) < 2 or segments[0] not in ("metadata", "spec"):
        raise ParameterError(f'must lead to a field below /metadata or /spec, not "{pointer}"', field)
    if _END in segments[:-1]:
        raise ParameterError('"-" is the place behind a list\'s last item: nothing is below it', field)
    return segments


def _refuse_conflicts(operations: list[_Operation]) -> None:
    """Refuse operations that, made a second time, would find their own changes in the way.

    Each operation alone is idempotent. Two of them together are, unless one overwrites what the other writes,
    or an earlier one reads or counts what a later one changes.
    """
    for later in range(len(operations)):
        for earlier in range(later):
            conflict = _conflict(operations[earlier], operations[later], f"operations[{earlier}]")
            if conflict:
                raise ParameterError(
                    f"{conflict}; as they are, every review would change the pod again",
                    f"operations[{later}].path",
                )


def _conflict(earlier: _Operation, later: _Operation, other: str) -> str:
    """What is wrong with two operations and what to do about it; ``other`` is the name of the earlier one."""
    if "test" in (earlier.op, later.op):
        # Tests are made first, on the pod as it comes: nothing they see can come from this rule.
        return ""
    if (earlier.overwrites or later.overwrites) and _overlap(earlier.place, later.place):
        return f"undoes {other} or is undone by it: write one operation that gives the final value"
    if later.adds and _counts_in_list_of(earlier, later):
        return f"adds to a list in which {other} counts an item, another one the next time: put this operation first"
    if _grows_item_of(earlier, later) or _grows_item_of(later, earlier):
        return f"and {other} may add an item and to a list inside of it: give the whole item in one operation"
    taken_away = later.op == "remove" and later.target == earlier.source[: len(later.target)]
    if earlier.source and _overlap(earlier.source, later.place) and not taken_away:
        return f"changes what {other} copies: put this operation first"
    return ""


def _counts_in_list_of(earlier: _Operation, later: _Operation) -> bool:
    """Whether one operation counts the items of a list that a later one makes or adds to."""
    target = later.target
    for path in (earlier.target, earlier.source):
        for i, segment in enumerate(path):
            if _INDEX.fullmatch(segment):
                above = path[:i]
                # Whatever leads there other than by index makes it where it is absent.
                if _overlap(target, above) and (len(target) <= i or not _INDEX.fullmatch(target[i])):
                    return True
                # Where an item is to be added is only a wish, so other items may come before it.
                is_place = earlier.adds and path is earlier.target and i == len(path) - 1
                if not is_place and later.place[-1] == _END and later.place[:-1] == above:
                    return True
    return False


def _grows_item_of(one: _Operation, other: _Operation) -> bool:
    """Whether ``other`` adds to a list inside the item that ``one`` adds, which then is not known again.

    An item with a key is known by that. Fields may be added to an item, but its lists must be as they were.
    """
    return (
        one.place[-1] == other.place[-1] == _END
        and len(other.place) > len(one.place)
        and _overlap(one.place, other.place)
        and _key(one.value, one.place[-2]) is None
    )


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path leads to or through the other. The end of a list may be any of its items."""
    return all(map(_may_be_same, one, other))


def _may_be_same(one: str, other: str) -> bool:
    if one == other:
        return True
    return _END in (one, other) and bool(_INDEX.fullmatch(one if other == _END else other))


# --- on a pod -----------------------------------------------------------------------------------------------


def _with_value(operation: _Operation, scope: Scope) -> _Operation:
    if operation.program is None:
        return operation
    value = operation.program.evaluate(scope)
    for path, message in unfit_parts_at(operation.target, value):
        raise unusable(f"{render((*operation.target, *path))}: {message}", operation.program)
    return replace(operation, value=value)


def _apply(operation: _Operation, pod: Pod, draft: Draft) -> None:
    if operation.op == "add" and operation.value is not None:
        _add(operation.target, operation.value, pod, draft)
    elif operation.op == "add":
        return
    elif operation.op == "copy":
        value = _find(pod, draft, operation.source)[1]
        if value is not None:
            _add(operation.target, value, pod, draft)
    else:
        path, existing = _find(pod, draft, operation.target)
        if existing is None:
            return
        if operation.op == "remove":
            draft.remove(path)
        elif not json_equal(existing, operation.value):
            draft.replace(path, fresh(operation.value))


def _add(target: tuple[str, ...], value: Any, pod: Pod, draft: Draft) -> None:
    path, parent = _find(pod, draft, target[:-1])
    last = target[-1]
    if not path:
        return
    if type(parent) is list:
        index = (
            len(parent) if last == _END else min(int(last), len(parent)) if _INDEX.fullmatch(last) else None
        )
        if index is None or _holds(parent, value, target[-2]):
            return
        if index == len(parent):
            draft.append(path, fresh(value))
        else:
            draft.insert((*path, index), fresh(value))
    elif last == _END:
        draft.set_default(path, [fresh(value)])
    elif type(parent) is dict:
        if parent.get(last) is None:
            draft.set_default((*path, last), fresh(value))
    elif not _INDEX.fullmatch(last):
        # Below something absent, a number may mean an item or a key: nothing is made there.
        draft.set_default((*path, last), fresh(value))


def _holds(items: list[Any], value: Any, list_name: str) -> bool:
    """Whether a list has an item like ``value``: with all its values, or with its key.

    All is enough, as the API server fills in defaults besides.
    """
    key = _key(value, list_name)
    return any(_includes(item, value) or (key is not None and _includes(item, key)) for item in items)


def _key(value: Any, list_name: str) -> JSONObject | None:
    """The fields by which Kubernetes tells the item from others of its list; None where it does not."""
    names = _KEYS.get(list_name)
    if names is None or type(value) is not dict or any(value.get(name) is None for name in names):
        return None
    return {name: value[name] for name in names}


def _includes(item: Any, value: Any) -> bool:
    if type(value) is dict and type(item) is dict:
        return all(wanted is None or _includes(item.get(key), wanted) for key, wanted in value.items())
    return json_equal(item, value)


def _find(pod: Pod, draft: Draft, segments: tuple[str, ...]) -> tuple[Path, Any]:
    """The path in the whole object for a pointer from the pod's root, and what is there, None for nothing.

    Whether a segment is a key or an index, only the object tells; below what is absent, all are keys. The
    path is empty where the pointer does not fit.
    """
    path = pod.metadata_path if segments[0] == "metadata" else pod.spec_path
    node = draft.get(path)
    if node is MISSING:
        node = None
    for segment in segments[1:]:
        if type(node) is list:
            index = int(segment) if _INDEX.fullmatch(segment) else len(node)
            if index >= len(node):
                return (), None
            path = (*path, index)
            node = node[index]
        elif type(node) is dict:
            path = (*path, segment)
            node = node.get(segment)
        elif node is None and not _INDEX.fullmatch(segment):
            path = (*path, segment)
        else:
            return (), None
    return path, node
