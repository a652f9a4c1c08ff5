"""Reading policy cases: the ``cases/`` folder beside a policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from webhook.adapters.policy_documents import PolicyFileProblem, Written
from webhook.adapters.yaml_documents import SUFFIXES, DocumentError, read_documents
from webhook.policy.case import PolicyCase
from webhook.policy.problems import InvalidPolicy
from webhook.policy.validation import validate_document

CASES: Final = "cases"


class CaseFile(Struct, frozen=True):
    """One case and where it is written (file, line from 1)."""

    file: str
    line: int
    case: PolicyCase


def case_folders(root: Path) -> list[Path]:
    """The folders at and below ``root`` that have cases, sorted. Of a policy file, the folder it is in."""
    if not root.is_dir():
        return [root.parent] if (root.parent / CASES).is_dir() else []
    found = {folder.parent for folder in root.rglob(CASES) if folder.is_dir()}
    return sorted(folder for folder in found if not _is_passed_over(folder.relative_to(root)))


def _is_passed_over(folder: Path) -> bool:
    """Whether no policies are read from a folder; as ``policy_files`` has it."""
    return any(part == CASES or part.startswith(".") for part in folder.parts)


def read_cases(folder: Path) -> Iterator[CaseFile | PolicyFileProblem]:
    """The cases of the policies in ``folder``, in the order of their files."""
    cases = folder / CASES
    files = sorted(file for file in cases.rglob("*") if file.suffix in SUFFIXES) if cases.is_dir() else []
    for file in files:
        for document in read_documents(file.read_bytes(), str(file), positions=True):
            if isinstance(document, DocumentError):
                yield PolicyFileProblem(str(file), document.line, document.column, (), document.message)
                continue
            try:
                yield CaseFile(str(file), document.line, validate_document(PolicyCase, document.data))
            except InvalidPolicy as invalid:
                written = Written(str(file), document, (), document.data)
                found = map(written.problem, invalid.problems)
                yield from sorted(found, key=lambda problem: (problem.line, problem.column))
