"""From the documents of a policies folder to compiled admission policies.

Policies, their bindings and the objects that hold their parameters only mean something together, so they are compiled
together, and everything that is wrong is found at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct, field

from webhook.engine.kubernetes.mutating import compile_mutating, compile_mutating_binding
from webhook.engine.kubernetes.policies import MutatingPolicy, ValidatingPolicy
from webhook.engine.kubernetes.validating import compile_validating, compile_validating_binding
from webhook.kube.gvk import parse_api_version
from webhook.kube.path import Path, lookup
from webhook.kube.resources import is_cluster_scoped, known_resources
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.kubernetes.documents import (
    MatchResources,
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    ParamKind,
    ParamRef,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
)
from webhook.policy.kubernetes.parameters import (
    ParameterKind,
    Parameters,
    namespace_of,
    parameter_kind,
)
from webhook.policy.kubernetes.validation import (
    mutating_binding_problems,
    mutating_policy_problems,
    param_kind_problems,
    validating_binding_problems,
    validating_policy_problems,
)
from webhook.policy.match import parse_kind
from webhook.policy.problems import InvalidPolicy, Problem, did_you_mean
from webhook.policy.validation import validate_document


class _Kind(Struct, frozen=True):
    """What there is to know of a kind of policy, and of the kind of its bindings."""

    policy: str
    model: Any
    problems: Any
    compile: Any
    binding: str
    binding_model: Any
    binding_problems: Any
    compile_binding: Any


_VALIDATING: Final = _Kind(
    "ValidatingAdmissionPolicy",
    ValidatingAdmissionPolicy,
    validating_policy_problems,
    compile_validating,
    "ValidatingAdmissionPolicyBinding",
    ValidatingAdmissionPolicyBinding,
    validating_binding_problems,
    compile_validating_binding,
)
_MUTATING: Final = _Kind(
    "MutatingAdmissionPolicy",
    MutatingAdmissionPolicy,
    mutating_policy_problems,
    compile_mutating,
    "MutatingAdmissionPolicyBinding",
    MutatingAdmissionPolicyBinding,
    mutating_binding_problems,
    compile_mutating_binding,
)
_ALL: Final = (_VALIDATING, _MUTATING)

KINDS: Final = tuple(name for kind in _ALL for name in (kind.policy, kind.binding))
"""The kinds of documents that are policies or bindings."""


class CompiledSet(Struct, frozen=True):
    """What the documents are: each entry has the index of the document it is about.

    ``parameters`` are the documents that hold a policy's parameters, ``unknown`` those that are nothing of all this.
    """

    validating: tuple[tuple[int, ValidatingPolicy], ...]
    mutating: tuple[tuple[int, MutatingPolicy], ...]
    problems: tuple[tuple[int, Problem], ...]
    warnings: tuple[tuple[int, Problem], ...]
    unknown: tuple[int, ...]


def compile_set(documents: Sequence[JSONObject]) -> CompiledSet:
    """Compile admission policies with their bindings and parameters, given as plain data. Raises nothing."""
    return _Loader(documents).load()


class _Loader(Struct):
    documents: Sequence[JSONObject]
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    warnings: list[tuple[int, Problem]] = field(default_factory=list)
    _parameters: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _kinds: dict[tuple[str, str], ParameterKind] = field(default_factory=dict)

    def load(self) -> CompiledSet:
        unknown = self._sort_parameters()
        validating = tuple(self._compile(_VALIDATING))
        mutating = tuple(self._compile(_MUTATING))
        return CompiledSet(validating, mutating, tuple(self.problems), tuple(self.warnings), unknown)

    # --- documents -------------------------------------------------------------------------------------------

    def _of_kind(self, kind: str) -> Iterator[tuple[int, JSONObject]]:
        return ((i, data) for i, data in enumerate(self.documents) if data.get("kind") == kind)

    def _parsed(self, kind: str, model: Any, problems_of: Any) -> Iterator[tuple[int, Any, bool]]:
        """The documents of a kind that can be read, if only in part, and whether they are good."""
        for index, data in self._of_kind(kind):
            wrong: tuple[Problem, ...] = ()
            try:
                document = validate_document(model, data)
            except InvalidPolicy as invalid:
                wrong = invalid.problems
                self.problems += [(index, problem) for problem in wrong]
                try:
                    document = validate_document(model, _without(data, [problem.path for problem in wrong]))
                except InvalidPolicy:
                    continue
            # What is missing only because it was left out, or misspelt, is no problem of its own.
            found = [
                (index, problem)
                for problem in problems_of(document)
                if not any(_explains(other, problem) for other in wrong)
            ]
            self.problems += found
            yield index, document, not found and not wrong

    def _unique(self, kind: str) -> dict[str, int]:
        """The names of the documents of a kind, with the first that has each."""
        taken: dict[str, int] = {}
        for index, data in self._of_kind(kind):
            name = text(mapping(data, "metadata"), "name")
            if name and name in taken:
                message = f'there is another {kind} of the name "{name}"'
                self._problem(
                    index, ("metadata", "name"), message, "objects of one kind need different names"
                )
            elif name:
                taken[name] = index
        return taken

    def _problem(self, index: int, path: Path, message: str, suggestion: str = "") -> None:
        self.problems.append((index, Problem(path, message, suggestion)))

    def _warn(self, index: int, path: Path, message: str, suggestion: str = "") -> None:
        self.warnings.append((index, Problem(path, message, suggestion)))

    # --- parameters ------------------------------------------------------------------------------------------

    def _sort_parameters(self) -> tuple[int, ...]:
        """Find the objects of the kinds that policies name; the rest is unknown."""
        wanted = set()
        for data in self.documents:
            if data.get("kind") not in [known.policy for known in _ALL]:
                continue
            kind = mapping(mapping(data, "spec"), "paramKind")
            wanted.add((text(kind, "apiVersion"), text(kind, "kind")))
        unknown = []
        for index, data in enumerate(self.documents):
            if data.get("kind") in KINDS:
                continue
            key = (text(data, "apiVersion"), text(data, "kind"))
            if key in wanted and all(key):
                self._parameters.setdefault(key, []).append(index)
            else:
                unknown.append(index)
        for key, indexes in self._parameters.items():
            self._kinds[key] = self._parameter_kind(key, indexes)
        return tuple(unknown)

    def _parameter_kind(self, key: tuple[str, str], indexes: list[int]) -> ParameterKind:
        objects = [self.documents[index] for index in indexes]
        namespaced = _is_namespaced(key, objects)
        seen: set[tuple[str, str]] = set()
        for index, data in zip(indexes, objects, strict=True):
            name, namespace = (
                text(mapping(data, "metadata"), "name"),
                namespace_of(data, namespaced=namespaced),
            )
            if not name:
                self._problem(index, ("metadata", "name"), "is required")
            elif (namespace, name) in seen:
                self._problem(index, ("metadata", "name"), f'there is another {key[1]} of the name "{name}"')
            seen.add((namespace, name))
        return parameter_kind(objects, namespaced=namespaced)

    def _kind_of(self, kind: ParamKind) -> ParameterKind:
        key = (kind.apiVersion or "", kind.kind or "")
        return self._kinds.get(key) or ParameterKind(_is_namespaced(key, ()))

    # --- policies and bindings -------------------------------------------------------------------------------

    def _policies(self, kind: str, model: Any, problems_of: Any) -> dict[str, tuple[int, Any, bool]]:
        """The policies by name; those that cannot be read are missing, and those with problems are marked."""
        names = self._unique(kind)
        found = {}
        for index, document, good in self._parsed(kind, model, problems_of):
            spec = document.spec
            if spec.paramKind is not None:
                self._check_param_kind(index, spec.paramKind)
            self._check_resources(index, spec.matchConstraints, ("spec", "matchConstraints"))
            if names.get(document.metadata.name) == index:
                found[document.metadata.name] = (index, document, good)
        return found

    def _check_param_kind(self, index: int, kind: ParamKind) -> None:
        if any(True for _ in param_kind_problems(kind, ())):
            return  # said already
        try:
            parse_kind(f"{kind.apiVersion}/{kind.kind}")
        except ValueError as error:
            self._problem(index, ("spec", "paramKind", "kind"), str(error))

    def _check_resources(self, index: int, resources: MatchResources | None, path: Path) -> None:
        """Warn of resources that no group has: they match nothing, and are misspelt."""
        if resources is None:
            return
        for name in ("resourceRules", "excludeResourceRules"):
            for i, rule in enumerate(getattr(resources, name) or ()):
                groups = [known_resources(group) for group in rule.apiGroups or ()]
                if not groups or not all(groups):
                    continue
                known = {resource for group in groups for resource in group} | {"*"}
                for j, written in enumerate(rule.resources or ()):
                    resource = written.partition("/")[0]
                    if resource and resource not in known:
                        where = f"group {rule.apiGroups[0] or 'core'}" if len(groups) == 1 else "these groups"
                        message = f'no resource of {where} is called "{resource}"'
                        self._warn(
                            index, (*path, name, i, "resources", j), message, did_you_mean(resource, known)
                        )

    def _bindings(self, kind: str, model: Any, problems_of: Any) -> list[tuple[int, Any, bool]]:
        self._unique(kind)
        return list(self._parsed(kind, model, problems_of))

    def _compile(self, kind: _Kind) -> Iterator[tuple[int, Any]]:
        """The good policies of a kind, each with the bindings that name it."""
        policies = self._policies(kind.policy, kind.model, kind.problems)
        bindings = self._bindings(kind.binding, kind.binding_model, kind.binding_problems)
        # Also of policies that cannot be read: their bindings are right.
        names = {text(mapping(data, "metadata"), "name") for _, data in self._of_kind(kind.policy)}
        bound: dict[str, list[Any]] = {name: [] for name in names}
        for index, binding, good in sorted(bindings, key=lambda entry: entry[1].metadata.name):
            self._check_resources(index, binding.spec.matchResources, ("spec", "matchResources"))
            name = binding.spec.policyName or ""
            if name and name not in bound:
                message = f'there is no {kind.policy} "{name}" here'
                self._problem(index, ("spec", "policyName"), message, did_you_mean(name, names))
                continue
            if not name:
                continue
            parameters = None
            if name in policies:
                parameters = self._parameters_of(
                    index, binding.spec.paramRef, policies[name][1].spec.paramKind
                )
            bound[name].append(kind.compile_binding(binding, parameters) if good else None)
        for name, (index, document, good) in policies.items():
            if not bound[name]:
                message = f"the policy is in force nowhere: no {kind.binding} names it"
                self._warn(index, ("metadata", "name"), message)
            try:
                compiled = kind.compile(document, [binding for binding in bound[name] if binding is not None])
            except InvalidPolicy as invalid:
                self.problems += [(index, problem) for problem in invalid.problems]
                continue
            if good:
                yield index, compiled

    def _parameters_of(self, index: int, ref: ParamRef | None, kind: ParamKind | None) -> Parameters | None:
        if ref is None or kind is None:
            if ref is not None:
                message = "has no effect: the policy has no paramKind"
                self._warn(index, ("spec", "paramRef"), message)
            elif kind is not None:
                message = "there is no paramRef, so the policy's params are null"
                self._warn(index, ("spec",), message)
            return None
        parameters = self._kind_of(kind)
        if ref.namespace and not parameters.namespaced:
            message = f"must not be there: objects of kind {kind.kind} live in no namespace"
            self.problems.append((index, Problem(("spec", "paramRef", "namespace"), message, on_key=True)))
            return None
        there = [
            name
            for namespace, objects in parameters.objects.items()
            if not ref.namespace or namespace == ref.namespace
            for name in objects
        ]
        if ref.name and ref.name not in there:
            where = f" in namespace {ref.namespace}" if ref.namespace else ""
            message = f'there is no {kind.kind} "{ref.name}"{where} in the policies folder'
            self._warn(index, ("spec", "paramRef", "name"), message, did_you_mean(ref.name, there))
        return Parameters(ref, parameters)


def _without(data: JSONObject, paths: Sequence[Path]) -> JSONObject:
    """A copy of a document without what is at these paths; a list of which an entry is left out is left out whole."""
    copy: JSONObject = orjson.loads(orjson.dumps(data))
    for path in paths:
        keys = list(path)
        while len(keys) > 1 and isinstance(keys[-1], int):
            keys.pop()
        parent = lookup(copy, tuple(keys[:-1]))
        if type(parent) is dict and keys:
            parent.pop(keys[-1], None)
    return copy


def _explains(wrong: Problem, problem: Problem) -> bool:
    """Whether a problem is there because of what is wrong already: at its place, above or below it, or beside it."""
    one, other = wrong.path, problem.path
    if wrong.on_key and problem.message == "is required" and one[:-1] == other[:-1]:
        return True
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _is_namespaced(key: tuple[str, str], objects: Sequence[JSONObject]) -> bool:
    """Whether objects of a kind live in namespaces; of a custom kind its objects tell."""
    api_version, kind = key
    gvk = parse_api_version(api_version, kind)
    if is_cluster_scoped(gvk):
        return False
    known = bool(known_resources(gvk.group))
    return known or not objects or any(text(mapping(data, "metadata"), "namespace") for data in objects)
