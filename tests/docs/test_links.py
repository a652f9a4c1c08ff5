"""Links between pages lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, page_id, pages


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_relative_links_resolve(page: Path) -> None:
    broken = [target for target in links(page) if "://" not in target and not _resolves(page, target)]
    assert not broken, f"{page_id(page)}: broken links"


def _resolves(page: Path, target: str) -> bool:
    name, _, fragment = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    # A link out of the repository works on this machine and nowhere else.
    if not path.is_relative_to(ROOT) or not path.exists():
        return False
    return not fragment or (path.suffix == ".md" and fragment in anchors(path))


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        for target in links(page):
            path = (page.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_file() and path not in reached:
                ahead.append(path)
    assert not [page_id(page) for page in pages() if page not in reached], "no link leads to these pages"


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(folder.glob("[0-9]*.md"))
    listed = links(folder / "README.md")
    for number, record in enumerate(records, start=1):
        assert record.name.startswith(f"{number:04}-"), "decisions are numbered without gaps"
        assert record.name in listed
        assert {"context", "decision", "consequences"} <= anchors(record), record.name
