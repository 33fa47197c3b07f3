"""CPU seconds of sweeping every elementwise op in float16 and bfloat16, as `opfuzz sweep specs` does, by its parts.

    python benchmarks/half_sweeps.py [--subjects torch:cpu,mlx:cpu]

All is done in one process, so that a busy machine changes little; the command does the chunks on every core.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np
from tabulate import tabulate

from opfuzz.backends import discover, resolve
from opfuzz.core.floats import HALVES
from opfuzz.engine.drivers.sweep_file import Chunk
from opfuzz.engine.drivers.sweep_sides import Sweep, measure, prepare
from opfuzz.engine.plan import load_specs
from opfuzz.report.search.sweep_picture import draw
from opfuzz.search.sweep.reference import NotUnaryError, check_unary

SPECS = Path(__file__).parents[1] / "specs"
SHOWN = 12  # of the sweeps that take longest


def main() -> None:
    """Print the parts, and the slowest sweeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", default="torch:cpu,mlx:cpu")
    backends, subjects = discover(), parser.parse_args().subjects.split(",")
    parts: dict[str, float] = defaultdict(float)
    slowest: list[tuple[float, str]] = []

    def taken(name: str, since: float) -> float:
        seconds = time.process_time() - since
        parts[name] += seconds
        return seconds

    start = time.process_time()
    specs = load_specs([SPECS], backends)
    taken("read specs, and import frameworks", start)
    for spec in specs:
        params = {param.name: param.default for param in spec.params}
        for fmt in (fmt.name for fmt in HALVES if fmt.name in spec.formats):
            start = time.process_time()
            with suppress(NotUnaryError):
                check_unary(spec, fmt, params)
                for subject in subjects:
                    named, backend = resolve(subject, backends)
                    if backend.dialect_in(spec.calls) in spec.calls and backend.supports(fmt, named.device):
                        sweep = Sweep(spec, subject, fmt, params, 0, 2**16)
                        with np.errstate(all="ignore"):
                            sides = prepare(sweep, backends)
                            found = [measure(sweep, place, *sides) for place in range(len(sweep.chunks()))]
                        slowest.append((taken("sweeps", start), f"{spec.op} {subject} {fmt}"))
                        start = time.process_time()
                        if all(isinstance(chunk, Chunk) for chunk in found):
                            draw(_document(sweep, found[0]), found[0].body.buckets, found[0].tail.buckets)
                        taken("pictures", start)
                        start = time.process_time()
            taken("what is swept", start)
    print(tabulate([(name, f"{seconds:.1f}") for name, seconds in parts.items()], ("part", "CPU s")))
    print(tabulate([(name, f"{s:.2f}") for s, name in sorted(slowest, reverse=True)[:SHOWN]], ("sweep", "CPU s")))
    print(f"{len(slowest)} sweeps, {sum(parts.values()):.1f} CPU s")


def _document(sweep: Sweep, chunk: Chunk) -> dict[str, object]:
    names = {"op": sweep.spec.op, "subject": sweep.subject, "format": sweep.format}
    side = {"max_ulp": 1.0, "at": 1.0, "differing": chunk.differing}
    return {**names, **side, "tail": side}


if __name__ == "__main__":
    main()
