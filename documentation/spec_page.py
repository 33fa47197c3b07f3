"""The page of the keys of a spec, from what the loader knows."""

from __future__ import annotations

import inspect
from typing import Any

from documentation.tables import code, page, table
from opfuzz.generate.regimes import REGIMES
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec import json_schema

INTRODUCTION = """
What a spec may say, as `opfuzz schema` has it for editors. [The spec language](../specs/README.md) explains what it
means, and [Add an op](new-op.md) begins with an example.
"""


def spec_page() -> str:
    """Markdown: the keys of a spec, of an input, an output and a variant; reference functions; regimes."""
    schema = json_schema()
    names = {"": schema, **schema.get("$defs", {})}
    titles = {"InputKeys": "Of an input", "OutputKeys": "Of an output", "VariantKeys": "Of a variant"}
    sections = [_keys("Of a spec", names[""])] + [_keys(title, names[name]) for name, title in titles.items()]
    functions = [[code(f"{name}{_signature(function)}")] for name, function in REFERENCE_FUNCTIONS.items()]
    sections.append("## Functions of a reference\n\n" + table(["function"], functions))
    sections.append("## Regimes\n\n" + ", ".join(map(code, REGIMES)))
    return page("Keys of a spec", "python -m documentation", INTRODUCTION, *sections)


def _keys(title: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    alternatives = [key for one in schema.get("oneOf", ()) for key in one["required"]]
    rows = []
    for key, told in schema["properties"].items():
        need = "yes" if key in required else "one of these" if key in alternatives else ""
        rows.append([code(key), need, _type(told), told.get("description", "")])
    return f"## {title}\n\n" + table(["key", "needed", "what stands there", "meaning"], rows)


def _type(told: dict[str, Any]) -> str:
    """What may stand there, in a word or two."""
    if "$ref" in told:
        return f"keys of {_of(told['$ref'])}"
    if "enum" in told:
        return ", ".join(map(code, told["enum"]))
    if "anyOf" in told:
        return " or ".join(dict.fromkeys(map(_type, told["anyOf"])))
    match told.get("type"):
        case "array":
            return f"list of {_type(told['items'])}"
        case "object":
            values = told.get("additionalProperties") or next(iter(told.get("patternProperties", {"": {}}).values()))
            return f"name: {_type(values)}" if isinstance(values, dict) and values else "mapping"
        case "string":
            return "range, such as `1..`" if "\\.\\." in told.get("pattern", "") else "text"
        case "integer" | "number":
            return "number"
        case "boolean":
            return "`true` or `false`"
        case "null":
            return "`null`"
        case _:
            return "anything"


def _of(reference: str) -> str:
    name = reference.rpartition("/")[2].removesuffix("Keys").lower()
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _signature(function: Any) -> str:
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([each.replace(annotation=each.empty) for each in parameters]))
