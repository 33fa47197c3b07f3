"""What a self-test found out, as records, as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tabulate import tabulate

from opfuzz.core.findings import Finding, Minimal
from opfuzz.engine.selftest.mutant import Mutant
from opfuzz.report.text import plain, quantity

HEADERS = ("class", "fault", "op", "cases", "seconds", "rank", "verdict", "named", "diagnosis", "elements", "fails")
CLASS_HEADERS = ("class", "planted", "found", "ranked first", "cause named", "by any finding", "median cases")
HONEST_HEADERS = ("honest", "op", "cases", "verdict", "diagnosis")


@dataclass(frozen=True, slots=True)
class Trialled:
    """What became of one mutant. Without a rank it was never accused, in that many cases."""

    mutant: Mutant
    cases: int  # until it was found, or tried
    seconds: float = 0.0  # of one core, until it was found
    rank: int | None = None  # among all ops, what the unmodified backend shows left out
    verdict: str = ""
    diagnosis: str = ""  # of the cause that a run prints first
    others: Sequence[str] = ()  # diagnoses of its other findings: in other formats and ops, and of other verdicts
    explanation: str = ""  # what that says of why, as opposed to what is seen; "": nothing
    finding: Finding | None = None  # that stands for the cause
    smallest: Finding | None = None  # that finding, or one in the mutant's own op, made smaller

    @property
    def is_found(self) -> bool:
        """Whether a fault was seen that the unmodified backend does not show."""
        return self.rank is not None

    @property
    def is_named(self) -> bool:
        """Whether the diagnosis says the cause; where it says why, that must."""
        return self.is_found and self.mutant.is_named_in(self.explanation or self.diagnosis)

    @property
    def is_misnamed(self) -> bool:
        """Whether the diagnosis says another cause than was planted, which is worse than to say none."""
        return self.is_found and bool(self.explanation) and not self.is_named

    @property
    def minimal(self) -> Minimal | None:
        """The smallest call, if one was looked for."""
        return self.smallest.minimal if self.smallest is not None else None

    @property
    def is_shrunk(self) -> bool:
        """Whether its finding was made smaller, or as small as it could be."""
        return self.minimal is not None and self.minimal.is_shown

    @property
    def is_own(self) -> bool:
        """Whether it was made smaller in the op of the fault itself, of which more is known than of others."""
        return self.smallest is not None and self.smallest.op == self.mutant.op

    @property
    def fewest(self) -> int | None:
        """Elements that can show the fault with the symptom that was made smaller; None: not known."""
        more = self.mutant.fewest_finite
        is_finite = self.smallest is not None and self.smallest.verdict in ("wrong", "imprecise")
        return more if is_finite and more is not None else self.mutant.fewest

    @property
    def is_smallest(self) -> bool:
        """Whether no call of fewer elements can show the fault with that symptom."""
        return self.is_own and self.is_shrunk and self.minimal is not None and self.minimal.elements == self.fewest

    @property
    def has_condition(self) -> bool:
        """Whether the condition on sizes and layouts is found exactly."""
        trigger = self.minimal.trigger if self.minimal is not None else None
        return self.is_own and trigger is not None and self.mutant.is_condition(trigger)

    @property
    def is_named_somewhere(self) -> bool:
        """Whether this or any other of its diagnoses says it."""
        return self.is_found and any(map(self.mutant.is_named_in, (self.diagnosis, *self.others)))


@dataclass(frozen=True, slots=True)
class Report:
    """A whole self-test."""

    results: Sequence[Trialled]
    seed: int
    cases: int  # at most, for each mutant
    seconds: float

    @property
    def faults(self) -> list[Trialled]:
        """What became of the planted faults."""
        return [each for each in self.results if each.mutant.kind == "fault"]

    @property
    def honest(self) -> list[Trialled]:
        """What became of the honest implementations."""
        return [each for each in self.results if each.mutant.kind == "honest"]

    @property
    def totals(self) -> dict[str, int | float]:
        """Counts and rates; the rates of rank and cause are shares of what was found."""
        found = [each for each in self.faults if each.is_found]
        first = sum(each.rank == 1 for each in found)
        named = sum(each.is_named for each in found)
        own = [each for each in found if each.smallest is None or each.is_own]  # what is known of other ops is less
        known = [each for each in own if each.mutant.fewest is not None]
        conditional = [each for each in own if each.mutant.condition]
        return {
            "planted": len(self.faults),
            "found": len(found),
            "detection_rate": _share(len(found), len(self.faults)),
            "rank_1": first,
            "rank_1_rate": _share(first, len(found)),
            "cause_named": named,
            "cause_rate": _share(named, len(found)),
            "cause_wrong": sum(each.is_misnamed for each in found),
            "cause_named_somewhere": sum(each.is_named_somewhere for each in found),
            "known": len(known),  # of which the fewest elements are known
            "shrunk": sum(each.is_shrunk for each in found),
            "smallest": sum(each.is_smallest for each in found),
            "smallest_rate": _share(sum(each.is_smallest for each in found), len(known)),
            "conditional": len(conditional),
            "condition_found": sum(each.has_condition for each in conditional),
            "condition_rate": _share(sum(each.has_condition for each in conditional), len(conditional)),
            "honest": len(self.honest),
            "false_accusations": sum(each.is_found for each in self.honest),
        }

    @property
    def is_clean(self) -> bool:
        """Whether every fault was found and nobody accused falsely."""
        return all(each.is_found == (each.mutant.kind == "fault") for each in self.results)


def document(report: Report) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "seed": report.seed,
        "cases": report.cases,
        "seconds": round(report.seconds, 1),
        "faults": [
            {
                "name": each.mutant.name,
                "op": each.mutant.op,
                "class": each.mutant.trigger,
                "found": each.is_found,
                "cases_to_find": each.cases if each.is_found else None,
                "seconds_to_find": round(each.seconds, 3) if each.is_found else None,
                "rank": each.rank,
                "verdict": each.verdict or None,
                "diagnosis": each.diagnosis or None,
                "cause": each.mutant.cause,
                "cause_named": each.is_named,
                "cause_wrong": each.is_misnamed,
                "cause_named_somewhere": each.is_named_somewhere,
                "finding": _finding(each),
                "smallest": _smallest(each),
            }
            for each in report.faults
        ],
        "honest": [
            {
                "name": each.mutant.name,
                "op": each.mutant.op,
                "accused": each.is_found,
                "verdict": each.verdict or None,
                "diagnosis": each.diagnosis or None,
                "finding": _finding(each),
            }
            for each in report.honest
        ],
        "totals": report.totals,
    }


def render(report: Report) -> str:
    """The report as text: a table of the faults, what is wrong with the honest, and the totals."""
    tables = [_table(HEADERS, [_cells(each) for each in report.faults])] if report.faults else []
    accused = [each for each in report.honest if each.is_found]
    if accused:
        rows = [[e.mutant.name, e.mutant.op, str(e.cases), e.verdict, plain(e.diagnosis)] for e in accused]
        tables.append(_table(HONEST_HEADERS, rows))
    if report.faults:
        tables.append(_table(CLASS_HEADERS, class_rows(report)))
    return "\n\n".join([*tables, "\n".join(_summary(report))]) + "\n"


def class_rows(report: Report) -> list[list[str]]:
    """Counts for each class of faults, in the order of the report."""
    rows = []
    for name in dict.fromkeys(each.mutant.trigger for each in report.faults):
        own = [each for each in report.faults if each.mutant.trigger == name]
        found = [each for each in own if each.is_found]
        counts = (
            len(own),
            len(found),
            sum(each.rank == 1 for each in found),
            sum(each.is_named for each in found),
            sum(each.is_named_somewhere for each in found),
        )
        rows.append([name, *map(str, counts), quantity(median(each.cases for each in found)) if found else ""])
    return rows


def _summary(report: Report) -> list[str]:
    t = report.totals
    words = []
    if report.faults:
        words += [
            f"{t['found']} of {t['planted']} planted faults found ({t['detection_rate']:.0%}), "
            f"within {report.cases} cases each",
            f"{t['rank_1']} of them ranked first ({t['rank_1_rate']:.0%})",
            f"{t['cause_named']} of them with the cause named first ({t['cause_rate']:.0%}), "
            f"{t['cause_wrong']} with another, {t['cause_named_somewhere']} with it in any diagnosis",
            f"{t['shrunk']} of them made smaller; of {t['known']} whose fewest elements are known, "
            f"{t['smallest']} to these ({t['smallest_rate']:.0%})",
            f"{t['condition_found']} of {t['conditional']} conditions on sizes and layouts found exactly "
            f"({t['condition_rate']:.0%})",
        ]
    if report.honest:
        words.append(f"{t['false_accusations']} of {t['honest']} honest implementations accused")
    return [*words, f"seed {report.seed}, {report.seconds:.0f} s"]


def _cells(each: Trialled) -> list[str]:
    start = [each.mutant.trigger, each.mutant.name, each.finding.op if each.finding is not None else each.mutant.op]
    if not each.is_found:
        return [*start, str(each.cases), "", "", "missed", "", "", "", ""]
    named = "yes" if each.is_named else "another" if each.is_misnamed else "no"
    size, words = "", ""
    if each.minimal is not None and each.is_shrunk:
        size, fewest = str(each.minimal.elements), each.fewest
        if fewest is not None and not each.is_smallest:
            size += f" > {fewest}"
        words = each.minimal.trigger.words if each.minimal.trigger is not None else ""
    told = [str(each.cases), quantity(each.seconds), str(each.rank), each.verdict, named, plain(each.diagnosis)]
    return [*start, *told, size, words]


def _finding(each: Trialled) -> dict[str, str] | None:
    found = each.finding
    return None if found is None else {"op": found.op, "format": found.format, "case": found.case}


def _smallest(each: Trialled) -> dict[str, Any] | None:
    if each.minimal is None:
        return None
    minimal, trigger = each.minimal, each.minimal.trigger
    return {
        "elements": minimal.elements,
        "before": minimal.before,
        "fewest": each.fewest,
        "attempts": minimal.attempts,
        "note": minimal.note,
        "dims": dict(minimal.call.dims),
        "layouts": dict(minimal.call.layouts),
        "trigger": trigger.words if trigger is not None else None,
        "condition": each.mutant.condition,
        "condition_found": each.has_condition,
    }


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
