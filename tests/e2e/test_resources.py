"""What gpuward knows of resources is what the real API server serves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import ControlPlane
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.kinds import BUILT_IN
from webhook.kube.resources import GroupVersionResource, equivalents, is_cluster_scoped, resource_for


@pytest.fixture(scope="module")
def served(control_plane: ControlPlane) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The resources of every built-in group and version."""
    versions = [("", "v1")]
    versions += [
        (group["name"], version["version"])
        for group in control_plane.api("GET", "/apis")["groups"]
        for version in group["versions"]
        if group["name"] in BUILT_IN
    ]
    return {
        (group, version): control_plane.api(
            "GET", f"/apis/{group}/{version}" if group else f"/api/{version}"
        )["resources"]
        for group, version in versions
    }


def test_every_kind_has_its_resource_and_its_scope(
    served: dict[tuple[str, str], list[dict[str, Any]]],
) -> None:
    for (group, version), resources in served.items():
        for resource in resources:
            name, _, subresource = resource["name"].partition("/")
            kind = GroupVersionKind(
                resource.get("group", group), resource.get("version", version), resource["kind"]
            )
            if subresource and kind.kind == "Scale":
                continue  # many resources take it
            found = resource_for(kind, subresource)
            assert (found.group, found.resource) == (group, name), f"{kind} of {resource['name']}"
            if not subresource:
                assert is_cluster_scoped(kind) is not resource["namespaced"], str(kind)


def test_every_group_is_served_in_the_versions_that_are_known(
    served: dict[tuple[str, str], list[dict[str, Any]]],
) -> None:
    for group in BUILT_IN:
        versions = {version for other, version in served if other == group}
        for version in versions:
            others = equivalents(GroupVersionResource(group, version, "things"), frozenset())
            assert {version, *(found.version for found in others)} == versions, group
