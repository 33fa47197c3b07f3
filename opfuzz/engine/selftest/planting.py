"""From a mutant to a backend and specs that contain it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from opfuzz.backends import Backend
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.engine.gradients import gradients_of
from opfuzz.engine.selftest.mutant import CALL, Mutant, read_mutants
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import ExpressionError, Program, parse
from opfuzz.spec.gradient import SUFFIX, is_gradient
from opfuzz.spec.reader import RESERVED


def harmed(mutant: Mutant, specs: Sequence[OpSpec], dialect: str) -> tuple[OpSpec, ...]:
    """The specs that a mutant changes, its own op first.

    Others only where they pass what its functions take: one that is written for its own op says nothing of them.
    Raises OpfuzzError if the op is unknown, or its call uses nothing that the mutant replaces.
    """
    known = {spec.op: spec for spec in specs}
    if mutant.op not in known:
        remedy = "; faults of gradients are planted with --gradients" if is_gradient(mutant.op) else ""
        told = f"unknown op '{mutant.op}'{remedy or did_you_mean(mutant.op, known)}"
        raise OpfuzzError(f"mutant '{mutant.name}': {told}")
    own = known[mutant.op]
    found = [
        spec
        for spec in specs
        if any(c.functions & mutant.replace.keys() for c in _calls(spec, dialect))
        and (spec is own or all(_takes(mutant, call) for call in _calls(spec, dialect)))
    ]
    if own not in found and CALL not in mutant.replace:
        called = sorted({name for call in _calls(own, dialect) for name in call.functions})
        raise OpfuzzError(
            f"mutant '{mutant.name}': the {dialect} call of '{own.op}' uses none of "
            f"{', '.join(mutant.replace)}; it uses {', '.join(called) or 'no function'}"
        )
    return (own, *(spec for spec in found if spec is not own))


def plant(mutant: Mutant, specs: Sequence[OpSpec], parent: Backend) -> tuple[tuple[OpSpec, ...], Backend]:
    """The specs, the mutant's call in place of its op's, and a backend of the mutant's name with its functions.

    Raises OpfuzzError for a function that the parent does not publish, and for a call that is none.
    """
    functions: Mapping[str, Callable[..., Any]] = {k: v for k, v in mutant.replace.items() if callable(v)}
    backend = parent.derived(mutant.name, functions)
    text = mutant.replace.get(CALL)
    if not isinstance(text, str):
        return tuple(specs), backend
    return tuple(_with_call(mutant, spec, text, backend) if spec.op == mutant.op else spec for spec in specs), backend


def gradients_planted(specs: Sequence[OpSpec], files: Sequence[Path]) -> tuple[OpSpec, ...]:
    """The gradients, as ops of their own, of the ops in whose gradients the mutants of some files are.

    Raises OpfuzzError for a mutant of no gradient, and of one that there is not.
    """
    known = {spec.op: spec for spec in specs}
    wanted: dict[str, Mutant] = {}
    for mutant in (each for path in files for each in read_mutants(path)):
        op = mutant.op.removesuffix(SUFFIX)
        if op == mutant.op:
            raise OpfuzzError(f"mutant '{mutant.name}': '{op}' is no gradient; write '{op}{SUFFIX}'")
        if op not in known:
            raise OpfuzzError(f"mutant '{mutant.name}': unknown op '{op}'{did_you_mean(op, known)}")
        wanted.setdefault(op, mutant)
    made, without = gradients_of(known[op] for op in wanted)
    for op, reason in without.items():
        raise OpfuzzError(f"mutant '{wanted[op].name}': '{op}' has no gradient: {reason}")
    return made


def _with_call(mutant: Mutant, spec: OpSpec, text: str, backend: Backend) -> OpSpec:
    names = [*(d.name for d in spec.dims), *(p.name for p in spec.params), *(i.name for i in spec.inputs), *RESERVED]
    try:
        program = parse(text, names=names, functions=backend.functions())
    except ExpressionError as error:
        raise OpfuzzError(f"mutant '{mutant.name}': its call {text!r}: {error}") from error
    meant = None if spec.gradient is None else replace(spec.gradient, is_usual=True)
    return replace(spec, calls={**spec.calls, backend.dialect: {"": replace(program, gradient=meant)}})


def _takes(mutant: Mutant, program: Program) -> bool:
    """Whether the functions of a mutant can be called as a call of a spec does."""
    for node in ast.walk(ast.parse(program.text)):
        function = mutant.replace.get(ast.unparse(node.func)) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and callable(function):
            try:
                signature(function).bind(*node.args, **{word.arg or "": word for word in node.keywords})
            except TypeError:
                return False
            except ValueError:  # it does not say what it takes
                continue
    return True


def _calls(spec: OpSpec, dialect: str) -> list[Any]:
    return list(spec.calls.get(dialect, {}).values())
