"""`opfuzz sweep`: every input of elementwise ops."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from opfuzz.backends import Backend
from opfuzz.cli.group import CountRange, Paths, bundled_specs, ending, plugin_option, width, words
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.strict_json import strict
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.floats import FORMATS
from opfuzz.engine.drivers.sweep import SweepState, run
from opfuzz.engine.drivers.sweep_file import SweepFile, Swept, document
from opfuzz.engine.drivers.sweep_plan import defaults, plan_sweeps, progress_file, sampled
from opfuzz.engine.drivers.sweep_sides import Sweep
from opfuzz.engine.gradients import reason_against
from opfuzz.engine.machines import here
from opfuzz.engine.plan import load_specs
from opfuzz.report.progress import Counted
from opfuzz.report.search.sweep import render
from opfuzz.report.search.sweep_picture import draw
from opfuzz.report.text import plain
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.gradient import slope_of

DEFAULT_FORMATS = ("float16", "bfloat16")  # 2^16 inputs each; float32 takes minutes an op, so it is asked for
NOT_ALONE = "it does not take one float array of any shape; `opfuzz run --gradients` searches ops of several numbers"


def bits_range(text: str) -> tuple[int, int]:
    """`0x3f800000:0x40000000`, the second excluded."""
    ends = re.fullmatch(r"0x([0-9a-f]{1,17}):0x([0-9a-f]{1,17})", text, re.ASCII | re.IGNORECASE)
    found = (int(ends[1], 16), int(ends[2], 16)) if ends else (0, 0)
    if not found[0] < found[1] <= 2**64:
        raise click.BadParameter(
            f"'{text:.60}' is no range of bit patterns; write 0x3f800000:0x40000000, the end excluded"
        )
    return found


@click.command("sweep", cls=SettledCommand)
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option("--subject", "--subjects", "subjects", type=words(), metavar="LIST", help="Such as torch:cpu,mlx:cpu.")
@click.option("--format", "formats", type=words(*FORMATS), metavar="LIST", help="Default: float16,bfloat16.")
@click.option("--range", "bits", type=bits_range, metavar="0xLO:0xHI", help="Only these bit patterns, 0xHI excluded.")
@click.option(
    "--sample",
    type=CountRange(min=1),
    metavar="COUNT",
    help="Of more inputs than COUNT, so many spread evenly, and those around hard places and the worst.",
)
@click.option("--gradients", "has_gradients", is_flag=True, help="Measure the gradients, for cotangents of ones.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Default: the spec's first value.")
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--again", is_flag=True, help="Forget what an earlier sweep has found.")
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON object for each sweep, a line each.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("reports/sweeps"), help="Folder for progress and pictures."
)
@plugin_option
def sweep_command(
    specs: Paths,
    ops: tuple[str, ...] | None,
    subjects: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    bits: tuple[int, int] | None,
    sample: int | None,
    has_gradients: bool,
    params: tuple[str, ...],
    jobs: int | None,
    again: bool,
    wants_json: bool,
    out: Path,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Measure every input of the elementwise ops in SPECS: 2^16 in half formats, 2^32 in float32.

    SPECS are files and folders; without any, the specs that come with opfuzz. What is done is kept in a progress file,
    so a sweep that was ended or killed goes on where it was. It is a measurement: the exit code is 0 whatever it finds.
    """
    loaded = load_specs(specs or (bundled_specs(),), backends, ops or ())
    is_named = bool(ops) or len(loaded) == 1
    if has_gradients:
        loaded = _slopes(loaded, is_named)
    chosen = here(backends).subjects(subjects or (), backends)
    plan = plan_sweeps(
        loaded,
        chosen,
        formats or DEFAULT_FORMATS,
        backends,
        is_named=is_named,
        bits=bits,
        params=lambda spec: _params(spec, params, is_named),
    )
    _check_known(params, plan.sweeps)
    for note in plan.notes:
        say(note)
    sweeps = [sampled(sweep, sample or 0) for sweep in plan.sweeps]
    if not sweeps:
        raise OpfuzzError("nothing to sweep: none of these ops has a call for these subjects in these formats")
    files = [progress_file(sweep, out, again, backends) for sweep in sweeps]
    kept = [len(file.chunks) for file in files]
    started = time.monotonic()
    state = carry_out(files, sweeps, out, jobs, plugins)
    results = []
    for file, swept, before in zip(files, finished(files, sweeps, state), kept, strict=True):
        if swept is not None:
            results.append(document(file.header, swept))
            drawing = file.path.with_suffix(".svg")
            if len(file.chunks) > before or not drawing.exists():
                write_text(drawing, draw(results[-1], swept.body.buckets, swept.tail.buckets))
    if wants_json:
        for result in results:
            click.echo(json.dumps(strict(result), allow_nan=False))
    elif results:
        click.echo(render(results, width()), nl=False)
        click.echo(f"{time.monotonic() - started:.1f} s; progress and pictures: {plain(str(out))}")
    if state.interrupted:
        say("Interrupted; the same command goes on.")
        return ending()
    if not results:
        raise OpfuzzError("nothing was swept")
    return 0


