"""`opfuzz new op` and `opfuzz new backend`: a spec, or a plugin, to fill in; valid from the start."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from opfuzz.backends import discover
from opfuzz.cli.group import words
from opfuzz.core.case import Value
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.shipped import shipped
from opfuzz.engine.draft import Draft, draft_of
from opfuzz.engine.plan import load_specs
from opfuzz.report.text import plain
from opfuzz.spec import json_schema
from opfuzz.spec.reader import RESERVED
from opfuzz.spec.schema import NAME, OP_NAME

SCHEMA_FILE = "opfuzz.schema.json"
TEMPLATE = """\
# yaml-language-server: $schema={schema}
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
BACKEND = '''\
"""The backend '{name}': see what opfuzz makes of it with `opfuzz backends --plugin {path}`."""

import importlib
import re

import numpy as np

from opfuzz.backends import ARRAY_RECIPE, Backend, evaluate

LIBRARY = "numpy"  # the module of your framework, once it is here
FUNCTIONS = """
    abs add arange cos divide exp full log matmul max maximum mean min minimum multiply negative ones power reshape sin
    sqrt subtract sum swapaxes take tanh transpose where zeros
"""


class {kind}(Backend):
    dialects = ("{name}", "numpy")  # the keys under `calls:` of a spec that it reads: the first that is there
    modules = (LIBRARY,)  # imported before workers fork
    modes = ("",)  # others are written {name}:cpu+MODE, and come to `run` as `mode`
    layouts = frozenset({{"contiguous"}})  # what holds views has `lay_out` as well, and all layouts
    refusals = re.compile("not implemented|not supported|unsupported", re.IGNORECASE)  # what is said of no kernel
    environment = {{}}  # of workers, for what the framework reads when it is loaded
    # For reproducers: the imports, and how a call is made of NumPy's arrays. Names of modules are those of calls.
    recipe = ARRAY_RECIPE + """
def run(call):
    return call()
"""

    def absent(self):
        try:
            importlib.import_module(LIBRARY)
        except ImportError:
            return f"{{LIBRARY}}: not installed: pip install {{LIBRARY}}"
        return None  # it is here

    def version(self):
        return importlib.import_module(LIBRARY).__version__

    def devices(self):
        return {{"cpu": None}}  # the value says why a device is not here: "no GPU"

    def supports(self, format, device):
        return format in ("float16", "float32", "float64")  # and "bfloat16"

    def dtype(self, format):
        return np.dtype(format)

    def published(self):
        # All that a spec may call: pure functions of arrays, which read no files and change no arguments.
        library = importlib.import_module(LIBRARY)
        found = {{f"np.{{name}}": getattr(library, name) for name in FUNCTIONS.split()}}
        return found | dict.fromkeys(("cast", ".astype"), lambda x, dtype: x.astype(dtype))

    def load(self, base, device):
        return np.array(base, order="C", copy=True)  # of the framework, on the device

    def get(self, tensor):
        if not isinstance(tensor, np.ndarray | np.generic):
            raise TypeError(f"returned a {{type(tensor).__name__}}, not an array")
        return np.array(tensor, order="C", copy=True)  # NumPy's, with the same bits

    def run(self, program, tensors, names, device, mode):
        with np.errstate(all="ignore"):
            return evaluate(program, {{**names, **tensors}}, self.functions())  # wait here for what is not done yet

    def rest(self):
        """Drop what grows from call to call, such as compiled programs; called now and then."""


BACKENDS = [{kind}()]
'''


@click.group("new")
def new_group() -> None:
    """Write a new file to fill in."""


DRAFT = """\
# yaml-language-server: $schema={schema}
# The op '{op}', drafted from one call by trying it on small arrays. See that it is sound with `opfuzz check {path}`.
op: {op}
summary: {summary}
formats: [{formats}]

# Sizes: 3 is that size, 2..64 a range, 1.. has no upper end. `batch` lists those along which slices are independent.
dims: {{{dims}}}
{sections}
inputs:
{inputs}
{outputs}

calls:
  {dialect}: |
{call}

# The exact mathematics, with the reference functions: exp, sqrt, sum(x, axis=-1), mean, matmul, where, softmax, ...
# {told}
reference: |
  {reference}
"""


