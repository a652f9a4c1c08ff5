"""The check ``no-latest-tag`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.no_latest_tag import NoLatestTag
from webhook.export.vap.images import IMAGES, names_no_version
from webhook.export.vap.parts import Demand, Target


def translate(_check: NoLatestTag, _target: Target) -> Iterator[Demand]:
    """The images without a version."""
    yield Demand(
        "images",
        "containers",
        f"{IMAGES}.filter(i, {names_no_version('i')})",
        "images without a version, which change under you",
        "name a version, such as :1.2.3, or a digest",
    )
