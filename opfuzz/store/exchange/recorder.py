"""Outputs written as any program would: tensors by the id of the case, a line for each case that has none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_bytes, write_text
from opfuzz.core.results import Outcome
from opfuzz.store.exchange.export import Export, output_name
from opfuzz.store.exchange.files import ABOUT, OUTPUTS, STATUS, SUFFIX
from opfuzz.store.exchange.outputs import UNSTABLE, folder_of

HELD_BYTES = 64 * 2**20  # of outputs, before they are written


def free_folder(export: Export, subject: str) -> Path:
    """Where the outputs of a subject belong. Raises OpfuzzError if there are some already."""
    place = export.place / OUTPUTS / folder_of(subject)
    if os.path.lexists(place):
        raise OpfuzzError(f"{place}: there are outputs already; take the folder away to record anew")
    return place


class OutputRecorder:
    """The outputs of one subject. `close` writes what is held; what was written before stays if that never comes."""

    def __init__(self, export: Export, subject: str, versions: Mapping[str, str], machine: Mapping[str, str]) -> None:
        """Raises OpfuzzError if there are outputs of this subject already, or the disk refuses."""
        self.place: Path = free_folder(export, subject)
        self._held: dict[str, NDArray[Any]] = {}
        self._lines: list[str] = []
        self._files = self._bytes = 0
        try:
            self.place.mkdir(parents=True)
        except OSError as error:
            raise OpfuzzError(f"{self.place}: cannot be written: {error.strerror}") from error
        about = {"subject": subject, "versions": dict(versions), "machine": dict(machine)}
        write_text(self.place / ABOUT, json.dumps(about, indent=1) + "\n")

    def add(self, case: str, implementation: str, outcome: Outcome, outputs: Sequence[str] = ("",)) -> None:
        """Take in what the subject did on a case of an op that has these outputs."""
        name = output_name(case, implementation, "")
        if outcome.outputs is None:
            self._lines.append(f"{name} {outcome.status} {' '.join(str(outcome.cause.figures['words']).split())}")
        else:
            for output, array in zip(outputs, outcome.outputs, strict=True):
                # safetensors' NumPy writer corrupts arrays that are not contiguous.
                self._held[output_name(case, implementation, output)] = np.asarray(array, order="C")
                self._bytes += array.nbytes
        if not all(outcome.repeated or ()):
            self._lines.append(f"{name} {UNSTABLE} the same call twice gave different bits")
        if self._bytes > HELD_BYTES:
            self._write()

    def close(self) -> None:
        """Write what is held."""
        self._write()
        write_text(self.place / STATUS, "".join(f"{line}\n" for line in sorted(self._lines)))

    def _write(self) -> None:
        if self._held:
            write_bytes(self.place / f"{self._files:05d}{SUFFIX}", save(self._held))
            self._files += 1
            self._held, self._bytes = {}, 0
