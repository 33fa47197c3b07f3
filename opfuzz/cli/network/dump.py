"""`opfuzz dump`: the tensors of one model, in a file for `opfuzz diff`."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path

import click

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.dump.dump import dump
from opfuzz.network.dump.model_file import SIDES, read_model_file
from opfuzz.report.network.dump import render

FILE = click.Path(path_type=Path)
SUFFIX = ".safetensors"


@click.command("dump")
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, metavar="FILE", help="The .safetensors file to write.")
@click.option("--side", type=click.Choice(SIDES), help="Which model, where the file defines both `a` and `b`.")
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Only these modules, such as 'layers.0.*'; * is any part of a name. May be repeated.",
)
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
def dump_command(model: Path, output: Path, side: str | None, only: tuple[str, ...], force: bool) -> int:
    """Run one model and write its inputs, the output of every module, and its output, in the order of execution.

    MODEL is a Python file that defines `model` (or `a`; a torch.nn.Module or an mlx.nn.Module, or a function
    `model_a` that returns it), `inputs` as for `opfuzz trace`, and, where the model is not simply called with them,
    `run(model, inputs)`. `opfuzz diff` compares two such files, wherever and with whatever they were written.
    """
    _check(output, force)
    with contextlib.redirect_stdout(sys.stderr):  # what the file prints is not of what is said here
        found = dump(read_model_file(model, side), output, only)
    click.echo(render(found), nl=False)
    return 0


def _check(output: Path, force: bool) -> None:
    """Before a model runs for minutes. Raises OpfuzzError if the output cannot be written there."""
    if output.is_dir():
        raise OpfuzzError(f"{output}: is a folder; give a file, such as {output / 'a.safetensors'}")
    if output.suffix != SUFFIX:
        raise OpfuzzError(f"{output}: what is written is safetensors; give a name that ends in {SUFFIX}")
    if taken := next((above for above in output.parents if above.exists() and not above.is_dir()), None):
        raise OpfuzzError(f"{output}: {taken} is a file and no folder; give a name that is not below it")
    if not output.parent.is_dir():
        raise OpfuzzError(
            f"{output}: there is no folder {output.parent}; make it: mkdir -p {shlex.quote(str(output.parent))}"
        )
    if output.exists() and not force:
        raise OpfuzzError(f"{output}: exists; give another name, or --force to replace it")
