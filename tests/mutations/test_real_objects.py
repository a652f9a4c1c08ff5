"""Every mutation on real objects: what the API server sent, and manifests of real projects."""

from __future__ import annotations

import json

import pytest

from tests.mutations.support import check_laws, keeps, mutable, pods_of, run
from tests.mutations.test_every_mutation import ADDITIVE, ALL, about
from tests.support import shared
from webhook.adapters.manifests import Manifest, read_manifests
from webhook.kube.shape import JSONObject

REVIEWS = shared("admission-reviews")
CORPUS = shared("corpus")

WRITTEN: dict[str, JSONObject] = {
    file.stem: json.loads(file.read_text())["request"]["object"] for file in sorted(REVIEWS.glob("*.json"))
} | {
    f"{manifest.source.removeprefix(str(CORPUS))}#{manifest.document}": manifest.obj
    for manifest in read_manifests([str(CORPUS)])
    if isinstance(manifest, Manifest)
}
OBJECTS = {f"{name}#{i}": part for name, obj in WRITTEN.items() for i, part in enumerate(mutable(obj))}

each_object = pytest.mark.parametrize("obj", OBJECTS.values(), ids=OBJECTS)


def test_there_is_enough_to_look_at() -> None:
    assert len(OBJECTS) > 150
    gpu_pods = [pod for obj in OBJECTS.values() for pod in pods_of(obj) if pod.accelerators]
    assert len(gpu_pods) > 20


@each_object
def test_the_laws_hold(obj: JSONObject) -> None:
    for title, mutation in ALL.items():
        with about(title):
            check_laws([mutation], obj)
    for title, mutation in ADDITIVE.items():
        with about(title):
            assert keeps(obj, run([mutation], obj).object)


@each_object
def test_they_hold_for_all_together(obj: JSONObject) -> None:
    assert keeps(obj, check_laws(list(ADDITIVE.values()), obj))
