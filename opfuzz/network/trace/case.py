"""A trace as JSON, and the first guilty module's call on disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.strict_json import strict
from opfuzz.network.trace.modules import CLEAN, GUILTY, Module
from opfuzz.network.trace.recording import Array
from opfuzz.network.trace.trace import Trace


def document(trace: Trace) -> dict[str, Any]:
    """The trace as strict JSON holds it: all but the captured tensors; infinities are "inf"."""
    return {
        "frameworks": list(trace.frameworks),
        "of_gradients": trace.is_of_gradients,
        "values_differ": list(trace.values_differ or ()),
        "verdict": _verdict(trace),
        "first_guilty": trace.guilty[0] if trace.guilty else None,
        "guilty": [_guilty(module) for module in trace.modules if module.verdict == GUILTY],
        "clean": sum(module.verdict == CLEAN for module in trace.modules),
        "not_compared": [{"name": name, "why": why} for name, why in trace.not_compared],
        "in_training": {each.side: list(each.modules) for each in trace.in_training},
        "map": trace.names,
        "modules": [strict(dataclasses.asdict(module)) for module in trace.modules],
        "unmatched_a": list(trace.unmatched_a),
        "unmatched_b": list(trace.unmatched_b),
        "captured_call": trace.captured.call if trace.captured else None,
    }


def _guilty(module: Module) -> dict[str, Any]:
    return {
        "a": module.name_a,
        "b": module.name_b,
        "kind": module.kind_a,
        "cause": module.cause,
        "all_tried": module.is_searched,
        "residual": strict(module.residual),
        "local_error": strict(module.local),
    }


def _verdict(trace: Trace) -> str:
    """`guilty` if any module is, else what the whole model is."""
    return GUILTY if trace.guilty else next(module.verdict for module in trace.modules if not module.name_a)


def write(trace: Trace, reports: Path, now: datetime) -> Path:
    """`trace-<time>/`: trace.json, inputs.safetensors, outputs.safetensors and weights.safetensors.

    Names are `0` for the first input in a, `a.0`, `b.0` and `exact.0` for what a, b and a in float64 made of it,
    `a.weight` and `b.weight`. Raises OpfuzzError if the disk refuses, ValueError if nothing was captured.
    """
    if trace.captured is None:
        raise ValueError("no module is guilty, so nothing was captured")
    try:
        folder = _new_folder(reports, f"trace-{now:%Y%m%d-%H%M%S}")
        text = json.dumps(document(trace), indent=1, allow_nan=False)
        (folder / "trace.json").write_text(text + "\n", encoding="utf-8")
        for name, tensors in (
            ("inputs", trace.captured.inputs),
            ("outputs", trace.captured.outputs),
            ("weights", trace.captured.weights),
        ):
            save_file(_storable(tensors), folder / f"{name}.safetensors")
    except OSError as error:
        where = error.filename or reports
        raise OpfuzzError(f"{where}: cannot be written: {error.strerror}; choose a folder with --out") from error
    return folder


def _new_folder(reports: Path, stem: str) -> Path:
    count = 1
    while True:
        folder = reports / (stem if count == 1 else f"{stem}-{count}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.exists() or reports.is_file():
                raise
            count += 1
        else:
            return folder


def _storable(tensors: Mapping[str, Array]) -> dict[str, Array]:
    # safetensors' NumPy writer corrupts arrays that are not contiguous; bfloat16 fits into float32 as it is.
    narrow = {n: a.astype(np.float32) if a.dtype == ml_dtypes.bfloat16 else a for n, a in tensors.items()}
    return {name: np.ascontiguousarray(array) for name, array in narrow.items()}
