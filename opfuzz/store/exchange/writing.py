"""Cases written for any program: all of the folder, or nothing."""

from __future__ import annotations

import io
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_bytes, write_text
from opfuzz.generate import inputs
from opfuzz.spec import OpSpec
from opfuzz.store.bundle.checking import dtype_of
from opfuzz.store.bundle.tensors import Place, places_in
from opfuzz.store.exchange.export import Export, ExportedCase, index_text, manifest_text, tensor_name
from opfuzz.store.exchange.files import INDEX, INPUTS, MANIFEST, OUTPUTS, SPECS, SUFFIX

CASES_LIMIT = 100_000
BYTES_LIMIT = 8 * 2**30  # of all inputs
# A program holds one file of inputs in memory at most, and its header stays below what opfuzz reads of one.
SHARD_BYTES, SHARD_TENSORS = 64 * 2**20, 4096
REMEDY = "export fewer: --cases, --op and --format choose"

Numbered = tuple[int, Case]


@dataclass(frozen=True, slots=True)
class _Shard:
    file: str
    cases: list[Numbered]


def check_room(place: Path, count: int) -> None:
    """Raises OpfuzzError if there is something in the folder, or for more cases than one may hold."""
    if place.is_symlink() or (place.exists() and not (place.is_dir() and not any(place.iterdir()))):
        raise OpfuzzError(f"{place}: is there already; name a new folder")
    if count > CASES_LIMIT:
        raise OpfuzzError(f"{place}: {count} cases, the limit is {CASES_LIMIT}; {REMEDY}")


def write_export(
    export: Export, cases: Sequence[Numbered], watch: Callable[[int, int], None] = lambda done, total: None
) -> Export:
    """Write the cases into the folder of `export`, which may exist if it is empty; the export with its entries.

    `watch` is told how many cases are written. Raises OpfuzzError if there is something in the folder, if the inputs
    are too many or too large, or if the disk refuses.
    """
    check_room(export.place, len(cases))
    _check_size(export, cases)
    with _folder(export.place) as draft:
        for op, spec in export.specs.items():
            write_bytes(draft / SPECS / f"{op}.yaml", _source(spec))
        entries: list[ExportedCase] = []
        for shard in _shards(export.specs, cases):
            entries += _written(draft, shard, export.specs)
            watch(len(entries), len(cases))
        whole = replace(export, entries=tuple(entries))
        write_text(draft / INDEX, index_text(whole))
        write_text(draft / MANIFEST, manifest_text(whole))
    return whole


def _check_size(export: Export, cases: Sequence[Numbered]) -> None:
    size = sum(_bytes(export.specs[case.op], case) for _, case in cases)
    if size > BYTES_LIMIT:
        limit = f"{size / 2**30:.1f} GiB of inputs, the limit is {BYTES_LIMIT / 2**30:g} GiB"
        raise OpfuzzError(f"{export.place}: {limit}; {REMEDY}")


def _bytes(spec: OpSpec, case: Case) -> int:
    shapes = spec.shapes(case.dims, case.params)
    return sum(prod(shapes[given.name]) * dtype_of(given, case.format).itemsize for given in spec.inputs)


@contextmanager
def _folder(place: Path) -> Iterator[Path]:
    """A folder beside `place` to write in, which takes its place when all is written."""
    draft = place.parent / f".{uuid.uuid4().hex}.part"
    try:
        for name in (SPECS, INPUTS, OUTPUTS):
            (draft / name).mkdir(parents=True)
        yield draft
        draft.rename(place)
    except OSError as error:
        raise OpfuzzError(f"{place}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _source(spec: OpSpec) -> bytes:
    try:
        return Path(spec.path).read_bytes()
    except OSError as error:
        raise OpfuzzError(f"{spec.path}: the spec of '{spec.op}' cannot be read again: {error.strerror}") from error


def _shards(specs: Mapping[str, OpSpec], cases: Sequence[Numbered]) -> Iterator[_Shard]:
    """The cases in their order, as many in a file as it may hold, and one at least."""
    held: list[Numbered] = []
    size = tensors = count = 0
    for number, case in cases:
        more, names = _bytes(specs[case.op], case), len(case.layouts)
        if held and (size + more > SHARD_BYTES or tensors + names > SHARD_TENSORS):
            yield _Shard(f"{INPUTS}/{count:05d}{SUFFIX}", held)
            held, size, tensors, count = [], 0, 0, count + 1
        held.append((number, case))
        size, tensors = size + more, tensors + names
    if held:
        yield _Shard(f"{INPUTS}/{count:05d}{SUFFIX}", held)


def _written(folder: Path, shard: _Shard, specs: Mapping[str, OpSpec]) -> list[ExportedCase]:
    arrays = {
        # safetensors' NumPy writer corrupts arrays that are not contiguous; `inputs` promises that these are.
        tensor_name(case.id, name): np.asarray(array, order="C")
        for _, case in shard.cases
        for name, array in inputs(specs[case.op], case).items()
    }
    data = save(arrays)
    write_bytes(folder / shard.file, data)
    places = places_in(io.BytesIO(data), len(data))
    return [ExportedCase(case, number, shard.file, _of(case, places)) for number, case in shard.cases]


def _of(case: Case, places: Mapping[str, Place]) -> dict[str, Place]:
    return {name: places[tensor_name(case.id, name)] for name in case.layouts}
