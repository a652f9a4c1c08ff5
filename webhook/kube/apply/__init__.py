"""Merging an apply configuration into an object, as Kubernetes does it for a MutatingAdmissionPolicy.

    merged = apply(deployment, {"spec": {"replicas": 3}}, types.of(kind))

Maps are merged key by key, lists item by item where their type says by which keys, everything else is replaced. What
cannot be merged without losing what was there (atomic lists, maps and structures) may not be applied at all.
Source: k8s.io/apiserver 1.36 ``pkg/admission/plugin/policy/mutating/patch/smd.go``,
sigs.k8s.io/structured-merge-diff v6.
"""

from __future__ import annotations

from .fits import Unfit, type_at, unfit_parts
from .merge import apply
from .patch import apply_operations
from .problem import CannotApply
from .tidy import tidied
from .types import Type, is_known, kinds_of, kubernetes_version, of

__all__ = [
    "CannotApply",
    "Type",
    "Unfit",
    "apply",
    "apply_operations",
    "is_known",
    "kubernetes_version",
    "kinds_of",
    "of",
    "tidied",
    "type_at",
    "unfit_parts",
]
