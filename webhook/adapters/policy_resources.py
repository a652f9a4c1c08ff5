"""Policies that are custom resources in the cluster: listed and watched, compiled together with the files.

A resource that cannot be used takes nothing else with it: its last good version stays in force, or it is left out if
this process has never seen one. The same goes for the files as a whole. Where a file and a resource are one policy by
name, the file holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from webhook.adapters.cluster import Cluster, api_root
from webhook.adapters.list_watch import ListWatch
from webhook.adapters.policy_documents import LoadedPolicies, Pause, PolicyFileProblem, no_pause
from webhook.adapters.policy_files import Files, compile_files, read
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.crd import GROUP, PLURALS, VERSION
from webhook.policy.live import as_written

logger: Final = logging.getLogger("gpuward.policies")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """One custom resource: its kind and name, which object it is, and the document it holds."""

    kind: str
    name: str
    uid: str
    generation: int
    document: JSONObject = field(hash=False, repr=False)

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return self.kind, self.name

    @property
    def where(self) -> str:
        """What stands for a file's name in problems: ``policies.gpuward.dev/NAME``."""
        return f"{PLURALS[self.kind]}.{GROUP}/{self.name}"

    @property
    def path(self) -> str:
        """Its address in the API."""
        return f"{collection_path(self.kind)}/{self.name}"


def collection_path(kind: str) -> str:
    """The address of all resources of a kind."""
    return f"{api_root(f'{GROUP}/{VERSION}')}/{PLURALS[kind]}"


def resource_from_object(kind: str, obj: JSONObject) -> Resource:
    """The resource that an object of the API is. Objects in a list do not say what kind they are of."""
    metadata = mapping(obj, "metadata")
    generation = metadata.get("generation")
    document = {**as_written(obj), "apiVersion": f"{GROUP}/{VERSION}", "kind": kind}
    return Resource(
        kind,
        text(metadata, "name"),
        text(metadata, "uid"),
        generation if type(generation) is int else 0,
        document,
    )


# --- watching --------------------------------------------------------------------------------------------


