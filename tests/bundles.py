"""Bundles of small findings, made without a campaign: a call is judged here and written as a run writes it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from complaints import complaints
from results import told
from small_campaigns import SPECS

from opfuzz.backends import Subject, discover
from opfuzz.cli import main
from opfuzz.core.call import Call, Recipe
from opfuzz.core.findings import Finding
from opfuzz.core.relation import Relation
from opfuzz.core.results import Judged
from opfuzz.core.verdicts import SEVERITY
from opfuzz.engine.calls import Asked, judge
from opfuzz.engine.machines import machine, versions
from opfuzz.engine.plan import vocabulary
from opfuzz.engine.triage.publish import publish
from opfuzz.generate import draw
from opfuzz.report.causes import describe
from opfuzz.spec import OpSpec, load
from opfuzz.store.write import to_json

# A plugin with one backend, `off`, whose fault can be mended.
OFF = """
import numpy as np
from opfuzz.backends import derive


def off(x):
    return np.square(x) * np.float32({factor})


BACKENDS = [derive("numpy", "off", {{"np.square": off}})]
"""


def off_plugin(folder: Path, factor: float = 1.001) -> Path:
    """A backend that is `factor` times too large; the factor 1 is the fault mended."""
    path = folder / f"off_{factor}.py"
    path.write_text(OFF.format(factor=factor))
    return path


def square_call(values: Any = (1.5, 3.0, -0.1), layout: str = "contiguous", format: str = "float32") -> Call:
    """A call of tests/small/square.yaml."""
    x = np.array(values, format)
    return Call(format, {"n": x.size}, {}, {"x": x}, {"x": layout})


def judged_here(spec: OpSpec, text: str, backends: Any, asked: Asked) -> Judged:
    """The score of a call that harms no process."""
    subject = Subject.parse(text)
    return judge(spec, subject, backends[subject.backend], replace(asked, is_detailed=True))


def written(
    place: Path,
    call: Call,
    subject: str = "off:cpu",
    plugins: tuple[Path, ...] = (),
    spec_path: Path = SPECS / "square.yaml",
    relation: Relation | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """Write the bundle of one call; its finding as a document, in which `changed` replaces fields."""
    backends = discover(plugins)
    spec = load(spec_path, vocabulary(backends))
    asked = Asked(call, relation)
    found = None if "verdict" in changed else judged_here(spec, subject, backends, asked)
    finding = Finding(
        id="0123456789ab",
        op=spec.op,
        subject=subject,
        format=call.format,
        verdict=found.score.verdict if found else changed["verdict"],
        severity=SEVERITY[found.score.verdict if found else changed["verdict"]],
        cause=replace(found.score.cause if found else told("as told"), relation=relation),
        cases=1,
        alike=1,
        number=0,
        case="c0",
        witness=found.deciding if found else None,
        recipe=Recipe(case=draw(spec, call.format, 0, 0), relation=relation),
    )
    document = {**to_json(finding), **describe(finding), **changed}
    element = found.deciding.mark.element if found and found.deciding else None
    name = Subject.parse(subject).backend
    known = versions({name: backends[name]})
    shown = Recipe(draw(spec, call.format, 0, 0), call, relation).about(element)
    publish(place, document, spec, shown, backends, known, machine())
    return document


def opfuzz(capsys, monkeypatch, *words: str) -> tuple[int, str, str]:
    """Exit status and output of a command, in this process."""
    monkeypatch.setattr(sys, "argv", ["opfuzz", *words])
    with pytest.raises(SystemExit) as done:
        main()
    shown = capsys.readouterr()
    return int(done.value.code or 0), shown.out, complaints(shown.err)
