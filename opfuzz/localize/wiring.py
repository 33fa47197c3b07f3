"""All wrong readings of the decoder's wiring: its solver and its network."""

from __future__ import annotations

from opfuzz.localize import network_readings, solver_readings  # noqa: F401 - they register what they hold
from opfuzz.localize.decoder import Config
from opfuzz.localize.planting import Variant
from opfuzz.localize.reading import READINGS, guided

GUIDANCES = (0.0, 0.3, 0.5, 1.0, 2.0)


def variants(config: Config) -> list[Variant]:
    """Those that say something else than these settings."""
    return READINGS + [guided(w) for w in GUIDANCES if w != config.guidance]
