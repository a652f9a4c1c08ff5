"""The images a pod names: what the checks about images go through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from webhook.checks.wording import container_called, short
from webhook.kube.path import Path
from webhook.kube.shape import mapping, text

if TYPE_CHECKING:
    from webhook.kube.pod import Container, Pod


def images(pod: Pod) -> Iterator[tuple[str, Container | int]]:
    """Each image of the pod, with the container or the index of the image volume (``volumes[].image``) that
    names it.

    An image that is absent or empty is left out: some controllers fill it in later, and a pod cannot run with
    it.
    """
    for container in pod.containers:
        image = container.raw.get("image")
        if type(image) is str and image:
            yield image, container
    volumes = pod.spec.get("volumes")
    if type(volumes) is list:
        for index, volume in enumerate(volumes):
            if type(volume) is dict and "image" in volume:
                reference = text(mapping(volume, "image"), "reference")
                if reference:
                    yield reference, index


def place(pod: Pod, holder: Container | int) -> tuple[Path, str]:
    """The path of the image, and what to call its holder in a message."""
    if isinstance(holder, int):
        name = short(pod.spec["volumes"][holder].get("name", ""))
        return pod.field("volumes", holder, "image", "reference"), f'volume "{name}"'
    return holder.field("image"), container_called(holder)
