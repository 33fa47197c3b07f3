"""`opfuzz cases`: inputs for any program on any machine, and what it made of them judged like a backend."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path

import click

from opfuzz.backends import Backend, resolve
from opfuzz.cli.group import (
    FINDINGS,
    CountRange,
    Paths,
    bundled_specs,
    ending,
    plugin_option,
    profile_path,
    seed_of,
    width,
    words,
)
from opfuzz.cli.run import FAILING
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS
from opfuzz.core.run import Run
from opfuzz.engine.carry import StandardError, complaining
from opfuzz.engine.drivers.judge_recorded import Jury, conclude_recorded, judge
from opfuzz.engine.drivers.record_outputs import record
from opfuzz.engine.finish import Occasion
from opfuzz.engine.machines import machine, versions
from opfuzz.engine.plan import Plan, dialects_of, load_specs, vocabulary
from opfuzz.judge.ranking import SORT_KEYS
from opfuzz.report.causes import describe
from opfuzz.report.causes.figures import counted
from opfuzz.report.progress import Counted, Watcher
from opfuzz.report.run import terminal
from opfuzz.report.run.cause_lines import with_causes
from opfuzz.report.text import plain
from opfuzz.spec.profile_reader import read_profile
from opfuzz.store import history
from opfuzz.store.accepted import FILE as ACCEPTED
from opfuzz.store.accepted import read_accepted
from opfuzz.store.baseline import counting, earlier_run, with_accepted, with_comparison
from opfuzz.store.exchange import (
    Export,
    OutputRecorder,
    Recorded,
    check_room,
    free_folder,
    read_export,
    read_recorded,
    recorded_names,
    write_export,
)
from opfuzz.store.write import new_folder, summarize

CASES = 50  # of each op and format, where nobody says


@click.group("cases")
def cases_group() -> None:
    """Write cases that any program can read, and judge what it made of them; docs/cases.md describes the files."""


@cases_group.command("export", cls=SettledCommand, short_help="Write inputs and a manifest for any program.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option("--format", "formats", type=words(*FORMATS), metavar="LIST", help="Only these formats.")
@click.option(
    "--cases",
    "each",
    type=CountRange(min=1),
    default=CASES,
    help=f"Cases for each op and format; default {CASES}.",
)
@click.option("--seed", type=seed_of, metavar="SEED", default="0", help="A whole number, or nightly. Default 0.")
@click.option(
    "--profile", "profiled", type=profile_path, metavar="FILE", help="Draw cases around a pipeline's operating points."
)
@plugin_option
def export_command(
    folder: Path,
    specs: Paths,
    ops: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    each: int,
    seed: int,
    profiled: Path | None,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Write the cases that `opfuzz run` draws from SPECS for the same seed into the new folder DIR.

    SPECS are files and folders; without any, the specs that come with opfuzz.
    """
    loaded = load_specs(specs or (bundled_specs(),), backends, ops or (), dialects=())
    profile = None if profiled is None else read_profile(profiled, loaded)
    plan = Plan(loaded, (), seed, 1, formats or tuple(FORMATS), plugins, cases=each, profile=profile)
    pairs = plan.pairs()
    if not pairs:
        raise OpfuzzError(f"no op in the specs has a format of {', '.join(plan.formats)}")
    check_room(folder, len(pairs) * each)  # before they are drawn
    cases = [(number, plan.case(op, fmt, number)) for op, fmt in pairs for number in range(each)]
    known = {spec.op: spec for spec in loaded if any(spec.op == op for op, _ in pairs)}
    empty = Export(folder, metadata.version("opfuzz"), seed, each, profile.name if profile else None, known, ())
    with Counted("cases written") as bar:
        written = write_export(empty, cases, bar.watch)
    size = sum(place.last - place.first for entry in written.entries for place in entry.places.values())
    what = (
        f"{counted(len(cases), 'case')} of {counted(len(known), 'op')}, {size / 2**20:.3g} MiB of inputs, seed {seed}"
    )
    click.echo(plain(f"{folder}: {what}"))
    return 0


