"""Putting a pod together from pieces, and remembering where each was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from webhook.kube.path import Path
from webhook.kube.shape import JSONObject

_NOTHING_MOVED: Final[Mapping[Path, Path]] = {}

# Maps nest no deeper than this in any pod; below it the second value of a merge simply wins.
_MERGE_DEPTH: Final = 40

# How Kubernetes merges lists: items with the same value of this key are one item, other lists are replaced.
# Source: the patchMergeKey tags of k8s.io/api core/v1 and of Argo's Template.
_MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "env": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "sidecars": "name",
    "tolerations": "key",
    "volumeMounts": "mountPath",
    "volumes": "name",
}


class Described(Struct, frozen=True):
    """One pod that an object describes.

    Without ``root`` it stands in the object itself, at these paths. With one, the root is a Pod object that was put
    together, the paths are those of the root, and ``sources`` leads from them to where the parts were written.
    ``replicas`` is how many of it there are at most, and ``replicas_path`` where that is written.
    """

    metadata_path: Path = ("metadata",)
    spec_path: Path = ("spec",)
    root: JSONObject | None = None
    sources: Mapping[Path, Path] | None = None
    replicas: int = 1
    replicas_path: Path = ()

    def below(self, path: Path) -> Described:
        """The same pod, of an object that stands at ``path`` of a larger one."""
        replicas_path = path + self.replicas_path if self.replicas_path else ()
        if self.sources is None:
            return replace(
                self,
                metadata_path=path + self.metadata_path,
                spec_path=path + self.spec_path,
                replicas_path=replicas_path,
            )
        sources = {part: path + source for part, source in self.sources.items()}
        return replace(self, sources=sources, replicas_path=replicas_path)


class Embedded(Struct, frozen=True):
    """A whole object inside another one; its own kind tells where its pods are."""

    path: Path
    obj: JSONObject


# What is found in an object.
Found = Described | Embedded


class Part(Struct, frozen=True):
    """A value and where it was written; None where it is absent.

    ``moved`` tells of parts of it (paths relative to the value) that were written elsewhere.
    """

    value: Any
    path: Path
    moved: Mapping[Path, Path] = _NOTHING_MOVED

    def get(self, key: str | int) -> Part:
        """A member of a map, or an item of a list; a part without value where there is none."""
        value = None
        if isinstance(key, str):
            value = self.value.get(key) if type(self.value) is dict else None
        elif type(self.value) is list and key < len(self.value):
            value = self.value[key]
        if not self.moved:
            return Part(value, (*self.path, key))
        inner = {path[1:]: source for path, source in self.moved.items() if path[0] == key}
        return Part(value, inner.pop((), (*self.path, key)), inner)

    def items(self) -> Iterator[Part]:
        """The items of a list that are maps."""
        if type(self.value) is list:
            for index, item in enumerate(self.value):
                if type(item) is dict:
                    yield self.get(index)

    @property
    def is_map(self) -> bool:
        return type(self.value) is dict

    def having(self, /, **members: Part | Any) -> Part:
        """A map with these members besides its own.

        A Part brings its origin with it. One without value is no member, but where it would be written is kept.
        """
        value = dict(self.value) if self.is_map else {}
        moved = dict(self.moved)
        for key, member in members.items():
            if isinstance(member, Part):
                moved[(key,)] = member.path
                moved.update(((key, *inner), source) for inner, source in member.moved.items())
            plain = member.value if isinstance(member, Part) else member
            if plain is not None:
                value[key] = plain
        return Part(value, self.path, moved)


def listing(parts: Iterable[Part], path: Path) -> Part:
    """A list of these parts, which belongs to ``path``."""
    values: list[Any] = []
    moved: dict[Path, Path] = {}
    for index, part in enumerate(parts):
        values.append(part.value)
        if part.path != (*path, index):
            moved[(index,)] = part.path
        moved.update(((index, *inner), source) for inner, source in part.moved.items())
    return Part(values, path, moved)


def first(*candidates: Part) -> Part:
    """The first of these that says anything (not absent, and no empty text, list or map); else the first."""
    return next((part for part in candidates if part.value), candidates[0])


def merge(base: Part, over: Part, name: str = "", depth: int = 0) -> Part:
    """``base`` with ``over`` laid on it, as a strategic merge patch does it; ``name`` is the field's.

    Source: k8s.io/apimachinery pkg/util/strategicpatch.
    """
    if over.value is None:
        return base
    if base.value is None or depth > _MERGE_DEPTH:
        return over
    if base.is_map and over.is_map:
        names = dict.fromkeys((*base.value, *over.value))
        members = {key: merge(base.get(key), over.get(key), key, depth + 1) for key in names}
        return Part({}, over.path).having(**members)
    key = _MERGE_KEYS.get(name)
    if key is not None and type(base.value) is list and type(over.value) is list:
        return _merge_lists(base, over, key, depth)
    return over


def _merge_lists(base: Part, over: Part, key: str, depth: int) -> Part:
    merged = list(base.items())
    place = {part.value.get(key): i for i, part in enumerate(merged) if type(part.value.get(key)) is str}
    for item in over.items():
        identity = item.value.get(key)
        same = place.get(identity) if type(identity) is str else None
        if same is not None:
            merged[same] = merge(merged[same], item, "", depth + 1)
        else:
            merged.append(item)
    return listing(merged, over.path)


def made_pod(metadata: Part, spec: Part, *, replicas: int = 1, replicas_path: Path = ()) -> Described:
    """A pod that is put together from a metadata and a spec."""
    root: JSONObject = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata.value, "spec": spec.value}
    sources: dict[Path, Path] = {("metadata",): metadata.path, ("spec",): spec.path}
    for name, part in (("metadata", metadata), ("spec", spec)):
        sources.update(((name, *inner), source) for inner, source in part.moved.items())
    return Described(root=root, sources=sources, replicas=replicas, replicas_path=replicas_path)


# Written by kubectl at every apply and meant for the object alone.
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def labels_and_annotations(*holders: Part) -> Part:
    """A pod's metadata made of the labels and annotations of these maps; later ones win."""
    metadata = Part({}, holders[-1].path)
    for name in ("labels", "annotations"):
        merged = Part(None, (*holders[-1].path, name))
        for holder in holders:
            part = holder.get(name)
            if part.is_map:
                merged = merge(merged, part)
        if merged.is_map and _LAST_APPLIED in merged.value:
            kept = {key: value for key, value in merged.value.items() if key != _LAST_APPLIED}
            merged = replace(merged, value=kept)
        metadata = metadata.having(**{name: merged})
    return metadata


# How many values all pods of an object may copy together from what they share. A workflow of a thousand templates with
# defaults of a hundred lines stays below; without a bound, long lists of both multiply to hours.
_COPIES: Final = 200_000


def affordable(*shared: Part) -> int:
    """How many times these parts can be copied.

    Nothing real asks for more; pods beyond that are judged when they are made.
    """
    size = 1
    pending = [part.value for part in shared]
    while pending and size < _COPIES:
        value = pending.pop()
        if type(value) is dict or type(value) is list:
            size += len(value)
            pending.extend(value.values() if type(value) is dict else value)
    return _COPIES // size


def count(value: Any, default: int = 1) -> int:
    """A number of pods as somebody wrote it; the default where it is none."""
    return value if type(value) is int and value >= 0 else default


def joined(lists: Sequence[Part], path: Path) -> Part:
    """One list of the maps in several; absent (None) where there are none."""
    parts = [item for part in lists for item in part.items()]
    return listing(parts, path) if parts else Part(None, path)
