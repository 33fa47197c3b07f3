"""Whether a call fits the signature of its Python function, told before the function is ever called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from opfuzz.core.errors import did_you_mean

Place = int | str | None  # the argument by its place, by its keyword, or the call as a whole


def wrong_arguments(name: str, function: object, count: int, words: Sequence[str]) -> Iterator[tuple[Place, str, str]]:
    """Where, message and remedy of each argument that is surplus, doubled, unknown or missing.

    `count` arguments are given by place, `words` by keyword. A function written in C may have no signature; it fits.
    """
    if not callable(function) or (signature := _signature(function)) is None:
        return
    parameters = signature.parameters.values()
    kinds = {p.kind for p in parameters}
    by_place = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_word = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]

    def usage() -> str:
        return f"; it is {name}{_without_annotations(signature)}"

    if count > len(by_place) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        yield len(by_place), f"{name}() gets {count} arguments by place, but takes {len(by_place)} at most,", usage()
    given = set(by_place[:count])
    for word in words:
        if word in given:
            yield word, f"{name}() gets '{word}' twice", usage()
        elif word not in by_word and inspect.Parameter.VAR_KEYWORD not in kinds:
            yield word, f"{name}() has no argument '{word}'", did_you_mean(word, by_word) or usage()
        given.add(word)
    for p in parameters:
        is_needed = p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if is_needed and p.name not in given:
            yield None, f"{name}() lacks '{p.name}'", usage()


@lru_cache(maxsize=1 << 12)  # the same functions are called by hundreds of texts
def _signature(function: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _without_annotations(signature: inspect.Signature) -> str:
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(plain))