def carry_out(
    files: Sequence[SweepFile], sweeps: Sequence[Sweep], out: Path, jobs: int | None, plugins: Paths
) -> SweepState:
    """Do what is left of sweeps whose files are in `out`, and say how far it is."""
    for file in files:
        if file.replaced:
            say(f"{file.path}: started anew, the earlier one is kept as .old: {file.replaced}")
    todo = sum(len(s.chunks()) - len(f.chunks) for s, f in zip(sweeps, files, strict=True))
    if not todo:
        say(f"Finished before; stored results from {out}. Measure anew with --again.")
    elif any(file.chunks for file in files):
        say(f"Going on from {out}: {todo} chunks are left.")
    with Counted("times 65536 inputs") as bar:

        def watch(state: SweepState) -> None:
            bar.watch(state.done >> 16, state.inputs >> 16)

        return run(files, sweeps, jobs or os.cpu_count() or 1, plugins, watch)


def finished(files: Sequence[SweepFile], sweeps: Sequence[Sweep], state: SweepState) -> Iterator[Swept | None]:
    """What each sweep found, None for one that is not at its end; of those that failed it says so."""
    for place, (sweep, file) in enumerate(zip(sweeps, files, strict=True)):
        if place in state.failed:
            say(f"{sweep.spec.op} {sweep.subject} {sweep.format}: not swept: {state.failed[place]}")
        is_whole = place not in state.failed and len(file.chunks) == len(sweep.chunks())
        yield file.swept() if is_whole else None


def say(line: str) -> None:
    """A line beside the results."""
    click.echo(plain(line), err=True)


def _slopes(specs: tuple[OpSpec, ...], is_named: bool) -> tuple[OpSpec, ...]:
    """The gradients of elementwise ops. Of a folder, ops that have none are left out with one line."""
    made, without = [], []
    for spec in specs:
        reason = reason_against(spec) if spec.single_input and len(spec.outputs) == 1 else NOT_ALONE
        if reason is None:
            made.append(slope_of(spec))
        elif is_named:
            raise OpfuzzError(f"{spec.path}: the gradient of '{spec.op}' cannot be swept: {reason}")
        elif reason != NOT_ALONE:
            without.append(spec.op)
    if without:
        say(f"Left out, as they have no gradient: {', '.join(without)}")
    return tuple(made)


def _check_known(params: tuple[str, ...], sweeps: Sequence[Sweep]) -> None:
    """Raises OpfuzzError for a parameter that none of the ops has."""
    known = {name for sweep in sweeps for name in sweep.params}
    for text in params if sweeps else ():
        name = text.partition("=")[0]
        if name not in known:
            remedy = did_you_mean(name, known)
            raise OpfuzzError(f"--param {plain(text)}: no op to sweep has a parameter '{plain(name)}'{remedy}")


def _params(spec: OpSpec, given: tuple[str, ...], is_named: bool) -> dict[str, Value]:
    values = defaults(spec)
    for text in given:
        name, _, value = text.partition("=")
        if name not in values:
            if is_named:
                raise OpfuzzError(f"{spec.path}: '{spec.op}' has no parameter '{name}'{did_you_mean(name, values)}")
            continue
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        param = next(param for param in spec.params if param.name == name)
        if isinstance(read, list | dict) or not param.is_like(read):
            raise OpfuzzError(f"--param {plain(text)}: '{name}' of '{spec.op}' is like {param.default!r}")
        values[name] = read
    return values
