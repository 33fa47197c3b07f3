"""Honest implementations that differ from torch's, and traps: none of them may be accused."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import over_last_axis, wide

NN = "torch.nn.functional."
ATTENTION = NN + "scaled_dot_product_attention"


def sum_backwards(x: Tensor, dim: int) -> Tensor:
    """From the last element to the first, strictly one by one."""
    if not x.shape[dim]:
        return torch.sum(x, dim=dim)
    return torch.cumsum(wide(x).flip(dim), dim=dim).select(dim, -1).to(x.dtype)


def mean_in_lanes(x: Tensor, dim: int) -> Tensor:
    """32 partial sums, and the reciprocal of n."""
    n = x.shape[dim]
    lanes = functional.pad(wide(x), (0, -n % 32)).unflatten(dim, (-1, 32)).sum(dim=-2)
    return (lanes.sum(dim=-1) * (1 / n)).to(x.dtype)


def matmul_split(a: Tensor, b: Tensor) -> Tensor:
    """Two halves of the sum, added: other roundings than torch's (pytorch #176371)."""
    k = a.shape[-1] // 2
    first = torch.matmul(wide(a)[..., :k], wide(b)[..., :k, :])
    return (first + torch.matmul(wide(a)[..., k:], wide(b)[..., k:, :])).to(a.dtype)


def matmul_without_fma(a: Tensor, b: Tensor) -> Tensor:
    """Each product is rounded before it is added."""
    if a.shape[-2] * b.numel() > 2**20:
        return torch.matmul(a, b)
    return (wide(a)[..., None] * wide(b)[..., None, :, :]).sum(dim=-2).to(a.dtype)


def linear_in_double(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One rounding at the end."""
    return functional.linear(x.double(), weight.double(), bias.double()).to(x.dtype)


def exp_in_double(x: Tensor) -> Tensor:
    """Correctly rounded: other bits than torch's (mlx #1341)."""
    return torch.exp(x.double()).to(x.dtype)


def exp_flushed(x: Tensor) -> Tensor:
    """Subnormal results are zero, a policy."""
    y = torch.exp(x)
    return torch.where(y < torch.finfo(y.dtype).smallest_normal, torch.zeros_like(y), y)


def gelu_by_erf(x: Tensor, approximate: str = "none") -> Tensor:
    """The usual formulas; by erf, the tail is 0 below -6 (pytorch #187806)."""
    v = wide(x)
    if approximate == "tanh":
        y = 0.5 * v * (1 + torch.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v * v * v)))
    else:
        y = 0.5 * v * (1 + torch.erf(v * math.sqrt(0.5)))
    return torch.where(torch.isinf(v), functional.relu(v) * torch.copysign(torch.ones_like(v), v), y).to(x.dtype)


def silu_by_division(x: Tensor) -> Tensor:
    """x / (1 + exp(-x)), and the limit at minus infinity."""
    v = wide(x)
    return torch.where(v == -torch.inf, -torch.zeros_like(v), v / (1 + torch.exp(-v))).to(x.dtype)


def sigmoid_by_two_branches(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) and exp(x) / (1 + exp(x)), each where it cannot overflow."""
    v = wide(x)
    raised = torch.exp(-v.abs())
    return torch.where(v < 0, raised, torch.ones_like(v)).div(1 + raised).to(x.dtype)


def softplus_by_maximum(x: Tensor, beta: float, threshold: float) -> Tensor:
    """max(x, 0) + log1p(exp(-|x|))."""
    v = wide(x)
    return (torch.clamp_min(v, 0) + torch.log1p(torch.exp(-v.abs()))).to(x.dtype)


def tanh_other_nan(x: Tensor) -> Tensor:
    """NaN with another sign and payload."""
    return torch.where(torch.isnan(x), -torch.full_like(x, torch.nan), torch.tanh(x))


def softmax_by_logarithm(x: Tensor, dim: int) -> Tensor:
    """exp(x - logsumexp(x))."""
    return torch.exp(torch.log_softmax(wide(x), dim=dim)).to(x.dtype)


def softmax_online(x: Tensor, dim: int) -> Tensor:
    """Blocks of 128 with a running maximum, scaled when it grows."""
    v = wide(x)
    largest = torch.full_like(v[..., :1], -torch.inf)
    total = torch.zeros_like(largest)
    for part in torch.split(v, 128, dim=dim):
        above = torch.maximum(largest, part.amax(dim=dim, keepdim=True))
        kept = torch.where(largest == above, torch.ones_like(total), torch.exp(largest - above))
        total = total * kept + torch.exp(part - above).sum(dim=dim, keepdim=True)
        largest = above
    return (torch.exp(v - largest) / total).to(x.dtype)


def logsumexp_by_pairs(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """logaddexp of two halves, again and again, over the last axis or all from one on."""
    v = wide(x) if isinstance(dim, int) else wide(x).flatten(dim[0])
    while v.shape[-1] > 1:
        half = (v.shape[-1] + 1) // 2
        rest = functional.pad(v[..., half:], (0, 2 * half - v.shape[-1]), value=-torch.inf)
        v = torch.logaddexp(v[..., :half], rest)
    return v[..., 0].to(x.dtype)


def attention_finite_fill(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Masked scores are the lowest number, not minus infinity; the query is scaled first."""
    scores = torch.matmul(wide(q) / math.sqrt(q.shape[-1]), wide(k).transpose(2, 3))
    if attn_mask is not None:
        hidden = ~attn_mask if attn_mask.dtype == torch.bool else attn_mask == -torch.inf
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    return torch.matmul(torch.softmax(scores, dim=-1), wide(v)).to(q.dtype)


