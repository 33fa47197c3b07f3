"""What to try next: the sampler of cases, and the values of their inputs."""

from opfuzz.generate.fill import inputs
from opfuzz.generate.regimes import DEFAULT_REGIMES, REGIMES
from opfuzz.generate.sample import draw, draw_near, sized_as
from opfuzz.generate.sizes import ELEMENT_BUDGET, WORK_BUDGET

__all__ = [
    "DEFAULT_REGIMES",
    "ELEMENT_BUDGET",
    "REGIMES",
    "WORK_BUDGET",
    "draw",
    "draw_near",
    "inputs",
    "regime_names",
    "sized_as",
]


def regime_names() -> tuple[str, ...]:
    """All that a spec may list under `regimes:`."""
    return tuple(REGIMES)
