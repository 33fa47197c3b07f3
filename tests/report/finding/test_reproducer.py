"""A reproducer runs without opfuzz, gives the bits that the run gave, and says so in its exit status."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundled_ops import EVERY_OP
from safetensors.numpy import save_file

from opfuzz.backends import Subject, derive, discover, perform
from opfuzz.backends.numpy import Numpy
from opfuzz.core.call import Call
from opfuzz.core.case import Case
from opfuzz.core.floats import FORMATS, hex_of
from opfuzz.core.layout import LAYOUTS, memory
from opfuzz.core.results import Mark
from opfuzz.engine.plan import vocabulary
from opfuzz.generate import draw, inputs
from opfuzz.report.finding.reproducer import Manner, ReproducedSubject, Written, reproducer
from opfuzz.spec import load
from opfuzz.spec.order import case_key

BACKENDS = discover()
WORDS = vocabulary(BACKENDS)

ALL_LAYOUTS = """
op: sums
summary: Seven inputs, each laid out in another way.
formats: [float32, bfloat16, float16]
dims: {a: 2.., b: 2.., c: 2..}
inputs:
  u: {shape: [a, b, c], regimes: [normal]}
  v: {shape: [a, b, c], regimes: [normal]}
  w: {shape: [a, b, c], regimes: [normal]}
  x: {shape: [a, b, c], regimes: [normal]}
  y: {shape: [a, b, c], regimes: [normal]}
  z: {shape: [a, b, c], regimes: [normal]}
  p: {shape: [a, b, c], regimes: [normal]}
output: {shape: [a, b, c]}
calls:
  torch: u + 3 * v + 5 * w + 7 * x + 11 * y + 13 * z + 17 * p
  mlx: u + 3 * v + 5 * w + 7 * x + 11 * y + 13 * z + 17 * p
  numpy: u + 3 * v + 5 * w + 7 * x + 11 * y + 13 * z + 17 * p
reference: u + 3 * v + 5 * w + 7 * x + 11 * y + 13 * z + 17 * p
"""
SQUARE = """
op: square
summary: x times x.
formats: [float32]
dims: {n: 1..}
inputs: {x: {shape: [n], regimes: [normal]}}
output: {shape: [n]}
calls: {numpy: np.square(x), torch: torch.square(x)}
reference: x * x
"""
# opfuzz is not to be found, wherever it may be installed.
RUN_ALL = """
import json, runpy, sys
sys.modules["opfuzz"] = None
for path in sys.argv[1:]:
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as done:
        print("status", done.code, flush=True)
"""


def run(*paths: Path) -> list[tuple[str, int]]:
    """Output and exit status of each reproducer, all in one isolated process."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN_ALL, *map(str, paths)], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    parts = re.findall(r"(.*?)^status (\d+)\n", done.stdout, re.DOTALL | re.MULTILINE)
    assert len(parts) == len(paths), done.stdout + done.stderr
    return [(text, int(status)) for text, status in parts]


def spec_of(text: str, folder: Path):
    path = folder / "spec.yaml"
    path.write_text(text)
    return load(path, WORDS)


def write(
    folder: Path,
    spec,
    case: Case,
    backend,
    implementation: str = "",
    *,
    exact=None,
    repeated=False,
    hangs=False,
    disturbed=False,
):
    """`repro.py` for the last element of a case, and what the backend made of that element; None if it made nothing."""
    arrays = inputs(spec, case)
    subject = Subject(backend.name, "cpu", "", implementation)
    program = spec.calls[backend.dialect_in(spec.calls)][implementation]
    numbers = {**case.dims, **case.params}
    shapes = spec.output_shapes(case.dims, case.params)
    done = perform(backend, subject, program, Call.of(case, arrays), shapes)
    *_, (name, shape) = shapes.items()
    if done.outputs is None or not done.outputs[-1].size:
        return None
    index = tuple(size - 1 for size in shape)
    pattern = done.outputs[-1][index]
    mark = Mark(index, float(pattern), hex_of(pattern), float(pattern) if exact is None else exact, 0.0, 0.0, name)
    laid = {name: memory(array, backend.held(case.layouts[name])) for name, array in arrays.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: base for name, (base, _) in laid.items()}, folder / "inputs.safetensors")
    called = {backend.spelled(name): backend.functions()[name] for name in program.functions}
    text = reproducer(
        f"{spec.op} \x1b[31m \\x '''\"\"\" title",
        ReproducedSubject(backend.name, backend.recipe, "cpu", "", called, backend.replaced),
        Written(
            backend.spelled(program.text),
            case.format,
            shapes,
            numbers,
            {name: views for name, (_, views) in laid.items()},
        ),
        mark,
        Manner(repeated, hangs, disturbed),
    )
    (folder / "repro.py").write_text(text)
    return mark


