"""Whether somebody answers: replicas, and what may take them away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.entries import selects
from webhook.doctor.installation import Installation, Server
from webhook.kube.shape import JSONObject, items, mapping, text

_FEWEST: Final = 2


def replicas(installation: Installation) -> Iterator[Diagnosis]:
    """Servers of which one pod is all there is."""
    fails = any(entry.fails for entry in installation.ours)
    for server in installation.servers():
        fewest, about, path = server.replicas, server.deployment, ("spec", "replicas")
        for scaler in installation.of_kind("HorizontalPodAutoscaler"):
            if _scales(scaler, server):
                least = mapping(scaler, "spec").get("minReplicas")
                fewest, about, path = least if type(least) is int else 1, scaler, ("spec", "minReplicas")
        if fewest < _FEWEST:
            consequence = (
                "and with failurePolicy Fail no pod of an enforce namespace can be created until it is back"
                if fails
                else "and until it is back nothing is changed and nothing judged"
            )
            yield Diagnosis(
                "one-replica",
                Level.ERROR if fails else Level.WARNING,
                Ref.of(about),
                path,
                f"there {'is one replica' if fewest == 1 else f'are {fewest} replicas'}: a drained node takes "
                f"gpuward away, {consequence}",
                f"run {_FEWEST} replicas or more",
                (puts(path, _FEWEST),),
            )
        yield from _present(installation, server)


def _present(installation: Installation, server: Server) -> Iterator[Diagnosis]:
    """What a running cluster says about the pods."""
    status = mapping(server.deployment, "status")
    if not installation.whole or not status:
        return
    available = _number(status.get("availableReplicas"))
    if available < server.replicas:
        yield Diagnosis(
            "replicas-missing",
            Level.WARNING if available else Level.ERROR,
            Ref.of(server.deployment),
            ("status", "availableReplicas"),
            f"{available} of {server.replicas} pods are ready",
            f"see why: kubectl -n {server.namespace} get pods, and the log of those that are not ready",
        )


def budgets(installation: Installation) -> Iterator[Diagnosis]:
    """Servers that an eviction may take away whole, and those that it may never touch."""
    for server in installation.servers():
        found = [
            budget
            for budget in installation.of_kind("PodDisruptionBudget")
            if text(mapping(budget, "metadata"), "namespace") == server.namespace
            and selects(mapping(mapping(budget, "spec"), "selector"), server.labels)
        ]
        if not found:
            yield Diagnosis(
                "no-disruption-budget",
                Level.WARNING,
                Ref.of(server.deployment),
                (),
                "no PodDisruptionBudget selects the pods: draining nodes may take all of them at once",
                "add one with maxUnavailable: 1",
            )
        for budget in found:
            spec = mapping(budget, "spec")
            needed, spared = (
                _share(spec, "minAvailable", server.replicas),
                _share(spec, "maxUnavailable", server.replicas),
            )
            if spared == 0 or (needed is not None and needed >= server.replicas):
                yield Diagnosis(
                    "disruption-budget-blocks",
                    Level.WARNING,
                    Ref.of(budget),
                    ("spec",),
                    "it allows no pod to be evicted: a node that runs one can never be drained, and the upgrade of the "
                    "cluster stops there",
                    "write maxUnavailable: 1 and no minAvailable",
                )
            elif server.replicas >= _FEWEST and (
                needed == 0 or (spared is not None and spared >= server.replicas)
            ):
                yield Diagnosis(
                    "disruption-budget-allows-all",
                    Level.WARNING,
                    Ref.of(budget),
                    ("spec",),
                    "it allows all pods to be evicted at once",
                    "write maxUnavailable: 1",
                )


def placement(installation: Installation) -> Iterator[Diagnosis]:
    """Servers whose pods may all be on one node."""
    for server in installation.servers():
        affinity = mapping(mapping(server.pod, "affinity"), "podAntiAffinity")
        if server.replicas >= _FEWEST and not items(server.pod, "topologySpreadConstraints") and not affinity:
            yield Diagnosis(
                "not-spread",
                Level.WARNING,
                Ref.of(server.deployment),
                ("spec", "template", "spec", "topologySpreadConstraints"),
                "nothing keeps the pods from running on one node, which takes all of them along when it goes",
                "spread them over kubernetes.io/hostname and topology.kubernetes.io/zone",
            )


def rollouts(installation: Installation) -> Iterator[Diagnosis]:
    """Servers all of whose pods a new version takes away at once."""
    for server in installation.servers():
        strategy = mapping(mapping(server.deployment, "spec"), "strategy")
        gone = _share(mapping(strategy, "rollingUpdate"), "maxUnavailable", server.replicas, down=True)
        recreated = text(strategy, "type") == "Recreate"
        if recreated or (gone is not None and gone >= server.replicas > 0):
            yield Diagnosis(
                "rollout-takes-all",
                Level.WARNING,
                Ref.of(server.deployment),
                ("spec", "strategy")
                if recreated
                else ("spec", "strategy", "rollingUpdate", "maxUnavailable"),
                "a new version, or a changed flag, takes all pods away before the first new one is ready",
                "write type: RollingUpdate with maxUnavailable: 0",
                (
                    puts(
                        ("spec", "strategy"),
                        {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                    ),
                ),
            )


def _scales(scaler: JSONObject, server: Server) -> bool:
    target = mapping(mapping(scaler, "spec"), "scaleTargetRef")
    return (
        text(mapping(scaler, "metadata"), "namespace") == server.namespace
        and text(target, "kind") == "Deployment"
        and text(target, "name") == server.name
    )


def _share(spec: JSONObject, field: str, of: int, *, down: bool = False) -> int | None:
    """``minAvailable`` or ``maxUnavailable`` as a number of pods; percentages are rounded up, as Kubernetes does for
    disruption budgets, or ``down``, as it does for a Deployment's maxUnavailable."""
    value = spec.get(field)
    if type(value) is int:
        return value
    if type(value) is str and value.endswith("%") and value[:-1].isdigit():
        share = int(value[:-1]) * of
        return share // 100 if down else -(-share // 100)
    return None


def _number(value: Any) -> int:
    return value if type(value) is int else 0
