"""The inputs of a case: the same bytes everywhere, whatever ran before."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from toy_specs import CONVOLUTION, LOOKUP, NORM, TOYS, UNARY

from opfuzz.backends import discover
from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import applicable
from opfuzz.engine.plan import vocabulary
from opfuzz.generate import draw, inputs
from opfuzz.generate.regimes import FLOAT_REGIMES, INDEX_REGIMES, MASK_REGIMES
from opfuzz.spec import OpSpec, load

toys = pytest.mark.parametrize("spec", TOYS, ids=lambda spec: spec.op)
TESTS = Path(__file__).parents[1]


def digest(arrays: dict[str, NDArray[Any]]) -> str:
    """Names, shapes, dtypes and bytes, little-endian."""
    total = hashlib.blake2b(digest_size=8)
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.name} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()


def unary(regime: str, format: str, n: int = 301, seed: int = 2024) -> Case:
    return Case("unary", UNARY.digest, format, {"n": n}, {}, {"x": regime}, {"x": "contiguous"}, seed)


# The values of every regime in every format, and of masks and indices. A change here changes the inputs of all stored
# cases: only with a reason that the change log tells.
PINNED = {
    "float64": "cb92a16fd3e53cae",
    "float32": "97fe090ebb5090b3",
    "float16": "71080d3fa041a4ec",
    "bfloat16": "33373abe69dfc856",
    "indices and masks": "1a586da54b9b90f7",
}


@pytest.mark.parametrize("format", FORMATS)
def test_values_are_pinned(format: str) -> None:
    arrays = {}
    for regime in FLOAT_REGIMES:
        for seed in range(4):
            arrays[f"{regime} {seed}"] = inputs(UNARY, unary(regime, format, seed=seed))["x"]
    assert digest(arrays) == PINNED[format]


def test_indices_and_masks_are_pinned() -> None:
    arrays = {}
    for index, mask in itertools.product(INDEX_REGIMES, MASK_REGIMES):
        regimes = {"table": "zeros", "index": index, "keep": mask, "bias": mask}
        dims = {"rows": 7, "columns": 9, "vocab": 11, "d": 4}
        case = Case("lookup", "", "float32", dims, {}, regimes, dict.fromkeys(regimes, "contiguous"), 2024)
        arrays |= {f"{index} {mask} {name}": array for name, array in inputs(LOOKUP, case).items()}
    assert digest(arrays) == PINNED["indices and masks"]


_CHILD = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from test_fill import digest
from toy_specs import TOYS
from opfuzz.generate import draw, inputs
numbers = range(6) if sys.argv[2] == "forward" else reversed(range(6))
found = {}
for number in numbers:
    for spec in TOYS:
        case = draw(spec, spec.formats[number % 4], 11, number)
        found[case.id] = digest(inputs(spec, case))
print(json.dumps(found, sort_keys=True))
"""


def test_other_processes_hash_seeds_and_orders_give_the_same_bytes() -> None:
    paths = json.dumps([str(TESTS.parent), str(TESTS), str(TESTS / "generate")])
    said = set()
    for hash_seed, order in (("0", "forward"), ("777", "backward")):
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, paths, order],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        said.add(child.stdout)
    assert len(said) == 1
    here = {}
    for number in range(6):
        for spec in TOYS:
            case = draw(spec, spec.formats[number % 4], 11, number)
            here[case.id] = digest(inputs(spec, case))
    assert json.loads(said.pop()) == here


@toys
@pytest.mark.parametrize("format", FORMATS)
def test_arrays_are_what_the_spec_says(spec: OpSpec, format: str) -> None:
    for number in range(60):
        case = draw(spec, format, 3, number)
        arrays = inputs(spec, case)
        shapes = spec.shapes(case.dims, case.params)
        for given in spec.inputs:
            array = arrays[given.name]
            assert array.shape == shapes[given.name]
            assert array.flags.c_contiguous
            expected = {"index": np.dtype(np.int64), "mask": np.dtype(np.bool_)}.get(given.kind, FORMATS[format].dtype)
            assert array.dtype == expected
            if case.layouts[given.name] == "broadcast":
                assert applicable("broadcast", array.shape)
                assert all(row.tobytes() == array[0].tobytes() for row in array)
            if given.kind == "additive_mask":
                assert np.isin(array.astype(np.float64), [0.0, -np.inf]).all()
            if given.kind == "index":
                assert ((array >= 0) & (array < case.dims["vocab"])).all()


