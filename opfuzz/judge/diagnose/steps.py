"""A step of the usual formula in a narrower format, told by what rounding that step alone makes of exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FloatArray, Format, round_to
from opfuzz.judge.diagnose.evidence import Evidence, ordinary
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm, is_lost_within, ranges_as, same_formulas
from opfuzz.judge.limits import LEAST_MET, MOST_ELEMENTS, MOST_STEPS
from opfuzz.oracle.altered import evaluate_with
from opfuzz.oracle.balls import midpoint
from opfuzz.oracle.forms import by_reciprocals, forms
from opfuzz.oracle.graph import Node, tables_of, topological
from opfuzz.oracle.meaning import FAILURES
from opfuzz.oracle.working import value_of

# Formats that are so much coarser, or of so much smaller a range, that a rounding to them is met by no chance. bfloat16
# has three bits less than float16, and many a step would do.
COARSER = {FLOAT64: (FLOAT32, FLOAT16, BFLOAT16), FLOAT32: (FLOAT16, BFLOAT16), BFLOAT16: (FLOAT16,)}
MOVES = frozenset({"input", "number", "reshape", "gather", "neg"})  # whose result is what went in
Step = tuple[int | str, int, str]  # a form of the formula, or a variant of the same values; place in it, operation


def rounded(evidence: Evidence) -> Cause | None:
    """The format that one step is rounded to; and which step, where no other with that rounding does as well."""
    sizes = sum(array.size for array in evidence.call.arrays.values()) + evidence.output.size
    if evidence.fmt not in COARSER or sizes > MOST_ELEMENTS or not evidence.is_wrong.any():
        return None
    steps, plain = list(islice(_steps(evidence), MOST_STEPS)), _on_ordinary(evidence)
    for fmt in COARSER[evidence.fmt]:
        found: dict[Step, Prediction] = {}
        for step in steps:
            predict = partial(_predict, step=step, fmt=fmt)
            first = predict(evidence)
            if first is None or not first.is_met:
                continue
            told = None if plain is None else predict(plain)
            if told is not None and told.elements >= LEAST_MET and not told.is_met:
                continue  # ordinary values would differ from exact, and do not
            total = confirm(evidence, first, predict)
            if total is None or is_lost_within(evidence, fmt, predict):
                continue
            if not _is_of_range(evidence, fmt) or ranges_as(evidence, predict):
                found[step] = total
        if found:
            return _told(evidence, fmt, found)
    return None


def _is_of_range(evidence: Evidence, fmt: Format) -> bool:
    """Whether a rounding shows in no digits, only in what is too large or small for it, as much else may be."""
    return evidence.score.verdict == "special" or fmt.precision >= evidence.fmt.precision


def _on_ordinary(evidence: Evidence) -> Evidence | None:
    """Ordinary values of the same shapes and views; None where nothing can be said of them.

    A step is rounded whatever its values are: one that goes wrong for small ones only is flushed, or lost.
    """
    call = ordinary(evidence, dims=evidence.call.dims)
    output = None if call is None else evidence.run(call)
    return None if call is None or output is None else replace(evidence, call=call, output=output, wider=None)


def _told(evidence: Evidence, fmt: Format, found: dict[Step, Prediction]) -> Cause:
    operations = {operation for _, _, operation in found}
    figures: dict[str, Figure] = dict(next(iter(found.values())).figures)
    if all(_is_table(evidence, step) for step in found):
        return Cause("rounds-tables", fmt.name)
    return Cause("computes-in", fmt.name, figures={**figures, "step": operations.pop() if len(operations) == 1 else ""})


def _steps(evidence: Evidence, *, with_last: bool = False) -> Iterator[Step]:
    """Every step but the last, whose rounding is that of the result, in every form of the formula."""
    for which in (*range(len(_forms(evidence))), *same_formulas(evidence)):
        for place, node in enumerate(_order(evidence, which)[: None if with_last else -1]):
            if node.op not in MOVES:
                yield which, place, node.op


def _forms(evidence: Evidence) -> tuple[Node, ...]:
    natural = evidence.reference.natural
    kept = by_reciprocals(natural) if evidence.spec.gradient is not None else None
    return (natural, *([kept] if kept is not None else ()), *islice(forms(natural), 1, None))


def summed(evidence: Evidence) -> Cause | None:
    """The format in which one sum inside is added up one by one, where the op itself is in a finer one."""
    sizes = sum(array.size for array in evidence.call.arrays.values()) + evidence.output.size
    if evidence.spec.gradient is None or evidence.fmt not in COARSER or sizes > MOST_ELEMENTS:
        return None
    sums = [step for step in islice(_steps(evidence, with_last=True), MOST_STEPS) if step[0] == 0 and step[2] == "sum"]
    for fmt in COARSER[evidence.fmt]:
        for step in sums:

            def predict(each: Evidence, step: Step = step, fmt: Format = fmt) -> Prediction | None:
                return _predict(each, step, fmt, is_summed=True)

            first = predict(evidence)
            if first is None or not first.is_met or confirm(evidence, first, predict) is None:
                continue
            if not _is_of_range(evidence, fmt) or ranges_as(evidence, predict):
                return Cause("accumulates-in", fmt.name, figures={"lanes": 1})
    return None


def _order(evidence: Evidence, which: int | str) -> list[Node]:
    """All steps of a form, the whole last; none where it has no meaning for this call."""
    if isinstance(which, str):
        try:
            return topological(evidence.reference.variant_graph(which))
        except FAILURES:
            return []
    known = _forms(evidence)
    return topological(known[which]) if which < len(known) else []


def _node(evidence: Evidence, step: Step) -> tuple[Node, Node] | None:
    """The form, and its step; None where the formula of this call has other steps."""
    which, place, operation = step
    order = _order(evidence, which)
    return (order[-1], order[place]) if place < len(order) and order[place].op == operation else None


def _is_table(evidence: Evidence, step: Step) -> bool:
    found = _node(evidence, step)
    return found is not None and id(found[1]) in tables_of(found[0])


def _predict(evidence: Evidence, step: Step, fmt: Format, *, is_summed: bool = False) -> Prediction | None:
    found = _node(evidence, step)
    if found is None:
        return None
    root, chosen = found

    def change(node: Node, args: list[FloatArray]) -> FloatArray | None:
        if node is not chosen:
            return None
        if is_summed:
            return value_of(node, [round_to(arg, fmt) for arg in args], fmt, 1).astype(float)
        return round_to(midpoint(node, args), fmt).astype(float)

    values = evaluate_with(root, change)
    told = compare(evidence, values)
    if evidence.score.verdict == "special" and told.is_met:  # a form that overflows without the rounding predicts all
        return compare(evidence, values, usual=evaluate_with(root, lambda node, args: None))
    return told
