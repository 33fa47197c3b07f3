"""A bundle written: every file is whole or not there at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from opfuzz.core.call import Recipe
from opfuzz.core.errors import DiskError, OpfuzzError
from opfuzz.core.files.strict_json import strict
from opfuzz.core.files.whole_file import write_bytes, write_text
from opfuzz.core.layout import LAYOUTS, applicable, memory
from opfuzz.spec import OpSpec
from opfuzz.store.bundle.files import CALL, CASE, FINDING, FOR_PEOPLE, INPUTS, NEEDED, SPEC
from opfuzz.store.bundle.reading import SCHEMA

BEFORE = "before"  # folder inside a bundle: its files as they first were


def write_bundle(
    place: Path,
    finding: Mapping[str, Any],
    spec: OpSpec,
    recipe: Recipe,
    *,
    versions: Mapping[str, str],
    beside: Mapping[str, bytes],
) -> None:
    """The files of one finding in the folder `place`; `finding` is a document as `store.to_json` makes it.

    `recipe` has the call that is shown, where its element is in its output, and the case that it was drawn as, None for
    values that no regime draws; `beside`: those of FOR_PEOPLE that there are, by name.
    Raises OpfuzzError if the disk refuses, or the spec's file is gone.
    """
    call, case = recipe.call, recipe.case
    assert call is not None
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"{place}: cannot be written: {error.strerror}") from error
    try:
        text = Path(spec.path).read_bytes()
    except OSError as error:
        raise OpfuzzError(f"{spec.path}: the spec of '{spec.op}' cannot be read again: {error.strerror}") from error
    shapes = spec.shapes(call.dims, call.params)
    layouts = {n: how if applicable(how, shapes[n]) else LAYOUTS[0] for n, how in call.layouts.items()}
    shown = {
        "schema": SCHEMA,
        "op": spec.op,
        "digest": spec.digest,
        "format": call.format,
        "subject": finding["subject"],
        "relation": finding["relation"],
        "switch": recipe.switch,
        "dims": call.dims,
        "params": call.params,
        "layouts": layouts,
        "output": recipe.output,
        "index": recipe.index,
        "lacking": recipe.lacking,
        "versions": versions,
    }
    # safetensors' NumPy writer corrupts arrays that are not contiguous.
    buffers = {n: np.asarray(memory(array, layouts[n])[0], order="C") for n, array in call.arrays.items()}
    write_text(place / FINDING, _json(finding))
    write_text(place / CALL, _json(shown))
    if case is not None:
        write_text(place / CASE, _json(case.to_json()))
    write_bytes(place / SPEC, text)
    write_bytes(place / INPUTS, save(buffers))
    for name in FOR_PEOPLE:
        if name in beside:
            write_bytes(place / name, beside[name])
        else:
            _remove(place / name)


def keep_first(place: Path) -> None:
    """Copy the files of a bundle to `before/`, unless it has such a folder: the first ones are what a run found.

    Raises OpfuzzError if the disk refuses.
    """
    if (place / BEFORE).is_dir():
        return
    draft = place / f"{BEFORE}.part"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for name in (*NEEDED, *FOR_PEOPLE):
            if (place / name).is_file():
                shutil.copyfile(place / name, draft / name)
        draft.rename(place / BEFORE)
    except OSError as error:
        raise OpfuzzError(f"{place / BEFORE}: cannot be written: {error.strerror}") from error


def _remove(path: Path) -> None:
    """Take away what an earlier version of the bundle had."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be removed: {error.strerror}") from error


def _json(value: Any) -> str:
    return json.dumps(strict(value), indent=1, allow_nan=False) + "\n"
