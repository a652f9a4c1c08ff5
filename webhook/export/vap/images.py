"""Image references in CEL, as ``webhook.kube.image`` reads them.

What a regular expression cannot count is left out: that a repository may have 255 characters at most.
"""

from __future__ import annotations

from typing import Final

from webhook.export.vap.cel import text, whole
from webhook.kube.image import DEFAULT_REGISTRY

_HOST_PART: Final = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST: Final = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?"
# The first part of a path on the default registry: with a dot it would be a host.
_FIRST: Final = r"[a-z0-9]+(?:(?:_|__|-+)[a-z0-9]+)*"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = rf"(?:(?:{_HOST}|{_FIRST})/{_COMPONENT}(?:/{_COMPONENT})*|{_COMPONENT})"
_TAG: Final = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST: Final = r"@(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})"
_IDENTIFIER: Final = text("^[a-f0-9]{64}$")

_HUB: Final = text(r"^(?i:(?:index\.)?docker\.io)/")
_QUALIFIED: Final = text("^(?:localhost|[^/]*[.:A-Z][^/]*)/")
_OFFICIAL: Final = text(r"^docker\.io/[^/]*$")
_WITHOUT_TAG: Final = text("^(?:[^/@]*/)?[^:@]*")

IMAGES: Final = (
    "(variables.judged.map(c, c.?image.orValue(''))"
    " + (variables.specUnchanged ? [] : variables.spec.?volumes.orValue([]).map(v,"
    " v.?image.?reference.orValue('')))).filter(i, i != '')"
)
"""The images of the pod that an update did not leave as they were: of containers and of image volumes."""


def _matches(image: str, pattern: str) -> str:
    anchored = text(f"^{pattern}$")
    return f"({image}.matches({anchored}) && !{image}.matches({_IDENTIFIER}) && size({image}) <= 1024)"


def is_reference(image: str) -> str:
    """Whether ``image`` (CEL) is an image reference."""
    return _matches(image, rf"{_NAME}(?:{_TAG})?(?:{_DIGEST})?")


def names_no_version(image: str) -> str:
    """Whether ``image`` (CEL) is an image reference without a digest whose tag is absent or ``latest``."""
    return _matches(image, rf"{_NAME}(?::latest)?")


def name_matches(image: str, pattern: str) -> str:
    """Whether registry and repository of ``image`` (CEL, an image reference), in full, match an RE2 pattern."""
    # First the name without tag and digest, then with its registry, then with the library/ of official images.
    return (
        f"[{image}.find({_WITHOUT_TAG})].map(n,"
        f" n.matches({_HUB}) ? '{DEFAULT_REGISTRY}' + n.find('/.*$')"
        f" : n.matches({_QUALIFIED}) ? n.find('^[^/]*').lowerAscii() + n.find('/.*$')"
        f" : '{DEFAULT_REGISTRY}/' + n)"
        f".exists(n, (n.matches({_OFFICIAL}) ? '{DEFAULT_REGISTRY}/library' + n.find('/.*$') : n)"
        f".matches({whole(pattern)}))"
    )
