"""Helm for the tests that render the chart. CI may not do without."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.controlplane.build import BuildError
from tests.e2e.helm.build import build


@pytest.fixture(scope="session")
def helm() -> Path:
    """The helm program; skips where there is no Go to build it with, and fails for that in CI."""
    if shutil.which("go") is None and os.environ.get("CI", "").lower() not in ("true", "1"):
        pytest.skip("needs Go (https://go.dev/doc/install) to build Helm: the chart is not rendered")
    try:
        return build()
    except BuildError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
