"""A localisation as Markdown, with its pictures beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from opfuzz.network.localize.result import Localization, Tried
from opfuzz.report.network.localization import OP_HEADERS, STEP_HEADERS, facts, op_rows, step_rows, variant_table
from opfuzz.report.run.markdown import inert, table
from opfuzz.report.text import quantity

VARIANTS, CALLS = 30, 20  # rows; all are in localization.json

PICTURES = {
    "error.svg": "Heat map of the output's error",
    "steps.svg": "Drift of each recorded tensor",
    "attribution.svg": "What each op does to the output, and its local error",
    "variants.svg": "The wrong readings that come nearest",
}
HOW_TO_READ = """\
**local error**: rms of what b makes of a's own inputs less what a makes of them, over the rms of the latter, for the \
worst call. **local excess**: the error of b against the exact value, in units of what honest arithmetic may do; the \
limit is 3. **only this on b**, **all but this**: the output's drift when one op, or every other one, runs on b. \
**factor needed**: how many times larger an op's error would have to be for what was observed.\
"""


def render(found: Localization, pictures: Collection[str]) -> str:
    """Verdict, pictures, steps, ops, variants, calls, environment; `pictures` are the files that lie beside it."""
    best, calls = found.variants[:VARIANTS], sorted(found.calls, key=lambda call: -call.relative)[:CALLS]
    parts = [
        f"# opfuzz localize {inert(found.model)}",
        " ".join(inert(sentence) for sentence in found.verdict),
        "\n".join(f"- {inert(line)}" for line in [*facts(found), f"{found.seconds:.0f} s"]),
        _picture("error.svg", pictures),
        "## On the way",
        _picture("steps.svg", pictures),
        table(step_rows(found), STEP_HEADERS),
        "## Ops",
        _picture("attribution.svg", pictures),
        HOW_TO_READ,
        table(op_rows(found.attribution), OP_HEADERS),
        "## Wrong readings",
        _picture("variants.svg", pictures),
        f"The best {len(best)} of {len(found.variants)}, each planted alone on a; = marks what explains it.",
        _variants(best),
    ]
    if found.pairs:
        parts += ["Two at once:", _variants(found.pairs[:VARIANTS])]
    parts += [
        "## Calls",
        f"The {len(calls)} of {len(found.calls)} with the largest local error.",
        table([[str(c.number), c.op, c.role, c.at, quantity(c.relative)] for c in calls],
              ("call", "op", "role", "at", "local error")),
        "## Environment",
        "\n".join(f"- {inert(f'{name}: {value}')}" for name, value in {**found.machine, **found.versions}.items()),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _variants(shown: Sequence[Tried]) -> str:
    headers, rows = variant_table(shown)
    return table([[*row, tried.note] for row, tried in zip(rows, shown, strict=True)], (*headers, "what it is"))


def _picture(name: str, there: Collection[str]) -> str:
    return f"![{PICTURES[name]}]({name})" if name in there else ""
