"""Apple's MLX, on the processor and on the GPU. Its functions compile kernels only when the mode says so."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import ml_dtypes
import numpy as np

from opfuzz.backends.base import COMPILE, Array, Backend, Functions, Tensor
from opfuzz.core.floats import SMALL_FORMATS
from opfuzz.core.layout import View
from opfuzz.spec.expression.program import Gradient, Program, evaluate

# MLX offers no list of pure functions, so it is written out. Left out on purpose: load, save and their kin,
# import_function, export_function, compile, random, as_strided (reads anywhere), empty (uninitialised), metal_kernel.
PUBLISHED = {
    "mx": """
        abs add addmm all any arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argpartition
        argsort broadcast_to ceil clip concatenate conv1d conv2d conv3d conv_general conv_transpose1d conv_transpose2d
        conv_transpose3d convolve cos cosh cummax cummin cumprod cumsum degrees dequantize diag diagonal diff divide
        einsum equal erf erfinv exp expand_dims expm1 eye flatten flip floor floor_divide from_fp8 full full_like
        greater greater_equal hadamard_transform hanning imag inner isfinite isinf isnan kron less less_equal linspace
        log log10 log1p log2 logaddexp logcumsumexp logical_and logical_not logical_or logical_xor logsumexp matmul max
        maximum mean median min minimum moveaxis multiply nan_to_num negative not_equal ones ones_like outer pad
        permute_dims power prod quantize quantized_matmul radians real reciprocal remainder repeat reshape roll round
        rsqrt searchsorted sigmoid sign sin sinh softmax sort sqrt square squeeze stack std stop_gradient subtract sum
        swapaxes take take_along_axis tan tanh tensordot tile to_fp8 topk trace transpose tri tril triu trunc unflatten
        var vecdot where zeros zeros_like
    """,
    "mx.fast": "layer_norm rms_norm rope scaled_dot_product_attention",
    "mx.fft": "fft fft2 fftn fftshift ifft ifft2 ifftn ifftshift irfft irfft2 irfftn rfft rfft2 rfftn",
    "mx.linalg": "cross inv norm pinv qr solve svd tri_inv",
    "nn.losses": """
        binary_cross_entropy cosine_similarity_loss cross_entropy gaussian_nll_loss hinge_loss huber_loss kl_div_loss
        l1_loss log_cosh_loss margin_ranking_loss mse_loss nll_loss smooth_l1_loss triplet_loss
    """,
    "nn": """
        celu elu gelu gelu_approx gelu_fast_approx glu hard_shrink hard_tanh hardswish leaky_relu log_sigmoid
        log_softmax mish prelu relu relu2 relu6 selu sigmoid silu softmax softmin softplus softshrink softsign step tanh
    """,
}
Sizes = int | tuple[int, ...]

MODULES = {"mx": "mlx.core", "nn": "mlx.nn"}


RECIPE = """
import mlx.core as mx
import mlx.nn as nn


def dtype_of(name):
    return getattr(mx, name)


def load(tensor):
    array, kind = tensor
    mx.set_default_device(getattr(mx, DEVICE))
    if kind == "bfloat16":
        return mx.array(array).view(mx.bfloat16)
    return mx.array(array, dtype=getattr(mx, "bool_" if kind == "bool" else kind))


def view(tensor, steps):
    for step, args in steps:
        if step == "transpose":
            tensor = mx.transpose(tensor, args)
        elif step == "slice":
            tensor = tensor[tuple(map(slice, *args))]
        else:
            tensor = mx.broadcast_to(tensor, args)
        mx.eval(tensor)
    return tensor


def run(call):
    mx.set_default_device(getattr(mx, DEVICE))
    (mx.enable_compile if MODE == "compile" else mx.disable_compile)()
    result = mx.compile(call)() if MODE == "compile" else call()
    mx.eval(result)
    return result


def bits(tensor):
    mx.set_default_device(mx.cpu)
    unsigned = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}[tensor.dtype.size]
    return np.array(mx.contiguous(tensor).view(unsigned) if tensor.ndim else tensor.reshape(1).view(unsigned)[0])
