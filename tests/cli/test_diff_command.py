"""`opfuzz diff` as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from opfuzz.cli import cli

X = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
DATA = os.environ.get("OPFUZZ_DECODER_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="OPFUZZ_DECODER_DATA names no folder with the decoder's tensors")


def opfuzz(*arguments: object):
    return CliRunner().invoke(cli, ["diff", *map(str, arguments)], standalone_mode=False)


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    save_file({"input.x": X, "h.0": X, "h.1": X}, tmp_path / "a.safetensors")
    np.savez(tmp_path / "b.npz", **{"input.x": X, "h.0": X[:, ::-1], "h.1": X.astype(np.float16)})
    return tmp_path / "a.safetensors", tmp_path / "b.npz"


def test_text_and_exit_code(files, tmp_path):
    (tmp_path / "order.json").write_text('["h.0", "h.1"]')
    found = opfuzz(*files, "--order", tmp_path / "order.json")
    assert found.return_value == 1
    assert "First divergence: h.0, " in found.output
    assert "What it is: flipped: B is A backwards along axis 1." in found.output
    assert opfuzz(files[0], files[0]).return_value == 0


def test_without_an_order_none_is_said_to_be_first(files):
    found = opfuzz(*files)
    assert found.return_value == 1
    assert "First" not in found.output
    assert "1 of 3 tensors diverge." in found.output
    assert "Sorted by name, h.0 is at the top, relative error of " in found.output


def test_json(files):
    found = opfuzz(*files, "--json")
    document = json.loads(found.stdout, parse_constant=pytest.fail)
    assert (document["first_divergence"], document["divergence"], document["order"]) == (None, "h.0", "names")
    assert [row["name"] for row in document["tensors"]] == ["input.x", "h.0", "h.1"]
    assert [row["diverges"] for row in document["tensors"]] == [False, True, False]


def test_map_and_order(files, tmp_path):
    (tmp_path / "map.yaml").write_text("h.0: h.1\nh.1: h.0\n")
    (tmp_path / "order.json").write_text('["h.1", "h.0"]')
    found = opfuzz(*files, "--map", tmp_path / "map.yaml", "--order", tmp_path / "order.json", "--json")
    document = json.loads(found.stdout)
    assert [(row["name_a"], row["name_b"]) for row in document["tensors"]][1:] == [("h.1", "h.0"), ("h.0", "h.1")]
    assert document["first_divergence"] == "h.1"


def test_two_npy_files_need_no_names(tmp_path):
    np.save(tmp_path / "one.npy", X)
    np.save(tmp_path / "other.npy", X * 2)
    assert "scaled: B is 2 times A" in opfuzz(tmp_path / "one.npy", tmp_path / "other.npy").output


def test_a_mistake_is_one_line_and_exit_2(tmp_path, files):
    command = [sys.executable, "-m", "opfuzz", "diff", str(files[0]), str(tmp_path / "absent.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"{tmp_path / 'absent.npz'}: cannot be read: No such file or directory\n"


@needs_data
def test_the_faithful_port_differs_by_rounding_only():
    found = opfuzz(Path(DATA or "") / "torch.safetensors", Path(DATA or "") / "mlx.safetensors")
    assert found.return_value == 0
    assert "No divergence beyond rounding in 6 tensors" in found.output


@needs_data
def test_the_sigmoid_gelu_is_found_where_it_is():
    data = Path(DATA or "")
    pair = data / "torch_layers.safetensors", data / "labelled" / "mlx_layers__gelu-sigmoid.safetensors"
    found = json.loads(opfuzz(*pair, "--order", data / "layer_order.json", "--json").stdout)
    assert found["first_divergence"] == "layer.down_blocks.0.1.0.ff.net.2"
    names = [row["name"] for row in found["tensors"]]
    assert not any(row["diverges"] for row in found["tensors"][: names.index(found["first_divergence"])])
