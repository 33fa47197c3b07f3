"""gelu on mlx:cpu in float32: imprecise, loses what the formula 'erf-7.1.26' loses: erf by the polynomial of Abramowitz and Stegun 7.1.26, which is off by up to 1.5e-7

Needs NumPy and the framework only. Exits with 1 while the result is wrong, with 0 when it is right, and with 2 if
something else fails, such as this file or the framework's import, which says nothing of the result.
"""

import faulthandler
import json
import math
import os
import pathlib
import sys


def unable(kind, error, trace):
    """What is no part of the fault went wrong."""
    print(f"cannot tell: {kind.__name__}: {error}", flush=True)
    os._exit(2)


sys.excepthook = unable

import numpy as np

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

DEVICE, MODE, FORMAT = 'cpu', '', 'float32'
WIDTHS = {"float64": (64, 53, 1023), "float32": (32, 24, 127), "float16": (16, 11, 15), "bfloat16": (16, 8, 127)}
KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "BOOL": "bool"}


def read(path):
    """Arrays of a safetensors file with the names of their formats; bfloat16 as its bits."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name != "__metadata__":
            kind = KINDS[entry["dtype"]]
            first, last = entry["data_offsets"]
            stored = np.frombuffer(raw[start + first : start + last], "uint16" if kind == "bfloat16" else kind)
            tensors[name] = stored.reshape(entry["shape"]), kind
    return tensors


def value_of(bits):
    """The float64 with the value of a bit pattern of FORMAT."""
    if FORMAT == "bfloat16":
        return float(np.array([int(bits) << 16], np.uint32).view(np.float32)[0])
    return float(np.array([bits]).view(FORMAT)[0])


def ulp_of(exact):
    """Spacing of FORMAT at a finite value."""
    _, precision, emax = WIDTHS[FORMAT]
    exponent = math.frexp(exact)[1] - 1 if exact else 1 - emax
    return math.ldexp(1.0, min(max(exponent, 1 - emax), emax) - precision + 1)


# every function is the framework's own

TENSORS = read(pathlib.Path(__file__).with_name("inputs.safetensors"))
pi, inf, dtype = math.pi, math.inf, dtype_of(FORMAT)
batch = 1
n = 1
x = view(load(TENSORS['x']), [])


def call():
    return (
        nn.gelu(x)
    )


SHAPES, OUTPUT, INDEX = {'': (1, 1)}, '', (0, 0)


def outputs_of(result):
    """The bits of each output by its name; one without a name is no part of a tuple."""
    if "" in SHAPES:
        return {"": bits(result)}
    if not isinstance(result, (tuple, list)) or len(result) != len(SHAPES):
        raise TypeError(f"returned no tuple of {len(SHAPES)}: {', '.join(SHAPES)}")
    return dict(zip(SHAPES, map(bits, result)))


EXACT, BOUND, REPEATED = 0.029581855959624436, 1.4743627353035606e-08, False
HANGS, SECONDS = False, 30.0
FAILS, RAISES = False, ''  # whether an exception is the fault, and of which class it was
OWN = NameError, ImportError, SyntaxError  # of this file, or of a framework of another version
try:
    if HANGS:
        for _ in range(1000):  # a hang may be intermittent
            faulthandler.dump_traceback_later(SECONDS, exit=True)  # exits with 1 if this call does not return
            outputs_of(run(call))
        faulthandler.cancel_dump_traceback_later()
        print("1000 calls returned")
        sys.exit(0)
    first = outputs_of(run(call))
except Exception as error:
    if not FAILS or (isinstance(error, OWN) and type(error).__name__ != RAISES):
        raise  # another failure than the one that is shown
    print(f"raised {type(error).__name__}: {error}")
    sys.exit(1)
for name, array in first.items():
    if array.shape != SHAPES[name] or array.dtype != np.dtype(f"uint{WIDTHS[FORMAT][0]}"):
        found = f"{name + ' of ' if name else ''}shape {array.shape} in {array.dtype.itemsize * 8} bits"
        print(f"returned {found}, right is {SHAPES[name]} in {FORMAT}")
        sys.exit(1)
if REPEATED:
    second = outputs_of(run(call))
    differing = sum(np.count_nonzero(array != second[name]) for name, array in first.items())
    print(f"{differing} of {sum(array.size for array in first.values())} elements have other bits in a second call")
    sys.exit(int(differing > 0))
if INDEX is None:
    print("the call returned what it should")
    sys.exit(0)
found = first[OUTPUT][INDEX]
computed = value_of(found)
if OUTPUT:
    print(f"output   {OUTPUT} at {list(INDEX)}")
print(f"computed {computed!r} (0x{int(found):0{WIDTHS[FORMAT][0] // 4}x})")
print(f"exact    {EXACT!r}")
if math.isfinite(computed) and math.isfinite(EXACT):
    error = abs(computed - EXACT)
    size, limit = error / ulp_of(EXACT), BOUND / ulp_of(EXACT)
    print(f"error    {size:.6g} ulp of {FORMAT}; honest arithmetic stays below {limit:.6g}")
    wrong = error > BOUND or (EXACT == computed == 0 and math.copysign(1, EXACT) != math.copysign(1, computed))
else:
    wrong = computed != EXACT and not (math.isnan(computed) and math.isnan(EXACT))
sys.exit(int(wrong))
