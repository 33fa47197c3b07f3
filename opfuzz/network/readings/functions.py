"""Another function in the place of one of a single array: another activation, the sine for the cosine, none at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from opfuzz.network.observe.records import MOVE, FunctionCall, ObservedCall, Operand, PlantedCall
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.reading import Array, Reading, SeenModule, float_outputs, is_float, one

Function = Callable[[Array], Array]


# SciPy is imported where values are made: the commands that know readings by their names need none.


def _erf(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(erf(x))


def _expit(x: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(x))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0.0)


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


# In float64. The names are what a port would call.
FUNCTIONS: Mapping[str, Function] = {
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2))),
    "gelu by tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "x sigmoid(1.702 x)": lambda x: x * _expit(1.702 * x),
    "silu": lambda x: x * _expit(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu squared": lambda x: np.maximum(x, 0) ** 2,
    "leaky relu of 0.01": lambda x: np.where(x > 0, x, 0.01 * x),
    "leaky relu of 0.1": lambda x: np.where(x > 0, x, 0.1 * x),
    "leaky relu of 0.2": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": _elu,
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "hard swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "relu6": lambda x: np.clip(x, 0, 6),
    "tanh": np.tanh,
    "sigmoid": _expit,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sine": np.sin,
    "cosine": np.cos,
    "exp": np.exp,
    "absolute value": np.abs,
    "square": np.square,
}
OWN = {"sin": "sine", "cos": "cosine", "abs": "absolute value"}  # where torch has another name
CHANGING = ("flip", "roll", "masked_fill", "tril", "triu")  # of what moves elements
# What may be taken for one of these.
REPLACED = frozenset(
    ("gelu", "silu", "mish", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "hardswish", "hardsigmoid",
     "hardtanh", "tanh", "sigmoid", "softplus", "softsign", "sin", "cos", "exp", "abs", "square", "erf", "prelu",
     "rrelu", "logsigmoid")
)  # fmt: skip


def other_functions(seen: SeenModule) -> Iterator[Reading]:
    """Another function of the elements, or none."""
    for call in seen.calls:
        if call.family in REPLACED and is_float(call.output):
            for name, function in FUNCTIONS.items():
                if OWN.get(call.family, called(call)) != name:
                    yield one(call, f"{name} instead of {called(call)}", _applied(function))


def called(call: ObservedCall) -> str:
    """A function as a reader knows it: GELU has two."""
    approximate = call.kwargs.get("approximate", next((x for x in call.args[1:] if isinstance(x, str)), "none"))
    return "gelu by tanh" if call.family == "gelu" and approximate == "tanh" else call.family


def other_modules(seen: SeenModule) -> Iterator[Reading]:
    """Another function in the place of an inner module that is one of the elements, however it is written."""
    own = {call.index: call for call in seen.calls}
    for run in seen.whole.modules:
        last = own.get(run.end - 1)
        if last is None or len(run.takes) != 1 or run.takes != run.gives or run.first not in own:
            continue
        taken = [seen.whole.calls[run.first].args[:1], *(c.args[:1] for c in seen.whole.calls[run.first : run.end])]
        operand = taken[0][0] if taken[0] else None
        x = seen.value(operand)
        if operand is None or x is None or not is_float(x) or x.shape != run.gives[0] or run.end - run.first < 2:
            continue
        for name, function in FUNCTIONS.items():
            words = f"{name} instead of {run.kind}" if run.path else f"{name} instead"
            yield one(last, words, _giving(function, operand))


def left_out(seen: SeenModule) -> Iterator[Reading]:
    """The function is left out: what it got goes on."""
    for call in float_outputs(seen.calls):
        if len(call.operands) == 1 and (call.kind != MOVE or call.family in CHANGING):
            yield one(call, f"{call.family} is left out", _bypassed)


def chains(seen: SeenModule) -> Iterator[Reading]:
    """Several functions of the elements, one after the other, are left out together."""
    own = {call.index for call in seen.calls}
    for call in float_outputs(seen.calls):
        made = call
        steps: list[ObservedCall] = []
        while made.index in own and made.kind != MOVE and len(made.operands) == 1:
            steps.append(made)
            source = seen.whole.source(made.operands[0])
            x = seen.value(made.operands[0])
            if x is None or x.shape != call.output.shape or not is_float(x):
                break
            if len(steps) > 1:
                words = "x"
                for step in reversed(steps):
                    words = _written(step, words)
                yield one(call, f"{words} is left out", _giving(np.asarray, made.operands[0]))
            if source is None:
                break
            made = source


def _written(call: ObservedCall, x: str) -> str:
    """A function of x and of numbers, as a formula."""
    signs = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "rsub": "-", "rdiv": "/"}
    numbers = [f"{value:.6g}" for value in call.args if isinstance(value, int | float)]
    if call.family in signs and len(numbers) == 1 and len(call.args) == 2:
        is_first = isinstance(call.args[0], int | float) != call.family.startswith("r")
        return f"{numbers[0]} {signs[call.family]} {x}" if is_first else f"{x} {signs[call.family]} {numbers[0]}"
    return f"{call.family}({x})"


def _applied(function: Function) -> Callable[[PlantedCall], Array]:
    def plant(call: PlantedCall) -> Array:
        with np.errstate(all="ignore"):
            return function(first_array(call.function).astype(np.float64))

    return plant


def _giving(function: Function, operand: Operand) -> Callable[[PlantedCall], Array]:
    def plant(call: PlantedCall) -> Array:
        with np.errstate(all="ignore"):
            return function(np.array(call.now(operand), np.float64))

    return plant


def _bypassed(call: PlantedCall) -> Array:
    x = first_array(call.function)
    if x.shape != call.observed.output.shape:
        raise UnfitError
    return x


def first_array(function: FunctionCall) -> Array:
    """The first argument that is an array."""
    for value in (*function.args, *function.kwargs.values()):
        if isinstance(value, np.ndarray):
            return value
    raise UnfitError
