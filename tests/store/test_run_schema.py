"""`opfuzz schema run`: what a run wrote holds to it, and what no run writes does not."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from small_campaigns import SPECS, plugin

import opfuzz
from opfuzz.report.causes import describe
from opfuzz.store.read import read_run
from opfuzz.store.schema import run_schema
from opfuzz.store.write import SCHEMA, run_to_json

jsonschema = pytest.importorskip("jsonschema", reason="no jsonschema here: pip install 'opfuzz[test]'")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run with faults that are made smaller, and what it is held against."""
    folder = tmp_path_factory.mktemp("schema")
    again = {"ops": "square", "formats": "float32", "cases": 40, "shrink": "5s", "plugins": plugin(folder)}
    subjects = ["off:cpu", "raising:cpu", "undecided:cpu"]
    for baseline in (None, "latest"):
        run = opfuzz.run(SPECS, subjects=subjects, baseline=baseline, out=folder / "r", progress=False, **again)
    return json.loads((run.folder / "run.json").read_text())


@pytest.fixture(scope="module")
def validator():
    schema = run_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_what_a_run_writes_holds_to_it(written, validator):
    assert written["findings"]
    assert written["comparison"]
    assert any(finding["minimal"] for finding in written["findings"])
    assert [error.message for error in validator.iter_errors(written)] == []


CHANGES = {
    "another schema": lambda run: run.update(schema=SCHEMA - 1),
    "a key that is none": lambda run: run.update(rnu="x"),
    "a number as text": lambda run: run.update(cases="7"),
    "a kind that is none": lambda run: run["findings"][0]["cause"].update(kind="magic"),
    "a row without its op": lambda run: run["ranking"][0].pop("op"),
    "a witness without what was computed": lambda run: run["findings"][0]["witness"].pop("computed"),
    "an element of text": lambda run: run["findings"][0]["witness"].update(index=["0"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_no_run_writes_does_not(name, written, validator):
    document = copy.deepcopy(written)
    document["findings"] = [finding for finding in document["findings"] if finding["witness"]]
    CHANGES[name](document)
    assert not validator.is_valid(document)


def test_it_has_its_number_and_says_what_each_record_is():
    schema = run_schema()
    assert schema["$id"] == f"urn:opfuzz:run:{SCHEMA}"
    assert schema["properties"]["schema"] == {"const": SCHEMA}
    assert all(each["description"] for each in schema["$defs"].values())
    assert {"Row", "Finding", "CommonCause", "Cause", "Witness", "Comparison"} <= {*schema["$defs"]}


@pytest.mark.parametrize("schema", [1, 2])
def test_runs_of_the_schemas_before_are_read_and_written_as_of_this_one(schema, validator):
    """Real runs of earlier versions; what is written of them again holds to the schema of now."""
    path = {1: Path(__file__).with_name("schema_1.json"), 2: ROOT / "reports" / "example" / "run.json"}[schema]
    document = json.loads(path.read_text())
    if document["schema"] != schema:
        pytest.skip(f"{path} is of schema {document['schema']} by now")
    run = read_run(path)
    assert [finding.id for finding in run.findings] == [finding["id"] for finding in document["findings"]]
    again = {"schema": SCHEMA, **run_to_json(run, describe)}
    assert [error.message for error in validator.iter_errors(again)] == []


def test_what_schema_2_said_of_changes_is_told(tmp_path):
    old = json.loads((ROOT / "reports" / "example" / "run.json").read_text())
    finding = old["findings"][0]
    place = {name: finding[name] for name in ("id", "op", "subject", "format", "verdict", "severity")}
    remarks = ({"kind": "cases-differ", "why": "seed"}, {"kind": "none"})
    changes = [{**place, "status": "new", "remark": remarks[0]}, {**place, "status": "unseen", "remark": remarks[1]}]
    comparison = {"before": "a", "after": "b", "differ": "seed", "findings": changes, "rows": [], "versions": {}}
    (tmp_path / "run.json").write_text(json.dumps({**old, "schema": 2, "comparison": comparison}))
    (change,) = read_run(tmp_path).comparison.findings
    assert (change.remark.kind, change.remark.about) == ("told", "not tried before, or new: the cases differ")
