"""`opfuzz selftest`: how much of what is planted opfuzz finds, and whether it accuses the honest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from opfuzz.backends import discover, resolve
from opfuzz.cli.group import FINDINGS, CountRange, bundled_specs, seed_of
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.engine.selftest.mutant import bundled
from opfuzz.engine.selftest.planting import gradients_planted
from opfuzz.engine.selftest.report import document, render
from opfuzz.engine.selftest.run import selftest, write_findings
from opfuzz.engine.selftest.trials import subject
from opfuzz.report.progress import Counted

DEFAULT_CASES = 2000


@click.command("selftest")
@click.option(
    "--mutants",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Python file with a list MUTANTS, instead of those that come with opfuzz.",
)
@click.option(
    "--gradients", "of_gradients", is_flag=True, help="Plant faults in gradients, where the results are right."
)
@click.option(
    "--cases",
    type=CountRange(min=1),
    default=DEFAULT_CASES,
    help=f"Cases until a mutant is given up; default {DEFAULT_CASES}.",
)
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--seed", type=seed_of, metavar="SEED", default="0", help="A whole number, or nightly. Default 0.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a folder for each fault found, with the smallest call that shows it and a reproducer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def selftest_command(
    file: Path | None, of_gradients: bool, cases: int, jobs: int | None, seed: int, out: Path | None, as_json: bool
) -> int:
    """Plant known faults in torch, one at a time, and tell for each whether it is found, how soon, how high it ranks
    among all ops, and whether its cause is named; and tell which honest implementations are accused.

    With --gradients the faults are in the way back alone, and the ops are the gradients of those that have a fault.

    What the unmodified torch shows on the same case does not count. Exit code 1 if a fault is missed or an honest
    implementation accused.
    """
    backends = discover()
    resolve(subject(None), backends)  # or say why torch is not here
    files = bundled(of_gradients=of_gradients) if file is None else (file,)
    specs = load_specs((bundled_specs(),), backends)
    plan = Plan(
        specs=gradients_planted(specs, files) if of_gradients else specs,
        subjects=(subject(None),),
        seed=seed,
        jobs=jobs or os.cpu_count() or 1,
        cases=cases,
    )
    with Counted("mutants tried") as counted:
        report = selftest(plan, files, counted.watch_stage)
    if out is not None:
        write_findings(report, plan, out)
    click.echo(json.dumps(document(report), allow_nan=False) if as_json else render(report), nl=as_json)
    return 0 if report.is_clean else FINDINGS
