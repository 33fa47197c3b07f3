"""Climbs in a terminal, made from what `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from tabulate import tabulate

from opfuzz.report.causes.figures import right
from opfuzz.report.text import plain, quantity

HEADERS = ("op", "subject", "format", "evaluations", "worst by", "max ulp", "excess", "verdict", "input")
VALUES = 2  # of an input that the table shows

Document = Mapping[str, Any]


def render(documents: Sequence[Document], width: int | None = None) -> str:
    """A row for each worst input."""
    rows = [
        [
            *(plain(document[name]) for name in ("op", "subject", "format")),
            str(document["evaluations"]),
            document["worst"],
            f"{document['ulp']:.6g}" if document["ulp"] or _has_size(document) else "",
            quantity(document["excess"]) if document["excess"] or _has_size(document) else "",
            document["verdict"],
            plain(_shown(document)),
        ]
        for document in documents
    ]
    lines = tabulate(rows, HEADERS, tablefmt="simple", disable_numparse=True).split("\n")
    if width is not None:
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    return "\n".join(lines)


def _has_size(document: Document) -> bool:
    """Whether the error is a number: not that of a call that raised, nor that between a number and NaN or infinity."""
    return "exact" in document and isfinite(document["computed"]) and isfinite(document["exact"])


def _shown(document: Document) -> str:
    """`x = 88.01 (0x42b00f34): inf, exact 1.7e38`; sizes, params and layouts first where they say something."""
    if "exact" not in document:
        return str(document["reason"])
    about = []
    if set(document["dims"].values()) != {1}:  # more than the input alone
        about += [f"{name} = {value}" for name, value in {**document["dims"], **document["params"]}.items()]
        about += [f"{name} {layout}" for name, layout in document["layouts"].items()]
    inputs = [f"{name} = {_values(name, values, document)}" for name, values in document["inputs"].items()]
    exact = right(document["exact"], document["ends"])
    return f"{', '.join([*about, *inputs])}: {document['computed']:.9g}, exact {exact}"


def _values(name: str, values: Sequence[float], document: Document) -> str:
    hexes = document["inputs_hex"].get(name, ())
    shown = [f"{value:.9g}" + (f" ({hexes[i]})" if hexes else "") for i, value in enumerate(values[:VALUES])]
    return shown[0] if len(values) == 1 else f"[{', '.join(shown)}{', …' if len(values) > VALUES else ''}]"
