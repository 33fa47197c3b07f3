"""The shape of the tree: rooms on floors, frameworks behind one door each, one class a name, words only in reports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "opfuzz"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each room imports lower floors only. There is no list of exceptions.
FLOORS = (
    {"core"},
    {"spec"},
    {"generate", "backends", "oracle", "network"},
    {"judge"},
    {"search", "store"},
    {"report"},
    {"engine"},
    {"api"},
    {"cli"},
)
ROOMS = set().union(*FLOORS)
DOORSTEP = {"__init__.py", "__main__.py", "pytest_plugin.py", "py.typed"}

# Where the doors to a library are; nothing else may import it.
DOORS = {
    "jax": {"backends/jax.py"},
    "torch": {
        "backends/torch.py",
        # Export calls of torch, which their runtimes are handed.
        "backends/coreml.py",
        "backends/exported.py",
        "backends/onnxruntime.py",
        "backends/openvino.py",
        "network/observe/exported.py",
        "network/trace/torch.py",
        # See the functions that a model calls, which no backend can.
        "network/observe/torch.py",
        "network/observe/torch_mode.py",
        "network/observe/torch_tensors.py",
        # Mutants are written as a user writes them, and read as a user's file is: nothing imports them.
        *(
            f"engine/selftest/{folder}/{path.name}"
            for folder in ("torch_faults", "torch_gradients")
            for path in (PACKAGE / "engine/selftest" / folder).glob("[!_]*.py")
        ),
    },
    "mlx": {"backends/mlx.py", "network/trace/mlx.py"},
    "coremltools": {"backends/coreml.py"},
    "onnx": {"backends/onnxruntime.py", "network/observe/exported.py"},
    "onnxruntime": {"backends/onnxruntime.py", "network/observe/exported.py"},
    "openvino": {"backends/openvino.py"},
    "flint": {"oracle/arb_arithmetic.py", "oracle/exact.py", "oracle/interval.py"},
    "hypothesis": {"generate/strategies.py"},
    "matplotlib": {"report/network/pictures.py", "report/search/sweep_picture.py"},
    "msgspec": {"store/journal.py"},
    "jinja2": {"report/template.py"},
    "dask": {"engine/executors/cluster/dask.py"},
    "distributed": {f"engine/executors/cluster/{name}.py" for name in ("crew", "dask", "desk")},
    "numba": {"core/compiled.py"},
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All of a file, in the order of `ast.walk`."""
    return list(ast.walk(tree(path)))


@cache
def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, by statement or by `import_module` with a literal."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "opfuzz":
            found |= {f"opfuzz.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
        elif isinstance(node, ast.Call) and "import_module" in (getattr(node.func, x, None) for x in ("id", "attr")):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


# Rule 1: the root and the floors.


def test_the_root_holds_the_rooms_and_nothing_else():
    assert {entry.name for entry in PACKAGE.iterdir()} - {"__pycache__"} == ROOMS | DOORSTEP


def test_a_room_imports_lower_floors_only():
    dependencies = {
        (room_of(path), name.split(".")[1])
        for path in FILES
        for name in imports(path)
        if name.startswith("opfuzz.") and room_of(path) in ROOMS - {name.split(".")[1]}
    }
    assert len(dependencies) > len(ROOMS)
    assert [(room, other) for room, other in sorted(dependencies) if floor_of(other) >= floor_of(room)] == []


def test_the_public_names_are_of_the_lowest_floors_and_of_the_room_for_programs():
    rooms = {name.split(".")[1] for name in imports(PACKAGE / "__init__.py") if name.startswith("opfuzz.")}
    assert all(floor_of(room) <= 1 or room == "api" for room in rooms)


# Rule 2: the doors.


@pytest.mark.parametrize("library", DOORS)
def test_only_the_doors_lead_to_a_library(library):
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users == DOORS[library]


def loaded_by(statement: str, names: list[str]) -> list[str]:
    program = f"import sys; {statement}; print(*(n for n in {names!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_opfuzz_imports_no_framework():
    assert loaded_by("import opfuzz", [*DOORS]) == []


def test_the_pytest_plugin_imports_nothing_that_takes_time():
    heavy = ["numpy", "scipy", "click", "yaml", "pydantic", "opfuzz.engine"]
    assert loaded_by("import opfuzz.pytest_plugin", [*DOORS, *heavy]) == []


def test_the_command_line_imports_no_framework():
    every = "from opfuzz.cli.commands import COMMANDS, cli; [cli.get_command(None, name) for name in COMMANDS]"
    assert set(loaded_by(every, [*DOORS])) <= {"flint", "msgspec"}


def test_a_command_imports_what_it_needs_alone():
    assert loaded_by("import opfuzz.cli", ["scipy", "pydantic", "opfuzz.cli.run", *DOORS]) == []


# Rule 3: one class a name, one module a stem.


def test_no_two_public_classes_share_a_name():
    homes = defaultdict(list)
    for path in FILES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path.relative_to(PACKAGE).as_posix())
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_no_folder_stands_beside_a_module_of_its_name():
    assert [path for path in FILES if path.with_suffix("").is_dir()] == []


# Rule 4: words are made in reports only, and nothing reads them.


READING = {
    "startswith",
    "endswith",
    "split",
    "partition",
    "rpartition",
    "removeprefix",
    "removesuffix",
    "replace",
    "find",
}


def test_nothing_reads_a_reason():
    readings = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}: {text}"
        for path in FILES
        if room_of(path) != "report"
        for call in nodes(path)
        if isinstance(call, ast.Call)
        if getattr(call.func, "attr", "") in READING or ast.unparse(call.func).startswith("re.")
        if "reason" in (text := ast.unparse(call)) or "word_" in text
    ]
    assert readings == []


# Rule 5: no state between calls.


def test_no_module_keeps_state():
    outside = [path for path in FILES if not path.is_relative_to(PACKAGE / "engine/executors")]  # for system's signals
    assert [path for path in outside if any(isinstance(node, ast.Global) for node in nodes(path))] == []


# Rule 6: sizes.


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_short_and_well_named():
    every = [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]
    assert [path for path in every if lines_of(path) > 420] == []
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "stuff", "tools"}
    assert [path for path in every if path.stem in vague] == []


def test_files_are_short_as_a_rule():
    assert median(lines_of(path) for path in FILES if path.stat().st_size) < 160


def test_a_folder_holds_a_handful_of_files():
    folders = {path.parent for path in FILES} - {PACKAGE}
    held = {folder: sum(entry.name != "__pycache__" for entry in folder.iterdir()) for folder in folders}
    assert {folder: count for folder, count in held.items() if not 3 <= count <= 25} == {}


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len([each for each in named if each.arg not in ("self", "cls")])


def test_a_function_takes_at_most_eight_parameters():
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.name}"
        for path in FILES
        if room_of(path) not in ("api", "cli")  # a command, and a function that is one, has one for each option
        and path.name != "kernels.py"  # what is compiled takes no records
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and parameters(node) > 8
    ]
    assert long == []


def test_every_module_says_what_it_is():
    assert [path for path in FILES if path.stat().st_size and not ast.get_docstring(tree(path))] == []
