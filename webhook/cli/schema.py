"""``gpuward schema``: the JSON Schema of policy files, or their CustomResourceDefinitions, on standard output."""

from __future__ import annotations

import argparse
import json
from typing import Final

from webhook.checks import CHECKS
from webhook.cli.output import CLEAN
from webhook.kube.shape import JSONObject
from webhook.mutations import MUTATIONS
from webhook.policy.schema import policy_schema

EPILOG: Final = """Editors complete and check policy files with it:

  gpuward schema > gpuward.schema.json

and as the first line of a policy file, for editors that use yaml-language-server:

  # yaml-language-server: $schema=gpuward.schema.json

The same documents can be custom resources (gpuward serve --policy-resources):

  gpuward schema -o crd | kubectl apply -f -
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gpuward schema``."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-o", "--output", choices=("json-schema", "crd"), default="json-schema",
        help="the JSON Schema of policy files (default), or the CustomResourceDefinitions of the same documents",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    if args.output == "crd":
        print(crd_manifests(), end="")
    else:
        print(json_schema_text(), end="")
    return CLEAN


def json_schema_text() -> str:
    """The JSON Schema (2020-12) of one document of a policy file."""
    return json.dumps(policy_schema(MUTATIONS, CHECKS), indent=2, ensure_ascii=False) + "\n"


def crd_manifests() -> str:
    """All CustomResourceDefinitions, one YAML document each."""
    from webhook.policy.crd import custom_resource_definitions

    return "".join(f"---\n{crd_manifest(definition)}" for definition in custom_resource_definitions())


def crd_manifest(definition: JSONObject) -> str:
    """One CustomResourceDefinition as YAML."""
    from webhook.cli.review_output import to_yaml

    return to_yaml(definition)