"""


GRADIENT_RECIPE = """
def gradients(function, inputs, cotangents):
    def listed(*inputs):
        found = function(*inputs)
        return list(found) if isinstance(found, (tuple, list)) else [found]

    return mx.vjp(listed, list(inputs), list(cotangents))[1]
"""


@cache  # asked for with every call
def _mlx() -> Any:
    return importlib.import_module("mlx.core")


class Mlx(Backend):
    """MLX. float64 exists on the processor only."""

    dialects = ("mlx",)
    modules = ("mlx.core", "mlx.nn")
    distributions = ("mlx",)
    modes = ("", COMPILE)
    requirements = ("mlx[cpu]",) if sys.platform == "linux" else ()
    has_gradients = True
    refusals = re.compile(
        r"not implemented|not supported|unsupported|does(n't| not) support|only supports?\b|cannot calculate vjp",
        re.IGNORECASE,
    )
    recipe = RECIPE
    gradient_recipe = GRADIENT_RECIPE

    def absent(self) -> str | None:
        """See Backend."""
        try:
            importlib.import_module("mlx.core")
        except ModuleNotFoundError:
            return "mlx: not installed; needs macOS on Apple silicon or Linux: pip install 'opfuzz[mlx]'"
        except (ImportError, OSError) as error:
            return f"mlx: installed, but it fails to import: {error}; on Linux it needs: pip install 'mlx[cpu]'"
        return None

    def version(self) -> str:
        """See Backend."""
        return str(_mlx().__version__)

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        mx = _mlx()
        return {"cpu": None, "gpu": None if mx.is_available(mx.gpu) else "no GPU: needs Apple silicon, or mlx[cuda]"}

    def needs(self, device: str) -> str | None:
        """See Backend. Few machines have MLX at all."""
        return "mlx"

    def supports(self, format: str, device: str) -> bool:
        """See Backend. Of the small formats MLX has functions, and no dtypes."""
        return not (format == "float64" and device == "gpu") and format not in SMALL_FORMATS

    def dtype(self, format: str) -> object:
        """See Backend."""
        return getattr(_mlx(), format)

    def published(self) -> Functions:
        """See Backend. `group_norm`, `instance_norm`, `upsample` and the pools are channels last, as in MLX;
        `packed` and `as_bytes` make words and bytes of codes, and `quantized` gives codes, or what they stand for."""
        nn = importlib.import_module("mlx.nn")
        found: dict[str, Any] = {}
        for prefix, names in PUBLISHED.items():
            root, _, inner = prefix.partition(".")
            module = importlib.import_module(MODULES[root])
            module = getattr(module, inner) if inner else module
            # An older MLX may lack a function; calling it is then an unknown name, reported when a spec is loaded.
            found |= {f"{prefix}.{name}": getattr(module, name) for name in names.split() if hasattr(module, name)}
        mx = _mlx()
        return found | {
            "cast": _cast,
            ".astype": _astype,
            "packed": partial(_packed, mx),
            "as_bytes": partial(_as_bytes, mx),
            "quantized": partial(_quantized, mx),
            "complex": partial(_complex, mx),
            "dropout": partial(_dropout, nn),
            "group_norm": partial(_group_norm, nn),
            "instance_norm": partial(_instance_norm, nn),
            "upsample_nearest": partial(_upsample, nn, "nearest"),
            "upsample_linear": partial(_upsample, nn, "linear"),
            "upsample_cubic": partial(_upsample, nn, "cubic"),
            "avg_pool1d": partial(_pool, nn.AvgPool1d),
            "avg_pool2d": partial(_pool, nn.AvgPool2d),
            "max_pool1d": partial(_pool, nn.MaxPool1d),
            "max_pool2d": partial(_pool, nn.MaxPool2d),
        }

    def load(self, base: Array, device: str) -> Tensor:
        """See Backend. Without its dtype a float64 array would become float32; bfloat16 travels as uint16."""
        mx = _mlx()
        kind = _kind(base.dtype)
        if kind != mx.bfloat16:
            return mx.array(base, dtype=kind)  # a copy, made at once and on no stream
        with mx.stream(getattr(mx, device)):
            tensor = mx.array(base.view(np.uint16)).view(kind)
            mx.eval(tensor)
        return tensor

    def lay_out(self, base: Tensor, views: tuple[View, ...], device: str) -> Tensor:
        """See Backend. Each view is evaluated by itself, or MLX could merge it into the call."""
        if not views:
            return base
        mx = _mlx()
        tensor = base
        with mx.stream(getattr(mx, device)):
            for view in views:
                match view.op:
                    case "transpose":
                        tensor = mx.transpose(tensor, view.args)
                    case "slice":
                        tensor = tensor[tuple(map(slice, *view.args))]
                    case _:
                        tensor = mx.broadcast_to(tensor, view.args)
                mx.eval(tensor)
        return tensor

    def get(self, tensor: Tensor) -> Array:
        """See Backend."""
        mx = _mlx()
        if not isinstance(tensor, mx.array):
            raise TypeError(f"returned a {type(tensor).__name__}, not an mlx.core.array")
        if tensor.dtype != mx.bfloat16:
            return np.array(tensor, order="C", copy=True)
        with mx.stream(mx.cpu):
            return np.array(mx.contiguous(tensor).view(mx.uint16), copy=True).view(ml_dtypes.bfloat16)

    def run(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Tensor:
        """See Backend. Raises FileNotFoundError if the mode needs a compiler that is not there."""
        functions = self.functions()

        def call(tensors: dict[str, Tensor]) -> Tensor:
            return evaluate(program, {**names, **tensors}, functions)

        return self._evaluated(call, tensors, device, mode)

    def differentiate(
        self,
        program: Program,
        gradient: Gradient,
        tensors: Mapping[str, Tensor],
        names: Mapping[str, object],
        device: str,
        mode: str,
    ) -> tuple[Tensor, ...]:
        """See Backend; raises as `run` does."""
        functions = self.functions()

        def call(tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
            def values(*asked: Tensor) -> list[Tensor]:
                given = {**names, **tensors, **dict(zip(gradient.inputs, asked, strict=True))}
                found = evaluate(program, given, functions)
                return list(found) if isinstance(found, tuple | list) else [found]

            inputs, cotangents = ([tensors[name] for name in each] for each in (gradient.inputs, gradient.cotangents))
            return tuple(_mlx().vjp(values, inputs, cotangents or list(map(_mlx().ones_like, values(*inputs))))[1])

        return tuple(self._evaluated(call, tensors, device, mode))

    def _evaluated(
        self, call: Callable[[dict[str, Tensor]], Tensor], tensors: Mapping[str, Tensor], device: str, mode: str
    ) -> Tensor:
        """What a function of the tensors gives on the device, compiled or not."""
        mx = _mlx()
        if mode == COMPILE and device == "cpu" and shutil.which("g++") is None and shutil.which("clang++") is None:
            raise NotImplementedError("mlx:cpu+compile is not supported without a C++ compiler (g++)")
        # The activations of mlx.nn are compiled functions: on Linux each would call g++, 1 to 3 s, and change no bit.
        _allow_compilation(mode == COMPILE)
        try:
            with mx.stream(getattr(mx, device)):
                result = mx.compile(call)(dict(tensors)) if mode == COMPILE else call(dict(tensors))
                mx.eval(result)  # on the processor this waits for all that the result needs
                if device != "cpu":
                    mx.synchronize()
        finally:
            _allow_compilation(_is_compilation_usual())
        return result


@cache  # NumPy makes the name anew each time
def _kind(dtype: np.dtype[Any]) -> Any:
    return getattr(_mlx(), "bool_" if dtype == np.bool_ else dtype.name)


def _allow_compilation(is_allowed: bool) -> None:
    mx = _mlx()
    (mx.enable_compile if is_allowed else mx.disable_compile)()


@cache  # MLX itself reads it once
def _is_compilation_usual() -> bool:
    return "MLX_DISABLE_COMPILE" not in os.environ


def _cast(x: Tensor, dtype: Any) -> Tensor:
    return x.astype(dtype)


def _astype(x: Tensor, dtype: Any) -> Tensor:
    mx = _mlx()
    if not isinstance(x, mx.array) or not isinstance(dtype, mx.Dtype):
        raise TypeError(f"a cast of a {type(x).__name__} to {dtype}: it is of an array, to a type")
    return x.astype(dtype)


def _complex(mx: Any, real: Tensor, imaginary: Tensor) -> Tensor:
    pairs = mx.stack([real.astype(mx.float32), imaginary.astype(mx.float32)], axis=-1)
    return mx.squeeze(mx.contiguous(pairs).view(mx.complex64), axis=-1)


def _dropout(nn: Any, x: Tensor, p: float) -> Tensor:
    layer = nn.Dropout(p)
    layer.eval()
    return layer(x)


def _group_norm(nn: Any, x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    layer = nn.GroupNorm(groups, x.shape[-1], eps=eps, affine=True, pytorch_compatible=True)
    layer.weight, layer.bias = weight, bias
    return layer(x)


def _instance_norm(nn: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    layer = nn.InstanceNorm(x.shape[-1], eps=eps, affine=True)
    layer.weight, layer.bias = weight, bias
    return layer(x)


# Codes of a row follow each other bit by bit, the lowest first, so that those of 3, 5 and 6 bits straddle words.


def _packed(mx: Any, codes: Tensor, bits: int) -> Tensor:
    """Whole numbers below 2^bits as MLX keeps them: each row as words of 32 bits."""
    ones = (mx.expand_dims(codes.astype(mx.uint32), -1) >> mx.arange(bits, dtype=mx.uint32)) & 1
    rows = mx.reshape(ones, (*codes.shape[:-1], codes.shape[-1] * bits // 32, 32))
    return mx.sum(rows << mx.arange(32, dtype=mx.uint32), axis=-1)


def _as_bytes(mx: Any, codes: Tensor) -> Tensor:
    """Whole numbers below 256 as MLX keeps the scales of the mx formats and of nvfp4: eight bits each."""
    return codes.astype(mx.uint8)


def _quantized(mx: Any, w: Tensor, group: int, bits: int, mode: str = "affine") -> tuple[Tensor, ...]:
    """What `mx.quantize` makes of rows: a code for each number, and what each group has; as numbers of their format.

    Of the mx modes and nvfp4 the number that a code stands for, and the scale itself.
    """
    words, scales, *biases = mx.quantize(w, group_size=group, bits=bits, mode=mode)
    ones = (mx.expand_dims(words, -1) >> mx.arange(32, dtype=mx.uint32)) & 1
    codes = mx.sum(mx.reshape(ones, (*w.shape, bits)) << mx.arange(bits, dtype=mx.uint32), axis=-1)
    if mode == "affine":
        return codes.astype(w.dtype), *(each.astype(w.dtype) for each in (scales, *biases))
    elements = mx.from_fp8(codes.astype(mx.uint8), mx.float32) if bits == 8 else mx.take(mx.array(_OF_E2M1), codes)
    scales = mx.from_fp8(scales, mx.float32) if mode == "nvfp4" else _of_e8m0(mx, scales)
    return elements.astype(w.dtype), scales.astype(w.dtype)


_OF_E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0]


def _of_e8m0(mx: Any, codes: Tensor) -> Tensor:
    """2^(code - 127), of 255 NaN: the bits of a float32, but for the smallest power, which is subnormal there."""
    powers = mx.where(codes == 0, 1 << 22, codes.astype(mx.uint32) << 23).astype(mx.uint32).view(mx.float32)
    return mx.where(codes == 255, mx.nan, powers)


def _upsample(nn: Any, kind: str, x: Tensor, scale: float, align_corners: bool = False) -> Tensor:
    return nn.Upsample(scale_factor=scale, mode=kind, align_corners=align_corners)(x)


def _pool(pool: Any, x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes = 0) -> Tensor:
    return pool(kernel, stride=stride, padding=padding)(x)
