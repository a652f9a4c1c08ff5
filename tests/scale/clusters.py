"""How many reviews a second clusters ask for. Every assumption is a field here; docs/scale.md gives the sources."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is full. ``jobs`` is the share of pods that belong to jobs, the others serve."""

    nodes: int
    pods: int
    jobs: float = 0.5
    job_seconds: float = 0.5 * HOUR
    """How long a job's pod runs."""
    serving_seconds: float = DAY
    """How long a serving pod lives, until a rollout, a node's end or an autoscaler replaces it."""
    pods_a_job: float = 10.0
    pods_a_deployment: float = 5.0
    scalings_an_hour: float = 4.0
    """Of each Deployment, by an autoscaler."""
    updates_a_pod: float = 0.5
    """Updates of a pod's own fields, labels or annotations that are asked about, in its life."""

    @property
    def creates(self) -> float:
        """Pods created a second, on average."""
        jobs = self.pods * self.jobs
        return jobs / self.job_seconds + (self.pods - jobs) / self.serving_seconds

    @property
    def reviews(self) -> float:
        """Calls of gpuward a second: two for each pod created, one for each update, job, and change of a workload."""
        jobs, serving = self.pods * self.jobs, self.pods * (1 - self.jobs)
        new_jobs = jobs / self.job_seconds / self.pods_a_job
        deployments = serving / self.pods_a_deployment
        # Each scaling is an update of the ReplicaSet; the Deployment itself is scaled by a subresource, which is not
        # asked about. A rollout changes the Deployment, makes a ReplicaSet and scales two of them, in a few steps.
        scalings = deployments * self.scalings_an_hour / HOUR
        rollouts = deployments / self.serving_seconds * 8
        return self.creates * (2 + self.updates_a_pod) + new_jobs + scalings + rollouts


# 30 pods a node up to what Kubernetes is tested with, 150,000 pods; beyond 5,000 nodes pods are larger, not more.
CLUSTERS: Final = (
    Cluster(nodes=100, pods=3_000),
    Cluster(nodes=500, pods=15_000),
    Cluster(nodes=1_000, pods=30_000),
    Cluster(nodes=5_000, pods=150_000),
    Cluster(nodes=15_000, pods=150_000),
)


@dataclass(frozen=True, slots=True)
class Burst:
    """A job array: ``pods`` created at ``rate`` a second."""

    pods: int
    rate: float
    why: str


BURSTS: Final = (
    Burst(1_000, 20, "a Job controller with the default rate limit"),
    Burst(5_000, 100, "the limit raised for a large cluster"),
    Burst(10_000, 300, "several controllers at once"),
    Burst(20_000, 1_000, "more than one API server of the benchmark can create"),
)


# How busy a worker should be at most at the peak: from there on queues grow faster than load.
BUSY: Final = 0.6


def replicas_for(creates: float, service_seconds: float) -> int:
    """How many replicas of one worker take so many creates a second, two calls each, while one of them is away."""
    return max(2, math.ceil(2 * creates * service_seconds / BUSY) + 1)


def memory_bytes(namespaces: int, *, worker: float = 80e6, each: float = 3_100.0) -> float:
    """Resident memory of a replica with one worker: the program with its policies, and the namespaces it keeps."""
    return worker + namespaces * each


@dataclass(frozen=True, slots=True)
class Reports:
    """What a report for each workload would cost in etcd, were gpuward to write any."""

    workloads: int
    bytes_each: int = 6_000
    """A report of ten results."""
    rewritten_a_day: float = 4.0
    """How often each would be written again."""

    @property
    def stored_bytes(self) -> int:
        return self.workloads * self.bytes_each

    @property
    def writes_a_second(self) -> float:
        return self.workloads * self.rewritten_a_day / DAY

    @property
    def history_bytes(self) -> float:
        """Old revisions that etcd holds between two compactions, five minutes apart."""
        return self.writes_a_second * 300 * self.bytes_each
