"""A thousand policies are read anew while pods are created."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from tests.support import POLICIES

from .fleet import Fleet, measured, metric, until
from .report import Row

_MORE: Final = 1_000

_POLICY: Final = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata:
  name: more-{number:04}
spec:
  action: {action}
  match:
    names: ["more-{number:04}-*"]
    conditions:
      - name: has-a-label
        expression: "has(object.metadata.labels) && 'more-{number:04}' in object.metadata.labels"
  validate:
    - rule: require-limits
      parameters: {{resources: [cpu, memory]}}
    - expression: "object.spec.?priorityClassName.orValue('') != 'system-node-critical-{number:04}'"
      message: these pods may not use that priority class
"""


def many_policies(folder: Path, action: str = "Warn") -> Path:
    """The shipped policies and a thousand more; written again with another action they are other policies."""
    folder.mkdir(parents=True, exist_ok=True)
    for policy in POLICIES.glob("*/policy.yaml"):
        shutil.copy(policy, folder / f"{policy.parent.name}.yaml")
    text = "---".join(_POLICY.format(number=number, action=action) for number in range(_MORE))
    new = folder / "more.new"
    new.write_text(text, encoding="utf-8")
    new.replace(folder / "more.yaml")
    return folder


def reloaded(fleet: Fleet, folder: Path, times: int = 2) -> Row:
    """The files change so many times; each replica compiles them beside what is in force."""
    row = Row(f"reload of {_MORE:,} policies, {times}x", "none failed")
    took = 0.0
    with fleet.pods() as load:
        row.expect(until(load), "the load did not begin")
        for number in range(times):
            before = [_reloads(fleet, index) for index in range(len(fleet.replicas))]
            began = time.monotonic()
            many_policies(folder, "Enforce" if number % 2 == 0 else "Warn")
            fleet.cluster.wait_for(
                lambda before=before: all(
                    _reloads(fleet, index) > count for index, count in enumerate(before)
                ),
                400,
                "every replica to read the policies",
            )
            took = max(took, time.monotonic() - began)
            row.expect(until(load), "nothing came through after a reload")
    row.expect(not load.failures, "admissions failed")
    row.found = f"in force after {took:.1f} s at most"
    return measured(row, load)


def _reloads(fleet: Fleet, index: int) -> float:
    return metric(fleet.replicas[index], 'gpuward_policy_reloads_total{result="success"}')
