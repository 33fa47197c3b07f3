"""Weights that are vectors, such as gains and frequencies, kept in another form: less one, as a logarithm, negated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from opfuzz.network.observe.records import Plant, WeightOperand
from opfuzz.network.readings.reading import Array, Reading, SeenModule, float_outputs, is_float, one, with_place

FORMS: Mapping[str, Callable[[Array], Array]] = {
    "1 + {}": lambda w: w + 1,
    "{} - 1": lambda w: w - 1,
    "exp({})": np.exp,
    "-exp({})": lambda w: -np.exp(w),
    "log({})": np.log,
    "softplus({})": lambda w: np.logaddexp(w, 0),
    "1 / {}": lambda w: 1 / w,
    "-{}": np.negative,
    "{} ** 2": np.square,
    "sqrt({})": np.sqrt,
}


def otherwise(seen: SeenModule) -> Iterator[Reading]:
    """A vector in one of these forms, wherever the module takes it, or in one place."""
    for call in float_outputs(seen.calls):
        for place, operand in enumerate(call.args):
            value = seen.value(operand) if isinstance(operand, WeightOperand) else None
            if value is None or not is_float(value) or value.size < 2 or max(value.shape) != value.size:
                continue
            for words, form in FORMS.items():
                name = seen.name(operand)
                yield one(call, f"{words.format(name)} in the place of {name}", _formed(place, form))


def _formed(place: int, form: Callable[[Array], Array]) -> Plant:
    def changed(w: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(form(w.astype(np.float64)), w.dtype)

    return lambda call: call.perform(with_place(call.function, place, changed(call.function.args[place])))
