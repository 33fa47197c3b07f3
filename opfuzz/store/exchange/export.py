"""Exported cases as records, and as the JSON and the lines of text that say the same of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opfuzz.core.case import Case
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS, applicable, strides
from opfuzz.spec import OpSpec, Value
from opfuzz.store.bundle.checking import dtype_of
from opfuzz.store.bundle.tensors import Place, name_of

SCHEMA = 1
FIRST_LINE = f"opfuzz-cases {SCHEMA}"


@dataclass(frozen=True, slots=True)
class ExportedCase:
    """One case, and where its inputs are: as contiguous values, whatever the layout in which they are to be seen."""

    case: Case
    number: int  # in the sequence of its op and format
    file: str  # relative to the folder
    places: Mapping[str, Place]  # by input

    def __str__(self) -> str:
        return f"case {self.number} of {self.case.op} in {self.case.format} ({self.case.id})"


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """All cases of a folder."""

    place: Path
    version: str  # of the opfuzz that wrote it
    seed: int
    each: int  # cases of each op and format
    profile: str | None  # name of the one around which cases were drawn
    specs: Mapping[str, OpSpec]  # by op
    entries: tuple[ExportedCase, ...]

    def head(self) -> dict[str, Any]:
        """All of the manifest but its cases."""
        return {
            "schema": SCHEMA,
            "opfuzz": self.version,
            "seed": self.seed,
            "each": self.each,
            "profile": self.profile,
            "specs": {op: spec.digest for op, spec in self.specs.items()},
        }


def tensor_name(case: str, given: str) -> str:
    """The name of an input in its file."""
    return f"{case}/{given}"


def output_name(case: str, implementation: str, output: str) -> str:
    """The name of an output in its file; where an op has one implementation, or one array, these have no names."""
    return "/".join(part for part in (case, implementation, output) if part)


def described(entry: ExportedCase, spec: OpSpec) -> dict[str, Any]:
    """An entry of the manifest: the case, and all that follows from it, so that no client has to know specs."""
    case = entry.case
    shapes = spec.shapes(case.dims, case.params)
    inputs = []
    for given in spec.inputs:
        shape, place = shapes[given.name], entry.places[given.name]
        layout = case.layouts[given.name]
        layout = layout if applicable(layout, shape) else LAYOUTS[0]
        memory = strides(shape, layout)
        inputs.append(
            {
                "name": given.name,
                "kind": given.kind,
                "tensor": tensor_name(case.id, given.name),
                "dtype": name_of(dtype_of(given, case.format)),
                "shape": list(shape),
                "offset": place.first,
                "bytes": place.last - place.first,
                "layout": layout,
                "memory": {"elements": memory.elements, "start": memory.start, "strides": list(memory.steps)},
            }
        )
    dtype = name_of(FORMATS[case.format].dtype)
    outputs = [
        {**({"name": name} if name else {}), "dtype": dtype, "shape": list(shape)}
        for name, shape in spec.output_shapes(case.dims, case.params).items()
    ]
    # As the spec has it: one array under `output`, or a tuple under `outputs`.
    returned = {"outputs": outputs} if spec.outputs[0].name else {"output": outputs[0]}
    return {**case.to_json(), "number": entry.number, "file": entry.file, "inputs": inputs, **returned}


def manifest_text(export: Export) -> str:
    """`manifest.json`: one case a line."""
    head = json.dumps(export.head(), indent=1, allow_nan=False).removesuffix("\n}")
    cases = ",\n".join(
        "  " + json.dumps(described(entry, export.specs[entry.case.op]), allow_nan=False) for entry in export.entries
    )
    return f'{head},\n "cases": [\n{cases}\n ]\n}}\n'


def index_text(export: Export) -> str:
    """`index.txt`: the same for programs that read no JSON, a word for each field and a line for each thing."""
    lines = [FIRST_LINE]
    for entry in export.entries:
        lines += _lines(described(entry, export.specs[entry.case.op]))
    return "\n".join(lines) + "\n"


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"case {entry['id']} {entry['op']} {entry['format']} {entry['number']}"
    for name, size in entry["dims"].items():
        yield f"dim {name} {size}"
    for name, value in entry["params"].items():
        yield f"param {name} {_typed(value)}"
    for given in entry["inputs"]:
        memory = given["memory"]
        where = f"{entry['file']} {given['offset']} {given['bytes']}"
        yield f"input {given['name']} {given['kind']} {given['dtype']} {where} {_sizes(given['shape'])}"
        steps = _sizes(memory["strides"])
        yield f"memory {given['name']} {given['layout']} {memory['elements']} {memory['start']} {steps}"
    for output in entry["outputs"] if "outputs" in entry else [entry["output"]]:
        what = f"named-output {output['name']}" if "name" in output else "output"
        yield f"{what} {output['dtype']} {_sizes(output['shape'])}"
    yield "end"


def _sizes(sizes: list[int]) -> str:
    """How many there are, and each."""
    return " ".join(map(str, [len(sizes), *sizes]))


def _typed(value: Value) -> str:
    """Its kind, and the value as JSON writes it; a text is the rest of the line, in quotes."""
    kind = {bool: "bool", int: "int", float: "float", str: "text", type(None): "none"}[type(value)]
    return f"{kind} {json.dumps(value, allow_nan=False)}"
