"""Numbers and words of a report, the same in every format."""

from __future__ import annotations

from collections.abc import Sequence

from opfuzz.core.findings import Finding, Minimal, Standing
from opfuzz.core.results import Witness
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import NOTE
from opfuzz.report.causes import word_cause, word_finding
from opfuzz.report.causes.figures import counted, figure, right

MISSING_SHOWN = 4  # cases of a subject that are named
FINDING_HEADERS = ("finding", "op", "subject", "format", "verdict", "what", "witness")


def plain(text: str) -> str:
    """Text without control characters, whatever a framework put into its messages."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def quantity(value: float) -> str:
    """Four significant digits, without an exponent where that is readable."""
    if value != value or abs(value) == float("inf"):
        return str(value)
    if value == 0 or 0.01 <= abs(value) < 1e5:
        return f"{value:.4g}"
    return figure(value)


def shown(witness: Witness | None) -> str:
    """`x = 1e-10 (0x2edbe6ff) gives 0, exact 1.128379e-10`; only the first values where there are many inputs."""
    if witness is None:
        return ""
    parts = []
    for name, values in witness.inputs.items():
        bits = witness.inputs_hex.get(name, ())
        if len(values) == 1:
            parts.append(f"{name} = {values[0]:.9g}" + (f" ({bits[0]})" if bits else ""))
    mark = witness.mark
    at = str(mark.element)
    if parts and len(parts) == len(witness.inputs):
        at = (f"{mark.output} of " if mark.output else "") + ", ".join(parts[:2])
    return f"{at}: {mark.computed:.9g}, exact {right(mark.exact, mark.ends)}"


def effort(run: Run) -> str:
    """How much was tried, in one line."""
    notes = sum(finding.severity == NOTE for finding in run.findings)
    is_nothing = all(row.verdict == "unsupported" for row in run.ranking)
    tried = "every case is unsupported" if is_nothing and run.ranking else counted(run.cases, "case")
    lacking = f" ({run.missing} more are missing)" if run.missing else ""
    beside = f"; {counted(notes, 'note')} in the report" if notes else ""
    return f"{tried}{lacking}, {run.elements} elements, {run.seconds:.0f} s, seed {run.seed}{beside}"


def finding_cells(finding: Finding, is_accepted: bool = False) -> list[str]:
    """One row of the findings, under FINDING_HEADERS."""
    return [
        finding.id,
        finding.op,
        finding.subject,
        finding.format,
        f"{finding.verdict} (accepted)" if is_accepted else finding.verdict,
        plain(said(finding)),
        shown(finding.witness),
    ]


def said(finding: Finding) -> str:
    """What is known of a finding, in one sentence: the cause, the condition, and how small it is."""
    parts = [word_finding(finding)]
    minimal = finding.minimal
    if minimal is not None and minimal.trigger is not None:
        parts.append(minimal.trigger.words)
    if minimal is not None:
        parts.append(_smallest(minimal))
    return "; ".join(part for part in parts if part)


def _smallest(minimal: Minimal) -> str:
    if not minimal.is_shown:
        return minimal.note
    size = f"{counted(minimal.elements, 'element')} {'shows' if minimal.elements == 1 else 'show'} it"
    return f"{size} ({minimal.note})" if minimal.note else size


def changes(run: Run) -> list[str]:
    """What became of the faults of earlier runs, those that changed one by one, and searches that were lost."""
    words = {"fixed": "fixed", "back": "back again", "not replayed": "not made again"}
    lines = [
        f"{words[each.status]}: {_told(each)}"
        + (f": {words_now}" if (words_now := each.why or word_cause(each.cause)) else "")
        for each in run.replayed
        if each.is_new or each.status == "not replayed"
    ]
    if run.replayed:
        still = sum(each.status in ("open", "back") for each in run.replayed)
        untried = sum(each.status == "not replayed" for each in run.replayed)
        text = f"of {counted(len(run.replayed), 'fault')} of earlier runs {still} are still there"
        lines.append(text + (f", {untried} not made again" if untried else ""))
    return lines + [f"lost: {text}" for text in run.lost]


def without_gradient(run: Run) -> list[str]:
    """Each op of which a gradient was asked for that has none, and why; those with one reason together.

    And by which inputs of an op a subject gives none, so that it was not asked.
    """
    ops: dict[str, list[str]] = {}
    for op, reason in run.without_gradient.items():
        ops.setdefault(reason, []).append(op)
    lacking: dict[str, dict[str, None]] = {}
    for row in run.ranking:
        if row.lacking:
            lacking.setdefault(row.subject, {})[f"{row.op} by {', '.join(row.lacking)}"] = None
    return [
        *(f"no gradient of {', '.join(found)}: {reason}" for reason, found in ops.items()),
        *(f"not asked, as {subject} gives none: {'; '.join(found)}" for subject, found in lacking.items()),
    ]


def missing_lines(run: Run) -> list[str]:
    """A line for each recorded subject that lacks outputs: how many, and the first of them."""
    return [
        f"missing: {subject} has neither an output nor a word for {counted(len(cases), 'case')}: "
        + "; ".join(cases[:MISSING_SHOWN])
        + (f"; and {len(cases) - MISSING_SHOWN} more, all in run.json" if len(cases) > MISSING_SHOWN else "")
        for subject, cases in run.recorded.items()
        if cases
    ]


def _told(standing: Standing) -> str:
    """`gelu on torch:cpu in float32, wrong (4d0eedee785c)`; the id alone where the rest could not be read."""
    known = (("", standing.op), ("on ", standing.subject), ("in ", standing.format))
    place = " ".join(before + word for before, word in known if word)
    place = ", ".join(word for word in (place, standing.verdict) if word)
    return f"{place} ({standing.id})" if place else standing.id


def policies(rows: Sequence[Row]) -> list[str]:
    """Subjects that flush subnormal results to zero, and the ops in which they do: a policy, said once."""
    flushed: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.flushed:
            ops = flushed.setdefault(row.subject.partition("/")[0], {})  # of all implementations
            ops[row.op] = ops.get(row.op, 0) + row.flushed
    return [
        f"{subject} returned zero for {sum(ops.values())} subnormal results: "
        + ", ".join(f"{op} {count}" for op, count in sorted(ops.items()))
        for subject, ops in sorted(flushed.items())
    ]