class PolicyResources:
    """The policy resources of a cluster, kept up to date by ``run``."""

    def __init__(self, connect: Callable[[], Cluster], changed: Callable[[], None]) -> None:
        """``connect`` makes a connection of their own for those who need one; ``changed`` is told when what the
        resources say has changed, and not for a mere change of their status."""
        self.version = 0
        """Counts the changes that ``changed`` was told of."""
        self._changed: Final = changed
        self._kinds: Final = [_Kind(kind, connect(), self._note) for kind in PLURALS]

    @property
    def synced(self) -> bool:
        """Whether all of them have been listed once."""
        return all(kind.following.synced for kind in self._kinds)

    @property
    def failures(self) -> int:
        """How often listing or watching failed."""
        return sum(kind.following.failures for kind in self._kinds)

    @property
    def problem(self) -> str:
        """What is wrong with the connection now; empty while all is well."""
        return next((kind.following.problem for kind in self._kinds if kind.following.problem), "")

    def all(self) -> tuple[Resource, ...]:
        """Every resource as it is now, in the order of kinds and names."""
        return tuple(resource for kind in self._kinds for _, (resource, _) in sorted(kind.resources.items()))

    def status_of(self, key: Key) -> tuple[Resource, JSONObject] | None:
        """A resource as it is now, and its status; None where it is gone."""
        kind, name = key
        return next((one.resources.get(name) for one in self._kinds if one.kind == kind), None)

    async def run(self) -> None:
        """Follow all kinds for ever."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                group.create_task(kind.following.run())

    async def close(self) -> None:
        """Close the connections."""
        for kind in self._kinds:
            await kind.cluster.reset()

    def _note(self) -> None:
        self.version += 1
        self._changed()


class _Kind:
    """The resources of one kind; a ``list_watch.Keeper``."""

    def __init__(self, kind: str, cluster: Cluster, changed: Callable[[], None]) -> None:
        self.kind: Final = kind
        self.cluster: Final = cluster
        self.resources: dict[str, tuple[Resource, JSONObject]] = {}
        self.following: Final = ListWatch(cluster, collection_path(kind), self, logger, optional=True)
        self._changed: Final = changed

    def listed(self, objects: Sequence[JSONObject]) -> None:
        before = {name: resource for name, (resource, _) in self.resources.items()}
        self.resources = {}
        for obj in objects:
            resource = resource_from_object(self.kind, obj)
            self.resources[resource.name] = resource, mapping(obj, "status")
        if before != {name: resource for name, (resource, _) in self.resources.items()}:
            self._changed()

    def changed(self, obj: JSONObject) -> None:
        resource = resource_from_object(self.kind, obj)
        known = self.resources.get(resource.name)
        self.resources[resource.name] = resource, mapping(obj, "status")
        if known is None or known[0] != resource:
            self._changed()

    def deleted(self, obj: JSONObject) -> None:
        if self.resources.pop(text(mapping(obj, "metadata"), "name"), None) is not None:
            self._changed()


# --- compiling -------------------------------------------------------------------------------------------


class Verdict(Struct, frozen=True):
    """What came of one version of a resource: the problems with it, none where it is in force."""

    resource: Resource
    problems: tuple[PolicyFileProblem, ...] = ()


class Merged(Struct, frozen=True):
    """Files and resources as one set.

    ``loaded`` is of what can be used, ``files_problems`` is what is wrong with the files as they are, ``verdicts`` has
    one for each resource, in their order.
    """

    loaded: LoadedPolicies
    files_problems: tuple[PolicyFileProblem, ...]
    verdicts: tuple[Verdict, ...]


class Merging:
    """Compiles files and resources together, and remembers the last good version of each."""

    def __init__(self, path: Path, pause: Pause = no_pause) -> None:
        self._path: Final = path
        self._pause: Final = pause
        self._good_files: Files | None = None
        self._good: dict[Key, Resource] = {}

    def load(self, resources: Sequence[Resource]) -> Merged:
        """Read the files and compile them with these resources. Raises nothing.

        The digest is that of the files as they are, good or bad.
        """
        return self.merge(read(self._path, pause=self._pause), resources)

    def merge(self, files: Files | str, resources: Sequence[Resource]) -> Merged:
        """As ``load``, with files that have been read, or why there are none."""
        now = {resource.key: resource for resource in resources}
        # Another object of the same name is another policy.
        self._good = {
            key: good for key, good in self._good.items() if key in now and now[key].uid == good.uid
        }
        alone = compile_files(self._path, files, (), self._pause)
        used = files
        if alone.ruleset is None and self._good_files is not None:
            used = self._good_files
        elif alone.ruleset is not None:
            self._good_files = files if isinstance(files, list) else []
        # Mostly there are no resources, and what was compiled alone is the whole.
        loaded, problems = (alone, {}) if not now and used is files else self._settle(used, now)
        return Merged(
            replace(loaded, digest=alone.digest),
            alone.problems,
            tuple(Verdict(resource, problems.get(resource.key, ())) for resource in resources),
        )

    def _settle(
        self, files: Files | str, now: Mapping[Key, Resource]
    ) -> tuple[LoadedPolicies, dict[Key, tuple[PolicyFileProblem, ...]]]:
        """The set of the good: each round takes back, or leaves out, what has a problem, until nothing has."""
        chosen = dict(now)
        problems: dict[Key, tuple[PolicyFileProblem, ...]] = {}
        while True:
            documents = [(resource.where, resource.document) for resource in chosen.values()]
            loaded = compile_files(self._path, files, documents, self._pause)
            bad = {
                key: found
                for key, resource in chosen.items()
                if (found := tuple(one for one in loaded.problems if one.file == resource.where))
            }
            if not bad:
                break
            for key, found in bad.items():
                if chosen[key] is now[key]:
                    problems[key] = found
                good = self._good.get(key)
                if good is None or good == chosen[key]:
                    del chosen[key]
                else:
                    chosen[key] = good
        if loaded.ruleset is not None:
            self._good |= chosen
        return loaded, problems
