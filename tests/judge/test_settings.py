"""Inputs and parameters taken for others: told where all of the output says so, whatever else is seen of it."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from diagnoses import told

from opfuzz.backends import Subject, derive
from opfuzz.core.call import Call, Recipe
from opfuzz.core.case import Case
from opfuzz.core.cause import Cause
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import diagnose_score

torch = pytest.importorskip("torch")
CONV1D = "torch.nn.functional.conv1d"
SIZES = {"c_in": 24, "c_out": 4, "length": 9, "k": 2}


def of_conv1d(change):
    """The function with its input or its options changed first."""

    def conv1d(x, weight, bias=None, **options):
        x, options = change(x, options)
        made = torch.nn.functional.conv1d(x, weight, bias, **options)
        return made[:, :, : SIZES["length"]]

    return {CONV1D: conv1d}


def by_turns(x, options):
    groups = options["groups"]
    return x[:, torch.arange(x.shape[1]).reshape(-1, groups).T.flatten()], options


def in_order(x, options):
    groups = options["groups"]
    return x[:, torch.arange(x.shape[1]).reshape(groups, -1).T.flatten()], options


@pytest.mark.parametrize(
    ("change", "groups", "words"),
    [
        (by_turns, 2, "it computes as if axis 1 of x were taken as 2 groups, whose elements lie 2 apart: "),
        (by_turns, 4, "it computes as if axis 1 of x were taken as 4 groups, whose elements lie 4 apart: "),
        (in_order, 4, "it computes as if the 4 groups along axis 1 of x were taken element by element in turn: "),
    ],
)
def test_channels_in_another_order_are_told_with_their_groups(change, groups, words):
    said = told("conv1d", of_conv1d(change), parent="torch", groups=groups, **SIZES)
    assert said.startswith(words), said


def without_dilation(x, weight, bias=None, **options):
    dilation = options.pop("dilation")
    made = torch.nn.functional.conv1d(x, weight, bias, **options)
    return made[:, :, : x.shape[2] + 2 * options["padding"] - dilation * (weight.shape[2] - 1)]


@pytest.mark.parametrize("regime", ["specials", "full_range"])
def test_a_setting_is_told_of_infinities_as_well(regime):
    """They reach elements that depend on none, or come of an overflow; both because the dilation is ignored."""
    given = {**SIZES, "c_in": 1, "c_out": 1}
    said = told("conv1d", {CONV1D: without_dilation}, regimes={"x": regime}, parent="torch", dilation=2, **given)
    assert "it computes as if dilation were 1: " in said, said


def test_a_formula_that_cancels_is_no_other_meaning():
    """exp by a power of 2 loses some ulp in float64; that (1 + tanh(x / 2)) / 2 may lose them as well says nothing."""

    def sigmoid(x):
        return 1 / (1 + torch.exp2(x * -1.4426950408889634))

    said = told("sigmoid", {"torch.sigmoid": sigmoid}, "float64", "log_magnitude", "torch", n=96)
    assert "by-tanh" not in said, said


def test_a_number_that_a_row_hangs_on_is_met_by_one_chance():
    """A softmax that is off on these values alone, as if one more were in its sum: that all agree says nothing."""
    known = []

    def off(x, dim=-1):
        known.append(x.clone())
        total = torch.exp(x.double()).sum(-1, keepdim=True)
        right = torch.exp(x.double()) / total
        is_first = x.shape == known[0].shape and torch.equal(x, known[0])
        return (right * total / (total + 1) if is_first else right).to(x.dtype)

    said = told("softmax", {"torch.softmax": off}, parent="torch", n=124, batch=1)
    assert "with-one" not in said, said


def test_a_meaning_may_choose_a_zero():
    """Padded with zeros, which are larger than what is negative; a zero that is chosen has no error at all."""

    def padded(x, size, stride, padding):
        return torch.nn.functional.max_pool1d(torch.nn.functional.pad(x, (padding, padding)), size, stride=stride)

    said = told("max_pool1d", {"torch.nn.functional.max_pool1d": padded}, parent="torch", c=2, length=9, k=3, padding=1)
    assert said.startswith("it is the variant 'padded-with-zeros'"), said


def test_inputs_of_which_too_large_an_eps_leaves_nothing_are_not_ignored():
    def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
        return torch.nn.functional.layer_norm(x, shape, weight=weight, bias=bias, eps=1e-4)

    fault = {"torch.nn.functional.layer_norm": layer_norm}
    spec, dims = BUNDLED_OPS["layer_norm"], {"batch": 2, "d": 1024}
    regimes = {"x": "small", "weight": "log_magnitude", "bias": "normal"}
    layouts = dict.fromkeys(regimes, "contiguous")
    case = Case("layer_norm", spec.digest, "float16", dims, {"eps": 1e-12}, regimes, layouts, 8585272937941236800)
    figures = {"computed": -1013.0, "exact": -66244.8, "overflows": "float16"}
    found = Score("special", Cause("special-at", figures=figures))
    backend = derive("torch", "planted", fault)
    causes = diagnose_score(found, spec, Recipe(case), Subject("planted", "cpu"), backend)
    assert "is-setting" not in {cause.kind for cause in causes if cause.name == "x"}


def test_at_an_infinity_where_nothing_is_known_nothing_is_as_predicted():
    def gelu(x, approximate="none"):
        return 0.5 * x * (1 + 0.98 * torch.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))

    spec, x = BUNDLED_OPS["gelu_tanh"], np.full((1, 1), -np.inf).astype(FORMATS["bfloat16"].dtype)
    call = Call("bfloat16", {"batch": 1, "n": 1}, {}, {"x": x}, {"x": "contiguous"})
    figures = {"computed": -np.inf, "exact": -0.0, "overflows": ""}
    backend = derive("torch", "planted", {"torch.nn.functional.gelu": gelu})
    found = Score("special", Cause("special-at", figures=figures))
    causes = diagnose_score(found, spec, Recipe(None, call), Subject("planted", "cpu"), backend)
    assert "rounds-counts" not in {cause.kind for cause in causes}


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_a_parameter_that_was_rounded_to_a_half_format_is_told_by_that_and_by_no_arithmetic(name):
    def of_few_bits(a, b, t):
        return torch.lerp(a, b, float(torch.tensor(t).to(getattr(torch, name))))

    said = told("lerp", {"torch.lerp": of_few_bits}, parent="torch", t=0.1)
    assert f"t were rounded to {name}" in said, said
    assert "behaves like" not in said.split(";")[0], said
