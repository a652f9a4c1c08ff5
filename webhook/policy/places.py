"""Fields that a policy names, held against what Kubernetes' own kinds have: a misspelt field is an error at load.

Of custom resources the fields are not known here, so any will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from webhook.kube.gvk import POD, GroupVersionKind
from webhook.kube.path import Path
from webhook.policy.problems import did_you_mean

if TYPE_CHECKING:
    from webhook.kube.apply import Type, Unfit

_EACH: Final = frozenset({"*"})
_END: Final = frozenset({"-"})


def impossible_field(path: Path, kinds: Iterable[GroupVersionKind]) -> str:
    """Why there is no such field in objects of any of the kinds, and what was meant; empty where there can be one.

    Where the kinds are none that Kubernetes has itself, there can be any. ``*`` stands for each item of a list.
    """
    from webhook.kube.apply import Unfit, of, type_at  # read where a policy names a field

    unfit = None
    for kind in kinds:
        found = type_at(path, of(kind), _EACH)
        if not isinstance(found, Unfit):
            return ""
        unfit = unfit or found
    return "" if unfit is None else _said(unfit)


def unfit_place(pointer: Sequence[str]) -> str:
    """Why a pod has no such place, and what was meant; empty where it has.

    ``pointer`` are the segments of a JSON Pointer from the pod's root.
    """
    from webhook.kube.apply import Unfit, type_at

    found = type_at(pointer, _pod(), _END)
    return _said(found) if isinstance(found, Unfit) else ""


def unfit_parts_at(pointer: Sequence[str], value: Any) -> Iterator[tuple[Path, str]]:
    """What cannot be in a value at a place: the path of each such part from the value, and why.

    A place that no pod has (``unfit_place``) is one where anything may be.
    """
    from webhook.kube.apply import Unfit, type_at, unfit_parts

    kind = type_at(pointer, _pod(), _END)
    if not isinstance(kind, Unfit):
        for unfit in unfit_parts(value, kind, tuple(pointer)):
            yield unfit.path[len(pointer) :], _said(unfit)


@cache
def _pod() -> Type:
    from webhook.kube.apply import of

    return of(POD)


def _said(unfit: Unfit) -> str:
    from webhook.kube.apply import kubernetes_version

    if not unfit.known:
        return unfit.message
    version = kubernetes_version().rpartition(".")[0]
    hint = did_you_mean(str(unfit.path[-1]), unfit.known)
    return f"{unfit.message} in Kubernetes {version}" + (f"; {hint}" if hint else "")
