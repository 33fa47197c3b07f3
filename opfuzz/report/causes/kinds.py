"""A row for each kind of cause: its words. What judging says is short; a diagnosis has the figures that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log2
from typing import Any

from opfuzz.core.cause import Cause
from opfuzz.report.causes.conditions import word_condition
from opfuzz.report.causes.figures import counted, figure, named, on_all, right

LANES = {1: "strictly sequentially"}


def _given(cause: Cause) -> dict[str, Any]:
    return dict(cause.figures)


def _lanes(lanes: int) -> str:
    return LANES.get(lanes, f"in {lanes} lanes")


def _fit(given: Mapping[str, Any]) -> str:
    own = given.get("own")
    beyond = f", where the spec's own is exceeded {figure(own)} times" if own is not None else ""
    return f"the output is within {figure(given['fit'])} of its allowance {on_all(given['elements'])}{beyond}"


def _variant(cause: Cause) -> str:
    given = _given(cause)
    if "fit" in given:
        note = f" ({given['note']})" if given.get("note") else ""
        return f"it is the variant '{cause.name}'{note}: {_fit(given)}"
    return f"behaves as the variant '{cause.name}'" + (f": {given['note']}" if given.get("note") else "")


def _cuts(cause: Cause) -> str:
    given = _given(cause)
    return (
        f"it has no gradient through {cause.name} (step {given['step']} of {given['steps']}): {given['met']} of "
        f"{counted(given['elements'], 'wrong element')} are what the other steps give, within {figure(given['after'])} "
        f"of the allowance in place of {figure(given['before'])}"
    )


MOVED = {"reversed": "reversed along axis {}", "shifted": "shifted by {} along axis {}"}
MOVED |= {"transposed": "transposed in axes {} and {}", "zero": "0 at the {} place along axis {}"}
# What is wrong on the way back, about what.
MISTAKES = {
    "term": "it leaves out the term {} on the way back",
    "factor": "it leaves out the factor {} on the way back",
    "sign": "it has the other sign of {} on the way back",
    "square": "it has not squared on the way back",
    "own term": "each element has its own term in the place of the sum on the way back",
    "mean": "it has the mean in the place of the sum on the way back",
    "sum": "it has the sum in the place of the mean on the way back",
    "last term": "it leaves out the last term of a sum on the way back",
    "overwritten": "what goes to one place is overwritten, not added up: the last of equal indices stays",
    "averaged": "what goes to one place is averaged, not added up",
    "other way": "its running sum on the way back goes the other way",
    "out of order": "it does not put elements back in order",
}


def _as_predicted(given: Mapping[str, Any]) -> str:
    return (
        f"{given['met']} of {counted(given['elements'], 'wrong element')} are as that gives, within "
        f"{figure(given['after'])} of the allowance in place of {figure(given['before'])}"
    )


def _kink(cause: Cause) -> str:
    count = counted(_given(cause)["elements"], "wrong element")
    return f"it is wrong at kinks alone, where it lies outside of what any convention gives: all of {count}"


def _scales(cause: Cause) -> str:
    if not cause.name:
        factors = ", ".join(f"{factor:.3g}" for factor in _given(cause)["factors"])
        return f"all elements are off by one factor, another in each call ({factors}): {_as_predicted(_given(cause))}"
    return f"it is {cause.name} times what is right: {_as_predicted(_given(cause))}"


def _arranges(cause: Cause) -> str:
    how, *places = _given(cause)["how"]
    return f"it is {MOVED[how].format(*places)}: {_as_predicted(_given(cause))}"


def mistake_words(cause: Cause) -> str:
    """One mistake on the way back."""
    return MISTAKES[cause.name].format(cause.figures["about"])


def _mistakes(cause: Cause) -> str:
    return f"{mistake_words(cause)}: {_as_predicted(_given(cause))}"


def _cancels(cause: Cause) -> str:
    if "absolute" not in cause.figures:
        return "relative accuracy is lost where the result is small"
    where = f"absolute accuracy only{cause.name and f' in {cause.name}'}"
    return f"it has {where}: off by up to {cause.figures['absolute']:.2g} however small the result is"


def _formula(cause: Cause) -> str:
    given = _given(cause)
    label = f"the formula '{cause.name}'" + (f" ({given['note']})" if given.get("note") else "")
    if given.get("fails"):
        where = f" in {given['inside']}" if given.get("inside") else ""
        return f"it fails where {label} does, which has the same infinities and NaN when it is run{where}"
    if "own" in given:
        return (
            f"it loses what {label} loses: its error is {figure(given['worst'])} times the allowance, "
            f"that formula's own in {given['inside']} {figure(given['own'])} times"
        )
    return f"loses what the formula '{cause.name}' loses" + (f": {given['note']}" if given.get("note") else "")


def _setting(cause: Cause) -> str:
    given = _given(cause)
    match given["how"]:
        case ("value", value):
            words = f"{cause.name} were {value}"
        case ("at most", value):
            words = f"{cause.name} were {f'{figure(value)} at most' if value else 0}"
        case ("rounded to", fmt):
            words = f"{cause.name} were rounded to {fmt}"
        case ("times", what):
            return f"{cause.name} counts times {what}, solved for on {given['elements']} rows"
        case ("exchanged", other):
            words = f"{cause.name} and {other} were exchanged"
        case ("reversed", axis):
            words = f"{cause.name} were reversed along axis {axis}"
        case ("shifted", by, axis):
            words = f"{cause.name} were shifted by {by} along axis {axis}"
        case ("unheeded", end, axis):
            words = f"{cause.name} were 0 at the {end} place along axis {axis}"
        case ("in turn", count, axis):
            words = f"the {count} groups along axis {axis} of {cause.name} were taken element by element in turn"
        case ("in groups", count, axis):
            words = f"axis {axis} of {cause.name} were taken as {count} groups, whose elements lie {count} apart"
        case (how,):
            words = f"{cause.name} were {how}"
    return f"it computes as if {words}: {_fit(given)}"


def _special(cause: Cause) -> str:
    given = _given(cause)
    return f"returned {given['computed']:g} where {right(given['exact'], given.get('ends'))} is right"


def _leaks(cause: Cause) -> str:
    return (
        f"NaN and infinities reach {counted(_given(cause)['elements'], 'element')} that depend on none: "
        "these are right when all NaN and infinities of the inputs are replaced by 1"
    )


def _inherits(cause: Cause) -> str:
    given = _given(cause)
    what = f"with {cause.name} as it computes that and all else exact"
    count = counted(given["met"], "element")
    if given["before"]:
        excesses = f"{figure(given['after'])} times the allowance instead of {figure(given['before'])}"
        return f"it inherits {cause.name}: {what}, the errors are the same on {count} ({excesses})"
    return f"it inherits {cause.name}: {what}, the same NaN and infinities come out on {count}"


def _computes_in(cause: Cause) -> str:
    given = _given(cause)
    if "instead_of" in given:
        called = f"{on_all(given['elements'])} it returns what its {cause.name} call does"
        return f"it computes {given['instead_of']} as {cause.name}: {called}"
    if "met" in given:
        count = counted(given["met"], "element")
        what = f"with that and all else exact, the same NaN and infinities come out on {count}"
        if given["before"]:
            excesses = f"{figure(given['after'])} times the allowance instead of {figure(given['before'])}"
            what = f"with that and all else exact, the errors are the same on {count} ({excesses})"
        return f"it {computed_in(given, cause.name)}: {what}"
    words = f"rounds intermediates to {cause.name}"
    return f"{words}, which could make any value of this" if given.get("blind") else words


STEPS = {"div": "a quotient", "mul": "a product", "add": "a sum of two", "sub": "a difference", "sum": "a sum"}


def computed_in(given: Mapping[str, Any], name: str) -> str:
    """What is rounded to the format `name`: inputs and results, or a step, if it is known which."""
    if "through" in given:
        return f"takes its {' and '.join(given['through'])} through {name}, whose range is smaller"
    step = given["step"]
    return f"rounds {STEPS.get(step, step) or 'an intermediate'} inside to {name}"


def _accumulates_in(cause: Cause) -> str:
    given = _given(cause)
    if given.get("are_results"):
        return (
            f"each running result is made of the last, rounded to {cause.name}, and stands still where terms are small"
        )
    if "lanes" not in given:
        return f"sums are added up in {cause.name}"
    if "end" not in given:
        return f"sums {_lanes(given['lanes'])} in {cause.name}"
    where = "" if given["lanes"] == 1 else f" in {given['lanes']} lanes"
    what = "squares of ones" if given["are_squares"] else "ones"
    return (
        f"it accumulates in {cause.name}{where}: sums of {what} stop at {given['end']} "
        f"(of {given['ones']} along {given['dim']}; a sum in {cause.name} stops at {given['stops_at']})"
    )


def _sums(cause: Cause) -> str:
    given = _given(cause)
    if "repeats" in given:
        return f"terms of a sum are equal, {figure(given['repeats'])} of each, and their roundings add up"
    if "errors" not in given:
        return f"sums {_lanes(given['lanes'])}"
    errors = ", ".join(map(figure, given["errors"]))
    return (
        f"it sums {_lanes(given['lanes'])}, uncompensated: the error of {given['term']} added "
        f"{', '.join(map(str, given['terms']))} times along {cause.name} is {errors} roundings; "
        f"that order's own is {figure(given['own'])} at the end"
    )


KEPT = {"TF32": "TF32: numbers beyond 65504 stay finite", "float16": "float16: numbers beyond 65504 overflow"}


def _rounds_inputs(cause: Cause) -> str:
    given = _given(cause)
    names, verb = given["inputs"], given["verb"]
    kept = f" ({KEPT.get(cause.name, cause.name)})" if cause.name else ""
    against = ""
    if "after" in given:
        excesses = f"{figure(given['after'])} instead of {figure(given['before'])}"
        against = f"; against those the excess is {excesses}"
    done = f"{'they are' if len(names) > 1 else 'it is'} {'rounded' if verb == 'rounds' else 'cut'} so before the call"
    return f"it {verb} {named(names)} to {given['bits']} bits{kept}: the output has the same bits when {done}{against}"


CUT = {
    "first": "codes of its first factor",
    "second": "codes of its second factor",
    "sums": "sums of products",
    "pairs": "sums of two products",
    "running": "running sums of products",
}


def what_saturates(cause: Cause) -> str:
    """What is cut off, and where: `sums of products saturate at -32768 and 32767`."""
    given = _given(cause)
    how = "wrap" if given["wraps"] else "saturate"
    inside = f" in the variant '{given['variant']}'" if given["variant"] else ""
    return f"{CUT[cause.name]} {how} at {given['low']} and {given['high']}{inside}"


def _saturates(cause: Cause) -> str:
    given = _given(cause)
    excesses = f"{figure(given['after'])} times the allowance instead of {figure(given['before'])}"
    met = f"the errors are the same on {counted(given['met'], 'element')} ({excesses})"
    return f"{what_saturates(cause)}: with that and all else exact, {met}"


def _results_in(cause: Cause) -> str:
    given = _given(cause)
    return (
        f"its results are {cause.name} numbers, {given['bits']} bits: all {given['elements']} that are not 0, where "
        f"{given['unheld']} of the exact results need more bits"
    )


def _quantises(cause: Cause) -> str:
    given = _given(cause)
    if "fit" in given and not cause.name:
        return (
            f"it quantises its results to int{given['bits']} {given['grid']}: the output is within "
            f"{figure(given['fit'])} of the allowance of the exact results so quantised {on_all(given['elements'])}"
        )
    if "fit" in given:
        return (
            f"it quantises {cause.name} to int{given['bits']} {given['grid']}: the output is within "
            f"{figure(given['fit'])} of the allowance of the exact result on that {on_all(given['elements'])}"
        )
    return (
        f"its results lie on int{given['bits']} steps: {given['values']} values, multiples of {figure(given['step'])} "
        f"apart, for {given['exact']} different exact results"
    )


def _overflows(cause: Cause) -> str:
    if "beyond" in cause.figures:
        given = _given(cause)
        finite, infinite = (f"2^{log2(given[end]):.0f}" for end in ("finite", "infinite"))
        ends = f"ordinary values times {finite} are finite, times {infinite} not"
        return f"it overflows beyond {given['beyond']:.0f}, as {cause.name} inside does: {ends}"
    if "step" in cause.figures:
        return f"{cause.figures['step']} overflows {cause.name} on the way, from {cause.figures['from']:.3g} on"
    return f"an intermediate overflows {cause.name or 'in the usual formula'}"


def _usual_formula(cause: Cause) -> str:
    return f"errs as the usual formula {f'in {cause.name} ' if cause.name else ''}does"


READ = {
    "reads-as-contiguous": "as if it were contiguous, its strides and offset ignored",
    "ignores-offset": "from the start of its rows, its offset ignored",
    "ignores-gaps": "as if there were no gaps between its rows",
}


def _misread(cause: Cause) -> str:
    view = f"{cause.name} ({_given(cause)['layout']})"
    return f"{view} is read {READ[cause.kind]}: the output has the bits of the call on what lies there"


def _bits(cause: Cause) -> str:
    return f"{_given(cause)['bits']:.1f} effective bits of {_given(cause)['of']}"


def _behaves(cause: Cause) -> str:
    given = _given(cause)
    if "own" not in given:
        return f"no worse than {cause.name}"
    own, lower = figure(given["own"]), figure(given["lower"])
    return f"it behaves like {cause.name}: {own} times the allowance, {lower} times that of {cause.name}"


def _unexplained(cause: Cause) -> str:
    given = _given(cause)
    if "bits" not in given:
        return "no variant and no lower precision explains it"
    nothing = "no variant, no lower precision and no order of summation explains it"
    return f"behaves like {given['bits']:.1f} bits of {given['of']}: {nothing}"


def _rounds_argument(cause: Cause) -> str:
    times = figure(_given(cause)["roundings"])
    return (
        "it errs as if its argument were rounded on the way: "
        f"its error is {times} times what one rounding of the argument does"
    )


def _wrong_shape(cause: Cause) -> str:
    remedy = "; a call that is meant to compute in another format ends with cast(..., dtype)"
    return _told(cause) + (remedy if cause.name == "dtype" else "")


def _at_call(cause: Cause) -> str:
    sizes = [f"{name} = {value}" for name, value in _given(cause)["sizes"]]
    return "at " + ", ".join([*sizes, *(f"{name} {layout}" for name, layout in _given(cause)["views"])])


def _told(cause: Cause) -> str:
    return str(cause.figures["words"])


WORDS: Mapping[str, Callable[[Cause], str]] = {
    "": lambda cause: "",
    "raises": _told,
    "wrong-shape": _wrong_shape,
    "hangs": _told,
    "dies": _told,
    "out-of-memory": _told,
    "unsupported": _told,
    "told": _told,
    "fails": _told,
    "unknown-truth": _told,
    "is-variant": _variant,
    "is-setting": _setting,
    "cuts-gradient": _cuts,
    "outside-kink": _kink,
    "scales-gradient": _scales,
    "arranges-gradient": _arranges,
    "mistakes-gradient": _mistakes,
    "special-at": _special,
    "leaks": _leaks,
    "inherits": _inherits,
    "computes-in": _computes_in,
    "accumulates-in": _accumulates_in,
    "rounds-counts": lambda cause: f"counts, as of the terms of a mean, are rounded to {cause.name}",
    "rounds-tables": lambda cause: f"tables that no input has a part in, such as angles, are rounded to {cause.name}",
    "keeps-in": lambda cause: f"y is rounded to {cause.name} before exp(x - y), which the way back takes of it",
    "rounds-inputs": _rounds_inputs,
    "rounds-argument": _rounds_argument,
    "quantises": _quantises,
    "saturates": _saturates,
    "results-in": _results_in,
    "formula": _formula,
    "sums": _sums,
    "usual-formula": _usual_formula,
    "overflows-inside": _overflows,
    "underflows-inside": lambda cause: f"takes subnormal {cause.name or 'intermediates'} for zero",
    "cancels": _cancels,
    "conditioning": lambda cause: "errs no more than inputs that were rounded once",
    "reads-as-contiguous": _misread,
    "ignores-offset": _misread,
    "ignores-gaps": _misread,
    "depends-on": word_condition,
    "natural-nan": lambda cause: "IEEE arithmetic of the usual formula gives NaN there too, by 0 * inf or inf - inf",
    "bits": _bits,
    "behaves-like": _behaves,
    "unconfirmed": lambda cause: "rounding its inputs does not confirm it",
    "at-call": _at_call,
    "undiagnosed": lambda cause: f"its diagnosis failed: {_told(cause)}",
    "unexplained": _unexplained,
}