@cases_group.command("run", cls=SettledCommand, short_help="Record what subjects of this machine make of the cases.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--subject",
    "--subjects",
    "subjects",
    type=words(),
    multiple=True,
    metavar="LIST",
    required=True,
    help="Such as torch:mps,mlx:gpu.",
)
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@plugin_option
def run_command(
    folder: Path,
    subjects: tuple[tuple[str, ...], ...],
    jobs: int | None,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Make the cases in DIR on each subject, and write what came of them to DIR/outputs.

    Isolated processes make them, so a crash or a hang costs one case and is recorded for it.
    """
    resolved = [resolve(text, backends) for listed in subjects for text in listed]
    for subject, _ in resolved:
        if subject.implementation:
            raise OpfuzzError(f"subject '{subject}': all implementations are recorded; leave '/...' out")
    chosen = {str(subject): backend for subject, backend in resolved}
    export = read_export(folder, vocabulary(backends, dialects_of(chosen, backends)))
    for text in chosen:  # before anything is written
        free_folder(export, text)
    recorders = {
        text: OutputRecorder(export, text, versions({backend.name: backend}), machine())
        for text, backend in chosen.items()
    }
    with Counted("calls recorded") as bar:
        progress = record(export, recorders, plugins, backends, jobs or os.cpu_count() or 1, bar.watch)
    told = ", ".join(f"{count} {status}" for status, count in sorted(progress.statuses.items()))
    places = ", ".join(str(recorder.place) for recorder in recorders.values())
    click.echo(plain(f"{places}: {told or 'nothing'}"))
    return ending() if progress.interrupted else 0


@cases_group.command(
    "judge", cls=SettledCommand, short_help="Judge outputs that programs wrote, as those of a backend."
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--as",
    "names",
    type=words(),
    multiple=True,
    metavar="LIST",
    help="Only these, by subject or folder in DIR/outputs.",
)
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--sort", type=click.Choice(SORT_KEYS[:3]), default="ulp", help="Order inside a severity.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option(
    "--fail-on", type=words(*FAILING), metavar="LIST", help="Exit 1 for these verdicts only; default: every fault."
)
@click.option(
    "--baseline", metavar="RUN", help="Exit 1 only for what is new or worse against it: a run, latest, or a run.json."
)
@click.option(
    "--accepted",
    "listed",
    type=click.Path(path_type=Path),
    help=f"Accepted findings, which do not count; default: {ACCEPTED} in --out.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Folder for runs.")
@plugin_option
def judge_command(
    folder: Path,
    names: tuple[tuple[str, ...], ...],
    jobs: int | None,
    sort: str,
    as_json: bool,
    fail_on: tuple[str, ...] | None,
    baseline: str | None,
    listed: Path | None,
    out: Path,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Score what programs wrote to DIR/outputs, and write a run like that of `opfuzz run`.

    Exits with 1 for faults and for missing outputs, with 0 without, with 2 if a file is damaged.
    """
    export = read_export(folder, vocabulary(backends, dialects=()))
    jury = Jury(export, _recorded(export, [text for listed in names for text in listed]), jobs or os.cpu_count() or 1)
    plan = jury.plan
    earlier = earlier_run(baseline, plan.subjects, plan.pairs(), plan.profile.name if plan.profile else None, out)
    for line in earlier.complaints:
        click.echo(plain(f"passed over: {line}"), err=True)
    path = listed or out / ACCEPTED
    entries = read_accepted(path) if listed or path.exists() else []
    started = datetime.now().astimezone()
    place = new_folder(out, started, f"s{export.seed}")
    try:
        with Watcher(plan) as watcher:
            progress = judge(jury, watcher.watch)
    except BaseException:
        place.rmdir()  # nothing is in it yet
        raise

    def held_against(run: Run) -> Run:
        run = with_accepted(run, entries, datetime.now().astimezone().date())
        return (
            run if baseline is None else with_comparison(run, earlier.run and with_causes(earlier.run), earlier.known)
        )

    command = ("opfuzz", *sys.argv[1:])
    occasion = Occasion(place, started, command, sort, held_against=held_against)
    run = conclude_recorded(jury, progress, backends, occasion)
    with complaining(StandardError()):
        history.add(out / history.NAME, run)
    if as_json:
        click.echo(json.dumps(summarize(run, place, describe), allow_nan=False))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(terminal.render(run, place, colour, width()), nl=False)
    if run.interrupted:
        return ending()
    if not any(row.verdict != "unsupported" for row in run.ranking):
        raise OpfuzzError(f"nothing was compared: {', '.join(run.subjects)} did none of these cases")
    return FINDINGS if run.missing or counting(run, fail_on or ()) else 0


def _recorded(export: Export, names: list[str]) -> tuple[Recorded, ...]:
    """What was recorded under these names, or under all."""
    chosen = names or recorded_names(export)
    if not chosen:
        raise OpfuzzError(f"{export.place}: no outputs yet; a program writes them to outputs/NAME, see docs/cases.md")
    found: dict[str, Recorded] = {}
    for text in dict.fromkeys(chosen):
        recorded = read_recorded(export, text)
        first = found.setdefault(recorded.subject, recorded)
        if first.place != recorded.place:
            raise OpfuzzError(f"{recorded.place}: its subject '{recorded.subject}' is that of {first.place}, too")
    if not any(recorded.told for recorded in found.values()):
        raise OpfuzzError(f"{export.place}: neither an output nor a word on any case of {', '.join(found)}")
    return tuple(found.values())
