"""Conditions of a fault in words: where, from which size on, for which values, on what before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opfuzz.core.cause import Cause
from opfuzz.core.relation import DISTURBED
from opfuzz.report.causes.figures import counted, figure, named

WHOLE = {
    256: ", beyond the whole numbers of bfloat16 (8 bits)",
    2048: ", beyond the whole numbers of float16 (11 bits)",
}


def word_condition(cause: Cause) -> str:
    """What a fault depends on."""
    return _CONDITIONS[cause.name](dict(cause.figures), cause)


def _place(given: Mapping[str, Any], cause: Cause) -> str:
    wrong, size = given["wrong"], given["elements"]
    if wrong == size:
        return f"all {size} elements are wrong"
    share = f"{wrong} of {size} elements are wrong"
    return f"{share}, only {named(map(_part, given['parts']))}" if "parts" in given else share


def _part(part: Sequence[Any]) -> str:
    how, size, name, *indices = part
    along = f"of {size} along {name}"
    match how, indices:
        case "every", [step, first]:
            return f"at every {step}th index from {first} {along}"
        case "from", [first]:
            more = WHOLE.get(first, WHOLE.get(first - 1, ""))
            return f"from index {first} on {along}{more}" if first < size - 1 else f"at the last index {along}"
        case "up to", [last]:
            return f"up to index {last} {along}" if last else f"at the first index {along}"
        case _:
            return f"at indices {indices[0]} to {indices[1]} {along}"


def _tail(given: Mapping[str, Any], cause: Cause) -> str:
    share = f"{given['wrong']} of {given['elements']} elements are wrong"
    return f"{share}, only behind the last multiple of {given['vector']}, as in the tail of a vector loop"


def _size(given: Mapping[str, Any], cause: Cause) -> str:
    return f"only where {named(f'{name} {how} {size}' for name, how, size in given['conditions'])}"


def _history(given: Mapping[str, Any], cause: Cause) -> str:
    return "wrong only after a call of the same shapes with other values: the first call of a shape is right"


def _chance(given: Mapping[str, Any], cause: Cause) -> str:
    return "the same call made again is right, so it depends on earlier calls, or on chance"


def _repetition(given: Mapping[str, Any], cause: Cause) -> str:
    if "changed" in given:
        if not given["changed"]:
            return "four more equal calls gave equal bits"
        return f"{given['changed']} of {counted(given['elements'], 'element')} change within five equal calls"
    is_disturbed = cause.relation is not None and cause.relation.kind == DISTURBED
    return "other bits" if is_disturbed else "the same call twice gave different bits"


def _values(given: Mapping[str, Any], cause: Cause) -> str:
    if "classes" in given:
        return "; ".join(map(_class, given["classes"]))
    most = f"most at x = {figure(given['most'])} ({figure(given['excess'])} times the allowance)"
    return f"wrong for {named(map(_range, given['ranges']))}, {most}"


def _class(found: Sequence[Any]) -> str:
    ranges, got, right, is_limit, landmark = found
    words = (
        f"{named(map(_range, ranges))} gives {_name(got)}, {'the limit is' if is_limit else 'exact is'} {_name(right)}"
    )
    return words if landmark is None else f"{words} ({landmark[0]} overflows from {figure(landmark[1])} on)"


def _name(of_class: float | None) -> str:
    return "a number" if of_class is None else f"{of_class:g}"


def _range(ends: Sequence[float]) -> str:
    low, high, share = ends
    if low == high:
        return f"x = {low:g}"
    tried = f" ({share:.0%} of those tried)" if share < 0.995 else ""
    return f"x from {figure(low)} to {figure(high)}{tried}"


def _layout(given: Mapping[str, Any], cause: Cause) -> str:
    listed = named(f"{name} as a view ({layout})" for name, layout in given["views"])
    instead = f"'{given['instead']}' instead" if given["instead"] else "right"
    words = f"only with {listed}: with every input contiguous it is {instead}"
    return f"{words}; the NaN may come from memory beside the view" if given["beside"] else words


def _holders(given: Mapping[str, Any], cause: Cause) -> str:
    return f"where {named(map(_holder, given['inputs']))}"


def _holder(found: Sequence[Any]) -> str:
    name, how, *values = found
    match how:
        case "throughout":
            return f"{name} is {figure(values[0])} throughout"
        case "reaches":
            return f"{name} reaches {figure(values[0])}"
        case _:
            return f"{name} holds {named('NaN' if value != value else f'{value:g}' for value in values)}"


_CONDITIONS: Mapping[str, Callable[[Mapping[str, Any], Cause], str]] = {
    "place": _place,
    "tail": _tail,
    "size": _size,
    "history": _history,
    "chance": _chance,
    "repetition": _repetition,
    "values": _values,
    "layout": _layout,
    "holders": _holders,
}
