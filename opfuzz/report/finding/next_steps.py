"""How to go on with a finding that recorded outputs show: opfuzz did not make the call, and may be unable to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opfuzz.core.call import Element
from opfuzz.core.case import Case
from opfuzz.core.files.strict_json import number
from opfuzz.report.causes.figures import right
from opfuzz.report.run.markdown import inert
from opfuzz.report.text import quantity
from opfuzz.spec import OpSpec


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a recorded output came from."""

    subject: str  # as `opfuzz repro` takes it; "" for a program that opfuzz cannot call
    file: str  # of the inputs, in the folder of exported cases
    number: int  # of the case, in its op and format
    seed: int
    is_profiled: bool  # whether the case may lie near a profile's operating point
    versions: Mapping[str, str]
    machine: Mapping[str, str]


def next_steps(
    finding: Mapping[str, Any],
    spec: OpSpec,
    case: Case,
    element: Element | None,
    has_output: bool,
    origin: Origin,
) -> str:
    """Text of `next.md`; `finding` is the document of `finding.json`, `element` is what decided."""
    settings = [f"{name} = {value}" for name, value in {**case.dims, **case.params}.items()]
    views = [f"{name} {layout}" for name, layout in case.layouts.items() if layout != "contiguous"]
    parts = [
        f"# {inert(finding['op'])} on {inert(finding['subject'])} in {finding['format']}: {inert(finding['verdict'])}",
        f"{inert(finding.get('diagnosis') or finding['reason'])}.",
        "The output was recorded elsewhere, and opfuzz judged it. It did not make the call, so the call is as it was "
        "drawn, nothing was made smaller, and there is no program here that would show it.",
        "## The call",
        "\n".join(
            [
                f"- {inert(', '.join([*settings, *views]) or 'no sizes')}",
                f"- case {origin.number} of {inert(case.op)} in {case.format}, seed {origin.seed}, id `{case.id}`",
                f"- inputs: `inputs.safetensors` as they lie in memory, `call.json` says how; in the exported folder "
                f"`{origin.file}`, tensors `{case.id}/...`",
                *_element(finding, element, has_output),
            ]
        ),
        "## How to go on",
        "\n".join(_steps(spec, case, origin)),
        *_environment(origin),
    ]
    return "\n\n".join(parts) + "\n"


def elsewhere(finding: Mapping[str, Any], absence: str) -> str:
    """Text of `next.md` where the subject is not on the machine that writes: a run on a cluster found it."""
    parts = [
        f"# {inert(finding['op'])} on {inert(finding['subject'])} in {finding['format']}: {inert(finding['verdict'])}",
        f"{inert(finding.get('diagnosis') or finding['reason'])}.",
        "A machine of a cluster found it, and the one that wrote this folder cannot call the subject: "
        f"{inert(absence)}. On a machine that can, `opfuzz repro .` in this folder makes the call again, and "
        "`opfuzz shrink .` writes `repro.py`, which needs the framework and NumPy alone.",
    ]
    return "\n\n".join(parts) + "\n"


def _element(finding: Mapping[str, Any], element: Element | None, has_output: bool) -> list[str]:
    if not has_output:
        return ["- output: none"]
    lines = ["- output: `output.safetensors`, all of it as it was recorded"]
    witness = finding.get("witness")
    if witness is not None and element is not None:
        computed, exact, ulps = (number(witness[name]) for name in ("computed", "exact", "ulp"))
        output = f"{inert(element.output)} " if element.output else ""
        lines.append(
            f"- {output}at index {list(element.index)}: computed {computed!r} ({inert(witness['computed_hex'])}), "
            f"exact {right(exact, witness.get('ends'), None)}, {quantity(ulps)} ulp"
        )
    return lines


def _steps(spec: OpSpec, case: Case, origin: Origin) -> list[str]:
    lines = [
        "- Does another subject show it? `opfuzz repro . --subject torch:cpu` in this folder; the spec has calls for "
        f"{', '.join(sorted(spec.calls))}."
    ]
    if origin.subject:
        lines.append(
            f"- On a machine that has {inert(origin.subject)}: `opfuzz repro .` makes the call again, and "
            "`opfuzz shrink .` makes it smaller and writes `repro.py`."
        )
    else:
        lines.append(
            "- Call the program on the inputs of this case alone, and hold what it returns against the exact value."
        )
    profile = " --profile ..." if origin.is_profiled else ""
    lines.append(
        f"- When it is mended: `opfuzz cases export again --op {case.op} --format {case.format} "
        f"--cases {origin.number + 1} --seed {origin.seed}{profile}` writes this case and those before it."
    )
    return lines


def _environment(origin: Origin) -> list[str]:
    known = {**origin.versions, **origin.machine}
    if not known:
        return []
    return ["## Recorded with", "\n".join(f"- {inert(f'{name}: {value}')}" for name, value in known.items())]
