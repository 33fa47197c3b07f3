"""The run that another is held against, and what makes a run fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from results import result
from runs_of_rows import MACHINE, VERSIONS, clean, fault, run_of

from opfuzz.core.comparison import Accepted
from opfuzz.core.findings import finding_id
from opfuzz.judge.gather import gather
from opfuzz.report.causes import describe
from opfuzz.report.run.changes import word_remark
from opfuzz.store import history
from opfuzz.store.baseline import Earlier, counting, latest_like, with_accepted, with_comparison, with_history
from opfuzz.store.write import write_run

LATER = "20260201-142530-s0"
SIGNATURE = ("gelu", "torch:cpu", "float32", "wrong", "reference")
ID = finding_id(SIGNATURE)
NOTE = finding_id((*SIGNATURE[:3], "normwise", "reference"))
TORCH = {"versions": {**VERSIONS, "torch": "2.13"}}


def night(*results, name=LATER, **fields):
    """A run with its causes."""
    run = run_of(*results, name=name, **fields)
    return replace(run, causes=gather(run.findings))


def later(*results, **fields):
    return night(*results, **fields)


def earlier(*results, **fields):
    return night(*results, name="20260131-142530-s0", **fields)


def entry(**fields):
    return Accepted(**dict(zip(("op", "subject", "format", "verdict", "relation"), SIGNATURE, strict=True)) | {
        "id": ID, "reason": "known", "date": "2026-01-01", **fields,
    })  # fmt: skip


TODAY = date(2026, 2, 1)


# before, after, failing words, accepted, what counts
COUNTED = [
    ((clean(),), (fault(),), (), (), [ID]),
    ((fault(),), (fault(),), (), (), []),
    ((fault(),), (fault(excess=500.0),), (), (), [ID]),
    ((fault(),), (clean(),), (), (), []),
    ((clean(),), (result(0, "normwise", 9.0),), (), (), []),
    ((clean(),), (clean(9.0, 2.0),), (), (), []),
    ((clean(),), (fault(),), ("special",), (), []),
    ((clean(),), (fault(),), (), (entry(),), []),
    ((fault(),), (fault(excess=500.0),), (), (entry(),), []),
    ((clean(),), (result(0, "normwise", 9.0),), ("normwise",), (), [NOTE]),
    ((clean(number=20),), (fault(number=20),), (), (), []),  # on other cases it may have been there
    ((clean(number=20),), (fault(number=20),), ("discovered",), (), [ID]),
    ((clean(number=20),), (fault(number=20),), ("discovered", "special"), (), []),
    ((clean(op="relu"),), (fault(), clean(op="relu")), (), (), []),  # was not tried before
    ((clean(op="relu"),), (fault(), clean(op="relu")), ("discovered",), (), [ID]),
    ((clean(),), (fault(),), (), (entry(until="2026-02-01"),), []),
    ((clean(),), (fault(),), (), (entry(until="2026-01-31"),), [ID]),
    (None, (fault(),), (), (), [ID]),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "failing", "entries", "counted"), COUNTED)
def test_what_makes_a_run_fail(before, after, failing, entries, counted):
    others = {"planned": 7} if before and before[0].number else {}
    run = with_accepted(later(*after, **others), entries, TODAY)
    assert counting(with_comparison(run, None if before is None else earlier(*before)), failing) == counted


def test_what_a_new_version_may_have_brought_counts_until_that_is_known():
    before, after = earlier(clean(number=20)), later(fault(number=20), seed=1, **TORCH)
    assert counting(with_comparison(after, before)) == [ID]
    other = replace(after, versions={**VERSIONS, "mlx": "9"}, machine={**MACHINE, "processor": "y"})
    assert counting(with_comparison(other, before)) == [], "not what torch computes with"


def test_a_worse_row_counts_beside_a_new_note():
    note = result(1, "normwise", 9.0)
    run = with_comparison(later(fault(excess=500.0), note), earlier(fault()))
    assert run.comparison.worse() == run.comparison.rows != ()
    assert counting(run) == [ID]


def test_without_a_comparison_every_fault_counts():
    run = later(fault(), fault(op="erf"), result(0, "normwise", 9.0, op="sum"))
    assert len(counting(run)) == 2
    assert counting(with_accepted(run, [entry()], TODAY)) == [f.id for f in run.findings if f.op == "erf"]
    assert len(counting(run, ("normwise",))) == 1


def test_the_latest_run_of_the_same_subjects(tmp_path):
    both = ("torch:cpu", "mlx:cpu")
    for name, fields in (
        ("20260101-000000-s0", {"subjects": both}),
        ("20260102-000000-s0", {"subjects": both[::-1]}),
        ("20260103-000000-s0", {"subjects": both, "interrupted": True}),
        ("20260104-000000-s0", {}),
        ("20260105-000000-s0", None),
        ("example", {"subjects": both}),
    ):
        (tmp_path / name).mkdir()
        if fields is None:
            (tmp_path / name / "run.json").write_text("{")
        else:
            write_run(run_of(fault(), name=name, **fields), tmp_path / name, describe)
    pairs = [("gelu", "float32")]
    found = latest_like(both, pairs, None, tmp_path)
    assert (found.place, found.run.run) == (tmp_path / "20260102-000000-s0", "20260102-000000-s0")
    (line,) = found.complaints
    assert "20260105-000000-s0/run.json: no run that this opfuzz can read" in line
    assert latest_like(("numpy:cpu",), pairs, None, tmp_path).place is None
    assert latest_like(both, pairs, "decoder", tmp_path).run is None
    assert latest_like(both, pairs, None, tmp_path / "none") == Earlier()


@pytest.fixture
def nights(tmp_path):
    """Three runs that tried ever less."""
    for day, results in enumerate(
        ((fault(), clean(op="relu"), fault(op="erf")), (clean(), clean(op="relu")), (clean(format="float16"),)), 1
    ):
        name = f"2026010{day}-000000-s0"
        (tmp_path / name).mkdir()
        write_run(run_of(*results, name=name), tmp_path / name, describe)
    return tmp_path


@pytest.mark.parametrize(
    ("pairs", "day"),
    [
        ([("gelu", "float16")], 3),
        ([("gelu", "float32")], 2),
        ([("gelu", "float32"), ("relu", "float32")], 2),
        ([("gelu", "float32"), ("erf", "float32")], 1),
        ([("gelu", "float32"), ("erf", "float32"), ("tanh", "float32")], 1),  # which no run tried; most of them
    ],
)
def test_the_latest_run_tried_the_same_ops_and_formats(pairs, day, nights):
    assert latest_like(("torch:cpu",), pairs, None, nights).place == nights / f"2026010{day}-000000-s0"


def test_what_another_run_before_knows_is_not_new(nights):
    name = "20260104-000000-s0"
    (nights / name).mkdir()
    write_run(run_of(*(clean(op=op) for op in ("gelu", "relu", "tanh")), name=name), nights / name, describe)
    asked = [(op, "float32") for op in ("gelu", "relu", "erf", "tanh", "sin")]
    earlier = latest_like(("torch:cpu",), asked, None, nights)
    assert (earlier.place, dict(earlier.known.findings)) == (
        nights / name,
        {("erf", "torch:cpu", "float32", "wrong"): "20260101-000000-s0"},
    )
    now = later(*(fault(op=op) for op in ("gelu", "erf", "sin")))
    run = with_comparison(now, earlier.run, earlier.known)
    assert [(c.status, c.op, word_remark(c.remark)) for c in run.comparison.findings] == [
        ("new", "gelu", "right in the earlier run, on a case that both made"),
        ("new", "sin", "not tried in the earlier run"),
        ("still", "erf", "not in the earlier run; 20260101-000000-s0 has it"),
    ]
    assert counting(run) == [c.id for c in run.comparison.findings[:1]]


def test_the_history_knows_causes_and_software(tmp_path):
    path = tmp_path / history.NAME
    assert with_history(Earlier(), path) == Earlier()
    found = earlier(fault(), **TORCH)
    history.add(path, found)
    history.add(path, later(clean()))
    known = with_history(Earlier(), path).known
    assert known.causes == {found.causes[0].id: found.run}
    tried = {dict(state).get("torch"): pairs for state, pairs in known.software.items()}
    assert tried == {"2.13": {("gelu", "float32"): found.run}, "2.12": {("gelu", "float32"): LATER}}
    assert not with_history(Earlier(), path, before=found.run).known.causes, "a run does not know itself"
    history.add(path, replace(later(fault(), name="20260301-000000-s0", **TORCH), interrupted=True))
    assert with_history(Earlier(), path).known == known, "one that was interrupted vouches for nothing"
    mended = with_comparison(later(clean(), name="20260302-000000-s0"), found)
    assert [change.status for change in mended.comparison.causes] == ["fixed"]
    history.add(path, mended)
    assert with_history(Earlier(), path).known.causes == {}, "what is fixed is known no more"
    worse = with_comparison(later(fault(), name="20260303-000000-s0", versions={**VERSIONS, "torch": "2.14"}), mended)
    assert [change.status for change in worse.comparison.causes] == ["regression"]
    history.add(path, worse)
    assert "2.14" not in str(with_history(Earlier(), path).known.software), "software that made something worse"
    path.write_bytes(b"damaged" * 99)
    (line,) = with_history(Earlier(), path).complaints
    assert "opfuzz history rebuild" in line
