"""A finding made known: the call that shows it, as a bundle with what its readers need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from opfuzz.backends import Backend, Subject
from opfuzz.core.call import Call, Element, Recipe
from opfuzz.core.case import Case
from opfuzz.core.files.strict_json import number
from opfuzz.core.layout import memory
from opfuzz.core.relation import DISTURBED
from opfuzz.core.results import Mark
from opfuzz.engine.evaluate import looked_at, without
from opfuzz.report.finding.next_steps import Origin, elsewhere, next_steps
from opfuzz.report.finding.reproducer import Manner, ReproducedSubject, Written, reproducer
from opfuzz.report.finding.snippet import snippet
from opfuzz.report.finding.upstream import upstream
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import Program
from opfuzz.store.bundle import NEXT, OUTPUT, REPRODUCER, UPSTREAM, write_bundle
from opfuzz.store.exchange import output_name


def publish(
    place: Path,
    finding: Mapping[str, Any],
    spec: OpSpec,
    shown: Recipe,
    backends: Mapping[str, Backend],
    versions: Mapping[str, str],
    machine: Mapping[str, str],
) -> None:
    """Write the bundle of a finding, a document as `store.to_json` makes it, that the call of `shown` shows.

    Raises OpfuzzError if the disk refuses.
    """
    backend = backends[Subject.parse(finding["subject"]).backend]
    if (reason := backend.absent()) is not None:  # it was found on another machine
        beside = {NEXT: elsewhere(finding, reason)}
    else:
        shown = _held(shown, backend)
        beside = _programs(finding, spec, shown, backend, versions, machine)
    files = {name: _encoded(text) for name, text in beside.items()}
    write_bundle(place, finding, spec, shown, versions=versions, beside=files)


def _held(shown: Recipe, backend: Backend) -> Recipe:
    """The call with its inputs as the backend has them in memory."""
    assert shown.call is not None
    layouts = {name: backend.held(layout) for name, layout in shown.call.layouts.items()}
    return replace(shown, call=replace(shown.call, layouts=layouts))


def reproduced_on(backend: Backend, subject: Subject, program: Program) -> tuple[Program, ReproducedSubject]:
    """A program in the words of the framework that makes its calls, and what a reproducer has to know of that."""
    functions = backend.functions()
    return replace(program, text=backend.spelled(program.text)), ReproducedSubject(
        backend.name,
        backend.recipe,
        subject.device,
        subject.mode,
        # What a value has as a method, such as x.to, is written as it is.
        {backend.spelled(name): functions[name] for name in sorted(program.functions) if not name.startswith(".")},
        frozenset(map(backend.spelled, backend.replaced)),
        backend.gradient_recipe,
        "" if backend.plugin is None else str(backend.plugin.resolve()),
    )


def _programs(
    finding: Mapping[str, Any],
    spec: OpSpec,
    shown: Recipe,
    backend: Backend,
    versions: Mapping[str, str],
    machine: Mapping[str, str],
) -> dict[str, str]:
    """The reproducer, and the report for the framework's tracker."""
    call, element = shown.call, shown.element
    assert call is not None
    spec = looked_at(without(spec, shown.lacking), shown.relation)
    subject = Subject.parse(finding["subject"])
    program: Program = spec.calls[backend.dialect_in(spec.calls)][subject.implementation]
    spelled, reproduced = reproduced_on(backend, subject, program)
    mark = _mark(finding, element)
    buffers, views = {}, {}
    for name, array in call.arrays.items():
        buffers[name], views[name] = memory(array, call.layouts[name])
    shapes = spec.output_shapes(call.dims, call.params)
    written = Written(spelled.text, call.format, shapes, {**call.dims, **call.params}, views, program.gradient)
    is_disturbed = shown.relation is not None and shown.relation.kind == DISTURBED
    is_repeated = finding["verdict"] == "unstable"
    cause = finding["cause"]
    fails = finding["verdict"] in ("crash", "out-of-memory")
    text = reproducer(
        title=f"{finding['op']} on {finding['subject']} in {finding['format']}: "
        f"{finding['verdict']}, {finding.get('diagnosis') or finding['reason']}",
        subject=reproduced,
        call=written,
        mark=mark,
        manner=Manner(
            is_repeated,
            finding["verdict"] == "timeout",
            is_disturbed,
            fails,
            *_raised(cause),
        ),
    )
    code = None  # the other work takes more than a few lines
    if not is_disturbed:
        code = snippet(reproduced, spelled, written, buffers, mark, is_repeated)
    report = upstream(
        finding,
        spelled.text,
        tuple(reproduced.functions),
        call,
        element,
        code,
        {name: version for name, version in versions.items() if name in (subject.backend, "numpy", "opfuzz")},
        machine,
    )
    return {REPRODUCER: text, UPSTREAM: report}


def _raised(cause: Mapping[str, Any]) -> tuple[str, str]:
    """Class and first line of the exception that a cause tells of; two empty texts where it tells of none."""
    name = cause["name"] if cause["kind"] in ("raises", "out-of-memory") else ""
    return name, str(cause["figures"].get("words", "")).removeprefix(f"raised {name}").removeprefix(": ")


def publish_recorded(
    place: Path,
    finding: Mapping[str, Any],
    spec: OpSpec,
    case: Case,
    call: Call,
    outputs: tuple[NDArray[Any], ...] | None,
    origin: Origin,
) -> None:
    """Write the bundle of a finding that outputs of another program show, which cannot be made again here.

    `outputs` are what the program returned, None if there are none. Raises OpfuzzError if the disk refuses.
    """
    witness = finding.get("witness")
    element = Element(witness["output"], tuple(witness["index"])) if witness is not None else None
    beside = {NEXT: _encoded(next_steps(finding, spec, case, element, outputs is not None, origin))}
    if outputs is not None:
        names = [output_name(case.id, "", output.name) for output in spec.outputs]
        beside[OUTPUT] = save({name: np.asarray(each, order="C") for name, each in zip(names, outputs, strict=True)})
    recipe = Recipe(case, call).about(element)
    write_bundle(place, finding, spec, recipe, versions=origin.versions, beside=beside)


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")


def _mark(finding: Mapping[str, Any], element: Element | None) -> Mark | None:
    witness = finding.get("witness")
    if witness is None or element is None:
        return None
    computed, exact, ulp, bound = (number(witness[name]) for name in ("computed", "exact", "ulp", "bound"))
    ends = witness.get("ends") and (witness["ends"][0], witness["ends"][1])
    return Mark(element.index, computed, witness["computed_hex"], exact, ulp, bound, element.output, ends)
