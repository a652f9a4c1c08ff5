"""Kubernetes' ``jsonpatch.escapeKey``: a key as a step of a JSON Pointer.

Source: k8s.io/apiserver ``pkg/cel/library/jsonpatch.go``, RFC 6901. (Kubernetes has it in mutations only.)
"""

from __future__ import annotations

from .celtype import STRING
from .functions import Overload, function


def _escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


FUNCTIONS = (
    function(
        "jsonpatch.escapeKey",
        Overload("string_jsonpatch_escapeKey_string", (STRING,), STRING, python=_escape_key),
    ),
)
