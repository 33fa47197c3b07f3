"""Two files of tensors: what is different, which tensor diverged first, and what its difference is."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.strict_json import strict
from opfuzz.network.diff.alignment import Alignment, align_in_order, known, needs_alignment
from opfuzz.network.diff.compare import Side, TensorComparison, compare, is_input
from opfuzz.network.diff.names import Matching, NamePairs, arrange, pair_names
from opfuzz.network.diff.pair import allowed
from opfuzz.network.execution import ModuleOf
from opfuzz.network.tensors import TensorFile
from opfuzz.network.trace.names import is_inside

# An error grows along a network, so the first tensor beyond rounding is guilty only if its error is a jump: eight times
# the largest before it. From one layer to the next rounding grew at most 2.1 times in the decoder that `pair` measured
# (by rms over spread), and the mildest fault planted there jumped 2e4 times.
JUMP = 8

# What rounding may come to, as a multiple of what it does in one layer, before it is a fault although nothing that
# follows differs, or nothing jumps: a sine of 1,000 rad loses a thousand units in its argument.
GROWN = 16

NEPER = 20 / math.log(10)  # decibels in a difference of 1 between natural logarithms of amplitudes


# Where the order comes from: the user, the metadata of a file, or, for want of one, the names.
GIVEN, OF_A, OF_B, BY_NAMES = "given", "a", "b", "names"


@dataclass(frozen=True, slots=True)
class Diff:
    """Two files, compared."""

    a: str
    b: str
    tensors: tuple[TensorComparison, ...]  # in order of execution
    matching: Matching
    divergence: int | None  # place in `tensors` of the first divergence in that order
    order: str
    modules: Mapping[str, ModuleOf]  # of A, by name of the tensor
    excused: Mapping[str, str | None]  # tensors that differ and are no divergence, and the module that says so

    @property
    def is_jump(self) -> bool:
        """Whether the first divergence is a jump, and not an error from before it that has grown."""
        if self.divergence is None:
            return False
        before = max((t.inherited for t in self.tensors[: self.divergence] if not t.is_excused), default=0.0)
        return self.tensors[self.divergence].inherited > JUMP * before

    @property
    def name(self) -> str | None:
        """The tensor that diverged first in the order, by its name in A."""
        return None if self.divergence is None else self.tensors[self.divergence].name

    @property
    def first(self) -> str | None:
        """The same, where the order is known and not guessed from names."""
        return None if self.order == BY_NAMES else self.name

    @property
    def within(self) -> str | None:
        """The innermost module that ran which holds the first divergence and the tensor before it; may be itself."""
        if not self.divergence or self.first is None:
            return None
        before, here = (self.modules.get(t.name) for t in self.tensors[self.divergence - 1 : self.divergence + 1])
        if not (before and here and before.name and here.name):
            return None
        if is_inside(before.name, here.name):
            return here.name if before.name != here.name else None
        above = modules_above(here.name, {module.name for module in self.modules.values()} - {""})
        return above[0] if above and is_inside(before.name, above[0]) else None


def diff(a: TensorFile, b: TensorFile, renamed: Mapping[str, str], order: Sequence[str]) -> Diff:
    """Every tensor that both have, one pair in memory at a time.

    In `order`, else in the order that a file has in its metadata, else in that of the names. Raises OpfuzzError if
    they have no name in common, and no orders by which to find out which is which.
    """
    if a.is_named or b.is_named:
        named = pair_names(a.names(), b.names(), renamed)
    else:
        named = NamePairs({a.names()[0]: b.names()[0]}, "", "")
    alignment = Alignment(named.pairs, frozenset())
    if needs_alignment(a, b, named.pairs):
        alignment = align_in_order(known(a), known(b), named.pairs, fixed=set(renamed))
    if not alignment.pairs:
        raise OpfuzzError(_nothing_in_common(a, b))
    source, order = _order(a, b, alignment.pairs, order)
    matching = arrange(alignment.pairs, a.names(), b.names(), order, (named.prefix_a, named.prefix_b))
    compared = [
        compare(a.read(x), b.read(y), (x, y), is_given=is_input(x) or (not place and x not in a.execution.modules))
        for place, (x, y) in enumerate(matching.pairs)
    ]
    tensors, excused = settle(compared, a.execution.modules, alignment.guessed)
    divergence = first_divergence(tensors)
    if divergence is not None and source != BY_NAMES and not _is_listed(tensors[divergence], order, named.prefix_a):
        source = BY_NAMES  # the order is of other tensors
    return Diff(str(a.path), str(b.path), tensors, matching, divergence, source, a.execution.modules, excused)


def _order(a: TensorFile, b: TensorFile, pairs: Mapping[str, str], given: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Where the order comes from, and names in A in it."""
    back = {other: name for name, other in pairs.items()}
    for source, names in ((GIVEN, tuple(given)), (OF_A, a.execution.order)):
        if names:
            return source, names
    of_b = tuple(back[name] for name in b.execution.order if name in back)
    return (OF_B, of_b) if of_b else (BY_NAMES, () if len(pairs) > 1 else tuple(pairs))


