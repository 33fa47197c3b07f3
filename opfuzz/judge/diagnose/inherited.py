"""Causes that lie in a primitive inside: an op errs as its formula does with the subject's own exp or sum in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.floats import FORMATS, FloatArray
from opfuzz.judge.diagnose.evidence import Array, Evidence
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm
from opfuzz.judge.diagnose.probing import ends_as
from opfuzz.judge.limits import EXCESS_LIMIT, MOST_ELEMENTS
from opfuzz.judge.settle import examine
from opfuzz.oracle.altered import evaluate_with
from opfuzz.oracle.forms import forms
from opfuzz.oracle.graph import Node, topological
from opfuzz.oracle.models import wide_format
from opfuzz.oracle.primitive import Primitive
from opfuzz.oracle.reference import Reference, references_of


@dataclass(frozen=True, slots=True)
class Asker:
    """The subject's own values of one operation, on the exact arguments rounded once to a format."""

    primitive: Primitive
    format: str
    run: Callable[[Primitive, Call], Array | None]

    def predict(self, evidence: Evidence, number: int) -> Prediction | None:
        """An output as it would be with the primitive alone at fault, in one form of the formula.

        None where the primitive is right on all that it is asked for, or has no answer.
        """
        found = self.values(forms_of(evidence.reference)[number])
        return compare(evidence, found[0]) if found is not None and found[1] else None

    def run_in(self, reference: Reference, number: int) -> FloatArray | None:
        """What comes of one form of a formula with the primitive alone at fault; None where it has no answer."""
        found = self.values(forms_of(reference)[number])
        return None if found is None else found[0]

    def values(self, form: Node) -> tuple[FloatArray, bool] | None:
        """What a form gives with the primitive alone at fault, and whether it is; None where it has no answer."""
        is_at_fault = False

        def change(node: Node, args: list[FloatArray]) -> FloatArray | None:
            nonlocal is_at_fault
            # Of nothing there is nothing to get wrong; a framework that hangs there takes the time of everything else.
            if node.op != self.primitive.operation or not node.size or not all(arg.size for arg in args):
                return None
            values, is_wrong = self._values(node, args)
            is_at_fault |= is_wrong
            return values

        try:
            return evaluate_with(form, change), is_at_fault
        except NoAnswerError:
            return None

    def _values(self, node: Node, args: list[FloatArray]) -> tuple[FloatArray, bool]:
        fmt, primitive = FORMATS[self.format], self.primitive
        dims, arrays = primitive.arrange(node, args)
        call = primitive.call(dims, arrays, fmt)
        made = self.run(primitive, call)
        if made is None:
            raise NoAnswerError
        (reference,) = references_of(primitive.spec, call)
        measured = examine(made, reference)
        is_wrong = measured.largest_excess > EXCESS_LIMIT or measured.class_mistakes is not None
        return primitive.read(node, args, made.astype(np.float64)), is_wrong


class NoAnswerError(Exception):
    """The subject gives nothing where a primitive is called."""


def inherits(evidence: Evidence) -> Cause | None:
    """The primitive whose errors, as the subject makes them, are those of the op when all else is exact."""
    sizes = sum(array.size for array in evidence.call.arrays.values()) + evidence.output.size
    if sizes > MOST_ELEMENTS or not evidence.is_wrong.any():
        return None
    operations = {node.op for form in forms_of(evidence.reference) for node in topological(form)}
    for primitive in evidence.primitives:
        if primitive.spec.op == evidence.spec.op or primitive.operation not in operations:
            continue
        for number, fmt in tries(evidence.reference, primitive):
            asker = Asker(primitive, fmt, evidence.ask)
            found = asker.predict(evidence, number)
            if found is None or not found.is_met:
                continue
            total = confirm(evidence, found, partial(asker.predict, number=number))
            is_special = evidence.score.verdict == "special"
            if total is not None and not (is_special and not ends_as(evidence, partial(asker.run_in, number=number))):
                return Cause("inherits", primitive.spec.op, figures=total.figures)
    return None


def is_right_alone(evidence: Evidence, operation: str) -> bool:
    """Whether the subject's own values of an operation are right on all that the formula gives it, as far as known."""
    found = [
        Asker(primitive, fmt, evidence.ask).values(forms_of(evidence.reference)[number])
        for primitive in evidence.primitives
        if primitive.operation == operation
        for number, fmt in tries(evidence.reference, primitive)
    ]
    answers = [is_at_fault for _, is_at_fault in filter(None, found)]
    return bool(answers) and not any(answers)


def tries(reference: Reference, primitive: Primitive) -> Iterator[tuple[int, str]]:
    """Numbers of the forms that hold an operation, and the formats in which it may be computed."""
    formats = dict.fromkeys((reference.fmt.name, wide_format(reference.fmt).name))
    for number, form in enumerate(forms_of(reference)):
        if any(node.op == primitive.operation for node in topological(form)):
            yield from ((number, fmt) for fmt in formats if fmt in primitive.spec.formats)


def forms_of(reference: Reference) -> tuple[Node, ...]:
    """The forms of the usual formula and of the exact one."""
    roots = dict.fromkeys((reference.natural, reference.root))
    return tuple(form for root in roots for form in forms(root))
