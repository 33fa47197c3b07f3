"""Tensors with other names find their partners by values, classes and order, and a wrong guess accuses nobody."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from opfuzz.network.diff.diff import diff, document
from opfuzz.network.diff.names import pair_names
from opfuzz.network.tensors import open_tensors


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def written(path, tensors):
    """A file as another program writes it: {name: (array, class)} in order; the name is that of the module."""
    metadata = {"opfuzz.order": json.dumps([*tensors])}
    modules = {name: [name.partition("#")[0], kind] for name, (_, kind) in tensors.items() if kind}
    metadata["opfuzz.modules"] = json.dumps(modules)
    save_file({name: np.ascontiguousarray(array) for name, (array, _) in tensors.items()}, path, metadata)
    return path


def compared(tmp_path, a, b):
    files = written(tmp_path / "a.safetensors", a), written(tmp_path / "b.safetensors", b)
    found = document(diff(*map(open_tensors, files), {}, ()))
    return found, {row["name_a"]: row["name_b"] for row in found["tensors"]}


X = [draw(i, 6, 10) for i in range(8)]


def test_values_say_which_is_which_in_any_layout(tmp_path):
    a = {"q": (X[0], "Linear"), "k": (X[1], "Linear"), "out": (X[2], "Norm"), "same": (X[2], "Identity")}
    b = {"u": (X[1].T, "Linear"), "v": (X[0] + np.float32(1e-7), "Linear"), "w": (X[2], "RMSNorm")}
    found, pairs = compared(tmp_path, a, b)
    assert pairs == {"q": "v", "k": "u", "out": "w"}
    assert (found["divergence"], found["only_a"]) == (None, ["same"])


def test_classes_and_order_say_it_where_values_have_diverged(tmp_path):
    a = {"0": (X[0], "Linear"), "1": (X[1], "LayerNorm"), "2": (X[2], "GELU"), "3": (X[3], "Linear")}
    b = {"p": (X[0], "Linear"), "n": (X[4], "LayerNorm"), "l": (X[5], "LoRALinear")}
    found, pairs = compared(tmp_path, a, b)
    assert pairs == {"0": "p", "1": "n", "3": "l"}
    assert (found["first_divergence"], found["order"], found["only_a"]) == ("1", "a", ["2"])


def test_each_call_of_a_solver_has_the_same_call_as_its_partner(tmp_path):
    a = {f"{name}#{i}": (X[i + 3 * k], name) for i in (0, 1, 2) for k, name in enumerate(("Lin", "Act"))}
    b = {f"my.{name}#{i}": (X[i + 3 * k], name) for i in (0, 1, 2) for k, name in enumerate(("Lin", "Act"))}
    a, b = ({n.replace("#2", "#3").replace("#1", "#2").replace("#0", "#1"): x for n, x in s.items()} for s in (a, b))
    a["Act#2"] = (X[6], "Act")
    b = {name.replace("my.Act", "other"): x for name, x in b.items()}
    found, pairs = compared(tmp_path, a, b)
    assert pairs == {**{f"Lin#{i}": f"my.Lin#{i}" for i in (1, 2, 3)}, **{f"Act#{i}": f"other#{i}" for i in (1, 2, 3)}}
    assert found["first_divergence"] == "Act#2"


def test_one_name_for_two_things_is_no_pair(tmp_path):
    a = {"ff.0.proj": (X[0], "Linear"), "ff.0": (X[1], "GELU"), "ff.2": (X[2], "Linear")}
    b = {"ff.0": (X[0], "Linear"), "ff.1": (X[2], "Linear")}
    found, pairs = compared(tmp_path, a, b)
    assert pairs == {"ff.0.proj": "ff.0", "ff.2": "ff.1"}
    assert found["divergence"] is None


def test_what_differs_inside_a_module_whose_output_agrees_is_not_accused(tmp_path):
    a = {"net.act": (X[0], "Act"), "net": (X[1], "Net"), "last": (X[2], "Linear")}
    b = {"net.act": (X[3], "Act"), "net": (X[1], "Net"), "last": (X[2], "Linear")}
    found, _ = compared(tmp_path, a, b)
    assert (found["divergence"], found["excused"]) == (None, {"net.act": "net"})
    b["net"] = (X[4], "Net")
    assert compared(tmp_path, a, b)[0]["first_divergence"] == "net.act"


def test_what_is_hardly_beyond_rounding_is_accused_only_with_what_follows(tmp_path):
    noise = np.float32(1.5e-5) * draw(9, 6, 10)
    a = {"sin": (X[0], "Sin"), "fc": (X[1], "Linear"), "out": (X[2], "Linear")}
    found, _ = compared(tmp_path, a, {**a, "sin": (X[0] + noise, "Sin")})
    assert (found["divergence"], found["excused"]) == (None, {"sin": None})
    found, _ = compared(tmp_path, a, {**a, "sin": (X[0] + noise, "Sin"), "fc": (X[1] + 9 * noise, "Linear")})
    assert found["first_divergence"] == "sin"
    found, _ = compared(tmp_path, a, {**a, "sin": (X[0] + 1000 * noise, "Sin")})
    assert found["first_divergence"] == "sin"


def test_exchanged_axes_are_a_layout_only_if_what_follows_agrees(tmp_path):
    square = draw(0, 8, 8)
    a = {"conv": (square, "Conv"), "fc": (X[1], "Linear")}
    assert compared(tmp_path, a, {**a, "conv": (square.T, "Conv")})[0]["divergence"] is None
    found, _ = compared(tmp_path, a, {"conv": (square.T, "Conv"), "fc": (X[2], "Linear")})
    assert found["first_divergence"] == "conv"
    found, _ = compared(tmp_path, {"conv": (square, "Conv")}, {"conv": (square.T, "Conv")})
    assert found["first_divergence"] == "conv"


def test_an_order_without_classes_and_one_of_other_tensors(tmp_path):
    a, b = {"x": (X[0], ""), "y": (X[1], "")}, {"x": (X[0], ""), "y": (X[2], "")}
    assert compared(tmp_path, a, b)[0]["first_divergence"] == "y"
    save_file({"x": X[0], "y": X[1]}, tmp_path / "c.safetensors", {"opfuzz.order": '["x", "z"]'})
    found = document(diff(*map(open_tensors, (tmp_path / "c.safetensors", tmp_path / "b.safetensors")), {}, ()))
    assert (found["first_divergence"], found["divergence"], found["order"]) == (None, "y", "names")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a.weight", "params/a/kernel"),
        ("encoder.a.weight", "params.a.kernel"),
        ("a.norm.bias", "a/norm/beta:0"),
        ("net.0.weight", "net.layers.0.weight"),
        ("model.h.weight", "h.weight"),
        ("bn.running_var", "batch_stats/bn/var"),
    ],
)
def test_other_spellings_of_a_name(a, b):
    assert pair_names([a, "other"], [b, "another"], {}).pairs == {a: b}
    assert pair_names([b, "other"], [a, "another"], {}).pairs == {b: a}


def test_a_spelling_that_two_have_decides_nothing():
    assert pair_names(["a.weight"], ["a/kernel", "a/scale"], {}).pairs == {}
    assert pair_names(["a.weight"], ["a/kernel", "a.weight"], {}).pairs == {"a.weight": "a.weight"}
