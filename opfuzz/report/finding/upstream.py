"""A short bug report on one finding, ready to paste into the tracker of a framework."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from opfuzz.core.call import Call, Element
from opfuzz.core.files.strict_json import number
from opfuzz.core.floats import FORMATS
from opfuzz.report.causes.figures import right
from opfuzz.report.run.markdown import inert
from opfuzz.report.text import quantity
from opfuzz.spec.gradient import is_gradient

# What the title says of each verdict.
TITLES = {
    "crash": "fails",
    "timeout": "does not return",
    "out-of-memory": "runs out of memory",
    "unstable": "equal calls give different results",
    "special": "wrong special value",
    "wrong": "wrong result",
    "imprecise": "imprecise result",
    "narrow": "computes in a narrower format",
    "normwise": "large relative error where terms cancel",
    "unresolved": "result could not be judged",
    "ill-conditioned": "ill-conditioned",
}


def upstream(
    finding: Mapping[str, Any],
    call: str,
    functions: tuple[str, ...],
    made: Call,
    element: Element | None,
    code: str | None,
    versions: Mapping[str, str],
    machine: Mapping[str, str],
) -> str:
    """Text of `upstream.md`; `finding` is the document of `finding.json`, `made` the call
    that shows it, as `call` says in the spec, `code` shows it in a few lines, if any do.

    Whatever a framework or a spec wrote shows as it is written: no text ends its fence, none becomes HTML.
    """
    words = trigger_words(finding)
    name = _first(call, functions) or str(finding["op"])
    if element is not None and element.output:  # which of the functions that a tuple names made it is not known
        name = f"{finding['op']}, output {element.output}"
    condition = f" {words.removeprefix('fails ').split(';')[0]}" if words.startswith("fails when ") else ""
    title = f"{name}: {_symptom(finding)} for {finding['format']} on {finding['subject']}{condition}"
    views = [f"{input_} {layout}" for input_, layout in made.layouts.items() if layout != "contiguous"]
    sizes = ", ".join([*(f"{key} = {value}" for key, value in {**made.dims, **made.params}.items()), *views])
    shown = (
        fenced(code, "python")
        if code is not None
        else "The inputs are too many to write out: `repro.py` beside this text reads them from `inputs.safetensors`."
    )
    known = {name: version for name, version in {**versions, **machine}.items() if name != "opfuzz"}
    when = [f"- {readable(words)}"] if words else []
    parts = [
        f"# {readable(title)}",
        "## What happens",
        _happens(finding, element),
        "## When",
        "\n".join([*when, f"- shown at {readable(sizes or 'no sizes')}"]),
        "## Code",
        f"{'The call whose gradients are asked for' if is_gradient(finding['op']) else 'The call'}:"
        f"\n\n{fenced(call, 'python')}",
        shown,
        "## Versions",
        "\n".join(f"- {readable(f'{key}: {value}')}" for key, value in known.items()),
        f"Found with opfuzz {readable(versions.get('opfuzz', ''))}, which compares with exact results "
        f"(finding {readable(str(finding['id']))}, op {readable(str(finding['op']))}).",
    ]
    return "\n\n".join(parts) + "\n"


def readable(text: str) -> str:
    """`inert` text without the escapes that nothing needs inside a line, as people paste it where none is undone."""
    text = re.sub(r"(?<=\w)\\_(?=\w)", "_", inert(text))
    return re.sub(r"(?<=\w) &([gl])t;(?=[ =\d])", lambda found: " >" if found[1] == "g" else " <", text)


def trigger_words(finding: Mapping[str, Any]) -> str:
    """The condition under which a finding shows, as its smallest call has it; '' if none was inferred."""
    minimal = finding.get("minimal")
    trigger = minimal.get("trigger") if isinstance(minimal, Mapping) else None
    words = trigger.get("words") if isinstance(trigger, Mapping) else None
    return words if isinstance(words, str) else ""


def fenced(code: str, language: str) -> str:
    """A block of code that nothing in it can end."""
    longest = max(map(len, re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}"


def _first(call: str, functions: tuple[str, ...]) -> str:
    """The function that a call is about: the first that it names."""
    places = {name: call.find(f"{name}(") for name in functions}
    return min((name for name in functions if places[name] >= 0), key=lambda name: places[name], default="")


def _symptom(finding: Mapping[str, Any]) -> str:
    witness = finding.get("witness")
    if finding["verdict"] == "special" and witness is not None:
        return f"{_number(witness['computed'])} where {right(number(witness['exact']), witness.get('ends'))} is exact"
    return TITLES.get(str(finding["verdict"]), str(finding["verdict"]))


def _number(value: object) -> str:
    return f"{number(value):.9g}"


def _happens(finding: Mapping[str, Any], element: Element | None) -> str:
    witness = finding.get("witness")
    reason = readable(str(finding.get("diagnosis") or finding["reason"]))
    if witness is None:
        return f"{reason}."
    computed, exact, ulps = (number(witness[key]) for key in ("computed", "exact", "ulp"))
    where = ""
    if element is not None:
        output = f" in {element.output}" if element.output else ""
        where = output + (f" at index {list(element.index)}" if element.index else "")
    lines = [
        f"{reason}.\n",
        f"- computed{readable(where)}: {computed!r} ({readable(str(witness['computed_hex']))})",
        f"- exact: {right(exact, witness.get('ends'), None)}",
    ]
    if math.isfinite(ulps):
        lines.append(f"- error: {quantity(ulps)} ulp of {finding['format']}{_bits(computed, exact, finding['format'])}")
    return "\n".join(lines)


def _bits(computed: float, exact: float, format: str) -> str:
    """How many leading bits of the result are right."""
    if not (math.isfinite(computed) and math.isfinite(exact)) or exact == 0 or computed == exact:
        return ""
    precision = FORMATS[format].precision
    error = abs(computed - exact) / abs(exact)
    right = 0.0 if error >= 1 else min(float(precision), -math.log2(error))
    return f"; {right:.0f} of {precision} bits are right"
