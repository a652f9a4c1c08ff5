"""JUnit XML, as Jenkins and GitLab read it: what CI systems show of tests.

Plain data in, text out; who has something to report says what its suites and cases are.
Source: the junit-10.xsd of Jenkins' xunit plugin, and docs.gitlab.com "Unit test reports".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from msgspec import Struct

# What XML 1.0 does not allow, escaped or not: control characters, lone surrogates, two more. Source: w3.org/TR/xml,
# production 2 (Char).
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Trouble(Struct, frozen=True):
    """Why a case did not pass. One of its kinds is counted for the suite.

    ``failure``: it was run and something is wrong. ``error``: it could not be run. ``skipped``: nobody wanted to.
    ``message`` is one line, ``text`` everything there is to say.
    """

    kind: Literal["failure", "error", "skipped"]
    message: str
    text: str = ""
    type: str = ""


class Case(Struct, frozen=True):
    """One test. ``classname`` groups tests where a CI system lists them; ``file`` is where it is written, with a line
    from 1 (0: unknown). It has passed if it has no trouble."""

    name: str
    classname: str
    file: str = ""
    line: int = 0
    trouble: Trouble | None = None


class Suite(Struct, frozen=True):
    """Tests that belong together."""

    name: str
    cases: Sequence[Case]


def junit(suites: Sequence[Suite], name: str = "gpuward") -> str:
    """The report as an XML document, ending with a line break.

    Characters that no XML document can hold (control characters) are written as ``\\x1b``.
    """
    root = Element("testsuites", {"name": _plain(name), **_counts([c for s in suites for c in s.cases])})
    for suite in suites:
        element = SubElement(root, "testsuite", {"name": _plain(suite.name), **_counts(suite.cases)})
        for case in suite.cases:
            _add(element, case)
    indent(root)
    # Through bytes, so that the declaration names an encoding; the caller writes the text as UTF-8.
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document.decode("utf-8") + "\n"


def _add(suite: Element, case: Case) -> None:
    attributes = {"name": _plain(case.name), "classname": _plain(case.classname)}
    if case.file:
        attributes["file"] = _plain(case.file)
    if case.line:
        attributes["line"] = str(case.line)
    element = SubElement(suite, "testcase", attributes)
    trouble = case.trouble
    if trouble is not None:
        about = {"message": _plain(trouble.message)}
        if trouble.type:
            about["type"] = _plain(trouble.type)
        SubElement(element, trouble.kind, about).text = _plain(trouble.text or trouble.message)


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    kinds = [case.trouble.kind for case in cases if case.trouble is not None]
    return {
        "tests": str(len(cases)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
    }


def _plain(text: str) -> str:
    return _NOT_XML.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
