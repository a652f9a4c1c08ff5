"""allowed-registries: images come from where they may, names completed as runtimes do."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.allowed_registries import AllowedRegistries

from .pods import DIGEST, JUNK, container, judge, refused, spec, table, violations

REGISTRIES = {
    "registries": [
        "reg.example.com",
        "reg.example.com:5000/ml",
        "ghcr.io/my-org",
        "*.gcr.io/ml",
        "docker.io/library",
        "*.dkr.ecr.*.amazonaws.com/team-?",
    ]
}

IMAGES: dict[str, tuple[str, bool]] = {
    "the registry": ("reg.example.com/app:1", True),
    "deep in the registry": ("reg.example.com/a/b/c/app", True),
    "with a digest": (f"reg.example.com/app@{DIGEST}", True),
    "with a tag and a digest": (f"reg.example.com/app:1@{DIGEST}", True),
    "the host in upper case": ("REG.example.com/app", True),
    "a host that ends so": ("evil-reg.example.com/app", False),
    "a host below": ("evil.reg.example.com/app", False),
    "a host that begins so": ("reg.example.com.evil.example/app", False),
    "the registry's name as a path": ("evil.example/reg.example.com/app", False),
    "another port is another registry": ("reg.example.com:8443/app", False),
    "a port and a path": ("reg.example.com:5000/ml/app", True),
    "a port and another path": ("reg.example.com:5000/other/app", False),
    "the organisation": ("ghcr.io/my-org/app", True),
    "an organisation that begins so": ("ghcr.io/my-organisation/app", False),
    "another organisation": ("ghcr.io/other/app", False),
    "the path exactly": ("ghcr.io/my-org:1", True),
    "a glob": ("eu.gcr.io/ml/app", True),
    "a glob over several labels": ("a.b.gcr.io/ml/app", True),
    "the glob's own domain": ("gcr.io/ml/app", False),
    "a glob stays within its part": ("evil.example/x.gcr.io/ml/app", False),
    "a glob and another path": ("eu.gcr.io/web/app", False),
    "two globs": ("123.dkr.ecr.eu-west-1.amazonaws.com/team-a/app", True),
    "one character": ("123.dkr.ecr.eu-west-1.amazonaws.com/team-ab/app", False),
    "an official image": ("nginx:1.27", True),
    "an official image in full": ("docker.io/library/nginx", True),
    "by the old name of the registry": ("index.docker.io/library/nginx", True),
    "somebody's image": ("someone/nginx", False),
    "a name that looks like a registry's but is a path": ("ghcr/my-org/app", False),
}


@table(IMAGES, "image, admitted")
def test_an_image_is_admitted_by_whole_parts_of_its_full_name(image: str, admitted: bool) -> None:
    said = judge(AllowedRegistries, spec(container(image=image)), REGISTRIES)
    assert said == ([] if admitted else [("registry-not-allowed", "spec.containers[0].image")])


@pytest.mark.parametrize("list_name", ["initContainers", "containers", "ephemeralContainers"])
def test_every_kind_of_container_is_judged(list_name: str) -> None:
    parameters = {"registries": ["ghcr.io"]}
    pod = spec()
    pod[list_name] = [container(), container(image="quay.io/app", restartPolicy="Always")]
    assert judge(AllowedRegistries, pod, parameters) == [
        ("registry-not-allowed", f"spec.{list_name}[1].image")
    ]


def test_images_mounted_as_volumes_are_judged() -> None:
    volumes = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "model", "image": {"reference": "quay.io/models/llm:1"}},
        {"name": "own", "image": {"reference": "ghcr.io/models/llm:1"}},
    ]
    (violation,) = violations(AllowedRegistries, spec(volumes=volumes), {"registries": ["ghcr.io"]})
    assert violation.path == ("spec", "volumes", 1, "image", "reference")
    assert violation.message == 'volume "model" uses the image quay.io/models/llm:1; use one from ghcr.io'


NOT_JUDGED: dict[str, tuple[Any]] = {
    "absent": (None,),
    "empty": ("",),
    "a placeholder": ("{{inputs.parameters.image}}",),
    "a placeholder for the tag": ("quay.io/app:{{version}}",),
    "a variable": ("$IMAGE",),
    "a variable in braces": ("ghcr.io/${ORG}/app",),
    "a number": (7,),
    "a list": (["nginx"],),
}


@table(NOT_JUDGED, "image")
def test_an_image_that_is_not_known_yet_is_not_judged(image: Any) -> None:
    assert judge(AllowedRegistries, spec(container(image=image)), {"registries": ["ghcr.io"]}) == []


@pytest.mark.parametrize("image", ["ghcr.io/Org/app", "https://ghcr.io/app", "ghcr.io/app:", "ghcr.io/ app"])
def test_what_is_no_image_reference_is_refused(image: str) -> None:
    said = judge(AllowedRegistries, spec(container(image=image)), {"registries": ["ghcr.io"]})
    assert said == [("image-malformed", "spec.containers[0].image")]


@pytest.mark.parametrize("junk", JUNK)
def test_volumes_of_the_wrong_type_have_no_image(junk: Any) -> None:
    volumes = [junk, {"image": junk}, {"image": {"reference": None}}]
    for given in (junk, volumes):
        assert judge(AllowedRegistries, spec(volumes=given), {"registries": ["ghcr.io"]}) == []


MESSAGES: dict[str, tuple[str, str]] = {
    "short name": (
        "nginx",
        'container "train" uses the image nginx (docker.io/library/nginx); use one from ghcr.io or quay.io',
    ),
    "full name": (
        "nvcr.io/nvidia/pytorch:25.08",
        'container "train" uses the image nvcr.io/nvidia/pytorch:25.08; use one from ghcr.io or quay.io',
    ),
    "malformed": (
        "ghcr.io/Org/app",
        (
            'container "train" has "ghcr.io/Org/app" as its image, which is no image reference: '
            "the repository must be in lower case"
        ),
    ),
}


@table(MESSAGES, "image, message")
def test_the_message_says_what_the_image_is_and_which_to_use(image: str, message: str) -> None:
    parameters = {"registries": ["ghcr.io", "quay.io"]}
    said = violations(AllowedRegistries, spec(container(image=image)), parameters)
    assert [v.message for v in said] == [message]


@pytest.mark.parametrize(
    ("entry", "image"),
    [
        ("localhost", "localhost/app"),
        ("[fd00::1]:5000", "[fd00::1]:5000/app"),
        ("reg.example.com:*", "reg.example.com:5000/app"),
        ("*", "anything.example/app"),
        ("ghcr.io/my-org/", "ghcr.io/my-org/app"),
        ("GHCR.io/my-org", "ghcr.io/my-org/app"),
        ("ghcr.io/*/app", "ghcr.io/org/app:1"),
        ("index.docker.io/org", "org/app"),
        ("docker.io", "nginx"),
    ],
)
def test_entries_may_be_written_in_many_ways(entry: str, image: str) -> None:
    assert judge(AllowedRegistries, spec(container(image=image)), {"registries": [entry]}) == []


BAD_PARAMETERS: dict[str, tuple[str, str]] = {
    "empty": ("", "is no registry"),
    "a scheme": ("https://ghcr.io", "is no registry"),
    "no host": ("my-org", 'write "docker.io/my-org"'),
    "no host but a path": ("my-org/app", 'write "docker.io/my-org/app"'),
    "a tag": ("ghcr.io/org/app:1", "leave out tags"),
    "a digest": (f"ghcr.io/org/app@{DIGEST}", "leave out tags"),
    "an empty part": ("ghcr.io//app", "is no registry or path"),
    "a space": ("ghcr.io /app", "is no registry"),
    "a port that is a word": ("ghcr.io:http", "is no registry"),
}


@table(BAD_PARAMETERS, "entry, message")
def test_entries_that_could_never_match_are_refused(entry: str, message: str) -> None:
    error = refused(AllowedRegistries, {"registries": ["ghcr.io", entry]})
    assert error.field == "registries[1]"
    assert message in str(error)
