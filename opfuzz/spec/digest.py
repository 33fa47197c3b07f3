"""The digest of a spec's meaning: what a case id rests on, and what tells that an op has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from opfuzz.spec.expression.program import Program
from opfuzz.spec.op import Input, OpSpec


def digest_of(spec: OpSpec) -> str:
    """16 hex digits of BLAKE2b over the canonical meaning. Comments, layout, summary, notes and path do not count."""
    meaning = {
        "op": spec.op,
        "formats": spec.formats,
        "dims": [[dim.name, dim.low, dim.high, dim.choices] for dim in spec.dims],
        "batch": spec.batch,
        "params": [[param.name, param.values, param.low, param.high] for param in spec.params],
        "require": _meanings(spec.require),
        "inputs": [_input(each) for each in spec.inputs],
        **_outputs(spec),
        "calls": {
            dialect: {name: call.meaning for name, call in implementations.items()}
            for dialect, implementations in spec.calls.items()
        },
        "reference": spec.reference.meaning,
        "natural": _meaning(spec.natural),
        "variants": {
            name: {"reference": _meaning(variant.reference), "params": dict(variant.params)}
            for name, variant in spec.variants.items()
        },
    }
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _input(given: Input) -> list[object]:
    meaning: list[object] = [given.name, given.kind, _meaning(given.below), _meanings(given.shape), given.regimes]
    return meaning if given.dtype is None else [*meaning, given.dtype]


def _outputs(spec: OpSpec) -> dict[str, object]:
    """A lone output has a key of its own: it is another op than one that returns a tuple."""
    if not spec.outputs[0].name:
        return {"output": _meanings(spec.outputs[0].shape)}
    return {"outputs": [[output.name, _meanings(output.shape)] for output in spec.outputs]}


def _meaning(program: Program | None) -> str | None:
    return None if program is None else program.meaning


def _meanings(programs: Iterable[Program]) -> list[str]:
    return [program.meaning for program in programs]
