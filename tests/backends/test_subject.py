"""Subjects as people write them, and what they are told when they write them wrongly."""

from __future__ import annotations

import pytest

from opfuzz.backends import Subject, discover, resolve
from opfuzz.backends.numpy import Numpy
from opfuzz.core.errors import OpfuzzError


@pytest.mark.parametrize("text", ["torch:cpu", "torch:cpu+compile", "mlx:gpu/fast", "mlx:cpu+compile/fast", "my-x:cpu"])
def test_what_is_parsed_prints_the_same(text):
    assert str(Subject.parse(text)) == text


def test_parts():
    assert Subject.parse("mlx:cpu+compile/fast") == Subject("mlx", "cpu", "compile", "fast")


@pytest.mark.parametrize(
    "text", ["", "torch", "torch:", ":cpu", "torch:cpu+", "torch:cpu/", "torch cpu", "torch:cpu/a/b"]
)
def test_other_forms_are_refused(text):
    with pytest.raises(OpfuzzError, match=f"^subject '{text}': write it as backend:device".replace("+", r"\+")):
        Subject.parse(text)


class Absent(Numpy):
    def absent(self):
        return "absent: not installed: pip install absent"


class Deviceless(Numpy):
    def devices(self):
        return {"cpu": None, "gpu": "needs a GPU"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nunpy:cpu", "subject 'nunpy:cpu': unknown backend 'nunpy'; did you mean 'numpy'?"),
        ("numpy:cpi", "subject 'numpy:cpi': unknown device 'cpi'; did you mean 'cpu'?"),
        ("numpy:tpu9", "subject 'numpy:tpu9': unknown device 'tpu9'; known: cpu"),
        ("numpy:cpu+fast", "subject 'numpy:cpu+fast': unknown mode 'fast'; known: none"),
        ("absent:cpu", "subject 'absent:cpu': absent: not installed: pip install absent"),
        ("deviceless:gpu", "subject 'deviceless:gpu': no gpu on this machine: needs a GPU"),
    ],
)
def test_unusable_subjects_say_why(text, message):
    backends = {**discover(), "absent": Absent("absent"), "deviceless": Deviceless("deviceless")}
    with pytest.raises(OpfuzzError) as caught:
        resolve(text, backends)
    assert str(caught.value) == message


def test_a_usable_subject_comes_with_its_backend():
    subject, backend = resolve("numpy:cpu/plain", discover())
    assert subject == Subject("numpy", "cpu", "", "plain")
    assert isinstance(backend, Numpy)
