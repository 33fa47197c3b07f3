"""A call a part of its elements at a time, so that all that judging makes of a part stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from opfuzz.oracle.arithmetic import blocks
from opfuzz.oracle.arithmetic.blocks import Blocks, blocks_of
from opfuzz.oracle.graph import Node, Shape, topological
from opfuzz.oracle.meaning import Meaning


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the one output of a call, with what the spec says of each."""

    meaning: Meaning
    blocks: Blocks
    usual: Blocks | None  # of the formula as it is usually computed; None: the same

    @property
    def shape(self) -> Shape:
        """That of the output, as it is cut along the first axis."""
        return self.blocks.shape

    @property
    def width(self) -> int:
        """Elements between two places of the first axis."""
        return prod(self.shape[1:])

    def __iter__(self) -> Iterator[tuple[slice, Meaning]]:
        """Parts of the first axis, and the meaning of each."""
        whole = topological(self.blocks.root)
        usual = iter(self.usual or ())
        for part, root in self.blocks:
            natural = root if self.usual is None else next(usual)[1]
            cut = {id(node): own for node, own in zip(whole, topological(root), strict=True)}
            tensors = {name: cut.get(id(node), node) for name, node in self.meaning.tensors.items()}
            yield part, replace(self.meaning, tensors=tensors, roots=(root,), naturals=(natural,), others=())


def parts_of(meaning: Meaning) -> Parts | None:
    """How a call is cut; None where it is too short for that, has several outputs, or cannot be."""
    # Of few results, as of sums, judging costs next to nothing, and would cost that for each part.
    if len(meaning.roots) != 1 or meaning.together or meaning.roots[0].size < 2 * blocks.BLOCK:
        return None
    ((root,), (natural,)) = meaning.roots, meaning.naturals
    cut = blocks_of(root)
    if cut is None or any(isinstance(node, Node) and not _is_met(node, root) for node in meaning.tensors.values()):
        return None
    if natural is root:
        return Parts(meaning, cut, None)
    usual = blocks_of(natural)
    is_alike = usual is not None and (usual.shape, usual.step) == (cut.shape, cut.step)
    return Parts(meaning, cut, usual) if is_alike else None


def _is_met(node: Node, root: Node) -> bool:
    return node is root or any(node is each for each in topological(root))
