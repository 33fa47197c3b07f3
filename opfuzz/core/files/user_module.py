"""Python files that users hand in: plugins, pairs of models, pipelines."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from opfuzz.core.errors import OpfuzzError


def load(path: Path, role: str) -> ModuleType:
    """The module in a file, run once; `role` is what it is to us, such as `plugin`.

    The folder of the file is on the path of imports from then on, as it is for Python itself.
    Raises OpfuzzError, with the line where there is one, if the file is missing, is not valid Python, or raises.
    """
    if not path.is_file():
        raise OpfuzzError(f"{path}: no such {role} file{_remedy(path)}")
    spec = importlib.util.spec_from_file_location(f"opfuzz_{role}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise OpfuzzError(f"{path}: a {role} is a Python file, with a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except OpfuzzError:
        raise
    except SyntaxError as error:
        raise OpfuzzError(f"{path}:{error.lineno}: {role} is not valid Python: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise OpfuzzError(f"{place(path, error)}: {role} raised {said(error)}") from error
    return module


def _remedy(path: Path) -> str:
    """What to write in place of a path at which there is no file."""
    if path.is_dir():
        return f", but a folder; name a Python file in it, such as {path / 'a.py'}"
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent.absolute()}: name a Python file that is there"
    near = get_close_matches(path.name, sorted(found.name for found in path.parent.glob("*.py")), n=1, cutoff=0.75)
    if near:
        return f"; did you mean '{path.with_name(near[0])}'?"
    return f"; name a Python file that is there: its path is read from {Path.cwd()}"


def place(path: Path, error: BaseException) -> str:
    """`pair.py:12`: the last line of the file that an exception came through, or only the file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return f"{path}:{lines[-1]}" if lines else str(path)


def said(error: BaseException) -> str:
    """`ValueError: shapes differ`, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
