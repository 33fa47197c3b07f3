"""Dask's arrays as a backend: what `opfuzz new backend dask` wrote, filled in. It makes the calls of NumPy.

opfuzz run --plugin examples/dask_backend.py --subjects dask:cpu,numpy:cpu --op exp,softmax --cases 10
"""

import importlib

import numpy as np

from opfuzz.backends import ARRAY_RECIPE, Backend, evaluate

FUNCTIONS = """
    abs add all any arange broadcast_to clip concatenate cos divide einsum exp expand_dims expm1 full log log1p matmul
    max maximum mean min minimum multiply negative ones power prod repeat reshape sin sqrt square squeeze stack subtract
    sum swapaxes take tan tanh tensordot transpose tril triu var where zeros
"""


class Dask(Backend):
    dialects = ("dask", "numpy")
    modules = ("dask.array",)
    layouts = frozenset({"contiguous"})
    spelling = {"np": "da"}  # noqa: RUF012
    recipe = f"""{ARRAY_RECIPE}
import dask
import dask.array as da


def run(call):
    return dask.compute(call())[0]
"""

    def absent(self):
        try:
            importlib.import_module("dask.array")
        except ImportError as error:
            return f"dask: cannot be used: {error}: pip install 'dask[array]'"
        return None

    def version(self):
        return importlib.import_module("dask").__version__

    def devices(self):
        return {"cpu": None}

    def supports(self, format, device):
        return format != "bfloat16"

    def dtype(self, format):
        return np.dtype(format)

    def published(self):
        da = importlib.import_module("dask.array")
        found = {f"np.{name}": getattr(da, name) for name in FUNCTIONS.split()}
        return found | dict.fromkeys(("cast", ".astype"), lambda x, to: x.astype(to))

    def load(self, base, device):
        return importlib.import_module("dask.array").from_array(np.array(base, order="C"))

    def get(self, tensor):
        if not isinstance(tensor, np.ndarray | np.generic | importlib.import_module("dask.array").Array):
            raise TypeError(f"returned a {type(tensor).__name__}, not an array")
        return np.array(tensor, order="C")

    def run(self, program, tensors, names, device, mode):
        with np.errstate(all="ignore"):
            value = evaluate(program, {**names, **tensors}, self.functions())
            return importlib.import_module("dask").compute(value, scheduler="synchronous")[0]


BACKENDS = [Dask()]
