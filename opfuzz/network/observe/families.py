"""Families of torch's functions: one name for all that compute the same, their arguments, and what each kind does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

# torch publishes one function in several places, `torch.softmax`, `torch.Tensor.softmax`, `nn.functional.softmax`, as
# a method in place and as an operator. Its last name is the same in all of them, except for these.
OPERATORS = {
    "iadd": "add", "radd": "add", "subtract": "sub", "isub": "sub", "rsub": "rsub", "multiply": "mul", "imul": "mul",
    "rmul": "mul", "divide": "div", "true_divide": "div", "truediv": "div", "itruediv": "div", "idiv": "div",
    "rtruediv": "rdiv", "negative": "neg", "ipow": "pow", "concat": "cat", "concatenate": "cat", "absolute": "abs",
    "swapaxes": "transpose", "swapdims": "transpose", "moveaxis": "movedim", "expit": "sigmoid", "clip": "clamp",
    "rmatmul": "rmatmul", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne",
    "special_expit": "sigmoid", "spmm": "matmul", "dsmm": "matmul", "iand": "and", "ior": "or", "ixor": "xor",
}  # fmt: skip
# Names that mean something else there.
APART = ("linalg", "fft", "sparse", "init")

# What only moves elements, gives constants, or gives what it got.
_MOVES = """
    getitem setitem view reshape view_as reshape_as transpose permute movedim t T mT H mH adjoint squeeze unsqueeze
    expand expand_as broadcast_to broadcast_tensors contiguous clone detach data real imag flatten unflatten ravel cat
    stack hstack vstack dstack column_stack split chunk tensor_split split_with_sizes unbind narrow select slice
    index_select gather take take_along_dim repeat tile repeat_interleave flip roll rot90 pad diagonal diag tril triu
    unfold fold pixel_shuffle pixel_unshuffle channel_shuffle masked_select masked_fill masked_scatter index_copy
    index_put index_fill scatter where copy fill zero lift_fresh alias as_strided pin_memory to cpu cuda type type_as
    float half bfloat16 double int long bool short byte char requires_grad atleast_1d atleast_2d atleast_3d meshgrid
    arange linspace logspace zeros ones full empty eye zeros_like ones_like full_like empty_like new_zeros new_ones
    new_full new_empty new_tensor tensor as_tensor scalar_tensor from_numpy tril_indices triu_indices one_hot dropout
    dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout rand randn randint randperm
    rand_like randn_like randint_like normal uniform random bernoulli multinomial grad set resolve_conj resolve_neg
    view_as_real view_as_complex numpy cartesian_prod block_diag unsafe_chunk unsafe_split identity positive pos
    nonzero argsort sort topk max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d
    pad_sequence chalf cfloat cdouble
"""
# IEEE 754 rounds these once, so that all who follow it give the same bits; of integers nothing is rounded.
_ROUNDED_ONCE = """
    add sub rsub mul div rdiv neg sqrt square abs sign sgn floor ceil round trunc frac maximum minimum max min amax
    amin argmax argmin clamp clamp_min clamp_max eq ne lt le gt ge logical_and logical_or logical_not
    logical_xor and or xor not invert isnan isinf isfinite any all floor_divide remainder fmod nan_to_num
    reciprocal heaviside threshold hardtanh relu6 leaky_relu prelu diff signbit copysign cummax cummin
    bitwise_and bitwise_or bitwise_not bitwise_xor fmax fmin searchsorted bucketize histc isclose equal rfloordiv
    mod ceildiv
"""
# Of these some have a spec, and are no ops of a model nevertheless: there is nothing in them to be read wrongly.
ARITHMETIC = frozenset(("sqrt", "square", "reciprocal", "remainder"))
MOVES, ROUNDED_ONCE = frozenset(_MOVES.split()), frozenset(_ROUNDED_ONCE.split())
# Says nothing of what is computed.
DROPPED = ("inplace", "_stacklevel", "out", "memory_format")


def _arguments(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Names of arguments in their order, with their defaults; `inspect.Parameter.empty` for what has to be given."""
    return MappingProxyType({p.name: p.default for p in inspect.signature(function).parameters.values()})