def _is_listed(tensor: TensorComparison, order: Sequence[str], prefix: str) -> bool:
    return tensor.name in order or tensor.name.removeprefix(prefix) in order or tensor.is_input


def settle(
    compared: Sequence[TensorComparison], modules: Mapping[str, ModuleOf], guessed: Collection[str]
) -> tuple[tuple[TensorComparison, ...], dict[str, str | None]]:
    """The tensors, those that differ and are no divergence marked as such, with the modules whose output says so.

    Axes of equal lengths that are exchanged are another layout if what comes next agrees. What differs inside a module
    whose output agrees had no effect: there the work is divided otherwise, or two tensors are no pair. The whole
    model's output says so of guessed pairs only, since it may be a choice that hides a difference. What is hardly
    beyond rounding, where what follows is not, comes from an ill-conditioned function, and is no fault: None.
    """
    tensors = list(compared)
    for place in reversed(range(len(tensors) - 1)):
        other = tensors[place].exchanged
        if other is not None and not tensors[place + 1].diverges:
            tensors[place] = other
    agreeing = {modules[t.name].name for t in tensors if t.name in modules and not t.diverges and not t.is_input}
    differing = {modules[t.name].name for t in tensors if t.name in modules and t.diverges}
    excused = dict[str, str | None]()
    for tensor in tensors:
        if tensor.diverges and tensor.name in modules:
            above = modules_above(modules[tensor.name].name, agreeing - differing)
            if above and (above[0] or tensor.name in guessed):
                excused[tensor.name] = above[0]
    for tensor, following in pairwise(tensors):
        if tensor.diverges and tensor.name not in excused:
            is_slight = tensor.relative <= GROWN * allowed(tensor.unit) and not tensor.mismatch
            if not is_slight:
                break  # the rest inherits
            if not following.diverges:
                excused[tensor.name] = None
    return tuple(replace(t, diverges=False, is_excused=True) if t.name in excused else t for t in tensors), excused


def modules_above(name: str, known: Collection[str]) -> list[str]:
    """Those of `known` that a module is inside of, the innermost first."""
    found = []
    while name:
        name = name.rpartition(".")[0]
        if name in known:
            found.append(name)
    return found


def _nothing_in_common(a: TensorFile, b: TensorFile) -> str:
    name, other = a.names()[0], b.names()[0]
    near = did_you_mean(name, b.names())
    return (
        f"{a.path} and {b.path} have no name in common: '{name}' is in the first, '{other}' in the second{near}; "
        "give --map FILE, a mapping from names in the first to names in the second"
    )


def first_divergence(tensors: Sequence[TensorComparison]) -> int | None:
    """The first tensor whose error is beyond rounding and a jump from all before it.

    Where errors only creep beyond rounding, the first that is there, unless they stay near it; None if none is.
    """
    largest = 0.0
    for index, tensor in enumerate(tensors):
        if tensor.is_excused:
            continue
        if tensor.diverges and tensor.inherited > JUMP * largest:
            return index
        largest = max(largest, tensor.inherited)
    has_grown = any(t.diverges and t.relative > GROWN * allowed(t.unit) for t in tensors)
    return next((index for index, t in enumerate(tensors) if t.diverges), None) if has_grown else None


def document(diff: Diff) -> dict[str, Any]:
    """What `--json` prints and the text is made of: strict JSON, NaN and infinities as "nan", "inf", "-inf"."""
    found = {
        "first_divergence": diff.first,
        "divergence": diff.name,
        "order": diff.order,
        "is_jump": diff.is_jump,
        "within": diff.within,
        "module": diff.modules[name].name if (name := diff.name or "") in diff.modules else None,
        "excused": dict(diff.excused),
        "a": diff.a,
        "b": diff.b,
        "only_a": list(diff.matching.only_a),
        "only_b": list(diff.matching.only_b),
        "prefix_a": diff.matching.prefix_a,
        "prefix_b": diff.matching.prefix_b,
        "tensors": [_row(tensor) for tensor in diff.tensors],
    }
    return dict(strict(found))


def _row(tensor: TensorComparison) -> dict[str, Any]:
    drift = asdict(tensor.drift) if tensor.drift else dict.fromkeys(_FIGURES)
    figures = {"corr": tensor.drift.corr if tensor.drift else None, **{name: drift[name] for name in _FIGURES}}
    return {
        "name": tensor.name,
        **figures,
        "mae_db": drift["mae"] and NEPER * drift["mae"],
        "max_db": drift["max"] and NEPER * drift["max"],
        "max_ulp": tensor.max_ulp,
        "relative": tensor.relative,
        "unit": tensor.unit,
        "diverges": tensor.diverges,
        "explanation": tensor.explanation,
        **_side(tensor.a, "a"),
        **_side(tensor.b, "b"),
    }


_FIGURES = ("decorrelation", "mae", "median", "max", "rms", "shift")


def _side(side: Side, suffix: str) -> dict[str, Any]:
    return {f"{name}_{suffix}": value for name, value in asdict(side).items()}
