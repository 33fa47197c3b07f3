"""The gradient of an op as an op of its own, made of its spec: its inputs and cotangents in, gradients out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

from opfuzz.spec.expression.program import Gradient, Program
from opfuzz.spec.op import Input, OpSpec, OpVariant, Output

SUFFIX = ".grad"  # of the name; no spec file may have a dot there
COTANGENT = "cotangent"
# What backward kernels meet: gradients of a loss, sums, one row alone; and what overflows or cancels in them.
REGIMES = ("normal", "normal", "normal", "ones", "one_hot", "offset", "log_magnitude", "large")


def is_gradient(op: str) -> bool:
    """Whether a name is that of the gradient of an op."""
    return op.endswith(SUFFIX)


def differentiated(spec: OpSpec) -> tuple[str, ...]:
    """The inputs by which an op may have gradients: floats in the format under test."""
    return tuple(item.name for item in spec.inputs if item.kind == "float" and item.dtype is None)


def gradient_of(spec: OpSpec) -> OpSpec:
    """The op that gives the gradients of an op by all inputs of floats; each output is called d/d and its input.

    Nothing tells whether its reference has them: see `oracle.gradients`.
    """
    names = differentiated(spec)
    taken = {dim.name for dim in spec.dims} | {param.name for param in spec.params}
    taken |= {item.name for item in spec.inputs}
    cotangents = tuple(_free(f"{COTANGENT}_{output.name}".rstrip("_"), taken) for output in spec.outputs)
    exact, usual = (Gradient(names, cotangents, is_usual) for is_usual in (False, True))

    def meant(program: Program) -> Program:
        return replace(program, gradient=usual)

    given = [
        Input(name, output.shape, REGIMES, "float", None) for name, output in zip(cotangents, spec.outputs, strict=True)
    ]
    return replace(
        spec,
        op=spec.op + SUFFIX,
        summary=f"The gradients of {spec.op} by {', '.join(names)}.",
        inputs=(*spec.inputs, *given),
        outputs=tuple(Output(named(item.name), item.shape) for item in spec.inputs if item.name in names),
        calls={
            dialect: {name: meant(program) for name, program in implementations.items()}
            for dialect, implementations in spec.calls.items()
        },
        reference=replace(spec.reference, gradient=exact),
        natural=meant(spec.natural or spec.reference),
        also=None if spec.natural is None else meant(spec.reference),
        variants={name: _of_variant(variant, usual) for name, variant in spec.variants.items()},
        digest=blake2b(f"gradient of {spec.digest}".encode(), digest_size=8).hexdigest(),
    )


def asked_alone(spec: OpSpec, name: str) -> OpSpec:
    """The gradient of an op by one of its inputs alone: what `gradient_of` made, with this one output."""
    return asked_by(spec, (name,))


def asked_by(spec: OpSpec, names: tuple[str, ...]) -> OpSpec:
    """The gradient of an op by some of its inputs: what `gradient_of` made, with these outputs."""
    return replace(
        _with_gradients(spec, lambda gradient: replace(gradient, inputs=names)),
        outputs=tuple(output for output in spec.outputs if output.name in map(named, names)),
        digest=blake2b(f"{', '.join(names)} alone of {spec.digest}".encode(), digest_size=8).hexdigest(),
    )


def slope_of(spec: OpSpec) -> OpSpec:
    """The gradients of an op for cotangents of ones, which are no inputs of it: of an elementwise op its derivative."""
    meant = gradient_of(spec)
    return replace(
        _with_gradients(meant, lambda gradient: replace(gradient, cotangents=())),
        summary=f"{meant.summary.removesuffix('.')}, for cotangents of ones.",
        inputs=spec.inputs,
        digest=blake2b(f"slope of {spec.digest}".encode(), digest_size=8).hexdigest(),
    )


def _with_gradients(spec: OpSpec, change: Callable[[Gradient], Gradient]) -> OpSpec:
    """An op made by `gradient_of` with another gradient meant in all its programs."""

    def changed(program: Program) -> Program:
        assert program.gradient is not None
        return replace(program, gradient=change(program.gradient))

    def each(program: Program | None) -> Program | None:
        return None if program is None else changed(program)

    return replace(
        spec,
        calls={
            dialect: {implementation: changed(program) for implementation, program in implementations.items()}
            for dialect, implementations in spec.calls.items()
        },
        reference=changed(spec.reference),
        natural=each(spec.natural),
        also=each(spec.also),
        variants={word: replace(variant, reference=each(variant.reference)) for word, variant in spec.variants.items()},
    )


def named(name: str) -> str:
    """What the gradient by an input is called."""
    return f"d/d{name}"


def _of_variant(variant: OpVariant, gradient: Gradient) -> OpVariant:
    formula = variant.reference
    return replace(variant, reference=None if formula is None else replace(formula, gradient=gradient))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
