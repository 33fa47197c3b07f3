"""Recorded outputs judged: the same scores as a direct run, and findings that say how to go on."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import several_outputs
from bundles import opfuzz
from exports import exported, plan_of, read
from safetensors.numpy import load_file, save_file
from small_campaigns import SPECS, plugin

from opfuzz.backends import discover
from opfuzz.core.call import Recipe
from opfuzz.core.findings import Finding
from opfuzz.core.run import Row
from opfuzz.engine.drivers.judge_recorded import Jury, conclude_recorded, judge
from opfuzz.engine.drivers.record_outputs import record
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.finish import Occasion
from opfuzz.engine.plan import Plan, load_specs, vocabulary
from opfuzz.judge.ranking import Ranking
from opfuzz.report.causes.sentences import word_row
from opfuzz.store.bundle import read_bundle
from opfuzz.store.exchange import Export, OutputRecorder, arrays_of, read_recorded
from opfuzz.store.read import read_run
from opfuzz.store.write import new_folder, to_json


def direct(plan: Plan, monkeypatch) -> Ranking:
    """What a run says of the plan, without other ways to the same result: those calls nobody recorded."""
    monkeypatch.setattr(Bench, "_relate", lambda self, own, output, case, *_: (own, Recipe(case)))
    bench, ranking = Bench(plan), Ranking()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for op, fmt in plan.pairs():
            for number in range(plan.cases or 0):
                ranking.add(bench.examine(CaseItem(op, fmt, number)))
    return ranking


def test_recording_and_judging_gives_the_scores_of_a_direct_run(tmp_path, monkeypatch):
    path, subjects = plugin(tmp_path), ("numpy:cpu", "off:cpu", "raising:cpu")
    backends = discover((path,))
    export = exported(tmp_path / "cases", plan_of(each=24, seed=3))
    record(export, {text: OutputRecorder(export, text, {}, {}) for text in subjects}, (path,), backends, jobs=2)
    found = judge(Jury(read(export.place), tuple(read_recorded(export, text) for text in subjects), jobs=2)).ranking
    plan = Plan(load_specs([SPECS], backends), subjects, seed=3, jobs=1, plugins=(path,), cases=24)
    expected = direct(plan, monkeypatch)
    assert [_told(row) for row in found.rows()] == [_told(row) for row in expected.rows()]
    assert [_untold(finding) for finding in found.findings()] == [_untold(finding) for finding in expected.findings()]
    assert _distances(found) == _distances(expected)
    verdicts = {(row.op, row.subject, row.format): row.verdict for row in found.rows()}
    assert verdicts["mean", "numpy:cpu/doubled", "float32"] == "wrong"
    assert verdicts["mean", "numpy:cpu/plain", "bfloat16"] == "unsupported"
    assert verdicts["square", "raising:cpu", "float64"] == "crash"


def _untold(finding: Finding) -> Any:
    """A finding without the kind of its cause: a recorded failure is known by its words."""
    return {key: value for key, value in to_json(finding).items() if key not in {"cause", "causes"}}


def _told(row: Row) -> Any:
    """A row's figures and the words of its cause, which a recorded failure keeps as words alone."""
    return to_json(replace(row, cause=None)), word_row(row)


def _distances(ranking: Ranking) -> dict[tuple[str, str, frozenset[str]], float]:
    """In which no subject stands first."""
    return {(op, fmt, frozenset((a, b))): distance for (op, fmt, a, b), distance in ranking.distances.items()}


def computed(export: Export, name: str, change: Callable[[Any, Any], Any] = lambda case, values: values) -> Path:
    """Outputs of a program that squares, in float32; `change` gives None for what it leaves out."""
    place = export.place / "outputs" / name
    place.mkdir()
    outputs, lines = {}, []
    for entry in export.entries:
        case = entry.case
        if (case.op, case.format) != ("square", "float32"):
            lines.append(f"{case.id} unsupported only squares\n")
            continue
        values = change(entry, arrays_of(export, entry)["x"] ** 2)
        if values is not None:
            outputs[case.id] = values
    save_file(outputs, place / "outputs.safetensors")
    (place / "status.txt").write_text("".join(lines))
    return place


def off_at_the_end(entry: Any, values: Any) -> Any:
    """The last of more than eight values is a thousandth too large."""
    changed = values.copy()
    if changed.size > 8:
        changed[-1] *= np.float32(1.001)
    return changed


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Export:
    return exported(tmp_path_factory.mktemp("cases") / "cases", plan_of(each=12))


