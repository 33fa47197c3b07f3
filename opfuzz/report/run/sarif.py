"""A run as SARIF 2.1.0, the format of static analysis that code hosts and editors show: a finding is a result."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from opfuzz.core.cause import KINDS, Cause
from opfuzz.core.comparison import ACCEPTED
from opfuzz.core.files.strict_json import strict
from opfuzz.core.findings import Finding
from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT
from opfuzz.report.run.cause_lines import with_causes
from opfuzz.report.run.places import place_of
from opfuzz.report.text import plain, said, shown

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
PROPERTIES = ("op", "subject", "format", "verdict", "cases", "ulp", "excess")
LEVELS = {FAULT: "error"}  # by severity; of all others a note


def render(run: Run, folder: Path) -> str:
    """The whole run: a rule for each kind of cause, a result for each finding, at the call in the spec.

    What somebody accepted is suppressed, with the reason. A result is known by the id of its finding, which is equal in
    every run, and by that of its cause.
    """
    run = with_causes(run)
    kinds = sorted({_kind(finding) for finding in run.findings})
    driver = {
        "name": "opfuzz",
        "semanticVersion": run.versions.get("opfuzz", "0"),
        "rules": [_rule(kind) for kind in kinds],
    }
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "automationDetails": {"id": f"opfuzz/{','.join(run.subjects)}/{run.run}"},
                "columnKind": "utf16CodeUnits",
                "invocations": [
                    {
                        "executionSuccessful": not run.interrupted,
                        "commandLine": plain(shlex.join(run.command)),
                        "startTimeUtc": f"{datetime.fromisoformat(run.started).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
                    }
                ],
                "results": [_result(finding, kinds, run, folder) for finding in run.findings],
            }
        ],
    }
    return json.dumps(strict(document), indent=1, allow_nan=False) + "\n"


def _cause(finding: Finding) -> Cause:
    return finding.causes[0] if finding.causes else finding.cause


def _kind(finding: Finding) -> str:
    return _cause(finding).kind or "unexplained"


def _rule(kind: str) -> dict[str, Any]:
    meaning = KINDS[kind].meaning
    return {
        "id": kind,
        "name": "".join(word.capitalize() for word in kind.split("-")),
        "shortDescription": {"text": meaning},
        "fullDescription": {"text": f"{meaning[:1].upper()}{meaning[1:]}."},
        "help": {"text": "opfuzz show FINDING prints the finding, opfuzz repro makes its call again."},
    }


def _result(finding: Finding, kinds: list[str], run: Run, folder: Path) -> dict[str, Any]:
    kind = _kind(finding)
    where = f"{finding.op} on {finding.subject} in {finding.format}"
    common = next((each for each in run.causes if finding.id in each.findings), None)
    element = shown(finding.witness)
    text = f"{where}: {finding.verdict}: {said(finding)}{f'; {element}' if element else ''}"
    result: dict[str, Any] = {
        "ruleId": kind,
        "ruleIndex": kinds.index(kind),
        "level": LEVELS.get(finding.severity, "note"),
        "message": {"text": _message(text)},
        "locations": [_location(finding, run, folder, where)],
        "partialFingerprints": {
            "opfuzzFinding/v1": finding.id,
            **({} if common is None else {"opfuzzCause/v1": common.id}),
        },
        "properties": {
            **{
                name: getattr(finding, name)
                for name in ("op", "subject", "format", "verdict", "cases", "ulp", "excess")
            },
            "reproducer": f"findings/{finding.id}",
        },
    }
    if (reason := _accepted(run).get(finding.id)) is not None:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": plain(reason) or "none"}]
    return result


def _message(text: str) -> str:
    """A text in which `[words](address)` is no link, as it would be in a message of SARIF (2.1.0, section 3.11.6)."""
    return plain(text).replace("](", "] (")


def _accepted(run: Run) -> Mapping[str, str]:
    return {entry.id: entry.reason for entry in run.accepted if entry.status == ACCEPTED}


def _location(finding: Finding, run: Run, folder: Path, where: str) -> dict[str, Any]:
    named = {"logicalLocations": [{"fullyQualifiedName": plain(where), "kind": "function"}]}
    place = place_of(run, finding, folder)
    if place is None:
        return named
    path = Path(place.path)
    uri = quote(path.as_posix()) if place.is_near else path.as_uri()
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": place.line}}, **named}
