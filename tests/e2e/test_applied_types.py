"""The types that apply configurations are merged by, against the API server they were taken from."""

from __future__ import annotations

import pytest

from . import applied_types
from .cluster import ControlPlane


def test_the_types_are_those_of_this_api_server(control_plane: ControlPlane) -> None:
    written = applied_types.FILE.read_text(encoding="utf-8")
    version = control_plane.assets.version
    if f'"kubernetes": "{version}"' not in written:
        pytest.skip(f"the types were taken from another version than {version}")

    assert applied_types.condense(version, applied_types.documents(control_plane)) == written, (
        "stale: run `make types`"
    )
