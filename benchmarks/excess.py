"""Honest maxima of excess, by op, subject and regime: what `EXCESS_LIMIT` rests on.

    python benchmarks/excess.py --cases 2000 --seeds 1,2,3

Runs the ops in float32 on backends that are taken for honest, and prints the largest excess under wide for each regime
of the first input, before any appeal, and every case that was judged a fault. Exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tabulate import tabulate

from opfuzz.backends import discover
from opfuzz.core.verdicts import CLEAN, FAULT, SEVERITY
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.executors import Casualty, pool
from opfuzz.engine.plan import CASE_SECONDS, Plan, load_specs
from opfuzz.generate import draw
from opfuzz.judge.explain import EXCESS_LIMIT
from opfuzz.report.causes import word_cause

OPS = "matmul,linear,conv1d,layer_norm,attention,sum"
SUBJECTS = "torch:cpu,mlx:cpu,numpy:cpu"
BATCH = 25
HUNG = 2  # cases that a subject may hang in before it is spared the rest


@dataclass(frozen=True)
class Measured:
    """One case on one subject."""

    subject: str
    regime: str
    verdict: str
    reason: str
    excess: float


_benches: dict[int, Bench] = {}


def set_up(plans: dict[int, Plan]) -> None:
    """Make the tools of a worker, one bench for each seed."""
    _benches.update({seed: Bench(plan) for seed, plan in plans.items()})


def measure(work: tuple[int, CaseItem]) -> list[Measured]:
    """Every subject's excess on one case."""
    seed, item = work
    bench = _benches[seed]
    spec = bench.specs[item.op]
    regime = next(iter(draw(spec, item.format, seed, item.number).regimes.values()))
    with np.errstate(all="ignore"):
        judged = bench.examine(item).judged
    return [Measured(j.subject, regime, j.score.verdict, word_cause(j.score.cause), j.score.excess) for j in judged]


def main() -> int:
    """Measure, print, and say whether anything honest was accused."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ops", default=OPS)
    parser.add_argument("--subjects", default=SUBJECTS)
    parser.add_argument("--format", default="float32")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    specs = load_specs([Path(__file__).parents[1] / "specs"], discover(), options.ops.split(","))
    subjects = tuple(options.subjects.split(","))
    plans = {seed: Plan(specs, subjects, seed, options.jobs, cases=options.cases) for seed in seeds}
    lost: Counter[tuple[str, str]] = Counter()
    sent: list[list[tuple[int, CaseItem]]] = []

    def batches() -> Iterator[list[tuple[int, CaseItem]]]:
        for start in range(0, options.cases, BATCH):
            for seed in seeds:
                for spec in specs:
                    spared = frozenset(s for (op, s), count in lost.items() if op == spec.op and count >= HUNG)
                    numbers = range(start, min(start + BATCH, options.cases))
                    sent.append([(seed, CaseItem(spec.op, options.format, n, spared)) for n in numbers])
                    yield sent[-1]

    largest: dict[tuple[str, str, str], float] = defaultdict(float)
    appealed: Counter[tuple[str, str]] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[list[str]] = []
    preload = ["opfuzz.engine.campaign", "torch", "mlx.core", "mlx.nn"]
    setting = partial(set_up, plans)
    for number, results in pool.run(
        batches(), measure, jobs=options.jobs, timeout=CASE_SECONDS, preload=preload, initialise=setting
    ):
        for (seed, item), result in zip(sent[number], results, strict=True):
            if isinstance(result, Casualty):
                lost[item.op, result.label] += 1
                result = [Measured(result.label, "", result.kind, result.message, 0.0)]
            for m in result:
                counts[item.op, m.subject] += 1
                if SEVERITY[m.verdict] == FAULT:
                    faults.append([item.op, m.subject, f"seed {seed}, case {item.number}", m.verdict, m.reason])
                elif SEVERITY[m.verdict] == CLEAN or m.excess <= EXCESS_LIMIT:
                    place = (item.op, m.regime, m.subject)
                    largest[place] = max(largest[place], m.excess)
                else:
                    appealed[item.op, m.subject] += 1
    places = sorted({(op, regime) for op, regime, _ in largest})
    rows = [[op, regime, *(f"{largest.get((op, regime, s), 0.0):.3g}" for s in subjects)] for op, regime in places]
    print(tabulate(rows, ("op", "regime", *subjects), disable_numparse=True))
    totals = []
    for op in options.ops.split(","):
        most = [max((v for (o, _, t), v in largest.items() if (o, t) == (op, s)), default=0.0) for s in subjects]
        tried = " ".join(str(counts[op, s]) for s in subjects)
        totals.append([op, *(f"{v:.3g}" for v in most), *(str(appealed[op, s]) for s in subjects), tried])
    headers = ("op", *subjects, *(f"{s} appealed" for s in subjects), "cases")
    print(f"\nLargest over all regimes; the limit is {EXCESS_LIMIT}.", end=" ")
    print("Appealed: beyond it, and explained by the usual formula.")
    print(tabulate(totals, headers, disable_numparse=True))
    print(f"\n{len(faults)} faults")
    if faults:
        print(tabulate(faults, ("op", "subject", "case", "verdict", "reason")))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
