"""All wrong readings of the decoder's wiring: its solver and its network."""

from __future__ import annotations

from opfuzz.network.localize import network_readings, solver_readings  # noqa
from opfuzz.network.localize.reading import READINGS, guided
from opfuzz.network.pipeline.decoder import Config
from opfuzz.network.pipeline.planting import Variant

GUIDANCES = (0.0, 0.3, 0.5, 1.0, 2.0)


def variants(config: Config) -> list[Variant]:
    """Those that say something else than these settings."""
    return READINGS + [guided(w) for w in GUIDANCES if w != config.guidance]
