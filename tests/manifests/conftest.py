"""Helm for the tests that render the chart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.helm.program import helm_program


@pytest.fixture(scope="session")
def helm() -> Path:
    """The helm program."""
    return helm_program()
