"""The Go tool, for the programs that the tests build from their modules. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.e2e.controlplane.build import BuildError


def go(source: Path, *arguments: str, seconds: float) -> str:
    """What `go` printed, in the folder of a module. Raises BuildError."""
    if shutil.which("go") is None:
        raise BuildError("there is no `go` on the PATH: install Go (https://go.dev/doc/install)")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    try:
        finished = subprocess.run(
            ["go", *arguments], cwd=source, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as expired:
        raise BuildError(f"`go {arguments[0]}` did not end in {expired.timeout:.0f} s") from None
    if finished.returncode != 0:
        said = (finished.stderr or finished.stdout).strip()
        raise BuildError(f"`go {' '.join(arguments)}` failed:\n{said}")
    return finished.stdout


def digest_of(platform: str, parts: Iterable[bytes]) -> str:
    """Names a build: by what it is made of, and by the Go version and platform (`go env GOVERSION GOOS GOARCH`)."""
    digest = hashlib.sha256(platform.encode())
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
