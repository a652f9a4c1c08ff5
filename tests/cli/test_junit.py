"""JUnit XML: what goes in comes out, whatever its characters."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from webhook.cli.junit import Case, Suite, Trouble, junit


def test_a_report_counts_its_cases_for_each_suite_and_for_all() -> None:
    suites = [
        Suite(
            "a", [Case("passes", "a.x"), Case("fails", "a.x", trouble=Trouble("failure", "no", "no\nnever"))]
        ),
        Suite("b", [Case("breaks", "b", trouble=Trouble("error", "unreadable"))]),
        Suite("c", [Case("waits", "c", trouble=Trouble("skipped", "not chosen"))]),
    ]
    root = ElementTree.fromstring(junit(suites).encode())
    counts = ("tests", "failures", "errors", "skipped")
    assert [root.get(count) for count in counts] == ["4", "1", "1", "1"]
    assert [[suite.get(count) for count in counts] for suite in root] == [
        ["2", "1", "0", "0"],
        ["1", "0", "1", "0"],
        ["1", "0", "0", "1"],
    ]


def test_a_case_says_where_it_is_written_and_why_it_did_not_pass() -> None:
    case = Case(
        "no", "a.x", "policies/a/cases/x.yaml", 7, Trouble("failure", "not so", "so\nnot so", "wrong")
    )
    text = junit([Suite("a", [case])], name="gpuward test")
    assert text == (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        '<testsuites name="gpuward test" tests="1" failures="1" errors="0" skipped="0">\n'
        '  <testsuite name="a" tests="1" failures="1" errors="0" skipped="0">\n'
        '    <testcase name="no" classname="a.x" file="policies/a/cases/x.yaml" line="7">\n'
        '      <failure message="not so" type="wrong">so\nnot so</failure>\n'
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_what_no_xml_document_can_hold_is_written_out() -> None:
    case = Case("red \x1b[31m \x00 \ud800 \uffff", "<&>\"'", trouble=Trouble("failure", "a\nb\t\x07"))
    (found,) = ElementTree.fromstring(junit([Suite("s", [case])]).encode())[0]
    assert found.get("name") == "red \\x1b[31m \\x00 \\ud800 \\uffff"
    assert found.get("classname") == "<&>\"'"
    assert found[0].get("message") == "a\nb\t\\x07"
    assert found[0].text == "a\nb\t\\x07"


@given(st.text(alphabet=st.characters()), st.text(alphabet=st.characters()))
def test_every_text_can_be_reported(name: str, text: str) -> None:
    report = junit([Suite(name, [Case(name, name, name, 1, Trouble("failure", text, text, text))])])
    ElementTree.fromstring(report.encode("utf-8"))
