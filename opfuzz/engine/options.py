"""What `opfuzz run` was asked for, as it is kept so that a run can go on, and what its results depend on besides."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opfuzz.backends import Backend
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.probed import Barred
from opfuzz.engine.executors import WORKER_BYTES
from opfuzz.engine.gradients import ONLY, gradients_of
from opfuzz.engine.plan import CORE, Plan, alike_of, dialects_of, load_specs
from opfuzz.spec.profile_reader import read_profile

PACKAGE = Path(__file__).parents[1]
CLIMB_SHARE = 0.15  # of the budget
DEFAULT_FORMATS = ("float32", "float16", "bfloat16")  # float64 is asked for by its name


@dataclass(frozen=True, slots=True)
class Order:
    """The options of a run: times in seconds, memory in bytes."""

    specs: tuple[Path, ...]
    subjects: tuple[str, ...]
    out: Path
    ops: tuple[str, ...] = ()
    formats: tuple[str, ...] = DEFAULT_FORMATS
    cases: int | None = None
    seconds: float | None = None
    jobs: int | None = None
    seed: int = 0
    profile: Path | None = None
    sort: str = "ulp"
    fail_on: tuple[str, ...] = ()
    shrinking: float | None = None
    corpus: Path | None = None
    baseline: str | None = None
    baseline_python: Path | None = None  # with the software of the baseline
    accepted: Path | None = None
    plugins: tuple[Path, ...] = ()
    case_seconds: float | None = None
    case_memory: int = WORKER_BYTES
    patience: int | None = 2
    gradients: str = ""  # of the ops: `also`, or `only`; '': none
    barred: tuple[Barred, ...] = ()  # what probes that were there when the run began have met

    def plan(self, backends: Mapping[str, Backend]) -> Plan:
        """The campaign. Raises OpfuzzError for what is wrong in the files, or if nothing is left to try."""
        specs = load_specs(self.specs, backends, self.ops, dialects_of(self.subjects, backends))
        without: Mapping[str, str] = {}
        if self.gradients:
            made, without = gradients_of(specs)
            if not made and self.gradients == ONLY:
                told = "; ".join(f"{op}: {reason}" for op, reason in without.items())
                raise OpfuzzError(f"none of these ops has a gradient: {told}")
            specs = made if self.gradients == ONLY else (*specs, *made)
        plan = Plan(
            specs=specs,
            subjects=self.subjects,
            seed=self.seed,
            jobs=self.jobs or os.cpu_count() or 1,
            formats=self.formats,
            plugins=self.plugins,
            cases=self.cases,
            seconds=self.seconds,
            profile=None if self.profile is None else read_profile(self.profile, specs),
            climb=CLIMB_SHARE,
            case_seconds=self.case_seconds,
            case_memory=self.case_memory,
            patience=self.patience,
            core=CORE if self.cases is None else min(CORE, self.cases // 2),
            alike=alike_of(self.subjects, backends),
            without_gradient=without,
            barred=self.barred,
        )
        if not plan.pairs():
            others = sorted({name for spec in specs for name in spec.formats})
            remedy = f"; they have {', '.join(others)}: name one with --format" if others else ""
            raise OpfuzzError(f"no op in the specs has a format of {', '.join(plan.formats)}{remedy}")
        return plan


def files(order: Order) -> dict[str, str]:
    """Digests of the files on which results depend: opfuzz's own code, plugins, the profile. Raises OpfuzzError."""
    code = hashlib.blake2b(digest_size=8)
    for path in sorted(PACKAGE.rglob("*.py")):
        code.update(path.read_bytes())
    found = {"the code of opfuzz": code.hexdigest()}
    for path in (*order.plugins, *([order.profile] if order.profile is not None else [])):
        try:
            found[str(path.absolute())] = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        except OSError as error:
            raise OpfuzzError(f"{path}: cannot be read: {error.strerror}") from error
    return found


def digests(plan: Plan) -> dict[str, str]:
    """Those of the specs."""
    return {f"the spec of '{spec.op}'": spec.digest for spec in plan.specs}


def check_same(then: Mapping[str, str], now: Mapping[str, str], place: Path, are_digests: bool) -> None:
    """Raises OpfuzzError for what differs between two sittings of a run: its results would be of both."""
    for name in {**then, **now}:
        a, b = then.get(name), now.get(name)
        if a != b:
            words = f"{name} is another now" if are_digests else f"{name} was {a or 'absent'} and is {b or 'absent'}"
            raise OpfuzzError(f"{place}: cannot go on: {words}; undo that, or start the run anew")
