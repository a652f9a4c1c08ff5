"""The control plane of the end-to-end tests, started once a session, and the rule that CI may not skip them.

A machine that has no control plane and nothing to build one with skips these tests and says so at the end of
the run. With CI=true or GPUWARD_E2E=required every skip here is a failure instead.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from . import summary
from .cluster import ControlPlane
from .controlplane import assets, build
from .helm.program import helm_program

VERSIONS = pytest.StashKey[list[str]]()


def required() -> bool:
    """Whether the end-to-end tests must run here."""
    return os.environ.get("CI", "").lower() in ("true", "1") or os.environ.get("GPUWARD_E2E") == "required"


@pytest.fixture(scope="session")
def control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A running control plane, shared by all tests: make your own namespaces and nodes, delete the nodes."""
    config = request.config
    try:
        programs = assets.locate(lambda line: _say(config, line))
    except assets.MissingAssetsError as missing:
        # A failure where required: see pytest_runtest_makereport.
        raise pytest.skip.Exception(str(missing)) from None
    except (assets.InvalidAssetsError, build.BuildError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    config.stash.setdefault(VERSIONS, []).append(programs.version)
    with ControlPlane(programs, tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture(scope="session")
def oldest_control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A running control plane of the oldest Kubernetes that is tested.

    It is built here only where these tests must run: elsewhere nobody waits for a second build unasked.
    """
    config = request.config
    try:
        programs = assets.oldest(lambda line: _say(config, line), may_build=required())
    except assets.MissingAssetsError as missing:
        raise pytest.skip.Exception(str(missing)) from None
    except build.BuildError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    config.stash.setdefault(VERSIONS, []).append(programs.version)
    with ControlPlane(programs, tmp_path_factory.mktemp("oldest-control-plane")) as running:
        yield running


@pytest.fixture(scope="session")
def helm() -> Path:
    """The helm program."""
    return helm_program()


@pytest.fixture
def full_control_plane(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with controllers and the scheduler, which KUBEBUILDER_ASSETS may lack."""
    lacking = [
        name
        for name, there in (
            ("kube-controller-manager", control_plane.has_controller_manager),
            ("kube-scheduler", control_plane.has_scheduler),
        )
        if not there
    ]
    if lacking:
        pytest.skip(
            f"KUBEBUILDER_ASSETS has no {' and no '.join(lacking)}, and no finished build of Kubernetes "
            f"{control_plane.assets.version} stands in: add them there, or unset it to build everything"
        )
    return control_plane


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says of the tests on the control plane what came of them, and makes their skips failures where they must run."""
    report = yield
    if not {"control_plane", "oldest_control_plane"} & set(getattr(item, "fixturenames", ())):
        return report
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        summary.tell(report, "not run", reason=reason)
        if required():
            report.outcome = "failed"
            report.longrepr = (
                f"end-to-end tests must not be skipped here (CI or GPUWARD_E2E=required): {reason}"
            )
    elif report.when == "setup" and report.failed:
        summary.tell(report, "not run")
    elif report.when == "call":
        versions = tuple(item.config.stash.get(VERSIONS, ()))
        summary.tell(report, "failed" if report.failed else "passed", versions=versions)
    return report


def _say(config: pytest.Config, line: str) -> None:
    """Prints a line at once, also while pytest captures: a build takes minutes."""
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is None:
        return
    if capture is None:
        terminal.write_line(line)
        return
    with capture.global_and_fixture_disabled():
        terminal.write_line(line)
