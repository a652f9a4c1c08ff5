"""How files are named to tools that show a repository: relative to where it was checked out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

# Set by GitHub Actions to the folder of the checkout. Elsewhere commands run at the top of the repository.
_CHECKOUT: Final = "GITHUB_WORKSPACE"


def repository_path(file: str) -> str:
    """The file relative to the checkout (or the current folder), with ``/``; absolute where it is outside of both."""
    absolute = Path(os.path.normpath(Path.cwd() / file))
    for root in filter(None, (os.environ.get(_CHECKOUT), str(Path.cwd()))):
        if absolute.is_relative_to(root):
            return absolute.relative_to(root).as_posix()
    return absolute.as_posix()
