"""Which tensor is named first: a chain of layers with a planted fault, and errors that only grow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.diff.compare import compare
from opfuzz.network.diff.diff import diff, document, first_divergence
from opfuzz.network.tensors import open_tensors

seeds = st.integers(0, 2**32 - 1)


def network(seed: int, dtype: type, fault: int | None = None, depth: int = 12) -> dict[str, np.ndarray]:
    """Outputs of layers tanh(x W), computed in a dtype, saved in float32; the layer `fault` gives 1.0001 times that."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(16, 64)).astype(np.float32).astype(dtype)
    found = {"input.x": x}
    for index in range(depth):
        weight = random.normal(size=(64, 64)) / 8
        x = np.tanh(x @ weight.astype(np.float32).astype(dtype))
        if index == fault:
            x = x * dtype(1.0001)
        found[f"block.{index}"] = x
    return {name: array.astype(np.float32) for name, array in found.items()}


def compared(a: dict[str, np.ndarray], b: dict[str, np.ndarray]):
    return [compare(a[name], b[name], (name, name)) for name in a]


@given(seeds)
def test_rounding_alone_is_no_divergence(seed):
    found = compared(network(seed, np.float32), network(seed, np.float64))
    assert any(tensor.relative for tensor in found)
    assert first_divergence(found) is None


@given(seeds, st.integers(0, 11))
def test_the_layer_with_the_fault_is_named(seed, fault):
    a, b = network(seed, np.float32), network(seed, np.float64, fault)
    found = compared(a, b)
    assert found[first_divergence(found)].name == f"block.{fault}"


def test_of_errors_that_creep_the_jump_is_named_else_the_first_beyond_rounding():
    a = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=1000).astype(np.float32)

    def chain(*amounts):
        return [compare(a, a + np.float32(amount) * noise, (str(i), str(i))) for i, amount in enumerate(amounts)]

    assert first_divergence(chain(2e-6, 6e-6, 2e-5, 1e-3, 2e-3)) == 3
    assert first_divergence(chain(2e-6, 6e-6, 2e-5, 1e-4)) == 1


def test_one_wrong_element_of_many_diverges():
    a = np.random.default_rng(0).normal(size=10**5).astype(np.float32)
    b = a.copy()
    b[777] += 1e-3  # rms(b - a) / rms(a) = 3e-6, within rounding
    assert compare(a, b, ("x", "x")).diverges


def test_formats():
    a = np.random.default_rng(0).normal(size=1000)
    single = a.astype(np.float32)
    assert not compare(a, single.astype(np.float64), ("x", "x")).diverges  # computed in float32, saved as float64
    assert compare(a, a * (1 + 1e-12), ("x", "x")).diverges
    assert not compare(single, a.astype(np.float16), ("x", "x")).diverges
    assert "float32 against float16" in compare(single, a.astype(np.float16), ("x", "x")).explanation
    assert compare(single, a.astype(np.float16).astype(np.float32), ("x", "x")).diverges
    whole = np.arange(100)
    assert not compare(whole, whole.astype(np.float32), ("x", "x")).diverges
    assert compare(whole, np.where(whole == 3, 4, whole), ("x", "x")).diverges
    assert compare(a + 1j * a, a + 1.1j * a, ("x", "x")).diverges
    assert not compare(a > 0, a > 0, ("x", "x")).diverges


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (1, 1, 1), (2,)])
def test_tiny_tensors(shape):
    a = np.ones(shape, np.float32)
    assert not compare(a, a.copy(), ("x", "x")).diverges
    assert compare(a, a * 2, ("x", "x")).diverges == bool(a.size)
    nothing = np.full(shape, np.nan, np.float32)
    assert not compare(nothing, nothing.copy(), ("x", "x")).diverges


EXTREMES = (
    np.array([1e308, -1e308, 1]),
    np.array([5e-324, 0, 0]),
    np.array([3e38, -3e38, 1], np.float32),
    np.array([np.inf, -np.inf, np.nan]),
    np.array([2**63 - 1, 3, 4]),
    np.array([True, False, True]),
    np.array([1 + 2j, 0, 1]),
    np.zeros((1, 3, 1)),
    np.zeros(0),
    np.float16(1.5),
)


@pytest.mark.parametrize("a", EXTREMES, ids=str)
@pytest.mark.parametrize("b", EXTREMES, ids=str)
def test_any_two_tensors_can_be_compared(a, b):
    assert compare(a, b, ("x", "x")).diverges == (a is not b)


def test_an_empty_tensor_hides_no_later_divergence():
    empty, one = np.ones(0, np.float32), np.ones(3, np.float32)
    assert first_divergence([compare(empty, empty, ("e", "e")), compare(one, one * 2, ("x", "x"))]) == 1


def test_overflow_of_the_squares_does_not_matter():
    a = np.array([1e300, -1e300, 5e299, 1e299])
    assert not compare(a, a * (1 + 2**-52), ("x", "x")).diverges
    assert compare(a, a * 1.5, ("x", "x")).diverges


def test_the_document_is_strict_json(tmp_path):
    a = {"input.x": np.array([1.0, np.nan], np.float32), "y": np.array([np.inf, 1.0], np.float32)}
    save_file(a, tmp_path / "a.safetensors")
    save_file({**a, "z": a["y"]}, tmp_path / "b.safetensors")
    found = document(diff(*(open_tensors(tmp_path / f"{x}.safetensors") for x in "ab"), {}, ()))
    assert found["first_divergence"] is None
    assert found["only_b"] == ["z"]
    assert [row["name"] for row in found["tensors"]] == ["input.x", "y"]
    assert found["tensors"][0]["first_a"] == [1.0, "nan"]
    assert found["tensors"][1]["first_b"] == ["inf", 1.0]


def test_figures_of_a_row(tmp_path):
    a = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
    np.save(tmp_path / "one.npy", a)
    np.save(tmp_path / "other.npy", a + np.float32([0, 0, 0, 1]))
    row = document(diff(open_tensors(tmp_path / "one.npy"), open_tensors(tmp_path / "other.npy"), {}, ()))["tensors"][0]
    assert (row["mae"], row["median"], row["max"], row["rms"], row["shift"]) == (0.25, 0, 1, 0.5, 0.25)
    assert row["max_ulp"] == 2**20  # 8 and 9 are 2^20 floats apart: ulp(8) is 2^-20
    assert row["max_db"] == pytest.approx(20 * math.log10(math.e))
    assert row["corr"] == pytest.approx(np.corrcoef(a, [1, 2, 4, 9])[0, 1])
    assert (row["mean_a"], row["max_b"], row["shape_a"], row["dtype_b"]) == (3.75, 9, [4], "float32")


def test_nothing_in_common(tmp_path):
    np.savez(tmp_path / "a.npz", weight=np.ones(2))
    np.savez(tmp_path / "b.npz", weights=np.ones(2))
    with pytest.raises(OpfuzzError, match=r"no name in common: 'weight' .*did you mean 'weights'.*--map"):
        diff(open_tensors(tmp_path / "a.npz"), open_tensors(tmp_path / "b.npz"), {}, ())
