"""Generated pages say what the code says."""

from __future__ import annotations

import pytest

from docs.generate import GENERATED
from tests.docs.pages import ROOT


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_generated_pages_are_fresh(name: str) -> None:
    expected = GENERATED[name]()
    assert (ROOT / name).read_text(encoding="utf-8") == expected, (
        f"{name} is stale: run `make docs` and commit it"
    )


@pytest.mark.parametrize("folder", ["docs/reference", "manifests/crds", "manifests/chart/files"])
def test_no_other_file_is_in_a_folder_of_generated_ones(folder: str) -> None:
    found = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
    expected = {name for name in GENERATED if name.startswith(f"{folder}/")}
    assert found == expected, "a file that nothing generates any more; remove it"
