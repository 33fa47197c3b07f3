"""The cells of the table, from what `opfuzz sweep --json` prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from opfuzz.core.floats import FORMATS
from opfuzz.report.causes.figures import figure
from opfuzz.report.search.sweep import Document
from opfuzz.search.sweep.scorer import LOOSE

KINDS = ("nan", "inf", "finite", "sign", "flushed")
HALVES_BELOW = 1000.0  # ulp: larger errors have three digits


@dataclass(frozen=True, slots=True)
class Wrong:
    """How many results are of one wrong class, and the pattern of the first input that has one."""

    kind: str  # of KINDS
    count: int
    at_hex: str


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The largest error of one function on one subject in one format, of the worse of vector body and scalar tail."""

    op: str
    params: Mapping[str, object]
    subject: str
    format: str
    max_ulp: float  # over finite results whose exact value is a normal number
    max_ulp_at_most: float  # larger where too many inputs come too close to the largest error to be told apart
    at: float  # the input that has it; of several, the one with the smallest pattern
    at_hex: str
    computed: float
    exact: float
    normal: int  # inputs whose exact value is a normal number
    flushed: int  # zeros in place of subnormal numbers
    wrong: tuple[Wrong, ...]  # flushed ones are among them
    inputs: int  # that were tried
    possible: int  # inputs of the format
    sample: int  # of them, that were spread evenly; 0: all were tried
    seconds: float  # of the processor
    reproducer: str = ""  # a few lines of Python; "": no call on this number alone shows the error

    @property
    def name(self) -> str:
        """The function with its parameters."""
        params = ", ".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.op} ({params})" if params else self.op

    @property
    def is_whole(self) -> bool:
        """Whether all inputs of the format were tried."""
        return self.inputs == self.possible

    @property
    def most(self) -> str:
        """The largest error of what was tried, in ulp; see `rounded_up`."""
        return rounded_up(self.told)

    @property
    def told(self) -> float:
        """The largest error; its bound where more than the uncertainty of exact values lies between the two."""
        return self.max_ulp if self.max_ulp_at_most - self.max_ulp <= LOOSE else self.max_ulp_at_most


@dataclass(frozen=True, slots=True)
class AccuracyTable:
    """All cells, and on what they depend: the command that makes them again, versions, processor, its vector unit."""

    cells: tuple[Accuracy, ...]
    command: str
    versions: Mapping[str, str]
    processor: str
    vector_unit: str
    environment: Mapping[str, str]
    missing: tuple[str, ...] = ()  # what was not measured, and why

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats that have cells."""
        return tuple(name for name in FORMATS if any(cell.format == name for cell in self.cells))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects that have cells, in the order in which they were asked for."""
        return tuple(dict.fromkeys(cell.subject for cell in self.cells))

    @property
    def made_with(self) -> str:
        """Versions, processor and environment in one line."""
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items()))
        environment = "".join(f", {name}={value}" for name, value in sorted(self.environment.items()))
        return f"{versions}, on {self.processor} with {self.vector_unit}{environment}"


def table_of(
    documents: Sequence[Document],
    command: str,
    reproducers: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> AccuracyTable:
    """The table of one or more documents, each with its reproducer if there are any."""
    texts = reproducers or [""] * len(documents)
    return AccuracyTable(
        tuple(map(_cell, documents, texts)),
        command,
        {name: version for document in documents for name, version in document["versions"].items()},
        documents[0]["processor"],
        documents[0]["vector_unit"],
        {name: value for document in documents for name, value in document["environment"].items()},
        tuple(missing),
    )


def rounded_up(ulp: float) -> str:
    """An error in ulp as text that is never less than the error: halves, or three digits from HALVES_BELOW on."""
    if not math.isfinite(ulp):
        return str(ulp)
    if ulp < HALVES_BELOW:
        return f"{math.ceil(2 * ulp) / 2:g}"
    whole = math.ceil(ulp)
    step = 10 ** (len(str(whole)) - 3)
    return figure(-(-whole // step) * step)


def worse_side(document: Document) -> Document:
    """The figures of the vector body, or of the scalar tail where its largest error is larger."""
    return max(document, document["tail"], key=lambda side: float(side["max_ulp"]))


def _cell(document: Document, reproducer: str) -> Accuracy:
    figures = worse_side(document)
    most = max(float(side["max_ulp_at_most"]) for side in (document, document["tail"]))
    low, high = (int(end, 16) for end in document["range"])
    wrong = tuple(_wrong(document))
    return Accuracy(
        op=document["op"],
        params=document["params"],
        subject=document["subject"],
        format=document["format"],
        **{name: figures[name] for name in ("max_ulp", "at", "at_hex", "computed", "exact", "normal")},
        max_ulp_at_most=most,
        flushed=next((each.count for each in wrong if each.kind == "flushed"), 0),
        wrong=wrong,
        inputs=document["inputs"],
        possible=high - low,
        sample=document.get("sample", 0),
        seconds=document["seconds"],
        reproducer=reproducer,
    )


def _wrong(document: Document) -> Iterator[Wrong]:
    """What is of the wrong class in the body or the tail, whichever has more."""
    for kind in KINDS:
        counted = [
            (side["flushed"] if kind == "flushed" else side["mismatches"][kind], side)
            for side in (document, document["tail"])
        ]
        count, side = max(counted, key=lambda each: each[0])
        if count:
            yield Wrong(kind, count, side["examples"][kind])
