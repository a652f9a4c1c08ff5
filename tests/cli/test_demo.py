"""`gpuward demo`, whole: a server of its own over TLS, and the five workloads."""

from __future__ import annotations

import subprocess
import sys

from tests.support import REPOSITORY


def test_the_demo_shows_what_was_injected_and_why_things_were_rejected() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webhook", "demo"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    parts = dict(part.split("\n", 1) for part in done.stdout.split("== ")[1:])
    assert list(parts) == [
        "bert-serving-7d9c6c5f4-", "train-resnet", "notebook", "preprocess", "train-pipeline-fit-2841907"
    ]  # fmt: skip
    for name in ("bert-serving-7d9c6c5f4-", "train-resnet", "train-pipeline-fit-2841907"):
        assert "admitted, with this injected:" in parts[name]
        assert "+  - key: nvidia.com/gpu" in parts[name]
    assert "spec.containers[0].securityContext.privileged" in parts["notebook"]
    assert "rejected (403 Forbidden)" in parts["notebook"]
    assert parts["preprocess"].count("has no limits for cpu and memory") == 2
    assert "What to try next" in done.stdout
