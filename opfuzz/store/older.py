"""What an older opfuzz wrote, as this one writes it: its sentences are kept, and nothing is read out of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opfuzz.core.layout import LAYOUTS
from opfuzz.core.relation import Relation

_WHOLE = {"contiguous": "contiguous", "eager": "eager", "after other work": "disturbed", "repeated call": "repeated"}
_SHIFTED = "without the first "


# What schema 2 said of a change, and has no word for now; all of it was about cases that differ.
_UNCERTAIN = {
    "known-open": "not in the earlier run, but a known fault of another",
    "cases-differ": "not tried before, or new: the cases differ",
    "row-is-fault": "the row is a fault now",
    "not-made-again": "its call was not made again",
    "flickers": "such a fault comes and goes",
}


def upgrade(document: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """A run.json of an older schema as one of this.

    Of schema 1 a reason is a cause of the kind `told`, and of the call that shows a finding only what the smallest one
    says is known. Of schema 2 what was only not seen again is left out of what changed.
    Raises ValueError where it is no such document.
    """
    try:
        return _with_causes_first(_with_causes(document) if schema == 1 else document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"of schema {schema}, and damaged: {error!r:.80}") from None


def _with_causes_first(document: Mapping[str, Any]) -> dict[str, Any]:
    """Schema 2 as 3: what changed was told of findings first, and a cause was new whoever brought it."""
    if (comparison := document.get("comparison")) is None:
        return dict(document)
    changes = [{**c, "remark": _remark(c["remark"])} for c in comparison["findings"] if c["status"] != "unseen"]
    causes = [
        {**c, "status": "discovered" if c["status"] == "new" else c["status"]}
        for c in comparison.get("causes", ())
        if c["status"] != "unseen"
    ]
    return {**document, "comparison": {**comparison, "findings": changes, "causes": causes}}


def _remark(remark: Mapping[str, Any]) -> dict[str, Any]:
    kept = _without(remark, "why")
    told = _UNCERTAIN.get(remark["kind"])
    return kept if told is None else {"kind": "told", "about": told}


def _with_causes(document: Mapping[str, Any]) -> dict[str, Any]:
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
