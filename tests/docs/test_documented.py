"""Everything people can set, call or watch is on a page, and nothing else is."""

from __future__ import annotations

import re

import pytest

from tests.docs.command_line import options
from tests.docs.pages import ROOT, anchors, page_id, pages, read
from tests.metrics import families
from webhook.checks import CHECKS
from webhook.cli.main import COMMANDS
from webhook.mutations import MUTATIONS
from webhook.policy.findings import Mode
from webhook.server.calls import read_target

OPERATING = "docs/operating.md"


def _rows(text: str) -> set[str]:
    """What stands in code marks in the first cells of a page's tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("rule", [rule.name for rule in (*MUTATIONS, *CHECKS)])
def test_every_rule_has_its_section(rule: str) -> None:
    assert rule in anchors(ROOT / "docs" / "reference" / "rules.md")


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_its_section(command: str) -> None:
    assert f"gpuward-{command}" in anchors(ROOT / "docs" / "reference" / "cli.md")


def test_the_operating_page_has_every_flag_of_the_server_and_no_other() -> None:
    written = {flag for flag in _rows(read(OPERATING)) if flag.startswith("--")}
    assert written == options("serve")


def test_no_page_names_a_flag_that_no_command_has() -> None:
    known = {"--help", "--version"}.union(*(options(command.name) for command in COMMANDS))
    # Flags of other programs stand behind their names (`mypy --strict`); one page is about the benchmark's.
    for page in (page for page in pages() if page.name != "performance.md"):
        named = set(re.findall(r"`(--[a-z][-a-z]*)", page.read_text(encoding="utf-8")))
        assert named <= known, page_id(page)


def _metrics() -> dict[str, tuple[str, ...]]:
    """The metrics of the server as the table has them: counters as they are scraped, histograms by their own names."""
    return {
        family.name if family.type == "histogram" else family.series[0]: family.labels
        for family in families()
    }


def test_every_metric_is_in_the_table_with_its_labels() -> None:
    rows: dict[str, tuple[str, ...]] = {}
    for line in read(OPERATING).splitlines():
        if line.startswith("| `gpuward_"):
            name, labels = line.split("|")[1:3]
            rows[name.strip(" `")] = tuple(re.findall(r"`([a-z_]+)`", labels))
    assert rows == _metrics()


def test_no_page_names_a_metric_that_is_not_there() -> None:
    known = set(_metrics())
    for page in pages():
        named = set(re.findall(r"\bgpuward_[a-z_]+", page.read_text(encoding="utf-8")))
        assert named <= known, page_id(page)


def test_every_address_of_the_webhook_is_on_the_page() -> None:
    written = {code for code in _rows(read(OPERATING)) if code.startswith(("/mutate", "/validate"))}
    expected = {f"/{webhook}" for webhook in ("mutate", "validate")}
    expected |= {f"{address}/{mode.value}" for address in tuple(expected) for mode in Mode}
    assert written == expected
    for address in written:
        assert read_target(address).webhook == address.split("/")[1]
