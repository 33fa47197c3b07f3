"""The report as one HTML file that needs nothing else: no network, no script to be read, no other file."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import FAULT, NOTE, SEVERITIES
from opfuzz.report.causes import word_finding, word_row
from opfuzz.report.history.trends import Curve, Trends, changed
from opfuzz.report.run.cause_lines import headline
from opfuzz.report.run.html_causes import shown_causes
from opfuzz.report.run.html_pictures import log_bar
from opfuzz.report.run.html_sections import Detail, at_a_glance, axes_of, largest_of, sections, slug
from opfuzz.report.run.html_tried import TriedMap
from opfuzz.report.run.news import cause_news, news
from opfuzz.report.text import changes, effort, missing_lines, plain, policies, quantity

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
    return _template().render(
        run=run,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        f"base-uri 'none'; form-action 'none'",
        headline=headline(run),
        effort=effort(run),
        news=[*news(run), *(cause_news(run) if run.comparison and run.comparison.before else [])],
        changed=changed(run),
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


def _hash(text: str) -> str:
    """What a content security policy knows a script or a style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_inert,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "quantity": quantity,
        "slug": slug,
        "short": _short,
        "why": word_row,
        "cause": word_finding,
        "breakable": _breakable,
        "log_bar": log_bar,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return environment.from_string(_asset("report.html.j2"))


def _inert(value: Any) -> Any:
    """Text without control characters; what is markup already was made so here."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """A name that may go on in the next line after each `_`."""
    return Markup("_<wbr>").join(plain(text).split("_"))


def _short(text: str, longest: int = 240) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
