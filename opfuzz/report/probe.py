"""A probe as text that can be pasted into an issue: what was tried, on what, and what failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opfuzz.core.probed import ANSWER, ROUND_TRIP, SIZE, Failed, Probed
from opfuzz.report.causes.figures import counted
from opfuzz.report.text import plain

NAMED = 12  # ops of one line
LONGEST = 200  # characters of what a framework says
HOW = {
    "refuses": "refused",
    "refuses-some": "refused in some calls",
    "raises": "raises an exception",
    "dies": "ends its process",
    "hangs": "hangs",
    "out-of-memory": "takes too much memory",
    "differs": "does not give back what it was given",
    "flushes": "takes subnormal numbers for 0",
    "shares": "shares memory with what it was given",
    "wrong": "gives a wrong answer",
}


def render(probed: Probed) -> str:
    """The whole text; `cannot` is empty where nothing failed."""
    return "\n".join(plain(line) for line in _lines(probed)) + "\n"


def _lines(probed: Probed) -> Iterator[str]:
    tried, versions = probed.tried, probed.versions
    yield f"opfuzz doctor --probe {probed.subject}"
    yield f"made     {probed.made}, in {probed.seconds:.0f} s"
    yield f"versions {', '.join(f'{name} {version}' for name, version in versions.items())}"
    yield f"machine  {', '.join(f'{name} {word}' for name, word in probed.machine.items())}"
    yield (
        f"tried    {counted(tried.get(ROUND_TRIP, 0), 'round trip')} of all bits of a format and layout, "
        f"{counted(tried.get(ANSWER, 0), 'op')} in a format on known answers, {counted(tried.get(SIZE, 0), 'size')}"
    )
    if probed.left:
        yield f"left     {counted(probed.left, 'trial')} for which a minute was too short"
    yield f"limits   {'; '.join(_limits(probed))}"
    lines = [*_said(probed), *_failures(probed.failed)]
    yield "cannot" if lines else "cannot   nothing that was tried"
    yield from (f"  {line}" for line in lines)


def _limits(probed: Probed) -> Iterator[str]:
    yield f"first call {probed.first:.3g} s"
    if probed.slowest_op:
        yield f"slowest answer {probed.slowest:.3g} s ({probed.slowest_op})"
    if probed.largest:
        yield f"{probed.largest} numbers of float32 were squared at once"


def _said(probed: Probed) -> Iterator[str]:
    """What the backend itself says."""
    if probed.lacking:
        yield f"it has no {', '.join(probed.lacking)}"
    if probed.unheld:
        yield f"it holds no layout {', '.join(probed.unheld)}: inputs are contiguous"


def _failures(failed: Iterable[Failed]) -> Iterator[str]:
    """A line for what fails alike: `float16: sinc, i0: refused: not implemented for 'Half'`."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for each in failed:
        op = f"{each.op}/{each.implementation}" if each.implementation else each.op
        what = op or each.layout or f"{each.elements} numbers"
        alike.setdefault((each.kind, each.format, each.how, each.words[:LONGEST]), []).append(what)
    for (kind, format, how, words), names in alike.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        told = f": {words}" if words else ""
        yield f"{kind} {format}: {', '.join(names[:NAMED])}{more}: {HOW[how]}{told}"
