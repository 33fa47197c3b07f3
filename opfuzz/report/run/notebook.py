"""A run as a notebook shows it: the causes and the head of the ranking, as tables that need no style of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from opfuzz.core.run import Run
from opfuzz.report.run.cause_lines import CAUSE_HEADERS, cause_cells, faulty, headline
from opfuzz.report.run.ranking_table import cells, headers
from opfuzz.report.template import template
from opfuzz.report.text import effort

ROWS, CAUSES = 12, 20  # that are shown
SHOWN_OF_CAUSE = ("id", "framework", "cause", "ops", "formats", "reach", "worst", "smallest call")
LEFT_OUT = ("p99 ulp", "conditioned", "bits")  # of a row

# Colours are those of the page around, dark or light, but for that of faults.
PAGE = """\
<div class="opfuzz">
<p><strong>{{ headline }}</strong><br><small>{{ effort }} &middot; {{ folder }}</small></p>
{% for table in tables %}
<table style="text-align:left;font-size:90%">
<caption style="text-align:left;caption-side:top;font-weight:bold;color:inherit">{{ table.caption }}</caption>
<thead><tr>{% for name in table.headers %}
<th style="text-align:left;padding:0.15em 0.8em 0.15em 0.4em">{{ name }}</th>
{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>{% for cell in row.cells %}
<td style="text-align:left;vertical-align:top;padding:0.15em 0.8em 0.15em 0.4em{% if row.is_fault and loop.first %};\
border-left:4px solid #c0392b{% endif %}">{% if cell.is_code %}<code>{{ cell.text|short(110) }}</code>{% else %}\
{{ cell.text|short(90) }}{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table>
{% if table.more %}<p><small>and {{ table.more }} more: run.to_dataframe("{{ table.name }}")</small></p>{% endif %}
{% endfor %}
</div>
"""


def render(run: Run, folder: Path) -> str:
    """HTML for a cell of a notebook; what a framework said in its messages is inert in it."""
    tables = []
    if found := faulty(run):
        kept = [CAUSE_HEADERS.index(name) for name in SHOWN_OF_CAUSE]
        rows = [_row([cause_cells(each, run)[at] for at in kept], is_fault=True, code=len(kept) - 1) for each in found]
        tables.append(_table("causes", "Causes of faults, the gravest first", SHOWN_OF_CAUSE, rows, CAUSES))
    names = headers(run)
    kept = [at for at, name in enumerate(names) if name not in LEFT_OUT]
    rows = [
        _row([line[at] for at in kept], is_fault=row.severity == "fault", code=-1)
        for row, line in zip(run.ranking, cells(run), strict=True)
    ]
    tables.append(_table("ranking", "Ranking, the worst first", [names[at] for at in kept], rows, ROWS))
    return _template()(headline=headline(run), effort=effort(run), folder=str(folder), tables=tables)


def _row(cells: list[str], is_fault: bool, code: int) -> dict[str, object]:
    return {"cells": [{"text": text, "is_code": at == code} for at, text in enumerate(cells)], "is_fault": is_fault}


def _table(name: str, caption: str, headers: object, rows: list[dict[str, object]], most: int) -> dict[str, object]:
    more = len(rows) - most
    return {"name": name, "caption": caption, "headers": headers, "rows": rows[:most], "more": max(more, 0)}


@cache
def _template() -> Callable[..., str]:
    return template(PAGE, {})
