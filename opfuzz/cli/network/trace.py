"""`opfuzz trace`: which module of one model computes something else than its counterpart in another."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from datetime import datetime
from pathlib import Path

import click

from opfuzz.cli.group import FINDINGS
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.trace import knowledge
from opfuzz.network.trace.backward import AT_KINK, trace_gradients
from opfuzz.network.trace.case import document, write
from opfuzz.network.trace.modules import UNCOMPARED
from opfuzz.network.trace.pair import read_models
from opfuzz.network.trace.trace import trace
from opfuzz.report.network.trace import render, render_names

FILE = click.Path(path_type=Path)


@click.command("trace", cls=SettledCommand)
@click.argument("pair", type=FILE)
@click.option(
    "--map",
    "mapping",
    type=FILE,
    metavar="FILE",
    help="JSON or YAML, {name in a: name in b or null}; * is any part of a name.",
)
@click.option("--gradients", "has_gradients", is_flag=True, help="Compare gradients, in the order in which they come.")
@click.option("--all", "whole", is_flag=True, help="Show every module, however many there are.")
@click.option("--names", "with_names", is_flag=True, help="Print the map of names that was found, to paste and edit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option("--out", type=FILE, default=Path("reports"), help="Folder for the guilty module's tensors.")
def trace_command(
    pair: Path, mapping: Path | None, has_gradients: bool, whole: bool, with_names: bool, as_json: bool, out: Path
) -> int:
    """Run two models, and every module of b on what its counterpart in a received; name the first that differs.

    PAIR is a Python file that defines `a` and `b` (a torch.nn.Module or an mlx.nn.Module each; or functions `model_a`
    and `model_b` that return them) and `inputs`: NumPy arrays in a tuple, or in a dict by keyword. Where the models
    want other layouts, `inputs_a` and `inputs_b`. Modules are paired by their weights, then by names, classes and
    order; where that goes wrong, `names`: {name in a: name in b, or None if b has none}.
    With --gradients both are differentiated: every module of b gets what its counterpart received and what came back
    to it, and its gradients by inputs and parameters are compared.
    Exit code 1 if a module is guilty; its input, outputs and weights are then saved.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what the file prints must not spoil the JSON
        follow = trace_gradients if has_gradients else trace
        found = follow(read_models(pair, mapping), knowledge())
    folder = write(found, out, datetime.now().astimezone()) if found.captured else None
    if as_json:
        click.echo(json.dumps({**document(found), "path": str(folder) if folder else None}, allow_nan=False))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(render(found, folder, whole, colour), nl=False)
        if with_names:
            click.echo(f"\n{render_names(found)}", nl=False)
    whole_model = next(m for m in found.modules if not m.name_a)
    if not found.guilty and whole_model.verdict == UNCOMPARED and whole_model.what != AT_KINK:
        raise OpfuzzError(f"{pair}: the models could not be compared: {whole_model.what}")
    return FINDINGS if found.guilty else 0
