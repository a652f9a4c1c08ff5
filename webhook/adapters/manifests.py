"""Reading manifests: files, folders and standard input, as ``kubectl apply -f`` takes them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from webhook.adapters.yaml_documents import SUFFIXES, Document, DocumentError, read_documents
from webhook.kube.path import Path as FieldPath
from webhook.kube.path import render
from webhook.kube.shape import JSONObject, text

STANDARD_INPUT: Final = "-"

# What stands for a file's name where there is none.
STANDARD_INPUT_NAME: Final = "<stdin>"


class Manifest(Struct, frozen=True):
    """One object of the input: the document it is written in, where in that (an item of a List), and what it is."""

    written: Document
    base: FieldPath
    obj: JSONObject

    @property
    def source(self) -> str:
        """The file it came from, or STANDARD_INPUT_NAME."""
        return self.written.source

    @property
    def document(self) -> int:
        """The number of its document in the file, from 0."""
        return self.written.index

    def locate(self, path: FieldPath) -> tuple[int, int]:
        """The line and column (from 1) of a field of the object: of its key, or of the nearest key above one that is
        not written. Where positions were not asked for, the line its document starts at."""
        return self.written.locate(self.base + path, on_key=True)


class UnreadableInput(OSError):
    """A path that cannot be read at all."""


def files(paths: Iterable[str]) -> Iterator[str]:
    """The files meant by paths: a file itself, a folder's YAML and JSON files recursively and sorted, ``-`` as it is.

    Raises:
        UnreadableInput: a path that does not exist.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            yield path
            continue
        where = Path(path)
        if where.is_dir():
            yield from sorted(
                str(file) for file in where.rglob("*") if file.suffix in SUFFIXES and file.is_file()
            )
        elif where.exists():
            yield path
        else:
            raise UnreadableInput(f"{path}: no such file or folder")


def read_manifests(paths: Iterable[str], *, positions: bool = False) -> Iterator[Manifest | DocumentError]:
    """Every object of the input in its order; ``List`` kinds are taken apart.

    A document that cannot be read, or is no Kubernetes object, is an error in its place; what follows is read on.
    ``positions`` keeps the text, so that ``Manifest.locate`` can answer.

    Raises:
        UnreadableInput: a path does not exist or cannot be opened.
    """
    for file in files(paths):
        try:
            content = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
        except OSError as error:
            raise UnreadableInput(f"{file}: {error.strerror or error}") from error
        source = STANDARD_INPUT_NAME if file == STANDARD_INPUT else file
        for document in read_documents(content, source, positions=positions):
            if isinstance(document, DocumentError):
                yield document
            else:
                yield from _objects(document, (), document.data)


def _objects(document: Document, base: FieldPath, data: object) -> Iterator[Manifest | DocumentError]:
    if type(data) is not dict:
        yield _no_object(document, base, "is not a map")
    elif not text(data, "kind") or not text(data, "apiVersion"):
        missing = " and ".join(key for key in ("apiVersion", "kind") if not text(data, key))
        yield _no_object(document, base, f"has no {missing}")
    elif text(data, "kind").endswith("List") and type(data.get("items")) is list:
        for index, item in enumerate(data["items"]):
            yield from _objects(document, (*base, "items", index), item)
    else:
        yield Manifest(document, base, data)


def _no_object(document: Document, base: FieldPath, why: str) -> DocumentError:
    line, column = document.locate(base)
    what = f"the document's {render(base)}" if base else "the document"
    return DocumentError(document.source, line, column, f"{what} is no Kubernetes object: it {why}")
