"""`opfuzz run`: try ops on subjects, judge the results, rank the ops."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from opfuzz import history
from opfuzz.accepted import read_accepted
from opfuzz.backends import Backend, resolve
from opfuzz.baseline import Earlier, counting, latest_like, with_accepted, with_comparison
from opfuzz.campaign import run
from opfuzz.cli import accept
from opfuzz.cli.group import (
    FINDINGS,
    INTERRUPTED,
    Paths,
    bundled_specs,
    duration,
    duration_or_none,
    plugin_option,
    profile_path,
    seed_of,
    width,
    words,
)
from opfuzz.conclude import absences, conclude
from opfuzz.corpus import read_corpus, read_faults, revisit, update
from opfuzz.errors import OpfuzzError
from opfuzz.floats import FORMATS
from opfuzz.plan import Plan, load_specs, vocabulary
from opfuzz.profile_reader import read_profile
from opfuzz.rank import SORT_KEYS
from opfuzz.records import CLEAN, SEVERITY
from opfuzz.report import terminal
from opfuzz.report.progress import Counted, Watcher
from opfuzz.report.text import plain
from opfuzz.runs import LATEST, find_run, read_run
from opfuzz.store import Run, new_folder, summary

FAILING = tuple(v for v, severity in SEVERITY.items() if severity != CLEAN and v != "unsupported")  # of findings
DEFAULT_SECONDS = 60.0
CLIMB_SHARE = 0.15  # of the budget
LEAST_SHRINKING = 30.0  # seconds
DEFAULT_BACKENDS = ("torch", "mlx")


@click.command("run", short_help="Try ops on subjects, judge the results, and rank the ops.")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--subjects",
    type=words(),
    metavar="LIST",
    help="Such as torch:cpu,mlx:cpu. Default: all of torch and MLX that is here.",
)
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option("--format", "formats", type=words(*FORMATS), metavar="LIST", help="Only these formats.")
@click.option("--cases", type=click.IntRange(min=1), help="Cases for each op, subject and format.")
@click.option("--time", "seconds", type=duration, metavar="TIME", help="How long to try cases; default 60s.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--seed", type=seed_of, metavar="SEED", default="0", help="A whole number, or nightly. Default 0.")
@click.option(
    "--profile", "profiled", type=profile_path, metavar="FILE", help="Draw cases around a pipeline's operating points."
)
@click.option("--sort", type=click.Choice(SORT_KEYS), default="ulp", help="Order inside a severity.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option(
    "--fail-on", type=words(*FAILING), metavar="LIST", help="Exit 1 for these verdicts only; default: every fault."
)
@click.option(
    "--shrink",
    "shrinking",
    type=duration_or_none,
    metavar="TIME",
    help="How long to make findings smaller; default: as long as the cases took, and 30s at least. 0: not at all.",
)
@click.option("--corpus", type=click.Path(path_type=Path), help="Folder of known faults; default: corpus in --out.")
@click.option(
    "--baseline", metavar="RUN", help="Exit 1 only for what is new or worse against it: a run, latest, or a run.json."
)
@click.option(
    "--accepted",
    "listed",
    type=click.Path(path_type=Path),
    help=f"Accepted findings, which do not count; default: {accept.FILE} in --out.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Folder for runs.")
@plugin_option
def run_command(
    specs: Paths,
    subjects: tuple[str, ...] | None,
    ops: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    cases: int | None,
    seconds: float | None,
    jobs: int | None,
    seed: int,
    profiled: Path | None,
    sort: str,
    as_json: bool,
    fail_on: tuple[str, ...] | None,
    shrinking: float | None,
    corpus: Path | None,
    baseline: str | None,
    listed: Path | None,
    out: Path,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Try every op in SPECS on every subject, judge the results, and rank the ops by ULP error.

    SPECS are files and folders; without any, the specs that come with opfuzz.
    """
    if cases is not None and seconds is not None:
        raise click.UsageError("--cases and --time are two budgets; give one of them")
    if sort == "drift" and profiled is None:
        raise click.UsageError("--sort drift needs a pipeline to drift: give its --profile")
    chosen = tuple(dict.fromkeys(str(resolve(text, backends)[0]) for text in subjects or default_subjects(backends)))
    loaded = load_specs(specs or (bundled_specs(),), backends, ops or ())
    plan = Plan(
        specs=loaded,
        subjects=chosen,
        seed=seed,
        jobs=jobs or os.cpu_count() or 1,
        formats=formats or tuple(FORMATS),
        plugins=plugins,
        cases=cases,
        seconds=seconds or (None if cases is not None else DEFAULT_SECONDS),
        climb=CLIMB_SHARE,
        profile=None if profiled is None else read_profile(profiled, loaded),
    )
    if not plan.pairs():
        raise OpfuzzError(f"no op in the specs has a format of {', '.join(plan.formats)}")
    earlier = Earlier() if baseline is None else earlier_run(baseline, plan, out)
    path = listed or out / accept.FILE
    entries = read_accepted(path) if listed or path.exists() else []
    started = datetime.now().astimezone()
    corpus = corpus or out / "corpus"
    folder = new_folder(out, started, f"s{seed}")
    try:
        with Watcher(plan) as watcher:
            for name, reason in absences(backends).items() if as_json else ():  # else the report says so
                watcher.say(f"absent: {name}: {plain(reason)}")
            faults = read_corpus(corpus, plan, backends)
            if earlier.folder is not None:
                faults += read_faults(earlier.folder, {fault.place.name for fault in faults}, plan, backends)
            standings, known = revisit(faults, plan, backends)
            progress = run(plan, watcher.watch, known)
    except BaseException:
        folder.rmdir()  # nothing is in it yet
        raise
    command = ("opfuzz", *sys.argv[1:])

    def held_against(result: Run) -> Run:
        result = with_accepted(result, entries, datetime.now().astimezone().date())
        return result if baseline is None else with_comparison(result, earlier.run, earlier.known)

    limit = max(LEAST_SHRINKING, progress.seconds) if shrinking is None else shrinking
    with Counted("findings made smaller") as counted:
        result = conclude(
            plan, progress, backends, folder, started, command, sort, standings, limit, counted.watch, held_against
        )
    with complaining():
        update(corpus, folder, result.findings, result.replayed, vocabulary(backends))
    with complaining():
        history.add(out / history.NAME, result)
    if as_json:
        click.echo(json.dumps(summary(result, folder), allow_nan=False))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(terminal.render(result, folder, colour, width()), nl=False)
    if result.interrupted:
        return INTERRUPTED
    if all(row.verdict == "unsupported" for row in result.ranking):
        raise OpfuzzError(f"nothing was compared: {', '.join(chosen)} can do none of these ops in these formats")
    return FINDINGS if counting(result, fail_on or ()) else 0


@contextmanager
def complaining() -> Iterator[None]:
    """One line on what could not be kept: a run is not lost for it."""
    try:
        yield
    except OpfuzzError as error:
        click.echo(plain(str(error)), err=True)


def earlier_run(baseline: str, plan: Plan, out: Path) -> Earlier:
    """The run that --baseline names; an empty one if there is no latest one like this."""
    if baseline != LATEST:
        place = find_run(baseline, out)
        return Earlier(place, read_run(place))
    found = latest_like(plan.subjects, plan.pairs(), plan.profile.name if plan.profile else None, out)
    for line in found.complaints:
        click.echo(plain(f"passed over: {line}"), err=True)
    return found


def default_subjects(backends: Mapping[str, Backend]) -> tuple[str, ...]:
    """Every device of torch and MLX that is here."""
    here = [backends[name] for name in DEFAULT_BACKENDS if not backends[name].absent()]
    found = tuple(f"{b.name}:{device}" for b in here for device, why in b.devices().items() if why is None)
    if not found:
        reasons = "; ".join(str(backends[name].absent()) for name in DEFAULT_BACKENDS)
        raise OpfuzzError(f"neither torch nor MLX is here ({reasons}); choose others with --subjects")
    return found
