"""Image references: what registry, repository, tag and digest ``image: nginx`` stands for.

References are read as the kubelet and the container runtimes read them, short names included.
Source: github.com/distribution/reference ``normalize.go`` (ParseNormalizedNamed), ``regexp.go`` and
``reference.go``; the kubelet refuses what it cannot parse (InvalidImageName), pkg/util/parsers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

DEFAULT_REGISTRY: Final = "docker.io"

# The other name Docker Hub has gone by, which runtimes take for the same.
_LEGACY_DEFAULT_REGISTRY: Final = "index.docker.io"
_OFFICIAL_PREFIX: Final = "library/"

_REGISTRY: Final = re.compile(
    r"(?:(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*"
    r"|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?"
)
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")

_MAX_REPOSITORY: Final = 255
# Above any legal reference (host, repository, tag and digest together); bounds what parsing hostile text
# costs.
_MAX_LENGTH: Final = 1024


class ImageError(ValueError):
    """Text that is no image reference, so that no node could pull it. The message says what is wrong."""


class ImageReference(Struct, frozen=True):
    """An image reference in full. ``tag`` and ``digest`` are as written, None where there is none."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """Registry and repository: ``docker.io/library/nginx``."""
        return f"{self.registry}/{self.repository}"


@lru_cache(maxsize=4096)
def parse_image(image: str) -> ImageReference:
    """Read an image reference: ``nginx`` is registry ``docker.io``, repository ``library/nginx``, no tag, no
    digest.

    The registry comes back in lower case, as host names are compared without regard to case (but not where
    its upper case is all that tells it from a path: ``Host/app``); a port stays part of it.

    Raises:
        ImageError: the text is no image reference.
    """
    if len(image) > _MAX_LENGTH:
        raise ImageError("it is too long")
    if _IDENTIFIER.fullmatch(image):
        raise ImageError("it is an image ID; write the image's name")
    registry, remainder = _split_registry(image)
    remainder, at, digest = remainder.partition("@")
    repository, colon, tag = remainder.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = _OFFICIAL_PREFIX + repository
    if repository != repository.lower():
        raise ImageError("the repository must be in lower case")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > _MAX_REPOSITORY:
        raise ImageError("write it as registry/repository:tag")
    if colon and not _TAG.fullmatch(tag):
        raise ImageError("the tag after ':' must be letters, digits, '_', '.' and '-', 128 at most")
    if at and not _DIGEST.fullmatch(digest):
        raise ImageError("the digest after '@' must be sha256: and 64 hexadecimal digits")
    return ImageReference(registry, repository, tag if colon else None, digest if at else None)


def _split_registry(image: str) -> tuple[str, str]:
    first, slash, rest = image.partition("/")
    # What looks like no host is the first part of a path on the default registry: "org/image". An upper-case
    # letter makes it a host as well, as no path can have one.
    if not slash or not (_is_host(first) or first != first.lower()):
        return DEFAULT_REGISTRY, image
    if not _REGISTRY.fullmatch(first):
        raise ImageError("the part before the first '/' is no registry host")
    # Without its upper-case letter such a host would be read as a path.
    registry = first.lower() if _is_host(first.lower()) else first
    return (DEFAULT_REGISTRY if registry == _LEGACY_DEFAULT_REGISTRY else registry), rest


def _is_host(part: str) -> bool:
    return part == "localhost" or "." in part or ":" in part
