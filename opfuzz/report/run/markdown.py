"""The report as Markdown."""

from __future__ import annotations

import re
import shlex

from tabulate import tabulate

from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT, NOTE
from opfuzz.report.run.cause_lines import CAUSE_HEADERS, cause_cells, causes_of, headline
from opfuzz.report.run.changes import accepted_ids, accepted_lines, unexplained
from opfuzz.report.run.news import NEWS_HEADERS, news, news_cells
from opfuzz.report.run.ranking_table import cells, headers
from opfuzz.report.text import (
    FINDING_HEADERS,
    changes,
    effort,
    finding_cells,
    missing_lines,
    plain,
    policies,
    without_gradient,
)

HOW_TO_READ = """\
**ulp**: abs(computed - exact) / ulp(exact), the largest over elements whose exact result is a normal number; \
0.5 is correctly rounded. \
**conditioned**: the error in units of what one rounding of the inputs would do. \
**excess**: the error in units of what an honest, straightforward implementation may do; the limit is 3. \
**bits**: effective bits, p - log2(conditioned). Faults stand before notes before clean rows.\
"""
DRIFT = """\
**drift**: what the errors of this op alone do to the output of the pipeline {}: a relative rms change, estimated from \
cases near its operating points.\
"""


def render(run: Run) -> str:
    """The whole report: headline, causes, ranking, findings, distances, environment."""
    parts = [
        f"# opfuzz run {run.run}",
        inert(headline(run)) + ".",
        inert(effort(run)) + ".",
        *_news(run),
        *_causes(run),
        "## Ranking",
        HOW_TO_READ if run.profile is None else f"{HOW_TO_READ} {DRIFT.format(inert(run.profile))}",
        table(cells(run), headers(run)),
        "## Findings",
        _findings(run),
    ]
    if known := changes(run):
        parts += ["## Faults of earlier runs", "\n".join(f"- {inert(line)}" for line in known)]
    if none := without_gradient(run):
        parts += ["## Ops without a gradient", "\n".join(f"- {inert(line)}" for line in none)]
    if lacking := missing_lines(run):
        parts += ["## Missing outputs", "\n".join(f"- {inert(line)}" for line in lacking)]
    if run.distances:
        rows = [[d["op"], d["format"], d["a"], d["b"], f"{d['max_ulp_distance']:.4g}"] for d in run.distances]
        parts += [
            "## Subjects against each other",
            "Largest ulp distance between two subjects, whoever is right.",
            table(rows, ("op", "format", "a", "b", "ulp distance")),
        ]
    parts += ["## Environment", _environment(run)]
    return "\n\n".join(parts) + "\n"


def _causes(run: Run) -> list[str]:
    """The causes of faults, then of notes; nothing where nothing was found."""
    parts: list[str] = []
    for title, severity in (("## Causes of faults", FAULT), ("## Causes of notes", NOTE)):
        found = [common for common in causes_of(run) if common.severity == severity]
        if found:
            parts += [title, table([cause_cells(common, run) for common in found], CAUSE_HEADERS)]
    return parts


def _findings(run: Run) -> str:
    if not run.findings:
        return "None."
    made = [finding for finding in run.findings if not run.is_recorded(finding.subject)]
    shown = "`findings/<id>/repro.py` shows it without opfuzz" if made else ""
    told = "of recorded outputs `findings/<id>/next.md` says how to go on" if len(made) < len(run.findings) else ""
    return f"Each by its simplest case; {', and '.join(part for part in (shown, told) if part)}.\n\n" + table(
        [finding_cells(finding, finding.id in accepted_ids(run)) for finding in run.findings], FINDING_HEADERS
    )


def _news(run: Run) -> list[str]:
    """What changed, and what is accepted; nothing for a run that was held against nothing."""
    parts = []
    if run.comparison is not None:
        parts += ["## What changed", inert(" ".join([*news(run), *unexplained(run.comparison)]))]
        if rows := news_cells(run):
            parts.append(table(rows, NEWS_HEADERS))
    if entries := accepted_lines(run):
        parts += ["## Accepted findings", "\n".join(f"- {inert(line)}" for line in entries)]
    return parts


def _environment(run: Run) -> str:
    lines = [f"- {name}: {value}" for name, value in {**run.machine, **run.versions}.items()]
    lines += [f"- absent: {name}: {reason}" for name, reason in run.absent.items()]
    lines += [f"- policy: {text}" for text in policies(run.ranking)]
    lines += [f"- started {run.started}, seed {run.seed}: {shlex.join(run.command)}"]
    return "\n".join(inert(line) for line in lines)


def table(rows: list[list[str]], headers: tuple[str, ...]) -> str:
    """A table whose cells are shown as they are written."""
    safe = [[inert(cell) for cell in row] for row in rows]
    return tabulate(safe, headers, tablefmt="github", disable_numparse=True)


def inert(text: str) -> str:
    """Text that Markdown and HTML show as it is written."""
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    marked = re.sub(r"([\\`*_{}\[\]#|~!])", r"\\\1", escaped)
    # What a host turns into links and mentions after that, is parted by a comment that no reader sees.
    return re.sub(r"@|:(?=//)|www(?=\.)|#(?=\d)", r"\g<0><!-- -->", marked, flags=re.IGNORECASE)
