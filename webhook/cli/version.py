"""``gpuward version``."""

from __future__ import annotations

import argparse
import platform

from webhook.cli.output import CLEAN
from webhook.version import __version__


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(_args: argparse.Namespace) -> int:
    """Print the version of gpuward and of the Python it runs on."""
    print(f"gpuward {__version__} (Python {platform.python_version()})")
    return CLEAN
