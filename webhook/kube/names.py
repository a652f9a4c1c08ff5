"""What Kubernetes accepts as keys and values of labels, annotations and the like.

Each function says what is wrong with a text, in words that follow a field's name ("must ..."), or gives None
where the API server takes it. Source: k8s.io/apimachinery ``pkg/util/validation`` (IsQualifiedName,
IsValidLabelValue, IsEnvVarName).
"""

from __future__ import annotations

import re
from typing import Final

NAMESPACE_NAME_LABEL: Final = "kubernetes.io/metadata.name"
"""The label that the API server sets on every namespace: its name."""

# "The rule is QualifiedName except that case doesn't matter": the whole key counts as lower case for
# annotations.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_SUBDOMAIN: Final = re.compile(
    r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*", re.ASCII
)
_LONGEST_SUBDOMAIN: Final = 253

_VARIABLE: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*", re.ASCII)


def is_subdomain(name: str) -> bool:
    """Whether a name is a DNS subdomain, as names of most objects are (IsDNS1123Subdomain)."""
    return len(name) <= _LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(name) is not None


def label_key_problem(key: str) -> str | None:
    """For keys of labels, taints and extended resources: ``[PREFIX/]NAME``."""
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return (
            f'must have a DNS name before the "/", such as example.com/{name or "name"}; "{_cut(prefix)}" is '
            "none (lower-case letters, digits, '-' and '.')"
        )
    if not _NAME.fullmatch(name):
        return (
            f'must be a name such as team or example.com/team; "{_cut(name)}" is none (at most 63 letters, '
            "digits, '-', '_' and '.', with a letter or digit at both ends)"
        )
    return None


def annotation_key_problem(key: str) -> str | None:
    """For keys of annotations: as for labels, but the case does not matter."""
    return label_key_problem(key.lower())


def label_value_problem(value: str) -> str | None:
    """For values of labels and taints."""
    if value and not _NAME.fullmatch(value):
        return (
            f"must be empty or at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both "
            f'ends; "{_cut(value)}" is not (an annotation takes any text)'
        )
    return None


def variable_name_problem(name: str) -> str | None:
    """For names of environment variables, as every supported version of Kubernetes takes them."""
    if not _VARIABLE.fullmatch(name) or name == "." or name.startswith(".."):
        return (
            "must be a name such as NCCL_DEBUG (letters, digits, '_', '-' and '.', no digit first), "
            f'not "{_cut(name)}"'
        )
    return None


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
