"""What the mutants are made of: a function of torch with its own values, whose gradients are somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from opfuzz.engine.selftest.torch_faults.rounding import wide

Gradients = Sequence[Tensor | None]


@dataclass(frozen=True, slots=True)
class WayBack:
    """One way back through a call: its tensors in their order, its other settings, and the cotangent."""

    tensors: tuple[Tensor, ...]
    settings: dict[str, Any]  # of the call by name; without one, by place
    g: Tensor
    is_asked: tuple[bool, ...]  # of each tensor, whether its gradient is
    again: Callable[..., Tensor]  # the call with other tensors

    @property
    def wide(self) -> tuple[Tensor, ...]:
        """The cotangent and the tensors as a kernel accumulates them."""
        return (wide(self.g), *map(wide, self.tensors))

    def right(self, *, g: Tensor | None = None, tensors: Sequence[Tensor] | None = None) -> list[Tensor | None]:
        """What the framework's own way back gives, maybe for another cotangent or for other tensors."""
        given = [each.detach() for each in (tensors or self.tensors)]
        places = [place for place, each in enumerate(given) if each.is_floating_point()]
        with torch.enable_grad():
            for place in places:
                given[place] = given[place].clone(memory_format=torch.preserve_format).requires_grad_()
            value = self.again(*given)
            cotangent = (self.g if g is None else g).to(value.dtype)
            made = torch.autograd.grad(value, [given[place] for place in places], cotangent, materialize_grads=True)
        found: list[Tensor | None] = [None] * len(given)
        for place, each in zip(places, made, strict=True):
            found[place] = each
        return found


def planted(function: Callable[..., Tensor], back: Callable[[WayBack], Gradients]) -> Callable[..., Tensor]:
    """`function` whose gradients are what `back` gives, one for each tensor, rounded to the format of that."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Tensor:
        given = {**{str(place): each for place, each in enumerate(args)}, **options}
        names = [name for name, each in given.items() if isinstance(each, Tensor)]

        def again(*tensors: Tensor) -> Tensor:
            whole = {**given, **dict(zip(names, tensors, strict=True))}
            placed = [whole.pop(str(place)) for place in range(len(args))]
            return function(*placed, **whole)

        class Kernel(Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, *tensors: Tensor) -> Tensor:
                ctx.save_for_backward(*tensors)
                return again(*tensors)

            @staticmethod
            def backward(ctx: Any, g: Tensor) -> Any:
                tensors = ctx.saved_tensors
                settings = {name: each for name, each in given.items() if name not in names}
                made = back(WayBack(tensors, settings, g, ctx.needs_input_grad, again))
                return tuple(
                    None if each is None or not own.is_floating_point() else each.to(own.dtype)
                    for own, each in zip(tensors, made, strict=True)
                )

        return Kernel.apply(*(given[name] for name in names))

    return call


def altered(
    function: Callable[..., Tensor], change: Callable[[WayBack, list[Tensor | None]], Gradients]
) -> Callable[..., Tensor]:
    """`function` whose gradients are those of the framework, changed."""
    return planted(function, lambda way: change(way, way.right()))


def only(
    place: int, change: Callable[[WayBack, Tensor], Tensor]
) -> Callable[[WayBack, list[Tensor | None]], Gradients]:
    """Gradients of which the one by the tensor at `place` is changed."""

    def changed(way: WayBack, made: list[Tensor | None]) -> Gradients:
        own = made[place]
        assert own is not None
        return [*made[:place], change(way, own), *made[place + 1 :]]

    return changed
