"""SARIF against the classes generated from its schema, and GitHub's annotations as its runner reads them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pages import full_run

from opfuzz.core.cause import Cause
from opfuzz.core.comparison import Accepted
from opfuzz.core.errors import OpfuzzError
from opfuzz.report.run import github, sarif
from opfuzz.report.run.cause_lines import faulty, findings_of, with_causes
from opfuzz.report.run.places import place_of
from opfuzz.spec.lines import call_lines
from opfuzz.store.baseline import counting

SPEC = """\
op: gelu
summary: "x"
calls:
  torch:
    plain: gelu(x)

    tanh: gelu(x, approximate="tanh")
  # between
  mlx: nn.gelu(x)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with faults and notes, each with the line of its call."""
    found = with_causes(full_run(tmp_path_factory.mktemp("run")))
    return replace(found, places={each.id: ("specs/a b/op,1.yaml", 7) for each in found.findings})


def test_the_line_of_each_call(tmp_path):
    path = tmp_path / "gelu.yaml"
    path.write_text(SPEC)
    assert call_lines(path) == {"torch": 4, "torch/plain": 5, "torch/tanh": 7, "mlx": 9}
    path.write_text("calls: 3\n")
    assert call_lines(path) == {}
    path.write_text("{")
    assert call_lines(path) == {}
    assert call_lines(tmp_path / "none.yaml") == {}


def test_an_older_run_is_pointed_at_in_the_copy_beside_the_finding(run, tmp_path):
    finding = replace(run.findings[0], subject="torch:cpu/tanh")
    older = replace(run, places={})
    assert place_of(older, finding, tmp_path) is None
    copy = tmp_path / "findings" / finding.id / "spec.yaml"
    copy.parent.mkdir(parents=True)
    copy.write_text(SPEC)
    place = place_of(older, finding, tmp_path)
    assert (place.path, place.line) == (str(copy), 7)


# SARIF


def test_it_holds_to_the_schema(run, tmp_path):
    generated = pytest.importorskip("fluidattacks_core.sarif", reason="no classes here: pip install 'opfuzz[test]'")
    for each in (run, replace(run, places={}), replace(run, findings=(), causes=())):
        text = sarif.render(each, tmp_path)
        log = generated.SarifLog.model_validate_json(text)
        assert len(log.runs[0].results or []) == len(each.findings)
    broken = json.loads(text) | {"version": "2.0"}
    with pytest.raises(ValueError, match="version"):
        generated.SarifLog.model_validate(broken)


def test_each_finding_is_a_result_of_its_rule_at_its_call(run, tmp_path):
    (told,) = json.loads(sarif.render(run, tmp_path))["runs"]
    rules = told["tool"]["driver"]["rules"]
    for finding, result in zip(run.findings, told["results"], strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == ("error" if finding.severity == "fault" else "note")
        assert result["partialFingerprints"]["opfuzzFinding/v1"] == finding.id
        place = result["locations"][0]["physicalLocation"]
        assert place == {"artifactLocation": {"uri": "specs/a%20b/op%2C1.yaml"}, "region": {"startLine": 7}}
    assert len({rule["id"] for rule in rules}) == len(rules)


def test_what_is_accepted_is_suppressed_with_its_reason(run, tmp_path):
    first = next(finding for finding in run.findings if finding.severity == "fault")
    entry = Accepted(
        *(first.id, first.op, first.subject, first.format, first.verdict, first.relation, "known", "2026-01-01")
    )
    (told,) = json.loads(sarif.render(replace(run, accepted=(entry,)), tmp_path))["runs"]
    suppressed = {
        result["partialFingerprints"]["opfuzzFinding/v1"]: result["suppressions"]
        for result in told["results"]
        if "suppressions" in result
    }
    assert suppressed == {first.id: [{"kind": "external", "status": "accepted", "justification": "known"}]}


# GitHub: as its runner reads a line, so that what was written comes back.

COMMAND = re.compile(r"::(?P<name>error|warning|notice) (?P<properties>[^\n]*?)::(?P<message>[^\n]*)")


def read(line: str) -> tuple[str, dict[str, str], str]:
    found = COMMAND.fullmatch(line)
    assert found, line

    def plain(text: str) -> str:
        for code, character in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            text = text.replace(code, character)
        return text

    properties = dict(each.split("=", 1) for each in found["properties"].split(","))
    return found["name"], {key: plain(value) for key, value in properties.items()}, plain(found["message"])


def test_an_annotation_for_each_cause_of_faults(run, tmp_path):
    *told, last = map(read, github.render(run, tmp_path).splitlines())
    assert len(told) == len(faulty(run)) > 0
    failing = {*counting(run)}
    for common, (name, properties, message) in zip(faulty(run), told, strict=True):
        assert name == ("error" if failing.intersection(common.findings) else "warning")
        assert (properties["file"], properties["line"]) == ("specs/a b/op,1.yaml", "7")
        assert properties["title"].startswith(f"{common.framework}: ")
        assert message.endswith(f"opfuzz show {common.id}")
    assert last[0] == "notice"
    assert last[1] == {"title": "opfuzz"}


def test_nothing_that_a_framework_says_is_a_command_of_its_own(run, tmp_path):
    common = faulty(run)[0]
    hostile = replace(
        common,
        framework="a,b::c%0A\r\n::error::x",
        smallest=replace(common.smallest, call="f(x)\n::set-env name=A::b%3A"),
    )
    text = github.render(replace(run, causes=(hostile,)), tmp_path)
    first, *_, last = text.splitlines()
    _, properties, message = read(first)
    assert set(properties) == {"file", "line", "title"}
    assert properties["title"].startswith("a,b::c%0A")
    assert "b%3A" in message
    assert read(last)[0] == "notice"


def test_a_file_that_is_not_below_is_not_named(run, tmp_path):
    far = replace(run, places={each.id: ("/elsewhere/op.yaml", 7) for each in run.findings})
    for line in github.render(far, tmp_path).splitlines():
        assert set(read(line)[1]) == {"title"}
    assert '"uri": "file:///elsewhere/op.yaml"' in sarif.render(far, Path("reports/x"))


def test_a_link_in_what_a_spec_says_is_none_in_sarif(run, tmp_path):
    cause = Cause("is-variant", "tanh", figures={"note": "[here](http://evil.example)"})
    one = replace(run, findings=(replace(run.findings[0], cause=cause, causes=()),))
    (result,) = json.loads(sarif.render(one, tmp_path))["runs"][0]["results"]
    assert "[here] (http://evil.example)" in result["message"]["text"]


@pytest.mark.parametrize(("failing", "more"), [(12, "; 2 more causes"), (11, "; 1 more cause in"), (6, "")])
def test_github_shows_ten_errors_and_ten_warnings(run, tmp_path, failing, more, monkeypatch):
    common = faulty(run)[0]
    causes = [replace(common, id=f"{n:012x}", findings=(f"{n:012x}",)) for n in range(failing + 6)]
    many = replace(run, causes=tuple(causes))
    monkeypatch.setattr(github, "counting", lambda run: [each.findings[0] for each in causes[:failing]])
    *_, notice = github.render(many, tmp_path).splitlines()
    assert more in notice
    assert ("more cause" in notice) == bool(more)


def test_the_beginning_of_several_causes_is_told_as_that(run):
    causes = tuple(replace(common, id=f"zz{common.id[2:]}") for common in run.causes[:2])
    with pytest.raises(OpfuzzError, match=r"^'zz' begins 2 causes of .*; write more of it$"):
        findings_of(replace(run, causes=causes), "zz")
