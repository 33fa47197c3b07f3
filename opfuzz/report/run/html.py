"""The report as one HTML file that needs nothing else: no network, no script to be read, no other file."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import FAULT, NOTE, SEVERITIES
from opfuzz.report.causes import word_finding, word_row
from opfuzz.report.history.trends import Curve, Trends
from opfuzz.report.run.cause_lines import headline
from opfuzz.report.run.html_causes import shown_causes
from opfuzz.report.run.html_pictures import log_bar
from opfuzz.report.run.html_sections import Detail, at_a_glance, axes_of, largest_of, sections, slug
from opfuzz.report.run.html_tried import TriedMap
from opfuzz.report.run.news import news, news_items
from opfuzz.report.template import policy, template
from opfuzz.report.text import changes, effort, missing_lines, plain, policies, quantity, without_gradient

SIZE_LIMIT = 2_000_000  # bytes
# What a page leaves out, one after another, until it is small enough: the last has neither code nor maps.
DETAILS = (
    Detail(code=700_000, maps="all"),
    Detail(code=300_000, maps="all"),
    Detail(code=300_000, maps="not clean"),
    Detail(code=100_000, maps="faults"),
    Detail(code=0, maps="none"),
)


def render(run: Run, folder: Path, trends: Sequence[Curve] = ()) -> str:
    """The whole page, below SIZE_LIMIT where leaving out code and maps can make it so.

    `folder`: that of the run, where the reproducers are; `trends`: those of its history, oldest point first.
    Raises OpfuzzError for counts that no run has.
    """
    page = ""
    for detail in DETAILS:
        page = _page(run, folder, trends, detail)
        if len(page.encode()) < SIZE_LIMIT:
            break
    return page


def _page(run: Run, folder: Path, trends: Sequence[Curve], detail: Detail) -> str:
    try:
        found = sections(run, folder, detail)
    except ValueError as error:
        raise OpfuzzError(f"{folder}: run.json: {error}") from None
    style, script = _asset("report.css"), _asset("report.js")
    return _template()(
        run=run,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        headline=headline(run),
        effort=effort(run),
        news=news(run),
        changed=news_items(run),
        here={finding.id for finding in run.findings},
        counts=_counts(run),
        causes=shown_causes(run, found, FAULT),
        noted=shown_causes(run, found, NOTE),
        tried=TriedMap.of(run),
        glance=at_a_glance(run),
        sections=found,
        ops={section.op for section in found},
        largest=largest_of(run),
        axes=axes_of(found),
        trends=Trends.of(trends),
        earlier=changes(run),
        missing=missing_lines(run),
        without_gradient=without_gradient(run),
        policies=policies(run.ranking),
        command=shlex.join(run.command),
        left_out=detail.words,
        choices=_choices(run.ranking),
    )


def _counts(run: Run) -> list[tuple[str, int]]:
    """Rows of each severity."""
    return [(severity, sum(row.severity == severity for row in run.ranking)) for severity in SEVERITIES]


def _choices(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What the filters offer."""
    order = {row.verdict: SEVERITIES.index(row.severity) for row in rows}
    return {
        "subject": sorted({row.subject for row in rows}),
        "format": sorted({row.format for row in rows}),
        "verdict": sorted(order, key=lambda verdict: (order[verdict], verdict)),
    }


def _asset(name: str) -> str:
    return (resources.files("opfuzz.report.run") / "page" / name).read_text(encoding="utf-8")


@cache
def _template() -> Callable[..., str]:
    filters: dict[str, Callable[..., object]] = {
        "quantity": quantity,
        "slug": slug,
        "why": word_row,
        "cause": word_finding,
        "breakable": _breakable,
        "log_bar": log_bar,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return template(_asset("report.html.j2"), filters)


def _breakable(text: str) -> Markup:
    """A name that may go on in the next line after each `_`."""
    return Markup("_<wbr>").join(plain(text).split("_"))
