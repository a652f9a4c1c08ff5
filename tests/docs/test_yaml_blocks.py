"""YAML on the pages is YAML that gpuward takes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.docs.pages import Block, blocks, pages
from webhook.adapters.policy_documents import built_in_catalog_document
from webhook.adapters.yaml_documents import Document, read_documents
from webhook.engine.compile import compile_policy
from webhook.engine.workload_catalog import compile_workload_catalog
from webhook.kube.accelerators import Catalog, catalog_from_documents
from webhook.policy.case import PolicyCase
from webhook.policy.model import AcceleratorCatalog
from webhook.policy.rule import Context
from webhook.policy.validation import validate_document

YAML = [
    block
    for page in pages()
    for block in blocks(page)
    if block.language == "yaml" and "broken" not in block.words
]


def _documents(block: Block) -> list[Any]:
    documents = []
    for document in read_documents(block.text.encode(), block.where):
        assert isinstance(document, Document), f"{block.where}: {document}"
        documents.append(document.data)
    return documents


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The accelerators gpuward knows out of the box, and those that the pages add."""
    added = [
        document
        for block in YAML
        for document in _documents(block)
        if isinstance(document, dict) and document.get("kind") == "AcceleratorCatalog"
    ]
    return catalog_from_documents([built_in_catalog_document(), *added])


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.where)
def test_yaml_on_a_page_is_valid(block: Block, catalog: Catalog) -> None:
    for document in _documents(block):
        kind = document.get("kind") if isinstance(document, dict) else None
        if kind == "Policy":
            compile_policy(document, Context(catalog))
        elif kind == "PolicyCase":
            validate_document(PolicyCase, document)
        elif kind == "AcceleratorCatalog":
            validate_document(AcceleratorCatalog, document)
        elif kind == "WorkloadCatalog":
            compile_workload_catalog(document, {})
