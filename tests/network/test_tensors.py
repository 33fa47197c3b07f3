"""Tensor files against what the libraries themselves write, and files that are none."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.tensors import TensorFile, open_tensors

ARRAYS = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([1.5, -2], np.float16),
    "mask": np.array([True, False]),
    "step": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
}


@pytest.fixture(params=["safetensors", "npz", "compressed"])
def saved(request, tmp_path) -> TensorFile:
    path = tmp_path / ("t.safetensors" if request.param == "safetensors" else "t.npz")
    if request.param == "safetensors":
        save_file(ARRAYS, path)
    else:
        (np.savez if request.param == "npz" else np.savez_compressed)(path, **ARRAYS)
    return open_tensors(path)


def test_reads_what_was_written(saved):
    assert set(saved.names()) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert saved.shape(name) == array.shape
        assert saved.dtype(name) == array.dtype
        read = saved.read(name)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


def test_an_unknown_name_is_answered(saved):
    with pytest.raises(OpfuzzError, match="no tensor 'masc'; did you mean 'mask'"):
        saved.read("masc")


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_formats_that_numpy_has_not(tmp_path, dtype):
    array = np.array([0.5, -3.0, 1.25], np.float32).astype(getattr(ml_dtypes, dtype))
    name = {"bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}[dtype]
    data = array.tobytes()
    header = f'{{"x":{{"dtype":"{name}","shape":[3],"data_offsets":[0,{len(data)}]}}}}'.encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    np.testing.assert_array_equal(open_tensors(path).read("x").astype(np.float32), [0.5, -3.0, 1.25])


def test_bfloat16_in_npy_has_lost_its_name_only(tmp_path):
    np.save(tmp_path / "x.npy", np.array([0.5, -3.0], ml_dtypes.bfloat16))
    file = open_tensors(tmp_path / "x.npy")
    assert file.names() == ("x",)
    assert file.dtype("x") == ml_dtypes.bfloat16
    np.testing.assert_array_equal(file.read("x").astype(np.float32), [0.5, -3.0])


@pytest.mark.parametrize("array", [np.arange(4, dtype=">f4"), np.asfortranarray(np.arange(6.0).reshape(2, 3))])
def test_other_byte_orders_and_memory_orders(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    read = open_tensors(tmp_path / "x.npy").read("x")
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_opening_reads_no_data(tmp_path):
    path = tmp_path / "big.safetensors"
    size = 2**40
    header = f'{{"x":{{"dtype":"F32","shape":[{size // 4}],"data_offsets":[0,{size}]}}}}'.encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        try:
            file.truncate(8 + len(header) + size)  # a file with a hole
        except OSError:
            pytest.skip("this disk takes no file of 1 TiB")
    assert open_tensors(path).shape("x") == (size // 4,)


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.safetensors", b"", "no safetensors file, or damaged"),
        ("x.safetensors", b"\xff" * 64, "no safetensors file, or damaged"),
        ("x.safetensors", b"\x02\0\0\0\0\0\0\0{}", "holds no tensors"),
        ("x.npz", b"PK", "no .npz file, or damaged"),
        ("x.npz", zipped(), "holds no tensors"),
        ("x.npz", zipped(y=b"nothing"), "tensor 'y': no .npy array"),
        ("x.npz", zipped(y=pickled()), "tensor 'y': holds Python objects"),
        ("x.npy", b"", "no .npy array"),
        ("x.npy", pickled(), "holds Python objects"),
        ("x.npy", npy(np.array(["a"])), "holds <U1, which are no numbers"),
        ("x.npy", npy(np.zeros(2, [("a", "f4")])), "which are no numbers"),
        ("x.pt", b"", "'.pt' is none of .safetensors, .npz, .npy; write"),
    ],
)
def test_what_is_no_tensor_file_is_said_in_a_line(tmp_path, name, data, words):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(OpfuzzError) as caught:
        open_tensors(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_file_cut_short_is_damaged(tmp_path, name):
    path = tmp_path / name
    data = npy(np.arange(1000.0))
    path.write_bytes(data[:-8] if name == "x.npy" else zipped(x=data[:-8]))
    with pytest.raises(OpfuzzError, match="tensor 'x' is damaged"):
        open_tensors(path).read("x")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_what_is_not_there_and_folders(tmp_path, suffix):
    with pytest.raises(OpfuzzError, match="cannot be read: No such file"):
        open_tensors(tmp_path / f"absent{suffix}")
    folder = tmp_path / f"folder{suffix}"
    Path(folder).mkdir()
    with pytest.raises(OpfuzzError, match="is a folder"):
        open_tensors(folder)


def test_metadata_of_null_is_none(tmp_path):
    """As MLX writes its files where nothing is said about them."""
    header = b'{"__metadata__":null,"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + np.float32(1.5).tobytes())
    assert open_tensors(path).read("x") == 1.5
