"""Where the time of a case goes, by stage: the stack is looked at a thousand times a second.

A file is a stage, so the innermost frame that lies in one says whose time it is. Foundations such as `floats.py` count
for whoever called them. A signal interrupts between two bytecodes: a call into C counts for the line that made it.
"""

from __future__ import annotations

import pickle
import signal
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np

import opfuzz
from opfuzz.core.results import Result
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.plan import Plan
from opfuzz.judge.ranking import Ranking

EVERY = 1e-3  # seconds
PACKAGE = Path(opfuzz.__file__).parent
STAGES: Mapping[str, tuple[str, ...]] = {  # files and folders of the package
    "generation": ("generate", "core/case.py"),
    "subjects": ("backends",),
    "truth": ("oracle",),
    "scores": (
        "judge/settle.py",
        "judge/measure.py",
        "judge/verdict.py",
        "judge/explain.py",
        "judge/score.py",
        "core/metrics",
    ),
    "relations": ("judge/metamorphic.py",),
    "sending": (),  # known by its function
    "ranking": ("judge/ranking.py",),
}
_PLACES = {place: stage for stage, places in STAGES.items() for place in places}
REST = "rest"


@dataclass(frozen=True)
class Shares:
    """How many looks at the stack found each stage at work, over how many cases and seconds."""

    cases: int
    seconds: float
    looks: Mapping[str, int]

    def share(self, stage: str) -> float:
        """Of the time, from 0 to 1."""
        return self.looks.get(stage, 0) / max(sum(self.looks.values()), 1)


def measure(plan: Plan) -> Shares:
    """Every case of a plan in this process, its result sent to itself and ranked, as a run does.

    Raises ValueError outside the main thread, which alone gets signals.
    """
    assert plan.cases is not None
    bench, ranking, looks = Bench(plan), Ranking(), Counter[str]()

    def look(_signal: int, frame: FrameType | None) -> None:
        looks[_stage(frame)] += 1

    before = signal.signal(signal.SIGALRM, look)
    seconds, cases = 0.0, 0
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for op, fmt in plan.pairs():
                bench.examine(CaseItem(op, fmt, 0))  # the first calls of a framework take longer
                signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
                started = time.perf_counter()
                for number in range(plan.cases):
                    ranking.add(_sent(bench.examine(CaseItem(op, fmt, number))))
                    cases += 1
                seconds += time.perf_counter() - started
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return Shares(cases, seconds, looks)


def _sent(result: Result) -> Result:
    received: Result = pickle.loads(pickle.dumps(result))
    return received


def _stage(frame: FrameType | None) -> str:
    while frame is not None:
        if frame.f_code is _sent.__code__:
            return "sending"
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            place = path.relative_to(PACKAGE)
            for each in (place, *place.parents):
                if (stage := _PLACES.get(each.as_posix())) is not None:
                    return stage
        frame = frame.f_back
    return REST