def test_values_stay_while_other_things_of_the_case_change() -> None:
    """So that a shrunk case keeps the values that showed the fault."""
    case = draw(NORM, "float32", 0, 0)
    regimes, layouts = dict.fromkeys(case.regimes, "normal"), dict.fromkeys(case.layouts, "contiguous")
    case = dataclasses.replace(case, dims={"batch": 4, "d": 10}, regimes=regimes, layouts=layouts)
    values = inputs(NORM, case)["x"]
    other = dataclasses.replace(case, layouts=dict.fromkeys(case.layouts, "stepped"), params={"eps": 1e-12})
    np.testing.assert_array_equal(inputs(NORM, other)["x"], values)
    fewer = dataclasses.replace(case, dims={"batch": 2, "d": 10})
    np.testing.assert_array_equal(inputs(NORM, fewer)["x"], values[:2])
    half = inputs(NORM, dataclasses.replace(case, format="float16"))["x"]
    assert np.abs(half.astype(np.float64) - values).max() < 2**-9


def test_seeds_and_inputs_have_values_of_their_own() -> None:
    case = dataclasses.replace(draw(NORM, "float32", 0, 0), dims={"batch": 1, "d": 10})
    case = dataclasses.replace(case, regimes=dict.fromkeys(case.regimes, "normal"))
    arrays = [*inputs(NORM, case).values(), *inputs(NORM, dataclasses.replace(case, seed=1)).values()]
    assert len({array.tobytes() for array in arrays}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op": "other"}, "is of op 'other', not 'unary'"),
        ({"dims": {"m": 3}}, "dims are m, but those of unary are n"),
        ({"params": {"eps": 1}}, "params are eps, but those of unary are none"),
        ({"regimes": {"y": "ones"}, "layouts": {"y": "offset"}}, "inputs are y, but those of unary are x"),
        ({"regimes": {"x": "noraml"}}, "input x: unknown regime 'noraml'; did you mean 'normal'"),
        ({"regimes": {"x": "full_mask"}}, "input x: regime 'full_mask' makes no float values"),
    ],
)
def test_a_case_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OpfuzzError, match=message):
        inputs(UNARY, dataclasses.replace(unary("ones", "float32"), **change))


def test_sizes_that_the_spec_forbids_are_refused() -> None:
    case = draw(CONVOLUTION, "float32", 0, 0)
    sizes = {"n": 1, "c_in": 3, "c_out": 2, "length": 5, "k": 1}
    wrong = dataclasses.replace(case, dims=sizes, params={**case.params, "groups": 2})
    with pytest.raises(OpfuzzError, match=r"convolution does not allow convolution\[float32\]\(n=1, c_in=3"):
        inputs(CONVOLUTION, wrong)
    case = draw(LOOKUP, "float32", 0, 0)
    nothing = dataclasses.replace(case, dims={"rows": 1, "columns": 1, "vocab": 0, "d": 4})
    with pytest.raises(OpfuzzError, match="lookup: input index has no index below 0"):
        inputs(LOOKUP, nothing)


def test_an_input_without_axes_stays_one(tmp_path: Path) -> None:
    (tmp_path / "scaled.yaml").write_text(
        "op: scaled\nsummary: x times s.\nformats: [float32]\ndims: {n: 1..3}\n"
        "inputs: {x: {shape: [n]}, s: {shape: []}}\noutput: {shape: [n]}\n"
        "calls: {numpy: 'np.multiply(x, s)'}\nreference: x * s\n"
    )
    spec = load(tmp_path / "scaled.yaml", vocabulary(discover(), dialects=()))
    assert inputs(spec, draw(spec, "float32", 0, 0))["s"].shape == ()
