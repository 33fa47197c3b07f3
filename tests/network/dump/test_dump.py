"""What a dump has of a model, read back by the safetensors library and compared with what the model itself gives."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from pathlib import Path

import ml_dtypes
import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from opfuzz.core.errors import DiskError, OpfuzzError
from opfuzz.network.dump.dump import dump
from opfuzz.network.dump.model_file import ModelFile
from opfuzz.network.dump.spool import TensorSpool
from opfuzz.network.execution import read_execution
from opfuzz.network.tensors import open_tensors
from opfuzz.network.trace.mlx import MlxModel
from opfuzz.network.trace.torch import TorchModel

X = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = torch.nn.Linear(8, 8), torch.nn.ReLU(inplace=True), torch.nn.Linear(8, 8)

    def forward(self, x, steps=1):
        for _ in range(steps):
            x = self.last.forward(self.act(self.first(x)))
        return x


class Port(mnn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = mnn.Linear(8, 8), mnn.ReLU(), mnn.Linear(8, 8)

    def __call__(self, x):
        return self.last(self.act(self.first(x)))


def dumped(tmp_path, module, *args, run=None, only=(), **kwargs):
    model = MlxModel(module) if isinstance(module, mnn.Module) else TorchModel(module)
    path = tmp_path / "a.safetensors"
    found = dump(ModelFile(tmp_path / "model.py", "a", model, (args, kwargs), run), path, only)
    with safe_open(path, "pt") as file:
        execution = read_execution(path, file.metadata())
    assert set(execution.order) == set(load_file(path)) == set(execution.modules)
    assert found.tensors == len(execution.order)
    assert list(tmp_path.iterdir()) == [path]  # nothing is left beside it
    return load_file(path), execution


def test_every_output_is_what_the_model_computes_in_the_order_of_its_computation(tmp_path):
    torch.manual_seed(0)
    block = Block()
    tensors, execution = dumped(tmp_path, block, X)
    assert execution.order == ("input.x", "first", "act", "last", "output")
    assert {tensor: module.kind for tensor, module in execution.modules.items()} == {
        "input.x": "Block",
        "first": "Linear",
        "act": "ReLU",
        "last": "Linear",
        "output": "Block",
    }
    x = torch.from_numpy(X)
    first = block.first(x)
    assert torch.equal(tensors["input.x"], x)
    assert torch.equal(tensors["first"], first)  # as it was, before the activation wrote over it
    assert torch.equal(tensors["act"], first.relu())
    assert torch.equal(tensors["output"], block.last(first.relu()))
    assert "forward" not in vars(block.last)
    assert not block.first._forward_hooks


def test_an_mlx_model(tmp_path):
    port = Port()
    tensors, execution = dumped(tmp_path, port, X)
    assert execution.order == ("input.x", "first", "act", "last", "output")
    assert execution.modules["last"].kind == "Linear"
    np.testing.assert_array_equal(tensors["output"].numpy(), np.array(port(mx.array(X))))


def test_each_call_of_a_solver_has_its_tensor(tmp_path):
    block = Block()

    def run(model, inputs):
        x = inputs["x"]
        for _ in range(3):
            x = x + 0.5 * model(x)
        return {"x": x, "norms": (x.norm(), None)}

    tensors, execution = dumped(tmp_path, block, x=X, run=run)
    calls = [f"{name}#{i}" for i in (1, 2, 3) for name in ("model.input.x", "first", "act", "last", "model.output")]
    assert execution.order == ("input.x", *calls, "output:x", "output:norms.0")
    assert execution.left_out == {"output:norms.1": "None"}
    x = torch.from_numpy(X)
    for i in (1, 2, 3):
        assert torch.equal(tensors[f"model.input.x#{i}"], x)
        x = x + 0.5 * tensors[f"model.output#{i}"]
    assert torch.equal(tensors["output:x"], x)


Pair = namedtuple("Pair", "left right")


class Many(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.output = torch.nn.Identity()

    def forward(self, x):
        self.output((x, 3, None))
        self.output(Pair(x.to(torch.bfloat16), {"wide": x.to(torch.complex128), "mask": x > 0}))
        return x.to(torch.complex64), x.long(), "text"


def test_outputs_of_every_kind_are_named_or_listed_with_a_reason(tmp_path):
    tensors, execution = dumped(tmp_path, Many(), X)
    assert execution.order == ("input.x", "output#1", "output#2:left", "output#2:right.mask", "output_:0", "output_:1")
    assert execution.left_out == {
        "output#1:1": "of type int, no tensor",
        "output#1:2": "None",
        "output#2:right.wide": "complex128, which safetensors has no name for",
        "output_:2": "of type str, no tensor",
    }
    x = torch.from_numpy(X)
    assert torch.equal(tensors["output#2:left"], x.to(torch.bfloat16))
    assert torch.equal(tensors["output#2:right.mask"], x > 0)
    assert torch.equal(tensors["output_:0"], x.to(torch.complex64))
    with (tmp_path / "a.safetensors").open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    assert length % 8 == 0
    del header["__metadata__"]
    widths = {"C64": 8, "I64": 8, "F32": 4, "BF16": 2, "BOOL": 1}
    assert all(item["data_offsets"][0] % widths[item["dtype"]] == 0 for item in header.values())


def test_scripted_normalised_and_shared_modules(tmp_path):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scripted = torch.jit.script(torch.nn.Linear(8, 8))
            self.normalised = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(8, 8))
            self.alias = self.normalised
            self.lstm = torch.nn.LSTM(8, 8)

        def forward(self, x):
            return self.lstm(self.alias(self.normalised(self.scripted(x))))[0]

    odd = Odd()
    before = [set(vars(module)) for module in odd.modules()]
    execution = dumped(tmp_path, odd, X)[1]
    names = ("scripted", "normalised#1", "normalised#2", "lstm:0", "lstm:1.0", "lstm:1.1")
    assert execution.order == ("input.x", *names, "output")
    assert [set(vars(module)) for module in odd.modules()] == before


def test_only_some_modules(tmp_path):
    nested = torch.nn.Sequential(Block(), Block())
    assert dumped(tmp_path, nested, X, only=("1.*",))[1].order == (
        "input.input",
        "1.first",
        "1.act",
        "1.last",
        "output",
    )
    (tmp_path / "a.safetensors").unlink()
    with pytest.raises(OpfuzzError, match=r"no module '1.frist'; did you mean '1.first'\?"):
        dumped(tmp_path, nested, X, only=("1.frist",))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_raises_leaves_no_file(tmp_path):
    with pytest.raises(OpfuzzError, match=r"model.py: a raised RuntimeError: mat1 and mat2"):
        dumped(tmp_path, Block(), X[:, :3])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device here is always full")
def test_a_full_disk_leaves_no_file_even_where_the_model_catches_everything(tmp_path, monkeypatch):
    class Careless(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Block()

        def forward(self, x):
            try:
                return self.inner(x)
            except Exception:
                return x

    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115  # what is tested closes it
    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: full)
    with pytest.raises(DiskError, match=r"a.safetensors: cannot be written: No space left on device"):
        dumped(tmp_path, Careless(), X)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_keeps_no_tensor_in_memory(tmp_path):
    with TensorSpool(tmp_path / "a.safetensors") as spool:
        wide, flat = np.ones((4, 5), ml_dtypes.bfloat16).T, np.zeros((0, 3), np.int64)
        stored = {"wide": spool.add(wide), "flat": spool.add(flat), "one": spool.add(np.float64(3))}
        assert not any(isinstance(value, np.ndarray) for value in vars(spool).values())
        spool.save(stored, {"key": "ü"})
    found = open_tensors(tmp_path / "a.safetensors")
    assert [found.shape(name) for name in stored] == [(5, 4), (0, 3), ()]
    assert found.read("one") == 3
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"key": "ü"}
        assert file.get_tensor("wide").dtype == torch.bfloat16
