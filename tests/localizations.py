"""A small localisation made by hand, for tests of its reports."""

from __future__ import annotations

import numpy as np

from opfuzz.network.drift import drift
from opfuzz.network.localize.result import Attribution, CallError, Localization, Tried


def normal(seed=0):
    return np.random.default_rng(seed).normal(size=(1, 6, 10))


def off_by(size):
    return drift(normal(), normal() + size * normal(1))


def tried(number, residual=None, distance=None, name="gelu: tanh"):
    match = residual is not None and residual < 1e-5
    return Tried(f"{name} {number}", "feed-forward", "a note", off_by(0.1), 0.5, residual, distance, match)


def made(residuals=(), distances=(), ops=("gelu", "linear"), errors=None, size=1e-6, figures=None, **changed):
    variants = [tried(n, residual) for n, residual in enumerate(residuals)]
    variants += [tried(n, None, distance) for n, distance in enumerate(distances)]
    given = {
        "model": "decoder",
        "described": "a small one",
        "a": "torch:cpu",
        "b": "mlx:cpu",
        "versions": {"torch": "2.13"},
        "frames": None,
        "drift": off_by(size),
        "per_step": {f"step{n}.{part}": off_by(size * (n + 1)) for n in range(4) for part in "xv"},
        "attribution": tuple(
            Attribution(op, 3, size / 10, 0.5, off_by(size / (n + 2)), off_by(size), 1e5) for n, op in enumerate(ops)
        ),
        "calls": tuple(CallError(n, "gelu", "feed-forward", f"blocks.{n}", n * 1e-8) for n in range(40)),
        "observed": figures,
        "observed_from": "figures" if figures else "",
        "rounding": size,
        "variants": tuple(variants) or tuple(tried(n) for n in range(3)),
        "pairs": (),
        "verdict": ("Rounding cannot explain it.", "The explanation is gelu: tanh 0 (feed-forward)."),
        "machine": {"cores": "2"},
        "seconds": 12.3,
        "axes": ("mel channel", "frame"),
        "errors": {"b against a": size * normal()} if errors is None else errors,
    }
    return Localization(**{**given, **changed})


def made_with_tensor(**changed):
    maps = {
        "b against a": 1e-6 * normal(),
        "observed against a": 0.1 * normal(),
        "observed against a with gelu: tanh 0 (feed-forward)": 1e-6 * normal(),
    }
    figures = {"corr": 0.99, "rms": 0.1, "std_a": 1.0, "std_b": 1.0}
    return made(residuals=(1e-6, *np.geomspace(0.05, 3, 30)), figures=figures, errors=maps, **changed)
