"""The policies that an installation has: those that its servers mount, and its custom resources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from webhook.adapters.policy_resources import Merging, resource_from_object
from webhook.adapters.yaml_documents import SUFFIXES
from webhook.doctor import Installation, Ref
from webhook.engine.ruleset import Ruleset
from webhook.kube.shape import mapping

INSTALLED_POLICIES = "what the installation mounts and its custom resources"


class InstalledPolicies(Struct, frozen=True):
    """The ruleset, None where it cannot be used; what is wrong, each with its object; and where the policies are."""

    ruleset: Ruleset | None
    problems: Sequence[tuple[Ref, str]]
    where: str


def policies_of(installation: Installation) -> InstalledPolicies | None:
    """The policies that its servers have; None where the ConfigMap that they mount is not here."""
    mounted = installation.policies_mounted()
    if mounted is None:
        return None
    about = Ref.of(mounted)
    files: list[tuple[str, bytes | OSError]] = [
        (name, text.encode())
        for name, text in sorted(mapping(mounted, "data").items())
        if type(text) is str and name.endswith(SUFFIXES)
    ]
    resources = {
        resource.key: (Ref.of(obj), resource)
        for obj in installation.policy_resources()
        for resource in [resource_from_object(Ref.of(obj).kind, obj)]
    }
    merged = Merging(Path(about.name)).merge(files, [resource for _, resource in resources.values()])
    problems = [(about, str(problem)) for problem in merged.files_problems]
    for verdict in merged.verdicts:
        ref, _ = resources[verdict.resource.key]
        problems += [(ref, problem.text) for problem in verdict.problems]
    where = str(about) + (f" and {len(resources)} custom resources" if resources else "")
    return InstalledPolicies(merged.loaded.ruleset, problems, where)
