#!/usr/bin/env python3
"""Builds the Kubernetes control plane that the end-to-end tests run against. Standard library only.

    python tests/e2e/controlplane/build.py              # build once into the cache, print the folder
    python tests/e2e/controlplane/build.py --check      # print the folder if it is built, else exit 1
    python tests/e2e/controlplane/build.py --regenerate v1.35.4    # go.mod and go.sum for another Kubernetes
    ... --oldest [--check | --regenerate v1.32.2]                  # the same for the oldest Kubernetes that is tested

There are two: the newest Kubernetes (go.mod) and the oldest that is tested (oldest.mod), of one main.go.

The result is a folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and etcd: links
to one binary (see main.go). It lives outside the clone, in $GPUWARD_CACHE (default $XDG_CACHE_HOME/gpuward,
then ~/.cache/gpuward), under a name made from the content of main.go, go.mod and go.sum, the build flags, the
Go version and the platform: a change of any of them is a new folder, and a fresh clone of the same commit
finds the old one.

Needs the Go toolchain that go.mod names (or any since 1.21 that may fetch it, which is Go's default).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
NEWEST, OLDEST = "go", "oldest"  # the module files that name the releases: go.mod, oldest.mod
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
BINARY = "kubernetes-control-plane"

# A cold build takes about 5 minutes on 2 cores; longer than this and something hangs, likely a module proxy.
BUILD_TIMEOUT_SECONDS = 45 * 60
PROGRESS_SECONDS = 15

# What the Go release notes call AMD64 and ARM64 has other names in `uname -m`.
GOARCH = {"x86_64": "amd64", "aarch64": "arm64"}

Report = Callable[[str], None]


class BuildError(Exception):
    """The control plane could not be built; the message says why and what to do."""


def cache_folder() -> Path:
    """The folder for everything that gpuward's tests build once and keep."""
    if explicit := os.environ.get("GPUWARD_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gpuward"


def kubernetes_version(module: str = NEWEST) -> str:
    """The Kubernetes release that the module file names, such as `v1.36.3`."""
    text = _text(f"{module}.mod")
    found = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (v\d+\.\d+\.\d+)", text, re.MULTILINE)
    if not found:
        raise BuildError(f"{SOURCE / module}.mod does not require k8s.io/kubernetes")
    return found[1]


def build(report: Report = print, module: str = NEWEST) -> Path:
    """Builds the control plane unless the cache has it, and returns the folder that holds the programs.

    Two builds at once are one: the second waits for the first. The folder appears whole or not at all.
    `report` takes each line of progress. Raises BuildError.
    """
    if existing := find(module):
        return existing
    target = _folder(_go_env(module), module)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_name(target.name + ".lock"), report):
        if _complete(target):
            return target
        for leftover in target.parent.glob(target.name + ".tmp-*"):
            shutil.rmtree(
                leftover
            )  # a killed build's; no other build of this name runs while we hold the lock
        staging = target.with_name(f"{target.name}.tmp-{os.getpid()}")
        staging.mkdir()
        try:
            _compile(staging / BINARY, report, module)
            for program in PROGRAMS:
                (staging / program).symlink_to(BINARY)
            staging.rename(target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    return target


def find(module: str = NEWEST) -> Path | None:
    """The finished build for this source and platform, or None. Without Go any Go version's will do."""
    if shutil.which("go"):
        target = _folder(_go_env(module), module)
        return target if _complete(target) else None
    system, machine = platform.system().lower(), platform.machine()
    pattern = f"{_stem(module)}-go*-{system}-{GOARCH.get(machine, machine)}"
    return next((folder for folder in sorted(_root().glob(pattern), reverse=True) if _complete(folder)), None)


def regenerate(version: str, report: Report = print, module: str = NEWEST) -> None:
    """Rewrites the module files (go.mod and go.sum) for the Kubernetes release `version` (such as `v1.35.4`).

    Kubernetes' own go.mod points its staging modules (k8s.io/api, ...) at folders of its repository; each is
    published under v0 with the same minor and patch, and a `replace` of a dependency is not inherited, so
    this module has to repeat them. Some patch releases lack a published staging module; `go mod tidy` then
    fails and says which. Raises BuildError.
    """
    if not re.fullmatch(r"v1\.\d+\.\d+", version):
        raise BuildError(f"{version!r} is no Kubernetes release; write it like v1.36.3")
    staging_version = "v0" + version.removeprefix("v1")
    downloaded = json.loads(_go(None, "mod", "download", "-json", f"k8s.io/kubernetes@{version}"))
    upstream = json.loads(_go(None, "mod", "edit", "-json", downloaded["GoMod"]))
    staging = [r["Old"]["Path"] for r in upstream["Replace"] if r["New"]["Path"].startswith("./staging/")]
    # etcd's server is not imported by Kubernetes: ask for the version its client was tested with.
    etcd = next(r["Version"] for r in upstream["Require"] if r["Path"] == "go.etcd.io/etcd/client/v3")
    files = (f"{module}.mod", f"{module}.sum")
    old = {name: _text(name) if (SOURCE / name).exists() else "" for name in files}
    replaces = "".join(f"\t{path} => {path} {staging_version}\n" for path in staging)
    (SOURCE / files[0]).write_text(
        "module gpuward.dev/tests/e2e/controlplane\n\n"
        f"go {upstream['Go']}\n\n"
        "// Kubernetes chooses its runtime behaviour by this setting, which only the main module can make.\n"
        f"godebug default=go{'.'.join(upstream['Go'].split('.')[:2])}\n\n"
        f"require (\n\tgo.etcd.io/etcd/server/v3 {etcd}\n\tk8s.io/kubernetes {version}\n)\n\n"
        "// The staging modules of that release. Written by build.py --regenerate.\n"
        f"replace (\n{replaces})\n"
    )
    (SOURCE / files[1]).write_text("")
    try:
        report(f"resolving the modules of Kubernetes {version}")
        _go(module, "mod", "tidy")
    except BaseException:
        for name, text in old.items():
            (SOURCE / name).write_text(text)
        raise


def _compile(binary: Path, report: Report, module: str) -> None:
    report(
        f"building Kubernetes {kubernetes_version(module)} for the end-to-end tests (once; minutes, not seconds)"
    )
    report("fetching modules")
    packages = len(_go(module, "list", "-deps", ".").split())
    started = time.monotonic()
    done = 0
    command = ["go", "build", "-v", *_flags(module), "-o", str(binary), "."]
    with subprocess.Popen(
        command, cwd=SOURCE, env=_environment(module), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        # A timer, because reading the output would wait for ever on a build that hangs in silence.
        watchdog = threading.Timer(BUILD_TIMEOUT_SECONDS, _kill_group, [process.pid])
        watchdog.daemon = True
        watchdog.start()
        complaints: list[str] = []
        reported = started
        try:
            assert process.stderr is not None  # PIPE was asked for
            for line in process.stderr:
                # -v prints one import path a line; whatever else comes is a complaint.
                if re.fullmatch(r"[\w.~/-]+", line.strip()):
                    done += 1
                else:
                    complaints.append(line)
                if time.monotonic() - reported > PROGRESS_SECONDS:
                    reported = time.monotonic()
                    report(f"compiled {done} of at most {packages} packages, {reported - started:.0f} s")
        except BaseException:
            _kill_group(process.pid)
            raise
        finally:
            watchdog.cancel()
        status = process.wait()
    if status != 0:
        tail = (
            "".join(complaints[-40:]) or f"(no message; killed after {BUILD_TIMEOUT_SECONDS // 60} minutes?)"
        )
        raise BuildError(f"go build failed with status {status}:\n{tail}")
    report(f"built in {time.monotonic() - started:.0f} s, {binary.stat().st_size / 1e6:.0f} MB")


def _flags(module: str) -> list[str]:
    version = kubernetes_version(module)
    major, minor, _ = version.removeprefix("v").split(".")
    # What Kubernetes' own hack/lib/version.sh sets; kubectl refuses to compare versions without it. The
    # commit is not in the module zip, and a constant date keeps equal sources equal binaries.
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "archive",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = [f"-X {package}.{name}={value}" for package in packages for name, value in values.items()]
    return ["-trimpath", "-mod=readonly", "-ldflags", " ".join(["-s", "-w", *stamps])]


def _environment(module: str | None) -> dict[str, str]:
    # The user's GOFLAGS would change what is built under a name that does not show it; "" does not unset it.
    flags = "-buildvcs=false" if module in (None, NEWEST) else f"-buildvcs=false -modfile={module}.mod"
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": flags, "GOWORK": "off"}


def _go(module: str | None, *arguments: str) -> str:
    """Standard output of `go ARGUMENTS`, run with that module file in its folder, or outside of any module."""
    try:
        finished = subprocess.run(
            ["go", *arguments],
            cwd=SOURCE if module else "/",
            env=_environment(module),
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        raise BuildError("there is no `go` on the PATH: install Go (https://go.dev/doc/install)") from None
    except subprocess.TimeoutExpired as expired:
        raise BuildError(f"`go {' '.join(arguments)}` did not end in {expired.timeout:.0f} s") from None
    if finished.returncode != 0:
        complaint = finished.stderr or finished.stdout  # -json puts it into the output
        raise BuildError(f"`go {' '.join(arguments)}` failed:\n{complaint.strip()}")
    return finished.stdout


def _go_env(module: str) -> dict[str, str]:
    # Asked in the module's folder: there the go command has switched to the toolchain that will do the build.
    env: dict[str, str] = json.loads(_go(module, "env", "-json", "GOVERSION", "GOOS", "GOARCH"))
    return env


def _root() -> Path:
    return cache_folder() / "controlplane"


def _stem(module: str) -> str:
    digest = hashlib.sha256()
    for part in (_text("main.go"), _text(f"{module}.mod"), _text(f"{module}.sum"), *_flags(module)):
        digest.update(hashlib.sha256(part.encode()).digest())
    return f"kubernetes-{kubernetes_version(module)}-{digest.hexdigest()[:16]}"


def _folder(env: dict[str, str], module: str) -> Path:
    go_version = re.sub(r"[^\w.]+", "_", env["GOVERSION"])  # may carry "X:experiment"
    return _root() / f"{_stem(module)}-{go_version}-{env['GOOS']}-{env['GOARCH']}"


def _complete(folder: Path) -> bool:
    return all((folder / program).exists() for program in PROGRAMS)


def _text(name: str) -> str:
    return (SOURCE / name).read_text()


@contextlib.contextmanager
def _lock(path: Path, report: Report) -> Iterator[None]:
    # flock, not a lock file's existence: the kernel lets go of it however its holder dies.
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another build of the control plane is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="only say whether it is built")
    action.add_argument(
        "--regenerate", metavar="VERSION", help="write go.mod and go.sum for this Kubernetes release"
    )
    parser.add_argument(
        "--oldest", action="store_true", help="the oldest Kubernetes that is tested, not the newest"
    )
    options = parser.parse_args()
    module = OLDEST if options.oldest else NEWEST

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        if options.regenerate:
            regenerate(options.regenerate, report, module)
            return 0
        folder = find(module) if options.check else build(report, module)
    except BuildError as error:
        report(f"error: {error}")
        return 2
    if folder is None:
        report("not built yet; run this without --check")
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
