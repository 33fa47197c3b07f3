"""NumPy and SciPy: an ordinary third opinion, computed in the format itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from opfuzz.backends.base import ARRAY_RECIPE, Array, Backend, Functions, Tensor
from opfuzz.core.floats import NAMED_FORMATS
from opfuzz.core.layout import View, apply
from opfuzz.spec.expression.program import Program, evaluate

PUBLISHED = """
    abs add all any arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort
    bincount broadcast_to cbrt ceil clip concatenate convolve copysign corrcoef cos cosh cov cross cumprod cumsum
    deg2rad diag diagonal diff digitize divide dot einsum equal exp exp2 expand_dims expm1 eye flip floor
    floor_divide fmax fmin fmod frexp full full_like gradient greater greater_equal hanning heaviside hypot imag
    inner interp isfinite isinf isnan kron ldexp less less_equal linspace log log10 log1p log2 logaddexp logaddexp2
    logical_and logical_not logical_or logical_xor matmul max maximum mean median min minimum moveaxis multiply
    nan_to_num nanmax nanmean nanmin nansum negative not_equal ones ones_like outer pad power prod ptp rad2deg real
    reciprocal remainder repeat reshape rint roll round searchsorted sign signbit sin sinc sinh sort sqrt square
    squeeze stack std subtract sum swapaxes take take_along_axis tan tanh tensordot tile trace transpose trapezoid
    tri tril triu trunc var vdot where zeros zeros_like
"""
FFT = "fft fft2 fftn fftshift ifft ifft2 ifftn ifftshift irfft irfft2 irfftn rfft rfft2 rfftn"
SCIPY = """
    erf erfc erfcinv erfcx erfinv expit expm1 gamma gammaln i0 i0e i1 i1e log1p log_expit log_ndtr log_softmax logit
    logsumexp ndtr ndtri softmax xlog1py xlogy
"""


RECIPE = (
    ARRAY_RECIPE
    + """
import scipy.special


def run(call):
    with np.errstate(all="ignore"):
        return call()
