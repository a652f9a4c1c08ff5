"""The mutations: one a file, all of them in one tuple."""

from __future__ import annotations

from webhook.mutations.accelerator_node_affinity import AcceleratorNodeAffinity
from webhook.mutations.accelerator_tolerations import AcceleratorTolerations
from webhook.mutations.annotations import Annotations
from webhook.mutations.environment import Environment
from webhook.mutations.json_patch import JSONPatch
from webhook.mutations.labels import Labels
from webhook.mutations.merge_patch import MergePatch
from webhook.mutations.resource_defaults import ResourceDefaults
from webhook.mutations.security_context_defaults import SecurityContextDefaults
from webhook.policy.rule import Mutation

# To add a mutation: one file, one line here, one folder of cases.
MUTATIONS: tuple[type[Mutation], ...] = (
    AcceleratorTolerations,
    AcceleratorNodeAffinity,
    ResourceDefaults,
    SecurityContextDefaults,
    Environment,
    Labels,
    Annotations,
    MergePatch,
    JSONPatch,
)
