"""Regimes of indices and masks."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.generate.choices import Words
from opfuzz.generate.regimes import INDEX_REGIMES, MASK_REGIMES

SHAPES = [(), (0,), (1,), (5,), (3, 0), (2, 3), (2, 3, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("below", [1, 2, 7, 65537])
@pytest.mark.parametrize("regime", INDEX_REGIMES)
def test_indices_stay_in_range(regime: str, below: int, shape: tuple[int, ...]) -> None:
    for seed in range(10):
        values = INDEX_REGIMES[regime](Words("index", seed), shape, below)
        assert np.shape(values) == shape
        assert values.dtype == np.int64
        assert ((values >= 0) & (values < below)).all()


@pytest.mark.parametrize("regime", INDEX_REGIMES)
def test_no_index_points_into_nothing(regime: str) -> None:
    assert INDEX_REGIMES[regime](Words("index"), (0, 3), 0).shape == (0, 3)


def test_indices_are_as_their_names_say() -> None:
    def drawn(regime: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return INDEX_REGIMES[regime](Words("index"), (20, 30), 100)

    assert np.ptp(drawn("equal_index")) == 0
    assert np.unique(drawn("boundary_index")).tolist() == [0, 99]
    assert len(np.unique(drawn("random_index"))) > 90
    assert (np.diff(drawn("sorted_index"), axis=-1) >= 0).all()
    assert (np.abs(np.diff(drawn("alternating_index"), axis=-1)) == 99).all()
    assert np.unique(drawn("middle_index")).tolist() == [*range(42, 58)]
    assert len({INDEX_REGIMES["equal_index"](Words("e", seed), (), 9).item() for seed in range(99)}) == 9


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("regime", MASK_REGIMES)
def test_masks_have_their_shape(regime: str, shape: tuple[int, ...]) -> None:
    for seed in range(10):
        mask = MASK_REGIMES[regime](Words("mask", seed), shape)
        assert np.shape(mask) == shape
        assert mask.dtype == np.bool_
        assert np.array(mask).flags.writeable


def test_masks_are_as_their_names_say() -> None:
    def drawn(regime: str, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return MASK_REGIMES[regime](Words("mask", seed), (6, 8, 10))

    assert drawn("full_mask").all()
    assert (drawn("causal_mask") == (np.arange(10) <= np.arange(8)[:, None])).all()
    assert (drawn("one_left").sum(axis=-1) == 1).all()
    left = drawn("some_left").sum(axis=-1)
    assert (left >= 1).all()
    assert (left >= 2).any()
    shares = [drawn("random_mask", seed).mean() for seed in range(40)]
    assert min(shares) < 0.2
    assert max(shares) > 0.7
    assert all((~drawn("empty_row", seed).any(axis=-1)).any() for seed in range(40))


def test_the_causal_mask_of_a_single_row() -> None:
    assert MASK_REGIMES["causal_mask"](Words("mask"), (4,)).tolist() == [True, False, False, False]
