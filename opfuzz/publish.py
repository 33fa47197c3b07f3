"""A finding made known: the call that shows it, as a bundle with what its readers need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from opfuzz.backends import Backend, Subject
from opfuzz.bundle import NEXT, OUTPUT, REPRODUCER, UPSTREAM, write_bundle
from opfuzz.call import Call
from opfuzz.case import Case
from opfuzz.expr import Program
from opfuzz.layout import memory
from opfuzz.records import Index, Mark
from opfuzz.relations import AFTER_OTHER_WORK
from opfuzz.report.next_steps import Origin, elsewhere, next_steps
from opfuzz.report.upstream import upstream
from opfuzz.reproducer import Subject as Reproduced
from opfuzz.reproducer import reproducer
from opfuzz.rerun import Asked
from opfuzz.snippet import snippet
from opfuzz.spec import OpSpec
from opfuzz.strict_json import number


def publish(
    place: Path,
    finding: Mapping[str, Any],
    spec: OpSpec,
    case: Case | None,
    asked: Asked,
    index: Index | None,
    backends: Mapping[str, Backend],
    versions: Mapping[str, str],
    machine: Mapping[str, str],
) -> None:
    """Write the bundle of a finding, a document as `store.to_json` makes it, that `asked` shows at `index`.

    Raises OpfuzzError if the disk refuses.
    """
    backend = backends[Subject.parse(finding["subject"]).backend]
    if (reason := backend.absent()) is not None:  # it was found on another machine
        beside = {NEXT: elsewhere(finding, reason)}
    else:
        beside = _programs(finding, spec, asked, index, backend, versions, machine)
    write_bundle(
        place,
        finding,
        spec,
        case,
        asked.call,
        switch=asked.switch,
        index=index,
        versions=versions,
        beside={name: _encoded(text) for name, text in beside.items()},
    )


def _programs(
    finding: Mapping[str, Any],
    spec: OpSpec,
    asked: Asked,
    index: Index | None,
    backend: Backend,
    versions: Mapping[str, str],
    machine: Mapping[str, str],
) -> dict[str, str]:
    """The reproducer, and the report for the framework's tracker."""
    call = asked.call
    subject = Subject.parse(finding["subject"])
    program: Program = spec.calls[backend.dialect][subject.implementation]
    functions = backend.functions()
    mark = _mark(finding, index)
    buffers, views = {}, {}
    for name, array in call.arrays.items():
        buffers[name], views[name] = memory(array, call.layouts[name])
    reproduced = Reproduced(
        backend.name,
        backend.recipe,
        subject.device,
        subject.mode,
        {name: functions[name] for name in sorted(program.functions)},
        backend.replaced,
    )
    settings = {**call.dims, **call.params}
    is_disturbed = finding["relation"] == AFTER_OTHER_WORK
    is_repeated = finding["verdict"] == "unstable"
    text = reproducer(
        title=f"{finding['op']} on {finding['subject']} in {finding['format']}: "
        f"{finding['verdict']}, {finding['reason']}",
        subject=reproduced,
        call=program.text,
        format=call.format,
        shape=spec.output_shape(call.dims, call.params),
        numbers=settings,
        views=views,
        mark=mark,
        repeated=is_repeated,
        hangs=finding["verdict"] == "timeout",
        disturbed=is_disturbed,
    )
    code = None  # the other work takes more than a few lines
    if not is_disturbed:
        code = snippet(reproduced, program, call.format, settings, buffers, views, mark, is_repeated)
    report = upstream(
        finding,
        program.text,
        tuple(reproduced.functions),
        settings,
        call.layouts,
        index,
        code,
        {name: version for name, version in versions.items() if name in (subject.backend, "numpy", "opfuzz")},
        machine,
    )
    return {REPRODUCER: text, UPSTREAM: report}


def publish_recorded(
    place: Path,
    finding: Mapping[str, Any],
    spec: OpSpec,
    case: Case,
    call: Call,
    output: NDArray[Any] | None,
    origin: Origin,
) -> None:
    """Write the bundle of a finding that outputs of another program show, which cannot be made again here.

    `output` is what the program returned, None if it has none. Raises OpfuzzError if the disk refuses.
    """
    witness = finding.get("witness")
    index = tuple(witness["index"]) if witness is not None else None
    beside = {NEXT: _encoded(next_steps(finding, spec, case, index, output is not None, origin))}
    if output is not None:
        beside[OUTPUT] = save({case.id: np.asarray(output, order="C")})
    versions = origin.versions
    write_bundle(place, finding, spec, case, call, switch=None, index=index, versions=versions, beside=beside)


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")


def _mark(finding: Mapping[str, Any], index: Index | None) -> Mark | None:
    witness = finding.get("witness")
    if witness is None or index is None:
        return None
    computed, exact, ulp, bound = (number(witness[name]) for name in ("computed", "exact", "ulp", "bound"))
    return Mark(index, computed, witness["computed_hex"], exact, ulp, bound)
