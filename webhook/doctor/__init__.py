"""The doctor: what is wrong with an installation of gpuward, before it is felt.

``examine`` is a pure function of an ``Installation``. Where its objects come from (a cluster, rendered manifests) and
how its diagnoses are shown is the business of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from webhook.doctor import (
    availability,
    calls,
    certificates,
    exemptions,
    lifecycle,
    modes,
    network,
    others,
    permissions,
    policies,
    reach,
    services,
    versions,
)
from webhook.doctor.diagnosis import Diagnosis, Level, Ref
from webhook.doctor.installation import Installation

__all__ = ["EXAMINATIONS", "Diagnosis", "Installation", "Level", "Ref", "examine"]

Examination = Callable[[Installation], Iterator[Diagnosis]]

# In the order in which people should read the answers: what can lock the cluster first.
EXAMINATIONS: Final[tuple[Examination, ...]] = (
    reach.essentials,
    reach.namespaces,
    reach.cluster_scoped,
    modes.failing,
    modes.addresses,
    modes.coverage,
    modes.labels,
    exemptions.exemptions,
    calls.addresses,
    calls.timeouts,
    calls.promises,
    services.services,
    network.policies,
    certificates.trust,
    availability.replicas,
    availability.budgets,
    availability.placement,
    availability.rollouts,
    lifecycle.probes,
    lifecycle.stopping,
    lifecycle.requests,
    permissions.account,
    permissions.missing,
    permissions.excessive,
    policies.broken,
    policies.own_pods,
    policies.node_pods,
    versions.kubernetes,
    versions.images,
    others.holding_up,
    others.changing_pods,
)


def examine(installation: Installation) -> list[Diagnosis]:
    """Everything that is wrong, the worst first among what each examination finds; nothing where all is well."""
    return [diagnosis for examination in EXAMINATIONS for diagnosis in examination(installation)]
