"""JAX, on the processor and on GPUs: a call is compiled as a whole by XLA, or made primitive by primitive."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from opfuzz.backends.base import ARRAY_RECIPE, Array, Backend, Functions, Tensor
from opfuzz.backends.layers import layers
from opfuzz.backends.numpy import FFT, PUBLISHED, SCIPY
from opfuzz.core.floats import NAMED_FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.spec.expression.program import Gradient, Program, code_of, evaluate

# Pure functions of arrays, written out: JAX has no list of them. Left out on purpose: what takes functions (scan, map),
# callbacks, random numbers, and what several devices do together.
OWN = {
    "jax.nn": """
        celu dot_product_attention elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid
        log_softmax logsumexp mish relu relu6 selu sigmoid silu soft_sign softmax softplus squareplus standardize swish
        tanh
    """,
    "jax.lax": """
        argmax argmin atan2 batch_matmul bessel_i0e bessel_i1e cbrt clamp cos conv_general_dilated cumlogsumexp cummax
        cummin cumprod cumsum digamma dot erf erf_inv erfc exp exp2 expm1 igamma igammac integer_pow lgamma log log1p
        logistic nextafter pow reduce_precision rem rsqrt sin sort sqrt tan tanh top_k
    """,
    "jax.scipy.special": "digamma erfc erfcx erfinv gammaln i0 i0e i1 i1e log_ndtr logit ndtr ndtri xlogy",
    "jax.image": "resize",
}
EAGER = "eager"

RECIPE = (
    ARRAY_RECIPE
    + """
import types

import jax
import jax.numpy as jnp
import jax.scipy.special

jax.config.update("jax_enable_x64", True)


def within(call, given):
    scope = {**globals(), **given}
    scope |= {name: types.FunctionType(scope[name].__code__, scope) for name in ("forward",) if name in scope}
    return types.FunctionType(call.__code__, scope)()


def run(call):
    # As arguments: what a program has as constants is computed while it is compiled, by other code.
    given = {name: value for name, value in globals().items() if isinstance(value, np.ndarray)}
    with jax.default_device(jax.devices(DEVICE)[0]):
        made = lambda given: within(call, given)
        return (made if MODE == "eager" else jax.jit(made))({name: jnp.array(each) for name, each in given.items()})
"""
)

GRADIENT_RECIPE = """
def gradients(function, inputs, cotangents):
    found, back = jax.vjp(function, *inputs)
    is_tuple = isinstance(found, (tuple, list))
    values = found if is_tuple else (found,)
    given = [
        g if jnp.issubdtype(v.dtype, jnp.inexact) else np.zeros(v.shape, jax.dtypes.float0)
        for v, g in zip(values, cotangents)
    ]
    return back(type(found)(given) if is_tuple else given[0])
