"""`opfuzz climb`: search for the worst input of ops."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from opfuzz.backends import Backend
from opfuzz.cli.group import FINDINGS, CountRange, Paths, bundled_specs, ending, plugin_option, seed_of, width, words
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.strict_json import strict
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.engine.drivers.climb import Climbed, run
from opfuzz.engine.gradients import gradients_of
from opfuzz.engine.machines import here
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.report.causes import word_cause
from opfuzz.report.progress import Counted
from opfuzz.report.search.climb import render
from opfuzz.spec import OpSpec
from opfuzz.spec.gradient import gradient_of, slope_of
from opfuzz.store.write import to_json

EVALUATIONS = 1_000_000


@click.command("climb", cls=SettledCommand)
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option("--subject", "--subjects", "subjects", type=words(), metavar="LIST", help="Such as torch:cpu,mlx:cpu.")
@click.option("--format", "formats", type=words(*FORMATS), metavar="LIST", help="Default: float32.")
@click.option(
    "--evaluations",
    type=CountRange(min=1),
    default=EVALUATIONS,
    help=f"Elements of outputs to judge, for each op, subject and format; default {EVALUATIONS}.",
)
@click.option(
    "--goal",
    type=click.Choice(("ulp", "excess")),
    help="What to raise. Default: ulp for elementwise ops of one input, excess for all others.",
)
@click.option("--gradients", "has_gradients", is_flag=True, help="Climb the gradients of the ops instead.")
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--seed", type=seed_of, metavar="SEED", default="0", help="A whole number, or nightly. Default 0.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@plugin_option
def climb_command(
    specs: Paths,
    ops: tuple[str, ...] | None,
    subjects: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    evaluations: int,
    goal: Any,
    has_gradients: bool,
    jobs: int | None,
    seed: int,
    as_json: bool,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Search for the worst input of every op in SPECS on every subject, and judge it in full.

    SPECS are files and folders; without any, the specs that come with opfuzz. Where a fault is met that is not the
    worst input itself, it has a row of its own. Exit code 1 if there is a fault. With --gradients the cotangents are
    among the inputs; of ops of one number they are ones.
    """
    loaded = load_specs(specs or (bundled_specs(),), backends, ops or ())
    if has_gradients:
        loaded = _climbed_gradients(loaded)
    chosen = here(backends).subjects(subjects or (), backends)
    plan = Plan(
        specs=loaded,
        subjects=chosen,
        seed=seed,
        jobs=jobs or os.cpu_count() or 1,
        formats=formats or ("float32",),
        plugins=plugins,
    )
    if not plan.pairs():
        raise OpfuzzError(f"no op in the specs has a format of {', '.join(plan.formats)}")
    with Counted("climbs") as bar:
        climbs = run(plan, evaluations, goal, bar.watch)
    entries = [_entry(climbed) for climbed in climbs.found]
    if as_json:
        click.echo(json.dumps(strict({"seed": seed, "climbs": entries}), allow_nan=False))
    elif entries:
        click.echo(render(entries, width()))
    if climbs.interrupted:
        return ending()
    if not climbs.found:
        raise OpfuzzError(f"nothing was climbed: {', '.join(chosen)} can do none of these ops in these formats")
    return FINDINGS if any(climbed.is_fault for climbed in climbs.found) else 0


def _climbed_gradients(specs: tuple[OpSpec, ...]) -> tuple[OpSpec, ...]:
    """The gradients of the ops that have one. Raises OpfuzzError if none has."""
    made, without = gradients_of(specs)
    for op, reason in without.items():
        click.echo(f"no gradient of {op}: {reason}", err=True)
    if not made:
        raise OpfuzzError("none of these ops has a gradient")
    return tuple(
        slope_of(spec) if spec.single_input and len(spec.outputs) == 1 else gradient_of(spec)
        for spec in specs
        if spec.op not in without
    )


def _entry(climbed: Climbed) -> dict[str, Any]:
    score, call, witness = climbed.judged.score, climbed.call, climbed.witness
    entry: dict[str, Any] = {
        "op": climbed.op,
        "subject": climbed.subject,
        "format": climbed.format,
        "worst": climbed.respect,
        "evaluations": climbed.evaluations,
        "seconds": round(climbed.seconds, 3),
        "verdict": score.verdict,
        "cause": to_json(score.cause),
        "reason": word_cause(score.cause),
        "ulp": score.ulp,
        "excess": score.excess,
        "lacking": list(climbed.judged.lacking),
    }
    if call is not None:
        layouts = {name: layout for name, layout in call.layouts.items() if layout != LAYOUTS[0]}
        entry |= {"dims": dict(call.dims), "params": dict(call.params), "layouts": layouts}
    if witness is not None:
        mark = witness.mark
        entry |= {"output": mark.output, "index": list(mark.index)}
        entry |= {"inputs": dict(witness.inputs), "inputs_hex": dict(witness.inputs_hex)}
        entry |= {"computed": mark.computed, "computed_hex": mark.computed_hex, "exact": mark.exact, "ends": mark.ends}
    return entry
