"""Ten nights of known content: one that did not run, a regression that came with a version and went with the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from results import told
from runs_of_rows import VERSIONS, clean, fault, run_of

from opfuzz.core.cause import Cause
from opfuzz.core.common_cause import CommonCause, SmallestCall, WorstFigures
from opfuzz.core.comparison import CauseChange, Comparison, Remark
from opfuzz.core.run import Run
from opfuzz.store.history import add

DAYS = (1, 2, 3, 4, 6, 7, 8, 9, 10, 11)  # of January 2026, always at 02:17; on the fifth nothing ran
OLD, NEW = "a0a0a0a0a0a0", "b1b1b1b1b1b1"  # ids of causes


def name(day: int) -> str:
    """Of the run of a day."""
    return f"202601{day:02}-021700-s{day}"


def at(day: int) -> float:
    """Seconds since 1970: 1 January 2026 at 00:00 in UTC is 1767225600."""
    return 1767225600.0 + (day - 1) * 86400 + 2 * 3600 + 17 * 60


def common(id: str, **fields: Any) -> CommonCause:
    """A cause of faults."""
    known = {
        "id": id, "kind": "told", "name": "", "framework": "torch", "severity": "fault", "reach": "ordinary",
        "cause": told(f"words of {id}"), "subjects": ("torch:cpu",), "ops": ("gelu",), "formats": ("float32",),
        "worst": WorstFigures(100.0, 50.0), "smallest": SmallestCall("", None, None), "trigger": None,
        "findings": (f"f{id[:11]}",), "path": "findings/x",
    }  # fmt: skip
    return CommonCause(**known | fields)


def compared(run: Run, before: str, *changes: CauseChange) -> Run:
    """A run that was held against an earlier one, with what it says of causes."""
    return replace(run, comparison=Comparison(before, run.run, "", {}, causes=changes))


def nights() -> list[Run]:
    """The runs: `OLD` is there from the first on, `NEW` came in the seventh and was fixed in the eighth."""
    rounding = Cause("rounds-argument")
    old = common(OLD, ops=("exp",), worst=WorstFigures(7.0, 5.0))
    new = common(NEW, kind="rounds-argument", cause=rounding, worst=WorstFigures(100.0, 50.0))
    found = []
    for place, day in enumerate(DAYS, 1):
        gelu = [fault(100.0, number=n) if place == 7 else clean(0.5, number=n) for n in range(2)]
        exp = [fault(float("nan") if place == 4 else 7.0, op="exp")]
        causes = [*([old] if place in (1, 2, 4) else []), *([new] if place == 7 else [])]
        version = "2.12" if place < 7 else "2.13" if place == 7 else "2.14"
        run = run_of(
            *(gelu[:1] if place == 3 else gelu), *exp, clean(0.5, op="relu"), name=name(day), seed=day,
            versions={**VERSIONS, "torch": version}, interrupted=place == 3, causes=tuple(causes),
            specs={"gelu": "1", "exp": "2", "relu": "3"},
        )  # fmt: skip
        said = {
            7: (CauseChange("regression", new, findings=new.findings, remark=Remark("same-case")),),
            8: (CauseChange("fixed", new),),
        }
        found.append(compared(run, name(DAYS[place - 2]) if place > 1 else "", *said.get(place, ())))
    return found


def write(path: Path) -> Path:
    """The history of these nights."""
    for run in nights():
        add(path, run)
    return path
