"""The page of ops: what each is, how each framework is called, in which formats, and what it is confused with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from opfuzz.report.causes.figures import counted
from opfuzz.report.text import plain
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import Program

FIRST = ("torch", "mlx", "numpy", "jax")  # dialects; those of plugins come after them
INTRODUCTION = """\
# Ops

`opfuzz check --page` writes this page from the specs: {count} in {folders}, one file each, named as the op. An empty
cell means that the spec has no call of its own for that framework: JAX then makes that of NumPy, with `jax.numpy`. The
variants are what an op is confused with: a result that matches one is reported by its name.
[specs/README.md](../specs/README.md) has the language of specs, and [new-op.md](new-op.md) says how to add an op.
"""


def ops_page(specs: Sequence[OpSpec]) -> str:
    """Markdown: a heading for each folder of specs, and a table with a row an op, in the order of `specs`."""
    known = {dialect for spec in specs for dialect in spec.calls}
    dialects = [*(name for name in FIRST if name in known), *sorted(known - set(FIRST))]
    tables = []
    folders = groupby(specs, lambda spec: Path(spec.path).resolve().parent.name)
    for folder, members in folders:
        rows = [_row(spec, dialects) for spec in members]
        head = ["op", "what it is", *dialects, "formats", "variants"]
        lines = [head, ["---"] * len(head), *rows]
        tables.append("\n".join([f"## {plain(folder)}", "", *(f"| {' | '.join(line)} |" for line in lines)]))
    introduction = INTRODUCTION.format(count=counted(len(specs), "op"), folders=counted(len(tables), "folder"))
    return "\n\n".join([introduction.strip(), *tables]) + "\n"


def _row(spec: OpSpec, dialects: Sequence[str]) -> list[str]:
    calls = [_calls(spec.calls.get(dialect, {})) for dialect in dialects]
    return [f"`{spec.op}`", _cell(spec.summary), *calls, " ".join(spec.formats), _cell(", ".join(spec.variants))]


def _calls(calls: Mapping[str, Program]) -> str:
    """One call a line, with the name of its implementation where there are several."""
    return "<br>".join(f"{name}: {_code(call.text)}" if name else _code(call.text) for name, call in calls.items())


def _code(text: str) -> str:
    """A program as one line of code: a name is written in one line and used in the next."""
    return f"`{_cell('; '.join(line.strip() for line in text.strip().splitlines()))}`"


def _cell(text: str) -> str:
    return plain(" ".join(text.split())).replace("|", "\\|")
