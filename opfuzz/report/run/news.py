"""What changed since an earlier run, in words: what a reader asks first, the same in every format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opfuzz.core.comparison import (
    BETTER,
    DISCOVERED,
    FIXED,
    REGRESSION,
    UNDECIDED,
    WIDER,
    WORSE,
    CauseChange,
    Comparison,
    Remark,
    Shift,
)
from opfuzz.core.run import Run
from opfuzz.report.causes import title
from opfuzz.report.causes.figures import counted
from opfuzz.report.run.cause_lines import ops_words
from opfuzz.report.run.changes import accepted_ids, word_remark, word_shift
from opfuzz.report.text import plain, quantity
from opfuzz.store.software import word_changed

OPS_ROOM = 60  # characters for the names of ops
NEWS_HEADERS = ("change", "what", "formats", "why", "finding")
WORDS = {
    REGRESSION: "regression",
    UNDECIDED: "not known which",
    DISCOVERED: "discovered",
    WIDER: "known, now in more places",
    FIXED: "fixed",
    WORSE: "row worse",
    BETTER: "row better",
}


def news(run: Run) -> list[str]:
    """Sentences, the most important first; none for a run that was compared with nothing."""
    comparison = run.comparison
    if comparison is None:
        return []
    if not comparison.before:
        return ["There is no earlier run to compare with, so everything is new."]
    lines = [_counts(comparison, accepted_ids(run))]
    if comparison.versions:
        lines.append(f"What changed besides: {word_changed(comparison.versions)}.")
    if comparison.differ:
        cases = f"{counted(comparison.core, 'case')} that both made" if comparison.core else "no case: none is of both"
        lines.append(f"The cases are not the same ({comparison.differ}); rows are compared on {cases}.")
    return [plain(line) for line in lines]


def _counts(comparison: Comparison, known: frozenset[str]) -> str:
    """`Since 20260130-021700-s20260130: 1 regression, 2 causes discovered, 1 cause fixed; 9 causes as before.`"""
    counts = Counter(change.status for change in comparison.causes if not _is_accepted(change, known))
    accepted = sum(_is_accepted(change, known) for change in comparison.causes)
    told = (
        (counts[REGRESSION], "regression", ""),
        (counts[UNDECIDED], "cause", " of which it is not known whether it is a regression"),
        (len(comparison.worse(known)), "row", " worse"),
        (counts[DISCOVERED], "cause", " discovered"),
        (counts[WIDER], "known cause", " in more places"),
        (accepted, "accepted cause", ""),
        (counts[FIXED], "cause", " fixed"),
        (len(comparison.better), "row", " better"),
    )
    words = ", ".join(f"{counted(count, noun)}{after}" for count, noun, after in told if count) or "nothing changed"
    return f"Since {comparison.before}: {words}; {counted(comparison.known, 'cause')} of faults as before."


def _is_accepted(change: CauseChange, known: frozenset[str]) -> bool:
    return bool(change.findings) and known.issuperset(change.findings)


def news_lines(run: Run) -> list[str]:
    """A line for all that is not as it was: `regression: mlx exp: errs as if its argument were rounded; ...`."""
    return [plain(": ".join((item.change, "; ".join(filter(None, (item.what, item.why)))))) for item in news_items(run)]


@dataclass(frozen=True, slots=True)
class NewsItem:
    """One thing that changed, in words."""

    status: str  # of a cause, or of a row
    what: str
    formats: str
    why: str
    finding: str  # id

    @property
    def change(self) -> str:
        """The status in words."""
        return WORDS[self.status]


def news_items(run: Run) -> list[NewsItem]:
    """The causes that are not as they were, then the rows that are worse or better on the same cases, as far as that
    is news."""
    if run.comparison is None or not run.comparison.before:
        return []
    known = accepted_ids(run)
    return [*_told(run), *map(_shifted, (*run.comparison.worse(known), *run.comparison.better))]


def news_cells(run: Run) -> list[list[str]]:
    """The same, a row each, under NEWS_HEADERS."""
    return [[plain(text) for text in (t.change, t.what, t.formats, t.why, t.finding)] for t in news_items(run)]


def _told(run: Run) -> list[NewsItem]:
    assert run.comparison is not None
    known = accepted_ids(run)
    return [_cause_told(change, _is_accepted(change, known)) for change in run.comparison.causes]


def _cause_told(change: CauseChange, is_accepted: bool) -> NewsItem:
    common = change.common
    what = f"{common.framework} {ops_words(common.ops, OPS_ROOM)}: {title(common)}"
    where = " and in ".join(", ".join(each) for each in (change.ops, change.formats) if each)
    why = "; ".join(
        part
        for part in (
            f"now in {where}" if where else "",
            _WHY[change.status](change.remark),
            "accepted" if is_accepted else "",
        )
        if part
    )
    return NewsItem(change.status, what, ", ".join(common.formats), why, (*change.findings, *common.findings)[0])


def _undecided(remark: Remark) -> str:
    remedy = "; --baseline-python asks the software of then" if remark.kind == "not-asked" else ""
    return f"{remark.about}{remedy}"


_WHY: Mapping[str, Callable[[Remark], str]] = {
    REGRESSION: word_remark,
    UNDECIDED: _undecided,
    DISCOVERED: word_remark,
    WIDER: lambda remark: "",
    FIXED: lambda remark: f"its smallest call is right now{', though no version changed' if remark.kind else ''}",
}


def _shifted(shift: Shift) -> NewsItem:
    figures = (
        f"excess {quantity(shift.excess[0])} then, {quantity(shift.excess[1])} now; "
        f"max ulp {quantity(shift.max_ulp[0])} then, {quantity(shift.max_ulp[1])} now, on the same cases"
    )
    what = f"{shift.op} on {shift.subject}: {word_shift(shift)}"
    return NewsItem(shift.status, what, shift.format, figures, shift.finding or "")
