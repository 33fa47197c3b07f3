"""The table of accuracies for programs: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from opfuzz.core.files.strict_json import strict
from opfuzz.report.accuracy.cells import Accuracy, AccuracyTable

COLUMNS = (
    "op", "params", "subject", "format", "max_ulp", "max_ulp_at_most", "rounded_up", "at_hex", "at", "computed",
    "exact", "flushed", "nan", "inf", "finite", "sign", "inputs", "is_whole", "seconds", "reproducer",
)  # fmt: skip


def document(table: AccuracyTable) -> dict[str, Any]:
    """What `--json` prints: what the figures depend on, `cells`, and what was not measured."""
    made: dict[str, Any] = {
        "command": table.command,
        "versions": table.versions,
        "processor": table.processor,
        "vector_unit": table.vector_unit,
        "environment": table.environment,
        "cells": [entry(cell) for cell in table.cells],
        "missing": table.missing,
    }
    return dict(strict(made))


def entry(cell: Accuracy) -> dict[str, Any]:
    """A cell under COLUMNS; what is flushed and of a wrong class as the number of results."""
    counts = {each.kind: each.count for each in cell.wrong}
    known: Mapping[str, Any] = {
        "params": dict(cell.params),
        "rounded_up": cell.most,
        "is_whole": cell.is_whole,
        **{kind: counts.get(kind, 0) for kind in ("nan", "inf", "finite", "sign")},
    }
    return {name: known[name] if name in known else getattr(cell, name) for name in COLUMNS}


def to_json(table: AccuracyTable) -> str:
    """The document of `--json` as text."""
    return json.dumps(document(table), indent=1, allow_nan=False) + "\n"


def to_csv(table: AccuracyTable) -> str:
    """A line a cell under COLUMNS, as RFC 4180 has it; params are JSON, and a reproducer has several lines."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for cell in table.cells:
        row = strict(entry(cell))
        writer.writerow({**row, "params": json.dumps(row["params"])})
    return text.getvalue()
