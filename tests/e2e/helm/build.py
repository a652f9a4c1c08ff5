"""Builds Helm from its Go module, once: ``python -m tests.e2e.helm.build`` prints the program's path.

It is kept beside the control plane of the end-to-end tests, under a name made from go.mod, go.sum, the flags and the Go
version. Takes two minutes on two cores. Standard library only.
"""

from __future__ import annotations

import fcntl
import re
import sys
import tempfile
from pathlib import Path

from tests.e2e.controlplane.build import BuildError, cache_folder
from tests.gotool import digest_of, go

SOURCE = Path(__file__).resolve().parent
PACKAGE = "helm.sh/helm/v3/cmd/helm"

_TIMEOUT_SECONDS = 30 * 60


def build() -> Path:
    """The program, built unless the cache has it. Raises BuildError."""
    parts = [(SOURCE / name).read_bytes() for name in ("go.mod", "go.sum")]
    parts += [flag.encode() for flag in _flags()]
    digest = digest_of(_go("env", "GOVERSION", "GOOS", "GOARCH"), parts)
    target = cache_folder() / "helm" / f"helm-{_required('helm.sh/helm/v3')}-{digest}"
    target.parent.mkdir(parents=True, exist_ok=True)
    # Of two builds at once the second waits for the first: each would take all processors for minutes.
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as staging:
                made = Path(staging, "helm")
                _go("build", *_flags(), "-o", str(made), PACKAGE)
                made.rename(target)
    return target


def _flags() -> list[str]:
    # Without these Helm takes the cluster it renders for to be Kubernetes 1.20, and itself for a development version.
    _, minor, _ = _required("k8s.io/client-go").split(".")
    values = {
        "helm.sh/helm/v3/internal/version.version": _required("helm.sh/helm/v3"),
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": "1",
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": minor,
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": "1",
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": minor,
    }
    stamps = " ".join(f"-X {name}={value}" for name, value in values.items())
    return ["-trimpath", "-mod=readonly", "-ldflags", f"-s -w {stamps}"]


def _required(module: str) -> str:
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{SOURCE / 'go.mod'} does not require {module}")
    return found[1]


def _go(*arguments: str) -> str:
    return go(SOURCE, *arguments, seconds=_TIMEOUT_SECONDS)


def main() -> int:
    """Print where the program is."""
    try:
        print(build())
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
