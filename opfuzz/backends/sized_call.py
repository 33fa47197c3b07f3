"""A call as a function of its tensors, for what compiles it once for many sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opfuzz.backends.base import Functions, Tensor
from opfuzz.spec.expression.program import Code, Program, code_of, evaluate

Kind = tuple[str, str, int]  # of an input: name, type, how many axes
Key = tuple[str, tuple[Kind, ...], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class SizedCall:
    """A call: sizes that inputs have are read off these, all other numbers are fixed. Calls of one `key` are the same.

    `sizes`: of which input, and which axis of it, a size is.
    """

    code: Code
    inputs: tuple[str, ...]
    sizes: Mapping[str, tuple[int, int]]
    names: Mapping[str, object]
    functions: Functions
    key: Key

    @classmethod
    def of(
        cls, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], functions: Functions
    ) -> SizedCall:
        """The call that a program says, of those of the tensors that it takes."""
        inputs = tuple(name for name in tensors if name in program.names)
        places = {name: (inputs.index(at), axis) for name, at, axis in program.sizes if at in inputs}
        sizes = {name: place for name, place in places.items() if name in program.names}
        fixed = tuple((name, repr(names[name])) for name in sorted(program.names & names.keys() - sizes.keys()))
        kinds = tuple((name, str(tensors[name].dtype), len(tensors[name].shape)) for name in inputs)
        return cls(code_of(program), inputs, sizes, names, functions, (program.text, kinds, fixed))

    def __call__(self, given: Sequence[Tensor], *, is_open: bool = True) -> Tensor:
        """Its value; with the sizes that it was made with unless it is open."""
        sizes = {name: given[at].shape[axis] for name, (at, axis) in self.sizes.items()} if is_open else {}
        named = dict(zip(self.inputs, given, strict=True))
        return evaluate(self.code, {**self.names, **sizes, **named}, self.functions)
