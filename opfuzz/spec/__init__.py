"""From YAML to an OpSpec: one op as a spec file describes it, its sizes, its order, its profile."""

from opfuzz.core.case import Value
from opfuzz.spec.load import load, load_all
from opfuzz.spec.op import Dim, Input, OpSpec, OpVariant, Output, Param, Vocabulary
from opfuzz.spec.schema import json_schema

__all__ = [
    "Dim",
    "Input",
    "OpSpec",
    "OpVariant",
    "Output",
    "Param",
    "Value",
    "Vocabulary",
    "json_schema",
    "load",
    "load_all",
]
