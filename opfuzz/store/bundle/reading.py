"""A bundle read back: every field is held against the spec before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call, Element
from opfuzz.core.case import Case
from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError, SpecError, did_you_mean
from opfuzz.core.files.strict_json import number
from opfuzz.core.findings import Apart
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS, applicable, apply, placed
from opfuzz.core.relation import relation_id
from opfuzz.core.verdicts import CLEAN, SEVERITY
from opfuzz.spec import Input, OpSpec, Vocabulary, load
from opfuzz.spec.expression.program import ExpressionError, evaluate
from opfuzz.spec.gradient import gradient_of, is_gradient
from opfuzz.store.bundle.checking import check_sizes, checked_dims, checked_params, dtype_of, named
from opfuzz.store.bundle.files import CALL, CASE, FINDING, INPUTS, SPEC, damaged, document, opened
from opfuzz.store.bundle.tensors import Wanted, read_tensors

SCHEMA = 2
FIELDS = (
    "schema", "op", "digest", "format", "subject", "relation", "switch", "dims", "params", "layouts", "output", "index",
    "versions", "lacking",
)  # fmt: skip
LONE: Mapping[str, str] = {"output": ""}  # what schema 1 does not say: all ops had one output without a name


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """One finding as it was written, and the call that shows it."""

    place: Path
    finding: Mapping[str, Any]
    call: Call
    subject: str
    cause: Cause  # and the relation that showed it
    switch: Mapping[str, str] | None  # layouts that the call is compared with
    spec: OpSpec
    element: Element | None  # that decided, in the outputs of the call
    versions: Mapping[str, str]
    case: Case | None  # from which the call came; None where no regime draws its values
    apart: Apart | None = None  # of a second cause: what it is told from another by
    lacking: tuple[str, ...] = ()  # inputs by which a gradient was not asked for

    @property
    def witness(self) -> Mapping[str, Any] | None:
        """The element that decided, as numbers."""
        found: Mapping[str, Any] | None = self.finding.get("witness")
        return found


def read_bundle(place: Path, words: Vocabulary) -> Bundle:
    """The bundle in a folder. Raises OpfuzzError, in one line, for all that is damaged, missing or contradictory."""
    finding = _finding(place)
    fields = _fields(place)
    for name in ("op", "subject", "format", "relation"):
        if finding[name] != fields[name]:
            raise damaged(place, CALL, f"{name} is {fields[name]!r:.40}, {FINDING} says {finding[name]!r:.40}")
    spec = _spec(place, words)
    if is_gradient(fields["op"]):
        spec = gradient_of(spec)
    case = _case(place) if (finding.get("recipe") or {}).get("case") is not None else None
    for name, own in (("op", spec.op), ("digest", spec.digest)):
        if fields[name] != own:
            raise damaged(place, CALL, f"{name} is {fields[name]!r:.40}, that of {SPEC} is '{own}'")
        if case is not None and getattr(case, name) != own:
            raise damaged(place, CASE, f"{name} is {getattr(case, name)!r:.40}, that of {SPEC} is '{own}'")
    try:
        return _Checked(place, fields, spec).bundle(finding, case)
    except (ValueError, TypeError, ArithmeticError, ExpressionError) as error:  # of formulas on sizes, too
        raise damaged(place, CALL, str(error)) from None


def _finding(place: Path) -> dict[str, Any]:
    found = document(place, FINDING)
    for name in ("id", "op", "subject", "format", "verdict", "severity", "relation", "reason"):
        if not isinstance(found.get(name), str):
            raise damaged(place, FINDING, f"{name} is {found.get(name)!r:.40}, not text")
    if SEVERITY.get(found["verdict"], CLEAN) != found["severity"] or found["severity"] == CLEAN:
        raise damaged(place, FINDING, f"unknown verdict {found['verdict']!r:.40} of severity {found['severity']!r:.40}")
    if "cause" not in found:
        raise damaged(place, FINDING, "it has no cause, as an older opfuzz wrote it; a new run finds it anew")
    try:
        cause = Cause.from_json(found["cause"])
    except ValueError as error:
        raise damaged(place, FINDING, str(error)) from None
    if relation_id(cause.relation) != found["relation"]:
        raise damaged(place, FINDING, f"relation is {found['relation']!r:.40}, that of its cause is another")
    witness = found.get("witness")
    if witness is not None:
        if not isinstance(witness, dict):
            raise damaged(place, FINDING, "the witness is no object")
        try:
            numbers = {name: number(witness.get(name)) for name in ("computed", "exact", "ulp", "bound")}
            ends = _ends(witness.get("ends"))
        except ValueError as error:
            raise damaged(place, FINDING, f"the witness: {error}") from None
        if not isinstance(witness.get("computed_hex"), str):
            raise damaged(place, FINDING, "the witness has no computed_hex")
        found["witness"] = {**LONE, **witness, **numbers, "ends": ends}
    return found


def _ends(value: object) -> tuple[float, float] | None:
    """The least and the largest right value; None where one is right. Raises ValueError for what is neither."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"ends is {value!r:.40}, not two numbers")
    return number(value[0]), number(value[1])


