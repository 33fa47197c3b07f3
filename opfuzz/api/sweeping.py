"""`opfuzz.sweep`: every input of one op of one number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opfuzz.api.arguments import check_named, read_count, read_name, read_path
from opfuzz.api.judging import read_spec
from opfuzz.api.notebook import preformatted
from opfuzz.backends import discover, resolve
from opfuzz.core.case import Value
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import FORMATS
from opfuzz.engine.drivers.sweep import run as run_sweeps
from opfuzz.engine.drivers.sweep_file import document
from opfuzz.engine.drivers.sweep_plan import defaults, plan_sweeps, progress_file, sampled
from opfuzz.engine.plan import load_specs
from opfuzz.report.search.sweep import render
from opfuzz.spec import OpSpec


@dataclass(frozen=True, slots=True)
class SweptOp:
    """What every input of an op came to, or a sample of them. Its text is what `opfuzz sweep` prints."""

    document: Mapping[str, Any]  # what `opfuzz sweep --json` prints
    path: Path  # of the progress file

    @property
    def max_ulp(self) -> float:
        """The largest error over inputs whose exact result is a normal number, in ulp."""
        return float(max(self.document["max_ulp"], self.document["tail"]["max_ulp"]))

    @property
    def at(self) -> float:
        """The input of the largest error."""
        worst = max(self.document, self.document["tail"], key=lambda figures: figures["max_ulp"])
        return float(worst["at"])

    def __str__(self) -> str:
        return render([self.document])

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def sweep(
    op: str | os.PathLike[str] | OpSpec,
    subject: str,
    format: str = "float16",
    *,
    params: Mapping[str, Value] | None = None,
    sample: int = 0,
    jobs: int | None = None,
    out: str | os.PathLike[str] = "reports/sweeps",
) -> SweptOp:
    """The error of every input of an op of one number: 2^16 in a half format, 2^32 in float32, in ulp.

    `op`: the name of a spec that comes with opfuzz, the path of a spec, or an OpSpec. `subject`: such as "torch:cpu",
    with an implementation if the spec has several, such as "mlx:cpu/fast". `params`: what differs from the first value
    of each parameter. `sample`: of more inputs than so many, that number spread evenly and those around hard
    places; 0 for all, which in float32 takes minutes on all cores. `format`: float32, float16 or bfloat16. `jobs`:
    processes, as many as there are cores if None. What is done is kept in a file in `out`, so that a sweep goes on
    where it was. Ctrl-C ends it with KeyboardInterrupt.
    Raises OpfuzzError for an op of several numbers, an unknown format or parameter, a subject that is not here, has no
    such call or fails.
    """
    read_name(subject, "subject", "torch:cpu")
    read_name(format, "format", "float16")
    folder, number = read_path(out, "out"), read_count(sample, "sample", 0)
    processes = read_count(os.cpu_count() or 1 if jobs is None else jobs, "jobs", 1)
    if format == "float64":
        raise OpfuzzError("float64 has 2^64 inputs, too many to sweep: opfuzz sweep --range tries up to 2^20 of them")
    if format not in FORMATS:
        raise OpfuzzError(
            f"format '{format}' is unknown{did_you_mean(format, FORMATS) or '; known: ' + ', '.join(FORMATS)}"
        )
    backends = discover()
    resolve(subject, backends)
    known = read_spec(op)
    (spec,) = load_specs([Path(known.path)], backends, [known.op])
    check_named(params, "params")
    given = dict(params or {})
    for name in given:
        if name not in defaults(spec):
            raise OpfuzzError(f"{spec.path}: '{spec.op}' has no parameter '{name}'{did_you_mean(name, defaults(spec))}")
    plan = plan_sweeps(
        [spec], [subject], [format], backends, is_named=True, params=lambda spec: {**defaults(spec), **given}
    )
    if not plan.sweeps:
        notes = "; ".join(plan.notes) or f"'{spec.op}' has no call for {subject} in {format}"
        raise OpfuzzError(f"nothing to sweep: {notes}")
    if len(plan.sweeps) > 1:
        names = ", ".join(each.subject for each in plan.sweeps)
        raise OpfuzzError(f"'{spec.op}' has several implementations there; name one: {names}")
    chosen = sampled(plan.sweeps[0], number)
    file = progress_file(chosen, folder, False, backends)
    state = run_sweeps([file], [chosen], processes)
    if state.interrupted:
        raise KeyboardInterrupt
    if state.failed:
        raise OpfuzzError(f"{spec.op} on {chosen.subject} in {format}: not swept: {state.failed[0]}")
    return SweptOp(document(file.header, file.swept()), file.path)
