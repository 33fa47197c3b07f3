"""What every backend owes: real layouts, untouched bits, a positive list, and an Outcome for whatever happens.

Those of plugins owe the same: OPFUZZ_PLUGINS=mine_backend.py python -m pytest tests/backends/test_backend_contract.py
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from opfuzz.backends import Subject, discover, perform
from opfuzz.core.call import Call
from opfuzz.core.cause import NOTHING
from opfuzz.core.floats import FORMATS, from_bits, to_bits
from opfuzz.core.layout import LAYOUTS, constant_along_broadcast
from opfuzz.spec.expression.program import parse

KNOWN = discover([Path(each) for each in os.environ.get("OPFUZZ_PLUGINS", "").split(os.pathsep) if each])
BACKENDS = [pytest.param(b, id=name) for name, b in KNOWN.items() if b.absent() is None]
PLACES = [
    pytest.param(backend, device, id=f"{name}:{device}")
    for name, backend in KNOWN.items()
    if backend.absent() is None
    for device, reason in backend.devices().items()
    if reason is None
]

# fmt: off
HOSTILE = {
    "torch.load", "torch.save", "torch.os", "torch.os.system", "torch.sys", "torch.hub", "torch.hub.load",
    "torch.from_file", "torch.compile", "torch.nn.functional.torch", "torch.set_default_dtype", "torch.ops",
    "torch.relu_", "torch.as_strided", "torch.rand", "torch.randn", "torch.dropout",
    "torch.alpha_dropout", "torch.feature_dropout", "torch.native_dropout", "torch.rrelu", "torch.multinomial",
    "torch.nn.functional.dropout3d", "torch.nn.functional.feature_alpha_dropout",
    "torch.nn.functional.gumbel_softmax", "torch.nn.functional.fractional_max_pool2d", "torch.from_numpy",
    "torch.quantize_per_tensor", "torch._int_mm", "torch.ops.quantized.linear_dynamic", "mx.quantized",
    "nn.Dropout", "nn.quantize", "nn.QuantizedLinear", "np.fft.os", "np.linalg.np", "np.ctypeslib", "packed.func",
    "torch.classes.load_library", "torch.autocast", "torch.empty", "torch.bernoulli", "mx.load", "mx.save",
    "mx.savez", "mx.save_safetensors", "mx.save_gguf", "mx.import_function", "mx.export_function",
    "mx.compile", "mx.random", "mx.random.normal", "mx.as_strided", "mx.empty", "mx.fast.metal_kernel",
    "mx.set_default_device", "nn.Module", "nn.Linear", "nn.utils", "np.load", "np.save", "np.savez",
    "np.savetxt", "np.loadtxt", "np.fromfile", "np.genfromtxt", "np.memmap", "np.lib", "np.random",
    "np.empty", "np.os", "np.frompyfunc", "np.vectorize", "np.put", "np.copyto", "np.fromfunction",
    "jax.jit", "jax.pure_callback", "jax.random.normal", "jax.lax.scan", "jax.lax.psum", "jax.debug.print", "jnp.save",
    "jnp.load", "jnp.fromfile", "jnp.vectorize", "jnp.frompyfunc", "jax.nn.initializers", "jax.config.update",
    "jax.lax.reduce_window", "scipy.io", "eval", "exec", "open", "getattr", "__import__",
}
# fmt: on


def every_bit_pattern(format: str) -> np.ndarray:
    """Zeros, subnormals, normals, infinities and NaN with payloads, of both signs."""
    fmt = FORMATS[format]
    bits = np.arange(0, 2**fmt.bits, max(1, 2**fmt.bits // 4096), dtype=np.uint64)
    edges = np.array([1, 2 ** (fmt.bits - 1) - 1, 2 ** (fmt.bits - 1) + 1], np.uint64)
    return from_bits(np.concatenate([bits, edges]), fmt)


@pytest.mark.parametrize(("backend", "device"), PLACES)
@pytest.mark.parametrize("format", FORMATS)
def test_bits_survive(backend, device, format):
    if not backend.supports(format, device):
        pytest.skip(f"no {format}")
    values = every_bit_pattern(format)
    back = backend.get(backend.put(values, "contiguous", device))
    assert back.dtype == values.dtype
    assert np.array_equal(to_bits(back), to_bits(values))


@pytest.mark.parametrize(("backend", "device"), PLACES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_values(backend, device, layout):
    for shape in ((), (1,), (7,), (0, 3), (3, 4), (2, 3, 5), (2, 1, 3, 2)):
        numbers = np.arange(int(np.prod(shape))).reshape(shape)
        floats = [numbers.astype(FORMATS[name].dtype) for name in ("float32", "float16", "bfloat16")]
        for array in (*floats, numbers.astype(np.int64), numbers % 2 == 0):
            array = constant_along_broadcast(array, layout)
            back = backend.get(backend.put(array, layout, device))
            assert back.dtype == array.dtype
            assert back.shape == shape
            assert np.array_equal(back, array)
            assert back.flags.c_contiguous


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_put_and_get_share_no_memory(backend, device):
    array = np.ones((2, 3), np.float32)
    tensor = backend.put(array, "contiguous", device)
    array[...] = 7
    taken = backend.get(tensor)
    assert (taken == 1).all()
    taken[...] = 9
    assert (backend.get(tensor) == 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_are_functions(backend):
    functions = backend.functions()
    assert len(functions) > (0 if backend.plugin else 50)
    for name, function in functions.items():
        assert callable(function), name
        assert not isinstance(function, ModuleType), name
        assert not inspect.isclass(function), name
        assert not name.endswith("_"), name
        assert not any(part.startswith("_") for part in name.split(".")), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_hostile_names_are_not_published(backend):
    assert not HOSTILE & set(backend.functions())


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_function_touches_files(backend):
    """Names of file operations do not occur in any published name's last part."""
    words = ("load", "save", "file", "import", "export", "compile", "system", "pickle", "memmap")
    assert not [n for n in backend.functions() if any(word in n.rpartition(".")[2].lower() for word in words)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_says_what_it_is(backend):
    assert backend.name == backend.dialect or backend.exports
    assert backend.version()[0].isdigit()
    assert backend.devices()["cpu"] is None
    assert "" in backend.modes


CALLS = {"torch": "torch.{}", "mlx": "mx.{}", "numpy": "np.{}"}  # a function as each dialect has it


def written(backend, call):
    """A call in the words of the first dialect of a backend that is known here."""
    return next(CALLS[each] for each in backend.dialects if each in CALLS).format(call)


def call(backend, device, text, *, shape=(2, 3), format="float32", repeat=False, layouts=None, fill=1.0, names=None):
    program = parse(text, names=None, functions=backend.functions())
    dtype = FORMATS[format].dtype
    arrays = {"x": np.full((2, 3), fill, dtype), "y": np.full((2, 3), 2.0, dtype)}
    arrays = {name: array for name, array in arrays.items() if name in program.names}
    subject = Subject(backend.name, device)
    made = Call(format, {}, names or {}, arrays, layouts or {})
    return perform(backend, subject, program, made, {"": shape}, repeat=repeat)


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_a_call_gives_its_value(backend, device):
    outcome = call(backend, device, written(backend, "add(x, y)"), repeat=True, layouts={"x": "transposed"})
    assert (outcome.status, outcome.cause, outcome.repeated) == ("ok", NOTHING, (True,))
    assert (outcome.outputs[0] == 3).all()
    assert outcome.subject == f"{backend.name}:{device}"


@pytest.mark.parametrize(("backend", "device"), PLACES)
@pytest.mark.parametrize("format", FORMATS)
def test_constants_and_numbers_keep_the_format(backend, device, format):
    outcome = call(backend, device, "x * pi + k / 4 - 1", format=format, names={"k": 3})
    if backend.supports(format, device):
        assert outcome.status == "ok", outcome.cause
        assert outcome.outputs[0][0, 0].astype(np.float64) == pytest.approx(np.pi - 0.25, rel=2**-6)
    else:
        assert outcome.status == "unsupported"
        assert format in outcome.cause.figures["words"]


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_a_call_computes_in_float32_and_casts_back(backend, device):
    outcome = call(backend, device, "cast(cast(x, float32) + 2.0**-12, float16)", format="float16", fill=2.0**-12)
    assert outcome.status == "ok", outcome.cause
    assert (outcome.outputs[0] == np.float16(2.0**-11)).all()


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_repeats_agree_on_nan(backend, device):
    outcome = call(backend, device, "x * inf", fill=0.0, repeat=True)
    assert outcome.repeated == (True,)
    assert np.isnan(outcome.outputs[0]).all()


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_an_exception_is_a_crash_in_one_line(backend, device):
    outcome = call(backend, device, written(backend, "reshape(x, (7, 7))"))
    assert outcome.status == "crash"
    assert outcome.cause.figures["words"].startswith("raised ")
    assert "\n" not in outcome.cause.figures["words"]


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_a_wrong_shape_is_a_crash(backend, device):
    outcome = call(backend, device, written(backend, "add(x, y)"), shape=(3, 2))
    assert (outcome.status, outcome.cause.figures["words"]) == ("crash", "returned shape (2, 3), the spec says (3, 2)")


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_a_wrong_dtype_is_a_crash(backend, device):
    outcome = call(backend, device, "x > y")
    assert (outcome.status, outcome.cause.figures["words"]) == ("crash", "returned bool, the spec says float32")


@pytest.mark.parametrize(("backend", "device"), PLACES)
def test_no_tensor_is_a_crash(backend, device):
    outcome = call(backend, device, "(x, y)")
    assert outcome.status == "crash"
    assert "returned a tuple, not a" in outcome.cause.figures["words"]


@pytest.mark.parametrize(("backend", "device"), PLACES)
@pytest.mark.parametrize("format", ["float32", "float16"])
def test_factories_take_the_dtype(backend, device, format):
    outcome = call(
        backend, device, written(backend, "zeros((n,), dtype=dtype)"), format=format, shape=(4,), names={"n": 4}
    )
    assert outcome.status == "ok", outcome.cause
