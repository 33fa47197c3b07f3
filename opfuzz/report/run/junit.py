"""The report as JUnit XML, which CI services show as tests: a suite a subject, a test an op and format."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from opfuzz.core.comparison import ACCEPTED
from opfuzz.core.findings import Finding
from opfuzz.core.run import Row, Run
from opfuzz.report.causes import title, word_finding, word_row
from opfuzz.report.run.cause_lines import cause_cells, faulty, with_causes
from opfuzz.report.run.news import news_lines
from opfuzz.report.text import missing_lines, plain, said, shown, without_gradient
from opfuzz.store.baseline import counting

# Attributes and order of elements are those that Jenkins' junit-10.xsd and Ant's schema both take. A test has no time:
# what one took is not measured. Every text goes through `plain`, which leaves no character that XML 1.0 forbids.


def render(run: Run, folder: Path) -> str:
    """The whole run; `folder` is where its findings lie, for the paths of reproducers.

    Faults are failures, what a subject cannot do is skipped; notes, and faults that somebody accepted, are told in the
    output of a test that passes. So are those of a run that was held against another, but for what made it fail.
    """
    run = with_causes(run)  # of an older run, gathered once and not for each finding
    suites = [_suite(run, subject, folder) for subject in _subjects(run)]
    root = ET.Element(
        "testsuites", {"name": plain(f"opfuzz {run.run}"), **_totals(suites), "time": f"{run.seconds:.3f}"}
    )
    root.extend(suites)
    ET.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def _subjects(run: Run) -> list[str]:
    """Those of the run, and one for each further implementation of an op."""
    return list(dict.fromkeys((*run.subjects, *(row.subject for row in run.ranking))))


def _suite(run: Run, subject: str, folder: Path) -> ET.Element:
    rows = sorted((row for row in run.ranking if row.subject == subject), key=lambda row: (row.op, row.format))
    known = {entry.id: entry.reason for entry in run.accepted if entry.status == ACCEPTED}
    failing = {*counting(run)}
    tests = [_test(row, [f for f in run.findings if _key(f) == _key(row)], known, failing, folder, run) for row in rows]
    started = datetime.fromisoformat(run.started).astimezone(UTC)
    suite = ET.Element(
        "testsuite",
        {"name": plain(subject), **_counts(tests), "timestamp": f"{started:%Y-%m-%dT%H:%M:%S}"},
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(run):
        ET.SubElement(properties, "property", {"name": plain(name), "value": plain(value)})
    suite.extend(tests)
    return suite


def _properties(run: Run) -> list[tuple[str, str]]:
    return [
        ("run", run.run),
        ("seed", str(run.seed)),
        ("interrupted", str(run.interrupted).lower()),
        *((f"version {name}", version) for name, version in run.versions.items()),
        *(run.machine.items()),
        *((f"absent {name}", reason) for name, reason in run.absent.items()),
        *((f"cause {common.id}", " ".join(cause_cells(common, run)[1:4])) for common in faulty(run)),
        *(("news", text) for text in news_lines(run)),
        *(("lost", text) for text in run.lost),
        *(("without gradient", text) for text in without_gradient(run)),
        *(("missing", text) for text in missing_lines(run)),
    ]


def _key(rated: Row | Finding) -> tuple[str, str, str]:
    return rated.op, rated.subject, rated.format


def _test(
    row: Row, findings: Sequence[Finding], known: Mapping[str, str], failing: Collection[str], folder: Path, run: Run
) -> ET.Element:
    test = ET.Element("testcase", {"classname": plain(row.subject), "name": plain(f"{row.op} {row.format}")})
    faults = [finding for finding in findings if finding.id in failing]
    if row.verdict == "unsupported":
        ET.SubElement(test, "skipped", {"message": plain(f"unsupported: {word_row(row)}")})
    elif faults:
        # One element for all of them: many readers show the first failure of a test and no other.
        first = min(faults, key=lambda finding: finding.id != row.finding)
        message = plain(f"{first.verdict}: {said(first)}")
        failure = ET.SubElement(test, "failure", {"type": plain(first.verdict), "message": message})
        failure.text = "\n\n".join(
            _words(finding, folder, run) for finding in (first, *(f for f in faults if f is not first))
        )
    others = [finding for finding in findings if finding not in faults]
    if others:
        told = (_words(finding, folder, run, known.get(finding.id, "")) for finding in others)
        ET.SubElement(test, "system-out").text = "\n\n".join(told)
    return test


def _words(finding: Finding, folder: Path, run: Run, accepted: str = "") -> str:
    place, is_recorded = folder / "findings" / finding.id, run.is_recorded(finding.subject)
    trigger = finding.minimal.trigger.words if finding.minimal and finding.minimal.trigger else ""
    common = next((each for each in run.causes if finding.id in each.findings), None)
    lines = (
        (finding.verdict, word_finding(finding)),
        ("accepted", accepted),
        ("trigger", trigger),
        ("element", shown(finding.witness)),
        ("next steps", f"{place / 'next.md'}") if is_recorded else ("reproducer", f"{place / 'repro.py'}"),
        ("again", "" if is_recorded else f"opfuzz repro {place}"),
        ("cause", f"{common.id}, {title(common)}; in {', '.join(common.ops)}" if common else ""),
    )
    return "\n".join(plain(f"{name}: {text}") for name, text in lines if text)


def _counts(tests: Sequence[ET.Element]) -> dict[str, str]:
    return {
        "tests": str(len(tests)),
        "failures": str(sum(test.find("failure") is not None for test in tests)),
        "errors": "0",
        "skipped": str(sum(test.find("skipped") is not None for test in tests)),
    }


def _totals(suites: Sequence[ET.Element]) -> dict[str, str]:
    names = ("tests", "failures", "errors", "skipped")
    return {name: str(sum(int(suite.attrib[name]) for suite in suites)) for name in names}
