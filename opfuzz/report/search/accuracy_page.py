"""The page of accuracies: the largest error of every elementwise op in each format, and answers of the wrong class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opfuzz.core.floats import FORMATS
from opfuzz.report.search.sweep import WORDS, Document
from opfuzz.report.text import plain

INTRODUCTION = """\
# How accurate the elementary functions are

`{command}`
writes this page. It is of {versions}, on {processor} with {unit}{environment}.
Other versions and processors give other figures; the same give these, to the last digit.

A cell has the largest error in ulp, and the input where it occurs, as a number and as its bits; of several, the one
with the smallest bits. Arrays that fill vector registers and such that do not are both tried, and the worse is told.
`docs/sweep.md` of opfuzz says how the figures are made.

* **ulp**: abs(computed - exact) / ulp(exact), where ulp(y) is the distance of neighbouring floats of the format at y,
  2^(floor(log2 abs(y)) - p + 1), taken at the exact y and not at the rounded one, so that what is correctly rounded
  is at most 0.5 off. At a power of two it is the distance to the float beyond it.
* Counted are finite results whose exact value is a **normal** number. Exact values below the smallest normal number,
  and 0, have no error in ulp here; 0 in place of a subnormal number that does not round to 0 is *flushed*. 0 in place
  of a normal number is an error of 2^(p - 1) ulp or more.
* **NaN, inf, finite**: how many results are NaN or an infinity where that is wrong, or a number where one of them is
  right. Infinity is right from the largest number and half an ulp on; at infinite inputs the limit is right.
  **sign**: zeros of the wrong sign. The [last table](#answers-of-the-wrong-class) has the first input of each.
* An empty cell: the spec has no call for that framework, or the framework has no such kernel."""
ALL = "All {inputs} inputs{range}."
SAMPLE = """\
A **sample**: {sample} of the {inputs} inputs{range}, spread evenly over their bit patterns; those within 8
floats of round numbers, of multiples of pi/2 and ln 2, of the ends of the format, and of where the exact result changes
its sign or leaves the format; in three rounds, those around the worst so far; and the worst 2^20 neighbours whole. So
the largest errors are ones that occur, and there may be larger ones. Counts are of what was tried, {fewest} to {most}
inputs."""
SHORT = {"nan": "NaN", "inf": "inf", "finite": "finite", "sign": "sign", "flushed": "flushed"}
SUMMARY = ("format", "subject", "ops", "<= 0.5 ulp", "<= 1", "<= 4", "more", "with wrong classes")


def accuracy_page(documents: Sequence[Document], command: str, unit: str) -> str:
    """Markdown, from what `opfuzz sweep --json` prints.

    `command` makes it again, and `unit` is the processor's kind of vector registers.
    """
    first = documents[0]
    versions = {name: version for document in documents for name, version in document["versions"].items()}
    environment = {name: value for document in documents for name, value in document["environment"].items()}
    introduction = INTRODUCTION.format(
        command=plain(command),
        versions=", ".join(plain(f"{name} {version}") for name, version in sorted(versions.items())),
        processor=plain(first["processor"]),
        unit=plain(unit),
        environment="".join(plain(f", {name}={value}") for name, value in sorted(environment.items())),
    )
    formats = [name for name in FORMATS if any(document["format"] == name for document in documents)]
    subjects = list(dict.fromkeys(document["subject"] for document in documents))
    sections = [introduction, _table(SUMMARY, _summary(documents, formats, subjects))]
    for format in formats:
        of_format = [document for document in documents if document["format"] == format]
        rows = list(_rows(of_format, subjects))
        sections += [f"## {format}", _tried(of_format), _table(("op", *map(plain, subjects)), rows)]
    head = ("op", "subject", "format", "what", "how many", "the first")
    wrong = [row for document in documents for row in _wrong(document)]
    sections += ["## Answers of the wrong class", _table(head, wrong) if wrong else "None."]
    return "\n\n".join(sections) + "\n"


def _summary(documents: Sequence[Document], formats: Sequence[str], subjects: Sequence[str]) -> Iterator[list[str]]:
    for format in formats:
        for subject in subjects:
            found = [each for each in documents if (each["format"], each["subject"]) == (format, subject)]
            errors = [max(side["max_ulp"] for side in _sides(each)) for each in found]
            within = [sum(error <= limit for error in errors) for limit in (0.5, 1, 4)]
            wrong = sum(any(True for _ in _mistakes(each)) for each in found)
            if found:
                yield [format, plain(subject), *map(str, (len(found), *within, len(found) - within[-1], wrong))]


def _rows(documents: Sequence[Document], subjects: Sequence[str]) -> Iterator[list[str]]:
    """A row for each op and its params."""
    cells: dict[str, dict[str, str]] = {}
    for document in documents:
        params = ", ".join(f"{name}={value}" for name, value in document["params"].items())
        name = f"`{plain(document['op'])}`" + (f" ({plain(params)})" if params else "")
        cells.setdefault(name, {})[document["subject"]] = _cell(document)
    for name, by_subject in cells.items():
        yield [name, *(by_subject.get(subject, "") for subject in subjects)]


def _cell(document: Document) -> str:
    """`0.513078 at 4.80441 (0x4099bf8e)`, and counts of what is of the wrong class."""
    figures = max(_sides(document), key=lambda side: side["max_ulp"])
    error = f"{figures['max_ulp']:.6g}"
    if figures["max_ulp"]:
        error += f" at {figures['at']:.6g} ({figures['at_hex']})"
    counts = [f"{SHORT[kind]} {count}" for kind, count, _ in _mistakes(document)]
    return "<br>".join([error, *counts])


def _wrong(document: Document) -> Iterator[list[str]]:
    words = {**WORDS, "flushed": "0 where a subnormal number is right"}
    for kind, count, example in _mistakes(document):
        names = [plain(document[name]) for name in ("op", "subject", "format")]
        yield [f"`{names[0]}`", *names[1:], words[kind], str(count), example]


def _mistakes(document: Document) -> Iterator[tuple[str, int, str]]:
    """What is of the wrong class in the body or the tail, whichever has more: kind, count, first input."""
    for kind in SHORT:
        counted = [
            (side["flushed"] if kind == "flushed" else side["mismatches"][kind], side) for side in _sides(document)
        ]
        count, side = max(counted, key=lambda each: each[0])
        if count:
            yield kind, count, side["examples"][kind]


def _sides(document: Document) -> tuple[Document, Document]:
    return document, document["tail"]


def _tried(documents: Sequence[Document]) -> str:
    first = documents[0]
    low, high = (int(end, 16) for end in first["range"])
    is_whole = high - low == 2 ** FORMATS[first["format"]].bits
    given = {"inputs": high - low, "range": "" if is_whole else f" from {low:#x} to {high - 1:#x}"}
    sizes = [document["inputs"] for document in documents]
    if "sample" not in first:
        return ALL.format(**given)
    return SAMPLE.format(sample=first["sample"], fewest=min(sizes), most=max(sizes), **given)


def _table(head: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