def run(capsys, monkeypatch, export: Export, out: Path, *words: str) -> tuple[int, str, str]:
    return opfuzz(capsys, monkeypatch, "cases", "judge", str(export.place), "--out", str(out), *words)


def test_an_honest_program_is_clean(export, tmp_path, capsys, monkeypatch):
    computed(export, "honest")
    code, out, _ = run(capsys, monkeypatch, export, tmp_path, "--as", "honest", "--json")
    assert code == 0
    document = json.loads(out)
    rows = {(row["op"], row["format"]): row for row in document["ranking"]}
    assert rows["square", "float32"]["severity"] == "clean"
    assert rows["square", "float32"]["cases"] == 12
    assert {row["verdict"] for place, row in rows.items() if place != ("square", "float32")} == {"unsupported"}
    assert (document["findings"], document["recorded"]) == ([], {"honest": []})


def test_a_fault_is_of_the_right_element_and_its_bundle_says_how_to_go_on(export, tmp_path, capsys, monkeypatch):
    computed(export, "c", off_at_the_end)
    code, out, _ = run(capsys, monkeypatch, export, tmp_path, "--as", "c")
    assert code == 1
    (folder,) = tmp_path.glob("2*")
    assert "only at the last index of" in (folder / "report.md").read_text()
    finding = read_run(folder).findings[0]
    assert finding.witness is not None
    place = folder / "findings" / finding.id
    entry = next(entry for entry in export.entries if entry.case.id == finding.case)
    assert finding.witness.mark.index == (entry.case.dims["n"] - 1,)
    # The bundle has the call as any bundle has it, what the program returned, and no program that would pretend.
    assert sorted(path.name for path in place.iterdir()) == [
        "call.json", "case.json", "finding.json", "inputs.safetensors", "next.md", "output.safetensors", "spec.yaml",
    ]  # fmt: skip
    bundle = read_bundle(place, vocabulary(discover()))
    x = arrays_of(export, entry)["x"]
    assert bundle.call.arrays["x"].tobytes() == x.tobytes()
    assert bundle.element == finding.witness.mark.element
    assert bundle.case == entry.case
    stored = load_file(place / "output.safetensors")[entry.case.id]
    assert stored.tobytes() == off_at_the_end(entry, x**2).tobytes()
    text = (place / "next.md").read_text()
    assert f"case {entry.number} of square in float32, seed 0, id `{entry.case.id}`" in text
    assert "opfuzz repro . --subject" in text
    assert f"--op square --format float32 --cases {entry.number + 1} --seed 0" in text
    code, out, _ = opfuzz(capsys, monkeypatch, "repro", str(place), "--subject", "numpy:cpu")
    assert (code, out.splitlines()[-1]) == (0, "numpy:cpu does not have the fault")
    assert "version" not in out, "the program did not say with what it recorded"
    code, _, err = opfuzz(capsys, monkeypatch, "repro", str(place))
    assert code == 2
    assert "opfuzz has no way to call 'c'" in err
    report = (folder / "report.md").read_text()
    assert "repro.py" not in report
    assert "next.md" in report


def test_missing_outputs_are_counted_and_named(export, tmp_path, capsys, monkeypatch):
    computed(export, "tired", lambda entry, values: values if entry.number < 5 else None)
    code, out, _ = run(capsys, monkeypatch, export, tmp_path, "--as", "tired")
    assert code == 1
    assert out.startswith("no fault in 2 ops")
    assert "(7 more are missing)" in out
    assert "missing: tired has neither an output nor a word for 7 cases: " in out
    (folder,) = tmp_path.glob("2*")
    assert "for 7 cases: case 5 of square in float32 (" in (folder / "report.md").read_text()
    (folder,) = tmp_path.glob("2*")
    lacking = read_run(folder).recorded["tired"]
    assert [words.split()[1] for words in lacking] == ["5", "6", "7", "8", "9", "10", "11"]
    assert "## Missing outputs" in (folder / "report.md").read_text()


def test_several_programs_are_in_one_report(export, tmp_path, capsys, monkeypatch):
    computed(export, "one")
    computed(export, "other", off_at_the_end)
    code, out, _ = run(capsys, monkeypatch, export, tmp_path, "--as", "one,other", "--json")
    document = json.loads(out)
    assert code == 1
    assert {row["subject"] for row in document["ranking"]} == {"one", "other"}
    assert {finding["subject"] for finding in document["findings"]} == {"other"}
    (folder,) = tmp_path.glob("2*")
    assert max(each["max_ulp_distance"] for each in read_run(folder).distances) > 1000
    # What is known is held against it as against any run.
    code, out, _ = run(capsys, monkeypatch, export, tmp_path, "--as", "one,other", "--baseline", folder.name)
    assert code == 0
    assert "nothing changed; 1 cause of faults as before." in out


