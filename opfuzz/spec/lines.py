"""Where the calls of a spec stand in its file, for those who point at them."""

from __future__ import annotations

from pathlib import Path

from opfuzz.core.errors import SpecError
from opfuzz.core.files.yaml_nodes import Scalar, Table, YamlSource, read


def call_lines(path: Path) -> dict[str, int]:
    """The line of each call, counted from 1, by dialect and by `dialect/implementation`; nothing of what is no spec."""
    try:
        source, root = read(path)
    except SpecError:
        return {}
    calls = root.entries.get("calls") if isinstance(root, Table) else None
    if calls is None or not isinstance(calls[1], Table):
        return {}
    found: dict[str, int] = {}
    for dialect, (key, call) in calls[1].entries.items():
        found[dialect] = _line(source, key)
        if isinstance(call, Table):
            found |= {f"{dialect}/{name}": _line(source, inner) for name, (inner, _) in call.entries.items()}
    return found


def _line(source: YamlSource, key: Scalar) -> int:
    return source.problem(key.start, "").line
