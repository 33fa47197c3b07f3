"""Campaigns: the same seed gives the same findings, whatever dies on the way, and a budget is kept."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from small_campaigns import SPECS, plugin

from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine import campaign
from opfuzz.engine.campaign import run
from opfuzz.engine.evaluate import CaseItem
from opfuzz.engine.executors import LOCAL, Casualty, Executor
from opfuzz.engine.executors.pool import Pool
from opfuzz.engine.finish import Occasion, conclude
from opfuzz.engine.plan import Plan, implementations, load_specs
from opfuzz.engine.progress import Progress
from opfuzz.report.causes import word_reason, word_row
from opfuzz.store.journal import unpack
from opfuzz.store.write import new_folder, to_json


def plan_of(subjects, *, ops=(), plugins=(), **fields) -> Plan:
    specs = load_specs([SPECS], discover(plugins), ops)
    return Plan(specs=specs, subjects=tuple(subjects), plugins=tuple(plugins), **{"seed": 0, "jobs": 2} | fields)


def work_of(plan, executor=LOCAL) -> campaign._Work:
    backends = discover(plan.plugins)
    progress = Progress({spec.op: implementations(spec, plan.subjects, backends) for spec in plan.specs}, plan.patience)
    return campaign._Work(plan, progress, backends, executor)


def rows_of(progress) -> dict[tuple[str, str, str], object]:
    return {(row.op, row.subject, row.format): row for row in progress.ranking.rows()}


def test_number_of_jobs_changes_nothing():
    plan = plan_of(["numpy:cpu"], cases=20, seed=3)
    seen = []
    for jobs in (1, 2):
        progress = run(Plan(plan.specs, plan.subjects, 3, jobs, cases=20))
        ranking = progress.ranking
        seen.append((progress.cases, ranking.rows(), ranking.findings(), ranking.distances))
    assert seen[0] == seen[1]
    assert multiprocessing.active_children() == []
    cases, rows, findings, distances = seen[0]
    assert cases == 20 * (2 + 2 * 2), "two formats of one subject, and two of two implementations"
    assert ("doubled" in word_reason(findings[0]), findings[0].subject) == (True, "numpy:cpu/doubled")
    assert distances["mean", "float32", "numpy:cpu/plain", "numpy:cpu/doubled"] > 2**20
    assert {row.verdict for row in rows if row.format == "bfloat16"} == {"unsupported"}


def test_a_share_of_the_budget_raises_the_errors():
    plan = plan_of(["numpy:cpu"], ops=["square"], formats=("float32",), cases=20, seed=3)
    (plain,) = run(plan).ranking.rows()
    progress = run(replace(plan, climb=0.2))
    (climbed,) = progress.ranking.rows()
    assert climbed.max_ulp >= plain.max_ulp
    assert climbed.max_ulp > 0.4999, "x times x is off by half an ulp at worst, and the search comes near"
    assert climbed.cases > plain.cases
    assert progress.lost == []


def test_a_search_that_ends_its_process_is_said(tmp_path):
    plan = plan_of(["aborting:cpu"], ops=["square"], formats=("float32",), plugins=[plugin(tmp_path)], cases=2)
    progress = run(replace(plan, climb=0.5))
    (words,) = progress.lost
    assert words.startswith("climbing square on aborting:cpu in float32 ended its process: ")


def test_another_seed_is_another_run():
    rows = [run(plan_of(["numpy:cpu"], ops=["square"], cases=2, seed=seed)).ranking.rows() for seed in (0, 1)]
    assert rows[0] != rows[1]


def test_an_abort_costs_one_case(tmp_path):
    path = plugin(tmp_path)
    plan = plan_of(["aborting:cpu", "numpy:cpu"], ops=["square"], formats=("float32",), plugins=[path], cases=24)
    progress = run(plan)
    rows = rows_of(progress)
    harmed = rows["square", "aborting:cpu", "float32"]
    assert (harmed.verdict, word_row(harmed)) == ("crash", "killed by SIGABRT in aborting (faulty.py:17)")
    assert harmed.cases == 24, "every other case was tried"
    assert harmed.verdicts["crash"] > 1
    assert harmed.verdicts["exact"] > 5
    assert run(replace(plan, jobs=1)).ranking.rows() == progress.ranking.rows()
    honest = rows["square", "numpy:cpu", "float32"]
    assert honest.severity == "clean"
    # The case that killed the worker is the simplest that does, and can be looked at.
    folder = new_folder(tmp_path / "reports", datetime.now(UTC), "s0")
    result = conclude(plan, progress, discover([path]), Occasion(folder, datetime.now(UTC)))
    (finding,) = result.findings
    case = json.loads((folder / "findings" / finding.id / "case.json").read_text())
    assert case["id"] == finding.case
    assert case["dims"]["n"] > 30
    assert "aborting" in (folder / "findings" / finding.id / "repro.py").read_text()


def test_a_hang_costs_one_case(tmp_path):
    plan = plan_of(
        ["hanging:cpu"], ops=["square"], formats=("float32",), plugins=[plugin(tmp_path)], cases=16, case_seconds=0.5
    )
    progress = run(plan)
    (row,) = progress.ranking.rows()
    assert row.verdicts["timeout"] == 2, "after which the subject is spared"
    assert progress.lost == ["cases of square on hanging:cpu in float32 after 2 that hung or took all memory"]
    assert (row.verdict, word_row(row)) == ("timeout", "no result after 0.5 s in hanging (faulty.py:23)")
    (patient,) = run(replace(plan, patience=None, jobs=4)).ranking.rows()
    assert sum(patient.verdicts.values()) == patient.cases == 16
    assert patient.verdicts["exact"] > 1
    folder = new_folder(tmp_path, datetime.now(UTC), "s0")
    conclude(plan, progress, discover(plan.plugins), Occasion(folder, datetime.now(UTC)))
    (script,) = folder.glob("findings/*/repro.py")
    assert "HANGS, SECONDS = True, " in script.read_text()


def test_what_a_subject_raises_is_a_crash(tmp_path):
    plan = plan_of(["raising:cpu"], ops=["square"], formats=("float32",), plugins=[plugin(tmp_path)], cases=3)
    (row,) = run(plan).ranking.rows()
    assert (row.verdict, row.verdicts) == ("crash", {"crash": 3})


def test_other_bits_in_a_second_call(tmp_path):
    plan = plan_of(["undecided:cpu"], ops=["square"], formats=("float32",), plugins=[plugin(tmp_path)], cases=1)
    (row,) = run(plan).ranking.rows()
    assert (row.verdict, row.severity) == ("unstable", "fault")


def test_an_end_outside_of_every_subject_is_nobodys_fault():
    plan = plan_of(["numpy:cpu"], ops=["mean"], cases=1)
    work = work_of(plan)
    lost = unpack(work.lost(CaseItem("mean", "float32", 0), Casualty("timeout", "no result after 10 s")))
    assert [judged.subject for judged in lost.judged] == ["numpy:cpu/plain", "numpy:cpu/doubled"]
    assert {judged.score.verdict for judged in lost.judged} == {"unresolved"}
    assert lost.case != ""


def test_of_an_end_outside_of_every_subject_nothing_is_said_where_there_is_no_call():
    plan = plan_of(["numpy:cpu", "torch:cpu"], ops=["mean"], cases=1)
    slow = Casualty("timeout", "no result after 10 s")
    for format, known in (("float32", "unresolved"), ("bfloat16", "unsupported")):
        lost = unpack(work_of(plan).lost(CaseItem("mean", format, 0), slow))
        verdicts = {judged.subject: judged.score.verdict for judged in lost.judged}
        assert verdicts == {"numpy:cpu/plain": known, "numpy:cpu/doubled": known, "torch:cpu": "unsupported"}


def test_an_error_of_opfuzz_is_not_a_finding():
    class Failing(Executor):
        batch = 1

        def run(self, task, batches, jobs):
            for number, batch in enumerate(batches):
                yield number, [Casualty("internal", "Traceback ...") for _ in batch]

    with pytest.raises(RuntimeError, match="case 0 of mean in float32: Traceback"):
        run(plan_of(["numpy:cpu"], cases=1), executor=Failing())


def test_a_time_budget_is_kept_and_every_op_is_tried(tmp_path):
    plan = plan_of(["slow:cpu"], plugins=[plugin(tmp_path)], seconds=2.0)
    progress = run(plan)  # which ends, where nothing else would end it
    assert {(op, format) for op, _, format in rows_of(progress)} == set(plan.pairs())
    assert progress.interrupted is False


def test_a_run_shorter_than_a_case_tries_each_once(tmp_path):
    progress = run(plan_of(["numpy:cpu"], seconds=1e-9))
    assert {row.cases for row in progress.ranking.rows()} == {1}


@pytest.mark.parametrize("cases", [1, 15, 16, 40])
def test_batches_cover_every_case_once(cases):
    plan = plan_of(["numpy:cpu"], cases=cases)
    items = [item for batch in work_of(plan) for item in batch]
    wanted = [(op, format, n) for op, format in plan.pairs() for n in range(cases)]
    assert sorted((item.op, item.format, item.number) for item in items) == sorted(wanted)


@pytest.mark.parametrize(
    ("width", "sizes"),
    [(0, [1, 2, 4, 8, 16, 9]), (31, [1, 2, 4, 8, 16, 9]), (100, [4, 8, 16, 12]), (1000, [16, 16, 8])],
)
def test_rounds_of_a_wide_executor_begin_larger(width, sizes):
    class Wide(Pool):
        @property
        def width(self):
            return width

    plan = plan_of(["numpy:cpu"], ops=["square"], formats=("float32",), cases=40)
    assert [len(batch) for batch in work_of(plan, Wide())] == sizes


def test_ctrl_c_keeps_what_was_found():
    def stop(progress):
        if progress.cases > 10:
            raise KeyboardInterrupt

    progress = run(plan_of(["numpy:cpu"], seconds=60.0), stop)
    assert progress.interrupted
    assert progress.cases > 10
    assert multiprocessing.active_children() == []


def test_a_reference_that_fails_names_the_spec_and_the_sizes(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text((SPECS / "square.yaml").read_text().replace("x * x", "reshape(x, (n + n,))"))
    with pytest.raises(OpfuzzError) as caught:
        load_specs([path], discover())
    assert str(caught.value).startswith(f"{path}: the reference of 'square' fails at n = ")
    assert "\n" not in str(caught.value)


def test_a_natural_formula_of_another_shape_is_refused(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text((SPECS / "square.yaml").read_text() + "natural: reshape(x * x, (1, n))\n")
    with pytest.raises(OpfuzzError) as caught:
        load_specs([path], discover())
    assert str(caught.value).startswith(f"{path}: the natural formula of 'square' has the shape [1, ")


def test_a_reference_of_too_many_elements_is_refused(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text((SPECS / "square.yaml").read_text().replace("x * x", "broadcast_to(x, (1000000000, n))"))
    with pytest.raises(OpfuzzError, match=r"fails at n = \d+: \d+ elements are more than a reference may have$"):
        load_specs([path], discover())


def test_an_unknown_op_is_suggested_or_the_known_are_listed():
    with pytest.raises(OpfuzzError, match="unknown op 'meen'; did you mean 'mean'"):
        load_specs([SPECS], discover(), ["meen"])
    with pytest.raises(OpfuzzError, match="unknown op 'xyz'; known: mean, square"):
        load_specs([SPECS], discover(), ["xyz"])


def test_rows_are_strict_json(tmp_path):
    plan = plan_of(["off:cpu"], ops=["square"], plugins=[plugin(tmp_path)], cases=3)
    rows = run(plan).ranking.rows()
    assert rows[0].verdict in ("imprecise", "wrong")
    text = json.dumps(to_json(rows), allow_nan=False)
    assert json.loads(text)[0]["witness"]["inputs_hex"]["x"][0].startswith("0x")
