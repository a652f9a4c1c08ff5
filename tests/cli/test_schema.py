"""`gpuward schema`."""

from __future__ import annotations

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from webhook.checks import CHECKS
from webhook.cli.main import main
from webhook.mutations import MUTATIONS
from webhook.policy.crd import custom_resource_definitions
from webhook.policy.schema import policy_schema


def test_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(printed)
    assert printed == policy_schema(MUTATIONS, CHECKS)


def test_schema_is_the_same_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema"])
    first = capsys.readouterr().out
    main(["schema"])
    assert capsys.readouterr().out == first


def test_the_custom_resource_definitions_are_printed_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "-o", "crd"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == custom_resource_definitions()