"""


@cache  # asked for with every call
def _jax() -> Any:
    return importlib.import_module("jax")


class Jax(Backend):
    """JAX. It reads calls of NumPy where a spec has none of its own, and computes them with `jax.numpy`.

    A program is kept for each call and the shapes of its inputs, until it rests.
    """

    dialects = ("jax", "numpy")
    modules = ("jax", "jax.scipy.special", "jax.image")
    distributions = ("jax", "jaxlib")
    modes = ("", EAGER)
    has_gradients = True
    recipe = RECIPE
    gradient_recipe = GRADIENT_RECIPE
    spelling = MappingProxyType({"np": "jnp", "scipy": "jax.scipy"})
    compiles = True
    layouts = frozenset(LAYOUTS[:1])  # XLA copies what is no whole buffer
    refusals = re.compile(
        r"not implemented|not supported|unsupported|only supports?\b|does(n't| not) support"
        r"|abstract tracer|traced array|must be concrete|concrete value",  # of sizes that follow from values
        re.IGNORECASE,
    )
    # One thread a worker, as everywhere; how many there are is read once, when JAX first looks for devices.
    environment = MappingProxyType({"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "NPROC": "1"})

    def __init__(self, name: str | None = None, replace: Functions = MappingProxyType({})) -> None:
        self._programs: dict[tuple[object, ...], Callable[..., Any]] = {}
        super().__init__(name, replace)

    def absent(self) -> str | None:
        """See Backend."""
        try:
            importlib.import_module("jax")
        except ModuleNotFoundError:
            return "jax: not installed: pip install 'opfuzz[jax]'"
        except (ImportError, OSError, RuntimeError) as error:  # a jaxlib of another version, say
            return f"jax: installed, but it fails to import: {error}"
        return None

    def version(self) -> str:
        """See Backend."""
        return str(_jax().__version__)

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        try:
            _jax().devices("gpu")
        except RuntimeError:
            return {"cpu": None, "gpu": "no GPU that JAX knows: needs CUDA and pip install 'jax[cuda13]'"}
        return {"cpu": None, "gpu": None}

    def needs(self, device: str) -> str | None:
        """See Backend. Few machines have JAX at all."""
        return "jax"

    def supports(self, format: str, device: str) -> bool:
        """See Backend."""
        return hasattr(_jax().numpy, format)

    def dtype(self, format: str) -> object:
        """See Backend."""
        return NAMED_FORMATS[format].dtype

    def published(self) -> Functions:
        """See Backend. `conv_transpose` and the pools are channels first; weights lie as in torch."""
        jnp = _jax().numpy
        found: dict[str, Callable[..., Any]] = {}
        for places, module, names in (
            (("np", "jnp"), jnp, PUBLISHED),
            (("np.fft", "jnp.fft"), jnp.fft, FFT),
            (("scipy.special", "jax.scipy.special"), importlib.import_module("jax.scipy.special"), SCIPY),
            *(((place,), importlib.import_module(place), names) for place, names in OWN.items()),
        ):
            # An older JAX, or JAX itself, may lack a function: it is then reported as not published.
            known = {name: getattr(module, name) for name in names.split() if hasattr(module, name)}
            found |= {f"{place}.{name}": function for place in places for name, function in known.items()}
        return found | {
            "cast": cast,
            "complex": _jax().lax.complex,
            ".astype": partial(_astype, _jax()),
            "conv": partial(_conv, _jax().lax),
            "conv1d": partial(_conv1d, _jax().lax),
            "conv_transpose": partial(_conv_transpose, _jax().lax),
            "conv_transpose1d": partial(_conv_transpose, _jax().lax),
            "max_pool": partial(_max_pool, _jax().lax),
            "scatter_add": partial(_scatter_add, jnp),
            "avg_pool": partial(_avg_pool, _jax().lax),
            **layers(jnp),
        }

    def load(self, base: Array, device: str) -> Tensor:
        """See Backend. JAX may take over the memory of an array that it is given: this one is its own."""
        with self._on(device):
            return _jax().device_put(np.array(base, order="C", copy=True))

    def get(self, tensor: Tensor) -> Array:
        """See Backend."""
        if not isinstance(tensor, _jax().Array):
            raise TypeError(f"returned a {type(tensor).__name__}, not a jax.Array")
        return np.array(tensor, order="C", copy=True)

    def rest(self) -> None:
        """See Backend."""
        self._programs.clear()
        _jax().clear_caches()

    def run(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Tensor:
        """See Backend."""
        functions, code = self.functions(), code_of(program)

        def call(tensors: Mapping[str, Tensor]) -> Tensor:
            return evaluate(code, {**names, **tensors}, functions)

        return self._evaluated(call, program, tensors, names, device, mode)

    def differentiate(
        self,
        program: Program,
        gradient: Gradient,
        tensors: Mapping[str, Tensor],
        names: Mapping[str, object],
        device: str,
        mode: str,
    ) -> tuple[Tensor, ...]:
        """See Backend. Values that are whole numbers, such as indices, have no part in it."""
        jax, functions, code = _jax(), self.functions(), code_of(program)

        def call(tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
            def values(*asked: Tensor) -> tuple[Tensor, ...]:
                given = {**names, **tensors, **dict(zip(gradient.inputs, asked, strict=True))}
                found = evaluate(code, given, functions)
                return tuple(found) if isinstance(found, tuple | list) else (found,)

            found, back = jax.vjp(values, *[tensors[name] for name in gradient.inputs])
            given = [tensors[name] for name in gradient.cotangents] or [jax.numpy.ones_like(each) for each in found]
            return tuple(back(tuple(map(partial(_cotangent, jax), found, given))))

        return tuple(self._evaluated(call, program, tensors, names, device, mode))

    def _evaluated(
        self,
        call: Callable[[dict[str, Tensor]], Tensor],
        program: Program,
        tensors: Mapping[str, Tensor],
        names: Mapping[str, object],
        device: str,
        mode: str,
    ) -> Tensor:
        """What a function of the tensors gives on the device. The function of an equal call, whose programs JAX keeps
        by the shapes of the tensors, stands for it."""
        if mode != EAGER:
            settings = repr(sorted((name, repr(names[name])) for name in program.names & names.keys()))
            key = (program.text, program.gradient, settings)
            call = self._programs.setdefault(key, _jax().jit(call))
        with self._on(device):
            return _jax().block_until_ready(call(dict(tensors)))

    @contextmanager
    def _on(self, device: str) -> Iterator[None]:
        """On a device, with float64: without that it is there in name only."""
        jax = _jax()
        with jax.enable_x64(True), jax.default_device(jax.devices(device)[0]):
            yield


def _cotangent(jax: Any, value: Tensor, given: Tensor) -> Tensor:
    """What is given for a value; of a whole number there is no derivative."""
    is_float = jax.numpy.issubdtype(value.dtype, jax.numpy.inexact)
    return given if is_float else np.zeros(value.shape, jax.dtypes.float0)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """The same numbers, rounded to another format."""
    return x.astype(dtype)


def _astype(jax: Any, x: Tensor, dtype: Any) -> Tensor:
    if not isinstance(x, jax.Array) or not isinstance(dtype, np.dtype):
        raise TypeError(f"a cast of a {type(x).__name__} to {dtype}: it is of an array, to a type")
    return x.astype(dtype)


Sizes = tuple[int, ...]


def _all(size: int | Sizes, axes: int) -> Sizes:
    return (size,) * axes if isinstance(size, int) else size


def _conv(
    lax: Any,
    x: Tensor,
    weight: Tensor,
    stride: int | Sizes = 1,
    padding: int | Sizes = 0,
    dilation: int | Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation, channels first: sizes that are one number are those of every axis."""
    axes = x.ndim - 2
    pads = [(each, each) for each in _all(padding, axes)]
    return lax.conv_general_dilated(
        x, weight, _all(stride, axes), pads, rhs_dilation=_all(dilation, axes), feature_group_count=groups
    )


