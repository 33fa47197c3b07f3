"""Spec files into ops: `load` for one file, `load_all` for files and folders.

The language is described in specs/README.md. The loader refuses, it does not guess: every problem of every file is
reported at once, with its place and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from opfuzz.core.errors import OpfuzzError, Problem, SpecError
from opfuzz.core.files.yaml_nodes import Table, read
from opfuzz.spec.op import OpSpec, Vocabulary
from opfuzz.spec.reader import read_spec

_OP_LINE = re.compile(rb"^op: *([a-z][a-z0-9_]*) *(?:#.*)?\r?$", re.MULTILINE)


def load(path: Path, words: Vocabulary) -> OpSpec:
    """The op that a file describes. Raises SpecError with all problems of the file."""
    return read_spec(path, words)


def load_all(paths: Sequence[Path], words: Vocabulary, ops: Collection[str] = ()) -> tuple[OpSpec, ...]:
    """The ops of files, and of all *.yaml below folders; each file once, in the order of `paths` and then of names.

    With `ops`, files that plainly describe others are left unread, which is most of the time that reading takes; so
    of an op that is not there, every file must be read to know.
    Raises SpecError with all problems of all files read, two files for one op among them; OpfuzzError for a path that
    leads to no spec.
    """
    specs: dict[str, OpSpec] = {}
    problems: list[Problem] = []
    files = _files(paths)
    if ops:
        said = {path: _op_line(path) for path in files}
        if set(ops) <= set(said.values()):
            files = [path for path in files if said[path] is None or said[path] in ops]
    for path in files:
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


def _op_line(path: Path) -> str | None:
    """The op that a file says it describes, where one plain line says so; None where it must be read to know."""
    try:
        found = _OP_LINE.findall(path.read_bytes())
    except OSError:
        return None
    return found[0].decode("ascii") if len(found) == 1 else None


def _twice(path: Path, op: str, first: str) -> Problem:
    source, root = read(path)
    assert isinstance(root, Table)
    return source.problem(root.entries["op"][1].start, f"op '{op}' is already described in {first}")
