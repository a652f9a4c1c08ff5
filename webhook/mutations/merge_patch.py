"""The mutation ``merge-patch``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import field

from webhook.kube.path import MISSING, Path, render
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject
from webhook.mutations.computed import unusable
from webhook.mutations.patching import clear_priority_of, fresh, priority_class, refuse_forbidden
from webhook.policy.draft import Draft
from webhook.policy.places import unfit_parts_at
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.policy.cel import Program, Scope


class PodPatch(Strict, frozen=True):
    """A part of a pod, in the pod's own shape."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What to merge into the pod's metadata."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What to merge into the pod's spec."""


class MergePatch(Mutation):
    """A piece of a pod is merged into every pod.

    Why:
        For what no rule of its own does: a runtime class, DNS settings, a node selector for all pods. The
        patch looks like the pod it makes.

    Changes:
        metadata and spec, as ``patch`` or ``expression`` says; in a workload, the pod template stands for the
        pod. By default only what is absent is added: maps are merged field by field, and a field that has a
        value, a list included, stays. With ``overwrite: true`` it is a JSON merge patch in full: fields are
        overwritten, null deletes, lists are replaced as a whole. What an expression works out is only added.

        Where this changes spec.priorityClassName, the spec.priority and spec.preemptionPolicy that followed
        from the old class are removed; the API server fills in the new ones.

    Leaves alone:
        What the author set, unless ``overwrite: true``. In a cluster, some fields always have a value, as the
        API server fills them in before it asks a webhook (schedulerName, serviceAccountName, dnsPolicy,
        terminationGracePeriodSeconds): those need ``overwrite: true``.

        The fields that say which object this is (metadata.name, namespace, uid), those that the API server
        owns, and everything but metadata and spec: naming one is an error. To add to a list, use json-patch.

    Source:
        RFC 7386 (JSON Merge Patch), section 2
    """

    name = "merge-patch"
    title = "Pods get a merge patch"

    class Parameters(Strict, frozen=True):
        """Settings of ``merge-patch``."""

        patch: PodPatch | None = None
        """What to merge: metadata and spec of a pod, as far as they matter."""
        expression: str | None = None
        """CEL that works the patch out, instead of ``patch``: over the pod as ``object``, ``request``,
        ``namespaceObject`` and ``variables``. Gives an ``Object{metadata: ..., spec: ...}`` as in an
        ApplyConfiguration, or a map; ``Object{}`` for nothing."""
        overwrite: bool = False
        """Whether values that stand are overwritten, and null deletes. Use it knowingly: it changes what
        authors wrote."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        if (parameters.patch is None) == (parameters.expression is None):
            raise ParameterError("give either patch or expression")
        self._program = None
        if parameters.expression is not None:
            self._program = _compile(parameters.expression, parameters.overwrite, context)
        self.computes = self._program is not None
        patch = parameters.patch or PodPatch()
        self._metadata: JSONObject = fresh(dict(patch.metadata))
        self._spec: JSONObject = fresh(dict(patch.spec))
        if not self._metadata and not self._spec and not self.computes:
            raise ParameterError("is empty; give metadata or spec", "patch")
        for root, part in (("metadata", self._metadata), ("spec", self._spec)):
            for name in part:
                refuse_forbidden(root, name, f"patch.{root}.{name}")
        if not parameters.overwrite:
            _refuse_null(self._metadata, ("patch", "metadata"))
            _refuse_null(self._spec, ("patch", "spec"))
        self._merge = _overwrite if parameters.overwrite else _add
        self._sets_priority_class = "priorityClassName" in self._spec

    def __call__(self, pod: Pod, draft: Draft) -> None:
        before = priority_class(pod, draft) if self._sets_priority_class else None
        if self._metadata:
            self._merge(draft, pod.metadata_path, self._metadata)
        if self._spec:
            self._merge(draft, pod.spec_path, self._spec)
        if self._sets_priority_class:
            clear_priority_of(before, pod, draft)

    def misfits(self) -> Iterator[ParameterError]:
        for root, part in (("metadata", self._metadata), ("spec", self._spec)):
            for inside, message in unfit_parts_at((root,), part):
                yield ParameterError(message, render(("patch", root, *inside)))

    def compute(self, pod: Pod, draft: Draft, scope: Scope) -> None:
        assert self._program is not None
        found = self._program.evaluate(scope)
        metadata, spec = _parts(found, self._program)
        before = priority_class(pod, draft)
        _add(draft, pod.metadata_path, metadata)
        _add(draft, pod.spec_path, spec)
        clear_priority_of(before, pod, draft)


def _compile(expression: str, overwrite: bool, context: Context) -> Program:
    if overwrite:
        raise ParameterError(
            "what is worked out must not overwrite: the next review might overwrite it again", "overwrite"
        )
    program = context.compile(expression, "expression")
    if program.result_type not in ("Object", "dyn") and not program.result_type.startswith("map("):
        message = (
            f"CEL: must evaluate to Object, or a map with metadata and spec, but got {program.result_type}"
        )
        raise ParameterError(message, "expression", (1, 1))
    return program


def _parts(found: Any, program: Program) -> tuple[JSONObject, JSONObject]:
    """The parts of a patch that was worked out, without what is null.

    Raises:
        CelEvaluationError: it is no patch of a pod, or touches what a patch must leave alone.
    """
    if type(found) is not dict or not found.keys() <= {"metadata", "spec"}:
        raise unusable("must evaluate to a map with metadata and spec, and nothing else", program)
    parts = [_without_null(found.get(root) or {}) for root in ("metadata", "spec")]
    for root, part in zip(("metadata", "spec"), parts, strict=True):
        if type(part) is not dict:
            raise unusable(f"{root} must be a map", program)
        for name in part:
            try:
                refuse_forbidden(root, name, "expression")
            except ParameterError as error:
                raise unusable(str(error), program) from None
        for inside, message in unfit_parts_at((root,), part):
            raise unusable(f"{render((root, *inside))}: {message}", program)
    return parts[0], parts[1]


def _refuse_null(patch: JSONObject, at: Path) -> None:
    for name, value in patch.items():
        path = (*at, name)
        if value is None:
            raise ParameterError("null deletes a field, which needs overwrite: true", render(path))
        if type(value) is dict:
            _refuse_null(value, path)


def _add(draft: Draft, path: Path, patch: JSONObject) -> None:
    """Merge ``patch`` into the map at ``path``; nothing that has a value is changed."""
    target = draft.get(path)
    for name, value in patch.items():
        existing = target.get(name) if type(target) is dict else None
        if existing is None:
            draft.set_default((*path, name), fresh(value))
        elif type(value) is dict and type(existing) is dict:
            _add(draft, (*path, name), value)
        # The draft may have put a copy in the place of what was read.
        target = draft.get(path)


def _overwrite(draft: Draft, path: Path, patch: JSONObject) -> None:
    """Merge ``patch`` into the map at ``path`` as RFC 7386 says."""
    for name, value in patch.items():
        where = (*path, name)
        existing = draft.get(where)
        if value is None:
            draft.remove(where)
        elif type(value) is dict and type(existing) is dict:
            _overwrite(draft, where, value)
        elif existing is MISSING or existing is None:
            draft.set_default(where, _without_null(value))
        else:
            draft.replace(where, _without_null(value))


def _without_null(value: Any) -> Any:
    """What a patch value becomes where there is no map to merge it into: itself, without what it deletes."""
    if type(value) is dict:
        return {name: _without_null(member) for name, member in value.items() if member is not None}
    return fresh(value)
