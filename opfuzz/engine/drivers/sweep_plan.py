"""Which sweeps are meant by specs, subjects and formats, and the files in which their progress is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from opfuzz.backends import Backend, resolve
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.strict_json import strict
from opfuzz.core.floats import FORMATS
from opfuzz.engine.drivers.sweep_file import SweepFile
from opfuzz.engine.drivers.sweep_sides import Sweep
from opfuzz.engine.machines import machine, vector_unit
from opfuzz.engine.plan import calls_of
from opfuzz.search.sweep.reference import NotUnaryError, check_unary
from opfuzz.spec import OpSpec, Value

# Other bits come with other kernels: MKL's exp, tanh and erf differ between processors.
ENVIRONMENT = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS")
MOST_FLOAT64 = 2**20  # inputs: each takes Arb, some 50 microseconds

Params = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Sweeps to do, and in words what was left out."""

    sweeps: tuple[Sweep, ...]
    notes: tuple[str, ...]


def defaults(spec: OpSpec) -> dict[str, Value]:
    """The first value of each parameter in the spec."""
    return {param.name: param.default for param in spec.params}


def plan_sweeps(
    specs: Sequence[OpSpec],
    subjects: Sequence[str],
    formats: Sequence[str],
    backends: Mapping[str, Backend],
    *,
    is_named: bool,
    bits: tuple[int, int] | None = None,
    params: Callable[[OpSpec], Params] = defaults,
) -> SweepPlan:
    """Every op on every subject in every format that both have. `bits`: the patterns, all where there are none.

    An op whose elements depend on several numbers is left out. Raises NotUnaryError for it if ops were named by the
    user, OpfuzzError for patterns that the format does not have.
    """
    found: list[Sweep] = []
    left_out: list[str] = []
    absent: set[str] = set()
    resolved = [resolve(text, backends) for text in subjects]
    for spec in specs:
        values = params(spec)
        try:
            check_unary(spec, spec.formats[0], values)
        except NotUnaryError:
            if is_named:
                raise
            left_out.append(spec.op)
            continue
        for name in (name for name in formats if name in spec.formats):
            low, high = _range(name, bits)
            for subject, backend in resolved:
                if not backend.supports(name, subject.device):
                    absent.add(f"{subject} has no {name}")
                    continue
                for implementation, program in calls_of(spec, subject, backend).items():
                    if program is not None:
                        precise = str(replace(subject, implementation=implementation))
                        found.append(Sweep(spec, precise, name, values, low, high))
    notes = [f"Left out, as an element depends on several numbers: {', '.join(left_out)}"] if left_out else []
    return SweepPlan(tuple(found), (*notes, *sorted(absent)))


def sampled(sweep: Sweep, count: int) -> Sweep:
    """A sweep of a sample of so many inputs, and of what is looked into; of all where there are no more than these."""
    is_all = not count or sweep.high - sweep.low <= max(count, 2**16) or FORMATS[sweep.format].bits > 32
    return sweep if is_all else replace(sweep, sample=count)


def progress_file(sweep: Sweep, out: Path, again: bool, backends: Mapping[str, Backend]) -> SweepFile:
    """The file of a sweep in the folder `out`, begun or gone on with. Raises OpfuzzError if it cannot be written."""
    backend = resolve(sweep.subject, backends)[1]
    words = [sweep.spec.op, sweep.subject.replace(":", "-").replace("/", "-"), sweep.format]
    words += [f"{name}={value}" for name, value in sweep.params.items()]
    if sweep.high - sweep.low < 2 ** FORMATS[sweep.format].bits:
        words.append(f"{sweep.low:#x}-{sweep.high:#x}")
    if sweep.sample:
        words.append(f"sample={sweep.sample}")
    header: dict[str, Any] = {
        "op": sweep.spec.op,
        "digest": sweep.spec.digest,
        "subject": sweep.subject,
        "format": sweep.format,
        "range": [sweep.low, sweep.high],
        **({"sample": sweep.sample} if sweep.sample else {}),
        "params": strict(dict(sweep.params)),
        "versions": {
            "opfuzz": _version("opfuzz"),
            # A runtime is handed what others export, and its calls are another's.
            **({name: _version(name) for name in backend.distributions} if backend.exports else {}),
            backend.name if backend.exports else backend.dialect: backend.version(),
            **{name: _version(name) for name in ("numpy", "scipy")},  # whose functions the references are made of
        },
        "processor": machine().get("processor", ""),
        "vector_unit": vector_unit(),  # processors of one name may have others
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }
    return SweepFile(out / f"{'-'.join(words).replace('/', '_')}.jsonl", header, again)


@cache  # it looks through the folders of all packages, for each of hundreds of sweeps
def _version(package: str) -> str:
    return version(package)


def _range(format: str, bits: tuple[int, int] | None) -> tuple[int, int]:
    width = FORMATS[format].bits
    low, high = bits or (0, 2**width)
    if high > 2**width:
        raise OpfuzzError(f"--range ends at {high:#x}, beyond the {width} bits of {format}; choose a --format")
    if width == 64 and high - low > MOST_FLOAT64:
        raise OpfuzzError(
            f"float64 has 2^64 inputs, too many to sweep: give at most 2^20 of them, such as "
            f"--range 0x3ff0000000000000:{0x3FF0000000000000 + MOST_FLOAT64:#x}"
        )
    return low, high
