"""The check ``allowed-registries`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.allowed_registries import AllowedRegistries
from webhook.checks.wording import listed
from webhook.export.vap.cel import quoted
from webhook.export.vap.images import IMAGES, is_reference, name_matches
from webhook.export.vap.parts import Demand, Target


def translate(check: AllowedRegistries, _target: Target) -> Iterator[Demand]:
    """Images from elsewhere, and what is no image reference."""
    registries = check.parameters.registries
    pattern = f"(?:{'|'.join(map(_entry, registries))})(?:/.*)?"
    yield Demand(
        "malformed",
        "containers",
        # No image can have a brace or a dollar in its name: it is a template for something else to fill in.
        f"{IMAGES}.filter(i, !i.contains('{{') && !i.contains('$') && !{is_reference('i')})",
        "images that are no image references",
        "write them as registry/repository:tag",
    )
    yield Demand(
        "images",
        "containers",
        f"{IMAGES}.filter(i, {is_reference('i')} && !{name_matches('i', pattern)})",
        "images from registries that are not allowed",
        f"use images from {listed(registries, 'or')}",
    )


def _entry(written: str) -> str:
    host, *path = written.rstrip("/").lower().split("/")
    host = "docker.io" if host == "index.docker.io" else host
    # Unlike a plain glob, a star stays within its part.
    return "/".join(quoted(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") for part in (host, *path))
