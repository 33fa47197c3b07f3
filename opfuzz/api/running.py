"""`opfuzz.run`: ops tried on subjects, and the run that came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

from opfuzz.api.arguments import (
    AnyPath,
    Names,
    read_count,
    read_names,
    read_path,
    read_paths,
    read_truth,
    wrong,
)
from opfuzz.api.finished import FinishedRun
from opfuzz.api.notebook import audience_here
from opfuzz.backends import discover
from opfuzz.core.amounts import seconds_of, seconds_or_none, seed_of
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import FORMATS
from opfuzz.core.shipped import shipped
from opfuzz.engine.carry import carry_out, check_compared, seat
from opfuzz.engine.executors import LOCAL
from opfuzz.engine.gradients import ALSO
from opfuzz.engine.options import DEFAULT_FORMATS, Order

Time = str | float
A_TIME = 'seconds as a number, or a text such as "60s"'


def run(
    specs: AnyPath | Iterable[AnyPath] = (),
    *,
    subjects: Names = (),
    ops: Names = (),
    formats: Names = DEFAULT_FORMATS,
    time: Time | None = None,
    cases: int | None = None,
    seed: int | str = 0,
    gradients: bool = False,
    jobs: int | None = None,
    shrink: Time | None = None,
    baseline: AnyPath | None = None,
    accepted: AnyPath | None = None,
    plugins: AnyPath | Iterable[AnyPath] = (),
    out: AnyPath = "reports",
    progress: bool | None = None,
) -> FinishedRun:
    """Every op of the specs tried on every subject, the results judged, and the ops ranked by ULP error.

    It is `opfuzz run`, writes the same folder below `out`, and reads no settings. `specs`: files and folders, those
    that come with opfuzz if there are none. `subjects`: such as "torch:cpu"; all of torch and MLX that is here if there
    are none. `ops`, `formats`: names. `time`, `shrink`: in seconds, or such as "60s"; the first is 60 s where there are
    neither cases nor a time, the second as long as the cases took and 30 s at least. `cases`: for each op, subject and
    format, so that the results are the same on every machine. `seed`: a whole number, or "nightly". `gradients`:
    whether those of the ops are tried too. `jobs`: processes, as many as there are cores if None. `baseline`: the run
    that this one is held against, or "latest". `accepted`: a list of findings that do not count. `plugins`: Python
    files with backends. `progress`: whether it is shown; where nobody says, in a notebook and on a terminal. Errors are
    in ulp. Calls are made in processes of their own, which do not run the program that calls this: a script needs no
    `if __name__ == "__main__"`. Ctrl-C gives what was found by then.
    Raises OpfuzzError for a mistake in the arguments or in a file, for a subject that is not here, and where nothing
    could be compared.
    """
    if cases is not None and time is not None:
        raise OpfuzzError("cases and time are two budgets; give one of them")
    files = read_paths(plugins, "plugins")
    backends = discover(files)
    order = Order(
        specs=read_paths(specs, "specs") or (shipped("specs"),),
        subjects=read_names(subjects, "subjects", "torch:cpu"),
        out=read_path(out, "out"),
        ops=read_names(ops, "ops", "softmax"),
        formats=_formats(read_names(formats, "formats", "float32")),
        cases=None if cases is None else read_count(cases, "cases", 1),
        seconds=None if time is None else _amount(seconds_of, time, "time", A_TIME),
        jobs=None if jobs is None else read_count(jobs, "jobs", 1),
        seed=int(_amount(seed_of, seed, "seed", 'a whole number below 2^64, or "nightly"')),
        shrinking=None if shrink is None else _amount(seconds_or_none, shrink, "shrink", A_TIME),
        baseline=_baseline(baseline),
        accepted=None if accepted is None else read_path(accepted, "accepted"),
        plugins=files,
        gradients=ALSO if read_truth(gradients, "gradients") else "",
    )
    audience = audience_here(None if progress is None else read_truth(progress, "progress"))
    sitting = seat(order, backends, LOCAL, audience, _command(order))
    result = carry_out(sitting, LOCAL, audience)
    if not result.interrupted:
        check_compared(result)
    return FinishedRun(result, sitting.folder)


def _formats(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in (*FORMATS, "all"):
            remedy = did_you_mean(name, FORMATS) or f"; known: {', '.join(FORMATS)}, all"
            raise OpfuzzError(f"formats: unknown '{name}'{remedy}")
    return tuple(FORMATS) if "all" in names or not names else tuple(names)


def _amount(read: Callable[[Any], float], given: object, what: str, remedy: str) -> float:
    # A whole number that is beyond every float may have too many digits to be written.
    if not isinstance(given, str | Real) or (isinstance(given, int) and given.bit_length() > 1024):
        raise wrong(given, what, remedy)
    try:
        return read(given)
    except ValueError as error:
        raise OpfuzzError(str(error)) from None


def _baseline(given: AnyPath | None) -> str | None:
    if given is None:
        return None
    path = read_path(given, "baseline")
    return str(path.absolute()) if path.exists() else str(given)


def _command(order: Order) -> tuple[str, ...]:
    """The command that makes the same run, as it is kept in run.json."""
    options = {
        "--subjects": ",".join(order.subjects),
        "--op": ",".join(order.ops),
        "--format": ",".join(order.formats),
        "--cases": order.cases,
        "--time": None if order.seconds is None else f"{order.seconds:g}s",
        "--seed": order.seed,
        "--shrink": None if order.shrinking is None else f"{order.shrinking:g}s",
        "--baseline": order.baseline,
        "--accepted": order.accepted,
        "--out": order.out,
    }
    words = ["opfuzz", "run", *(str(path) for path in order.specs if path != shipped("specs"))]
    words += [word for name, value in options.items() if value not in (None, "") for word in (name, str(value))]
    words += ["--gradients"] if order.gradients else []
    return (*words, *(word for path in order.plugins for word in ("--plugin", str(path))))


def read_run(run: AnyPath = "latest", reports: AnyPath = "reports") -> FinishedRun:
    """A run that is on disk.

    `run`: its folder, its run.json, its name in the folder `reports` or the beginning of that, or "latest". Errors in
    it are in ulp, times in seconds. One that an older opfuzz wrote is read as well.
    Raises OpfuzzError if there is none, or it is damaged or of a newer opfuzz.
    """
    from opfuzz.store.read import find_run
    from opfuzz.store.read import read_run as read

    place = find_run(str(read_path(run, "run")), read_path(reports, "reports"))
    return FinishedRun(read(place), place.parent if place.is_file() else place)
