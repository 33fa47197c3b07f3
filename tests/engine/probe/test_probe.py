"""Probes of devices that lack formats, copy, flush, refuse, hang and die: what each cannot do is told, and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from own_cache import own_cache
from small_campaigns import SPECS

from opfuzz.backends import discover
from opfuzz.core.floats import FORMATS, to_bits
from opfuzz.core.probed import ANSWER, ROUND_TRIP, SIZE, barred_by
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.engine.probe import session
from opfuzz.engine.probe.known import known_of
from opfuzz.engine.probe.session import probe
from opfuzz.engine.probe.trials import patterns
from opfuzz.report.causes import word_reason
from opfuzz.report.probe import render
from opfuzz.store.probes import read_probe, write_probe

FAKES = '''
import os
import time

import numpy as np

from opfuzz.backends import derive
from opfuzz.backends.numpy import Numpy


class Few(Numpy):
    """A device without float64."""

    def supports(self, format, device):
        return format == "float32"


class Copying(Numpy):
    """One that copies views, and says so."""

    layouts = frozenset({"contiguous"})


class Strideless(Numpy):
    """One that copies views, and does not say so: it has no way to make them."""

    def lay_out(self, base, views, device):
        if views:
            raise RuntimeError("no strides here")
        return base


class Flushing(Numpy):
    """One that takes subnormal numbers for 0."""

    def load(self, base, device):
        return np.where(np.abs(base) < np.finfo(base.dtype).tiny, base.dtype.type(0), base)


class Swapping(Numpy):
    """One whose large float64 come back as others."""

    def load(self, base, device):
        base = base.copy()
        if base.dtype == np.float64:
            base[np.isinf(base)] = 1.0
        return base


class Sharing(Numpy):
    """One whose tensors are the arrays that they were made of."""

    def put(self, array, layout, device):
        return array


def refusing(x):
    raise NotImplementedError("square is not implemented for this device")


def moody(x, calls=[]):
    calls.append(0)
    if len(calls) > 2:  # each case is made twice
        raise NotImplementedError("not implemented any more")
    return np.square(x)


def hanging(x):
    time.sleep(1000)


def dying(x):
    os.abort()


def failing(x):
    raise ValueError("no")


def off(x):
    return np.square(x) * np.float32(1.001)


BACKENDS = [kind(kind.__name__.lower()) for kind in (Few, Copying, Strideless, Flushing, Swapping, Sharing)]
BACKENDS += [derive("numpy", f.__name__, {"np.square": f}) for f in (refusing, moody, hanging, dying, failing, off)]
'''


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    """A cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", own_cache(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """A function that probes a fake, once."""
    path = tmp_path_factory.mktemp("fakes") / "fakes.py"
    path.write_text(FAKES)

    @cache
    def of(name, ops=("square",)):
        backends = discover([path])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "SIZES", (2**10, 2**12))
            return probe(f"{name}:cpu", load_specs([SPECS], backends, ops), backends, 1, (path,), seconds=900.0)

    of.plugin = path
    return of


def failures(found):
    return {(each.kind, each.format, each.op or each.layout, each.how) for each in found.failed}


def test_an_honest_device_can_do_everything(probed):
    found = probed("copying", ("square", "mean"))
    assert [each for each in found.failed if each.implementation != "doubled"] == []
    assert found.unheld == ("transposed", "permuted", "offset", "narrowed", "stepped", "broadcast")
    # Three formats in one layout; square in two formats, mean in one that NumPy has, in two implementations.
    assert found.tried == {ROUND_TRIP: 3, SIZE: 2, ANSWER: 4}
    assert (found.left, found.largest) == (0, 2**12)
    assert found.slowest_op in ("square", "mean")


def test_each_implementation_is_tried(probed):
    (wrong,) = probed("copying", ("square", "mean")).failed
    assert (wrong.op, wrong.implementation, wrong.how) == ("mean", "doubled", "wrong")


def test_formats_that_are_lacking_are_told(probed):
    found = probed("few")
    assert found.lacking == ("float16", "bfloat16", "float64")
    assert found.tried[ROUND_TRIP] == 7
    assert found.failed == ()


def test_views_that_cannot_be_made_are_told_by_format_and_layout(probed):
    found = failures(probed("strideless"))
    layouts = {"transposed", "permuted", "offset", "narrowed", "stepped", "broadcast"}
    assert found == {(ROUND_TRIP, f, layout, "raises") for f in ("float32", "float16", "float64") for layout in layouts}


def test_flushing_is_told_and_bars_nothing(probed):
    found = probed("flushing")
    assert {each.how for each in found.failed} == {"flushes"}
    assert {each.format for each in found.failed} == {"float32", "float16", "float64"}
    (word,) = {each.words for each in found.failed if (each.format, each.layout) == ("float16", "contiguous")}
    # All subnormal numbers of either sign, and -0.0, that lose their sign as well.
    assert word.startswith(f"{2 * 1023 + 1} of 65536 numbers come back as others, 0x0001 as 0x0000")
    assert barred_by(found) == ()


def test_other_bits_and_shared_memory_are_told(probed):
    found = {each for each in failures(probed("swapping")) if each[2] == "contiguous"}
    assert found == {(ROUND_TRIP, "float64", "contiguous", "differs")}
    assert {each.how for each in probed("sharing").failed if each.kind == ROUND_TRIP} == {"shares"}


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("refusing", "refuses", "square is not implemented for this device"),
        ("dying", "dies", "SIGABRT"),
        ("failing", "raises", "ValueError: no"),
        ("off", "wrong", "imprecise|wrong"),
    ],
)
def test_an_op_that_fails_is_told_with_how_and_why(probed, name, how, words):
    found = probed(name)
    assert failures(found) == {(ANSWER, "float32", "square", how), (ANSWER, "float64", "square", how)}
    assert any(word in found.failed[0].words for word in words.split("|"))


def test_an_op_that_is_refused_in_some_calls_is_told_and_not_barred(probed):
    found = probed("moody")
    assert failures(found) == {(ANSWER, "float32", "square", "refuses-some"), (ANSWER, "float64", "square", "refuses")}
    assert [each.format for each in barred_by(found)] == ["float64"]


def test_an_op_that_hangs_is_tried_in_one_format_only(probed):
    found = probed("hanging")
    assert failures(found) == {(ANSWER, "float32", "square", "hangs")}
    assert found.left == 0


def test_what_the_time_does_not_allow_is_counted(probed):
    backends = discover()
    found = probe("numpy:cpu", load_specs([SPECS], backends, ("square",)), backends, 1, seconds=0.0)
    assert found.left >= 20
    assert "for which a minute was too short" in render(found)


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_a_round_trip_has_every_sign_and_exponent(fmt):
    values = patterns(fmt)
    assert len({*to_bits(values).tolist()}) == 2**16
    with np.errstate(invalid="ignore"):
        wide = values.astype(np.float64)
    assert {0.0, np.inf, -np.inf, 1.0, fmt.smallest_normal} <= {*wide.tolist()}
    finite = np.abs(wide[np.isfinite(wide) & (wide != 0)])
    exponents = np.unique(np.frexp(finite[finite >= fmt.smallest_normal])[1])
    assert len(exponents) == fmt.emax - fmt.emin + 1


def test_the_text_can_be_pasted(probed):
    text = render(probed("dying"))
    assert "opfuzz doctor --probe dying:cpu\n" in text
    assert "numpy" in text
    assert "  answer float32: square: ends its process: " in text
    strideless = render(probed("strideless"))
    assert "round-trip float32: transposed, permuted, offset, narrowed, stepped, broadcast: raises" in strideless
    assert "\x1b" not in render(replace(probed("few"), subject="a\x1b[31m"))
    assert render(probed("few")).endswith("cannot\n  it has no float16, bfloat16, float64\n")


# What a run makes of it.


def ran(probed, name, formats=("float32",), **fields):
    known = known_of([f"{name}:cpu"], discover([probed.plugin]))
    specs = load_specs([SPECS], discover(), ("square",))
    plan = Plan(specs, (f"{name}:cpu",), 0, 1, formats, (probed.plugin,), cases=6, climb=0.5, barred=known.barred)
    progress = run(replace(plan, **fields))
    return progress, {row.format: row for row in progress.ranking.rows()}, known


@pytest.mark.parametrize("name", ["dying", "hanging", "refusing"])
def test_a_run_leaves_alone_what_a_probe_has_met(probed, name):
    write_probe(probed(name))
    progress, rows, known = ran(probed, name)
    (line,) = known.lines
    assert f"{name}:cpu: " in line
    assert f"as the probe of {probed(name).made[:16]} met them" in line
    assert rows["float32"].verdict == "unsupported"
    assert f"(probe of {probed(name).made[:16]})" in word_reason(rows["float32"])
    assert progress.lost == []
    # A spec that is another now is tried.
    (spec,) = load_specs([SPECS], discover(), ("square",))
    if name == "dying":
        _, rows, _ = ran(probed, name, specs=(replace(spec, digest="another"),), climb=0.0, cases=1)
        assert rows["float32"].verdict == "crash"


def test_a_run_tries_other_layouts(probed):
    write_probe(probed("strideless"))
    _, rows, _ = ran(probed, "strideless", cases=24)
    assert rows["float32"].verdict not in ("crash", "unsupported")
    assert rows["float32"].cases >= 24


def test_a_format_that_does_not_come_back_is_left_alone(probed):
    write_probe(probed("swapping"))
    _, rows, _ = ran(probed, "swapping", ("float32", "float64"))
    assert rows["float64"].verdict == "unsupported"
    assert rows["float32"].verdict != "unsupported"


def test_a_stale_probe_is_not_used_and_said_not_to_be(probed):
    found = probed("dying")
    for other, reason in (
        (replace(found, versions={**found.versions, "dying": "0.1"}), "dying was 0.1 and is "),
        (replace(found, machine={**found.machine, "processor": "Z80"}), "processor was Z80 and is "),
        (replace(found, versions={**found.versions, "more": "1"}), "more was 1 and is absent"),
    ):
        write_probe(other)
        known = known_of(["dying:cpu"], discover([probed.plugin]))
        assert known.barred == ()
        (line,) = known.lines
        assert f"the probe of {found.made[:16]} is not used: {reason}" in line
        assert line.endswith("opfuzz doctor --probe dying:cpu")


def test_what_is_kept_is_read_again_and_what_is_damaged_is_none(probed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert read_probe("dying:cpu") is None
    path: Path = write_probe(probed("dying"))
    assert read_probe("dying:cpu") == probed("dying")
    for text in ("", "{}", '{"subject": 1}', path.read_text().replace("dying:cpu", "other:cpu")):
        path.write_text(text)
        assert read_probe("dying:cpu") is None
