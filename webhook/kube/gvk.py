"""Group, version and kind: the name of a type of object."""

from __future__ import annotations

from typing import NamedTuple


class GroupVersionKind(NamedTuple):
    """The type of an object. The core group is the empty string, as on the wire."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.api_version}/{self.kind}"


def parse_api_version(api_version: str, kind: str) -> GroupVersionKind:
    """The type named by an object's own ``apiVersion`` and ``kind``."""
    group, _, version = api_version.rpartition("/")
    return GroupVersionKind(group, version, kind)


POD = GroupVersionKind("", "v1", "Pod")
NAMESPACE = GroupVersionKind("", "v1", "Namespace")
