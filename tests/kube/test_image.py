"""Image references are read as the kubelet and the runtimes read them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.kube.image import ImageError, ImageReference, parse_image

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8

# Cases after github.com/distribution/reference normalize_test.go and reference_test.go.
REFERENCES = {
    "nginx": ("docker.io", "library/nginx", None, None),
    "nginx:1.27": ("docker.io", "library/nginx", "1.27", None),
    f"nginx@{SHA256}": ("docker.io", "library/nginx", None, SHA256),
    f"nginx:1.27@{SHA256}": ("docker.io", "library/nginx", "1.27", SHA256),
    f"nginx@{SHA512}": ("docker.io", "library/nginx", None, SHA512),
    "pytorch/pytorch:2.9.1-cuda12.8": ("docker.io", "pytorch/pytorch", "2.9.1-cuda12.8", None),
    "library/nginx": ("docker.io", "library/nginx", None, None),
    "docker.io/nginx": ("docker.io", "library/nginx", None, None),
    "docker.io/pytorch/pytorch": ("docker.io", "pytorch/pytorch", None, None),
    "index.docker.io/nginx": ("docker.io", "library/nginx", None, None),
    "ghcr.io/org/team/app:v1": ("ghcr.io", "org/team/app", "v1", None),
    "ghcr.io/app": ("ghcr.io", "app", None, None),
    "reg.example.com:5000/app:v1": ("reg.example.com:5000", "app", "v1", None),
    "localhost/app": ("localhost", "app", None, None),
    "localhost:5000/app": ("localhost:5000", "app", None, None),
    "[fd00::1]:5000/app": ("[fd00::1]:5000", "app", None, None),
    "myhost:5000/app": ("myhost:5000", "app", None, None),
    # Without a slash the part after the colon is a tag, not a port.
    "myhost:5000": ("docker.io", "library/myhost", "5000", None),
    # An upper-case first part cannot be a path, so it is a host.
    "GHCR.io/org/app": ("ghcr.io", "org/app", None, None),
    "MyHost/app": ("MyHost", "app", None, None),
    "LocalHost/app": ("localhost", "app", None, None),
    "org/my__app.name-x--y": ("docker.io", "org/my__app.name-x--y", None, None),
    "app:Latest": ("docker.io", "library/app", "Latest", None),
}

MALFORMED = {
    "empty": "",
    "space": "my image",
    "leading space": " nginx",
    "trailing newline": "nginx\n",
    "upper case": "Nginx",
    "upper case below a registry": "ghcr.io/Org/app",
    "scheme": "https://ghcr.io/org/app",
    "no repository": "ghcr.io/",
    "leading slash": "/nginx",
    "trailing slash": "org/nginx/",
    "doubled slash": "org//nginx",
    "empty tag": "nginx:",
    "two tags": "nginx:1:2",
    "tag of 129 characters": "nginx:" + "a" * 129,
    "tag that starts with a dash": "nginx:-1",
    "empty digest": "nginx@",
    "short digest": "nginx@sha256:abc",
    "unknown digest": "nginx@md5:" + "a" * 32,
    "upper-case digest": "nginx@" + SHA256.replace("abcdef", "ABCDEF"),
    "image id": "0123456789abcdef" * 4,
    "port that is no number": "ghcr.io:http/app",
    "host that ends in a dash": "ghcr-.io/app",
    "not ascii": "nginx:\u0661",
    "template placeholder": "{{inputs.parameters.image}}",
    "repository of 256 characters": "ghcr.io/" + "a" * 256,
    "a megabyte": "a" * 1_000_000,
}


@pytest.mark.parametrize("image", REFERENCES)
def test_a_reference_is_completed_as_runtimes_do(image: str) -> None:
    assert parse_image(image) == ImageReference(*REFERENCES[image])


@pytest.mark.parametrize("image", MALFORMED.values(), ids=list(MALFORMED))
def test_what_no_node_could_pull_is_an_error(image: str) -> None:
    with pytest.raises(ImageError):
        parse_image(image)


@pytest.mark.parametrize("length", [128, 255])
def test_lengths_up_to_the_limit_are_taken(length: int) -> None:
    image = "ghcr.io/" + "a" * length
    assert parse_image(image).repository == "a" * length


@example("Z/0")
@given(st.text(alphabet="abZ019.:/@-_ []{}*", max_size=40))
def test_a_reference_in_full_reads_as_itself(image: str) -> None:
    try:
        reference = parse_image(image)
    except ImageError:
        return
    full = reference.name
    if reference.tag is not None:
        full += f":{reference.tag}"
    if reference.digest is not None:
        full += f"@{reference.digest}"
    assert parse_image(full) == reference
