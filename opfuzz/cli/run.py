"""`opfuzz run`: try ops on subjects, judge the results, rank the ops."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import which

import click
from click.core import ParameterSource

from opfuzz.backends import Backend
from opfuzz.cli.group import (
    FINDINGS,
    WHEREABOUTS,
    CountRange,
    Paths,
    Whereabouts,
    bundled_specs,
    duration,
    duration_or_none,
    ending,
    executor_options,
    plugin_option,
    profile_path,
    seed_of,
    size,
    width,
    words,
)
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.comparison import DISCOVERED
from opfuzz.core.floats import FORMATS
from opfuzz.core.verdicts import CLEAN, SEVERITY
from opfuzz.engine.carry import StandardError, carry_out, check_compared, seat
from opfuzz.engine.executors import Executor
from opfuzz.engine.gradients import ALSO, ONLY
from opfuzz.engine.options import DEFAULT_FORMATS, Order
from opfuzz.engine.session import Sitting
from opfuzz.engine.session import resume as resume_run
from opfuzz.judge.ranking import SORT_KEYS
from opfuzz.report.causes import describe
from opfuzz.report.run import terminal
from opfuzz.report.run.next_commands import next_commands
from opfuzz.store.accepted import FILE as ACCEPTED
from opfuzz.store.baseline import counting
from opfuzz.store.write import summarize

# Verdicts of findings; and, of a run that is held against another, what was there all along.
FAILING = (*(v for v, severity in SEVERITY.items() if severity != CLEAN and v != "unsupported"), DISCOVERED)
ROWS = ("ops", "all")
ALL = "all"  # formats
BESIDE_RESUME = WHEREABOUTS | {"resume", "jobs", "rows", "as_json", "out", "settings_file", "no_config", "settings"}


@click.command("run", cls=SettledCommand, is_run=True)
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--subjects",
    type=words(),
    metavar="LIST",
    help="Such as torch:cpu,mlx:cpu. Default: all of torch and MLX that is here.",
)
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option(
    "--format",
    "formats",
    type=words(*FORMATS, ALL),
    metavar="LIST",
    default=",".join(DEFAULT_FORMATS),
    show_default=True,
    help=f"Formats, or {ALL}.",
)
@click.option("--gradients", "has_gradients", is_flag=True, help="Try the gradients of the ops as well.")
@click.option("--only-gradients", "only_gradients", is_flag=True, help="Try the gradients alone.")
@click.option("--cases", type=CountRange(min=1), help="Cases for each op, subject and format.")
@click.option("--time", "seconds", type=duration, metavar="TIME", help="How long to try cases; default 60s.")
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--seed", type=seed_of, metavar="SEED", default="0", help="A whole number, or nightly. Default 0.")
@click.option(
    "--profile", "profiled", type=profile_path, metavar="FILE", help="Draw cases around a pipeline's operating points."
)
@click.option("--sort", type=click.Choice(SORT_KEYS), default="ulp", help="Order inside a severity.")
@click.option(
    "--rows", type=click.Choice(ROWS), default=ROWS[0], help="Print a row for each op, or all of the ranking."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option(
    "--fail-on",
    type=words(*FAILING),
    metavar="LIST",
    help="Exit 1 for these verdicts only; default: every fault. With --baseline, `discovered` for what it finds anew.",
)
@click.option(
    "--shrink",
    "shrinking",
    type=duration_or_none,
    metavar="TIME",
    help="How long to make findings smaller; default: as long as the cases took, and 30s at least. 0: not at all.",
)
@click.option("--case-time", type=duration, metavar="TIME", help="After which a case hangs; default 10s.")
@click.option("--case-memory", type=size, metavar="SIZE", default="4G", help="That a process may take; default 4G.")
@click.option(
    "--patience",
    type=CountRange(min=0),
    default=2,
    metavar="N",
    help="Cases that hang or take all memory after which a subject is spared an op and format; default 2. 0: never.",
)
@click.option("--corpus", type=click.Path(path_type=Path), help="Folder of known faults; default: corpus in --out.")
@click.option(
    "--baseline",
    metavar="RUN",
    help="Exit 1 only for what the software made worse since then: a run, latest, or a run.json.",
)
@click.option(
    "--baseline-python",
    type=click.Path(path_type=Path),
    metavar="PYTHON",
    help="A Python with the software of the baseline: tells what an upgrade brought from what was there before.",
)
@click.option(
    "--accepted",
    "listed",
    type=click.Path(path_type=Path),
    help=f"Accepted findings, which do not count; default: {ACCEPTED} in --out.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Folder for runs.")
@click.option(
    "--resume",
    metavar="RUN",
    help="Go on with a run that was killed or interrupted: its folder, or its name in --out, or latest.",
)
@executor_options
@plugin_option
@click.pass_context
def run_command(
    context: click.Context,
    specs: Paths,
    subjects: tuple[str, ...] | None,
    ops: tuple[str, ...] | None,
    formats: tuple[str, ...],
    has_gradients: bool,
    only_gradients: bool,
    cases: int | None,
    seconds: float | None,
    jobs: int | None,
    seed: int,
    profiled: Path | None,
    sort: str,
    rows: str,
    as_json: bool,
    fail_on: tuple[str, ...] | None,
    shrinking: float | None,
    case_time: float | None,
    case_memory: int,
    patience: int,
    corpus: Path | None,
    baseline: str | None,
    baseline_python: Path | None,
    listed: Path | None,
    out: Path,
    resume: str | None,
    whereabouts: Whereabouts,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Try every op in SPECS on every subject, judge the results, and rank the ops by ULP error.

    SPECS are files and folders; without any, the specs that come with opfuzz.
    """
    if whereabouts.engine == "dask":
        plugins = tuple(path.absolute() for path in plugins)  # a worker has another working directory
    with whereabouts.executor(jobs, backends) as executor:
        if resume is not None:
            _check_alone(context)
            return _finish(resume_run(resume, out, jobs, executor), executor, as_json, rows)
        if cases is not None and seconds is not None:
            raise click.UsageError("--cases and --time are two budgets; give one of them")
        if baseline_python is not None and baseline is None:
            raise click.UsageError("--baseline-python has the software of a baseline: give that run as --baseline")
        if sort == "drift" and profiled is None:
            raise click.UsageError("--sort drift needs a pipeline to drift: give its --profile")
        if has_gradients and only_gradients:
            raise click.UsageError("--gradients adds them to the ops, --only-gradients leaves the ops out; give one")
        if (has_gradients or only_gradients) and profiled is not None:
            raise click.UsageError("--profile says nothing of gradients: a pipeline's operating points have none")
        order = Order(
            specs=specs or (bundled_specs(),),
            subjects=subjects or (),
            out=out,
            ops=ops or (),
            formats=tuple(FORMATS) if ALL in formats else formats,
            cases=cases,
            seconds=seconds,
            jobs=jobs,
            seed=seed,
            profile=profiled,
            sort=sort,
            fail_on=fail_on or (),
            shrinking=shrinking,
            corpus=corpus,
            baseline=str(Path(baseline).absolute()) if baseline and Path(baseline).exists() else baseline,
            baseline_python=baseline_python and Path(which(baseline_python) or baseline_python).absolute(),
            accepted=listed,
            plugins=plugins,
            case_seconds=case_time,
            case_memory=case_memory,
            patience=patience or None,
            gradients=ONLY if only_gradients else ALSO if has_gradients else "",
        )
        sitting = seat(order, backends, executor, StandardError(), ("opfuzz", *sys.argv[1:]))
        return _finish(sitting, executor, as_json, rows)


def _check_alone(context: click.Context) -> None:
    """Raises UsageError for an option beside --resume that the run has already."""
    for param in context.command.params:
        name = param.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and context.params.get(name) != () and name not in BESIDE_RESUME:
            raise click.UsageError(f"--resume takes all from the run; leave out {param.opts[-1]}")


def _finish(sitting: Sitting, executor: Executor, as_json: bool, rows: str) -> int:
    """Carry a run out, or the rest of one; its exit code."""
    # Of what is absent the report tells a person.
    result = carry_out(sitting, executor, StandardError(), tells_absent=as_json)
    if as_json:
        click.echo(json.dumps(summarize(result, sitting.folder, describe), allow_nan=False))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(terminal.render(result, sitting.folder, colour, width(), rows), nl=False)
    if result.interrupted:
        click.echo(f"to go on: opfuzz run --resume {sitting.folder}", err=True)
        return ending()
    check_compared(result)
    if not as_json and sys.stdout.isatty() and (lines := next_commands(result, sitting.folder)):
        click.echo("\n" + "\n".join(lines))
    return FINDINGS if counting(result, sitting.order.fail_on) else 0
