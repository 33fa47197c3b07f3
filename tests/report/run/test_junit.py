"""JUnit XML: what readers of such files rely on, whatever a framework says in its messages."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from results import result, told
from test_text_reports import HOSTILE, run_of

from opfuzz.core.call import Call
from opfuzz.core.comparison import Accepted
from opfuzz.core.findings import Minimal
from opfuzz.core.trigger import Condition, Trigger
from opfuzz.report.run.junit import render

FOLDER = Path("reports/r")

# What junit-10.xsd of Jenkins requires and allows: attributes of each element, and its children in this order.
REQUIRED = {
    "testsuites": set(),
    "testsuite": {"name", "tests", "failures", "errors"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "classname"},
    "failure": set(),
    "skipped": set(),
    "system-out": set(),
}
ALLOWED = {
    "testsuites": {"name", "time", "tests", "failures", "errors", "disabled", "skipped"},
    "testsuite": {"skipped", "time", "timestamp", "hostname", "id", "package"},
    "failure": {"message", "type"},
    "skipped": {"message", "type"},
}
CHILDREN = {
    "testsuites": ("testsuite",),
    "testsuite": ("properties", "testcase", "system-out", "system-err"),
    "properties": ("property",),
    "testcase": ("skipped", "error", "failure", "system-out", "system-err"),
}


def checked(text: str) -> ET.Element:
    """The document, if it keeps the rules."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        assert REQUIRED[element.tag] <= set(element.attrib) <= REQUIRED[element.tag] | ALLOWED.get(element.tag, set())
        order = CHILDREN.get(element.tag, ())
        places = [order.index(child.tag) for child in element]
        assert places == sorted(places)
    for suite in root:
        tests = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(tests)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
        names = [(test.attrib["classname"], test.attrib["name"]) for test in tests]
        assert len(set(names)) == len(names)
    for name in ("tests", "failures", "errors", "skipped"):
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root)
    return root


def test_a_suite_a_subject_and_a_test_an_op_and_format():
    run = run_of(
        result(0, "exact"),
        result(0, "wrong", format="float16"),
        result(0, "unsupported", op="relu", elements=0, reason="no kernel"),
        result(0, "normwise", op="matmul", subject="mlx:cpu"),
        subjects=("torch:cpu", "mlx:cpu"),
    )
    root = checked(render(run, FOLDER))
    assert [(s.attrib["name"], s.attrib["tests"], s.attrib["failures"], s.attrib["skipped"]) for s in root] == [
        ("torch:cpu", "3", "1", "1"),
        ("mlx:cpu", "1", "0", "0"),
    ]
    assert [test.attrib["name"] for test in root[0].iter("testcase")] == [
        "gelu float16",
        "gelu float32",
        "relu float32",
    ]
    assert root.find(".//skipped").attrib["message"] == "unsupported: no kernel"
    assert root.find(".//testcase[@name='matmul float32']/system-out").text.startswith("normwise: reason 0")


def test_a_failure_says_what_when_and_how_to_see_it():
    run = run_of(result(0, "wrong"), result(1, "special"))
    by_verdict = {finding.verdict: finding for finding in run.findings}
    trigger = Trigger((Condition("size", "n >= 4", {}),))
    call = Call("float32", {"n": 2}, {}, {}, {})
    minimal = Minimal(call, 4, 100, 9, "", trigger)
    worst = dataclasses.replace(by_verdict["special"], causes=(told("NaN for -inf"),), minimal=minimal)
    run = dataclasses.replace(run, findings=(by_verdict["wrong"], worst))
    (failure,) = checked(render(run, FOLDER)).iter("failure")
    assert failure.attrib["type"] == "special"
    assert failure.attrib["message"].startswith("special: NaN for -inf; fails when n >= 4; ")
    first, second = failure.text.split("\n\n")
    assert first.splitlines()[:2] == ["special: NaN for -inf", f"trigger: {trigger.words}"]
    assert f"reproducer: reports/r/findings/{worst.id}/repro.py" in first
    assert f"again: opfuzz repro reports/r/findings/{worst.id}" in first
    assert second.startswith("wrong: reason 0")
    assert re.search(r"^cause: [0-9a-f]{12}, NaN for -inf; in gelu$", first, re.MULTILINE)


def test_versions_and_what_is_absent_are_properties():
    run = run_of(result(0, "exact"), versions={"torch": "2.13"}, absent={"mlx:gpu": "no GPU"}, lost=("a climb",))
    found = {p.attrib["name"]: p.attrib["value"] for p in checked(render(run, FOLDER)).iter("property")}
    assert found["version torch"] == "2.13"
    assert (found["absent mlx:gpu"], found["lost"], found["interrupted"]) == ("no GPU", "a climb", "false")


def test_an_accepted_fault_fails_nothing_and_is_told():
    run = run_of(result(0, "wrong"), result(1, "special"))
    found = next(f for f in run.findings if f.verdict == "special")
    entry = Accepted(found.id, *found.signature[:3], "special", "reference", "on purpose", "2026-01-31")
    (failure,) = checked(render(dataclasses.replace(run, accepted=(entry,)), FOLDER)).iter("failure")
    assert (failure.attrib["type"], "special" in failure.text) == ("wrong", False)
    alone = dataclasses.replace(run, findings=(found,), accepted=(entry,))
    root = checked(render(alone, FOLDER))
    assert root.attrib["failures"] == "0"
    assert "special: reason 1\naccepted: on purpose\n" in root.find(".//system-out").text
    expired = dataclasses.replace(alone, accepted=(dataclasses.replace(entry, status="expired"),))
    assert checked(render(expired, FOLDER)).attrib["failures"] == "1"


def test_any_character_gives_valid_xml():
    every = "".join(map(chr, [*range(0x300), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x1F600, 0x10FFFF])) + "]]>&amp;\"'"
    harmed = run_of(
        result(0, "crash", op=f"a{HOSTILE}", reason=every + HOSTILE),
        result(0, "unsupported", op="relu", reason=every, elements=0),
        result(0, "normwise", op="tanh", reason=every),
        versions={every: every},
    )
    text = render(harmed, Path(f"reports/{HOSTILE}"))
    root = checked(text)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "<script" not in text
    failure = root.find(".//failure")
    assert "\N{GRINNING FACE}]]>&amp;\"'" in failure.attrib["message"].replace("\N{REPLACEMENT CHARACTER}", "")


def test_an_implementation_of_its_own_has_a_suite():
    run = run_of(result(0, "exact", subject="mlx:cpu/plain"), subjects=("mlx:cpu",))
    assert [(s.attrib["name"], s.attrib["tests"]) for s in checked(render(run, FOLDER))] == [
        ("mlx:cpu", "0"),
        ("mlx:cpu/plain", "1"),
    ]


def test_findings_of_recorded_outputs_lead_to_their_next_steps():
    run = run_of(result(0, "wrong", subject="swift"), recorded={"swift": ("case 1 of gelu in float32 (c1)",)})
    text = render(run, FOLDER)
    assert f"next steps: {FOLDER}/findings/{run.findings[0].id}/next.md" in text
    assert "repro" not in text
    assert '<property name="missing" value="missing: swift has neither' in text