def case_of(spec, format="float32", **fields) -> Case:
    """The simplest case with these dims and layouts."""
    base = {"dims": {dim.name: dim.low for dim in spec.dims}, "layouts": {i.name: "contiguous" for i in spec.inputs}}
    regimes = {item.name: item.regimes[0] for item in spec.inputs}
    return Case(spec.op, spec.digest, format, params={}, regimes=regimes, seed=3, **base | fields)


def present(name: str):
    backend = BACKENDS[name]
    if reason := backend.absent():
        pytest.skip(reason)
    return backend


@pytest.mark.parametrize(
    ("name", "format", "step"),  # a format that NumPy lacks is written in another way, whatever the op
    [("numpy", "float32", 1), ("numpy", "float64", 8), ("torch", "bfloat16", 1), ("torch", "float32", 8),
     ("mlx", "bfloat16", 8), ("mlx", "float32", 1), ("jax", "float32", 4), ("jax", "bfloat16", 16)],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:var")  # torch on the variance of one element
def test_every_call_of_every_spec_gives_the_bits_of_the_run(name, format, step, tmp_path):
    backend = present(name)
    marks = {}
    for spec in EVERY_OP[::step]:
        for implementation in spec.calls.get(backend.dialect_in(spec.calls), {}) if format in spec.formats else ():
            folder = tmp_path / f"{spec.op}-{implementation}"
            drawn = (draw(spec, format, 11, number) for number in range(8))
            kept = (case for case in drawn if 0 not in case.dims.values())  # of which MLX dies in one op
            for case in sorted(kept, key=lambda case: case_key(spec, case)):
                if (mark := write(folder, spec, case, backend, implementation)) is not None:
                    marks[folder] = mark
                    break
    assert len(marks) > 80 // step
    found = run(*(folder / "repro.py" for folder in marks))
    for (folder, mark), (text, status) in zip(marks.items(), found, strict=True):
        assert f"({mark.computed_hex})" in text, folder.name
        assert status == 0, folder.name


@pytest.mark.parametrize("name", ["numpy", "torch", "mlx", "jax"])
def test_every_layout(name, tmp_path):
    backend, spec = present(name), spec_of(ALL_LAYOUTS, tmp_path)
    layouts = dict(zip("uvwxyzp", LAYOUTS, strict=True))
    format = "float16" if name == "numpy" else "bfloat16"
    case = case_of(spec, format, dims={"a": 3, "b": 4, "c": 5}, layouts=layouts)
    mark = write(tmp_path, spec, case, backend, exact=1e3)
    ((text, status),) = run(tmp_path / "repro.py")
    assert f"computed {mark.computed!r} ({mark.computed_hex})\nexact    1000.0\n" in text
    assert status == 1


OFFSET = np.float32(0.5)
SCALES = (2.0, 3)


def _inner(x, factor: float = SCALES[0]):
    return np.square(x) * np.float32(factor)


def shifted(x: np.ndarray) -> np.ndarray:
    """Uses another function, a constant of the module, and a module under another name."""
    return _inner(x) + np.float32(0.5) + np.float32(math.floor(1.5))


def closing(amount):
    def inside(x):
        return _inner(x) - amount

    return inside


def recursive(x, depth=2):
    return np.square(x) if depth == 0 else recursive(x, depth - 1) + np.float32(1)


REPLACED = {
    "calls-others": shifted,
    "closure": closing(3),
    "partial": functools.partial(_inner, factor=5.0),
    "recursive": recursive,
    "other-numpy": np.negative,
}


def test_replaced_functions_are_written_out(tmp_path):
    spec = spec_of(SQUARE, tmp_path)
    marks = {}
    for name, function in REPLACED.items():
        backend = derive("numpy", name, {"np.square": function})
        marks[name] = write(tmp_path / name, spec, case_of(spec, dims={"n": 3}), backend, exact=1e6)
    assert None not in marks.values()
    found = run(*(tmp_path / name / "repro.py" for name in marks))
    for (name, mark), (text, status) in zip(marks.items(), found, strict=True):
        assert f"({mark.computed_hex})" in text, name
        assert status == 1, name


def twice(x):
    return SCALES[0] * x


class Own(Numpy):
    """A dialect with functions under names that no module has."""

    dialects = ("own",)

    def published(self):
        return {"own.twice": twice}


def test_a_function_under_a_name_of_its_own_is_written_out(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(re.sub("calls:.*\n", "calls: {own: own.twice(x)}\n", SQUARE))
    spec = load(path, vocabulary({"own": Own()}))
    mark = write(tmp_path / "shown", spec, case_of(spec), Own(), exact=1e6)
    ((text, status),) = run(tmp_path / "shown" / "repro.py")
    assert f"({mark.computed_hex})" in text
    assert status == 1


def test_a_replaced_function_of_torch(tmp_path):
    present("torch")

    def late(x):
        return x + x

    spec = spec_of(SQUARE, tmp_path)
    mark = write(tmp_path, spec, case_of(spec), derive("torch", "late", {"torch.square": late}), exact=1e6)
    ((text, status),) = run(tmp_path / "repro.py")
    assert f"({mark.computed_hex})" in text
    assert status == 1


CALLS = itertools.count(int(np.square(SCALES[0])))
SEEN: dict[str, int] = {}


def counting(x):
    """Another result in every call."""
    SEEN["calls"] = next(CALLS)
    return x + SEEN["calls"]


def test_what_a_function_remembers_begins_anew(tmp_path):
    spec = spec_of(SQUARE, tmp_path)
    backend = derive("numpy", "counting", {"np.square": counting})
    mark = write(tmp_path / "fresh", spec, case_of(spec), backend, exact=1e6)
    write(tmp_path / "later", spec, case_of(spec), backend, exact=1e6)
    write(tmp_path / "twice", spec, case_of(spec), backend, repeated=True)
    fresh, later, twice = run(*(tmp_path / name / "repro.py" for name in ("fresh", "later", "twice")))
    assert f"({mark.computed_hex})" in fresh[0]
    assert later == fresh
    assert twice[1] == 1


FILLED: dict[str, float] = {}
FILLED["by"] = 7.0


def looking_up(x):
    return x + FILLED["by"]


def test_a_table_that_is_filled_later_is_not_taken_for_a_memory(tmp_path):
    spec = spec_of(SQUARE, tmp_path)
    write(tmp_path, spec, case_of(spec), derive("numpy", "table", {"np.square": looking_up}), exact=1e6)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "repro.py")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "the source of FILLED is not at hand: it needs the plugin\n")


