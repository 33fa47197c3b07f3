"""What `opfuzz run` was asked for, as it is kept so that a run can go on, and what its results depend on besides."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opfuzz.backends import Backend
from opfuzz.errors import OpfuzzError
from opfuzz.floats import FORMATS
from opfuzz.plan import WORKER_BYTES, Plan, load_specs
from opfuzz.profile_reader import read_profile

CLIMB_SHARE = 0.15  # of the budget


@dataclass(frozen=True, slots=True)
class Order:
    """The options of a run: times in seconds, memory in bytes."""

    specs: tuple[Path, ...]
    subjects: tuple[str, ...]
    out: Path
    ops: tuple[str, ...] = ()
    formats: tuple[str, ...] = tuple(FORMATS)
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
    accepted: Path | None = None
    plugins: tuple[Path, ...] = ()
    case_seconds: float | None = None
    case_memory: int = WORKER_BYTES
    patience: int | None = 2

    def plan(self, backends: Mapping[str, Backend]) -> Plan:
        """The campaign. Raises OpfuzzError for what is wrong in the files, or if nothing is left to try."""
        specs = load_specs(self.specs, backends, self.ops)
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
        )
        if not plan.pairs():
            raise OpfuzzError(f"no op in the specs has a format of {', '.join(plan.formats)}")
        return plan

    def to_json(self) -> dict[str, Any]:
        """All fields, as `from_json` reads them; paths are absolute, so that the run can go on from anywhere."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Order:
        """What `to_json` wrote. Raises OpfuzzError if it is of another version of opfuzz."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        if document.keys() != known.keys():
            raise OpfuzzError("the run was begun by an opfuzz that had other options; start it anew")
        return cls(**{name: _typed(str(known[name].type), value) for name, value in document.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _typed(kind: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(Path, value)) if "Path" in kind else tuple(value)
    return Path(value) if "Path" in kind and value is not None else value


def basis(order: Order, plan: Plan, versions: Mapping[str, str], machine: Mapping[str, str]) -> dict[str, str]:
    """Everything besides the order on which results depend, by the name that a message gives it."""
    files = [*order.plugins, *([order.profile] if order.profile is not None else [])]
    return {
        **{f"the spec of '{spec.op}'": spec.digest for spec in plan.specs},
        **{str(path.absolute()): hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for path in files},
        **versions,
        **{name: machine[name] for name in ("python", "processor")},
    }


def check_basis(then: Mapping[str, str], now: Mapping[str, str], place: Path) -> None:
    """Raises OpfuzzError if a run that began on one basis would go on on another: its results would be of both."""
    for name in {**then, **now}:
        a, b = then.get(name), now.get(name)
        if a != b:
            is_text = a is not None and b is not None and len(a) != 16
            words = f"{name} was {a} and is {b}" if is_text else f"{name} is another now"
            raise OpfuzzError(f"{place}: cannot go on: {words}; undo that, or start the run anew")
