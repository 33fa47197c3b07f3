"""What is planted: one fault, or one honest implementation that only looks different."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.user_module import load
from opfuzz.core.trigger import Kind, Trigger

CALL = "call"  # the key of `replace` for the text of the op's call itself, where there is no function to replace
KINDS = ("fault", "honest")
SHAPE: tuple[Kind, ...] = ("size", "layout")  # what a condition is about

# Files of mutants, in the order of a report; a file is named after what triggers its faults.
BUNDLED = (
    "size",
    "layout",
    "special",
    "accumulation",
    "precision",
    "history",
    "dtype",
    "attribute",
    "semantics",
    "honest",
)
# The same of gradients.
BUNDLED_GRADIENTS = (
    "formula",
    "places",
    "asked",
    "layout",
    "size",
    "history",
    "special",
    "ties",
    "scatter",
    "accumulation",
    "precision",
    "honest",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """Published functions of torch replaced by others, so that `op` and every op that calls them changes.

    `replace` maps dotted names to functions, and "call" to another text for the call of `op`. `cause` is what a
    diagnosis of the fault must say, in any case of letters, alternatives with | between them; "" expects nothing.
    `fewest` elements of inputs and output together can show it, and `fewest_finite` with one finite number for another
    where NaN or infinity need fewer: a finding is made smaller with the symptom that it has. `condition` is what a
    trigger must say of sizes and layouts, alternatives with | between them. Raises OpfuzzError for another kind, and
    where nothing is replaced.
    """

    name: str
    op: str
    replace: Mapping[str, Callable[..., Any] | str]
    kind: Literal["fault", "honest"] = "fault"
    cause: str = ""
    fewest: int | None = None  # None: not known
    fewest_finite: int | None = None  # None: no more
    condition: str = ""  # "": it shows at any size and in any layout
    trigger: str = ""  # the class of fault: the name of the file

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OpfuzzError(f"mutant '{self.name}': unknown kind '{self.kind}'; known: {', '.join(KINDS)}")
        if not self.replace:
            raise OpfuzzError(f"mutant '{self.name}' replaces nothing; write replace={{'torch.sum': function}}")
        for word, value in self.replace.items():
            if isinstance(value, str) != (word == CALL):
                wanted = "the text of a call" if word == CALL else "a function"
                raise OpfuzzError(f"mutant '{self.name}': '{word}' must be {wanted}, not {type(value).__name__}")

    def is_named_in(self, diagnosis: str) -> bool:
        """Whether the diagnosis says one of the causes expected, in whole words: `8 bits` is not said by `18 bits`."""
        words = "|".join(re.escape(cause.strip()) for cause in self.cause.split("|"))
        return re.search(rf"(?<![\w.])({words})(?!\w)", diagnosis, re.IGNORECASE) is not None

    def is_condition(self, trigger: Trigger) -> bool:
        """Whether a trigger says of sizes and layouts what is expected, no less and no more."""
        said = {clause for kind in SHAPE for clause in _clauses(trigger.text(kind))}
        return said in [_clauses(alternative) for alternative in self.condition.split("|")]


def _clauses(condition: str) -> set[str]:
    """What a condition demands; that there is an element at all is no demand."""
    clauses = {clause.strip() for clause in condition.split(" and ")} - {""}
    return {clause for clause in clauses if not clause.endswith(" >= 1")}


def bundled(*, of_gradients: bool = False) -> tuple[Path, ...]:
    """The files of mutants that came with opfuzz, of ops or of their gradients."""
    folder = Path(__file__).with_name("torch_gradients" if of_gradients else "torch_faults")
    return tuple(folder / f"{name}.py" for name in (BUNDLED_GRADIENTS if of_gradients else BUNDLED))


def read_mutants(path: Path) -> list[Mutant]:
    """The list MUTANTS of a file, which is run anew each time, so that what its functions remember is gone.

    Raises OpfuzzError if the file is missing, fails, or holds no such list.
    """
    listed = getattr(load(path, "mutants"), "MUTANTS", None)
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(each, Mutant) for each in listed):
        raise OpfuzzError(f"{path}: a file of mutants has a list MUTANTS of opfuzz.engine.selftest.Mutant objects")
    names = [each.name for each in listed]
    for name in names:
        if names.count(name) > 1:
            raise OpfuzzError(f"{path}: two mutants are called '{name}'")
    return [replace(each, trigger=path.stem) for each in listed]
