"""Helm for a test: built, or a skip, or in CI a failure."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.controlplane.build import BuildError

from .build import build


def helm_program() -> Path:
    """The helm program. Skips the test where there is no Go to build it with, which CI may not lack."""
    if shutil.which("go") is None and os.environ.get("CI", "").lower() not in ("true", "1"):
        pytest.skip("needs Go (https://go.dev/doc/install) to build Helm: the chart is not rendered")
    try:
        return build()
    except BuildError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
