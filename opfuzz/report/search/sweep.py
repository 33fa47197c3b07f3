"""Sweeps in a terminal, made from what `--json` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from opfuzz.report.text import plain, quantity

CERTAIN = 9  # decimal places of an error in ulp: what is beyond them is no doubt
HEADERS = (
    "op", "subject", "format", "array", "max ulp", "at", "mean ulp", "excess",
    "> 0.5", "> 1", "> 16", "nan", "inf", "zero", "flushed", "falls",
)  # fmt: skip
WORDS = {
    "nan": "NaN where a number is right",
    "inf": "infinity where it is not right",
    "zero": "0 where a normal number is right",
    "finite": "a number where NaN or infinity is right",
    "sign": "zero of the wrong sign",
}

Document = Mapping[str, Any]


def render(documents: Sequence[Document], width: int | None = None) -> str:
    """A row for each sweep, two where the scalar tail gives other bits than the vector body; then what needs words."""
    rows = [row for document in documents for row in _rows(document)]
    lines = tabulate(rows, HEADERS, tablefmt="simple", disable_numparse=True).split("\n")
    if width is not None:
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    notes = [note for document in documents for note in _notes(document)]
    return "\n".join([*lines, "", *notes, ""] if notes else [*lines, ""])


def _rows(document: Document) -> Iterator[list[str]]:
    tail = document["tail"]
    if not tail["differing"]:
        yield _row(document, document, "any")
        return
    yield _row(document, document, "body")
    yield _row(document, tail, "tail")


def _row(document: Document, figures: Document, array: str) -> list[str]:
    wrong = figures["mismatches"]
    return [
        *(plain(document[name]) for name in ("op", "subject", "format")),
        array,
        f"{figures['max_ulp']:.6g}",
        f"{figures['at']:.9g} ({figures['at_hex']})" if figures["normal"] else "",
        quantity(figures["mean_ulp"]),
        quantity(figures["max_excess"]),
        *(str(figures[name]) for name in ("above_half", "above_1", "above_16")),
        *(str(wrong[name]) for name in ("nan", "inf", "zero")),
        *("" if figures[name] is None else str(figures[name]) for name in ("flushed", "falls")),
    ]


def _notes(document: Document) -> Iterator[str]:
    name = plain(f"{document['op']} {document['subject']} {document['format']}")
    tail = document["tail"]
    if "sample" in document:
        yield f"{name}: {document['inputs']} inputs were tried, {document['sample']} of them spread evenly"
    for name_of, figures in (("", document), (" in the tail", tail)):
        if name_of and not tail["differing"]:
            continue
        for kind, words in WORDS.items():
            if count := figures["mismatches"][kind]:
                yield f"{name}{name_of}: {words}: {count}, such as x = {figures['examples'][kind]}"
        if figures["falls"]:
            falls = f"{figures['falls']}, such as x = {figures['examples']['falls']}"
            yield f"{name}{name_of}: falls where the function rises, or the reverse: {falls}"
        if figures["unresolved"]:
            yield f"{name}{name_of}: {figures['unresolved']} exact values are not certain enough and not counted"
        most = f"{round(figures['max_ulp_at_most'], CERTAIN):.6g}"
        if most != f"{figures['max_ulp']:.6g}":  # only then is the printed figure in doubt
            yield f"{name}{name_of}: max ulp is certain only to be at most {most}"
    if tail["differing"]:
        yield f"{name}: {tail['differing']} of {tail['inputs']} results differ in bits between body and tail"
    if tail["strays"]:
        yield f"{name}: {tail['strays']} results of arrays of 1 and 3 elements have the bits of neither body nor tail"
