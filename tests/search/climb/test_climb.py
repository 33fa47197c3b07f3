"""Guided search on errors that are made up: peaks are found, calls stay valid, sizes that raise the error go on."""

from __future__ import annotations

from itertools import islice
from math import pi

import numpy as np
import pytest
from toy_specs import NORM, PRODUCT, TOYS, UNARY

from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, ordinals, round_to, to_bits
from opfuzz.core.layout import applicable, constant_along_broadcast
from opfuzz.search.climb.evolve import evolve
from opfuzz.search.climb.seeds import seeds
from opfuzz.search.climb.strategy import NUMBERS, TAIL, Seen, climb
from opfuzz.search.climb.zoom import zoom
from opfuzz.spec.expression.program import evaluate

SIZE = 4096


def highest(fmt, error, evaluations, seed=0):
    """What a zoom reaches."""
    search = zoom(fmt, SIZE, np.random.default_rng(seed))
    values, best = next(search), 0.0
    for _ in range(evaluations // SIZE):
        errors = np.where(np.isfinite(values), error(values), 0.0)
        best = max(best, float(errors.max()))
        values = search.send(errors)
    return best


def evolved(spec, format, error, calls, seed=0):
    """The calls of an evolution, and their errors."""
    search = evolve(spec, format, seed, np.random.default_rng(seed))
    call, found = next(search), []
    for _ in range(calls):
        found.append((call, error(call)))
        call = search.send(found[-1][1])
    return found


@pytest.mark.parametrize("fmt", [FLOAT16, BFLOAT16], ids=lambda f: f.name)
def test_a_half_format_is_tried_whole(fmt):
    tried = np.concatenate(list(zoom(fmt, 1000, np.random.default_rng(0))))
    assert np.array_equal(np.unique(to_bits(tried)), np.arange(2**16))


@pytest.mark.parametrize("fmt", [FLOAT32, FLOAT64], ids=lambda f: f.name)
@pytest.mark.parametrize("peak", [-3.7e-12, 0.234, 5.1e7])
def test_a_peak_is_climbed_to_its_top(fmt, peak):
    top = int(ordinals(np.array(peak, fmt.dtype)))
    wide, narrow = 2.0 ** (fmt.precision - 2), 2.0 ** (fmt.precision // 2)

    def error(values):
        distance = np.abs(ordinals(values) - top).astype(float)
        return 0.5 + 0.5 * np.exp(-distance / wide) + np.exp(-distance / narrow)

    assert highest(fmt, error, 400_000) > 1.98


def test_a_broad_peak_does_not_hide_a_higher_narrow_one():
    tops = [int(ordinals(np.array(x, np.float32))) for x in (1e3, -1e-20)]

    def error(values):
        broad, narrow = (np.abs(ordinals(values) - top).astype(float) for top in tops)
        return np.maximum(np.exp(-broad / 2**26), 2 * np.exp(-narrow / 2**19))

    assert highest(FLOAT32, error, 400_000) > 1.98


def test_rounding_noise_does_not_hide_where_it_is_larger():
    """Errors of a good implementation: noise up to 0.5, and a slow bump of 0.1 that only some elements reach."""

    def error(values):
        noise = (to_bits(values).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)) / 2**24
        return 0.5 * noise + 0.1 * np.exp(-((values.astype(float) - 78.98) ** 2) / 4)

    assert highest(FLOAT32, error, 1_000_000) > 0.98 * 0.6


@pytest.mark.parametrize(("fmt", "worst"), [(FLOAT32, 16367173 * 2.0**72), (FLOAT64, 6381956970095103 * 2.0**797)])
def test_seeds_have_the_hardest_arguments_of_sines(fmt, worst):
    """Muller, Elementary Functions, table of the worst cases of reduction by multiples of pi/2."""
    assert worst in seeds(fmt)


def test_seeds_are_numbers_of_the_format_near_the_multiples():
    found = round_to(seeds(FLOAT32), FLOAT32)
    for k in (1, 2, 3, 100):
        assert np.float32(k * pi / 2) in found
        assert -np.float32(k * pi / 2) in found
    assert {np.inf, FLOAT32.largest, FLOAT32.smallest_normal, FLOAT32.smallest_subnormal} <= set(found.astype(float))


@pytest.mark.parametrize("spec", TOYS, ids=lambda s: s.op)
def test_every_call_is_valid(spec):
    for call, _ in evolved(spec, "float32", lambda call: float(sum(a.size for a in call.arrays.values()) % 97), 300):
        assert spec.allows(call.dims, call.params)
        shapes = spec.shapes(call.dims, call.params)
        for given in spec.inputs:
            array, layout = call.arrays[given.name], call.layouts[given.name]
            assert array.shape == shapes[given.name]
            assert applicable(layout, array.shape)
            assert constant_along_broadcast(array, layout).tobytes() == array.tobytes()
            if given.kind == "float":
                assert array.dtype == FORMATS["float32"].dtype
            if given.kind == "index":
                below = evaluate(given.below, {**call.dims, **call.params}, {})
                assert array.dtype == np.int64
                assert array.min() >= 0
                assert array.max() < below


def test_restricted_inputs_keep_their_magnitudes():
    """The weight of NORM is 1 or a normal number: no change may take it elsewhere, however much that is rewarded."""
    found = evolved(NORM, "float32", lambda call: float(np.abs(call.arrays["weight"]).max(initial=0.0)), 600)
    assert max(error for _, error in found) < 8


def test_the_same_seed_gives_the_same_calls():
    def bits(seed):
        found = evolved(PRODUCT, "float32", lambda call: float(sum(call.dims.values())), 100, seed)
        return [(dict(c.dims), {n: a.tobytes() for n, a in c.arrays.items()}, dict(c.layouts)) for c, _ in found]

    assert bits(3) == bits(3)
    assert bits(3) != bits(4)


def test_sizes_that_raise_the_error_go_on_growing():
    """What is drawn has one large size and others that are tiny; the error asks for all three at once."""
    found = evolved(PRODUCT, "float32", lambda call: float(min(call.dims.values())), 400)
    drawn = max(error for _, error in found[:32])
    assert drawn < 32 <= max(error for _, error in found[32:])


def test_values_are_evolved():
    """The largest ratio of two elements of one factor, in binades: far beyond what one regime has."""

    def spread(call):
        sizes = np.abs(call.arrays["a"].astype(np.float64))
        sizes = sizes[sizes > 0]
        return float(np.log2(sizes.max() / sizes.min())) if sizes.size else 0.0

    found = evolved(PRODUCT, "float32", spread, 600)
    assert max(e for _, e in found) > 250


def ascent(error, calls):
    """The calls of a climb of a unary op; `error` is of values and call."""
    search = climb(UNARY, "float32", 0, is_elementwise=True)
    call, made = next(search), []
    for _ in range(calls):
        (values,) = call.arrays.values()
        made.append(call)
        errors = np.where(np.isfinite(values), error(np.where(np.isfinite(values), values, 0), call), 0.0)
        call = search.send(Seen(float(errors.max()), errors))
    return made


def layouts(calls):
    return {layout for call in calls for layout in call.layouts.values()}


def test_other_ways_are_given_up_where_they_change_nothing():
    made = ascent(lambda values, call: np.abs(np.sin(values.astype(float))), 60)
    assert layouts(made[:12]) == {"contiguous", "stepped"}
    assert layouts(made[30:]) == {"contiguous"}


def test_a_way_with_errors_of_its_own_is_searched_too():
    made = ascent(lambda values, call: np.abs(values.astype(float)) * (2 if "stepped" in layouts([call]) else 1), 60)
    assert layouts(made[30:]) == {"contiguous", "stepped"}


def test_the_worst_numbers_are_tried_at_the_end_of_the_array():
    def error(values, call):
        return np.exp(-np.abs(values.astype(float) - 3))

    made = [call for call in ascent(error, 60) if layouts([call]) == {"contiguous"}]
    (last,) = made[-1].arrays.values()
    assert last.size == NUMBERS + TAIL
    assert np.abs(last.ravel()[-TAIL:] - 3).max() < 0.01


def test_a_climb_of_a_half_format_ends():
    calls = climb(UNARY, "float16", 0, is_elementwise=True)
    call, tried = next(calls, None), set()
    while call is not None:
        (values,) = call.arrays.values()
        tried |= set(to_bits(values).ravel().tolist())
        try:
            call = calls.send(Seen(0.0, np.zeros(values.shape)))
        except StopIteration:
            call = None
    assert len(tried) == 2**16


def test_an_op_that_is_not_elementwise_is_evolved():
    calls = list(islice(climb(NORM, "float32", 0, is_elementwise=False), 1))
    assert set(calls[0].arrays) == {given.name for given in NORM.inputs}
