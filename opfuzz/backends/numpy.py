"""NumPy and SciPy: an ordinary third opinion, computed in the format itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from opfuzz.backends.base import ARRAY_RECIPE, Array, Backend, Functions, Tensor
from opfuzz.backends.layers import layers, like, wide
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
        """See Backend. `conv1d` is channels first; weights lie as in torch."""
        special = importlib.import_module("scipy.special")
        found: dict[str, Callable[..., Any]] = {f"np.{name}": getattr(np, name) for name in PUBLISHED.split()}
        found |= {f"np.fft.{name}": getattr(np.fft, name) for name in FFT.split()}
        found |= {f"scipy.special.{name}": _in_format(getattr(special, name)) for name in SCIPY.split()}
        return found | {
            "cast": cast,
            "complex": complex_of,
            ".astype": _astype,
            "conv1d": conv1d,
            "conv_transpose1d": conv_transpose1d,
            **layers(np),
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
    padded = np.pad(wide(np, x), ((0, 0), (0, 0), (padding, padding)))
    n, c_in, _ = padded.shape
    c_out, per_group, k = weight.shape
    windows = sliding_window_view(padded, dilation * (k - 1) + 1, axis=-1)[:, :, ::stride, ::dilation]
    length = windows.shape[2]
    columns = windows.reshape(n, groups, c_in // groups, length, k).transpose(0, 1, 3, 2, 4)
    columns = columns.reshape(n, groups, length, per_group * k)
    kernels = wide(np, weight).reshape(groups, c_out // groups, per_group * k).swapaxes(1, 2)
    result = (columns @ kernels).swapaxes(2, 3).reshape(n, c_out, length)
    return np.asarray(like(np, result if bias is None else result + bias[:, None], x))


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
    inputs = wide(np, x).reshape(n, groups, c_in // groups, length)
    spread = np.zeros((n, groups, per_group, span + dilation * (k - 1) + output_padding), inputs.dtype)
    kernels = wide(np, weight).reshape(groups, c_in // groups, per_group, k).swapaxes(1, 2)
    for tap in range(k):
        start = tap * dilation
        spread[..., start : start + span : stride] += np.ascontiguousarray(kernels[..., tap]) @ inputs
    whole = spread.reshape(n, groups * per_group, spread.shape[-1])
    return np.asarray(like(np, whole[..., padding : whole.shape[-1] - padding], x))
