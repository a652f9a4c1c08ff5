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


def test_no_other_page_is_in_the_folder_of_generated_ones() -> None:
    folder = ROOT / "docs" / "reference"
    found = {str(path.relative_to(ROOT)) for path in folder.rglob("*") if path.is_file()}
    assert found == set(GENERATED), "a page that nothing generates any more; remove it"