"""
)


class Numpy(Backend):
    """NumPy, elementary functions of SciPy, and the layers of a network written with them."""

    dialects = ("numpy",)
    modules = ("scipy.special",)
    distributions = ("numpy", "scipy")
    recipe = RECIPE

    def absent(self) -> str | None:
        """See Backend. opfuzz itself needs both packages."""
        return None

    def version(self) -> str:
        """See Backend."""
        return np.__version__

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        return {"cpu": None}

    def supports(self, format: str, device: str) -> bool:
        """See Backend. With ml_dtypes' bfloat16 a Python number, where and matmul give float32: no honest opinion."""
        return format != "bfloat16"

    def dtype(self, format: str) -> object:
        """See Backend."""
        return NAMED_FORMATS[format].dtype

    def published(self) -> Functions:
        """See Backend. `conv1d` and `group_norm` are channels first; weights lie as in torch."""
        special = importlib.import_module("scipy.special")
        found: dict[str, Callable[..., Any]] = {f"np.{name}": getattr(np, name) for name in PUBLISHED.split()}
        found |= {f"np.fft.{name}": getattr(np.fft, name) for name in FFT.split()}
        found |= {f"scipy.special.{name}": _in_format(getattr(special, name)) for name in SCIPY.split()}
        return found | {
            "cast": cast,
            "complex": complex_of,
            ".astype": _astype,
            "linear": linear,
            "conv1d": conv1d,
            "conv_transpose1d": conv_transpose1d,
            "layer_norm": layer_norm,
            "rms_norm": rms_norm,
            "group_norm": group_norm,
            "softmax": softmax,
            "attention": attention,
        }

    def load(self, base: Array, device: str) -> Tensor:
        """See Backend."""
        return np.array(base, order="C", copy=True)

    def lay_out(self, base: Tensor, views: tuple[View, ...], device: str) -> Tensor:
        """See Backend."""
        return apply(base, views)

    def get(self, tensor: Tensor) -> Array:
        """See Backend. NumPy returns scalars for results without axes."""
        if not isinstance(tensor, np.ndarray | np.generic):
            raise TypeError(f"returned a {type(tensor).__name__}, not a numpy.ndarray")
        return np.array(tensor, order="C", copy=True)

    def run(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Tensor:
        """See Backend."""
        with np.errstate(all="ignore"):
            return evaluate(program, {**names, **tensors}, self.functions())


def _in_format(function: Callable[..., Any]) -> Callable[..., Any]:
    """SciPy computes halves in float64 and returns that; round back once to the format of the first argument."""

    def rounded(x: Array, *others: Any, **options: Any) -> Array:
        return np.asarray(function(x, *others, **options)).astype(x.dtype, copy=False)

    return rounded


def _wide(x: Array) -> Array:
    """Halves as float32, in which a layer computes before it rounds once; everything else as it is."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _like(result: Array, x: Array) -> Array:
    return np.asarray(result).astype(x.dtype, copy=False)


def cast(x: Array, dtype: Any) -> Array:
    """The same numbers, rounded to another format."""
    return x.astype(dtype)


def _astype(x: Array, dtype: Any) -> Array:
    if not isinstance(x, np.ndarray | np.generic) or not isinstance(dtype, np.dtype):
        raise TypeError(f"a cast of a {type(x).__name__} to {dtype}: it is of an array, to a type")
    return x.astype(dtype)


def complex_of(real: Array, imaginary: Array) -> Array:
    """Complex numbers of two parts, as they are: 1j * inf would make a NaN of the other part."""
    made = np.empty(np.broadcast_shapes(real.shape, imaginary.shape), np.result_type(real, np.complex64))
    made.real, made.imag = real, imaginary
    return made


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """x times the transposed weight, plus bias: (..., d_in), (d_out, d_in) and (d_out) to (..., d_out)."""
    return _like(_wide(x) @ np.swapaxes(_wide(weight), 0, 1) + bias, x)


def conv1d(
    x: Array,
    weight: Array,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: Array | None = None,
) -> Array:
    """Cross-correlation over the last axis: (n, c_in, length) and (c_out, c_in // groups, k) to (n, c_out, length')."""
    padded = np.pad(_wide(x), ((0, 0), (0, 0), (padding, padding)))
    n, c_in, _ = padded.shape
    c_out, per_group, k = weight.shape
    windows = sliding_window_view(padded, dilation * (k - 1) + 1, axis=-1)[:, :, ::stride, ::dilation]
    length = windows.shape[2]
    columns = windows.reshape(n, groups, c_in // groups, length, k).transpose(0, 1, 3, 2, 4)
    columns = columns.reshape(n, groups, length, per_group * k)
    kernels = _wide(weight).reshape(groups, c_out // groups, per_group * k).swapaxes(1, 2)
    result = (columns @ kernels).swapaxes(2, 3).reshape(n, c_out, length)
    return _like(result if bias is None else result + bias[:, None], x)


def conv_transpose1d(
    x: Array,
    weight: Array,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Adjoint of `conv1d`: (n, c_in, length) and (c_in, c_out // groups, k) to (n, c_out, length')."""
    n, c_in, length = x.shape
    _, per_group, k = weight.shape
    span = (length - 1) * stride + 1
    inputs = _wide(x).reshape(n, groups, c_in // groups, length)
    spread = np.zeros((n, groups, per_group, span + dilation * (k - 1) + output_padding), inputs.dtype)
    kernels = _wide(weight).reshape(groups, c_in // groups, per_group, k).swapaxes(1, 2)
    for tap in range(k):
        start = tap * dilation
        spread[..., start : start + span : stride] += np.ascontiguousarray(kernels[..., tap]) @ inputs
    whole = spread.reshape(n, groups * per_group, spread.shape[-1])
    return _like(whole[..., padding : whole.shape[-1] - padding], x)


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Normalise the last axis, then scale and shift."""
    return _like(_standardise(_wide(x), -1, eps) * weight + bias, x)


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Divide by the root mean square of the last axis, then scale."""
    wide = _wide(x)
    return _like(wide / np.sqrt(np.mean(np.square(wide), axis=-1, keepdims=True) + eps) * weight, x)


def group_norm(x: Array, groups: int, weight: Array, bias: Array, eps: float) -> Array:
    """Normalise each group of channels of (n, channels, ...) with all its positions, then scale and shift channels."""
    n, channels = x.shape[:2]
    flat = _standardise(_wide(x).reshape(n, groups, channels // groups * int(np.prod(x.shape[2:]))), -1, eps)
    per_channel = (channels,) + (1,) * (x.ndim - 2)
    return _like(flat.reshape(x.shape) * weight.reshape(per_channel) + bias.reshape(per_channel), x)


def _standardise(x: Array, axis: int, eps: float) -> Array:
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return np.asarray(centred / np.sqrt(np.mean(np.square(centred), axis=axis, keepdims=True) + eps))


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x - max) over its sum along the axis."""
    wide = _wide(x)
    powers = np.exp(wide - np.max(wide, axis=axis, keepdims=True))
    return _like(powers / np.sum(powers, axis=axis, keepdims=True), x)


def attention(q: Array, k: Array, v: Array, scale: float, mask: Array | None = None) -> Array:
    """softmax(q k^T scale + mask) v over the last two axes; a mask is true where allowed, or is added."""
    scores = _wide(q) @ np.swapaxes(_wide(k), -1, -2) * scale
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    return _like(softmax(scores) @ _wide(v), q)
