"""A case: one concrete call of one op, its id and its place in the order from simple to complicated."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS

Value = int | float | bool | str | None

SEED_LIMIT = 2**64


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One concrete call. Its inputs are a pure function of it; cases with equal ids are equal.

    Raises OpfuzzError if a field has a value that no case can have.
    """

    op: str
    digest: str  # of the spec
    format: str
    dims: Mapping[str, int]
    params: Mapping[str, Value]
    regimes: Mapping[str, str]  # by input
    layouts: Mapping[str, str]  # by input
    seed: int  # 0 to 2^64 - 1
    id: str = field(init=False)  # 16 hex digits

    def __post_init__(self) -> None:
        for name in ("dims", "params", "regimes", "layouts"):
            mapping = getattr(self, name)
            if not isinstance(mapping, Mapping) or not all(isinstance(key, str) for key in mapping):
                raise OpfuzzError(f"case: {name} is {mapping!r:.40}, not an object with a value by name")
            object.__setattr__(self, name, dict(mapping))  # no caller can change it afterwards
        _check(self)
        object.__setattr__(self, "id", hashlib.blake2b(canonical(self._content()), digest_size=8).hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Case) and self.id == other.id

    def __hash__(self) -> int:
        return int(self.id, 16)

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in {**self.dims, **self.params}.items())
        return f"{self.op}[{self.format}]({settings}) {self.id}"

    def _content(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    def to_json(self) -> dict[str, Any]:
        """All fields, and the id, as what JSON can hold."""
        return {"id": self.id, **{name: _plain(value) for name, value in self._content().items()}}

    @classmethod
    def from_json(cls, document: object) -> Case:
        """The case that `to_json` wrote, or a person; `id` may be left out.

        Raises OpfuzzError that names the field and repeats what was written.
        """
        if not isinstance(document, Mapping):
            raise OpfuzzError(f"a case is an object with {', '.join(FIELDS)}, not {document!r:.80}")
        for name in document:
            if name not in FIELDS and name != "id":
                raise OpfuzzError(f"case: unknown key '{name}'{did_you_mean(str(name), (*FIELDS, 'id'))}")
        missing = [name for name in FIELDS if name not in document]
        if missing:
            raise OpfuzzError(f"case: missing {', '.join(missing)}")
        case = cls(**{name: document[name] for name in FIELDS})
        if "id" in document and document["id"] != case.id:
            raise OpfuzzError(
                f"case: the id is {document['id']!r:.40} but the fields have the id '{case.id}'; "
                "if they were changed on purpose, leave the id out"
            )
        return case


FIELDS = ("op", "digest", "format", "dims", "params", "regimes", "layouts", "seed")


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(content: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys, no spaces, floats as the shortest text that reads back equal."""
    return _JSON.encode(content).encode()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _check(case: Case) -> None:
    for field_name in ("op", "digest", "format"):
        if not isinstance(getattr(case, field_name), str):
            raise OpfuzzError(f"case: {field_name} is {getattr(case, field_name)!r:.40}, not text")
    if case.format not in FORMATS:
        raise OpfuzzError(f"case: unknown format '{case.format}'{did_you_mean(case.format, FORMATS)}")
    if type(case.seed) is not int or not 0 <= case.seed < SEED_LIMIT:
        raise OpfuzzError(f"case: seed is {case.seed!r:.40}, not an integer from 0 to 2^64 - 1")
    for name, size in case.dims.items():
        if type(size) is not int or size < 0:
            raise OpfuzzError(f"case: dim {name} is {size!r:.40}, not an integer of 0 or more")
    for name, value in case.params.items():
        if value is not None and type(value) not in (int, float, bool, str):
            raise OpfuzzError(f"case: param {name} is {value!r:.40}, not a number, true, false, text or null")
        if isinstance(value, float) and not math.isfinite(value):
            raise OpfuzzError(f"case: param {name} is {value}; a param is finite")
    for name, regime in case.regimes.items():
        if not isinstance(regime, str):
            raise OpfuzzError(f"case: regime of {name} is {regime!r:.40}, not text")
    for name, layout in case.layouts.items():
        if not isinstance(layout, str) or layout not in LAYOUTS:
            raise OpfuzzError(f"case: unknown layout '{layout!s:.40}' of {name}{did_you_mean(str(layout), LAYOUTS)}")
    if case.regimes.keys() != case.layouts.keys():
        raise OpfuzzError(f"case: regimes are given for {_listed(case.regimes)}, layouts for {_listed(case.layouts)}")


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "no input"
