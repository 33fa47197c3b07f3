"""Runs read back: the same record, the same JSON, and one line for a file that is none."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from results import result, witness
from runs_of_rows import fault, run_of

from opfuzz.core.call import Call, Recipe
from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.comparison import Accepted, Change, Comparison, Remark, Shift
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Minimal, Standing
from opfuzz.core.relation import Relation
from opfuzz.core.results import Mark
from opfuzz.core.trigger import Condition, Trigger
from opfuzz.report.causes import describe, word_finding, word_row
from opfuzz.store.read import find_run, read_run
from opfuzz.store.write import SCHEMA, to_json, write_run

INF, NAN = math.inf, math.nan
CALL = Call("float32", {"n": 3}, {"eps": 1e-5, "mode": "tanh", "flag": True}, {"x": np.ones(3)}, {"x": "offset"})
TRIGGER = Trigger((Condition("size", "n >= 3", {"name": "n", "from": 3, "all": [1, 2]}),), 12, 11, False)
CAUSES = (Cause("special-at", "", Relation("view", "x", "stepped"), {"computed": NAN, "exact": -INF, "overflows": ""}),)
MINIMAL = Minimal(CALL, 4, 900, 31, "it comes and goes", TRIGGER, {"x": "contiguous"}, True)


@pytest.fixture
def whole():
    """A run that has one of everything, with numbers that JSON has no words for."""
    odd = result(0, "special", INF, excess=NAN, conditioned=INF)
    run = run_of(odd, result(1, "exact", 0.5), fault(op="tanh"))
    shown = witness(mark=Mark((3, 0), NAN, "0x7fc00000", -INF, NAN, 0.0), inputs={"x": (INF, -0.0), "i": (4.0,)})
    first, *others = run.findings
    findings = (
        dataclasses.replace(first, witness=shown, recipe=Recipe(call=CALL), minimal=MINIMAL, causes=CAUSES),
        *others,
    )
    accepted = Accepted(
        "a", "gelu", "torch:cpu", "float32", "wrong", "reference", "known", "2026-01-31", None, "https://a"
    )
    comparison = Comparison(
        "20260101-000000-s0", run.run, "", {"torch": ("2.11", "2.12")},
        (Change("new", "a", "gelu", "torch:cpu", "float32", "wrong", "fault", Remark("back")),),
        (Shift("worse", "gelu", "mlx:cpu", "float32", ("exact", "wrong"), "fault", (0.5, INF), (0.1, NAN), None,
               "excess"),),
        3,
    )  # fmt: skip
    return dataclasses.replace(
        run,
        findings=findings,
        distances=({"op": "gelu", "format": "float32", "a": "a", "b": "b", "max_ulp_distance": INF},),
        profile="decoder",
        seed=2**64 - 1,
        replayed=(Standing("a", "gelu", "torch:cpu", "float32", "wrong", "wrong", "back", UNEXPLAINED, is_new=True),),
        lost=("climbing gelu",),
        comparison=comparison,
        accepted=(accepted,),
    )


def document(run):
    return json.loads(json.dumps(to_json(run), allow_nan=False))


def test_what_is_read_is_what_was_written(whole, tmp_path):
    write_run(whole, tmp_path, describe)
    for place in (tmp_path, tmp_path / "run.json"):
        read = read_run(place)
        assert document(read) == document(whole)
        assert {type(getattr(read, field.name)) for field in dataclasses.fields(read)} == {
            type(getattr(whole, field.name)) for field in dataclasses.fields(whole)
        }
    finding, was = read.findings[0], whole.findings[0]
    assert finding.signature == was.signature
    assert finding.minimal.trigger == TRIGGER
    assert finding.minimal.trigger.words == TRIGGER.words
    assert (finding.minimal.call.params, dict(finding.minimal.call.arrays)) == (CALL.params, {})
    assert finding.witness.mark.index == (3, 0)
    assert math.isnan(finding.witness.mark.computed)
    assert finding.witness.inputs == was.witness.inputs
    assert math.copysign(1, finding.witness.inputs["x"][1]) == -1
    assert read.distances[0]["max_ulp_distance"] == INF
    assert [row for row in read.ranking if row.op == "tanh"] == [row for row in whole.ranking if row.op == "tanh"]
    assert read.comparison.versions == whole.comparison.versions
    assert (read.accepted, read.replayed, read.seed) == (whole.accepted, whole.replayed, 2**64 - 1)


def test_a_run_from_before_there_were_all_fields_can_be_read(whole, tmp_path):
    write_run(whole, tmp_path, describe)
    old = json.loads((tmp_path / "run.json").read_text())
    for name in ("planned", "comparison", "accepted", "lost", "replayed", "profile"):
        del old[name]
    for row in old["ranking"]:
        del row["drift"]
    (tmp_path / "run.json").write_text(json.dumps(old))
    read = read_run(tmp_path)
    assert (read.planned, read.comparison, read.accepted, read.replayed) == (None, None, (), ())
    assert {row.drift for row in read.ranking} == {None}


def set_to(*path):
    """Sets the field at a path, all but the last, to the last."""
    *way, name, value = path

    def change(document):
        for step in way:
            document = document[step]
        document[name] = value
        return document

    return change


DAMAGES = [
    (set_to("schema", SCHEMA + 1), f"schema {SCHEMA + 1} is of a newer opfuzz, this one reads up to {SCHEMA}"),
    (set_to("schema", "1"), "schema is '1', not a whole number"),
    (set_to("seed", True), "run.seed is True, not a whole number"),
    (set_to("sede", 1), "unknown key 'sede'; did you mean 'seed'?"),
    (set_to("ranking", 0, "max_ulp", "many"), "run.ranking[0].max_ulp: 'many' is no number"),
    (set_to("ranking", {}), "run.ranking is {}, not a list"),
    (set_to("findings", 0, "verdict", "odd"), "verdict 'odd' of severity 'fault'"),
    (set_to("findings", 0, "severity", "clean"), "verdict 'special' of severity 'clean'"),
    (set_to("findings", 0, "witness", "index", [1.5]), "run.findings[0].witness.index[0] is 1.5, not a whole number"),
    (set_to("findings", 0, "minimal", "trigger", "conditions", 4), "run.findings[0].minimal.trigger: not a trigger"),
    (set_to("run", "../../etc"), "run is '../../etc', not the name of a folder"),
    (set_to("started", "noon"), "Invalid isoformat string: 'noon'"),
    (set_to("started", "1969-12-31T12:00:00+00:00"), "run.started is '1969-12-31T12:00:00+00:00', not a time since"),
    (set_to("cases", 2**63), f"run.cases is {2**63}, beyond 64 bits"),
    (set_to("ranking", 0, "elements", -(2**63) - 1), f"run.ranking[0].elements is {-(2**63) - 1}, beyond 64 bits"),
    (set_to("seconds", 2**63), f"run.seconds is {2**63}, beyond 64 bits"),
    (set_to("seconds", "nan"), "run.seconds is nan, not finite"),
    (set_to("seed", 2**64), f"run.seed is {2**64}, beyond 64 bits"),
    (set_to("seed", -1), "run.seed is -1, beyond 64 bits"),
    (set_to("ranking", 0, "op", "a\ud800"), r"half a character, '\ud800', in a text"),
    (set_to("versions", "\udfff", "1"), r"half a character, '\udfff', in a text"),
    (set_to("distances", 0, "b", 3), "distances.b is 3, not text"),
    (set_to("versions", ["torch"]), "run.versions is ['torch'], not an object"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[words[:30] for _, words in DAMAGES])
def test_a_damaged_run_is_one_line(damage, words, whole, tmp_path):
    write_run(whole, tmp_path, describe)
    found = json.loads((tmp_path / "run.json").read_text())
    damage(found)
    (tmp_path / "run.json").write_text(json.dumps(found))
    with pytest.raises(OpfuzzError) as caught:
        read_run(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'run.json'}: no run that this opfuzz can read: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"schema": 1}', '{"schema": 1e400}', "\x00", "[" * 99])
def test_what_is_no_run_is_one_line(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OpfuzzError, match=r"run\.json: no run that this opfuzz can read: \S"):
        read_run(tmp_path)


def test_a_missing_run_says_what_to_give(tmp_path):
    with pytest.raises(OpfuzzError, match=r"cannot be read: No such file or directory; give a run's folder, or its"):
        read_run(tmp_path / "nowhere")


@pytest.fixture
def reports(tmp_path):
    """Three runs, one that is not finished, a folder of another kind, and one with a name of its own."""
    for name in ("20260131-142530-s0", "20260131-142530-s0-2", "20260201-142530-s1", "example", "20260301-000000-s2"):
        (tmp_path / name).mkdir()
        if not name.endswith("s2"):
            write_run(
                run_of(fault(), name=name if name != "example" else "20260101-000000-s9"), tmp_path / name, describe
            )
    (tmp_path / "corpus").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("latest", "20260201-142530-s1"),
        ("20260131-142530-s0", "20260131-142530-s0"),  # though another one begins so
        ("20260201", "20260201-142530-s1"),
        ("exam", "example"),
    ],
)
def test_a_run_is_found(text, name, reports):
    assert find_run(text, reports) == reports / name


def test_a_run_is_found_by_its_path(reports):
    for path in (reports / "example", reports / "example" / "run.json"):
        assert find_run(str(path), reports / "none") == path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026", "'2026' begins the names of 3 runs: 20260131-142530-s0, 20260131-142530-s0-2, 20260201-142530-s1"),
        ("exmaple", "no finished run 'exmaple'; did you mean 'example'?"),
        ("20260301-000000-s2", "no finished run '20260301-000000-s2'; did you mean"),
        ("", "no finished run ''; give a run's name or path, or latest"),
        ("corpus", "no finished run 'corpus'"),
    ],
)
def test_a_run_that_is_not_there(text, words, reports):
    with pytest.raises(OpfuzzError) as caught:
        find_run(text, reports)
    assert words in str(caught.value)


def test_no_latest_without_runs(tmp_path):
    with pytest.raises(OpfuzzError, match="no finished run here; make one with opfuzz run"):
        find_run("latest", tmp_path / "nowhere")


def test_a_run_of_the_schema_before_is_read_with_its_words():
    """A real run of an older opfuzz, cut down to a few rows."""
    path = Path(__file__).with_name("schema_1.json")
    was, read = json.loads(path.read_text()), read_run(path)
    assert [word_row(row) for row in read.ranking] == [row["reason"] for row in was["ranking"]]
    for finding, then in zip(read.findings, was["findings"], strict=True):
        assert (finding.id, list(finding.signature)) == (then["id"], then["signature"])
        assert word_finding(finding) == (then["diagnosis"] or then["reason"]).rstrip(".")
        assert finding.cause.kind == "told"


@pytest.mark.parametrize("broken", ["ranking", "findings"])
def test_a_damaged_run_of_the_schema_before_is_refused(broken, tmp_path):
    old = json.loads(Path(__file__).with_name("schema_1.json").read_text())
    old[broken] = [{"reason": 3}]
    (tmp_path / "run.json").write_text(json.dumps(old))
    with pytest.raises(OpfuzzError, match="no run that this opfuzz can read"):
        read_run(tmp_path)
