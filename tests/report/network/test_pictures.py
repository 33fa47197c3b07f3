"""Pictures of a localisation: what stands in them, and that their bytes are the same on every run."""

from __future__ import annotations

import base64
import io
import math
import re
import struct
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from localizations import made, made_with_tensor, off_by

from opfuzz.network.drift import UNKNOWN
from opfuzz.report.network.pictures import draw

SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def only(found, name):
    """One picture, without the time that the others take."""
    none = {"error.svg": {"errors": {}}, "steps.svg": {"per_step": {}}}
    none |= {"attribution.svg": {"attribution": ()}, "variants.svg": {"variants": ()}}
    left_out = {key: value for other, change in none.items() if other != name for key, value in change.items()}
    drawn = draw(replace(found, **left_out))
    assert set(drawn) <= {name}
    return drawn.get(name)


def images(svg):
    """Columns and rows of the pixel images in a picture."""
    found = re.findall(r"data:image/png;base64,([^\"']+)", svg)
    return [struct.unpack(">II", base64.b64decode(data)[16:24]) for data in found]


@pytest.fixture(scope="module")
def drawn():
    return draw(made_with_tensor())


def test_all_pictures_have_words_as_text(drawn):
    assert list(drawn) == ["error.svg", "steps.svg", "attribution.svg", "variants.svg"]
    assert "mlx:cpu against torch:cpu, nothing planted: at most " in " ".join(words(drawn["error.svg"]))
    assert {"mel channel", "frame"} <= set(words(drawn["error.svg"]))
    assert {"step#.x", "step#.v", "output that was observed"} <= set(words(drawn["steps.svg"]))
    assert {"gelu", "linear", "this op alone on mlx:cpu"} <= set(words(drawn["attribution.svg"]))
    assert {"gelu: tanh 0 (feed-forward)", "1e-6"} <= set(words(drawn["variants.svg"]))


def test_the_heat_maps_are_the_three_errors_cell_by_cell(drawn):
    texts = " ".join(words(drawn["error.svg"]))
    assert "observed against torch:cpu with gelu: tanh 0 (feed-forward) planted" in texts
    assert images(drawn["error.svg"])[:3] == [(10, 6)] * 3


def test_the_same_bytes_on_every_run_whatever_a_person_has_set(drawn):
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert draw(made_with_tensor()) == drawn
        assert matplotlib.rcParams["font.size"] == 30


def test_a_large_output_keeps_its_largest_error_in_a_small_picture():
    error = 1e-6 * np.random.default_rng(0).normal(size=(1, 300, 3000))
    error[0, 201, 1777] = 1.0
    maps = {f"map {n}": error for n in range(3)}
    picture = only(made(errors=maps, frames=(36, 3036)), "error.svg")
    assert {"500", "3000"} <= set(words(picture))  # the first frame that counts is number 36
    assert len(picture) < 150_000
    assert images(picture)[0] == (180, 80)

    from PIL import Image

    data = re.search(r"data:image/png;base64,([^\"']+)", picture)
    assert data is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGB")).astype(int)
    yellow = np.argwhere(np.abs(pixels - (253, 231, 36)).sum(axis=-1) < 10)  # viridis at its top
    assert [(row * 300 // 80 <= 201 <= (row + 1) * 300 // 80) for row, _ in yellow] == [True]
    assert [(column * 3000 // 180 <= 1777 <= (column + 1) * 3000 // 180) for _, column in yellow] == [True]


def test_by_figures_factors_are_shown_against_one():
    found = made(distances=(math.log(1.5), math.log(2), math.inf), figures={"corr": 0.99, "mae": 0.1})
    texts = words(only(found, "variants.svg"))
    assert {"1.5", "2", "as observed", "factor by which its figures are off those observed"} <= set(texts)
    assert "gelu: tanh 2 (feed-forward)" not in texts


def test_what_is_zero_unknown_or_absent_draws_no_nonsense():
    equal = off_by(0.0)
    assert only(made(per_step={"a0": UNKNOWN, "a1": equal, "a2": equal}), "steps.svg") is None
    assert words(only(made(size=0.0), "attribution.svg")).count("0") == 6
    assert only(made_with_tensor(rounding=math.nan, drift=UNKNOWN), "variants.svg") is not None
    lost = only(made(errors={"b against a": np.full((3, 4), np.nan), "observed against a": np.zeros(4)}), "error.svg")
    assert "mlx:cpu against torch:cpu, nothing planted: at most nan" in words(lost)
    assert "observed against torch:cpu, nothing planted: at most 0" in words(lost)
    assert draw(made(errors={}, ops=(), variants=(), per_step={})) == {}


def test_names_are_shown_as_they_are():
    found = made(ops=("a$b$", "<c>&\x1b", "x" * 300))
    texts = words(only(found, "attribution.svg"))
    assert {"a$b$", "<c>&\N{REPLACEMENT CHARACTER}", "x" * 51 + "…"} <= set(texts)
