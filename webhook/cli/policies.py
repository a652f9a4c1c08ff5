"""The ``--policies`` option of the commands that need a policy set."""

from __future__ import annotations

import argparse
import sys

from webhook.adapters import policy_files
from webhook.engine.ruleset import Ruleset

DEFAULT_POLICIES = "$GPUWARD_POLICIES, then ./policies, then the policies that come with gpuward"


def add_policies_argument(parser: argparse.ArgumentParser) -> None:
    """``--policies DIR``; see ``policy_files.default_policies_path`` for what holds without it."""
    parser.add_argument(
        "--policies", metavar="DIR",
        help=f"a policy file or folder (default: {DEFAULT_POLICIES})",
    )  # fmt: skip


def load_or_report(path: str | None) -> Ruleset | None:
    """The policy set, or None after every problem with it has been printed on standard error."""
    loaded = policy_files.load(policy_files.default_policies_path(path))
    for problem in loaded.problems:
        print(problem, file=sys.stderr)
    return loaded.ruleset
