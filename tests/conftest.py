"""What all tests share: golden files, and how Hypothesis runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.e2e.summary import Summary

# Nothing here is judged by its speed: on a busy machine any example can take long.
settings.register_profile("gpuward", deadline=None)
settings.load_profile("gpuward")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regen-golden",
        action="store_true",
        help="write the golden files anew instead of comparing with them; look at the difference before you commit it",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Here and not beside those tests: with several processes, the one that reports does not look there.
    config.pluginmanager.register(Summary(), "end-to-end-summary")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a golden file, or write the file where --regen-golden is given."""
    regenerate = request.config.getoption("--regen-golden")

    def compare(file: Path, text: str) -> None:
        if regenerate:
            file.write_text(text, encoding="utf-8")
        assert file.exists(), f"{file.name} is not there; make it with --regen-golden"
        assert text == file.read_text(encoding="utf-8")

    return compare
