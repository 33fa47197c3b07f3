"""What an older opfuzz wrote, as this one writes it: its sentences are kept, and nothing is read out of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opfuzz.core.layout import LAYOUTS
from opfuzz.core.relation import Relation

_WHOLE = {"contiguous": "contiguous", "eager": "eager", "after other work": "disturbed", "repeated call": "repeated"}
_SHIFTED = "without the first "


def upgrade(document: Mapping[str, Any]) -> dict[str, Any]:
    """A run.json of schema 1 as one of schema 2.

    A reason is a cause of the kind `told`; of the call that shows a finding only what the smallest one says is known.
    Raises ValueError, KeyError or TypeError where it is no such document.
    """
    try:
        return _upgraded(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"of schema 1, and damaged: {error!r:.80}") from None


def _upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(document)
    found["ranking"] = [_row(row) for row in document["ranking"]]
    found["findings"] = [_finding(finding) for finding in document["findings"]]
    found["replayed"] = [_standing(standing) for standing in document.get("replayed", ())]
    if (comparison := document.get("comparison")) is not None:
        changes = [
            {**_without(c, "words"), "remark": {"kind": "told", "about": c["words"]}} for c in comparison["findings"]
        ]
        shifts = [{**_without(s, "words"), "figure": _figure(s)} for s in comparison["rows"]]
        found["comparison"] = {**comparison, "findings": changes, "rows": shifts}
    return found


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "cause": _told(row["reason"]), "alike": row["verdicts"].get(row["verdict"], 0)}


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    relation = _relation(finding["relation"])
    cause = {**_told(finding["reason"]), "relation": relation}
    recipe = {"case": None, "call": finding.get("call"), "relation": relation}
    causes = [_told(finding["diagnosis"])] if finding.get("diagnosis") else []
    kept = _without(finding, "call")
    return {**kept, "cause": cause, "causes": causes, "alike": finding["cases"], "recipe": recipe}


def _standing(standing: Mapping[str, Any]) -> dict[str, Any]:
    words = standing["reason"]
    is_made = standing["status"] != "not replayed"
    return {**_without(standing, "reason"), "cause": _told(words if is_made else ""), "why": "" if is_made else words}


def _told(words: str) -> dict[str, Any]:
    return {"kind": "told" if words else "", "figures": {"words": words} if words else {}}


def _figure(shift: Mapping[str, Any]) -> str:
    """What moved: the verdict, else the figure that moved by more."""
    if shift["verdicts"][0] != shift["verdicts"][1]:
        return "verdict"
    return "excess" if shift["excess"][0] != shift["excess"][1] else "max_ulp"


def _relation(name: str) -> dict[str, Any] | None:
    """The relation that has this id; None for the call itself."""
    if name in _WHOLE:
        return {"kind": _WHOLE[name]}
    first, _, rest = name.partition(" ")
    if first in LAYOUTS:
        found = Relation("view", rest, first)
    elif name.startswith("rows of "):
        found = Relation("rows", name.removeprefix("rows of "))
    elif name.endswith(" reversed"):
        found = Relation("reversed", name.removesuffix(" reversed"))
    elif name.startswith(_SHIFTED) and name.removeprefix(_SHIFTED).isdigit():
        found = Relation("shifted", by=int(name.removeprefix(_SHIFTED)))
    else:
        return None
    return {"kind": found.kind, "name": found.name, "layout": found.layout, "by": found.by}


def _without(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != name}
