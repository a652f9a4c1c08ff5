"""The image, built once a session. CI may not do without; elsewhere its absence is told."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .buildah import Buildah, ImageError, lacking

IMAGE = "localhost/gpuward-test"


@pytest.fixture(scope="session")
def buildah() -> Buildah:
    """A buildah that works; skips where there is none, and fails for that in CI."""
    if (reason := lacking()) is not None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise pytest.fail.Exception(f"the image must be built here: {reason}", pytrace=False)
        pytest.skip(f"THE IMAGE WAS NOT BUILT: {reason}")
    return Buildah()


@pytest.fixture(scope="session")
def image(buildah: Buildah) -> Iterator[str]:
    """The name of the image of this checkout."""
    try:
        buildah.build(IMAGE)
    except ImageError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    try:
        yield IMAGE
    finally:
        buildah.remove(IMAGE)