def _conv1d(
    lax: Any,
    x: Tensor,
    weight: Tensor,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    result = _conv(lax, x, weight, stride, padding, dilation, groups)
    return result if bias is None else result + bias[:, None]


def _conv_transpose(
    lax: Any,
    x: Tensor,
    weight: Tensor,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Adjoint of `_conv`, of (n, c_in, ...) and (c_in, c_out // groups, ...): the kernel reversed, x spread."""
    c_in, per_group, *kernel = weight.shape
    axes = tuple(range(2, weight.ndim))
    parts = weight.reshape(groups, c_in // groups, per_group, *kernel).swapaxes(1, 2)
    own = lax.rev(parts.reshape(groups * per_group, c_in // groups, *kernel), axes)
    ends = [dilation * (k - 1) - padding for k in kernel]
    return lax.conv_general_dilated(
        x,
        own,
        (1,) * len(kernel),
        [(end, end + output_padding) for end in ends],
        lhs_dilation=(stride,) * len(kernel),
        rhs_dilation=(dilation,) * len(kernel),
        feature_group_count=groups,
    )


def _max_pool(lax: Any, x: Tensor, kernel: Sizes, stride: Sizes, padding: tuple[Sizes, ...]) -> Tensor:
    """The largest of each window, of (n, c, ...); each axis has the padding of its two ends."""
    return lax.reduce_window(x, -math.inf, lax.max, (1, 1, *kernel), (1, 1, *stride), ((0, 0), (0, 0), *padding))


def _avg_pool(lax: Any, x: Tensor, kernel: Sizes, stride: Sizes, padding: tuple[Sizes, ...]) -> Tensor:
    """The mean of each window, zeros of the padding counted; otherwise as `_max_pool`."""
    total = lax.reduce_window(x, 0.0, lax.add, (1, 1, *kernel), (1, 1, *stride), ((0, 0), (0, 0), *padding))
    return total / math.prod(kernel)


def _scatter_add(jnp: Any, x: Tensor, index: Tensor, source: Tensor) -> Tensor:
    """x with each element of a source added where its index says, row by row."""
    return x.at[jnp.arange(x.shape[0])[:, None], index].add(source)
