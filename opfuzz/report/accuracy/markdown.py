"""The table of accuracies as a page in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from opfuzz.report.accuracy.cells import Accuracy, AccuracyTable
from opfuzz.report.search.sweep import WORDS
from opfuzz.report.text import plain

INTRODUCTION = """\
# How accurate the elementary functions are

`{command}`
writes this page. It is of {made_with}.
Other versions and processors give other figures; the same give these.

A cell has the largest error in ulp, **rounded upwards** to halves (to three digits from 1000 on), and the bits of the
input where it occurs; of several, the smallest. Arrays that fill vector registers and such that do not are both tried,
and the worse is told. `docs/sweep.md` of opfuzz says how the figures are made. With `--op OP --subjects SUBJECT
--format FORMAT --json` the command prints the error of one cell to the last digit, and a few lines of Python that
show it.

* **ulp**: abs(computed - exact) / ulp(exact), where ulp(y) is the distance of neighbouring floats of the format at y,
  2^(floor(log2 abs(y)) - p + 1), taken at the exact y and not at the rounded one, so that what is correctly rounded
  is at most 0.5 off. At a power of two it is the distance to the float beyond it.
* Counted are finite results whose exact value is a **normal** number. Exact values below the smallest normal number,
  and 0, have no error in ulp here; 0 in place of a subnormal number that does not round to 0 is *flushed*. 0 in place
  of a normal number is an error of 2^(p - 1) ulp or more.
* Where more than 64 inputs have an error as large as the largest, as far as their exact values are known, one of them
  may be worse by up to 2^-12 ulp; in JSON and CSV `max_ulp_at_most` has the bound.
* **NaN, inf, finite**: how many results are NaN or an infinity where that is wrong, or a number where one of them is
  right. Infinity is right from the largest number and half an ulp on; at infinite inputs the limit is right.
  **sign**: zeros of the wrong sign. The [last table](#answers-of-the-wrong-class) has the first input of each.
* An empty cell: the spec has no call for that framework, or the framework has no such kernel."""
ALL = "All {possible} inputs."
SAMPLE = """\
**Climbed**, not whole: {sample} of the {possible} inputs, spread evenly over their bit patterns; those within 8
floats of round numbers, of multiples of pi/2 and ln 2, of the ends of the format, and of where the exact result changes
its sign or leaves the format; in three rounds, those around the worst so far; and the worst 2^20 neighbours whole. So
the largest errors are ones that occur, and there may be larger ones. Counts are of what was tried, {fewest} to {most}
inputs. `--full` tries all."""
SHORT = {"nan": "NaN", "inf": "inf", "finite": "finite", "sign": "sign", "flushed": "flushed"}
SUMMARY = ("format", "subject", "ops", "<= 0.5 ulp", "<= 1", "<= 4", "more", "with wrong classes")
FLUSHED = "0 where a subnormal number is right"


def render(table: AccuracyTable) -> str:
    """The whole page."""
    introduction = INTRODUCTION.format(command=plain(table.command), made_with=plain(table.made_with))
    sections = [introduction, _rows(SUMMARY, _summary(table))]
    for format in table.formats:
        cells = [cell for cell in table.cells if cell.format == format]
        sections += [f"## {format}", _tried(cells), _rows(("op", *map(plain, table.subjects)), matrix(table, cells))]
    head = ("op", "subject", "format", "what", "how many", "the first")
    wrong = [row for cell in table.cells for row in _wrong(cell)]
    sections += ["## Answers of the wrong class", _rows(head, wrong) if wrong else "None."]
    if table.missing:
        sections += ["## Not measured", "\n".join(f"* {plain(line)}" for line in table.missing)]
    return "\n\n".join(sections) + "\n"


def matrix(table: AccuracyTable, cells: Iterable[Accuracy]) -> Iterator[list[str]]:
    """A row for each function, with a cell for each subject of the table."""
    by_name: dict[tuple[str, str], dict[str, Accuracy]] = {}
    for cell in cells:
        by_name.setdefault((cell.op, cell.name), {})[cell.subject] = cell
    for (op, name), of_subject in by_name.items():
        row = (_cell(of_subject[subject]) if subject in of_subject else "" for subject in table.subjects)
        yield [f"`{plain(op)}`{plain(name.removeprefix(op))}", *row]


def _cell(cell: Accuracy) -> str:
    """`2.5 at 0x4099bf8e`, and counts of what is of the wrong class."""
    place = f" at {cell.at_hex}" if cell.max_ulp else ""
    return "<br>".join([cell.most + place, *(f"{SHORT[each.kind]} {each.count}" for each in cell.wrong)])


def _summary(table: AccuracyTable) -> Iterator[list[str]]:
    for format in table.formats:
        for subject in table.subjects:
            found = [cell for cell in table.cells if (cell.format, cell.subject) == (format, subject)]
            within = [sum(cell.told <= limit for cell in found) for limit in (0.5, 1, 4)]
            wrong = sum(bool(cell.wrong) for cell in found)
            if found:
                yield [format, plain(subject), *map(str, (len(found), *within, len(found) - within[-1], wrong))]


def _wrong(cell: Accuracy) -> Iterator[list[str]]:
    words = {**WORDS, "flushed": FLUSHED}
    for each in cell.wrong:
        names = [f"`{plain(cell.op)}`", plain(cell.subject), cell.format]
        yield [*names, words[each.kind], str(each.count), each.at_hex]


def _tried(cells: Sequence[Accuracy]) -> str:
    first, sizes = cells[0], [cell.inputs for cell in cells]
    if first.is_whole:
        return ALL.format(possible=first.possible)
    return SAMPLE.format(sample=first.sample, possible=first.possible, fewest=min(sizes), most=max(sizes))


def _rows(head: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
