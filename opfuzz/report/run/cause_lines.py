"""The causes of a run as lines of a table, the same in a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

from opfuzz.core.common_cause import ORDINARY, UNKNOWN, CommonCause
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT
from opfuzz.judge.gather import gather, place_of_format
from opfuzz.report.causes.figures import counted, right
from opfuzz.report.causes.titles import title
from opfuzz.report.finding.one_line import differentiated
from opfuzz.report.text import plain, quantity, shown

SHORT = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}
LOST = {"raises": "raises", "wrong-shape": "shape", "hangs": "hangs", "dies": "dies", "out-of-memory": "memory"}
CAUSE_HEADERS = ("id", "framework", "cause", "ops", "formats", "reach", "worst", "smallest call", "reproducer")


def causes_of(run: Run) -> tuple[CommonCause, ...]:
    """The causes behind a run's findings; those of an older run, which did not write them, gathered now."""
    return run.causes or gather(run.findings)


def with_causes(run: Run) -> Run:
    """The run with its causes, where an older opfuzz wrote none."""
    return replace(run, causes=causes_of(run))


def findings_of(run: Run, text: str) -> list[str]:
    """The ids of findings that a user means: of a cause, all that are in the run, its representative first, or one.

    Raises OpfuzzError if there is none, or more than one that begins so.
    """
    ids = [finding.id for finding in run.findings]
    matching = [id for id in ids if text and id.startswith(text)]
    if len(matching) > 1:
        raise _ambiguous(run, text, "findings", matching)
    if matching:
        return matching
    causes = [common for common in causes_of(run) if text and common.id.startswith(text)]
    if len(causes) > 1:
        raise _ambiguous(run, text, "causes", [common.id for common in causes])
    if not causes:
        remedy = did_you_mean(text[:40], ids) or "; its report lists them, --run names another run"
        raise OpfuzzError(f"run {run.run} has no finding or cause '{text:.40}'{remedy}")
    return [id for id in causes[0].findings if id in ids]


def _ambiguous(run: Run, text: str, what: str, ids: Sequence[str]) -> OpfuzzError:
    shown = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
    return OpfuzzError(f"'{text:.40}' begins {len(ids)} {what} of {run.run}: {shown}; write more of it")


def faulty(run: Run) -> list[CommonCause]:
    """The causes of faults; what makes notes only is told in the report."""
    return [common for common in causes_of(run) if common.severity == FAULT]


def headline(run: Run) -> str:
    """`12 causes behind 103 faults in 39 ops (torch:cpu; float32); 4 touch ordinary values`."""
    found = faulty(run)
    faults = sum(finding.severity == FAULT for finding in run.findings)
    formats = dict.fromkeys(row.format for row in sorted(run.ranking, key=lambda row: place_of_format(row.format)))
    where = (
        f"in {counted(len({row.op for row in run.ranking}), 'op')} ({', '.join(run.subjects)}; {', '.join(formats)})"
    )
    cut = "interrupted, " if run.interrupted else ""
    if not run.ranking:
        return f"{cut}nothing was judged ({', '.join(run.subjects)})"
    if not found:
        return f"{cut}no fault {where}"
    ordinary, unknown = (sum(common.reach == reach for common in found) for reach in (ORDINARY, UNKNOWN))
    touch = f"; {ordinary or 'none'} {'touches' if ordinary == 1 else 'touch'} ordinary values"
    told = f", of {unknown} it is not known" if unknown else ""
    return f"{cut}{counted(len(found), 'cause')} behind {counted(faults, 'fault')} {where}{touch}{told}"


def cause_cells(common: CommonCause, run: Run) -> list[str]:
    """One cause, under CAUSE_HEADERS."""
    formats = " ".join(SHORT.get(fmt, fmt) for fmt in common.formats)
    reproducer = "next.md" if any(map(run.is_recorded, common.subjects)) else "repro.py"
    cells = [
        common.id,
        common.framework,
        title(common),
        ", ".join(common.ops),
        formats,
        reach_words(common),
        worst_words(common),
        smallest_words(common, run),
        f"{common.path}/{reproducer}",
    ]
    return [plain(cell) for cell in cells]


def reach_words(common: CommonCause) -> str:
    """Whom it touches; of a profile's network, at how many of its call sites."""
    if common.sites is None:
        return common.reach
    shown, known = common.sites
    if not known:
        return f"{common.reach}, not in the network"
    return f"{common.reach}, {'at most' if shown else 'at'} {shown} of {known} sites"


def worst_words(common: CommonCause) -> str:
    """The largest ulp error, else what stands in its place."""
    if common.kind in LOST:
        return LOST[common.kind]
    computed = common.smallest.computed
    if computed is not None and not isfinite(computed):
        return f"{computed:g}"
    return f"{quantity(common.worst.ulp)} ulp"


def smallest_words(common: CommonCause, run: Run, room: int | None = None) -> str:
    """`mx.exp(mx.array([[88.5]])) = inf, exact 2.7e38`; where there is little room, what is called gives way first."""
    smallest = common.smallest
    if not smallest.call:
        witness = next((finding.witness for finding in run.findings if finding.id == common.findings[0]), None)
        return cut(shown(witness), room)
    given = ""
    if smallest.computed is not None and smallest.exact is not None:
        digits = next(
            (
                n
                for n in range(9 if room is None else 6, 17)
                if f"{smallest.computed:.{n}g}" != f"{smallest.exact:.{n}g}"
            ),
            17,
        )
        computed, exact = f"{smallest.computed:.{digits}g}", right(smallest.exact, smallest.ends, digits)
        gap = "" if smallest.element.startswith("[") else " "  # of one of several outputs the name
        given = f"{gap if smallest.element else ''}{smallest.element} = {computed}, exact {exact}"
    if room is None:
        return smallest.call + given
    told, is_gradient = smallest.call, False
    if len(told) > room - len(given):  # of a gradient the call that it is of says more than how it is asked for
        told, is_gradient = differentiated(told)
    return ("vjp of " if is_gradient else "") + cut(told, room - len(given) - 7 * is_gradient) + given


def ops_words(ops: Sequence[str], room: int) -> str:
    """As many names as there is room for, and how many more: `exp, silu +3`."""
    for count in range(len(ops), 0, -1):
        more = f" +{len(ops) - count}" if count < len(ops) else ""
        text = ", ".join(ops[:count]) + more
        if len(text) <= room:
            return text
    return cut(ops[0], room - 3) + f" +{len(ops) - 1}" if len(ops) > 1 else cut(ops[0], room)


def cut(text: str, room: int | None) -> str:
    """Text no longer than that, its end as dots if need be; None: as it is."""
    return text if room is None or len(text) <= room else f"{text[: max(room - 1, 0)]}…"
