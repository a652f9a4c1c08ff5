"""Each control opens with its specification, and the check's own lists them all."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module
from types import ModuleType
from typing import get_args

import pytest

import webhook.checks.pod_security
from webhook.checks.pod_security import PodSecurity
from webhook.checks.pod_security.control import NEWEST, Control, ControlId
from webhook.checks.pod_security.registry import CONTROLS

SECTIONS = ["Why", "Restricted fields", "Allowed values", "Versions", "Remediation", "Source"]

each_control = pytest.mark.parametrize("control", CONTROLS, ids=[control.id for control in CONTROLS])


def module_of(control: Control) -> ModuleType:
    return import_module(f"webhook.checks.pod_security.{control.id.replace('-', '_')}")


def sections(control: Control) -> dict[str, str]:
    parts = re.split(r"^(\w[\w ]*):\n", inspect.getdoc(module_of(control)) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], (inspect.cleandoc(part) for part in parts[2::2]), strict=True))


def test_every_control_in_the_folder_is_registered_once() -> None:
    modules = [
        import_module(f"webhook.checks.pod_security.{found.name}")
        for found in pkgutil.iter_modules(webhook.checks.pod_security.__path__)
    ]
    defined = [module.CONTROL for module in modules if hasattr(module, "CONTROL")]
    assert sorted(CONTROLS, key=lambda c: c.id) == sorted(defined, key=lambda c: c.id)
    assert [control.id for control in CONTROLS] == list(get_args(ControlId))


def test_controls_are_in_the_order_of_kubernetes() -> None:
    order = [(control.level, control.kubernetes_id) for control in CONTROLS]
    assert order == sorted(order)


@each_control
def test_a_control_is_named_as_kubernetes_names_its_check(control: Control) -> None:
    assert module_of(control).CONTROL is control
    kebab = re.sub(r"([a-z])([A-Z])", r"\1-\2", control.kubernetes_id).replace("_", "-").lower()
    assert control.id == kebab


@each_control
def test_revisions_are_in_the_order_of_known_versions(control: Control) -> None:
    versions = [revision.since for revision in control.revisions]
    assert versions == sorted(set(versions))
    assert 0 <= versions[0] <= versions[-1] <= NEWEST


@each_control
def test_only_a_restricted_control_replaces_and_only_a_baseline_one(control: Control) -> None:
    if control.replaces:
        replaced = next(other for other in CONTROLS if other.id == control.replaces)
        assert (control.level, replaced.level) == ("restricted", "baseline")
        assert f"in place of ``{replaced.id}``" in sections(control)["Versions"]
        assert f"``{control.id}``" in sections(replaced)["Versions"]


@each_control
def test_a_control_opens_with_its_specification(control: Control) -> None:
    summary = " ".join((inspect.getdoc(module_of(control)) or "").split("\n\n")[0].split())
    assert re.fullmatch(
        rf"The {control.level} control ``{control.id}`` \(``{control.kubernetes_id}`` in Kubernetes\): [^.]+\.",
        summary,
    )
    assert list(sections(control)) == SECTIONS
    assert all(sections(control).values())
    assert re.search(r"k8s\.io/pod-security-admission policy/check_\w+\.go", sections(control)["Source"])


@each_control
def test_a_specification_names_every_version_that_changed_something(control: Control) -> None:
    for revision in control.revisions:
        assert re.search(rf"\bv1\.{revision.since}\b", sections(control)["Versions"])


@each_control
def test_restricted_fields_name_every_kind_of_container(control: Control) -> None:
    fields = sections(control)["Restricted fields"].splitlines()
    assert all(re.fullmatch(r"(spec|metadata)(\.[A-Za-z]+(\[\*\])?)+", field) for field in fields)
    for field in fields:
        if field.startswith("spec.containers[*]"):
            assert field.replace("containers", "initContainers") in fields
            assert field.replace("containers", "ephemeralContainers") in fields


def test_the_check_lists_its_controls_with_their_names_levels_and_versions() -> None:
    text = inspect.getdoc(PodSecurity) or ""
    allowed = text[text.index("Allowed values:") : text.index("Remediation:")]
    baseline, _, restricted = allowed.partition("``restricted`` has these")
    for level, part in (("baseline", baseline), ("restricted", restricted)):
        # An item runs on over indented lines.
        items = re.findall(r"^    - (.*(?:\n      .*)*)", part, re.MULTILINE)
        listed = [" ".join(item.split()) for item in items]
        controls = [control for control in CONTROLS if control.level == level]
        assert len(listed) == len(controls)
        for control, item in zip(controls, listed, strict=True):
            assert item.startswith(f"{control.id} ({control.kubernetes_id}), since v1.{control.since}: ")
            assert set(re.findall(r"v1\.(\d+)", item)) == {str(r.since) for r in control.revisions}
            assert (f"in place of {control.replaces}" in item) is bool(control.replaces)


def test_the_parameters_name_the_newest_version() -> None:
    assert f"``v1.{NEWEST}``" in inspect.getsource(PodSecurity.Parameters)


@each_control
def test_the_check_names_the_fields_of_its_controls(control: Control) -> None:
    text = inspect.getdoc(PodSecurity) or ""
    named = re.split(r"^\w[\w ]*:\n", text, flags=re.MULTILINE)[2].split()
    for field in sections(control)["Restricted fields"].splitlines():
        assert any(field == name or field.startswith(f"{name}.") for name in named), field