def call(x):  # the name of a function in the file
    return x


def uses_a_taken_name(x):
    return call(x)


def test_what_cannot_be_written_is_said_and_is_no_verdict(tmp_path):
    spec = spec_of(SQUARE, tmp_path)
    functions = {"lambda": lambda x: x, "array": lambda x: x + OFFSET, "taken": uses_a_taken_name}
    for name, function in functions.items():
        write(tmp_path / name, spec, case_of(spec), derive("numpy", name, {"np.square": function}), exact=1e6)
        done = subprocess.run(
            [sys.executable, "-I", str(tmp_path / name / "repro.py")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, name
        assert len(done.stderr.splitlines()) == 1, name


@pytest.mark.parametrize(
    ("function", "exact", "status", "words"),
    [
        (lambda x: x * x, None, 0, "error    0 ulp"),
        (lambda x: np.full_like(x, np.nan), 1.0, 1, "computed nan (0x7fc00000)"),
        (lambda x: np.full_like(x, np.nan), np.nan, 0, "exact    nan"),
        (lambda x: np.full_like(x, np.inf), np.inf, 0, "exact    inf"),
        (lambda x: np.full_like(x, -np.inf), np.inf, 1, "computed -inf"),
        (lambda x: np.zeros_like(x), -0.0, 1, "exact    -0.0"),
        (lambda x: np.zeros_like(x), 0.0, 0, "computed 0.0"),
    ],
)
def test_verdicts(function, exact, status, words, tmp_path, monkeypatch):
    """The file is made for a right function and then sees what another one returns."""
    spec = spec_of(SQUARE, tmp_path)
    mark = write(tmp_path, spec, case_of(spec), BACKENDS["numpy"], exact=exact)
    monkeypatch.setattr(np, "square", function)
    text, found = run_here(tmp_path / "repro.py", monkeypatch)
    assert found == status
    assert words in text
    assert mark is not None


def run_here(path: Path, monkeypatch) -> tuple[str, int]:
    """Output and exit status in this process, where NumPy may be a changed one."""
    lines: list[str] = []
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which the file replaces
    space = {"__file__": str(path), "print": lambda *words, **_: lines.append(" ".join(map(str, words)))}
    with pytest.raises(SystemExit) as done:
        exec(compile(path.read_text(), str(path), "exec"), space)
    return "\n".join(lines), done.value.code


def test_another_shape_and_another_format_are_wrong(tmp_path, monkeypatch):
    spec = spec_of(SQUARE, tmp_path)
    write(tmp_path, spec, case_of(spec), BACKENDS["numpy"])
    square = np.square
    monkeypatch.setattr(np, "square", lambda x: square(x)[:, None])
    assert run_here(tmp_path / "repro.py", monkeypatch) == (
        "returned shape (1, 1) in 32 bits, right is (1,) in float32", 1
    )  # fmt: skip
    monkeypatch.setattr(np, "square", lambda x: square(x).astype(np.float64))
    assert run_here(tmp_path / "repro.py", monkeypatch)[1] == 1


def test_a_second_call_with_other_bits(tmp_path, monkeypatch):
    spec = spec_of(SQUARE, tmp_path)
    write(tmp_path, spec, case_of(spec, dims={"n": 4}), BACKENDS["numpy"], repeated=True)
    assert run_here(tmp_path / "repro.py", monkeypatch) == ("0 of 4 elements have other bits in a second call", 0)
    calls: list[int] = []
    monkeypatch.setattr(np, "square", lambda x: calls.append(1) or x + np.float32(len(calls)))
    assert run_here(tmp_path / "repro.py", monkeypatch) == ("4 of 4 elements have other bits in a second call", 1)


LAST = [False]


def remembering(x):
    """Right unless the call before was on NaN."""
    after_nan, LAST[0] = LAST[0], bool((x != x).any())
    return x * x + int(after_nan)


@pytest.mark.parametrize(
    ("parent", "function", "format"), [("numpy", "np.square", "float32"), ("torch", "torch.square", "bfloat16")]
)
def test_a_call_on_nan_before_the_second_call(parent, function, format, tmp_path):
    present(parent)
    spec = spec_of(SQUARE.replace("[float32]", f"[{format}]"), tmp_path)
    backend = derive(parent, "remembering", {function: remembering})
    for name, disturbed in (("calm", False), ("disturbed", True)):
        case = case_of(spec, format, dims={"n": 4}, layouts={"x": "stepped"})
        write(tmp_path / name, spec, case, backend, repeated=True, disturbed=disturbed)
    calm, disturbed = run(tmp_path / "calm" / "repro.py", tmp_path / "disturbed" / "repro.py")
    assert calm == ("0 of 4 elements have other bits in a second call\n", 0)
    assert disturbed == ("4 of 4 elements have other bits in a second call\n", 1)


def test_formats_of_the_file_are_those_of_opfuzz(tmp_path):
    spec = spec_of(SQUARE, tmp_path)
    write(tmp_path, spec, case_of(spec), BACKENDS["numpy"])
    line = next(line for line in (tmp_path / "repro.py").read_text().splitlines() if line.startswith("WIDTHS"))
    widths = json.loads(line.split(" = ")[1].replace("(", "[").replace(")", "]"))
    assert widths == {name: [f.bits, f.precision, f.emax] for name, f in FORMATS.items()}
