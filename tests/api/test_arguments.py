"""Every parameter of every public function, given what it does not take: an OpfuzzError says what is taken."""

from __future__ import annotations

import inspect
from contextlib import suppress

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from small_campaigns import SPECS

import opfuzz
from opfuzz import OpfuzzError
from opfuzz.api.arguments import LONGEST, shown
from opfuzz.api.judging import judge

X = np.array([[0.5, 1.0, 2.0, 3.0]], np.float32)


class Unspeakable:
    """Even its repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


NOTHING_TAKES = (None, 3, -1, 2.5, 10**400, 10**5000, b"x", {1: 2}, object(), Unspeakable(), [None], [3])
ALSO = (True, {"a": 1}, np.array([1, 2]), "a\0b", "x" * (LONGEST + 1), "x" * 300, "x" * 300 + ".yaml", "nosuch", "", ())
WRONG = (*NOTHING_TAKES, *ALSO)


class Weights:
    """What is read as a path all the same, though no text is in it."""

    def __fspath__(self) -> bytes:
        return b"x"


def calls(folder):
    """By name: a function, and arguments with which it does little."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(4, 4)
    run = {"specs": SPECS, "subjects": "nosuch:cpu", "ops": "square", "formats": "float32", "cases": 1, "out": folder}
    return {
        "run": (opfuzz.run, {**run, "progress": False}),
        "read_run": (opfuzz.read_run, {"reports": folder}),
        "judge": (judge, {"op": BUNDLED_OPS["exp"], "inputs": X, "output": X}),
        "sweep": (opfuzz.sweep, {"op": "exp", "subject": "nosuch:cpu", "sample": 64, "jobs": 1, "out": folder}),
        "trace": (opfuzz.trace, {"a": model, "b": model, "inputs": (X,)}),
        "localize": (
            opfuzz.localize,
            {
                "model": model,
                "inputs": (X,),
                "observed": {"core": 1.0},
                "b": "torch:cpu",
                "specs": BUNDLED_OPS["linear"].path,
            },
        ),
        "ulp": (opfuzz.ulp, {"exact": X.astype(np.float64), "fmt": opfuzz.FORMATS["float32"]}),
    }


FUNCTIONS = ("run", "read_run", "judge", "sweep", "trace", "localize", "ulp")
PARAMETERS = [
    (name, parameter)
    for name in FUNCTIONS
    for parameter in inspect.signature(judge if name == "judge" else getattr(opfuzz, name)).parameters
]
MAY_BE_NONE = {"params", "time", "cases", "jobs", "shrink", "baseline", "accepted", "progress"}


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_what_a_parameter_does_not_take_raises_no_other_error(name, parameter, tmp_path):
    function, arguments = calls(tmp_path)[name]
    if parameter == "time":
        arguments.pop("cases")
    for each in (*WRONG, Weights()):
        with suppress(OpfuzzError):
            function(**{**arguments, parameter: each})


def test_ulp_of_what_is_not_finite_is_told_as_python_does():
    with pytest.raises(ValueError, match="NaN or infinite"):
        opfuzz.ulp(np.array([np.nan]), opfuzz.FORMATS["float32"])


PATHS = [("run", "specs"), ("run", "plugins"), ("run", "out"), ("run", "baseline"), ("run", "accepted")]
PATHS += [("read_run", "run"), ("read_run", "reports"), ("sweep", "out"), ("localize", "specs")]
NAMES = [("run", "subjects"), ("run", "ops"), ("run", "formats")]
TEXTS = [("sweep", "subject"), ("sweep", "format"), ("localize", "a"), ("localize", "b")]
TRUTHS = [("run", "gradients"), ("run", "progress"), ("trace", "gradients"), ("localize", "pairs")]
COUNTS = [("run", "cases"), ("run", "jobs"), ("sweep", "sample"), ("sweep", "jobs")]


@pytest.mark.parametrize(("name", "parameter"), [*PATHS, *NAMES, *TEXTS, *TRUTHS, *COUNTS])
def test_the_message_has_the_parameter_what_was_given_and_what_is_taken(name, parameter, tmp_path):
    function, arguments = calls(tmp_path)[name]
    for each in (2.5, b"x", {1: 2}, [b"x"]):
        with pytest.raises(OpfuzzError) as found:
            function(**{**arguments, parameter: each})
        told = str(found.value)
        item = each[0] if isinstance(each, list) and told.startswith("one of ") else each
        assert told.removeprefix("one of ").startswith(f"{parameter} is {item!r}; give ")
        assert "\n" not in told
    if parameter not in MAY_BE_NONE:
        with pytest.raises(OpfuzzError, match=f"^{parameter} is None; give "):
            function(**{**arguments, parameter: None})


def test_what_has_no_words_is_told_by_its_type():
    assert shown(10**5000) == "of type int"
    assert shown(Unspeakable()) == "of type Unspeakable"
    assert shown("x" * 100) == "'" + "x" * 59


def test_counts_may_be_of_numpy(tmp_path):
    with pytest.raises(OpfuzzError, match="unknown backend 'nosuch'"):
        opfuzz.run(SPECS, subjects="nosuch:cpu", cases=np.int64(2), jobs=np.int32(1), out=tmp_path)
