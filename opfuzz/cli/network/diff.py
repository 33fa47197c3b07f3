"""`opfuzz diff`: tensors that two programs saved."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from opfuzz.cli.group import FINDINGS, width
from opfuzz.network.diff.diff import diff, document
from opfuzz.network.diff.names import read_map, read_order
from opfuzz.network.tensors import open_tensors
from opfuzz.report.network.diff import render

FILE = click.Path(path_type=Path)


@click.command("diff")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option(
    "--map", "mapped", type=FILE, metavar="FILE", help="JSON or YAML, {name in A: name in B}; * stands for any part."
)
@click.option("--order", "ordered", type=FILE, metavar="FILE", help="JSON list of names in order of execution.")
@click.option(
    "--db",
    "decibels",
    is_flag=True,
    help="Also in decibels, as 8.686 times the difference: for logarithms (base e) of amplitudes, such as log-mels.",
)
@click.option("--all", "whole", is_flag=True, help="Show every tensor, not only those around the first divergence.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def diff_command(
    a: Path, b: Path, mapped: Path | None, ordered: Path | None, decibels: bool, whole: bool, as_json: bool
) -> int:
    """Compare the tensors in files A and B (.safetensors, .npz, .npy), and name the first that diverges.

    Tensors are matched by name, and where both files say in which order they were computed, as `opfuzz dump` writes
    it, also by values, classes and order. Without such an order, or --order, none is said to be the first. A tensor
    diverges if its difference is more than rounding explains, and what the difference is, is said where it can be
    told: another layout, a shift, a scale, half precision, int-k, unrelated values. Exit code 1 if any diverges.
    """
    first, second = open_tensors(a), open_tensors(b)
    renamed = read_map(mapped, first.names(), second.names()) if mapped else {}
    order = read_order(ordered, first.names()) if ordered else ()
    found = document(diff(first, second, renamed, order))
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(render(found, decibels, whole, colour, width()), nl=False)
    return FINDINGS if found["divergence"] is not None else 0
