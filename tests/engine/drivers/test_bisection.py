"""The search for the version in which a finding came: against every row of answers that there can be."""

from __future__ import annotations

from itertools import product

import pytest
from little_environments import HERE, finding

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.bisect_question import asked_of, versions_between
from opfuzz.engine.drivers.bisection import boundary

RIGHT, WRONG, UNTOLD = "absent", "there", "cannot tell"
VERSIONS = ("1.9", "1.10.0", "2.0.0rc1", "2.0.0", "2.0.1")


@pytest.mark.parametrize("count", range(2, 8))
def test_a_boundary_is_found_wherever_the_ends_differ(count):
    for row in product((RIGHT, WRONG, UNTOLD), repeat=count):
        asked = []

        def ask(number, row=row, asked=asked):
            asked.append(number)
            return row[number]

        told = [number for number, answer in enumerate(row) if answer != UNTOLD]
        low, high = boundary(count, ask)
        if len(told) < 2:
            assert (low, high) == (told[0] if told else None, None)
        elif row[told[0]] == row[told[-1]]:
            assert (low, high) == (told[0], told[-1])
        else:
            assert row[low] == row[told[0]] != row[high] == row[told[-1]]
            assert set(row[low + 1 : high]) <= {UNTOLD}


def test_few_are_asked():
    asked = []

    def ask(number):
        asked.append(number)
        return WRONG if number >= 777 else RIGHT

    assert boundary(1000, ask) == (776, 777)
    assert asked[:2] == [0, 999]
    assert len(set(asked)) <= 2 + 10


def test_versions_are_in_the_order_of_versions():
    assert versions_between(VERSIONS, "1.9", "2.0.1", with_previews=False) == ("1.9", "1.10.0", "2.0.0", "2.0.1")
    assert versions_between(reversed(VERSIONS), "2.0.1", "1.10") == ("1.10.0", "2.0.0rc1", "2.0.0", "2.0.1")
    assert versions_between(VERSIONS, "2.0.0rc1", "2.0", with_previews=False) == ("2.0.0rc1", "2.0.0")
    assert versions_between([*VERSIONS, "1.9.0"], None, "1.10") == ("1.9.0", "1.10.0")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ("1.11", "2.0.0", r"^no version 1\.11 is to be had for this Python; the nearest are 1\.9, 1\.10\.0, "),
        (None, "1.9", r"^only 1\.9 to try: give two versions"),
    ],
)
def test_versions_that_are_none(low, high, words):
    with pytest.raises(OpfuzzError, match=words):
        versions_between(VERSIONS, low, high)


def asked(place, package="demo", others=(), check=None):
    return asked_of(place, package, HERE, {"mlx": "mlx[cpu]"}, others, check, 1.0)


def test_an_environment_has_what_the_reproducer_imports_as_it_was_then_if_that_can_be(tmp_path):
    place = finding(tmp_path / "f", "import mlx.core\nimport demo, numpy, lib_b\n")
    (place / "call.json").write_text(
        '{"versions": {"numpy": "2.1.0", "demo": "7", "mlx": "0.31.0+x", "lib_b": "dev", "opfuzz": "0.1.0"}}'
    )
    found = asked(place, others=["extra<3"])
    assert (found.package, found.requirement) == ("demo", "demo")
    assert found.beside == (
        ("lib-b", "mlx[cpu]==0.31.0+x", "numpy==2.1.0", "extra<3"),
        ("lib-b", "mlx[cpu]", "numpy", "extra<3"),
    )


def test_what_the_user_asks_for_goes_before(tmp_path):
    place = finding(tmp_path / "f", "import demo, numpy\n")
    (place / "call.json").write_text('{"versions": {"numpy": "2.1.0"}}')
    assert asked(place, others=["numpy<2"]).beside == (("numpy<2",),)


def test_extras_of_the_package_itself(tmp_path):
    place = finding(tmp_path / "f", "import mlx.core\n")
    assert asked(place, "MLX").requirement == "mlx[cpu]"


def test_a_package_that_another_needs(tmp_path):
    """matplotlib, which opfuzz needs, needs contourpy."""
    place = finding(tmp_path / "f", "import matplotlib\n")
    assert asked(place, "contourpy").beside[-1] == ("matplotlib",)


@pytest.mark.parametrize(
    ("package", "others", "words"),
    [
        ("demmo", (), r"f: its reproducer uses demo, and no 'demmo'; did you mean 'demo'\?"),
        ("torch", (), r"f: its reproducer uses demo, and no 'torch'$"),
        ("-r x", (), r"--package '-r x' is no name of a package"),
        ("demo", ("-r x",), r"--with '-r x' is no requirement of a package; write it as 'numpy<2'"),
    ],
)
def test_a_package_that_is_none_of_the_reproducers(package, others, words, tmp_path):
    with pytest.raises(OpfuzzError, match=words):
        asked(finding(tmp_path / "f"), package, others)


def test_a_check_needs_no_reproducer(tmp_path):
    place = finding(tmp_path / "f")
    (place / "repro.py").unlink()
    assert asked(place, "torch", check="true").beside == ((),)
    with pytest.raises(OpfuzzError, match=r"repro\.py: missing"):
        asked(place)
