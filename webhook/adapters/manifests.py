"""Reading manifests: files, folders and standard input, as ``kubectl apply -f`` takes them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webhook.adapters.yaml_documents import SUFFIXES, Document, DocumentError, read_documents
from webhook.kube.shape import JSONObject, text

STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of the input: where it came from (file, number of the document in it from 0) and what it is."""

    source: str
    document: int
    obj: JSONObject


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


def read_manifests(paths: Iterable[str]) -> Iterator[Manifest | DocumentError]:
    """Every object of the input in its order; ``List`` kinds are taken apart.

    A document that cannot be read, or is no Kubernetes object, is an error in its place; what follows is read on.

    Raises:
        UnreadableInput: a path does not exist or cannot be opened.
    """
    for file in files(paths):
        try:
            content = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
        except OSError as error:
            raise UnreadableInput(f"{file}: {error.strerror or error}") from error
        source = "<stdin>" if file == STANDARD_INPUT else file
        for document in read_documents(content, source):
            if isinstance(document, DocumentError):
                yield document
            else:
                yield from _objects(document, document.data)


def _objects(document: Document, data: object) -> Iterator[Manifest | DocumentError]:
    if type(data) is not dict:
        yield _no_object(document, "is not a map")
    elif not text(data, "kind") or not text(data, "apiVersion"):
        missing = " and ".join(key for key in ("apiVersion", "kind") if not text(data, key))
        yield _no_object(document, f"has no {missing}")
    elif text(data, "kind").endswith("List") and type(data.get("items")) is list:
        for item in data["items"]:
            yield from _objects(document, item)
    else:
        yield Manifest(document.source, document.index, data)


def _no_object(document: Document, why: str) -> DocumentError:
    return DocumentError(document.source, document.line, 1, f"the document is no Kubernetes object: it {why}")
