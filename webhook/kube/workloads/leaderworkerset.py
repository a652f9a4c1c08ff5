"""LeaderWorkerSets: groups of one leader and its workers.

Source: kubernetes-sigs/lws api/leaderworkerset/v1/leaderworkerset_types.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.kube.shape import JSONObject
from webhook.kube.workloads.parts import Described, Found, Part, count
from webhook.kube.workloads.paths import Finder


def _leader_worker_set(obj: JSONObject) -> Iterator[Found]:
    """The leader's and the workers' pods; without a template of its own the leader is made of the workers'."""
    spec = Part(obj, ()).get("spec")
    group = spec.get("leaderWorkerTemplate")
    groups, size = spec.get("replicas"), group.get("size")
    leaders = count(groups.value)
    pods = leaders * count(size.value)
    leader, worker = group.get("leaderTemplate"), group.get("workerTemplate")
    if leader.is_map:
        yield Described(
            (*leader.path, "metadata"), (*leader.path, "spec"), replicas=leaders, replicas_path=groups.path
        )
    if worker.is_map:
        yield Described(
            (*worker.path, "metadata"),
            (*worker.path, "spec"),
            replicas=max(pods - leaders, 0) if leader.is_map else pods,
            replicas_path=groups.path,
        )


LEADER_WORKER_SET: Final = Finder(
    ("spec.leaderWorkerTemplate.leaderTemplate", "spec.leaderWorkerTemplate.workerTemplate"),
    _leader_worker_set,
)
