"""The JSON Schema of run.json, made of the same annotations by which a run is written and read."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Union

from opfuzz.core.call import Call
from opfuzz.core.case import FIELDS, Case
from opfuzz.core.cause import KINDS, Cause
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.findings import Finding
from opfuzz.core.relation import Relation
from opfuzz.core.results import Mark, Witness
from opfuzz.core.run import Row, Run
from opfuzz.core.trigger import Condition, Trigger
from opfuzz.store.read import kinds_of
from opfuzz.store.write import SCHEMA

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}  # strict JSON has no others
ANYTHING: dict[str, Any] = {}
PLAIN: Mapping[Any, dict[str, Any]] = {
    str: TEXT,
    int: WHOLE,
    float: NUMBER,
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: ANYTHING,
    object: ANYTHING,
}
# What stands in the file beside the fields of a record, because it follows from them or is in words.
BESIDE: Mapping[type, Mapping[str, dict[str, Any]]] = {
    Finding: {
        "relation": TEXT,
        "signature": {"type": "array", "items": TEXT},
        "path": TEXT,
        "reason": TEXT,
        "diagnosis": {"type": ["string", "null"]},
    },
    Row: {"reason": TEXT},
    CommonCause: {"title": TEXT},
    Trigger: {"words": TEXT},
    Case: {"id": TEXT},
}
LEFT_OUT: Mapping[type, frozenset[str]] = {Call: frozenset({"arrays"}), Witness: frozenset({"mark"})}
FREE = {Condition: ("data",), Cause: ("figures",)}  # what depends on the kind


def run_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of run.json as this opfuzz writes it.

    Times are in seconds, errors in ulp, sizes in elements; NaN and infinities are texts. A reader may meet a file of an
    earlier schema, which opfuzz reads as well: its number is under `schema`.
    """
    found: dict[str, Any] = {}
    whole = _record(Run, found)
    whole["properties"] = {"schema": {"const": SCHEMA}, **whole["properties"]}
    whole["required"] = ["schema", *whole["required"]]
    return {
        "$schema": DIALECT,
        "$id": f"urn:opfuzz:run:{SCHEMA}",
        "title": "opfuzz run.json",
        **whole,
        "$defs": dict(sorted(found.items())),
    }


def _of(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value of this annotation; records that it holds are put among those that are found."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin in (types.UnionType, Union):
        return {"anyOf": [_of(each, found) for each in args]}
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": _of(args[0], found)}
        return {"type": "array", "prefixItems": [_of(each, found) for each in args], "items": False}
    if origin is list:
        return {"type": "array", "items": _of(args[0], found)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(args[1], found)}
    if kind in PLAIN:
        return PLAIN[kind]
    if kind.__name__ not in found:
        found[kind.__name__] = {}  # so that one inside it is no endless matter
        found[kind.__name__] = _record(kind, found)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _record(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    if kind is Cause:
        figures = {"type": "object", "propertyNames": {"enum": sorted({n for k in KINDS.values() for n in k.figures})}}
        properties = {"kind": {"enum": [*KINDS]}, "name": TEXT, "figures": figures}
        properties["relation"] = {"anyOf": [{"type": "null"}, _of(Relation, found)]}
        return _object(kind, properties, ["kind"])
    kinds, fields = kinds_of(kind), dataclasses.fields(kind)
    free, gone = FREE.get(kind, ()), LEFT_OUT.get(kind, frozenset())
    properties = {
        field.name: ({"type": "object"} if field.name in free else _of(kinds[field.name], found))
        for field in fields
        if field.name not in gone and (kind is not Case or field.name in FIELDS)
    }
    if kind is Witness:  # its mark lies flat in it
        properties |= {name: _of(each, found) for name, each in kinds_of(Mark).items()}
    return _object(kind, {**properties, **BESIDE.get(kind, {})}, list(properties))


def _object(kind: Any, properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    words = (kind.__doc__ or "").strip().partition("\n")[0]
    return {
        "description": words,
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }
