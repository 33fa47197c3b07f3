"""The shape of the tree: floors, stages that do not know each other, and frameworks behind one door each."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "opfuzz"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = (
    {
        "errors",
        "floats",
        "expr",
        "expr_arguments",
        "expr_compiler",
        "expr_grammar",
        "expr_limits",
        "plain_file",
        "rounding",
        "shipped",
        "source_text",
        "strict_json",
    },
    {
        "call",
        "case",
        "comparison",
        "layout",
        "metrics",
        "profile",
        "profile_reader",
        "python_file",
        "records",
        "spec",
        "spec_digest",
        "spec_keys",
        "spec_nodes",
        "spec_reader",
        "spec_records",
        "spec_sizes",
        "trigger",
        "yaml_source",
        "yaml_values",
    },
    {
        "backends",
        "bundle",
        "cases",
        "diagnose",
        "execute",
        "explain",
        "generate",
        "history",
        "journal",
        "localize",
        "oracle",
        "probe",
        "rank",
        "relations",
        "report",
        "reproducer",
        "runs",
        "score",
        "search",
        "shrink",
        "snippet",
        "store",
        "strategies",
    },
    {
        "accepted",
        "baseline",
        "bench",
        "campaign",
        "climbing",
        "conclude",
        "corpus",
        "diagnosis",
        "doctor",
        "examination",
        "known",
        "intake",
        "judgement",
        "localization",
        "machines",
        "minimise",
        "order",
        "plan",
        "publish",
        "recording",
        "replay",
        "rerun",
        "selftest",
        "sitting",
        "sweep_file",
        "sweeping",
        "swept",
    },
    {"cli", "__main__", "pytest_plugin"},
)

# Stages that know another one: a score is made of what explains it, a report shows a stored ranking.
KNOWN = {
    ("bundle", "store"),
    ("cases", "bundle"),
    ("cases", "generate"),
    ("cases", "store"),
    ("history", "rank"),
    ("history", "runs"),
    ("history", "store"),
    ("report", "history"),
    ("report", "localize"),
    ("report", "rank"),
    ("report", "store"),
    ("runs", "rank"),
    ("runs", "store"),
    ("score", "explain"),
    ("search", "explain"),
    ("search", "generate"),
    ("search", "score"),
    ("snippet", "reproducer"),
    ("store", "rank"),
    ("strategies", "generate"),
}

# A localisation is a campaign of another kind, a self-test one of many, and a run is concluded after it.
CAMPAIGN = {
    ("baseline", "accepted"),
    ("bench", "plan"),
    ("campaign", "bench"),
    ("campaign", "climbing"),
    ("campaign", "plan"),
    ("campaign", "intake"),
    ("campaign", "rerun"),
    ("climbing", "bench"),
    ("climbing", "plan"),
    ("climbing", "rerun"),
    ("conclude", "campaign"),
    ("conclude", "plan"),
    ("conclude", "intake"),
    ("conclude", "known"),
    ("conclude", "minimise"),
    ("conclude", "publish"),
    ("conclude", "rerun"),
    ("corpus", "plan"),
    ("corpus", "replay"),
    ("corpus", "rerun"),
    ("conclude", "diagnosis"),
    ("selftest", "diagnosis"),
    ("diagnosis", "campaign"),
    ("diagnosis", "plan"),
    ("diagnosis", "rerun"),
    ("conclude", "machines"),
    ("doctor", "machines"),
    ("doctor", "plan"),
    ("examination", "campaign"),
    ("examination", "conclude"),
    ("examination", "diagnosis"),
    ("examination", "minimise"),
    ("examination", "plan"),
    ("known", "minimise"),
    ("localization", "machines"),
    ("judgement", "bench"),
    ("judgement", "machines"),
    ("judgement", "intake"),
    ("judgement", "conclude"),
    ("judgement", "diagnosis"),
    ("judgement", "plan"),
    ("judgement", "publish"),
    ("judgement", "rerun"),
    ("localization", "plan"),
    ("minimise", "bench"),
    ("minimise", "plan"),
    ("minimise", "rerun"),
    ("order", "plan"),
    ("rerun", "bench"),
    ("rerun", "plan"),
    ("selftest", "minimise"),
    ("publish", "rerun"),
    ("recording", "bench"),
    ("recording", "plan"),
    ("replay", "bench"),
    ("replay", "minimise"),
    ("replay", "plan"),
    ("replay", "rerun"),
    ("selftest", "bench"),
    ("selftest", "conclude"),
    ("selftest", "plan"),
    *(("sitting", part) for part in ("accepted", "baseline", "campaign", "conclude", "corpus", "machines", "minimise")),
    *(("sitting", part) for part in ("order", "plan", "intake")),
    ("sweeping", "plan"),
    ("sweeping", "sweep_file"),
    ("sweeping", "swept"),
    ("swept", "plan"),
    ("swept", "sweep_file"),
}

# Where the doors to a library are; without any, nothing may import it.
DOORS = {
    "torch": {
        "backends/torch.py",
        "localize/trace_torch.py",
        # Mutants are written as a user writes them, and read as a user's file is: nothing imports them.
        *(f"selftest/torch_faults/{path.name}" for path in (PACKAGE / "selftest/torch_faults").glob("[!_]*.py")),
    },
    "mlx": {"backends/mlx.py", "localize/trace_mlx.py"},
    "flint": {"oracle/exact.py", "oracle/interval.py"},
    "hypothesis": {"strategies.py"},
    "matplotlib": {"report/pictures.py", "report/sweep_picture.py"},
    "msgspec": {"journal.py"},
    "jinja2": {"report/html.py"},
    "dask": {"execute/dask.py"},
    "distributed": {"execute/dask.py"},
}


def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, by statement or by `import_module` with a literal."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "opfuzz":
            found |= {f"opfuzz.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def part_of(path: Path) -> str:
    """The stage or foundation that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def floor_of(part: str) -> int:
    return next(number for number, parts in enumerate(FLOORS) if part in parts)


DEPENDENCIES = sorted(
    {
        (part_of(path), name.split(".")[1])
        for path in FILES
        for name in imports(path)
        if name.startswith("opfuzz.") and part_of(path) not in ("__init__", name.split(".")[1])
    }
)


def test_every_file_stands_on_a_floor():
    assert {part_of(path) for path in FILES} - {"__init__"} == set().union(*FLOORS)


@pytest.mark.parametrize(("part", "other"), DEPENDENCIES)
def test_a_floor_imports_only_lower_floors(part, other):
    if floor_of(part) in (0, 1, 4):  # foundations may know each other, `__main__` knows the command line
        assert floor_of(other) <= floor_of(part)
    elif (part, other) not in KNOWN | CAMPAIGN:
        assert floor_of(other) < floor_of(part)


def test_every_exception_is_needed():
    assert set(DEPENDENCIES) >= KNOWN


def test_the_public_names_are_foundations():
    parts = {name.split(".")[1] for name in imports(PACKAGE / "__init__.py") if name.startswith("opfuzz.")}
    assert all(floor_of(part) <= 1 for part in parts)


@pytest.mark.parametrize("library", DOORS)
def test_only_the_doors_lead_to_a_library(library):
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users == DOORS[library]


def loaded_by(statement: str) -> list[str]:
    program = f"import sys; {statement}; print(*(n for n in {[*DOORS]!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_opfuzz_imports_no_framework():
    assert loaded_by("import opfuzz") == []


def test_the_pytest_plugin_imports_nothing_that_takes_time():
    heavy = ["numpy", "scipy", "click", "yaml", "pydantic", "opfuzz.campaign"]
    program = f"import sys, opfuzz.pytest_plugin; print(*(n for n in {[*DOORS, *heavy]!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_command_line_imports_no_framework():
    assert set(loaded_by("import opfuzz.cli")) <= {"flint", "msgspec"}


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda p: p.stem)
def test_files_are_short_and_well_named(path):
    assert len(path.read_text().splitlines()) <= 420
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "stuff", "tools"}


def test_files_are_short_as_a_rule():
    assert median(len(path.read_text().splitlines()) for path in FILES if path.stat().st_size) < 160


@pytest.mark.parametrize("path", [p for p in FILES if p.stat().st_size], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
