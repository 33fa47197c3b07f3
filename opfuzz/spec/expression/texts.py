"""Texts that a call may give by place, where people write them so: an equation of `einsum`, and nothing else.

A positive list, by the last word of the function's name, with a grammar for each. What does not follow it is refused
when a spec is loaded, before any framework reads it.
"""

from __future__ import annotations

import re

_EQUATION = re.compile(r"[A-Za-z]*(,[A-Za-z]*)*->[A-Za-z]*", re.ASCII)
LETTERS = 64  # of an equation, its commas and arrow counted

USUAL = "; only as the value of a keyword, or in a tuple there: approximate='tanh'"
EXAMPLE = "; name the axes of each array by letters, as in 'bij,bjk->bik'"


def refusal_of(function: str | None, place: int, text: str, others: int) -> tuple[str, str] | None:
    """Message and remedy for a text that is the argument at a place of a function; None where it is allowed.

    `others` arguments stand behind it.
    """
    if place != 0 or function is None or function.rpartition(".")[2] != "einsum":
        return "a text is not allowed", USUAL
    equation = text.replace(" ", "")
    if len(text) > LETTERS or not _EQUATION.fullmatch(equation):
        return "no equation of einsum", EXAMPLE
    terms, _, result = equation.partition("->")
    if len(set(result)) < len(result) or set(result) - set(terms):
        return "an axis of the result that is there twice, or in no array,", EXAMPLE
    if terms.count(",") + 1 != others:
        return f"an equation of {terms.count(',') + 1} arrays, with {others} behind it,", EXAMPLE
    return None