def _apart(finding: Mapping[str, Any]) -> Apart | None:
    """What tells a second cause from the first. Raises ValueError for what says nothing of the kind."""
    found = finding.get("apart")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"apart is {found!r:.40}, not an object with a cause and the one beside it")
    return Apart(Cause.from_json(found.get("cause")), Cause.from_json(found.get("beside")))


def _fields(place: Path) -> dict[str, Any]:
    found = document(place, CALL)
    if found.get("schema") == 1 and type(found["schema"]) is int:
        found = {**LONE, **found, "schema": SCHEMA}
    found = {"lacking": [], **found}  # written before gradients could lack inputs
    for name in found:
        if name not in FIELDS:
            raise damaged(place, CALL, f"unknown key {name!r:.40}{did_you_mean(name, FIELDS)}")
    if missing := [name for name in FIELDS if name not in found]:
        raise damaged(place, CALL, f"missing {', '.join(missing)}")
    if found["schema"] != SCHEMA or type(found["schema"]) is not int:
        raise damaged(place, CALL, f"schema {found['schema']!r:.40}; this opfuzz reads up to {SCHEMA}")
    for name in ("op", "digest", "format", "subject", "relation", "output"):
        if not isinstance(found[name], str):
            raise damaged(place, CALL, f"{name} is {found[name]!r:.40}, not text")
    for name in ("dims", "params", "layouts", "versions"):
        if not isinstance(found[name], dict):
            raise damaged(place, CALL, f"{name} is {found[name]!r:.40}, not an object with a value by name")
    return found


def _spec(place: Path, words: Vocabulary) -> OpSpec:
    with opened(place, SPEC):
        pass
    try:
        return load(place / SPEC, words)
    except SpecError as error:
        first, more = error.problems[0], len(error.problems) - 1
        others = f", and {more} more" if more else ""
        raise damaged(place, SPEC, f"line {first.line}, column {first.column}: {first.message}{others}") from None


def _case(place: Path) -> Case:
    found = document(place, CASE)
    try:
        return Case.from_json(found)
    except OpfuzzError as error:
        raise damaged(place, CASE, str(error)) from None


