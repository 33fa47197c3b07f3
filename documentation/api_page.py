"""The page of the Python API: signatures and docstrings of the public names."""

from __future__ import annotations

import inspect
import re
from typing import Any

import opfuzz
from documentation.tables import code, page, table

INTRODUCTION = """
What the [command line](cli.md) does, from Python: a script, a notebook, a test. `import opfuzz` is fast; a framework
is imported when it is first needed.

```python
import numpy as np
import opfuzz

x = np.array([[88.5]], np.float32)
found = opfuzz.judge("exp", x, np.array([[np.inf]], np.float32))
print(found)  # exp in float32: special: returned inf where 2.72308783e+38 is right; ...
assert found.is_fault

run = opfuzz.run(ops="exp,sigmoid", formats="float32", subjects="mlx:cpu,torch:cpu", cases=100)
for cause in run.causes:
    print(cause.cause.kind, cause.ops)
```

`judge` needs neither framework nor process: an output that a GPU, another language or another machine gave is held
against the exact result. The others start processes, as the commands do, and a mistake of yours is an `OpfuzzError`
whose text says what, where, and the remedy. `examples/first_look.ipynb` shows it in a notebook, where a run shows its
progress and its causes.
"""
FUNCTIONS = ("run", "read_run", "judge", "trace", "localize", "sweep", "ulp")


def api_page() -> str:
    """Markdown: a section a public name, functions first."""
    others = [name for name in opfuzz.__all__ if name not in FUNCTIONS]
    sections = [*map(_function, FUNCTIONS), *(_thing(name) for name in others)]
    return page("Python API", "python -m documentation", INTRODUCTION, *sections)


def _function(name: str) -> str:
    function = getattr(opfuzz, name)
    function = getattr(function, "__wrapped__", function)
    if inspect.ismodule(function):  # the room of the name, which calls it
        function = inspect.getmodule(opfuzz.ArrayVerdict).judge  # type: ignore[union-attr]
    return f"## opfuzz.{name}\n\n```text\n{_signature(name, function)}\n```\n\n{_told(function)}"


def _thing(name: str) -> str:
    thing = getattr(opfuzz, name)
    if not inspect.isclass(thing):
        return f"## opfuzz.{name}\n\nBy name: {', '.join(map(code, thing))}."
    rows = []
    for key, member in inspect.getmembers(thing, lambda each: isinstance(each, property) or inspect.isfunction(each)):
        if not key.startswith("_") and (doc := inspect.getdoc(member)):
            called = key if isinstance(member, property) else f"{key}()"
            rows.append([code(called), doc.split("\n\n")[0]])
    told = _told(thing)
    return f"## opfuzz.{name}\n\n{told}" + (f"\n\n{table(['member', 'what it is'], rows)}" if rows else "")


def _signature(name: str, function: Any) -> str:
    """One parameter a line."""
    signature = inspect.signature(function)
    lines, is_keyword = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword:
            lines, is_keyword = [*lines, "    *,"], True
        lines.append(f"    {parameter},")
    plain = re.sub(r": '([^']*)'", r": \1", "\n".join(lines))  # annotations are texts
    return f"{name}(\n{plain}\n) -> {signature.return_annotation}"


def _told(thing: Any) -> str:
    """The docstring: its first sentence, then a line for each argument, then what is raised."""
    first, _, rest = (inspect.getdoc(thing) or "").partition("\n\n")
    text = " ".join(rest.split())
    parts = re.split(r"(?<=\.) (?=`[\w`, ]+`(?: and `\w+`)?: |Raises )", text)
    return "\n\n".join([first, *filter(None, ["\n".join(f"* {part}" for part in parts if part)])])
