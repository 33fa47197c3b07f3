"""Attention read otherwise, where one function does it all: its scale, its mask, its axes, its heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from opfuzz.core.floats import HALVES
from opfuzz.network.observe.records import FunctionCall, Plant, PlantedCall
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.reading import ROUNDED, Array, Reading, SeenModule, argument, one

FUSED = "scaled_dot_product_attention"


@dataclass(frozen=True, slots=True)
class Attended:
    """The parts of one attention, in float64; `hidden` is true where a query may not look, `added` what a mask adds."""

    q: Array
    k: Array
    v: Array
    scale: float
    hidden: Array | None
    added: Array | None

    def compute(self, axis: int = -1) -> Array:
        """softmax(q k^T scale + mask) v."""
        return self.weights(self.masked(self.scores()), axis) @ self.v

    def scores(self) -> Array:
        """q k^T scale."""
        return (self.q @ self.k.swapaxes(-1, -2)) * self.scale

    def masked(self, scores: Array) -> Array:
        """The scores with the mask."""
        scores = scores if self.added is None else scores + self.added
        return scores if self.hidden is None else np.where(self.hidden, -np.inf, scores)

    @staticmethod
    def weights(scores: Array, axis: int) -> Array:
        """Softmax."""
        with np.errstate(all="ignore"):
            raised = np.exp(scores - scores.max(axis=axis, keepdims=True))
            return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def attention(seen: SeenModule) -> Iterator[Reading]:
    """The usual mistakes."""
    for call in seen.of(FUSED):

        def read(words: str, change: Any, call: Any = call) -> Reading:
            return one(call, f"attention: {words}", change)

        yield read("the scale is missing", _with(lambda x: replace(x, scale=1.0)))
        yield read("divided by the width, not by its root", _with(lambda x: replace(x, scale=1 / x.q.shape[-1])))
        yield read(
            "the scale of the width of all heads together",
            _with(lambda x: replace(x, scale=(x.q.shape[-1] * x.q.shape[-3 if x.q.ndim > 2 else -1]) ** -0.5)),
        )
        yield read("multiplied by the root of the width", _with(lambda x: replace(x, scale=x.q.shape[-1] ** 0.5)))
        yield read("the mask is not applied", _with(lambda x: replace(x, hidden=None, added=None)))
        yield read("a causal mask", _with(_causal(0)))
        yield read("a causal mask, one key more is seen", _with(_causal(1)))
        yield read("a causal mask, of which the last query sees the last key", _with(_causal(None)))
        yield read("the mask is inverted", _with(_inverted))
        yield read("the mask of the keys is taken for the queries", _with(_crossed))
        yield read("masked scores are -10", _with(_filled(-10.0)))
        yield read("masked scores are -100", _with(_filled(-100.0)))
        yield read("masked scores are 0", _with(_filled(0.0)))
        yield read("the mask is added as numbers", _with(_counted))
        yield read("queries and keys are exchanged", _with(lambda x: replace(x, q=x.k, k=x.q)))
        yield read("keys and values are exchanged", _with(lambda x: replace(x, k=x.v, v=x.k)))
        yield read("softmax runs over the queries", _computed(lambda x: x.compute(axis=-2)))
        yield read("softmax is left out", _computed(_without_softmax))
        yield read("heads and positions are exchanged", _computed(_across_heads))
        yield read("the heads of keys are repeated as a whole, not one by one", _grouped)
        keys = seen.value(argument(call, "key"))
        for width in _widths(0 if keys is None else keys.shape[-2]):
            yield read(f"a query sees the last {width} keys only", _with(_windowed(width)))
            yield read(f"a query sees the keys of its chunk of {width} and before", _with(_chunked(width)))
        for fmt in HALVES:
            for words, where in {"scores": "in", "weights": "out", "softmax": "in out"}.items():
                yield one(call, f"attention: {words} in {fmt.name}", _computed(_halved(fmt.dtype, where)), ROUNDED)


def read_parts(function: FunctionCall) -> Attended:
    """The operands of a fused attention."""
    q, k, v = (np.asarray(argument(function, name), np.float64) for name in ("query", "key", "value"))
    if q.ndim > 2 and k.shape[-3] != q.shape[-3]:
        k, v = (np.repeat(y, q.shape[-3] // y.shape[-3], axis=-3) for y in (k, v))
    scale = argument(function, "scale")
    mask, hidden, added = argument(function, "attn_mask"), None, None
    if isinstance(mask, np.ndarray):
        hidden, added = (~mask, None) if mask.dtype == np.bool_ else (None, mask.astype(np.float64))
    if argument(function, "is_causal", default=False):
        hidden = ~np.tri(q.shape[-2], k.shape[-2], dtype=np.bool_)
    return Attended(q, k, v, q.shape[-1] ** -0.5 if scale is None else scale, hidden, added)


def _with(change: Any) -> Plant:
    return _computed(lambda parts: change(parts).compute())


def _computed(compute: Any) -> Plant:
    def plant(call: PlantedCall) -> Array:
        try:
            found = np.asarray(compute(read_parts(call.function)))
        except ValueError as error:
            raise UnfitError from error
        if found.shape != call.observed.output.shape:
            raise UnfitError
        return found

    return plant


def _causal(beyond: int | None) -> Any:
    def change(x: Attended) -> Attended:
        queries, keys = x.q.shape[-2], x.k.shape[-2]
        seen = np.tri(queries, keys, keys - queries if beyond is None else beyond, dtype=np.bool_)
        return replace(x, hidden=~seen, added=None)

    return change


def _hidden(x: Attended) -> Array:
    """Where nothing is to be seen, whatever the form of the mask."""
    if x.hidden is not None:
        return x.hidden
    if x.added is None:
        raise UnfitError
    return np.asarray(x.added < -1e3)


def _halved(kind: Any, where: str) -> Any:
    """The scores, the weights, or both rounded to a half format."""

    def compute(x: Attended) -> Array:
        scores = x.masked(x.scores())
        if "in" in where:
            scores = scores.astype(kind).astype(np.float64)
        weights = x.weights(scores, -1)
        return np.asarray((weights.astype(kind).astype(np.float64) if "out" in where else weights) @ x.v)

    return compute


def _widths(keys: int) -> Iterator[int]:
    """Of windows: all that are short, then powers of two."""
    yield from range(2, min(keys, 33))
    yield from (2**power for power in range(6, 14) if 2**power < keys)


def _windowed(width: int) -> Any:
    def change(x: Attended) -> Attended:
        queries, keys = np.arange(x.q.shape[-2])[:, None], np.arange(x.k.shape[-2])
        return replace(x, hidden=(keys > queries) | (keys <= queries - width), added=None)

    return change


def _chunked(width: int) -> Any:
    def change(x: Attended) -> Attended:
        queries, keys = np.arange(x.q.shape[-2])[:, None], np.arange(x.k.shape[-2])
        return replace(x, hidden=keys // width > queries // width, added=None)

    return change


def _inverted(x: Attended) -> Attended:
    return replace(x, hidden=~_hidden(x), added=None)


def _crossed(x: Attended) -> Attended:
    return replace(x, hidden=_hidden(x).swapaxes(-1, -2), added=None)


def _filled(value: float) -> Any:
    def change(x: Attended) -> Attended:
        hidden = _hidden(x)
        scores = x.scores()
        return replace(x, hidden=None, added=np.where(hidden, value - scores, 0.0))

    return change


def _counted(x: Attended) -> Attended:
    return replace(x, hidden=None, added=(~_hidden(x)).astype(np.float64))


def _without_softmax(x: Attended) -> Array:
    scores = x.scores()
    hidden = None if x.hidden is None and x.added is None else _hidden(x)
    return (scores if hidden is None else np.where(hidden, 0.0, scores)) @ x.v


def _across_heads(x: Attended) -> Array:
    if x.q.ndim < 3 or x.q.shape != x.k.shape:
        raise UnfitError
    q, k, v = (y.swapaxes(-2, -3) for y in (x.q, x.k, x.v))
    return replace(x, q=q, k=k, v=v, hidden=None, added=None).compute().swapaxes(-2, -3)


def _grouped(call: PlantedCall) -> Array:
    """Keys and values of fewer heads: those of a group lie side by side, or every so many."""
    x = read_parts(call.function)
    heads = x.q.shape[-3] if x.q.ndim > 2 else 1
    own = np.shape(argument(call.function, "key"))[-3] if x.q.ndim > 2 else 1
    if own == heads:  # repeated before: heads that are equal tell how
        runs = [i for i in range(1, heads) if not np.array_equal(x.k[..., i, :, :], x.k[..., 0, :, :])]
        each = runs[0] if runs else 1
        if each == 1 or heads % each:
            raise UnfitError
        own = heads // each
    each = heads // own
    order = [(i % own) * each for i in range(heads)]  # head i gets keys i modulo `own`, not i // each
    return replace(x, k=x.k[..., order, :, :], v=x.v[..., order, :, :]).compute()
