"""A localisation in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tabulate import tabulate

from opfuzz.network.drift import Drift
from opfuzz.network.localize.result import Attribution, Localization, Tried
from opfuzz.network.observe.records import Coverage
from opfuzz.report.text import plain, quantity

SHOWN = 20  # variants; all are in the JSON


def render(found: Localization, *, shown: int = SHOWN) -> str:
    """Drift, steps, ops, variants, verdict."""
    sections = ["\n".join(plain(line) for line in facts(found))]
    sections.append("Drift of b against a on the way\n" + _table(STEP_HEADERS, step_rows(found)))
    sections.append("Ops, by what each alone does to the output\n" + _table(OP_HEADERS, op_rows(found.attribution)))
    listed = found.variants[:shown]
    rest = f"; {len(found.variants) - len(listed)} more in the JSON" if len(listed) < len(found.variants) else ""
    title = f"{len(found.variants)} variants planted on a, best first{rest}"
    sections.append(f"{title}\n" + _table(*variant_table(listed)))
    if found.pairs:
        sections.append(f"Pairs\n{_table(*variant_table(found.pairs[:shown]))}")
    sections.append("\n".join(plain(sentence) for sentence in found.verdict))
    return "\n\n".join(sections) + "\n"


def facts(found: Localization) -> list[str]:
    """What was localised, on whom, and what was observed."""
    lines = [f"{found.model}: {found.described}", f"a = {found.a}, b = {found.b}"]
    if found.coverage is not None:
        lines.insert(1, covered(found.coverage))
    if found.frames:
        lines.append(f"figures of places {found.frames[0]} to {found.frames[1] - 1} of the last axis")
    if found.observed:
        figures = ", ".join(
            f"{name} {_corr(1 - value) if name == 'corr' else quantity(value)}"
            for name, value in found.observed.items()
        )
        lines.append(f"observed: {figures} ({found.observed_from})")
    return lines


def covered(coverage: Coverage) -> str:
    """`1,204 of 1,240 calls are ops with a spec; without: stft 2, gru 1; 310 more round once`."""
    line = f"{coverage.with_spec:,} of {coverage.calls:,} calls that compute are ops with a spec"
    if coverage.without:
        line += "; without: " + ", ".join(f"{name} {count}" for name, count in coverage.without.items())
    return line + f"; {coverage.exact:,} more round once or not at all, and are the same everywhere"


STEP_HEADERS = ("tensor", "1 - corr", "mae", "max")
OP_HEADERS = ("op", "calls", "local error", "local excess", "only this on b: rms", "1 - corr", "all but this: rms",
              "factor needed")  # fmt: skip


def step_rows(found: Localization) -> list[list[str]]:
    """What was recorded on the way, and the output at the frames asked for."""
    rows = {**found.per_step, "output": found.drift}
    return [[plain(name), *(quantity(v) for v in (d.decorrelation, d.mae, d.max))] for name, d in rows.items()]


def op_rows(attribution: Sequence[Attribution]) -> list[list[str]]:
    """One row an op."""
    return [
        [
            row.op,
            str(row.calls),
            quantity(row.local_error),
            quantity(row.local_excess),
            quantity(row.only.rms),
            quantity(row.only.decorrelation),
            quantity(row.all_but.rms),
            "" if row.factor_needed is None else quantity(row.factor_needed),
        ]
        for row in attribution
    ]


def variant_table(tried: Sequence[Tried]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Headers and rows; the measure that ranks them stands first among the figures."""
    measures: dict[str, list[str]] = {}
    if any(one.residual is not None for one in tried):
        measures["residual"] = ["" if t.residual is None else quantity(t.residual) for t in tried]
        measures["corr to observed"] = [
            "" if t.corr_to_observed is None else f"{t.corr_to_observed:.4f}" for t in tried
        ]
    elif any(one.distance is not None for one in tried):
        measures["off by"] = ["" if t.distance is None else _factor(t.distance) for t in tried]
    headers = ("variant", "place", *measures, *FIGURES)
    columns = zip(*measures.values(), strict=True) if measures else ([] for _ in tried)
    rows = [
        [("= " if one.match else "") + plain(one.name), plain(one.place), *own, *_figures(one.drift)]
        for one, own in zip(tried, columns, strict=True)
    ]
    return headers, rows


FIGURES = ("corr", "mae", "median", "max", "shift")


def _figures(drift: Drift) -> list[str]:
    return [_corr(drift.decorrelation), *(quantity(getattr(drift, name)) for name in FIGURES[1:])]


def _corr(decorrelation: float) -> str:
    return f"{1 - decorrelation:.4f}" if decorrelation > 1e-4 else f"1 - {quantity(decorrelation)}"


def _factor(distance: float) -> str:
    return f"x {quantity(math.exp(distance))}" if distance < 700 else "nan"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)
