"""Ranking of planted faults: by residual, by figures, in pairs; and the sentences that close a localisation."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from opfuzz.network.drift import UNKNOWN, drift
from opfuzz.network.localize.matching import best_first, frames_of, is_match, judge, promising_pairs, residual_of
from opfuzz.network.localize.observed import Observed, figures_of
from opfuzz.network.localize.result import Attribution, Tried, to_json
from opfuzz.network.localize.verdict import sentences
from opfuzz.network.pipeline.planting import Variant

random = np.random.default_rng(0)
BASE = random.normal(-5, 2, (1, 8, 40))
CHANGES = [0.1 * random.normal(size=BASE.shape) for _ in range(6)]
ROUNDING = 1e-7


def variant(name):
    return Variant(name, "everywhere", f"{name} is planted", lambda setup: setup)


def judged(observed, outputs):
    return best_first(judge(variant(f"v{i}"), out, BASE, observed, ROUNDING) for i, out in enumerate(outputs))


def test_the_one_that_was_planted_is_a_match_and_the_only_one():
    there = BASE + CHANGES[2] + 1e-7 * random.normal(size=BASE.shape)
    found = judged(Observed({}, there), [BASE + change for change in CHANGES])
    assert [one.name for one in found if one.match] == ["v2"] == [found[0].name]
    assert found[0].residual < 1e-6 < 0.01 < found[1].residual
    assert found[0].corr_to_observed == pytest.approx(1)
    assert abs(found[1].corr_to_observed) < 0.3


def test_what_changes_nothing_is_no_match_even_of_nothing():
    (found,) = judged(Observed({}, BASE.copy()), [BASE.copy()])
    assert (found.residual, found.match) == (0, False)


def test_what_changes_nothing_comes_after_what_changes_the_wrong_thing():
    found = judged(Observed({}, BASE + CHANGES[0]), [BASE.copy(), BASE + CHANGES[1]])
    assert [one.name for one in found] == ["v1", "v0"]
    assert found[1].residual < found[0].residual


def test_figures_rank_by_distance_and_never_match():
    seen = Observed(figures_of(drift(BASE, BASE + CHANGES[4])))
    found = judged(seen, [BASE + change * (1 + i) for i, change in enumerate(CHANGES[::-1])])
    assert found[0].name == "v0"
    assert not any(one.match for one in found)
    assert found[0].residual is None


def test_without_anything_observed_the_largest_comes_first():
    found = judged(None, [BASE + CHANGES[0] * size for size in (1, 3, 2)])
    assert [one.name for one in found] == ["v1", "v2", "v0"]


def test_nan_and_other_shapes_come_last():
    there = BASE + CHANGES[0]
    found = judged(Observed({}, there), [BASE * np.nan, BASE[..., :5], BASE + CHANGES[1]])
    assert found[0].name == "v2"
    assert {one.drift.elements for one in found} == {0, BASE.size}


def test_a_single_number_and_a_constant_output_count_in_their_own_unit():
    assert residual_of(np.array([2.5]), np.array([2.0])) == 0.5
    assert residual_of(np.full((1, 4), 2.5), np.full((1, 4), 2.0)) == 0.5
    assert residual_of(BASE + 1, BASE) == pytest.approx(1 / BASE.std())


def test_a_match_is_at_rounding_level():
    assert is_match(1e-6, 2e-7)
    assert not is_match(1e-4, 2e-7)
    assert is_match(1e-6, 0.0)  # the output's own rounding


def test_pairs_that_sum_to_what_was_seen_come_first():
    there = BASE + CHANGES[1] + CHANGES[4]
    by_tensor = promising_pairs(CHANGES, BASE, Observed({}, there), 3, lambda i, j: True)
    assert by_tensor[0] == (1, 4)
    assert len(by_tensor) == 3
    by_figures = promising_pairs(CHANGES, BASE, Observed(figures_of(drift(BASE, there))), 1, lambda i, j: True)
    assert by_figures == [(1, 4)]
    assert (1, 4) not in promising_pairs(CHANGES, BASE, Observed({}, there), 9, lambda i, j: (i, j) != (1, 4))
    broken = [*CHANGES, CHANGES[0] * np.nan, CHANGES[0] * 0]
    assert promising_pairs(broken, BASE, Observed({}, there), 1, lambda i, j: True) == [(1, 4)]


def test_frames_are_places_of_the_last_axis():
    assert frames_of(BASE, (5, 9)).shape == (1, 8, 4)
    assert frames_of(BASE, None) is BASE


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("gelu", "everywhere"), ("layer_norm", "everywhere"), False),
        (("gelu", "everywhere"), ("gelu", "everywhere"), True),
        (("gelu", "everywhere"), ("gelu", "head"), True),
        (("gelu", "head"), ("gelu", "tail"), False),
        (("gelu", "everywhere"), ("", "everywhere"), False),
        (("", "everywhere"), ("", "everywhere"), True),
        (("", "head"), ("", "tail"), False),
    ],
)
def test_two_readings_of_the_same_calls_exclude_each_other(one, other, expected):
    a, b = (Variant("v", place, "", lambda setup: setup, op) for op, place in (one, other))
    assert a.excludes(b) == b.excludes(a) == expected


# The verdict.

SMALL = drift(BASE, BASE + 1e-6 * CHANGES[0])
OPS = [
    Attribution("gelu", 9, 1e-7, 1.2, SMALL, SMALL, 3e5),
    Attribution("linear", 9, 1e-7, 0.5, drift(BASE, BASE + 1e-7 * CHANGES[0]), SMALL, 3e6),
]


def tried(name, *, residual=None, distance=None, match=False, size=0.1):
    change = drift(BASE, BASE + size * CHANGES[1])
    return Tried(name, "place", f"{name} it is", change, 0.5 if residual else None, residual, distance, match)


def verdict(variants=(), observed=None, residual=None, pairs=(), total=SMALL):
    return " ".join(sentences(total, "mlx:cpu", OPS, variants, pairs, observed, residual, ROUNDING))


SEEN = Observed(figures_of(drift(BASE, BASE + CHANGES[1])))
TENSOR = replace(SEEN, tensor=BASE + CHANGES[1])


def test_nothing_observed():
    text = verdict([tried("a")])
    assert text.startswith("All of mlx:cpu together: 1 - corr = ")
    assert "the largest share is that of gelu" in text
    assert "Give --observed." in text


def test_nothing_to_explain():
    assert verdict(observed=TENSOR, residual=2e-7).startswith("There is nothing to explain")


def test_rounding_is_ruled_out_with_its_figures():
    text = verdict([tried("TF32", distance=2.0, size=1e-3), tried("a", distance=0.1)], SEEN)
    assert "Rounding cannot explain it: every op on mlx:cpu together gives 1 - corr = " in text
    factor = drift(BASE, BASE + CHANGES[1]).rms / SMALL.rms
    assert f"All errors would have to grow by {factor:.2g}; gelu, the op that needs least, by 3e+05." in text
    assert "Lower precision, as 1 - corr: TF32" in text
    assert "not ruled out" not in text
    assert "Figures alone prove nothing" in text


def test_a_precision_that_does_more_than_was_seen_is_too_much():
    text = verdict([tried("int8 in groups of 64", distance=2.0), tried("int3 in groups of 64", distance=9.0, size=4.0)],
                   Observed(figures_of(drift(BASE, BASE + 0.1 * CHANGES[1]))))  # fmt: skip
    assert re.search(r"int8 in groups of 64 \S+ \(not ruled out\), int3 in groups of 64 \S+ \(too much\)\.", text)


def test_the_same_bits_have_no_largest_share():
    assert verdict(total=drift(BASE, BASE)).startswith("All of mlx:cpu together gives the same bits as side A here.")


def test_rounding_that_is_large_enough_is_not_ruled_out():
    text = verdict([tried("int3 in groups of 32", distance=0.3, size=1.0)], SEEN, total=drift(BASE, BASE + CHANGES[2]))
    assert "Rounding may explain it" in text
    assert "(not ruled out)" in text


def test_one_match_is_the_explanation():
    text = verdict([tried("a", residual=1e-7, match=True), tried("b", residual=0.2)], TENSOR, 0.1)
    assert "The explanation is a (place): a it is. It leaves 1e-07 standard deviations" in text
    assert "the next, b (place), leaves 0.2" in text


def test_what_is_explained_needs_no_precision_and_no_pair():
    found = [tried("a", residual=1e-7, match=True), tried("TF32", residual=0.2, size=1.0)]
    text = verdict(found, TENSOR, 0.1, [tried("a and b", residual=1e-7, match=True)])
    assert "The explanation is a" in text
    assert "ruled out" not in text
    assert "together explain" not in text


def test_what_leaves_as_much_as_nothing_is_not_the_nearest():
    text = verdict([tried("a", residual=0.0999)], TENSOR, 0.1)
    assert "No single variant explains it, and none comes near: side A itself leaves 0.1 " in text


def test_several_matches_are_all_named():
    both = [tried(name, residual=1e-7, match=True) for name in "ab"]
    assert "These explain it, and these inputs do not tell them apart: a (place), b (place)." in verdict(
        both, TENSOR, 0.1
    )


def test_no_match_names_the_nearest():
    text = verdict([tried("a", residual=0.05)], TENSOR, 0.1, [tried("a and b", residual=1e-7, match=True)])
    assert "No single variant explains it. The nearest is a (place)" in text
    assert "Two together explain it: a and b (place), residual 1e-07" in text


def test_pairs_by_figures_tell_their_factor():
    text = verdict([tried("a", distance=0.4)], SEEN, None, [tried("a and b", distance=math.log(1.5))])
    assert "Of 1 pairs tried, the best is a and b (place); it is off by a factor of 1.5." in text


def test_unknown_drifts_do_not_reach_the_sentences():
    unknown = Tried("int4", "place", "n", UNKNOWN, None, None, None, False)
    assert "nan" not in verdict([unknown], SEEN).lower()


def test_the_record_is_strict_json():
    from localizations import made_with_tensor

    document = to_json(made_with_tensor(drift=UNKNOWN))
    assert document["drift"]["corr"] == "nan"
    assert document["drift"]["per_step"][0]["name"] == "step0.x"
    assert {"op", "calls", "local_excess", "drift_only", "drift_all_but", "factor_needed"} <= document["attribution"][
        0
    ].keys()
    assert {"name", "place", "corr_to_observed", "residual", "match", "drift"} <= document["variants"][0].keys()
    assert isinstance(document["verdict"], str)
