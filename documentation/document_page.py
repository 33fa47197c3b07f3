"""The page of JSON documents: the records of `run.json` with what their authors wrote beside each field."""

from __future__ import annotations

import dataclasses
import inspect
import io
import re
import tokenize
import typing
from collections.abc import Iterator

from documentation.tables import code, page, table
from opfuzz.core.run import Run
from opfuzz.store.schema import BESIDE, LEFT_OUT

INTRODUCTION = """
Every document is strict JSON: no NaN and no infinities as numbers; they are the texts `"nan"`, `"inf"`, `"-inf"`.
Keys are added and not changed in their meaning; where that is not enough, `schema` has another number, and the schema
before is still read. `opfuzz schema run` prints the JSON Schema of `run.json`, `opfuzz schema spec` that of a spec,
`opfuzz schema settings` that of [settings](settings.md).

| document | who writes it | where it is told |
|---|---|---|
| `run.json` | `opfuzz run`, `opfuzz cases judge DIR`; `run --json` and `report --format json` print the same | below |
| `findings/ID/*.json` | a run | [findings.md](findings.md); `finding.json` is a `Finding` of those below |
| `manifest.json`, `about.json` | `opfuzz cases` | [cases.md](cases.md) |
| `*.safetensors` | `opfuzz dump` | [dump.md](dump.md) |
| `reports/sweeps/*.jsonl` | `opfuzz sweep` | [sweep.md](sweep.md) |
| `--json` of `sweep`, `accuracy` | these | [sweep.md](sweep.md) |
| `--json` of `localize`, `trace`, `diff` | these | [localize.md](localize.md), [trace.md](trace.md), [diff.md](diff.md) |
| `--json` of `repro`, `bisect`, `doctor --probe` | these | [findings.md](findings.md), [bisect.md](bisect.md), [bring-up.md](bring-up.md) |

## run.json

An object with the fields of `Run`, and `schema`. Beside a `cause`, which is data, stand `reason` and `diagnosis`, its
words for people. What the fields of each record are:
"""  # noqa: E501, a row of a table is one line


def document_page() -> str:
    """Markdown: a table for each record that a run is made of."""
    return page("JSON documents", "python -m documentation", INTRODUCTION, *map(_section, _records(Run, {})))


def _records(record: type, seen: dict[type, None]) -> Iterator[type]:
    """A record, and those that its fields hold, each once."""
    if record in seen:
        return
    seen[record] = None
    yield record
    for hint in typing.get_type_hints(record).values():
        for inner in _within(hint):
            if dataclasses.is_dataclass(inner) and inner.__module__.startswith("opfuzz."):
                yield from _records(inner, seen)


def _within(hint: object) -> Iterator[type]:
    if isinstance(hint, type):
        yield hint
    for part in typing.get_args(hint):
        yield from _within(part)


def _section(record: type) -> str:
    said = _comments(record)
    fields = [field for field in dataclasses.fields(record) if field.name not in LEFT_OUT.get(record, ())]
    rows = [[code(field.name), code(str(field.type)), said.get(field.name, "")] for field in fields]
    rows += [[code(name), "", "follows from the others, or is in words"] for name in BESIDE.get(record, ())]
    told = (inspect.getdoc(record) or "").split("\n\n")[0].partition(" Raises")[0]
    return f"### {record.__name__}\n\n{told}\n\n{table(['field', 'type', 'what it is'], rows)}"


def _comments(record: type) -> dict[str, str]:
    """By field, the comment that stands behind it."""
    source = inspect.getsource(record)
    said, name = {}, ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.cleandoc(source)).readline):
        if token.type == tokenize.COMMENT and name:
            said[name] = token.string.removeprefix("#").strip()
        elif found := re.match(r"    (\w+):", token.line):
            name = found[1]
    return said
