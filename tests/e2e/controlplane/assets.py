"""Which programs make up the control plane: the developer's own, or the ones that build.py makes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import build

REQUIRED = ("etcd", "kube-apiserver", "kubectl")
OPTIONAL = ("kube-controller-manager", "kube-scheduler")

INSTALL_HINT = (
    "install Go (https://go.dev/doc/install; the control plane is then built once, in about 5 minutes), "
    f"or set KUBEBUILDER_ASSETS to a folder with {', '.join(REQUIRED)} "
    f"(and {', '.join(OPTIONAL)} for the scheduling tests)"
)


class MissingAssetsError(Exception):
    """This machine has no control plane and nothing to build one with; the message says what to install."""


class InvalidAssetsError(Exception):
    """KUBEBUILDER_ASSETS is set but cannot be used; the message says why."""


@dataclass(frozen=True)
class Assets:
    """The programs of a control plane. The optional ones are None where the machine has none that fit."""

    etcd: Path
    api_server: Path
    kubectl: Path
    controller_manager: Path | None
    scheduler: Path | None
    version: str
    """Of kube-apiserver, such as `v1.36.3`."""


def locate(report: Callable[[str], None] = print) -> Assets:
    """The programs to run: those of KUBEBUILDER_ASSETS, else the cached build, else a new build.

    KUBEBUILDER_ASSETS is the convention of Kubernetes' own test tools (controller-runtime's envtest), whose
    downloads carry no controller manager and no scheduler: those then come from a finished build of the same
    minor version (a controller manager must not be newer than its API server), or are None.

    Raises MissingAssetsError, InvalidAssetsError, build.BuildError.
    """
    if brought := os.environ.get("KUBEBUILDER_ASSETS"):
        return _brought(Path(brought))
    return _built(build.NEWEST, report)


def oldest(report: Callable[[str], None] = print, *, may_build: bool) -> Assets:
    """The programs of the oldest Kubernetes that is tested: the cached build, else a new one if that is wanted.

    Raises MissingAssetsError, build.BuildError.
    """
    if not may_build and build.find(build.OLDEST) is None:
        version = build.kubernetes_version(build.OLDEST)
        raise MissingAssetsError(
            f"Kubernetes {version} is not built yet (5 minutes): python tests/e2e/controlplane/build.py --oldest"
        )
    return _built(build.OLDEST, report)


def _built(module: str, report: Callable[[str], None]) -> Assets:
    folder = build.find(module)
    if folder is None:
        if shutil.which("go") is None:
            raise MissingAssetsError(f"there is no Kubernetes control plane on this machine: {INSTALL_HINT}")
        folder = build.build(report, module)
    return Assets(
        etcd=folder / "etcd",
        api_server=folder / "kube-apiserver",
        kubectl=folder / "kubectl",
        controller_manager=folder / "kube-controller-manager",
        scheduler=folder / "kube-scheduler",
        version=build.kubernetes_version(module),
    )


def _brought(folder: Path) -> Assets:
    absent = [name for name in REQUIRED if not os.access(folder / name, os.X_OK)]
    if absent:
        raise InvalidAssetsError(f"KUBEBUILDER_ASSETS is {folder}, which has no program {', '.join(absent)}")
    version = _version(folder / "kube-apiserver")
    same_minor = version.rsplit(".", 1)[0] == build.kubernetes_version().rsplit(".", 1)[0]
    built = build.find() if same_minor else None

    def optional(name: str) -> Path | None:
        if os.access(folder / name, os.X_OK):
            return folder / name
        return built / name if built else None

    return Assets(
        etcd=folder / "etcd",
        api_server=folder / "kube-apiserver",
        kubectl=folder / "kubectl",
        controller_manager=optional("kube-controller-manager"),
        scheduler=optional("kube-scheduler"),
        version=version,
    )


def _version(api_server: Path) -> str:
    printed = subprocess.run(
        [api_server, "--version"], capture_output=True, text=True, timeout=30, check=False
    ).stdout
    found = re.search(r"v\d+\.\d+\.\d+", printed)
    if not found:
        raise InvalidAssetsError(f"{api_server} --version does not name a Kubernetes version: {printed!r}")
    return found[0]
