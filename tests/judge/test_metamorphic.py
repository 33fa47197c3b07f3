"""Other ways to the same result: what they call, what an honest op gives, and which planted faults they alone show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from several_outputs import SPLIT
from toy_specs import NORM, PRODUCT, UNARY

from opfuzz.core.call import Element
from opfuzz.core.case import Case
from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.relation import Relation
from opfuzz.core.results import Outcome, Score
from opfuzz.generate import draw, inputs, regime_names
from opfuzz.judge.metamorphic import OutputPart, Piece, assemble, choose_way, decide, list_ways
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.report.causes import word_cause
from opfuzz.spec import Vocabulary, load


def drawn(spec, number, seed=0):
    case = draw(spec, "float32", seed, number)
    return case, inputs(spec, case)


def of_kind(spec, kind, *, elementwise=False):
    """The first drawn case that has a relation of this kind."""
    for number in range(400):
        case, arrays = drawn(spec, number)
        for way in list_ways(spec, case, arrays, elementwise):
            if kind in way.relation.id:
                return case, arrays, way
    raise AssertionError(f"no case of {spec.op} has a relation '{kind}'")


def sums(piece: Piece) -> Outcome:
    """An honest op: what each row of the toy norm comes to depends on that row alone."""
    x = piece.arrays["x"]
    return Outcome("", "ok", (x / (1 + np.abs(x).max(axis=-1, keepdims=True)),))


@given(st.integers(0, 300), st.integers(0, 10))
def test_an_honest_op_gives_the_same_in_every_way(number, turn):
    case, arrays = drawn(NORM, number)
    outputs = sums(Piece(case.dims, arrays, case.layouts, (OutputPart(),))).outputs
    way = choose_way(NORM, case, arrays, False, "", turn)
    made, _ = assemble(way, outputs, sums)
    np.testing.assert_array_equal(made.outputs, outputs)
    assert decide(Score("stable"), Score("stable"), way.relation, True).verdict == "stable"


@given(st.integers(0, 300))
def test_every_piece_fits_its_spec(number):
    for spec in (UNARY, NORM, PRODUCT):
        case, arrays = drawn(spec, number)
        for way in list_ways(spec, case, arrays, spec is UNARY):
            for piece in way.pieces:
                shapes = {name: array.shape for name, array in piece.arrays.items()}
                assert spec.shapes(piece.dims, case.params) == shapes
                assert spec.allows(piece.dims, case.params)
                assert piece.layouts.keys() == arrays.keys()


@pytest.mark.parametrize("kind", ["contiguous", "rows of batch", "batch reversed", "after other work"])
def test_what_a_batch_promises(kind):
    case, arrays, way = of_kind(NORM, kind)
    assert way.relation.id == kind
    assert way.relation.is_repeat == (kind == "after other work")
    if kind == "rows of batch":
        assert all(piece.dims["batch"] == 1 and len(piece.arrays["x"]) == 1 for piece in way.pieces)
        assert all(piece.arrays["weight"] is arrays["weight"] for piece in way.pieces)
    if kind == "batch reversed":
        np.testing.assert_array_equal(way.pieces[0].arrays["x"], arrays["x"][::-1])
    if kind == "contiguous":
        assert set(way.pieces[0].layouts.values()) == {"contiguous"} != set(case.layouts.values())


def test_an_op_without_a_batch_promises_none():
    spec = replace(NORM, batch=())
    case, arrays = next(found for n in range(50) if (found := drawn(spec, n))[0].dims["batch"] > 1)
    assert not any("batch" in way.relation.id for way in list_ways(spec, case, arrays, False))


def test_only_elementwise_ops_are_moved():
    case, arrays, way = of_kind(UNARY, "without the first", elementwise=True)
    assert not any("without" in r.relation.id for r in list_ways(UNARY, case, arrays, False))
    piece = way.pieces[0]
    by = way.relation.by
    (x,), (kept,) = arrays.values(), piece.arrays.values()
    np.testing.assert_array_equal(kept, x[..., by:])
    made, _ = assemble(way, (np.zeros_like(x),), lambda p: Outcome("", "ok", tuple(p.arrays.values())))
    (output,) = made.outputs
    np.testing.assert_array_equal(output[..., by:], x[..., by:])
    assert not output[..., :by].any()


def test_a_kernel_that_reads_the_first_row_for_all_is_found_by_rows():
    case, arrays, way = of_kind(NORM, "rows of batch")

    def first_row(piece: Piece) -> Outcome:
        return Outcome("", "ok", (np.broadcast_to(piece.arrays["x"][:1], piece.arrays["x"].shape).copy(),))

    outputs = first_row(Piece(case.dims, arrays, case.layouts, (OutputPart(),))).outputs
    assert not np.array_equal(assemble(way, outputs, first_row)[0].outputs, outputs, equal_nan=True)


def test_a_result_that_depends_on_the_call_before_is_unstable():
    _, arrays, way = of_kind(NORM, "after other work")
    kept = []

    def stale(piece: Piece) -> Outcome:
        kept.append(piece.arrays["x"])
        return Outcome("", "ok", (kept[0],))

    made, _ = assemble(way, (np.array(arrays["x"]),), stale)
    assert np.isnan(made.outputs).all()
    verdict = decide(Score("stable"), Score("special"), way.relation, False)
    assert (verdict.verdict, verdict.cause.relation.id) == ("unstable", "after other work")
    assert word_cause(verdict.cause) == "other bits after a call with other values"


def test_a_crash_of_the_other_way_is_a_crash():
    _, arrays, way = of_kind(NORM, "rows of batch")
    made, last = assemble(way, (np.array(arrays["x"]),), lambda piece: Outcome("s", "crash", cause=BOOM))
    assert last == 0
    assert (made.status, made.outputs) == ("crash", None)
    verdict = decide(Score("exact"), Score("crash", BOOM), way.relation, False)
    assert verdict.verdict == "crash"
    assert word_cause(verdict.cause) == "when the rows of batch are called one by one: raised Boom"


BOOM = Cause("raises", "Boom", figures={"words": "raised Boom"})
WAY = Relation("contiguous")
NARROW = Score("narrow", Cause("computes-in", "float16"), excess=90.0, elements=100, beyond=4)


def test_narrow_now_and_then_is_a_fault_of_the_way_that_is():
    here = decide(Score("stable", excess=1.0), NARROW, WAY, False)
    assert (here.verdict, here.cause.relation) == ("imprecise", WAY)
    assert word_cause(here.cause) == "rounds intermediates to float16 only with every input contiguous"
    there = decide(NARROW, Score("stable", excess=1.0), WAY, False)
    assert word_cause(there.cause) == "rounds intermediates to float16 but not with every input contiguous"


def test_narrow_both_ways_or_nearly_is_none():
    assert decide(NARROW, NARROW, WAY, False) is NARROW
    slight = replace(NARROW, excess=3.5)
    wide = Score("stable", excess=2.5)
    assert decide(wide, slight, WAY, False) is wide
    rare = replace(NARROW, elements=1275, beyond=1)  # torch.add(x, v, alpha=dt) in bfloat16, where terms cancel
    assert decide(rare, wide, WAY, False) is rare
    wrong = Score("wrong", UNEXPLAINED)
    assert decide(wrong, NARROW, WAY, False) is wrong


def test_where_an_element_lies_in_the_other_call():
    row = OutputPart(taken=(slice(0, 1),), put=(slice(2, 3),))
    assert row.locate((2, 5), (4, 6), (1, 6)) == (0, 5)
    assert row.locate((1, 5), (4, 6), (1, 6)) is None
    turned = OutputPart(taken=(slice(None, None, -1),))
    assert turned.locate((0, 1), (4, 6), (4, 6)) == (3, 1)
    moved = OutputPart(put=(..., slice(3, None)))
    assert moved.locate((1, 5), (4, 6), (4, 3)) == (1, 2)
    assert OutputPart().locate((), (), ()) == ()


def test_a_relation_belongs_to_its_case_alone():
    case, arrays = drawn(NORM, 5)
    again: Case = draw(NORM, "float32", 0, 5)
    names = [r.relation for r in list_ways(NORM, case, arrays, False)]
    assert names == [r.relation for r in list_ways(NORM, again, inputs(NORM, again), False)]


@given(st.integers(0, 300))
def test_each_relation_is_chosen_in_its_turn(number):
    for spec in (UNARY, NORM, PRODUCT):
        case, arrays = drawn(spec, number)
        known = [(r.relation, len(r.pieces)) for r in list_ways(spec, case, arrays, spec is UNARY)]
        tried = [choose_way(spec, case, arrays, spec is UNARY, "", turn) for turn in range(2 * len(known))]
        assert [(r.relation, len(r.pieces)) for r in tried] == 2 * known


def test_a_compiled_subject_is_held_against_eager_mode():
    case, arrays = drawn(NORM, 5)
    kinds = [choose_way(NORM, case, arrays, False, "compile", turn) for turn in range(9)]
    eager = next(way.relation for way in kinds if way.relation.kind == "eager")
    assert not any(choose_way(NORM, case, arrays, False, "", turn).relation.kind == "eager" for turn in range(9))
    # What is wrong in eager mode too is not the compiler's; what is coarse in compiled mode only is.
    stable = Score("stable", excess=1.0)
    assert decide(stable, Score("wrong", UNEXPLAINED), eager, False) is stable
    assert (
        word_cause(decide(NARROW, stable, eager, False).cause)
        == "rounds intermediates to float16 but not in eager mode"
    )


SCALED = """
op: scaled
summary: By the root of its length.
formats: [float32]
dims: {n: 2..}
inputs: {x: {shape: [n]}}
output: {shape: [n]}
calls: {numpy: x / n}
reference: x / sqrt(n)
"""
SQUARE = """
op: square
summary: One size for both axes.
formats: [float32]
dims: {n: 2..}
batch: [n]
inputs: {x: {shape: [n, n]}}
output: {shape: [n, n]}
calls: {numpy: np.exp(x)}
reference: exp(x)
"""


@pytest.mark.parametrize("text", [SCALED, SQUARE])
def test_a_size_that_says_more_than_how_many_promises_nothing(text, tmp_path):
    (tmp_path / "spec.yaml").write_text(text)
    words = Vocabulary(regime_names(), REFERENCE_FUNCTIONS, {"numpy": None})
    spec = load(tmp_path / "spec.yaml", words)
    for number in range(40):
        case, arrays = drawn(spec, number)
        kinds = {way.relation.id.split()[0] for way in list_ways(spec, case, arrays, is_elementwise=True)}
        assert not kinds & {"rows", "n", "without"}


def ways_of_split(kind):
    """The way of this kind on the two outputs of which the second has no axis but the batch."""
    case, arrays, way = of_kind(SPLIT, kind)
    assert case.dims["batch"] > 1
    return case, arrays, way


def split(x):
    mean = x.mean(axis=-1)
    return x - mean[:, None], mean


@pytest.mark.parametrize("kind", ["rows of batch", "batch reversed"])
@pytest.mark.parametrize("output", ["y", "mean"])
def test_each_output_is_compared_along_its_own_axis(kind, output):
    case, arrays, way = ways_of_split(kind)
    place = SPLIT.place_of(output)

    def honest(piece: Piece) -> Outcome:
        return Outcome("", "ok", split(piece.arrays["x"].astype(np.float64)))

    def first_only(piece: Piece) -> Outcome:
        """Every row of one output is the first."""
        outputs = list(honest(piece).outputs)
        outputs[place] = np.broadcast_to(outputs[place][:1], outputs[place].shape).copy()
        return Outcome("", "ok", tuple(outputs))

    own = Piece(case.dims, arrays, case.layouts, (OutputPart(), OutputPart()))
    made, _ = assemble(way, honest(own).outputs, honest)
    for a, b in zip(made.outputs, honest(own).outputs, strict=True):
        np.testing.assert_array_equal(a, b)
    made, _ = assemble(way, first_only(own).outputs, first_only)
    same = [np.array_equal(a, b) for a, b in zip(made.outputs, first_only(own).outputs, strict=True)]
    assert same == [output != "y", output != "mean"]


def test_an_output_without_the_batch_says_nothing_of_rows():
    outputs = (SPLIT.outputs[0], replace(SPLIT.outputs[1], shape=()))
    _, _, way = of_kind(replace(SPLIT, outputs=outputs, digest="another"), "rows of batch")
    assert all(piece.is_seen and piece.parts[1] is None for piece in way.pieces)


def test_an_element_is_located_in_the_output_that_it_is_in():
    case, _, way = ways_of_split("rows of batch")
    last = case.dims["batch"] - 1
    found = [
        (n, at) for n, piece in enumerate(way.pieces) if (at := piece.locate(Element("mean", (last,)), SPLIT, case))
    ]
    assert found == [(len(way.pieces) - 1, Element("mean", (0,)))]
    columns = case.dims["d"] - 1
    assert way.pieces[-1].locate(Element("y", (last, columns)), SPLIT, case) == Element("y", (0, columns))
