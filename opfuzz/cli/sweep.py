"""`opfuzz sweep`: every input of elementwise ops."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from opfuzz.backends import Backend, resolve
from opfuzz.cli.group import Paths, bundled_specs, ending, plugin_option, width, words
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.strict_json import strict
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.floats import FORMATS
from opfuzz.engine.drivers.sweep import SweepState, run
from opfuzz.engine.drivers.sweep_file import SweepFile, document
from opfuzz.engine.drivers.sweep_sides import Sweep
from opfuzz.engine.gradients import reason_against
from opfuzz.engine.machines import here, machine, vector_unit
from opfuzz.engine.plan import calls_of, load_specs
from opfuzz.report.progress import Counted
from opfuzz.report.search.accuracy_page import accuracy_page
from opfuzz.report.search.sweep import render
from opfuzz.report.search.sweep_picture import draw
from opfuzz.report.text import plain
from opfuzz.search.sweep.reference import NotUnaryError, check_unary
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.gradient import slope_of

DEFAULT_FORMATS = ("float16", "bfloat16")  # 2^16 inputs each; float32 takes minutes an op, so it is asked for
# Other bits come with other kernels: MKL's exp, tanh and erf differ between processors.
ENVIRONMENT = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS")
MOST_FLOAT64 = 2**20  # inputs: each takes Arb, some 50 microseconds
NOT_ALONE = "it does not take one float array of any shape; `opfuzz run --gradients` searches ops of several numbers"
PAGE_FORMATS = (*DEFAULT_FORMATS, "float32")
PAGE_SAMPLE = 2**19  # of float32: a second an op, where all inputs take minutes


def bits_range(text: str) -> tuple[int, int]:
    """`0x3f800000:0x40000000`, the second excluded."""
    ends = re.fullmatch(r"0x([0-9a-f]{1,17}):0x([0-9a-f]{1,17})", text, re.ASCII | re.IGNORECASE)
    found = (int(ends[1], 16), int(ends[2], 16)) if ends else (0, 0)
    if not found[0] < found[1] <= 2**64:
        raise click.BadParameter(
            f"'{text:.60}' is no range of bit patterns; write 0x3f800000:0x40000000, the end excluded"
        )
    return found


@click.command("sweep")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option("--subject", "--subjects", "subjects", type=words(), metavar="LIST", help="Such as torch:cpu,mlx:cpu.")
@click.option(
    "--format",
    "formats",
    type=words(*FORMATS),
    metavar="LIST",
    help="Default: float16,bfloat16; of a page also float32.",
)
@click.option("--range", "bits", type=bits_range, metavar="0xLO:0xHI", help="Only these bit patterns, 0xHI excluded.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="COUNT",
    help="Of more inputs than COUNT, so many spread evenly, and those around hard places and the worst.",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help=f"Write a page of the largest errors in Markdown; of float32 a --sample of {PAGE_SAMPLE}.",
)
@click.option("--gradients", "has_gradients", is_flag=True, help="Measure the gradients, for cotangents of ones.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Default: the spec's first value.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: the number of cores.")
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
    page: Path | None,
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
    if page and not page.parent.is_dir():
        raise OpfuzzError(f"--page {plain(str(page))}: there is no folder '{plain(str(page.parent))}'; make it first")
    loaded = load_specs(specs or (bundled_specs(),), backends, ops or ())
    if has_gradients:
        loaded = _slopes(loaded, bool(ops) or len(loaded) == 1)
    chosen = here(backends).subjects(subjects or (), backends)
    wanted = formats or (PAGE_FORMATS if page else DEFAULT_FORMATS)
    is_named = bool(ops) or len(loaded) == 1
    sweeps = [
        replace(sweep, sample=_sample(sweep, sample or (PAGE_SAMPLE if page else 0)))
        for sweep in _sweeps(loaded, chosen, wanted, bits, params, backends, is_named)
    ]
    if not sweeps:
        raise OpfuzzError("nothing to sweep: none of these ops has a call for these subjects in these formats")
    files = [_file(sweep, out, again, backends) for sweep in sweeps]
    todo = sum(len(s.chunks()) - len(f.chunks) for s, f in zip(sweeps, files, strict=True))
    if not todo:
        _say(f"Finished before; stored results from {plain(str(out))}. Measure anew with --again.")
    elif any(file.chunks for file in files):
        _say(f"Going on from {plain(str(out))}: {todo} chunks are left.")
    kept = [len(file.chunks) for file in files]
    started = time.monotonic()
    with Counted("times 65536 inputs") as bar:

        def watch(state: SweepState) -> None:
            bar.watch(state.done >> 16, state.inputs >> 16)

        state = run(files, sweeps, jobs or os.cpu_count() or 1, plugins, watch)
    results = []
    for i, (sweep, file) in enumerate(zip(sweeps, files, strict=True)):
        if i in state.failed:
            _say(f"{sweep.spec.op} {sweep.subject} {sweep.format}: not swept: {plain(state.failed[i])}")
        elif len(file.chunks) == len(sweep.chunks()):
            swept = file.swept()
            results.append(document(file.header, swept))
            drawing = file.path.with_suffix(".svg")
            if not page and (len(file.chunks) > kept[i] or not drawing.exists()):
                write_text(drawing, draw(results[-1], swept.body.buckets, swept.tail.buckets))
    if page and results and not state.interrupted:
        options = {
            "--gradients": has_gradients,
            "--op": ops,
            "--format": formats,
            "--subjects": subjects,
            "--sample": sample,
            "--param": params,
        }
        write_text(page, accuracy_page(results, _command(specs, page, bits, options), vector_unit()))
        _say(f"{len(results)} sweeps are in {plain(str(page))}.")
    if wants_json:
        for result in results:
            click.echo(json.dumps(strict(result), allow_nan=False))
    elif results and not page:
        click.echo(render(results, width()), nl=False)
        click.echo(f"{time.monotonic() - started:.1f} s; progress and pictures: {plain(str(out))}")
    if state.interrupted:
        _say("Interrupted; the same command goes on.")
        return ending()
    if not results:
        raise OpfuzzError("nothing was swept")
    return 0


def _command(specs: Paths, page: Path, bits: tuple[int, int] | None, options: Mapping[str, Any]) -> str:
    """What was typed, as far as figures depend on it."""
    words = ["opfuzz", "sweep", *map(str, specs), "--page", str(page)]
    for name, value in options.items():
        if name == "--param":
            words += [word for text in value for word in (name, text)]
        elif value is True:
            words.append(name)
        elif value:
            words += [name, ",".join(value) if isinstance(value, tuple) else str(value)]
    return shlex.join([*words, *(["--range", f"{bits[0]:#x}:{bits[1]:#x}"] if bits else [])])


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
        _say(f"Left out, as they have no gradient: {', '.join(without)}")
    return tuple(made)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _sweeps(
    specs: tuple[OpSpec, ...],
    subjects: tuple[str, ...],
    formats: tuple[str, ...],
    bits: tuple[int, int] | None,
    params: tuple[str, ...],
    backends: Mapping[str, Backend],
    is_named: bool,
) -> list[Sweep]:
    """What to sweep. Of a folder, ops that cannot be swept are left out with one line; of a named op it is an error."""
    found: list[Sweep] = []
    left_out: list[str] = []
    absent: set[str] = set()
    resolved = [resolve(text, backends) for text in subjects]
    for spec in specs:
        values = _params(spec, params, is_named)
        try:
            check_unary(spec, spec.formats[0], values)
        except NotUnaryError:
            if is_named:
                raise
            left_out.append(spec.op)
            continue
        for name in (name for name in formats if name in spec.formats):
            low, high = _range(name, bits)
            for subject, backend in resolved:
                if not backend.supports(name, subject.device):
                    absent.add(f"{subject} has no {name}")
                    continue
                for implementation, program in calls_of(spec, subject, backend).items():
                    if program is not None:
                        precise = str(replace(subject, implementation=implementation))
                        found.append(Sweep(spec, precise, name, values, low, high))
    _check_known(params, found)
    if left_out:
        _say(f"Left out, as an element depends on several numbers: {', '.join(left_out)}")
    for reason in sorted(absent):
        _say(reason)
    return found


def _check_known(params: tuple[str, ...], sweeps: list[Sweep]) -> None:
    """Raises OpfuzzError for a parameter that none of the ops has."""
    known = {name for sweep in sweeps for name in sweep.params}
    for text in params if sweeps else ():
        name = text.partition("=")[0]
        if name not in known:
            remedy = did_you_mean(name, known)
            raise OpfuzzError(f"--param {plain(text)}: no op to sweep has a parameter '{plain(name)}'{remedy}")


def _sample(sweep: Sweep, count: int) -> int:
    """How many inputs of a sweep are spread; 0 where there are no more than these, and all are tried."""
    is_all = sweep.high - sweep.low <= max(count, 2**16) or FORMATS[sweep.format].bits > 32
    return 0 if is_all else count


def _range(format: str, bits: tuple[int, int] | None) -> tuple[int, int]:
    width = FORMATS[format].bits
    low, high = bits or (0, 2**width)
    if high > 2**width:
        raise OpfuzzError(f"--range ends at {high:#x}, beyond the {width} bits of {format}; choose a --format")
    if width == 64 and high - low > MOST_FLOAT64:
        raise OpfuzzError(
            f"float64 has 2^64 inputs, too many to sweep: give at most 2^20 of them, such as "
            f"--range 0x3ff0000000000000:{0x3FF0000000000000 + MOST_FLOAT64:#x}"
        )
    return low, high


def _params(spec: OpSpec, given: tuple[str, ...], is_named: bool) -> dict[str, Value]:
    values = {param.name: param.default for param in spec.params}
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


@cache  # it looks through the folders of all packages, for each of hundreds of sweeps
def _version(package: str) -> str:
    return version(package)


def _file(sweep: Sweep, out: Path, again: bool, backends: Mapping[str, Backend]) -> SweepFile:
    backend = resolve(sweep.subject, backends)[1]
    words = [sweep.spec.op, sweep.subject.replace(":", "-").replace("/", "-"), sweep.format]
    words += [f"{name}={value}" for name, value in sweep.params.items()]
    if sweep.high - sweep.low < 2 ** FORMATS[sweep.format].bits:
        words.append(f"{sweep.low:#x}-{sweep.high:#x}")
    if sweep.sample:
        words.append(f"sample={sweep.sample}")
    header: dict[str, Any] = {
        "op": sweep.spec.op,
        "digest": sweep.spec.digest,
        "subject": sweep.subject,
        "format": sweep.format,
        "range": [sweep.low, sweep.high],
        **({"sample": sweep.sample} if sweep.sample else {}),
        "params": strict(dict(sweep.params)),
        "versions": {
            "opfuzz": _version("opfuzz"),
            backend.dialect: backend.version(),
            **{name: _version(name) for name in ("numpy", "scipy")},  # whose functions the references are made of
        },
        "processor": machine().get("processor", ""),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }
    file = SweepFile(out / f"{'-'.join(words).replace('/', '_')}.jsonl", header, again)
    if file.replaced:
        _say(f"{plain(str(file.path))}: started anew, the earlier one is kept as .old: {plain(file.replaced)}")
    return file
