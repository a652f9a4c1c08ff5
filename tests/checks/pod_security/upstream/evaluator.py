"""Kubernetes' own evaluator of the Pod Security Standards, built from k8s.io/pod-security-admission by ``main.go``.

The program is built once (half a minute) and kept beside the control plane of the end-to-end tests, under a name made
from its source and the Go version. Needs the Go toolchain that go.mod names, or any that may fetch it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from tests.e2e.controlplane.build import cache_folder
from tests.gotool import digest_of, go

SOURCE = Path(__file__).resolve().parent
_MODULE = "k8s.io/pod-security-admission"
_TIMEOUT_SECONDS = 15 * 60

# Level to a list with one entry for each version from v1.0 on: the reasons for which Kubernetes refuses the pod.
Reasons = Mapping[str, Sequence[Sequence[str]]]


def build() -> Path:
    """The program, built unless the cache has it. Raises BuildError."""
    parts = [(SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum")]
    digest = digest_of(_go("env", "GOVERSION", "GOOS", "GOARCH"), parts)
    target = cache_folder() / "pod-security" / f"evaluator-{digest}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two builds at once make the same program; each appears whole, by its renaming.
        with tempfile.TemporaryDirectory(dir=target.parent) as staging:
            made = Path(staging, target.name)
            _go("build", "-trimpath", "-mod=readonly", "-o", str(made), ".")
            made.rename(target)
    return target


def fixtures() -> Path:
    """The folder of the module's own fixtures, for every level and version. Raises BuildError."""
    return Path(json.loads(_go("mod", "download", "-json", _MODULE))["Dir"]) / "test" / "testdata"


def _go(*arguments: str) -> str:
    return go(SOURCE, *arguments, seconds=_TIMEOUT_SECONDS)


class Evaluator:
    """The running program; a context manager."""

    def __init__(self, newest: int) -> None:
        """``newest`` is the minor version up to which pods are judged. Raises BuildError."""
        self._process = subprocess.Popen(
            [build(), str(newest)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Ends the program's input, and with it the program.
        self._process.communicate(timeout=30)

    def judge(self, pod: Mapping[str, Any]) -> Reasons:
        """What Kubernetes says of a pod at every level and version."""
        # They are there, as both are pipes.
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(pod) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the evaluator ended with {self._process.wait(timeout=30)} over {pod}")
        return cast("Reasons", json.loads(answer))
