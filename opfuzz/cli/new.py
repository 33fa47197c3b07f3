"""`opfuzz new op`: the spec of a new op to fill in, valid from the start."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from opfuzz.backends import discover
from opfuzz.cli.group import words
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.shipped import shipped
from opfuzz.engine.plan import load_specs
from opfuzz.report.text import plain
from opfuzz.spec.reader import RESERVED
from opfuzz.spec.schema import NAME, OP_NAME

TEMPLATE = """\
# The op '{op}'. Change it line by line, and see that it is sound with `opfuzz check {path}`.
op: {op}
summary: {summary}
formats: [float32, float16, bfloat16]

# Sizes: 3 is that size, 2..64 a range, 1.. has no upper end, [64, 128] is a choice. `batch` lists those along which
# slices are independent of each other. Further keys: `params: {{eps: [1e-5, 1e-6]}}` and `require: [n % 2 == 0]`.
dims: {{batch: 0.., n: 1..}}
batch: [batch]

# The arrays that the op takes, and the one that it returns. `kind: index(n)` are integers below n, `kind: mask` truth
# values; `regimes: [normal, ones]` are patterns of values where the usual ones make no sense. An op of several arrays
# has `outputs: {{y: {{shape: [batch, n]}}, total: {{shape: []}}}}` in place of `output`, and every call and formula
# gives a tuple in that order. `shape: []` is a number without axes.
inputs:
{inputs}
output: {{shape: [batch, n]}}

# How each framework computes it. A framework that is missing here has no such op, and reports say so.
calls:
{calls}

# The exact mathematics, with the reference functions: exp, sqrt, sum(x, axis=-1), mean, matmul, where, softmax, ...
# A block has lines `name = expression` and then one expression.
reference: |
  {reference}

# What the op is confused with: where an output matches one, a report says so.
variants:
  {variant}
"""
DIALECTS = {"torch": "torch", "mlx": "mx", "numpy": "np"}  # and under which name a call has the framework


@click.group("new", short_help="Write a new spec to fill in.")
def new_group() -> None:
    """Write a new file to fill in."""


@new_group.command("op", short_help="Write the commented spec of a new op.")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path("specs"), help="Folder; default: specs.")
@click.option("--inputs", type=words(), metavar="LIST", default="x", help="Names of its inputs; default: x.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new_op(name: str, out: Path, inputs: tuple[str, ...], force: bool) -> int:
    """Write OUT/NAME.yaml: a spec that is valid as it is, with comments on what to change."""
    if not re.fullmatch(OP_NAME, name):
        raise OpfuzzError(f"'{plain(name)}' is no name of an op; it has small letters, digits and _, a letter first")
    for word in inputs:
        if not re.fullmatch(NAME, word) or keyword.iskeyword(word) or word in (*RESERVED, "batch", "n"):
            raise OpfuzzError(f"'{plain(word)}' cannot be the name of an input here; write a name such as x or weight")
    if len(set(inputs)) < len(inputs):
        raise OpfuzzError(f"--inputs {','.join(inputs)}: each input has a name of its own")
    path = out / f"{name}.yaml"
    if path.exists() and not force:
        raise OpfuzzError(f"{path}: is already there; choose another name or folder, or replace it with --force")
    text = template(name, inputs, path)
    with TemporaryDirectory() as folder:
        draft = Path(folder, path.name)
        draft.write_text(text, encoding="utf-8")
        try:
            load_specs([draft], discover())
        except OpfuzzError as error:
            told = str(error).replace(str(draft), str(path))
            raise OpfuzzError(f"{told}\nno file was written: choose other names") from None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OpfuzzError(f"{out}: cannot be made: {error.strerror}; choose a folder with --out") from error
    write_text(path, text)
    shown = plain(str(path))
    click.echo(f"wrote {shown}, which is valid as it is; next:")
    click.echo(f"  1. change its sizes, calls and reference; the language is told in {shipped('specs') / 'README.md'}")
    click.echo(f"  2. opfuzz check {shown}")
    click.echo(f"  3. opfuzz run {shown} --cases 100")
    return 0


def template(op: str, inputs: tuple[str, ...], path: Path) -> str:
    """The text of a valid spec: the absolute value of one input, or the sum of several."""
    width = max(map(len, inputs)) + 1
    first, total = inputs[0], " + ".join(inputs)
    if len(inputs) == 1:
        summary, exact = "Absolute value of each element.", f"abs({first})"
        calls = {dialect: f"{prefix}.abs({first})" for dialect, prefix in DIALECTS.items()}
        variant = f"unchanged: {{note: the sign is kept, reference: {first}}}"
    else:
        summary, exact = "Sum of the inputs, element by element.", total
        calls = dict.fromkeys(DIALECTS, total)
        variant = f"first-only: {{note: all inputs but the first are lost, reference: {first}}}"
    return TEMPLATE.format(
        op=op,
        path=plain(str(path)),
        summary=summary,
        inputs="\n".join(f"  {f'{name}:':{width}} {{shape: [batch, n]}}" for name in inputs),
        calls="\n".join(f"  {dialect}: {call}" for dialect, call in calls.items()),
        reference=exact,
        variant=variant,
    )
