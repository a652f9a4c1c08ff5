"""Policies from files: a folder (a mounted ConfigMap is one) or a single file becomes a compiled ruleset.

Here is where files are and how they are read; what is made of them is in ``policy_documents``. The same documents can
come from the cluster besides, see ``policy_resources``; they are compiled together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import webhook
from webhook.adapters.policy_documents import (
    CASES,
    LoadedPolicies,
    Loading,
    Pause,
    PolicyFileProblem,
    no_pause,
)
from webhook.adapters.yaml_documents import SUFFIXES
from webhook.kube.shape import JSONObject

ENVIRONMENT_VARIABLE: Final = "GPUWARD_POLICIES"

# The kubelet replaces a ConfigMap's files while we read them at most now and then, not three times in a row.
_ATTEMPTS: Final = 3


def default_policies_path(given: str | None = None) -> Path:
    """Where policies come from: what was asked for, $GPUWARD_POLICIES, ./policies, the policies that come
    with gpuward."""
    if given:
        return Path(given)
    if configured := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(configured)
    local = Path("policies")
    return local if local.is_dir() else shipped_policies_path()


def shipped_policies_path() -> Path:
    """The folder of the policies that come with gpuward: inside the installed package, or beside it in its
    sources."""
    package = Path(webhook.__file__).parent
    installed = package / "shipped_policies"
    return installed if installed.is_dir() else package.parent / "policies"


def load(
    path: str | Path, *, recursive: bool = True, more: bool = False, pause: Pause = no_pause
) -> LoadedPolicies:
    """Read and compile the policies in a folder or a file. Raises nothing: what is wrong is in the result.

    ``more`` says that policies come from elsewhere too, so that there may be none here.
    """
    return compile_files(path, read(path, recursive=recursive, pause=pause), () if more else None, pause)


def compile_files(
    path: str | Path,
    files: Files | str,
    resources: Iterable[tuple[str, JSONObject]] | None = None,
    pause: Pause = no_pause,
) -> LoadedPolicies:
    """Compile what ``read`` gave for ``path``, together with documents from elsewhere, each with a name that stands
    for its file in problems. Where these are given, even none, there may be no policies in the files.

    Files come first: of two documents with one name, the later one is the problem.
    """
    loading = Loading(Path(path), may_be_empty=resources is not None, pause=pause)
    if isinstance(files, str):
        if files != _NO_FILES or resources is None:
            loading.problems.append(PolicyFileProblem(str(path), 0, 0, (), files))
            return loading.finish("")
        files = []
    for name, content in files:
        loading.add_file(str(Path(path) / name) if name else str(path), content)
    for name, document in resources or ():
        loading.add_resource(name, document)
    return loading.finish(digest_of(files))


def digest(path: str | Path, *, recursive: bool = True, pause: Pause = no_pause) -> str:
    """A digest of all that ``load`` would read: it differs whenever a name or a byte of it does.

    Costs about as much as reading the files. Empty where the path cannot be read.
    """
    files = read(path, recursive=recursive, pause=pause)
    return "" if isinstance(files, str) else digest_of(files)


# --- files -----------------------------------------------------------------------------------------------

Files = list[tuple[str, bytes | OSError]]

_NO_FILES: Final = f"no policies here; looked for {', '.join('*' + suffix for suffix in SUFFIXES)}"


def read(path: str | Path, *, recursive: bool = True, pause: Pause = no_pause) -> Files | str:
    """The names (relative to ``path``, sorted) and contents of all that ``load`` would read, or why there is
    nothing to read."""
    root = Path(path)
    for attempt in range(_ATTEMPTS):
        if not root.exists():
            return "no such file or folder"
        if not root.is_dir():
            return [("", _content(root))]
        # A mounted ConfigMap: its files are links through ..data, which is swapped as a whole. Seen through
        # one target of that link, all files are of the same version.
        link = root / "..data"
        target = link.resolve() if link.is_symlink() else root
        try:
            real = os.path.realpath(target)
            names = sorted(_names(real, "", {real}, pause, recursive=recursive))
        except OSError as error:
            return f"the folder cannot be read: {error.strerror or error}"
        files: Files = []
        for name in names:
            pause()
            files.append((name, _content(target / name)))
        vanished = any(isinstance(content, FileNotFoundError) for _, content in files)
        if not vanished or attempt == _ATTEMPTS - 1:
            break
    return files or _NO_FILES


def _names(folder: str, prefix: str, seen: set[str], pause: Pause, *, recursive: bool) -> Iterator[str]:
    """The files below a folder, through links too, but none twice. The folder's path is that without links."""
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        pause()
        if entry.name.startswith("."):
            continue
        # What is no link is where its folder is; to follow one takes a call for each part of its path.
        real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        if entry.is_dir():
            if recursive and entry.name != CASES and real not in seen:
                seen.add(real)
                yield from _names(real, f"{prefix}{entry.name}/", seen, pause, recursive=True)
        elif entry.name.endswith(SUFFIXES) and real not in seen:
            seen.add(real)
            yield prefix + entry.name


def _content(file: Path) -> bytes | OSError:
    try:
        return file.read_bytes()
    except OSError as error:
        return error


def digest_of(files: Files) -> str:
    """A digest of files: it differs whenever a name or a byte of them does."""
    whole = hashlib.sha256()
    for name, content in files:
        data = repr(content).encode() if isinstance(content, OSError) else content
        # Lengths keep what ends in one part from being taken for the start of the next.
        written = os.fsencode(name)
        whole.update(b"%d %d " % (len(written), len(data)) + written + data)
    return whole.hexdigest()
