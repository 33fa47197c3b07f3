"""A trigger: the condition under which a fault shows, in words and as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from opfuzz.core.errors import OpfuzzError

Kind = Literal["size", "param", "format", "layout", "values"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_NONE = {"size": "any size", "param": "", "format": "any format", "layout": "any layout", "values": "any values"}
_INCOMPLETE = "not everything was probed"
_REFUTED = "which does not tell all that was tried"
_NOT_SIMPLE = "no simple condition tells when it fails"
_UNKNOWN = "when it fails was not probed to an end"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold: `n >= 1025`, `float32 only`, `x transposed`.

    `data` says the same for a program: the names that it is about, a relation, and a value that JSON can hold.
    """

    kind: Kind
    text: str
    data: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All fields, as what JSON can hold."""
        return {"kind": self.kind, "text": self.text, "data": dict(self.data)}


@dataclass(frozen=True, slots=True)
class Trigger:
    """Conditions that hold together where a fault shows; a kind without a condition does not matter.

    Of `checked` further calls, drawn inside and outside the conditions, `held` went as they say. Without `complete`,
    probing ended early, or some condition was refuted, and nothing is said of what has none.
    """

    conditions: tuple[Condition, ...]
    checked: int = 0
    held: int = 0
    complete: bool = True

    def text(self, kind: Kind) -> str:
        """The conditions of one kind, joined; '' if there is none."""
        return " and ".join(each.text for each in self.conditions if each.kind == kind and each.text)

    @property
    def words(self) -> str:
        """One sentence: `fails when m >= 2 and n >= 2; float32 only; any layout; any values`."""
        if not self.complete:  # what was not probed may matter
            known = [text for kind in KINDS if (text := self.text(kind))]
            is_refuted = self.held < self.checked
            asked = [f"holds for {self.held} of {self.checked} further calls"] if is_refuted else []
            if not known:
                return "; ".join([_NOT_SIMPLE if is_refuted else _UNKNOWN, *asked])
            return "; ".join([f"fails when {known[0]}", *known[1:], *([_REFUTED, *asked] if asked else [_INCOMPLETE])])
        size, *rest = [text for kind in KINDS if (text := self.text(kind) or _NONE[kind])]
        start = f"fails when {size}" if self.text("size") else f"fails at {size}"
        rest += [
            f"not seen beyond {' * '.join(each.data['dims'])} = {each.data['seen_to']}"
            for each in self.conditions
            if each.data.get("seen_to") is not None
        ]
        if self.held < self.checked:
            rest.append(f"holds for {self.held} of {self.checked} further calls")
        return "; ".join((start, *rest))

    def to_json(self) -> dict[str, Any]:
        """All fields, and the words, as what JSON can hold."""
        return {
            "words": self.words,
            "conditions": [each.to_json() for each in self.conditions],
            "checked": self.checked,
            "held": self.held,
            "complete": self.complete,
        }

    @classmethod
    def from_json(cls, document: object) -> Trigger:
        """The trigger that `to_json` wrote. Raises OpfuzzError if it is none."""
        if not isinstance(document, Mapping):
            raise OpfuzzError(f"not a trigger: {document!r:.80}")
        try:
            conditions = tuple(_condition(each) for each in document["conditions"])
            checked, held, complete = document["checked"], document["held"], document["complete"]
            is_sound = type(checked) is int and type(held) is int and 0 <= held <= checked and type(complete) is bool
        except (KeyError, TypeError, ValueError):
            is_sound = False
        if not is_sound:
            raise OpfuzzError(f"not a trigger: {document!r:.80}")
        return cls(conditions, checked, held, complete)


def _condition(document: Mapping[str, Any]) -> Condition:
    """Raises KeyError, TypeError or ValueError if it is none."""
    kind, text, data = document["kind"], document["text"], document["data"]
    if kind not in KINDS or not isinstance(text, str):
        raise ValueError(kind)
    return Condition(kind, text, dict(data))
