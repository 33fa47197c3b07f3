"""Calls in the form that specs have: the axis of a reduction last, one bias at most, a mask of every query.

torch's functions take more than the programs of the specs say: any axis, several at once, scalars for tuples. Each form
says the same call in the arguments of the programs, and what is left to do with what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from opfuzz.network.observe.form import Arguments, Form, is_list
from opfuzz.network.observe.records import Array
from opfuzz.network.observe.windows import adaptive_average, average_pool, convolution, interpolate


def form_of(family: str, arguments: Arguments) -> Form | None:
    """The call as specs would say it; None where they cannot."""
    make = FORMS.get(family)
    return Form(family, arguments) if make is None else make(arguments)


# Elements and axes.


def _elementwise(family: str) -> Callable[[Arguments], Form]:
    def make(arguments: Arguments) -> Form:
        x = np.asarray(arguments["input"])
        if x.ndim:
            return Form(family, arguments)
        return Form(family, {**arguments, "input": x.reshape(1, 1)}, lambda y: y.reshape(()))

    return make


def _along(family: str) -> Callable[[Arguments], Form | None]:
    """An op along one axis, which has the shape of its input."""

    def make(arguments: Arguments) -> Form | None:
        x, axis = arguments["input"], arguments["dim"]
        if not isinstance(axis, int) or not x.ndim or not _keeps_format(arguments, x):
            return None
        kept = {name: value for name, value in arguments.items() if name != "dtype"}
        return Form(family, {**kept, "input": np.moveaxis(x, axis, -1), "dim": -1}, lambda y: np.moveaxis(y, -1, axis))

    return make


def _reduction(family: str) -> Callable[[Arguments], Form | None]:
    """An op over any axes, of which nothing is left, or axes of size 1."""

    def make(arguments: Arguments) -> Form | None:
        x, given = arguments["input"], arguments["dim"]
        listed = range(x.ndim) if given is None or given in ((), []) else given if is_list(given) else (given,)
        axes = sorted({axis % x.ndim for axis in listed}) if x.ndim else []
        if not axes or not _keeps_format(arguments, x):
            return None
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        flat = np.transpose(x, (*kept, *axes)).reshape(*(x.shape[axis] for axis in kept), -1)
        left = tuple(1 if axis in axes else x.shape[axis] for axis in range(x.ndim))
        shape = left if arguments["keepdim"] else tuple(x.shape[axis] for axis in kept)
        own = {name: value for name, value in arguments.items() if name not in ("dtype", "keepdim", "unbiased")}
        if arguments.get("unbiased") is not None:
            own["correction"] = int(arguments["unbiased"])
        rows = flat.reshape(1, -1) if flat.ndim == 1 else flat
        return Form(family, {**own, "input": rows, "dim": -1}, lambda y: y.reshape(shape))

    return make


def _deviation(arguments: Arguments) -> Form | None:
    form = _reduction("var")(arguments)
    return form and Form("var", form.arguments, lambda y: np.sqrt(form.finish(y)))


def _keeps_format(arguments: Arguments, x: Array) -> bool:
    # torch.float32 is told from its own name: no framework is imported here.
    return arguments.get("dtype") is None or str(arguments["dtype"]).rpartition(".")[2] == x.dtype.name


# Norms.


def _norm(family: str) -> Callable[[Arguments], Form]:
    """LayerNorm and RMSNorm over one axis or several, which are then one."""

    def make(arguments: Arguments) -> Form:
        x, sizes = arguments["input"], arguments["normalized_shape"]
        count = len(sizes) if is_list(sizes) else 1
        own = dict(arguments)
        if own["eps"] is None:
            own["eps"] = float(np.finfo(x.dtype).eps)
        if count > 1:
            own["input"] = x.reshape(*x.shape[: x.ndim - count], -1)
            own |= {key: own[key].reshape(-1) for key in ("weight", "bias") if own.get(key) is not None}
        own["normalized_shape"] = [int(math.prod(x.shape[x.ndim - count :]))]
        if own["input"].ndim == 1:
            own["input"] = own["input"].reshape(1, -1)
        return Form(family, own, lambda y: y.reshape(x.shape))

    return make


def _group_norm(arguments: Arguments) -> Form | None:
    x = arguments["input"]
    if x.ndim < 2:
        return None
    return Form("group_norm", {**arguments, "input": x.reshape(*x.shape[:2], -1)}, lambda y: y.reshape(x.shape))


def _batch_norm(arguments: Arguments) -> Form | None:
    """By statistics that were kept; of rows, or of images, whose axes are then one."""
    x = arguments["input"]
    if arguments["training"] or arguments["running_mean"] is None or x.ndim < 2:
        return None
    own = {name: value for name, value in arguments.items() if name != "momentum"}  # of training alone
    return Form("batch_norm", {**own, "input": x.reshape(*x.shape[:2], -1)}, lambda y: y.reshape(x.shape))


# Products.


def _linear(arguments: Arguments) -> Form | None:
    x, weight = arguments["input"], arguments["weight"]
    if weight.ndim != 2:
        return None
    rows = x.reshape(1, -1) if x.ndim == 1 else x
    return Form("linear", {**arguments, "input": rows}, lambda y: y.reshape(*x.shape[:-1], weight.shape[0]))


def _matmul(arguments: Arguments) -> Form | None:
    a, b = arguments["input"], arguments["other"]
    if not a.ndim or not b.ndim:
        return None
    left = a.reshape(1, -1) if a.ndim == 1 else a
    right = b.reshape(-1, 1) if b.ndim == 1 else b
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*batch, *([left.shape[-2]] * (a.ndim > 1)), *([right.shape[-1]] * (b.ndim > 1)))
    if right.ndim == 2:  # one product of all rows
        left = left.reshape(1, -1, left.shape[-1])
        batch = (1,)
    own = {
        "input": np.broadcast_to(left, (*batch, *left.shape[-2:])),
        "other": np.broadcast_to(right, (*batch, *right.shape[-2:])),
    }
    return Form("matmul", own, lambda y: y.reshape(shape))


def _grouped_product(arguments: Arguments) -> Form | None:
    """Each group of rows by a matrix of its own: a batch of products, with rows of zeros where groups are shorter."""
    rows, matrices, ends = (arguments[name] for name in ("input", "mat2", "offs"))
    if rows.ndim != 2 or matrices.ndim != 3 or ends is None or arguments["bias"] is not None:
        return None
    spans = list(pairwise([0, *ends.tolist()]))
    if len(spans) != len(matrices) or spans[-1][1] != len(rows):
        return None
    longest = max(stop - start for start, stop in spans)
    groups = [np.pad(rows[start:stop], [(0, longest - stop + start), (0, 0)]) for start, stop in spans]

    def finish(output: Array) -> Array:
        return np.concatenate([part[: stop - start] for part, (start, stop) in zip(output, spans, strict=True)])

    return Form("matmul", {"input": np.stack(groups), "other": matrices}, finish)


def _addmm(arguments: Arguments) -> Form | None:
    """bias + x @ weight, with the weight as [in, out]."""
    bias, x, weight = (arguments[name] for name in ("input", "mat1", "mat2"))
    if arguments["alpha"] != 1 or arguments["beta"] != 1 or bias.ndim != 1 or bias.shape != weight.shape[1:]:
        return None
    return _linear({"input": x, "weight": weight.T, "bias": bias})


def _einsum(arguments: Arguments) -> Form | None:
    """A contraction of two factors, as a product of matrices."""
    equation, factors = arguments["0"], [arguments[name] for name in arguments if name != "0"]
    if len(factors) == 1 and is_list(factors[0]):
        factors = list(factors[0])
    if not isinstance(equation, str) or len(factors) != 2 or "." in equation or "->" not in equation:
        return None
    given, _, out = "".join(equation.split()).partition("->")
    names = given.split(",")
    if len(names) != 2 or any(len(set(part)) != len(part) for part in (*names, out)):
        return None
    (first, second), (a, b) = names, factors
    batch = [n for n in out if n in first and n in second]
    inner = [n for n in first if n in second and n not in out]
    rows, columns = ([n for n in part if n not in batch and n not in inner] for part in (first, second))
    if not inner or set(rows + columns + batch) != set(out):
        return None
    size = {**dict(zip(first, a.shape, strict=True)), **dict(zip(second, b.shape, strict=True))}

    def packed(array: Array, own: str, *groups: list[str]) -> Array:
        turned = np.transpose(array, [own.index(n) for group in groups for n in group])
        return turned.reshape([math.prod(size[n] for n in group) for group in groups])

    def finish(output: Array) -> Array:
        found = [*batch, *rows, *columns]
        return np.transpose(output.reshape([size[n] for n in found]), [found.index(n) for n in out])

    own = {"input": packed(a, first, batch, rows, inner), "other": packed(b, second, batch, inner, columns)}
    return Form("matmul", own, finish)


def _embedding(arguments: Arguments) -> Form | None:
    index, table = arguments["input"], arguments["weight"]
    if arguments["max_norm"] is not None:
        return None
    own = {"input": index.reshape(-1), "weight": table}  # padding_idx matters to gradients alone
    return Form("embedding", own, lambda y: y.reshape(*index.shape, table.shape[1]))


def _adaptive_average(arguments: Arguments) -> Form | None:
    if arguments["output_size"] not in (1, (1, 1), [1, 1]):
        return adaptive_average(arguments)
    return _reduction("mean")({"input": arguments["input"], "dim": (-2, -1), "keepdim": True, "dtype": None})


# Attention.


def _attention(arguments: Arguments) -> Form | None:
    """Of four axes, with a mask for every query, and the usual scale."""
    q, k, v = (arguments[name] for name in ("query", "key", "value"))
    if arguments["dropout_p"] or not q.ndim == k.ndim == v.ndim or q.ndim < 2 or v.shape[-1] != q.shape[-1]:
        return None
    shape, mask = q.shape, arguments["attn_mask"]
    if arguments["enable_gqa"] and q.ndim > 2:
        k, v = (np.repeat(y, q.shape[-3] // y.shape[-3], axis=-3) for y in (k, v))
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(y, (*lead, *y.shape[-2:])) for y in (q, k, v))
    heads = lead[-1] if lead else 1
    batch = math.prod(lead[:-1])
    own = {name: y.reshape(batch, heads, *y.shape[-2:]) for name, y in (("query", q), ("key", k), ("value", v))}
    if arguments["scale"] is not None:
        ratio = arguments["scale"] * math.sqrt(q.shape[-1])
        if abs(ratio - 1) > 1e-6:  # a scale of its own goes into the queries, which rounds once more
            own["query"] = own["query"] * np.float32(ratio)
    if arguments["is_causal"]:
        mask = np.tri(q.shape[-2], k.shape[-2], dtype=np.bool_)
    if mask is not None:
        whole = np.broadcast_to(mask, (*lead, q.shape[-2], k.shape[-2])).reshape(batch, heads, q.shape[-2], -1)
        if heads > 1 and not _is_one_for_all(mask, len(lead)):  # specs have one for all heads
            own = {name: y.reshape(batch * heads, 1, *y.shape[-2:]) for name, y in own.items()}
            whole = whole.reshape(batch * heads, 1, *whole.shape[-2:])
        own["attn_mask"] = whole[:, :1]
    kept = {name: arguments[name] for name in ("dropout_p",)}
    return Form("scaled_dot_product_attention", {**kept, **own}, lambda y: y.reshape(shape))


def _is_one_for_all(mask: Array, lead: int) -> bool:
    """Whether every head has the same mask."""
    if mask.ndim < 3 or lead < 1:
        return True
    return mask.shape[-3] == 1 or bool((mask == mask[..., :1, :, :]).all())


# Others.


def _softplus(arguments: Arguments) -> Form | None:
    """Above 20, where torch returns x itself, softplus is x to 2e-9, below half an ulp of float32."""
    own = {**arguments, "threshold": 40} if 17 <= arguments["threshold"] <= 40 else arguments
    return _elementwise("softplus")(own)


def _power(arguments: Arguments) -> Form | None:
    if arguments["exponent"] == -0.5 and isinstance(arguments["exponent"], float):
        return _elementwise("rsqrt")({"input": arguments["input"]})
    return None


UNARY = ("relu", "silu", "mish", "sigmoid", "tanh", "exp", "erf", "sin", "cos", "rsqrt", "gelu")
FORMS: Mapping[str, Callable[[Arguments], Form | None]] = {
    **{family: _elementwise(family) for family in UNARY},
    **{family: _along(family) for family in ("softmax", "log_softmax", "cumsum", "normalize")},
    **{family: _reduction(family) for family in ("sum", "mean", "var", "logsumexp")},
    **{family: _norm(family) for family in ("layer_norm", "rms_norm")},
    **{f"conv{axes}d": convolution(f"conv{axes}d", axes) for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": convolution(f"conv_transpose{axes}d", axes) for axes in (1, 2)},
    **{f"avg_pool{axes}d": average_pool(f"avg_pool{axes}d", axes) for axes in (1, 2)},
    "adaptive_avg_pool2d": _adaptive_average,
    **dict.fromkeys(("matmul", "bmm", "mm", "mv"), _matmul),
    "std": _deviation,
    "group_norm": _group_norm,
    "linear": _linear,
    "addmm": _addmm,
    "einsum": _einsum,
    "embedding": _embedding,
    "interpolate": interpolate,
    "batch_norm": _batch_norm,
    **dict.fromkeys(("_grouped_mm", "grouped_mm"), _grouped_product),
    "scaled_dot_product_attention": _attention,
    "softplus": _softplus,
    "pow": _power,
}
