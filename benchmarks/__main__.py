"""What a run costs: python -m benchmarks [SECTION ...], from the root of the repository.

    ops       cases a second of each op, on one worker and on all
    shares    where the time of a case goes
    judging   what judging costs next to the calls that are judged, at 10^3, 10^5 and 10^7 elements
    gradients what judging gradients costs next to judging the ops themselves
    harness   opfuzz against a plain Hypothesis harness and against the two calls alone
    scaling   cases a second over workers and executors
    memory    the peak of `opfuzz run specs/` in all its processes together
    coordinator  what one coordinator takes in of many workers of a cluster, with --workers and --rate
    subjects  CPU time of a case on each subject, and the memory that 2,000 of them leave: half an hour

Without a section all of them but the last, about ten minutes on two cores. Ratios are of one run on one machine; other
programs on it slow everything. `--json FILE` writes the figures as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from benchmarks import against_harness, coordinator, gradients, harness, judging, memory, shares, subjects, throughput
from opfuzz.backends import discover
from opfuzz.engine.options import DEFAULT_FORMATS
from opfuzz.engine.plan import Plan, load_specs

SPECS = Path(__file__).parents[1] / "specs"
SUBJECTS = ("torch:cpu", "mlx:cpu")
PACKAGES = ("torch", "mlx", "numpy", "scipy", "hypothesis")

Figures = list[dict[str, Any]]


def planned(options: argparse.Namespace, ops: list[str], **fields: Any) -> Plan:
    """The plan of these ops in float32 on one worker, with some fields changed."""
    specs = load_specs([SPECS], discover(), ops)
    own = {"subjects": SUBJECTS, "seed": 0, "jobs": 1, "formats": ("float32",), "cases": options.cases}
    return Plan(specs, **{**own, **fields})


def print_table(title: str, rows: list[list[Any]], headers: list[str]) -> None:
    """One section's table."""
    print(f"\n{title}")
    print(tabulate(rows, headers, floatfmt=".3g", intfmt=","), flush=True)


def ops(options: argparse.Namespace) -> Figures:
    """Cases a second of each op, on one worker and on all."""
    cores = os.cpu_count() or 1
    one, every = (throughput.measure("pool", planned(options, options.ops, jobs=n)) for n in (1, cores))
    figures = []
    for op, (count, seconds) in one.by_op.items():
        counted, taken = every.by_op[op]
        figures.append({"op": op, "cases": count, "one": count / seconds, "all": cores * counted / taken})
    figures.append({"op": "all", "cases": one.cases, "one": one.rate, "all": every.rate})
    rows = [[f["op"], f["cases"], round(f["one"]), round(f["all"])] for f in figures]
    print_table(
        f"Cases a second, {', '.join(SUBJECTS)}, float32", rows, ["op", "cases", "1 worker", f"{cores} workers"]
    )
    return figures


def stages(options: argparse.Namespace) -> Figures:
    """Where the time of a case goes."""
    found = shares.measure(planned(options, options.ops))
    names = [*shares.STAGES, shares.REST]
    rows = [[name, f"{100 * found.share(name):.1f} %"] for name in names]
    print_table(
        f"Share of the time of {found.cases} cases, {found.cases / found.seconds:.0f} a second",
        rows,
        ["stage", "share"],
    )
    return [{"stage": name, "share": found.share(name)} for name in names]


def costs(options: argparse.Namespace) -> Figures:
    """What judging costs next to the calls."""
    plan, figures, rows = planned(options, list(judging.OPS)), [], []
    for op in judging.OPS:
        found = [judging.measure(plan, op, size) for size in judging.SIZES]
        figures += [{**asdict(each), "ratio": each.ratio} for each in found]
        rows.append([op, *(f"{each.ratio:.2f}" for each in found), judging.OPS[op][0]])
        rows[-1] += [f"{each.calls:.3g}" for each in found]
    sizes = [f"10^{len(str(size)) - 1}" for size in judging.SIZES]
    headers = ["op", *sizes, "limit at 10^5", *(f"calls at {size}, ms" for size in sizes)]
    print_table("Judging, as a multiple of the calls of torch:cpu and mlx:cpu together, float32", rows, headers)
    return figures


def ways_back(options: argparse.Namespace) -> Figures:
    """What judging gradients costs next to judging the ops themselves."""
    found = gradients.measure(planned(options, options.ops or list(gradients.OPS)), min(options.cases, gradients.CASES))
    rows = [[r.op, r.cases, f"{r.forward:.3g}", f"{r.backward:.3g}", f"{r.ratio:.2f}"] for r in found]
    rows.append(["median", "", "", "", f"{median(r.ratio for r in found):.2f}"])
    headers = ["op", "cases", "op, ms", "gradients, ms", "times"]
    print_table("Judging a case of an op, and of its gradients, on torch:cpu, float32", rows, headers)
    return [{**asdict(each), "ratio": each.ratio} for each in found]