REQUIRED = inspect.Parameter.empty
ONE = _arguments(lambda input: 0)
UNARY = """
    relu silu mish sigmoid tanh exp erf sin cos rsqrt exp2 expm1 log log2 log10 log1p sqrt reciprocal square tan asin
    acos atan sinh cosh asinh acosh atanh erfc special_erfcx erfinv special_ndtr special_log_ndtr lgamma digamma sinc
    i0 special_i0e special_i1 special_i1e softsign selu relu6 hardsigmoid hardswish logsigmoid
"""
# Names and defaults as torch documents them; its compiled functions have no signature to be asked for.
SIGNATURES: Mapping[str, Mapping[str, Any]] = {
    "linear": _arguments(lambda input, weight, bias=None: 0),
    "matmul": _arguments(lambda input, other: 0),
    **dict.fromkeys(("bmm", "mm", "mv"), _arguments(lambda input, other: 0)),
    "embedding": _arguments(
        lambda input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False: 0
    ),
    "softmax": _arguments(lambda input, dim=None, dtype=None: 0),
    "log_softmax": _arguments(lambda input, dim=None, dtype=None: 0),
    "softmin": _arguments(lambda input, dim=None, dtype=None: 0),
    "logsumexp": _arguments(lambda input, dim=None, keepdim=False: 0),
    "sum": _arguments(lambda input, dim=None, keepdim=False, dtype=None: 0),
    "mean": _arguments(lambda input, dim=None, keepdim=False, dtype=None: 0),
    "var": _arguments(lambda input, dim=None, unbiased=None, keepdim=False, correction=1: 0),
    "std": _arguments(lambda input, dim=None, unbiased=None, keepdim=False, correction=1: 0),
    "cumsum": _arguments(lambda input, dim=None, dtype=None: 0),
    "normalize": _arguments(lambda input, p=2.0, dim=1, eps=1e-12: 0),
    "layer_norm": _arguments(lambda input, normalized_shape, weight=None, bias=None, eps=1e-5: 0),
    "rms_norm": _arguments(lambda input, normalized_shape, weight=None, eps=None: 0),
    "group_norm": _arguments(lambda input, num_groups, weight=None, bias=None, eps=1e-5: 0),
    "batch_norm": _arguments(
        lambda input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5: 0
    ),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _arguments(
        lambda input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1: 0
    )),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _arguments(
        lambda input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1: 0
    )),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), _arguments(
        lambda input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
        divisor_override=None: 0
    )),
    "adaptive_avg_pool2d": _arguments(lambda input, output_size: 0),
    **dict.fromkeys(("_grouped_mm", "grouped_mm"), _arguments(
        lambda input, mat2, offs=None, bias=None, out_dtype=None: 0
    )),
    "interpolate": _arguments(
        lambda input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None,
        antialias=False: 0
    ),
    "scaled_dot_product_attention": _arguments(
        lambda query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False: 0
    ),
    "gelu": _arguments(lambda input, approximate="none": 0),
    "softplus": _arguments(lambda input, beta=1, threshold=20: 0),
    "pow": _arguments(lambda input, exponent: 0),
    "addmm": _arguments(lambda input, mat1, mat2, beta=1, alpha=1: 0),
    "baddbmm": _arguments(lambda input, batch1, batch2, beta=1, alpha=1: 0),
    "cat": _arguments(lambda tensors, dim=0: 0),
    "stack": _arguments(lambda tensors, dim=0: 0),
    "pad": _arguments(lambda input, pad, mode="constant", value=None: 0),
    "transpose": _arguments(lambda input, dim0, dim1: 0),
    "add": _arguments(lambda input, other, alpha=1: 0),
    "sub": _arguments(lambda input, other, alpha=1: 0),
    "rsub": _arguments(lambda input, other, alpha=1: 0),
    "mul": _arguments(lambda input, other: 0),
    "div": _arguments(lambda input, other, rounding_mode=None: 0),
    "split": _arguments(lambda input, split_size, dim=0: 0),
    "chunk": _arguments(lambda input, chunks, dim=0: 0),
    "masked_fill": _arguments(lambda input, mask, value: 0),
    "where": _arguments(lambda condition, input, other: 0),
    **dict.fromkeys(("elu", "celu"), _arguments(lambda input, alpha=1.0: 0)),
    "leaky_relu": _arguments(lambda input, negative_slope=0.01: 0),
    "glu": _arguments(lambda input, dim=-1: 0),
    **dict.fromkeys(("atan2", "hypot", "logaddexp", "remainder", "xlogy"), _arguments(lambda input, other: 0)),
    **dict.fromkeys(UNARY.split(), ONE),
}  # fmt: skip
RENAMED = {"self": "input", "axis": "dim", "vec": "other", "mat_a": "input", "mat_b": "mat2"}


def family_of(dotted: str) -> str:
    """The family of a function by the name under which torch publishes it: `torch.Tensor.__add__` is `add`."""
    parts = [part for part in dotted.split(".") if part not in ("__get__", "__set__", "__func__")]
    last = parts[-1]
    name = last.strip("_") if last.startswith("__") else last.rstrip("_")
    name = OPERATORS.get(name, name)
    namespace = next((part for part in parts[:-1] if part in APART), "")
    return f"{namespace}.{name}" if namespace else name


def is_in_place(dotted: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether a function writes into an operand: `add_`, `x += y`, `x[i] = y`, `out=`, `inplace=True`."""
    last = dotted.rpartition(".")[2]
    return (
        (last.endswith("_") and not last.startswith("__"))
        or (last.startswith("__i") and last.removeprefix("__i").rstrip("_") in IN_PLACE)
        or last in ("__setitem__", "__set__")
        or kwargs.get("out") is not None
        or bool(kwargs.get("inplace"))
    )


IN_PLACE = ("add", "sub", "mul", "div", "truediv", "floordiv", "pow", "mod", "and", "or", "xor", "lshift", "rshift")


def named_arguments(family: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of a call by name, the defaults filled in; those of a family that is not known by their place.

    None where the call has others than its family takes, or lacks one.
    """
    signature = SIGNATURES.get(family)
    if signature is None:
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
    given = {RENAMED.get(name, name): value for name, value in kwargs.items() if name not in DROPPED}
    names = list(signature)
    if len(args) > len(names):
        return None
    found = {**signature, **dict(zip(names, args, strict=False)), **given}
    if not set(given) <= set(names) or any(value is REQUIRED for value in found.values()):
        return None
    return found
