"""How long a sweep takes: the op, its float64 reference and the scoring apart, in nanoseconds an input.

    python benchmarks/sweep.py [--subject torch:cpu] [--format float32] [OP ...]

Chunks from all over the format are measured in one process; a sweep does the same on every core.
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path

from tabulate import tabulate

from opfuzz.backends import discover
from opfuzz.core.floats import FORMATS
from opfuzz.engine.drivers.sweep_file import Chunk
from opfuzz.engine.drivers.sweep_sides import Sweep, measure, prepare
from opfuzz.engine.plan import load_specs

SPECS = Path(__file__).parents[1] / "specs"
CHUNKS = 16  # of one op, at equal distances
HEADERS = ("op", "op ns", "reference ns", "scoring ns", "all ns", "million inputs/s", "full sweep on 2 cores, s")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ops", nargs="*", default=["exp", "tanh", "erf", "rsqrt"])
    parser.add_argument("--subject", default="torch:cpu")
    parser.add_argument("--format", default="float32", choices=("float32", "float16", "bfloat16"))
    chosen = parser.parse_args()
    backends = discover()
    rows, total = [], 0.0
    for spec in load_specs([SPECS], backends, chosen.ops):
        count = 2 ** FORMATS[chosen.format].bits
        params = {param.name: param.default for param in spec.params}
        sweep = Sweep(spec, chosen.subject, chosen.format, params, 0, count)
        oracle, subject = prepare(sweep, backends)
        places = len(sweep.chunks())
        step = max(1, places // CHUNKS)
        measure(sweep, 0, oracle, subject)  # the first call of a framework takes longer
        found = [measure(sweep, place, oracle, subject) for place in range(step // 2, places, step)]
        if reasons := [chunk for chunk in found if isinstance(chunk, str)]:
            raise SystemExit(f"{spec.op}: {reasons[0]}")
        chunks = [chunk for chunk in found if isinstance(chunk, Chunk)]
        inputs = sum(chunk.body.inputs for chunk in chunks)
        whole, op, reference = (
            sum(getattr(chunk, name) for chunk in chunks) / inputs
            for name in ("seconds", "op_seconds", "reference_seconds")
        )
        times = [f"{1e9 * t:.1f}" for t in (op, reference, whole - op - reference, whole)]
        rows.append([spec.op, *times, f"{1e-6 / whole:.1f}", f"{whole * count / 2:.0f}"])
        total += whole * count / 2
    print(tabulate(rows, HEADERS, disable_numparse=True))
    print(f"all: {total:.0f} s; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB in one process")


if __name__ == "__main__":
    main()
