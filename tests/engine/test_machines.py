"""What machines have together, and what must be the same on all of them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.pool import Pool
from opfuzz.engine.machines import Machines, here, survey, vector_unit

OURS = {"opfuzz": metadata.version("opfuzz")}


class Two(Pool):
    """A Linux machine and a Mac, as they would answer."""

    def __init__(self, **versions: str) -> None:
        self.versions = versions

    def everywhere(self, function, *args):
        absent = {"torch:cuda": "no CUDA device"}
        return {
            "tcp://a": ({**OURS, "torch": "2.9"}, ("torch:cpu", "numpy:cpu"), {**absent, "mlx": "not installed"}),
            "tcp://b": ({**OURS, "torch": "2.9", "mlx": "0.31", **self.versions}, ("torch:cpu", "mlx:gpu"), absent),
        }


def test_all_machines_are_taken_together():
    found = survey(Two(), ())
    assert found.versions == {**OURS, "torch": "2.9", "mlx": "0.31"}
    assert found.devices == ("torch:cpu", "numpy:cpu", "mlx:gpu")
    assert found.absent == {"torch:cuda": "no CUDA device"}, "what one machine has is not absent"
    assert found.subjects((), discover()) == ("torch:cpu", "mlx:gpu")
    assert found.subjects(("mlx:gpu+compile", "mlx:gpu/fast", "mlx:gpu/fast"), discover()) == (
        "mlx:gpu+compile",
        "mlx:gpu/fast",
    )


def test_a_plugin_that_was_named_is_asked_without_more_words(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text('from opfuzz.backends import derive\nBACKENDS = [derive("numpy", name="mine")]\n')
    found = Machines({}, ("torch:cpu", "numpy:cpu", "mine:cpu"), {})
    assert found.subjects((), discover([path])) == ("torch:cpu", "mine:cpu")


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"torch": "2.8"}, "tcp://b has torch 2.8, tcp://a has 2.9; install the same on both"),
        ({"opfuzz": "9.9"}, f"tcp://b has opfuzz 9.9, this machine has {OURS['opfuzz']}; install the same on both"),
    ],
)
def test_versions_that_differ_are_refused(versions, words):
    with pytest.raises(OpfuzzError) as caught:
        survey(Two(**versions), ())
    assert str(caught.value) == words


def test_a_subject_that_no_machine_has_is_told_as_resolving_it_here_does():
    found = survey(Two(), ())
    with pytest.raises(OpfuzzError, match="subject 'torch:mps': no mps on this machine"):
        found.subjects(("torch:mps",), discover())
    with pytest.raises(OpfuzzError, match="unknown mode 'fast'"):
        found.subjects(("torch:cpu+fast",), discover())


def test_without_torch_and_mlx_something_must_be_named():
    found = Machines({}, ("numpy:cpu",), {"torch": "not installed", "mlx": "not installed"})
    with pytest.raises(OpfuzzError, match=r"neither torch nor MLX is here \(not installed; not installed\)"):
        found.subjects((), discover())


def test_this_machine():
    found = here(discover())
    assert "numpy:cpu" in found.devices
    assert found.versions["opfuzz"] == OURS["opfuzz"]


@pytest.mark.parametrize(
    ("told", "unit"),
    [
        ("flags\t\t: fpu avx avx2 avx512f\n", "AVX-512"),
        ("model name\t: Some Xeon\nflags\t\t: fpu avx avx2 avx512_fake\n", "AVX2"),
        ("Features\t: fp asimd\n", "NEON"),
    ],
)
def test_the_widest_vector_registers_are_told(monkeypatch, told, unit):
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: told)
    assert vector_unit() == unit
