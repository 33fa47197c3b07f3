"""The table of accuracies as one HTML file that can be sorted, and needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources

from markupsafe import Markup

from opfuzz.report.accuracy.cells import Accuracy, AccuracyTable
from opfuzz.report.accuracy.markdown import SHORT
from opfuzz.report.template import policy, template
from opfuzz.report.text import plain


def render(table: AccuracyTable) -> str:
    """The whole page: a row a cell, with its reproducer below it."""
    style, script = _asset("opfuzz.report.run", "report.css"), _asset("opfuzz.report.run", "report.js")
    return _template()(
        table=table,
        rows=list(table.cells),
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
    )


def _wrong(cell: Accuracy) -> str:
    """`NaN 2, inf 7`; of flushed ones there is a column."""
    return ", ".join(f"{SHORT[each.kind]} {each.count}" for each in cell.wrong if each.kind != "flushed")


def _lines(text: str) -> Markup:
    """Text of several lines, each without control characters."""
    return Markup("\n").join(map(plain, text.split("\n")))


def _asset(package: str, name: str) -> str:
    return (resources.files(package) / "page" / name).read_text(encoding="utf-8")


@cache
def _template() -> Callable[..., str]:
    filters: dict[str, Callable[..., object]] = {"wrong": _wrong, "exactly": repr, "lines": _lines}
    return template(_asset("opfuzz.report.accuracy", "accuracy.html.j2"), filters)