def compared(options: argparse.Namespace) -> Figures:
    """opfuzz against the plain harness and the two calls alone."""
    found = [
        r for op in harness.COMPARISONS for r in against_harness.measure(planned(options, [op]), op, options.cases)
    ]
    for sizes in against_harness.SIZES:
        chosen = [r for r in found if r.sizes == sizes]
        rows = [[r.op, r.examples, round(r.harness), round(r.opfuzz), round(r.calls)] for r in chosen]
        total = sum(r.examples for r in chosen)
        means = [
            round(total / sum(r.examples / getattr(r, of) for r in chosen)) for of in ("harness", "opfuzz", "calls")
        ]
        rows.append(["all", total, *means])
        for row in rows:
            row += [f"{row[3] / row[2]:.2f}", f"{row[4] / row[3]:.2f}"]
        headers = ["op", "cases", "harness", "opfuzz", "calls alone", "opfuzz / harness", "calls alone / opfuzz"]
        print_table(f"Cases a second on {sizes}; one process, one thread, float32", rows, headers)
    return [asdict(r) for r in found]


def scaling(options: argparse.Namespace) -> Figures:
    """Cases a second over workers and executors."""
    counts = range(1, (os.cpu_count() or 1) + 1)
    places = [("inline", 1), *(("pool", n) for n in counts), *(("dask", n) for n in counts)]
    figures: Figures = []
    for executor, jobs in places:
        found = throughput.measure(executor, planned(options, options.ops, jobs=jobs))
        figures.append({"executor": executor, "jobs": jobs, "rate": found.rate})
    base = next(f["rate"] for f in figures if f["executor"] == "pool")
    rows = [[f["executor"], f["jobs"], round(f["rate"]), f"{f['rate'] / base:.2f}"] for f in figures]
    print_table("Cases a second by executor", rows, ["executor", "workers", "cases/s", "to pool of 1"])
    return figures


def peak(options: argparse.Namespace) -> Figures:
    """The memory of a default run."""
    found = memory.measure(("--time", options.time) if options.time else ())
    rows = [
        [
            f"{found.resident / 1e9:.2f} GB",
            f"{found.proportional / 1e9:.2f} GB",
            found.processes,
            f"{found.seconds:.0f} s",
        ]
    ]
    headers = ["resident, shared pages counted for each", "shared pages counted once", "processes", "time"]
    print_table("Peak of opfuzz run specs/ in all processes together", rows, headers)
    return [asdict(found)]


def taken_in(options: argparse.Namespace) -> Figures:
    """What one coordinator takes in of many workers, second by second."""
    plan = planned(options, options.ops, formats=DEFAULT_FORMATS)
    stock = coordinator.stock_of(plan)
    dask = coordinator.dask_seconds(stock)
    rate = options.workers * options.rate
    plan = replace(plan, cases=max(int(options.seconds * rate / len(plan.pairs())), 1))
    looks: list[coordinator.Look] = []
    coordinator.measure(plan, coordinator.Clocked(stock, options.workers, options.rate, dask, looks.append))
    rows = [
        [f"{x.seconds:.0f}", x.results, f"{100 * x.busy:.0f} %", x.queue, x.out, f"{x.resident / 1e6:.0f} MB"]
        for x in looks
    ]
    print_table(
        f"Taken in of {options.workers:,} workers with {options.rate:g} cases a second each; Dask's client takes "
        f"{1e3 * dask[0]:.2f} ms a batch and {1e6 * dask[1]:.1f} us a result",
        rows,
        ["second", "results", "busy", "waiting here", "at workers", "memory"],
    )
    return [asdict(look) for look in looks]


def each_subject(options: argparse.Namespace) -> Figures:
    """What a call costs on each subject, and what it leaves in memory."""
    found = [subjects.measure(subject, options.cases) for subject in subjects.SUBJECTS]
    base = found[0].each
    rows = [
        [f.subject, f.absent]
        if f.absent
        else [
            f.subject,
            f"{f.computed:,} of {f.cases:,}",
            f"{1e3 * f.each:.3g}",
            f"{f.each / base:.1f}",
            *(f"{size / 1e6:,.0f} MB" for size in (f.before, f.after)),
        ]
        for f in found
    ]
    headers = ["subject", "computed", "CPU ms a case", f"to {found[0].subject}", "memory at first", "after them"]
    print_table(f"Calls alone, of {len(subjects.OPS)} ops in float32", rows, headers)
    return [{**asdict(f), "each": f.each} for f in found]


SECTIONS: Mapping[str, Callable[[argparse.Namespace], Figures]] = {
    "ops": ops,
    "shares": stages,
    "judging": costs,
    "gradients": ways_back,
    "harness": compared,
    "scaling": scaling,
    "memory": peak,
    "coordinator": taken_in,
    "subjects": each_subject,
}


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION")
    parser.add_argument("--cases", type=int, default=200, help="of each op; default 200")
    parser.add_argument(
        "--ops",
        type=lambda text: text.split(","),
        default=[],
        help="for ops, shares, scaling and coordinator; default all",
    )
    parser.add_argument("--time", help="of the run whose memory is measured, such as 20s; default as opfuzz run has it")
    parser.add_argument("--workers", type=int, default=1000, help="of coordinator; default 1000")
    parser.add_argument("--rate", type=float, default=20.0, help="cases of such a worker a second; default 20")
    parser.add_argument("--seconds", type=float, default=20.0, help="of their work; default 20")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    figures: dict[str, Any] = {"machine": machine, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    for name in options.sections or (name for name in SECTIONS if name != "subjects"):
        figures[name] = SECTIONS[name](options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
