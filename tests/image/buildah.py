"""Building and running images where no daemon is and no registry can be reached: Debian's buildah, as root.

Everything is kept in a storage of its own in the tests' cache folder. The base image is made by debootstrap once, under
a name made from what it is made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.e2e.controlplane.build import cache_folder
from tests.support import REPOSITORY

SUITE: Final = "bookworm"
PACKAGES: Final = ("python3", "python3-venv", "ca-certificates")
_DEBOOTSTRAP: Final = ("--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE)

# How this machine reaches package registries: its certificates and pip's settings. Only for the build.
_OF_THE_HOST: Final = ("/etc/ssl/certs", "/usr/local/share/ca-certificates", "/etc/pip.conf")

_SECONDS: Final = 15 * 60


class ImageError(Exception):
    """An image could not be built or run; the message has what the program said."""


def lacking() -> str | None:
    """What this machine lacks for it, or None."""
    absent = [program for program in ("buildah", "debootstrap") if shutil.which(program) is None]
    if absent:
        return f"there is no {' and no '.join(absent)}: apt-get install buildah debootstrap"
    if os.geteuid() != 0:
        return "debootstrap and buildah's chroot isolation want root"
    return None


class Buildah:
    """buildah with a storage in the cache folder."""

    def __init__(self) -> None:
        self.folder: Final = cache_folder() / "image"
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, *arguments: str, seconds: float = _SECONDS) -> str:
        """Standard output of a buildah command. Raises ImageError."""
        return _run([*self.command, *arguments], seconds)

    @property
    def command(self) -> list[str]:
        """The words before buildah's own command."""
        storage = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        return ["buildah", *storage, "--storage-driver", "vfs"]

    @property
    def environment(self) -> dict[str, str]:
        return _environment()

    def base(self) -> str:
        """The base image, made unless the storage has it: Debian with its Python, nothing else."""
        version = _run(["debootstrap", "--version"], 30)
        digest = hashlib.sha256(" ".join((*_DEBOOTSTRAP, version, platform.machine())).encode()).hexdigest()
        name = f"localhost/gpuward-base:{digest[:16]}"
        with self._lock("base"):
            if not self._has(name):
                with tempfile.TemporaryDirectory(dir=self.folder, prefix="debootstrap-") as root:
                    Path(root).chmod(0o755)
                    _run(["debootstrap", *_DEBOOTSTRAP, root], _SECONDS)
                    container = self("from", "scratch").strip()
                    try:
                        self("add", "--quiet", container, root, "/")
                        self("commit", "--quiet", container, name)
                    finally:
                        self("rm", container)
        return name

    def build(self, name: str, *arguments: str) -> None:
        """Build the repository's Dockerfile on the base. Raises ImageError."""
        mounts = [f"--volume={path}:{path}:ro" for path in _OF_THE_HOST if Path(path).exists()]
        base = self.base()
        self(
            "build", "--quiet", "--isolation=chroot", "--network=host", "--no-cache", *mounts,
            "--build-arg", f"BASE={base}", "--tag", name, *arguments, str(REPOSITORY),
        )  # fmt: skip

    def inspect(self, image: str) -> dict[str, Any]:
        """The image's configuration, as the OCI specification has it."""
        config: dict[str, Any] = json.loads(self("inspect", "--type=image", image))["OCIv1"]
        return config

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container of the image, while it is needed."""
        name = self("from", "--pull-never", image).strip()
        try:
            yield name
        finally:
            self("rm", name)

    @contextmanager
    def mounted(self, container: str) -> Iterator[Path]:
        """The file system of a container."""
        root = Path(self("mount", container).strip())
        try:
            yield root
        finally:
            self("umount", container)

    def run(self, container: str, words: Sequence[str], *options: str) -> list[str]:
        """The command line that runs ``words`` in the container as the image's user, on the host's network."""
        return [*self.command, "run", "--isolation=chroot", *options, container, "--", *words]

    def remove(self, *images: str) -> None:
        """Forget images, and what only they needed."""
        self("rmi", "--force", *images)

    def _has(self, image: str) -> bool:
        return subprocess.run(
            [*self.command, "inspect", "--type=image", image], capture_output=True, env=_environment(), timeout=60
        ).returncode == 0  # fmt: skip

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with (self.folder / f"{name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _environment() -> dict[str, str]:
    return {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}


def _run(command: Sequence[str], seconds: float) -> str:
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired:
        raise ImageError(f"{' '.join(command)} did not end in {seconds:.0f} s") from None
    if finished.returncode != 0:
        said = f"{finished.stdout[-4000:]}\n{finished.stderr[-4000:]}".strip()
        raise ImageError(f"{' '.join(command)} ended with {finished.returncode}:\n{said}")
    return finished.stdout
