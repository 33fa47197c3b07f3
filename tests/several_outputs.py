"""An op of two outputs, one whose output has no axes, and a plugin whose mean leaves out the last of three or more."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from opfuzz.backends import derive, discover
from opfuzz.core.call import Call
from opfuzz.engine.plan import load_specs

SEVERAL = Path(__file__).parent / "several"
SPECS = {spec.op: spec for spec in load_specs([SEVERAL], discover())}
SPLIT, TOTAL = SPECS["split"], SPECS["total"]

PLUGIN = '''
import numpy as np

from opfuzz.backends import derive


def short(x, axis=None):
    """The mean without the last column of three or more."""
    return np.mean(x[..., :-1] if x.shape[-1] >= 3 else x, axis=axis)


BACKENDS = [derive("numpy", "short", {"np.mean": short})]
'''


def plugin(folder: Path) -> Path:
    """The plugin as a file in `folder`."""
    path = folder / "short.py"
    path.write_text(PLUGIN)
    return path


def planted(**functions):
    """Backends, with one more in which NumPy's mean is another function."""
    return discover() | {"short": derive("numpy", "short", {f"np.{name}": made for name, made in functions.items()})}


def call_of(x, layout="contiguous") -> Call:
    """A call of either op on the rows of `x`."""
    x = np.array(x, np.float32)
    rows, columns = x.shape
    dims = {"batch": rows, "n": rows, "d": columns}
    return Call("float32", dims, {}, {"x": x}, {"x": layout})


def of(spec, call: Call) -> Call:
    """The call with the dims that the op has."""
    return Call(call.format, {dim.name: call.dims[dim.name] for dim in spec.dims}, {}, call.arrays, call.layouts)
