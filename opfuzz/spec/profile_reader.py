"""From a profile's YAML to its record, checked against the specs of the ops that it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from opfuzz.core.errors import SpecError
from opfuzz.core.files.yaml_nodes import Node, Table, read
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.nodes import NodeReader, description
from opfuzz.spec.profile import PROBABILITIES, OperatingPoint, Profile, Values
from opfuzz.spec.schema import Keys

_T = TypeVar("_T")


class ProfileKeys(Keys):
    """One pipeline."""

    profile: str
    points: list[object]
    gains: dict[str, float] = Field(default_factory=dict)


class PointKeys(Keys):
    """Calls of one op with the same dims and params."""

    op: str
    count: int
    dims: dict[str, int]
    params: dict[str, object] = Field(default_factory=dict)
    inputs: dict[str, object] = Field(default_factory=dict)


class ValuesKeys(Keys):
    """The values of one input."""

    quantiles: list[float]
    mean: float
    sd: float


def read_profile(path: Path, specs: Iterable[OpSpec] | None = None) -> Profile:
    """The profile in a file, held against `specs`; points of other ops are taken as they are.

    Raises SpecError with all problems of the file; it is one that no op of the profile is among `specs`.
    """
    source, root = read(path, "profile", "profile, gains, points")
    known = None if specs is None else {spec.op: spec for spec in specs}
    profile = _Reader(NodeReader(source), known).profile(root)
    if source.problems or profile is None:
        raise SpecError(source.problems)
    return profile


class _Reader:
    """Reads the sections of one file; None stands for what cannot be read and is noted."""

    def __init__(self, nodes: NodeReader, specs: Mapping[str, OpSpec] | None) -> None:
        self.nodes = nodes
        self.specs = specs

    def profile(self, root: Node) -> Profile | None:
        fields = self.nodes.fields(root, ProfileKeys, "the profile")
        if fields is None or not fields.keys() >= {"profile", "points"}:
            return None
        name = self.nodes.text(fields["profile"], "the name of the profile")
        items = self.nodes.items(fields["points"], "points", minimum=1) or ()
        points = _given(self._point(item) for item in items)
        if points and self.specs is not None and not any(point.op in self.specs for point in points):
            listed = ", ".join(dict.fromkeys(point.op for point in points))
            self.nodes.report(fields["points"], f"none of these ops is to be run: {listed}")
        gains = self._entries(fields.get("gains"), "gains", self._gain)
        ops = {point.op for point in points}
        gained = fields.get("gains")
        for op, (key, _) in gained.entries.items() if isinstance(gained, Table) else ():
            if op not in ops and len(points) == len(items):
                self.nodes.unknown(key, "op", op, ops)
        return None if name is None else Profile(name, points, gains)

    def _point(self, node: Node) -> OperatingPoint | None:
        fields = self.nodes.fields(node, PointKeys, "a point")
        if fields is None or not fields.keys() >= {"op", "count", "dims"}:
            return None
        op = self.nodes.text(fields["op"], "op") or ""
        count = self._whole(fields["count"], "count", least=1)
        dims = self._entries(fields["dims"], "dims", lambda n, what: self._whole(n, what, least=0))
        params = {
            name: found[0] for name, found in self._entries(fields.get("params"), "params", self.nodes.value).items()
        }
        inputs = self._entries(fields.get("inputs"), "inputs", self._values)
        spec = self.specs.get(op) if self.specs else None
        if spec is not None and not self._fits(node, fields, spec, dims, params):
            return None
        return None if count is None else OperatingPoint(op, count, dims, params, inputs)

    def _fits(
        self,
        node: Node,
        fields: Mapping[str, Node],
        spec: OpSpec,
        dims: Mapping[str, int],
        params: Mapping[str, Value],
    ) -> bool:
        """Whether the spec has these names and allows these sizes."""
        known = {
            "dim": ("dims", [dim.name for dim in spec.dims]),
            "param": ("params", [param.name for param in spec.params]),
            "input": ("inputs", [given.name for given in spec.inputs]),
        }
        before = len(self.nodes.source.problems)
        for noun, (section, names) in known.items():
            table = fields.get(section)
            entries = table.entries if isinstance(table, Table) else {}
            for name, (key, _) in entries.items():
                if name not in names:
                    self.nodes.unknown(key, f"{noun} of {spec.op}", name, names)
            missing = [name for name in names if name not in entries] if noun != "input" else []
            if missing and all(name in names for name in entries):
                self.nodes.report(table or node, f"missing {noun} of {spec.op}: {', '.join(missing)}")
        if len(self.nodes.source.problems) > before or len(dims) < len(spec.dims) or len(params) < len(spec.params):
            return False
        for param in spec.params:
            if not param.is_like(params[param.name]):
                self.nodes.report(fields["params"], f"param '{param.name}' of {spec.op} has no value of this kind")
                return False
        if not spec.allows(dims, params):
            self.nodes.report(node, f"the spec of {spec.op} does not allow these dims and params")
            return False
        return True

    def _values(self, node: Node, what: str) -> Values | None:
        fields = self.nodes.fields(node, ValuesKeys, what)
        if fields is None or not fields.keys() >= {"quantiles", "mean", "sd"}:
            return None
        items = self.nodes.items(fields["quantiles"], f"quantiles of {what}") or ()
        quantiles = _given(self._number(item, "a quantile") for item in items)
        mean, sd = self._number(fields["mean"], "the mean"), self._number(fields["sd"], "the sd", least=0.0)
        if len(quantiles) != len(items) or mean is None or sd is None:
            return None
        if len(items) != len(PROBABILITIES):
            at = ", ".join(f"{p:g}" for p in PROBABILITIES)
            self.nodes.report(
                fields["quantiles"], f"{len(items)} quantiles of {what}, not {len(PROBABILITIES)}, one for each of {at}"
            )
            return None
        for item, (first, second) in zip(items[1:], pairwise(quantiles), strict=True):
            if second < first:
                self.nodes.report(item, f"quantiles of {what} ascend; {second:g} stands behind {first:g}")
                return None
        return Values(quantiles, mean, sd)

    def _gain(self, node: Node, what: str) -> float | None:
        return self._number(node, what, least=0.0)

    def _number(self, node: Node, what: str, *, least: float | None = None) -> float | None:
        found = self.nodes.value(node, what)
        if found is None:
            return None
        if type(found[0]) not in (int, float):
            self.nodes.report(node, f"{what} must be a number, not {description(node)}")
            return None
        number = float(found[0])  # type: ignore[arg-type]
        if least is not None and number < least:
            self.nodes.report(node, f"{what} must be {least:g} or more, not {description(node)}")
            return None
        return number

    def _whole(self, node: Node, what: str, *, least: int) -> int | None:
        found = self.nodes.value(node, what)
        if found is None:
            return None
        if type(found[0]) is not int or found[0] < least:
            self.nodes.report(node, f"{what} must be a whole number of {least} or more, not {description(node)}")
            return None
        return found[0]

    def _entries(self, node: Node | None, section: str, read_one: Callable[[Node, str], _T | None]) -> dict[str, _T]:
        """The entries of a mapping that can be read."""
        table = None if node is None else self.nodes.table(node, section)
        entries = table.entries if table else {}
        found = ((name, read_one(entry, f"'{name}' in {section}")) for name, (_, entry) in entries.items())
        return {name: value for name, value in found if value is not None}


def _given(items: Iterable[_T | None]) -> tuple[_T, ...]:
    return tuple(item for item in items if item is not None)
