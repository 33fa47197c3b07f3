"""What changed since an earlier run, in words: what a reader asks first, the same in every format."""

from __future__ import annotations

from collections import Counter

from opfuzz.core.comparison import (
    BETTER,
    FIXED,
    GONE,
    NEW,
    STILL,
    UNSEEN,
    WIDER,
    CauseChange,
    Change,
    Comparison,
    Shift,
)
from opfuzz.core.findings import Finding
from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT
from opfuzz.report.causes import title
from opfuzz.report.causes.figures import counted
from opfuzz.report.run.changes import accepted_ids, word_remark, word_shift
from opfuzz.report.text import plain, quantity, said

NEWS_HEADERS = ("change", "op", "subject", "format", "verdict", "what", "finding")


def news(run: Run) -> list[str]:
    """Sentences, the most important first; none for a run that was compared with nothing."""
    comparison = run.comparison
    if comparison is None:
        return []
    if not comparison.before:
        return ["There is no earlier run to compare with, so everything is new."]
    lines = [_counts(comparison, accepted_ids(run))]
    if comparison.versions:
        changed = "; ".join(f"{name} {then} then, {now} now" for name, (then, now) in comparison.versions.items())
        lines.append(f"What changed besides: {changed}.")
    if comparison.differ:
        lines.append(
            f"The cases are not the same ({comparison.differ}): what seems new may not have been tried before."
        )
    return [plain(line) for line in lines]


def _counts(comparison: Comparison, known: frozenset[str]) -> str:
    """`Since 20260130-021700-s20260130: 1 new fault, 2 rows worse, 1 finding fixed; 12 findings as before.`"""
    of = {
        status: [c for c in comparison.findings if c.status == status] for status in (NEW, FIXED, GONE, UNSEEN, STILL)
    }
    faults = [change for change in of[NEW] if change.severity == FAULT]
    fresh = [change for change in faults if change.id not in known]
    better = [shift for shift in comparison.rows if shift.status == BETTER]
    causes = Counter(change.status for change in comparison.causes)
    told = (
        (causes[NEW], "new cause", ""),
        (causes[WIDER], "cause", " seen in more places"),
        (causes[FIXED], "cause", " fixed"),
        (len(fresh), "new fault", ""),
        (len(faults) - len(fresh), "new fault", " accepted"),
        (len(of[NEW]) - len(faults), "new note", ""),
        (len(comparison.worse(known)), "row", " worse"),
        (len(of[FIXED]), "finding", " fixed"),
        (len(better), "row", " better"),
        (len(of[GONE]), "finding", " not tried any more"),
        (len(of[UNSEEN]), "finding", " not seen again"),
    )
    words = ", ".join(f"{counted(count, noun)}{after}" for count, noun, after in told if count) or "nothing changed"
    return f"Since {comparison.before}: {words}; {counted(len(of[STILL]), 'finding')} as before."


CAUSE_WORDS = {NEW: "a new cause", FIXED: "a cause that is fixed", UNSEEN: "a cause that is not seen again"}


def cause_news(run: Run) -> list[str]:
    """A line for each cause that is not as it was: `a new cause: mlx exp: errs as if its argument were rounded`."""
    return [] if run.comparison is None else [plain(_cause_news(change)) for change in run.comparison.causes]


def _cause_news(change: CauseChange) -> str:
    common = change.common
    what = f"{common.framework} {', '.join(common.ops)}: {title(common)}"
    if change.status != WIDER:
        return f"{CAUSE_WORDS[change.status]}: {what}"
    where = " and in ".join(", ".join(each) for each in (change.ops, change.formats) if each)
    return f"a cause that is now also seen in {where}: {what}"


def news_cells(run: Run) -> list[list[str]]:
    """New, worse and fixed, a row each, under NEWS_HEADERS; new faults before notes, without what is accepted."""
    comparison = run.comparison
    if comparison is None or not comparison.before:
        return []
    findings = {finding.id: finding for finding in run.findings}
    known = accepted_ids(run)
    told = [c for c in comparison.findings if c.status in (NEW, FIXED) and not (c.status == NEW and c.id in known)]
    worse = [_shifted(shift) for shift in comparison.worse(known)]
    fresh = [_changed(change, findings.get(change.id)) for change in told if change.status == NEW]
    return fresh + worse + [_changed(change, None) for change in told if change.status == FIXED]


def _changed(change: Change, finding: Finding | None) -> list[str]:
    words = "; ".join(text for text in (said(finding) if finding else "", word_remark(change.remark)) if text)
    return [change.status, change.op, change.subject, change.format, change.verdict, plain(words), change.id]


def _shifted(shift: Shift) -> list[str]:
    figures = f"excess {quantity(shift.excess[0])} then, {quantity(shift.excess[1])} now"
    words = (
        f"{word_shift(shift)}; {figures}; max ulp {quantity(shift.max_ulp[0])} then, {quantity(shift.max_ulp[1])} now"
    )
    return [shift.status, shift.op, shift.subject, shift.format, shift.verdicts[1], plain(words), shift.finding or ""]
