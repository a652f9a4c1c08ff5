"""``gpuward review`` as people run it: wall time from the shell's point of view."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
import yaml

from tests.bench.bodies import training_pod
from tests.support import POLICIES, REPOSITORY, SHARED

# Clean, or violations found: both are reviews. Anything else is none.
_REVIEWED: Final = (0, 1)

_TIMEOUT_SECONDS: Final = 60

# As where gpuward is installed, there is bytecode, whatever the shell says: the first run, which is not counted, writes
# it.
_ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

# How many pods are reviewed at once besides one, and from how many on fewer runs will do.
COUNTS: Final = (500, 5000)
_LARGE: Final = 1000


class OfflineError(Exception):
    """A command failed; the message has what it said."""


def measure(runs: int, counts: Sequence[int] = COUNTS) -> dict[str, Any]:
    """Milliseconds of each command, ``runs`` times (fewer for the large ones), and what they are about.

    ``counts`` are how many pods are reviewed at once.
    """
    with tempfile.TemporaryDirectory(prefix="gpuward-bench-") as name:
        folder = Path(name)
        pod = folder / "pod.json"
        pod.write_bytes(orjson.dumps(training_pod()))
        corpus, described = _corpus(folder)
        review = ["-m", "webhook", "review", "--policies", str(POLICIES)]
        return {
            "corpus": described,
            "commands": {
                "python -c pass": _wall(["-c", "pass"], runs),
                "gpuward version": _wall(["-m", "webhook", "version"], runs),
                "gpuward review, one pod": _wall([*review, "-f", str(pod)], runs),
                "gpuward review, the corpus": _wall(
                    [*review, "-f", str(corpus), "-o", "json"], max(2, runs // 3)
                ),
                **{
                    f"gpuward review, {count:,} pods": _reviewed_all(
                        review, _pods(folder, count), count, runs
                    )
                    for count in counts
                },
            },
        }


def _pods(folder: Path, count: int) -> Path:
    """A folder with so many pods, a YAML file each, as a repository has them."""
    made = folder / f"pods-{count}"
    made.mkdir()
    for number in range(count):
        pod = training_pod()
        pod["metadata"]["name"] = f"train-{number}"
        (made / f"{number:04}.yaml").write_text(yaml.dump(pod, Dumper=yaml.CSafeDumper, sort_keys=False))
    return made


def _reviewed_all(review: list[str], folder: Path, count: int, runs: int) -> dict[str, float]:
    """Time the review of a folder, once it is known that nothing in it is left out."""
    _, printed = _once([*review, "-f", str(folder), "-o", "json"])
    if (seen := len(orjson.loads(printed))) != count:
        raise OfflineError(f"{seen} of {count} pods were reviewed")
    # A large one takes seconds: two further runs are enough.
    return _wall([*review, "-f", str(folder)], runs if count < _LARGE else min(runs, 2))


def _corpus(folder: Path) -> tuple[Path, str]:
    recorded = SHARED / "corpus"
    if recorded.is_dir():
        files = sum(1 for file in recorded.rglob("*") if file.suffix in (".yaml", ".yml", ".json"))
        return recorded, f"{files} files of ../shared/corpus"
    made = folder / "manifests"
    made.mkdir()
    for number in range(200):
        pod = training_pod()
        pod["metadata"]["name"] = f"train-{number}"
        (made / f"{number:03}.json").write_bytes(orjson.dumps(pod, option=orjson.OPT_INDENT_2))
    return made, "200 generated pods"


def _wall(arguments: list[str], runs: int) -> dict[str, float]:
    """Median, least and greatest. The first run fills the caches, of files and of bytecode, and is not counted."""
    times = [_once(arguments)[0] for _ in range(runs + 1)][1:]
    return {"median": median(times), "min": min(times), "max": max(times), "runs": runs}


def _once(arguments: list[str]) -> tuple[float, bytes]:
    """Milliseconds, and what was printed."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=_ENVIRONMENT,
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    took = (time.perf_counter() - start) * 1000
    if done.returncode not in _REVIEWED:
        raise OfflineError(
            f"{' '.join(arguments)}: status {done.returncode}\n{done.stderr.decode(errors='replace')[-2000:]}"
        )
    return took, done.stdout
