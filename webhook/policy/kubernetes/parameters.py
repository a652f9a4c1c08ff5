"""Parameters: the objects that ``paramRef`` of a binding names, taken from the policies folder.

Source: k8s.io/apiserver ``pkg/admission/plugin/policy/generic`` (``CollectParams``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.kubernetes.documents import ParamRef
from webhook.policy.match import Labels, label_selector

# Where an object that names no namespace goes.
DEFAULT_NAMESPACE = "default"


class ParameterFailure(Exception):
    """Parameters that cannot be had. What comes of it, the policy's ``failurePolicy`` says."""

    part = "paramRef"
    """What of the policy fails."""


class ParameterKind(Struct, frozen=True):
    """The objects of a policy's ``paramKind``: by namespace ("" where the kind lives in none) and name, in the order of
    their names."""

    namespaced: bool
    objects: Mapping[str, Mapping[str, JSONObject]] = field(default_factory=dict)


def namespace_of(obj: JSONObject, *, namespaced: bool) -> str:
    """The namespace of a parameter; empty where its kind lives in none."""
    return (text(mapping(obj, "metadata"), "namespace") or DEFAULT_NAMESPACE) if namespaced else ""


def parameter_kind(objects: Iterable[JSONObject], *, namespaced: bool) -> ParameterKind:
    """The parameters of one kind."""
    found: dict[str, dict[str, JSONObject]] = {}
    for obj in sorted(objects, key=lambda o: text(mapping(o, "metadata"), "name")):
        name = text(mapping(obj, "metadata"), "name")
        found.setdefault(namespace_of(obj, namespaced=namespaced), {})[name] = obj
    return ParameterKind(namespaced, found)


class Parameters:
    """A binding's ``paramRef``, bound to the objects there are. Immutable."""

    __slots__ = ("_deny", "_kind", "_name", "_namespace", "_selects")

    def __init__(self, ref: ParamRef, kind: ParameterKind) -> None:
        self._kind = kind
        self._name = ref.name
        self._namespace = ref.namespace or ""
        self._selects: Callable[[Labels], bool] | None = label_selector(ref.selector)
        self._deny = ref.parameterNotFoundAction == "Deny"

    def of(self, namespace: str) -> tuple[JSONObject, ...]:
        """The parameters for a request in this namespace; empty where the policy does not apply without any.

        Raises:
            ParameterFailure: there are none, and that is not allowed.
        """
        where = ""
        if self._kind.namespaced:
            where = self._namespace or namespace
            if not where:
                raise ParameterFailure(
                    "the parameters live in a namespace, and the request is about what lives in none; set"
                    " paramRef.namespace in the binding"
                )
        there = self._kind.objects.get(where, {})
        found: tuple[JSONObject, ...]
        if self._name:
            found = (there[self._name],) if self._name in there else ()
        else:
            found = tuple(obj for obj in there.values() if self._is_selected(obj))
        if not found and self._deny:
            raise ParameterFailure(
                f"there are no parameters for it{f' in namespace {where}' if where else ''}"
            )
        return found

    def _is_selected(self, obj: JSONObject) -> bool:
        return self._selects is not None and self._selects(mapping(mapping(obj, "metadata"), "labels"))
