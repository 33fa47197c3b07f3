"""`opfuzz accuracy`: the table of the largest errors of all functions of one number."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
from tabulate import tabulate

from opfuzz.backends import Backend
from opfuzz.cli.group import CountRange, Paths, bundled_specs, ending, plugin_option, words
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.cli.sweep import carry_out, finished, say
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.floats import FORMATS
from opfuzz.engine.drivers.cell_reproducers import Spot, reproducers
from opfuzz.engine.drivers.sweep_file import document
from opfuzz.engine.drivers.sweep_plan import plan_sweeps, progress_file, sampled
from opfuzz.engine.drivers.sweep_sides import Sweep
from opfuzz.engine.machines import here
from opfuzz.engine.plan import load_specs
from opfuzz.report.accuracy import data, markdown
from opfuzz.report.accuracy.cells import AccuracyTable, table_of, worse_side
from opfuzz.report.progress import Counted
from opfuzz.report.search.sweep import Document
from opfuzz.report.text import plain

SWEPT = tuple(name for name, fmt in FORMATS.items() if fmt.bits <= 32)
SAMPLE = 2**19  # of float32: a second an op, where all inputs take minutes


@click.command("accuracy", cls=SettledCommand)
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option(
    "--subject", "--subjects", "subjects", type=words(), metavar="LIST", help="Default: every device that is here."
)
@click.option("--format", "formats", type=words(*FORMATS), metavar="LIST", help=f"Default: {','.join(SWEPT)}.")
@click.option("--full", "is_full", is_flag=True, help="Try all 2^32 inputs of float32; minutes an op and subject.")
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="File to write, by its ending .md, .csv, .json or .html; may be given again.",
)
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--again", is_flag=True, help="Forget what an earlier sweep has found.")
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/sweeps"), help="Folder for progress.")
@plugin_option
def accuracy_command(
    specs: Paths,
    ops: tuple[str, ...] | None,
    subjects: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    is_full: bool,
    outputs: Paths,
    jobs: int | None,
    again: bool,
    wants_json: bool,
    out: Path,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Make a table of the largest error of every function of one number in SPECS, on every subject in every format.

    SPECS are files and folders; without any, the specs that come with opfuzz. Half formats are tried whole, float32 is
    climbed, or with --full tried whole as well. What is done is kept in progress files, those of opfuzz sweep, so what
    was ended or killed goes on where it was. It is a measurement: the exit code is 0 whatever it finds.
    """
    _check(outputs, formats or SWEPT)
    loaded = load_specs(specs or (bundled_specs(),), backends, ops or ())
    machines = here(backends)
    chosen = machines.subjects(subjects or machines.devices, backends)
    plan = plan_sweeps(loaded, chosen, formats or SWEPT, backends, is_named=bool(ops) or len(loaded) == 1)
    sweeps = [sampled(sweep, 0 if is_full else SAMPLE) for sweep in plan.sweeps]
    if not sweeps:
        raise OpfuzzError("nothing to measure: none of these ops has a call for these subjects in these formats")
    for note in plan.notes:
        say(note)
    files = [progress_file(sweep, out, again, backends) for sweep in sweeps]
    state = carry_out(files, sweeps, out, jobs, plugins)
    if state.interrupted:
        return _interrupted()
    found: list[tuple[int, Document]] = []
    for place, swept in enumerate(finished(files, sweeps, state)):
        if swept is not None:
            found.append((place, document(files[place].header, swept)))
    if not found:
        raise OpfuzzError("nothing was measured")
    try:
        texts = _reproducers(sweeps, found, jobs, plugins)
    except KeyboardInterrupt:
        return _interrupted()
    options = {"--op": ops, "--subjects": subjects, "--format": formats, "--full": is_full, "-o": outputs}
    missing = [f"{_name(sweeps[place])}: {reason}" for place, reason in sorted(state.failed.items())]
    documents = [each for _, each in found]
    table = table_of(documents, _command(specs, options), texts, missing)
    for path in outputs:
        write_text(path, _writer(path)(table))
        say(f"{len(table.cells)} cells are in {path}.")
    if wants_json:
        click.echo(data.to_json(table), nl=False)
    elif not outputs:
        click.echo(_text(table))
    return 0


def _check(outputs: Paths, formats: Sequence[str]) -> None:
    """Raises OpfuzzError for a file that cannot be written, or a format that has too many inputs for a table."""
    for path in outputs:
        _writer(path)
        if not path.parent.is_dir():
            raise OpfuzzError(f"-o {plain(str(path))}: there is no folder '{plain(str(path.parent))}'; make it first")
    for name in formats:
        if name not in SWEPT:
            raise OpfuzzError(
                f"--format {name}: it has 2^{FORMATS[name].bits} inputs, too many for a table; choose of "
                f"{', '.join(SWEPT)}, or opfuzz climb --format {name}"
            )


def _writer(path: Path) -> Callable[[AccuracyTable], str]:
    """What makes the text of a file with this ending; that of a page is imported when it is asked for."""
    match path.suffix.lower():
        case ".md":
            return markdown.render
        case ".csv":
            return data.to_csv
        case ".json":
            return data.to_json
        case ".html":
            from opfuzz.report.accuracy import html

            return html.render
        case ending_:
            told = f"the ending '{plain(ending_)}' is unknown" if ending_ else "it has no ending"
            raise OpfuzzError(f"-o {plain(str(path))}: {told}; write .md, .csv, .json or .html")


def _reproducers(
    sweeps: Sequence[Sweep], found: Sequence[tuple[int, Document]], jobs: int | None, plugins: Paths
) -> list[str]:
    """One a document; "" for a document without any normal result."""
    spots = []
    for place, each in found:
        worst = worse_side(each)
        if worst["normal"]:
            spots.append(Spot(place, int(worst["at_hex"], 16), worst["computed"], worst["exact"]))
    with Counted("reproducers") as bar:
        texts = reproducers(sweeps, spots, jobs or os.cpu_count() or 1, plugins, bar.watch)
    return [texts.get(place, "") for place, _ in found]


def _command(specs: Paths, options: Mapping[str, object]) -> str:
    """What was typed, as far as the table depends on it."""
    typed = ["opfuzz", "accuracy", *map(str, specs)]
    for name, value in options.items():
        if name == "-o" and isinstance(value, tuple):
            typed += [word for path in value for word in (name, str(path))]
        elif isinstance(value, tuple):
            typed += [name, ",".join(value)]
        elif value:
            typed.append(name)
    return shlex.join(typed)


def _text(table: AccuracyTable) -> str:
    """The table in a terminal."""
    parts = []
    for format in table.formats:
        cells = [cell for cell in table.cells if cell.format == format]
        rows = [[text.replace("<br>", ", ").replace("`", "") for text in row] for row in markdown.matrix(table, cells)]
        head = (f"{format}{'' if cells[0].is_whole else ', climbed'}", *map(plain, table.subjects))
        parts.append(tabulate(rows, head, tablefmt="simple", disable_numparse=True))
    return "\n\n".join(parts)


def _name(sweep: Sweep) -> str:
    return f"{sweep.spec.op} {sweep.subject} {sweep.format}"


def _interrupted() -> int:
    say("Interrupted; what was measured is kept, and the same command goes on.")
    return ending()
