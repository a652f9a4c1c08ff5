"""What is wrong with a policy document, said so that its author can mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from webhook.kube.path import Path, render


class Problem(Struct, frozen=True):
    """One mistake: where in the document, what it is, and what was probably meant.

    ``offset`` is the (line, column), both from 1, inside the text at ``path`` (a CEL expression), where
    known. ``on_key`` says that the mistake is the last key of the path itself rather than its value.
    """

    path: Path
    message: str
    suggestion: str = ""
    offset: tuple[int, int] | None = None
    on_key: bool = False

    def __str__(self) -> str:
        where = f"{render(self.path)}: " if self.path else ""
        return f"{where}{self.message}{'; ' + self.suggestion if self.suggestion else ''}"


class InvalidPolicy(ValueError):
    """A policy document that cannot be used, with everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean "x"?`` for the nearest known word; empty where nothing is near."""
    near = nearest(word, known)
    return f'did you mean "{near}"?' if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like another; empty where none is.

    Case and separators do not count: ``match_labels`` is ``matchLabels``.
    """
    # Imported where something is wrong: commands that find nothing need not wait for it.
    from difflib import get_close_matches

    by_letters: dict[str, str] = {}
    for candidate in known:
        by_letters.setdefault(_letters(candidate), candidate)
    found = get_close_matches(_letters(word), by_letters, n=1, cutoff=0.6)
    return by_letters[found[0]] if found else ""


def _letters(word: str) -> str:
    # Long words are nobody's slip of the keyboard, and comparing them takes quadratic time.
    return word[:100].lower().replace("-", "").replace("_", "")