def test_a_subject_that_opfuzz_has_is_made_again_from_its_bundle(export, tmp_path, capsys, monkeypatch):
    path = plugin(tmp_path)
    backends = discover((path,))
    record(export, {"off:cpu": OutputRecorder(export, "off:cpu", {"numpy": "1"}, {})}, (path,), backends, jobs=2)
    jury = Jury(export, (read_recorded(export, "off:cpu"),), jobs=2)
    folder = new_folder(tmp_path / "reports", datetime.now(UTC), "s0")
    result = conclude_recorded(jury, judge(jury), backends, Occasion(folder, datetime.now(UTC)))
    finding = next(each for each in result.findings if each.severity == "fault")
    place = folder / "findings" / finding.id
    assert "On a machine that has off:cpu: `opfuzz repro .`" in (place / "next.md").read_text()
    assert opfuzz(capsys, monkeypatch, "repro", str(place), "--plugin", str(path))[0] == 1
    code, out, _ = opfuzz(capsys, monkeypatch, "shrink", str(place), "--plugin", str(path), "--attempts", "60")
    assert code == 0, out
    assert (place / "repro.py").exists()
    assert not (place / "next.md").exists()
    assert (place / "before" / "next.md").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--as", "nobody"), "no outputs of 'nobody'"),
        (("--as", "../outputs"), "is no name"),
        (("--sort", "drift"), "drift"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(words, complaint, export, tmp_path, capsys, monkeypatch):
    code, out, err = run(capsys, monkeypatch, export, tmp_path, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert list(tmp_path.glob("2*")) == []


def test_a_program_that_wrote_nothing_is_an_error(export, tmp_path, capsys, monkeypatch):
    (export.place / "outputs" / "silent").mkdir()
    code, _, err = run(capsys, monkeypatch, export, tmp_path, "--as", "silent")
    assert code == 2
    assert "neither an output nor a word on any case of silent" in err


def test_two_folders_of_one_subject_are_refused(export, tmp_path, capsys, monkeypatch):
    for name in ("first", "second"):
        place = computed(export, name)
        (place / "about.json").write_text('{"subject": "swift:gpu"}')
    code, _, err = run(capsys, monkeypatch, export, tmp_path, "--as", "first,second")
    assert code == 2
    assert "its subject 'swift:gpu' is that of" in err


def test_recorded_outputs_of_several_are_judged_as_a_direct_run(tmp_path, capsys, monkeypatch):
    path = several_outputs.plugin(tmp_path)
    backends, subjects = discover((path,)), ("numpy:cpu", "short:cpu")
    export = exported(tmp_path / "cases", plan_of(several_outputs.SEVERAL, each=16, seed=1))
    record(export, {text: OutputRecorder(export, text, {}, {}) for text in subjects}, (path,), backends, jobs=2)
    code, out, err = opfuzz(capsys, monkeypatch, "cases", "judge", str(export.place), "--out", str(tmp_path / "out"))
    assert code == 1, err
    assert " mean[" in " ".join(out.split())
    (folder,) = (tmp_path / "out").glob("2*")
    run = read_run(folder)
    plan = Plan(load_specs([several_outputs.SEVERAL], backends), subjects, seed=1, jobs=1, plugins=(path,), cases=16)
    expected = direct(plan, monkeypatch)
    assert [_told(row) for row in run.ranking] == [_told(row) for row in expected.rows()]
    faults = [finding for finding in run.findings if finding.severity == "fault"]
    assert {finding.subject for finding in faults} == {"short:cpu"}
    for finding in faults:
        place = folder / "findings" / finding.id
        bundle = read_bundle(place, vocabulary(backends))
        assert bundle.element == finding.witness.mark.element
        stored = load_file(place / "output.safetensors")
        names = ["y", "mean"] if finding.op == "split" else [""]
        assert set(stored) == {"/".join(filter(None, (finding.case, name))) for name in names}
        found = stored["/".join(filter(None, (finding.case, bundle.element.output)))][bundle.element.index]
        assert float(found) == finding.witness.mark.computed
    split = next(finding for finding in faults if finding.op == "split")
    assert (
        f"- mean at index {list(split.witness.mark.index)}: computed"
        in (folder / "findings" / split.id / "next.md").read_text()
    )