class _Checked:
    """The fields of call.json, each held against the spec; ValueError says what is wrong with one."""

    def __init__(self, place: Path, fields: Mapping[str, Any], spec: OpSpec) -> None:
        self.place, self.fields, self.spec = place, fields, spec
        if fields["format"] not in FORMATS:
            raise ValueError(f"unknown format {fields['format']!r:.40}{did_you_mean(fields['format'], FORMATS)}")
        if fields["format"] not in spec.formats:
            raise ValueError(f"format {fields['format']} is not among those of the spec: {', '.join(spec.formats)}")
        self.dims = checked_dims(spec, fields["dims"])
        self.params = checked_params(spec, fields["params"])
        check_sizes(spec, self.dims, self.params)

    def bundle(self, finding: Mapping[str, Any], case: Case | None) -> Bundle:
        """The whole, with its arrays. Raises OpfuzzError for a damaged file of inputs."""
        fields = self.fields
        layouts = self._layouts("layouts", fields["layouts"])
        switch = None if fields["switch"] is None else self._layouts("switch", fields["switch"])
        element = self._element()
        for name, version in fields["versions"].items():
            if not isinstance(version, str):
                raise ValueError(f"the version of {name!r:.40} is {version!r:.40}, not text")
        cause = Cause.from_json(finding["cause"])
        call = Call(fields["format"], self.dims, self.params, self._arrays(layouts), layouts)
        return Bundle(
            self.place,
            finding,
            call,
            fields["subject"],
            cause,
            switch,
            self.spec,
            element,
            fields["versions"],
            case,
            _apart(finding),
            self._lacking(),
        )

    def _layouts(self, what: str, given: object) -> dict[str, str]:
        if not isinstance(given, dict):
            raise ValueError(f"{what} is {given!r:.40}, not an object with a layout by input")
        found = named(what, given, [item.name for item in self.spec.inputs])
        shapes = self.spec.shapes(self.dims, self.params)
        for name, layout in found.items():
            if not isinstance(layout, str) or layout not in LAYOUTS:
                raise ValueError(f"unknown layout {layout!r:.40} of {name}{did_you_mean(str(layout)[:40], LAYOUTS)}")
        return {name: layout if applicable(layout, shapes[name]) else LAYOUTS[0] for name, layout in found.items()}

    def _lacking(self) -> tuple[str, ...]:
        given = self.fields["lacking"]
        known = () if self.spec.gradient is None else self.spec.gradient.inputs
        if not isinstance(given, list) or not all(name in known for name in given) or set(known) == set(given) != set():
            raise ValueError(f"lacking is {given!r:.60}, not a list of some inputs of {', '.join(known) or 'none'}")
        return tuple(given)

    def _element(self) -> Element | None:
        index, output = self.fields["index"], self.fields["output"]
        if index is None:
            return None
        shapes = self.spec.output_shapes(self.dims, self.params)
        if output not in shapes:
            raise ValueError(f"output is {output!r:.40}, the spec has {', '.join(map(repr, shapes))}")
        shape = shapes[output]
        if not isinstance(index, list) or not all(type(place) is int for place in index):
            raise ValueError(f"index is {index!r:.40}, not a list of integers")
        if len(index) != len(shape) or not all(0 <= at < size for at, size in zip(index, shape, strict=True)):
            raise ValueError(f"index {index!r:.60} is outside the output's shape {list(shape)}")
        return Element(output, tuple(index))

    def _arrays(self, layouts: Mapping[str, str]) -> dict[str, NDArray[Any]]:
        shapes = self.spec.shapes(self.dims, self.params)
        fmt = self.fields["format"]
        where = {item.name: placed(shapes[item.name], layouts[item.name]) for item in self.spec.inputs}
        wanted: dict[str, Wanted] = {item.name: (where[item.name][0], dtype_of(item, fmt)) for item in self.spec.inputs}
        arrays = {}
        with opened(self.place, INPUTS) as (file, size):
            try:
                buffers = read_tensors(file, size, wanted)
                for item in self.spec.inputs:
                    seen = apply(buffers[item.name], where[item.name][1])
                    arrays[item.name] = np.array(seen, order="C", copy=True)
                    self._check_values(item, arrays[item.name])
            except ValueError as error:
                raise damaged(self.place, INPUTS, str(error)) from None
        return arrays

    def _check_values(self, item: Input, array: NDArray[Any]) -> None:
        """Raises ValueError for what no such input may hold: some kernels do not look where an index points."""
        if item.kind == "index" and array.size:
            assert item.below is not None  # the loader gives every index a limit
            below = evaluate(item.below, {**self.dims, **self.params}, {})
            if type(below) is not int or array.min() < 0 or array.max() >= below:
                raise ValueError(f"input {item.name} has an index outside 0 to {below!r:.40}, the latter excluded")
        elif item.kind == "additive_mask" and not ((array == 0) | (array == -math.inf)).all():
            raise ValueError(f"input {item.name} is a mask that is added, and has values besides 0 and -inf")
