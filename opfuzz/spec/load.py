"""Spec files into ops: `load` for one file, `load_all` for files and folders.

The language is described in specs/README.md. The loader refuses, it does not guess: every problem of every file is
reported at once, with its place and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opfuzz.core.errors import OpfuzzError, Problem, SpecError
from opfuzz.core.files.yaml_nodes import Table, read
from opfuzz.spec.op import OpSpec, Vocabulary
from opfuzz.spec.reader import read_spec


def load(path: Path, words: Vocabulary) -> OpSpec:
    """The op that a file describes. Raises SpecError with all problems of the file."""
    return read_spec(path, words)


def load_all(paths: Sequence[Path], words: Vocabulary) -> tuple[OpSpec, ...]:
    """The ops of files, and of all *.yaml below folders; each file once, in the order of `paths` and then of names.

    Raises SpecError with all problems of all files, two files for one op among them; OpfuzzError for a path that leads
    to no spec.
    """
    specs: dict[str, OpSpec] = {}
    problems: list[Problem] = []
    for path in _files(paths):
        try:
            spec = load(path, words)
        except SpecError as error:
            problems.extend(error.problems)
            continue
        first = specs.setdefault(spec.op, spec)
        if first is not spec:
            problems.append(_twice(path, spec.op, first.path))
    if problems:
        raise SpecError(problems)
    return tuple(specs.values())


def _files(paths: Sequence[Path]) -> list[Path]:
    files: dict[Path, Path] = {}  # by the resolved path, so that a file below a folder is not read twice
    for path in paths:
        if not path.exists():
            raise OpfuzzError(f"{path}: no such file or folder")
        found = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        if not found:
            raise OpfuzzError(f"{path}: no *.yaml file in this folder or below it")
        for file in found:
            files.setdefault(file.resolve(), file)
    return list(files.values())


def _twice(path: Path, op: str, first: str) -> Problem:
    source, root = read(path)
    assert isinstance(root, Table)
    return source.problem(root.entries["op"][1].start, f"op '{op}' is already described in {first}")
