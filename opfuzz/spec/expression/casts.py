"""Casts as people write them: methods of values on a positive list, and a framework's own names of the formats.

Neither is an attribute that is looked up: `x.to(float32)` calls what a dialect publishes as `.to`, and `torch.float32`
is another way to write the name `float32`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from opfuzz.core.errors import did_you_mean
from opfuzz.core.floats import NAMED_FORMATS

# Those that a dialect may publish; of one that is not installed they are all that is known.
METHODS = frozenset({".to", ".astype", ".float", ".double", ".half", ".bfloat16"})
CAST = "cast"  # the same as a function, of a value and a format
_ALIASES: Mapping[str, str] = {"float": "float32", "double": "float64", "half": "float16"}  # torch's


def format_named(dotted: str, functions: Collection[str] | None) -> str | None:
    """The format that `torch.float32` or `np.float16` names in a dialect with these functions; else None."""
    root, _, word = dotted.partition(".")
    if functions is not None and not any(name.partition(".")[0] == root for name in functions):
        return None
    word = _ALIASES.get(word, word) if root == "torch" else word
    return word if word in NAMED_FORMATS else None


def remedy_for(method: str, functions: Collection[str] | None) -> str:
    """What to write instead of a method that is none here."""
    if functions is None:
        return f"; methods are {_listed(METHODS)}: call a function instead"
    if method in METHODS and "float32" in functions:
        return "; in a reference write float32(x) for what the op itself rounds"
    known = sorted(METHODS.intersection(functions))
    named = sorted((each for each in functions if each.rpartition(".")[2] == method[1:] and each != method), key=len)
    if named:
        return f"; write {named[0]}(...)"
    if method in METHODS and known:
        return f"; here write {'x.to(float32)' if '.to' in known else 'x.astype(float32)'}"
    return f"; methods here are {_listed(known)}: call a function instead" if known else "; call a function instead"


def remedy_for_attribute(word: str) -> str:
    """What to write instead of an attribute of a value, or of a module."""
    if word in ("shape", "size", "ndim", "numel"):
        return "; values have none here: sizes are dims, written by their names"
    if word in ("T", "mT", "H", "mH"):
        return "; values have none here: exchange axes with a function, as swapaxes(x, -1, -2) in a reference"
    if word in ("real", "imag"):
        return "; values have none here: write a function, as torch.view_as_real(x) or mx.real(x)"
    if word.startswith(("int", "uint", "float", "bfloat", "complex", "bool", "long")):
        return did_you_mean(word, NAMED_FORMATS) or f"; types are {', '.join(NAMED_FORMATS)} and dtype"
    return "; values have none here: call a function"


def _listed(methods: Collection[str]) -> str:
    return " ".join(sorted(methods))
