"""no-latest-tag: images name a version or a digest."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.no_latest_tag import NoLatestTag

from .pods import DIGEST, JUNK, Said, container, judge, spec, table, violations

PATH = "spec.containers[0].image"

IMAGES: dict[str, tuple[Any, Said]] = {
    "a version": ("nginx:1.27", []),
    "a digest": (f"nginx@{DIGEST}", []),
    "a version and a digest": (f"nginx:1.27@{DIGEST}", []),
    "latest and a digest: the digest decides": (f"nginx:latest@{DIGEST}", []),
    "a tag that begins with latest": ("nginx:latest-gpu", []),
    "tags are compared exactly": ("nginx:LATEST", []),
    "no tag": ("nginx", [("tag-missing", PATH)]),
    "no tag but a port": ("reg.example.com:5000/app", [("tag-missing", PATH)]),
    "a tag and a port": ("reg.example.com:5000/app:1", []),
    "latest": ("nginx:latest", [("tag-latest", PATH)]),
    "latest in full": ("docker.io/library/nginx:latest", [("tag-latest", PATH)]),
    "absent": (None, []),
    "empty": ("", []),
    "no image reference": ("Nginx:latest", []),
    "a placeholder": ("{{image}}", []),
    "a number": (7, []),
}


@table(IMAGES, "image, said")
def test_an_image_names_a_version_or_a_digest(image: Any, said: Said) -> None:
    assert judge(NoLatestTag, spec(container(image=image))) == said


@pytest.mark.parametrize("list_name", ["initContainers", "containers", "ephemeralContainers"])
def test_every_kind_of_container_is_judged(list_name: str) -> None:
    pod = spec()
    pod[list_name] = [container(image="nginx:latest", restartPolicy="Always"), container(image="nginx")]
    assert judge(NoLatestTag, pod) == [
        ("tag-latest", f"spec.{list_name}[0].image"),
        ("tag-missing", f"spec.{list_name}[1].image"),
    ]


def test_images_mounted_as_volumes_are_judged() -> None:
    volumes: list[Any] = [*JUNK, {"name": "model", "image": {"reference": "models/llm"}}]
    assert judge(NoLatestTag, spec(volumes=volumes)) == [
        ("tag-missing", f"spec.volumes[{len(JUNK)}].image.reference")
    ]


def test_the_message_says_what_to_write() -> None:
    pod = spec(container(image="nginx"), container(image="nginx:latest"))
    assert [v.message for v in violations(NoLatestTag, pod)] == [
        (
            'container "train" uses the image nginx without a tag, which means latest; add a version, '
            "such as :1.2.3, or a digest"
        ),
        (
            'container "train" uses the image nginx:latest, which changes under you; name a version, '
            "such as :1.2.3, or a digest"
        ),
    ]
