"""Reviews with bytes, structure and types changed; `make chaos` sends a million of them."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.hostile import mutated_reviews


def test_mutated_reviews_are_answered_without_an_error_and_without_a_secret_in_the_log(
    tmp_path: Path,
) -> None:
    row = mutated_reviews(tmp_path, 4_000)
    assert row.broken == [], "\n".join(row.notes)
    assert row.requests == 4_000