@new_group.command("op", short_help="Write the commented spec of a new op.")
@click.argument("name", required=False)
@click.option("--from-call", metavar="CALL", help="Draft it from a call: 'torch.nn.functional.elu(x, alpha)'.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("specs"), help="Folder; default: specs.")
@click.option("--inputs", type=words(), metavar="LIST", help="Names of its inputs; default: x, or those of the call.")
@click.option("--plugin", multiple=True, type=click.Path(path_type=Path), help="Backends of --from-call in a file.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new_op(
    name: str | None,
    from_call: str | None,
    out: Path,
    inputs: tuple[str, ...] | None,
    plugin: tuple[Path, ...],
    force: bool,
) -> int:
    """Write OUT/NAME.yaml: a spec that is valid as it is, with comments on what to change.

    Beside it lies opfuzz.schema.json, what `opfuzz schema spec` prints: the first line of the spec names it, so that
    editors with the YAML language server complete keys and check them.

    With --from-call the call is tried on small arrays: its spec has the dims, inputs, params and outputs that fit, and
    a reference to fill in. NAME is then that of the function, unless it is given.
    """
    backends = discover(plugin)
    draft = None if from_call is None else draft_of(from_call, backends)
    if draft is not None and inputs is not None:
        raise OpfuzzError("--inputs and --from-call: the call names its inputs; leave --inputs out")
    if name is None and draft is None:
        raise OpfuzzError("opfuzz new op: missing NAME; write it, or draft one from a call with --from-call")
    name = draft.name if name is None and draft is not None else str(name)
    inputs = tuple(draft.inputs) if draft is not None else inputs or ("x",)
    if not re.fullmatch(OP_NAME, name):
        raise OpfuzzError(f"'{plain(name)}' is no name of an op; it has small letters, digits and _, a letter first")
    taken = ("batch", "n") if draft is None else draft.dims
    for word in inputs:
        if not re.fullmatch(NAME, word) or keyword.iskeyword(word) or word in (*RESERVED, *taken):
            raise OpfuzzError(f"'{plain(word)}' cannot be the name of an input here; write a name such as x or weight")
    if len(set(inputs)) < len(inputs):
        raise OpfuzzError(f"--inputs {','.join(inputs)}: each input has a name of its own")
    path = out / f"{name}.yaml"
    if path.exists() and not force:
        raise OpfuzzError(f"{path}: is already there; choose another name or folder, or replace it with --force")
    text = template(name, inputs, path) if draft is None else drafted(name, draft, path)
    with TemporaryDirectory() as folder:
        written = Path(folder, path.name)
        written.write_text(text, encoding="utf-8")
        try:
            load_specs([written], backends)
        except OpfuzzError as error:
            told = str(error).replace(str(written), str(path))
            raise OpfuzzError(f"{told}\nno file was written: choose other names") from None
    _write(path, text, force)
    _write(out / SCHEMA_FILE, json.dumps(json_schema(), indent=2) + "\n", force=True)
    shown = plain(str(path))
    click.echo(f"wrote {shown}, which is valid as it is; next:")
    what = "sizes, calls and reference" if draft is None else "reference, which is what it is judged by"
    click.echo(f"  1. change its {what}; the language is told in {shipped('specs') / 'README.md'}")
    click.echo(f"  2. opfuzz check {shown}")
    click.echo(f"  3. opfuzz run {shown} --cases 100")
    return 0


@new_group.command("backend", short_help="Write the commented plugin of a new backend.")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder; default: this one.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new_backend(name: str, out: Path, force: bool) -> int:
    """Write OUT/NAME_backend.py: a plugin with a backend that works as it is, with comments on what to change."""
    if not re.fullmatch(NAME, name) or keyword.iskeyword(name):
        raise OpfuzzError(f"'{plain(name)}' cannot be the name of a backend here; write one such as cupy or my_library")
    if name in discover():
        raise OpfuzzError(f"the backend name '{name}' is taken; choose another")
    path = out / f"{name}_backend.py"  # NAME.py would stand in the way of a library of that name
    kind = "".join(part.capitalize() for part in name.split("_"))
    _write(path, BACKEND.format(name=name, kind=kind, path=plain(str(path))), force)
    shown = plain(str(path))
    click.echo(f"wrote {shown}, which works as it is, with NumPy; next:")
    click.echo("  1. put your framework in its place; what each part owes is told in docs/new-backend.md of opfuzz")
    click.echo(f"  2. opfuzz backends --plugin {shown}")
    click.echo(f"  3. opfuzz run --plugin {shown} --subjects {name}:cpu --format float32 --cases 10")
    return 0


def _write(path: Path, text: str, force: bool) -> None:
    """A new file. Raises OpfuzzError where there is one, or none can be."""
    if path.exists() and not force:
        raise OpfuzzError(f"{path}: is already there; choose another name or folder, or replace it with --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OpfuzzError(f"{path.parent}: cannot be made: {error.strerror}; choose a folder with --out") from error
    write_text(path, text)


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
        schema=SCHEMA_FILE,
        op=op,
        path=plain(str(path)),
        summary=summary,
        inputs="\n".join(f"  {f'{name}:':{width}} {{shape: [batch, n]}}" for name in inputs),
        calls="\n".join(f"  {dialect}: {call}" for dialect, call in calls.items()),
        reference=exact,
        variant=variant,
    )


def drafted(op: str, draft: Draft, path: Path) -> str:
    """The text of a valid spec of a call; its reference is zeros where no reference function gives what it gives."""
    dims = ", ".join(f"{name}: {0 if name == 'batch' and draft.is_batched else 1}.." for name in draft.dims)
    params = ", ".join(f"{name}: [{_yaml(value)}]" for name, value in draft.params.items())
    shapes = [f"[{', '.join(axes)}]" for axes in draft.outputs]
    zeros = [f"zeros({_tuple(axes)})" for axes in draft.outputs]
    outputs = f"output: {{shape: {shapes[0]}}}"
    if draft.is_tuple:
        outputs = "\n".join(
            ["outputs:", *(f"  out{place + 1}: {{shape: {shape}}}" for place, shape in enumerate(shapes))]
        )
    told = "Fill it in: with the zeros below every result is told as wrong."
    if draft.reference is not None:
        told = "This gives what the call gives on the arrays that were tried: see whether it is what the op means."
    sections = ["batch: [batch]"] if draft.is_batched else []
    if params:
        sections += ["", "# Parameters: the first value is the default; add those to try.", f"params: {{{params}}}"]
    if any("k" in re.findall(r"\w+", axis) for axes in draft.outputs for axis in axes):
        sections += ["", "require: [n >= k]"]
    width = max(map(len, draft.inputs)) + 1
    return DRAFT.format(
        schema=SCHEMA_FILE,
        op=op,
        path=plain(str(path)),
        summary=f"What {draft.function} computes.",
        formats=", ".join(draft.formats),
        dims=dims,
        sections="".join(f"{line}\n" for line in sections),
        inputs="\n".join(
            f"  {f'{name}:':{width}} {{shape: [{', '.join(axes)}]}}" for name, axes in draft.inputs.items()
        ),
        outputs=outputs,
        dialect=draft.dialect,
        call="\n".join(f"    {line}" for line in draft.call.strip().splitlines()),
        told=told,
        reference=draft.reference or (_tuple(zeros) if draft.is_tuple else zeros[0]),
    )


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


def _yaml(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else repr(value)
