"""Hypothesis strategies that draw the same cases as the sampler, for tests. Shrinking goes to simpler cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from hypothesis import strategies as st
from numpy.typing import NDArray

from opfuzz.core.case import Case
from opfuzz.generate.choices import Choices
from opfuzz.generate.fill import inputs as inputs_of
from opfuzz.generate.sample import assemble

if TYPE_CHECKING:
    from opfuzz.spec import OpSpec


@final
class _Drawn(Choices):
    """Choices made by Hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def below(self, limit: int) -> int:
        return self._draw(st.integers(0, limit - 1)) if limit > 1 else 0


def cases(spec: OpSpec, format: str | None = None) -> st.SearchStrategy[Case]:
    """Cases of an op, in one format or in any that the spec lists."""

    @st.composite
    def case(draw: st.DrawFn) -> Case:
        chosen = format or draw(st.sampled_from(spec.formats))
        return assemble(_Drawn(draw), spec, chosen)

    return case()


def inputs(spec: OpSpec, format: str | None = None) -> st.SearchStrategy[tuple[Case, dict[str, NDArray[Any]]]]:
    """Cases of an op, each with its arrays by input name."""
    return cases(spec, format).map(lambda case: (case, inputs_of(spec, case)))
