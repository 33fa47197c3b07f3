"""How much of an op's errors a pipeline passes on to its output, measured by making such errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FLOAT32, FORMATS, FloatArray, ulp
from opfuzz.network.drift import drift
from opfuzz.network.pipeline.dispatch import Array, Compute, OpCall
from opfuzz.network.pipeline.planting import Setup
from opfuzz.spec import OpSpec
from opfuzz.spec.profile import OperatingPoint, ProfileRecorder

# With S the pipeline's output and S' the output when each element y of each result of an op has become y +- ulp(y),
# signs at random: gain = rms(S' - S) / std(S). It is measured with errors of ULPS ulps and divided by that. After one
# of 1 ulp all later ops round otherwise too: that alone moves the output of the bundled decoder by 3e-7, where gains
# begin at 1e-9. With errors of 4096 ulps, 5e-4 at most, gains agree with those of 256 ulps to 2 %, except the smallest.
ULPS: Final = 4096.0


def gains(
    setup: Setup, specs: Mapping[str, OpSpec], seed: int, watch: Callable[[int, int], None] = lambda done, total: None
) -> tuple[tuple[OperatingPoint, ...], dict[str, float]]:
    """The operating points of a pipeline, and the gain of each of its ops; runs it once, and once more for each op.

    `watch` is told how many of how many runs are done. Raises OpfuzzError for a pipeline whose output is no finite
    tensor, or the same everywhere.
    """
    recorder = ProfileRecorder()

    def recording(call: OpCall) -> Array:
        recorder.add(call)
        return setup.compute(call)

    output, _ = replace(setup, compute=recording).run(specs)
    if output.dtype.name not in FORMATS or not np.isfinite(output).all() or not np.ptp(output):
        raise OpfuzzError("the output of the pipeline has nothing to drift: not finite floats, or one value everywhere")
    points = recorder.points()
    ops = list(dict.fromkeys(point.op for point in points))
    found = {}
    for done, op in enumerate(ops, start=1):
        watch(done, len(ops) + 1)
        other, _ = replace(setup, compute=_erring(setup.compute, op, seed)).run(specs)
        apart = drift(output, other)
        found[op] = apart.rms / apart.std_a / ULPS
    return points, found


def _erring(compute: Compute, op: str, seed: int) -> Compute:
    """`compute` with errors of ULPS ulps in every element of every result of one op."""

    def erring(call: OpCall) -> Array:
        result = compute(call)
        return _off(result, _signs(result.size, seed, call.number)) if call.op == op else result

    return erring


def _off(result: Array, signs: FloatArray) -> Array:
    """Each finite element off by ULPS ulps of float32, in the format of the result."""
    exact = result.astype(np.float64)
    is_finite = np.isfinite(exact)
    size = ULPS * ulp(np.where(is_finite, exact, 0.0), FLOAT32)
    return np.where(is_finite, exact + signs.reshape(exact.shape) * size, exact).astype(result.dtype)


def _signs(count: int, seed: int, number: int) -> FloatArray:
    """1 or -1, by chance; NumPy promises the raw words of Philox."""
    words = np.random.Philox(key=np.array([seed, number], np.uint64)).random_raw(count // 64 + 1)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), count=count)
    return np.asarray(bits * 2.0 - 1.0, np.float64)