def attention_causal_path(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """A causal mask is recognised. Aligned at the first key or the last is a convention (mlx #2835): it is asked."""
    if attn_mask is None or attn_mask.dtype != torch.bool or not attn_mask.numel():
        return functional.scaled_dot_product_attention(q, k, v, attn_mask)
    queries, keys = q.shape[2], k.shape[2]
    for diagonal in {0, keys - queries}:  # top left, bottom right
        causal = torch.ones(queries, keys, dtype=torch.bool).tril(diagonal)
        if torch.equal(attn_mask, causal.expand(attn_mask.shape)):
            return functional.scaled_dot_product_attention(q, k, v, causal)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask)


def attention_heads_inside(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Positions lie outside and heads inside, as a joint projection leaves them (mlx #3585)."""
    q1, k1, v1 = (wide(x).transpose(1, 2).contiguous() for x in (q, k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q1, k1) / math.sqrt(q.shape[-1])
    if attn_mask is not None:
        is_boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_boolean else scores + wide(attn_mask)
    y = torch.einsum("bhqk,bkhd->bqhd", torch.softmax(scores, dim=-1), v1)
    return y.transpose(1, 2).to(q.dtype)


@over_last_axis
def layer_norm_welford(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Mean and sum of squares of blocks of 8, merged as Chan does."""
    v = wide(x)
    count, mean, squares = 0, torch.zeros_like(v[..., :1]), torch.zeros_like(v[..., :1])
    if v.shape[-1] > 4096:
        mean = v.mean(dim=-1, keepdim=True)
        squares, count = ((v - mean) ** 2).sum(dim=-1, keepdim=True), v.shape[-1]
    for part in torch.split(v, 8, dim=-1) if not count else ():
        n = part.shape[-1]
        own = part.mean(dim=-1, keepdim=True)
        apart = own - mean
        squares = squares + ((part - own) ** 2).sum(dim=-1, keepdim=True) + apart**2 * (count * n / (count + n))
        mean = mean + apart * (n / (count + n))
        count += n
    return ((v - mean) * torch.rsqrt(squares / count + eps) * wide(weight) + wide(bias)).to(x.dtype)


def rms_norm_rounded_before_weight(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """Rounded to the format of the input before the weight is multiplied, as language models have it."""
    normal = wide(x) * torch.rsqrt((wide(x) ** 2).mean(dim=-1, keepdim=True) + eps)
    return normal.to(x.dtype) * weight


def group_norm_in_float32(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The reference itself, in plain float32."""
    flat = wide(x).reshape(x.shape[0], groups, x.shape[1] // groups * x.shape[2])
    centred = flat - flat.mean(dim=-1, keepdim=True)
    normal = (centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + eps)).reshape(x.shape)
    return (normal * wide(weight)[:, None] + wide(bias)[:, None]).to(x.dtype)


def conv1d_by_matmul(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """Windows side by side, and one product of matrices."""
    stride, padding = options.get("stride", 1), options.get("padding", 0)
    dilation, groups = options.get("dilation", 1), options.get("groups", 1)
    v = functional.pad(wide(x), (padding, padding))
    reach = dilation * (weight.shape[2] - 1) + 1
    windows = v.unfold(2, reach, stride)[..., ::dilation].unflatten(1, (groups, -1))
    kernel = wide(weight).unflatten(0, (groups, -1))
    y = torch.einsum("ngclk,gock->ngol", windows, kernel).flatten(1, 2)
    return (y if bias is None else y + wide(bias)[:, None]).to(x.dtype)


def conv_transpose1d_by_scatter(x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    """All products at once, added where they belong."""
    stride, padding, dilation, groups = (options[name] for name in ("stride", "padding", "dilation", "groups"))
    v, kernel = wide(x).unflatten(1, (groups, -1)), wide(weight).unflatten(0, (groups, -1))
    products = torch.einsum("ngcl,gcok->ngolk", v, kernel).flatten(1, 2)
    places = (torch.arange(x.shape[2]) * stride)[:, None] + torch.arange(weight.shape[2]) * dilation
    size = (x.shape[2] - 1) * stride + dilation * (weight.shape[2] - 1) + options["output_padding"] + 1
    whole = torch.zeros(*products.shape[:2], size, dtype=v.dtype)
    whole.index_add_(2, places.flatten(), products.flatten(2))
    return whole[:, :, padding : size - padding].to(x.dtype)


def normalize_by_rsqrt(x: Tensor, p: float, dim: int, eps: float) -> Tensor:
    """The root is taken of the sum, no hypotenuse; the quotient is a product."""
    squares = (wide(x) ** 2).sum(dim=dim, keepdim=True)
    return (wide(x) * (1 / torch.sqrt(squares).clamp_min(eps))).to(x.dtype)


def var_of_centred(x: Tensor, dim: int, correction: int) -> Tensor:
    """Two passes."""
    centred = wide(x) - wide(x).mean(dim=dim, keepdim=True)
    return ((centred**2).sum(dim=dim) / (x.shape[dim] - correction)).to(x.dtype)


def cumsum_by_doubling(x: Tensor, dim: int) -> Tensor:
    """Hillis and Steele: sums of 1, 2, 4, 8, ... neighbours."""
    v, step = wide(x), 1
    while step < x.shape[dim]:
        v = torch.cat((v[..., :step], v[..., step:] + v[..., :-step]), dim=-1)
        step *= 2
    return v.to(x.dtype)


def upsample_by_view(x: Tensor, scale_factor: int, mode: str) -> Tensor:
    """Copied, not computed."""
    return x[..., None].expand(*x.shape, scale_factor).reshape(*x.shape[:2], x.shape[2] * scale_factor)


MUTANTS = [
    Mutant("sum-one-by-one-backwards", "sum", {"torch.sum": sum_backwards}, kind="honest"),
    Mutant("mean-in-32-lanes", "mean", {"torch.mean": mean_in_lanes}, kind="honest"),
    Mutant("matmul-split-sum", "matmul", {"torch.matmul": matmul_split}, kind="honest"),
    Mutant("matmul-without-fma", "matmul", {"torch.matmul": matmul_without_fma}, kind="honest"),
    Mutant("linear-in-float64", "linear", {NN + "linear": linear_in_double}, kind="honest"),
    Mutant("exp-correctly-rounded", "exp", {"torch.exp": exp_in_double}, kind="honest"),
    Mutant("exp-flushes-subnormals", "exp", {"torch.exp": exp_flushed}, kind="honest"),
    Mutant("gelu-usual-formula", "gelu", {NN + "gelu": gelu_by_erf}, kind="honest"),
    Mutant("silu-by-division", "silu", {NN + "silu": silu_by_division}, kind="honest"),
    Mutant("sigmoid-two-branches", "sigmoid", {"torch.sigmoid": sigmoid_by_two_branches}, kind="honest"),
    Mutant("softplus-by-maximum", "softplus", {NN + "softplus": softplus_by_maximum}, kind="honest"),
    Mutant("tanh-other-nan", "tanh", {"torch.tanh": tanh_other_nan}, kind="honest"),
    Mutant("softmax-by-logarithm", "softmax", {"torch.softmax": softmax_by_logarithm}, kind="honest"),
    Mutant("softmax-online", "softmax", {"torch.softmax": softmax_online}, kind="honest"),
    Mutant("logsumexp-by-pairs", "logsumexp", {"torch.logsumexp": logsumexp_by_pairs}, kind="honest"),
    Mutant("attention-finite-mask-fill", "attention_mask", {ATTENTION: attention_finite_fill}, kind="honest"),
    Mutant("attention-causal-convention", "attention_mask", {ATTENTION: attention_causal_path}, kind="honest"),
    Mutant("attention-heads-inside", "attention", {ATTENTION: attention_heads_inside}, kind="honest"),
    Mutant("layer-norm-welford", "layer_norm", {NN + "layer_norm": layer_norm_welford}, kind="honest"),
    Mutant("rms-norm-language-model", "rms_norm", {NN + "rms_norm": rms_norm_rounded_before_weight}, kind="honest"),
    Mutant("group-norm-in-float32", "group_norm", {NN + "group_norm": group_norm_in_float32}, kind="honest"),
    Mutant("conv1d-by-matmul", "conv1d", {NN + "conv1d": conv1d_by_matmul}, kind="honest"),
    Mutant(
        "conv-transpose1d-by-scatter",
        "conv_transpose1d",
        {NN + "conv_transpose1d": conv_transpose1d_by_scatter},
        kind="honest",
    ),
    Mutant("normalize-by-product", "l2_normalise", {NN + "normalize": normalize_by_rsqrt}, kind="honest"),
    Mutant("var-two-passes", "var", {"torch.var": var_of_centred}, kind="honest"),
    Mutant("cumsum-by-doubling", "cumsum", {"torch.cumsum": cumsum_by_doubling}, kind="honest"),
    Mutant("upsample-by-view", "upsample_nearest", {NN + "interpolate": upsample_by_view}, kind="honest"),
    Mutant("cfg-mix-rearranged", "cfg_mix", {"call": "c + w * (c - u)"}, kind="honest"),
    Mutant("euler-step-fused", "euler_step", {"call": "torch.add(x, v, alpha=dt)"}, kind="honest"),
    Mutant(
        "cosine-schedule-half-angle",
        "cosine_schedule",
        {"call": "2 * torch.square(torch.sin(torch.linspace(0, 1, steps + 1, dtype=dtype) * (pi / 4)))"},
        kind="honest",
    ),
]
