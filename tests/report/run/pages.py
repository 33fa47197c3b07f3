"""A run with all that a page shows, without running anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from results import result, told
from test_text_reports import run_of

from opfuzz.core.call import Call
from opfuzz.core.comparison import CauseChange, Change, Comparison, Remark, Shift
from opfuzz.core.findings import Minimal
from opfuzz.core.floats import FORMATS
from opfuzz.core.metrics.magnitude import BANDS, CLASS_BAND, last_column
from opfuzz.core.results import Result
from opfuzz.core.run import Run
from opfuzz.core.trigger import Condition, Trigger
from opfuzz.report.run.cause_lines import causes_of

OPS = ("gelu", "softmax", "exp", "relu", "tanh", "matmul")
SUBJECTS = ("torch:cpu", "mlx:cpu")
CODE = "import sys\n\nif 1 < 2 and \"a\" != 'b':  # <script>alert(1)</script> &amp;\n\tsys.exit(1)\n"


def cells(op: str, fmt: str) -> dict[int, int]:
    """Some errors everywhere: most correctly rounded, larger ones near 1, and a few of a wrong class."""
    found = {}
    for column in range(last_column(FORMATS[fmt]) + 1):
        found[column * BANDS] = 1000
        if column % 7 == len(op) % 7:
            found[column * BANDS + 3 + column % 9] = 10
    return found | {CLASS_BAND: 2}


def a_result(number: int, op: str, subject: str, fmt: str, verdict: str, ulp: float, **score: Any) -> Result:
    """One case, with all that a map is made of."""
    made = result(
        number, verdict, ulp, op=op, subject=subject, format=fmt, sort_key=(4**number, op),
        by_magnitude=cells(op, fmt), excess=ulp / 3, conditioned=ulp / 2, **score,
    )  # fmt: skip
    return dataclasses.replace(made, layout=("contiguous", "transposed")[number % 2])


def full_run(folder: Path) -> Run:
    """Six ops on two subjects in two formats, one fault made small, with its reproducer in `folder`."""
    results = []
    for place, op in enumerate(OPS):
        for subject in SUBJECTS:
            for fmt in ("float32", "float16"):
                verdict = "faithful" if subject == "torch:cpu" else ("wrong", "special", "normwise", "exact")[place % 4]
                ulp = 0.75 if subject == "torch:cpu" else 10.0**place
                results += [a_result(number, op, subject, fmt, verdict, ulp) for number in range(3)]
    run = run_of(*results, subjects=SUBJECTS, absent={"mlx:gpu": "no Metal here"}, versions={"torch": "2.13.0"})
    run = dataclasses.replace(run, command=("opfuzz", "run"), machine={"cores": "2"})
    call = Call("float32", {"n": 2}, {"eps": 1e-5}, {"x": np.zeros(2, np.float32)}, {"x": "transposed"})
    trigger = Trigger((Condition("size", "n >= 2", {}),), checked=4, held=4)
    first, *others = run.findings
    first = dataclasses.replace(
        first, causes=(told("it is the tanh formula"),), minimal=Minimal(call, 4, 900, 20, "", trigger)
    )
    place = folder / "findings" / first.id
    place.mkdir(parents=True)
    (place / "repro.py").write_text(CODE)
    return dataclasses.replace(run, findings=(first, *others))


def compared(run: Run) -> Run:
    """The same with one regression, one cause that is fixed, and one row that is worse."""
    new = run.findings[0]
    first, last = causes_of(run)[0], causes_of(run)[-1]
    row = next(row for row in run.ranking if row.op == "matmul")
    then_and_now = ((row.verdict,) * 2, row.severity, (1.0, row.max_ulp), (1.0, 9.0))
    worse = Shift("worse", row.op, row.subject, row.format, *then_and_now, None, "excess")
    return dataclasses.replace(
        run,
        comparison=Comparison(
            "20260130-020000-s0",
            run.run,
            "",
            {"mlx": ("0.31.0", "0.32.4")},
            (
                Change("new", new.id, new.op, new.subject, new.format, new.verdict, new.severity),
                Change("fixed", "0123456789ab", "dropped", "mlx:cpu", "float32", "wrong", "fault"),
            ),
            (worse,),
            causes=(
                CauseChange("regression", first, findings=(new.id,), remark=Remark("same-case")),
                CauseChange("fixed", dataclasses.replace(last, findings=("0123456789ab",))),
            ),
        ),
    )


def trends(run: Run) -> list[Any]:
    """Five runs of every row; those of exp got worse."""
    found = []
    for row in run.ranking:
        errors = [row.max_ulp * (4.0**at if row.op == "exp" else 1) for at in range(5)]
        points = [SimpleNamespace(run=f"r{at}", max_ulp=error, verdict=row.verdict) for at, error in enumerate(errors)]
        found.append(SimpleNamespace(op=row.op, subject=row.subject, format=row.format, points=tuple(points)))
    return found
