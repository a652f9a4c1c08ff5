"""``gpuward schema``: the JSON Schema of policy files, on standard output."""

from __future__ import annotations

import argparse
import json

from webhook.checks import CHECKS
from webhook.cli.output import CLEAN
from webhook.mutations import MUTATIONS
from webhook.policy.schema import policy_schema

EPILOG = """Editors complete and check policy files with it:

  gpuward schema > gpuward.schema.json

and as the first line of a policy file, for editors that use yaml-language-server:

  # yaml-language-server: $schema=gpuward.schema.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None but the help."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def run(_args: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(policy_schema(MUTATIONS, CHECKS), indent=2, ensure_ascii=False))
    return CLEAN
