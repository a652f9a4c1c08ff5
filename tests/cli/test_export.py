"""`gpuward export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support import POLICIES
from webhook.cli.main import main
from webhook.version import __version__

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "export"

POLICY = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: house}
spec:
  validate:
    - rule: no-privileged
    - expression: "object.metadata.name != 'x' || object.metadata.name.startsWith('  two  spaces  in  a  line  ')"
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "house.yaml").write_text(POLICY, encoding="utf-8")
    return tmp_path


def test_shipped_policies_are_exported_as_in_the_golden_file(
    capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None]
) -> None:
    assert main(["export", str(POLICIES)]) == 0
    printed = capsys.readouterr()
    golden(GOLDEN / "shipped.yaml", printed.out.replace(__version__, "VERSION"))
    golden(GOLDEN / "shipped.txt", printed.err)


def test_stream_is_yaml_with_a_policy_and_its_bindings(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(house)]) == 0
    policy, *bindings = yaml.safe_load_all(capsys.readouterr().out)
    assert policy["kind"] == "ValidatingAdmissionPolicy"
    assert [each["spec"]["validationActions"] for each in bindings] == [["Deny"], ["Warn"], ["Audit"]]
    assert "'  two  spaces  in  a  line  '" in policy["spec"]["validations"][-1]["expression"]


def test_only_the_named_policies_are_exported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(POLICIES), "--policy", "limits-required"]) == 0
    printed = capsys.readouterr()
    assert {each["metadata"]["name"].split(".")[0] for each in yaml.safe_load_all(printed.out)} == {
        "limits-required"
    }
    assert printed.err == ""


def test_unknown_policy_is_wrong_usage(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(house), "--policy", "hous"]) == 2
    assert 'no policy "hous"; did you mean "house"?' in capsys.readouterr().err


def test_strict_makes_what_is_left_out_an_error(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(house), "--strict"]) == 0
    assert main(["export", str(POLICIES), "--strict"]) == 1
    assert "Not exported:" in capsys.readouterr().err


def test_output_goes_to_a_file(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = house / "out" / "vap.yaml"
    file.parent.mkdir()
    assert main(["export", str(house), "--output", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert len(list(yaml.safe_load_all(file.read_text(encoding="utf-8")))) == 4


def test_policies_that_do_not_load_are_not_exported(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "bad.yaml").write_text(POLICY.replace("no-privileged", "no-privilege"), encoding="utf-8")
    assert main(["export", str(house)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no-privilege" in printed.err


def test_policies_of_kubernetes_are_left_out(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", str(house), "--output", str(house / "again.yaml")])
    assert main(["export", str(house)]) == 0
    printed = capsys.readouterr()
    assert len(list(yaml.safe_load_all(printed.out))) == 4
    assert "house.pods.gpuward.dev\n      it is one of Kubernetes' own policies already" in printed.err
