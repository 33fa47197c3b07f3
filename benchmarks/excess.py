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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from opfuzz.backends import discover
from opfuzz.core.verdicts import CLEAN, FAULT, SEVERITY
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, Task, drive
from opfuzz.engine.plan import CASE_SECONDS, Plan, load_specs
from opfuzz.engine.roster import Roster
from opfuzz.generate import draw
from opfuzz.judge.limits import EXCESS_LIMIT
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


@dataclass(frozen=True)
class ExcessTask(Task[Mapping[int, Bench], tuple[int, CaseItem], list[Measured]]):
    """Every subject's excess on cases of several plans, one for each seed."""

    plans: Mapping[int, Plan]
    modules: tuple[str, ...]
    timeout: float = CASE_SECONDS
    memory: int | None = None

    def describe(self, item: tuple[int, CaseItem]) -> str:
        """See Task."""
        seed, case = item
        return f"case {case.number} of {case.op} with seed {seed}"

    def set_up(self) -> Mapping[int, Bench]:
        """A bench for each seed."""
        return {seed: Bench(plan) for seed, plan in self.plans.items()}

    def work(self, state: Mapping[int, Bench], item: tuple[int, CaseItem]) -> list[Measured]:
        """Every subject's excess on one case."""
        seed, case = item
        bench = state[seed]
        regime = next(iter(draw(bench.specs[case.op], case.format, seed, case.number).regimes.values()))
        judged = bench.examine(case).judged
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

    def batches() -> Iterator[list[tuple[int, CaseItem]]]:
        for start in range(0, options.cases, BATCH):
            for seed in seeds:
                for spec in specs:
                    spared = frozenset(s for (op, s), count in lost.items() if op == spec.op and count >= HUNG)
                    numbers = range(start, min(start + BATCH, options.cases))
                    yield [(seed, CaseItem(spec.op, options.format, n, spared)) for n in numbers]

    largest: dict[tuple[str, str, str], float] = defaultdict(float)
    appealed: Counter[tuple[str, str]] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[list[str]] = []

    def take(number: int, batch: Sequence[tuple[tuple[int, CaseItem], list[Measured] | Casualty]]) -> None:
        for (seed, item), result in batch:
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

    modules = Roster.of(subjects, (), discover()).modules
    if drive(LOCAL, ExcessTask(plans, modules), batches(), take, jobs=options.jobs, borne=RAISED):
        return 130
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
