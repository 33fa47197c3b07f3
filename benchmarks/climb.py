"""How near a climb comes to the exact worst error of elementwise float32 functions.

    python benchmarks/climb.py --evaluations 1000000 --seeds 5

Prints the median and the least of several seeds against the exact maximum over all 2^32 inputs. Those maxima were
measured by sweeps; another processor or version may have others: `opfuzz sweep --format float32` measures them, and
`--worst torch:cpu/exp=0.571626` puts one in. Exits with 1 where a median is below 98 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

from tabulate import tabulate

from opfuzz.backends import discover, resolve
from opfuzz.engine.drivers.climb import climb_here
from opfuzz.engine.plan import load_specs

ENOUGH = 0.98
# Over all float32 inputs with a normal result; torch 2.13.0 and MLX 0.32.4 on AMD EPYC with AVX2, glibc 2.36. On other
# processors torch's exp, tanh and erf have these under MKL_CBWR=COMPATIBLE.
WORST = {
    ("torch:cpu", "exp"): 0.568234,
    ("torch:cpu", "tanh"): 0.513078,
    ("torch:cpu", "erf"): 0.783788,
    ("torch:cpu", "sin"): 0.605,
    ("torch:cpu", "rsqrt"): 1.490,
    ("mlx:cpu", "exp"): 64.08,
    ("mlx:cpu", "tanh"): 2.18855,
    ("mlx:cpu", "sin"): 1.67e6,
}


def known(text: str) -> tuple[tuple[str, str], float]:
    """Reads `torch:cpu/exp=0.571626`."""
    place, _, value = text.partition("=")
    subject, _, op = place.rpartition("/")
    return (subject, op), float(value)


def main() -> int:
    """Climb, print, and say whether every median is near enough."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--worst", type=known, action="append", default=[], help="SUBJECT/OP=ULP")
    options = parser.parse_args()
    worst = WORST | dict(options.worst)
    backends = discover()
    specs = {s.op: s for s in load_specs([Path(__file__).parents[1] / "specs"], backends, [op for _, op in worst])}
    rows, is_enough = [], True
    for (text, op), exact in worst.items():
        subject, backend = resolve(text, backends)
        backend.limit_threads(1)
        started, reached, places = time.monotonic(), [], []
        for seed in range(options.seeds):
            best = climb_here(specs[op], subject, backend, "float32", seed, options.evaluations)[0]
            assert best.witness is not None
            reached.append(best.judged.score.ulp)
            places.append(best.witness.inputs_hex["x"][0])
        seconds = (time.monotonic() - started) / options.seeds
        is_enough &= median(reached) >= ENOUGH * exact
        top = places[reached.index(max(reached))]
        figures = [f"{median(reached):.6g}", f"{min(reached):.6g}", f"{max(reached):.6g}"]
        shares = [f"{median(reached) / exact:.4f}", f"{min(reached) / exact:.4f}"]
        rows.append([op, text, f"{exact:.6g}", *figures, top, *shares, f"{seconds:.2f}"])
    headers = ("op", "subject", "exact", "median", "least", "most", "at", "median share", "least share", "s a climb")
    print(f"Largest ulp error after {options.evaluations} evaluations, {options.seeds} seeds")
    print(tabulate(rows, headers, disable_numparse=True))
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
