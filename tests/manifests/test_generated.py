"""What is made from something else is as it would be made now, and nothing else lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
import yaml

from manifests.generate import CHART, PLAIN, leaves, plain_files, schema
from manifests.values import Chart
from webhook.version import __version__


def test_plain_manifests_are_the_rendered_chart(helm: Path) -> None:
    wanted = plain_files(helm)
    assert {path.name for path in PLAIN.iterdir()} == set(wanted), "run `make manifests`"
    for name, text in wanted.items():
        assert (PLAIN / name).read_text(encoding="utf-8") == text, f"{name} is stale: run `make manifests`"


def test_chart_has_the_version_of_the_program() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert described["version"] == described["appVersion"] == __version__


def test_values_are_what_the_models_say() -> None:
    assert yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")) == Chart().model_dump()


def test_default_values_fit_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.validate(Chart().model_dump(), schema(), jsonschema.Draft7Validator)


def test_schema_knows_every_value_and_takes_no_other() -> None:
    def walk(node: Mapping[str, object], path: str) -> None:
        properties = node.get("properties")
        if isinstance(properties, dict):
            assert node["additionalProperties"] is False, path
            for name, child in properties.items():
                assert child.get("description"), f"{path}{name} has no description"
                walk(child, f"{path}{name}.")

    walk(schema(), "")


@pytest.mark.parametrize("name", list(leaves()))
def test_every_value_is_in_the_readme_and_in_a_template(name: str) -> None:
    assert f"| `{name}` |" in (CHART / "README.md").read_text(encoding="utf-8")
    templates = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir())
    used = f".Values.{name}" in templates or f"$issuer.{name.rpartition('.')[2]}" in templates
    assert used, f"no template uses {name}"


def test_kustomization_names_every_file() -> None:
    kustomization = yaml.safe_load((PLAIN / "kustomization.yaml").read_text(encoding="utf-8"))
    assert {*kustomization["resources"], "kustomization.yaml"} == {
        "../crds",
        *(path.name for path in PLAIN.iterdir()),
    }
