"""A finished run in a program's hands, and as a notebook shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opfuzz.core.common_cause import CommonCause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.findings import Finding
from opfuzz.core.run import Row, Run
from opfuzz.report.causes import title, word_cause
from opfuzz.report.run import terminal
from opfuzz.report.run.cause_lines import causes_of, headline, smallest_words
from opfuzz.report.run.notebook import render as render_notebook
from opfuzz.report.text import said
from opfuzz.store.baseline import counting

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    *("op", "subject", "format", "cases", "elements", "max_ulp", "p99_ulp", "mean_ulp", "conditioned", "excess"),
    *("effective_bits", "verdict", "severity", "unjudged", "unresolved", "finding"),
)
TABLES = ("ranking", "causes", "findings")


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run and the folder in which it lies: `run.json`, `report.md`, and a folder with a reproducer for each finding.

    In a notebook it shows its causes and its ranking. `record` has all that run.json has.
    """

    record: Run
    folder: Path

    @property
    def causes(self) -> tuple[CommonCause, ...]:
        """What findings have in common, over ops, formats and verdicts; the gravest first."""
        return causes_of(self.record)

    @property
    def ranking(self) -> tuple[Row, ...]:
        """An op, subject and format each: the worst verdict first, then the largest error in ulp."""
        return self.record.ranking

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Faults and notes without repetitions, each with its smallest call."""
        return self.record.findings

    @property
    def failing(self) -> tuple[str, ...]:
        """Ids of the findings for which `opfuzz run` exits with 1: faults that nobody accepted, or what is worse than
        the baseline."""
        return tuple(counting(self.record))

    def to_dataframe(self, what: str = "ranking") -> pandas.DataFrame:
        """A table for pandas: of the "ranking", the "causes" or the "findings", a row each.

        Errors are in ulp and largest over all cases, `effective_bits` in bits, `unjudged` and `unresolved` shares of
        elements. Raises OpfuzzError where pandas is not installed, or for another table.
        """
        rows = {"ranking": self._ranking, "causes": self._causes, "findings": self._findings}
        if what not in rows:
            raise OpfuzzError(f"to_dataframe: there is no table '{what}'; known: {', '.join(TABLES)}")
        try:
            import pandas
        except ImportError:
            raise OpfuzzError("to_dataframe: pandas is not installed: pip install pandas") from None
        columns, found = rows[what]()
        return pandas.DataFrame(found, columns=list(columns))

    def write_page(self) -> Path:
        """The page of the report, report.html in the folder of the run, made anew; its path. It needs no network.

        Raises OpfuzzError if the disk refuses.
        """
        from opfuzz.report.run import html

        path = self.folder / "report.html"
        write_text(path, html.render(self.record, self.folder))
        return path

    def _ranking(self) -> tuple[Sequence[str], list[dict[str, Any]]]:
        rows = [
            {name: getattr(row, name) for name in COLUMNS} | {"cause": word_cause(row.cause)} for row in self.ranking
        ]
        return (*COLUMNS, "cause"), rows

    def _causes(self) -> tuple[Sequence[str], list[dict[str, Any]]]:
        columns = ("id", "framework", "cause", "kind", "severity", "reach", "ops", "formats", "max_ulp", "smallest")
        rows = [
            {
                **{name: getattr(each, name) for name in ("id", "framework", "kind", "severity", "reach")},
                "cause": title(each),
                "ops": ", ".join(each.ops),
                "formats": ", ".join(each.formats),
                "max_ulp": each.worst.ulp,
                "smallest": smallest_words(each, self.record),
            }
            for each in self.causes
        ]
        return columns, rows

    def _findings(self) -> tuple[Sequence[str], list[dict[str, Any]]]:
        columns = ("id", "op", "subject", "format", "verdict", "severity", "cases", "ulp", "excess", "words", "path")
        rows = [
            {name: getattr(each, name) for name in columns[:-2]}
            | {"words": said(each), "path": str(self.folder / "findings" / each.id)}
            for each in self.findings
        ]
        return columns, rows

    def __repr__(self) -> str:
        return f"<FinishedRun {self.folder}: {headline(self.record)}>"

    def __str__(self) -> str:
        return terminal.render(self.record, self.folder, colour=False)

    def _repr_html_(self) -> str:
        return render_notebook(self.record, self.folder)
