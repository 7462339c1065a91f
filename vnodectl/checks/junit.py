"""JUnit XML, as CI systems read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

# https://www.w3.org/TR/xml/#charsets: no other control character may occur, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Case:
    """One test case. At most one of `failure`, `error` and `skipped` is not empty; `seconds` of run time.

    `error` is for what could not be found out (no answer, a time-out), `failure` for a bad answer.
    """

    classname: str
    name: str
    seconds: float = 0.0
    failure: str = ""
    error: str = ""
    skipped: str = ""
    output: str = ""


def document(suite: str, cases: Sequence[Case], seconds: float) -> str:
    """One XML document with one suite."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(bool(case.failure) for case in cases)),
        "errors": str(sum(bool(case.error) for case in cases)),
        "skipped": str(sum(bool(case.skipped) for case in cases)),
        "time": f"{seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", counts)
    parent = ElementTree.SubElement(root, "testsuite", {"name": suite, **counts})
    for case in cases:
        _add(parent, case)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add(parent: ElementTree.Element, case: Case) -> None:
    names = {"classname": _clean(case.classname), "name": _clean(case.name)}
    attributes = {**names, "time": f"{case.seconds:.3f}"}
    element = ElementTree.SubElement(parent, "testcase", attributes)
    for tag, text in (("failure", case.failure), ("error", case.error)):
        if text:
            child = ElementTree.SubElement(element, tag, {"message": _clean(text.splitlines()[0])})
            child.text = _clean(text)
    if case.skipped:
        ElementTree.SubElement(element, "skipped", {"message": _clean(case.skipped)})
    if case.output:
        ElementTree.SubElement(element, "system-out").text = _clean(case.output)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
