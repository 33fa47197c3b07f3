"""`opfuzz doctor`: what is missing is said with its remedy, what does not compute is found out, nothing kills it."""

from __future__ import annotations

import json
from functools import partial

import pytest
from click.testing import CliRunner
from own_cache import own_cache
from small_campaigns import SPECS, plugin

from opfuzz.backends import discover, survey
from opfuzz.backends.numpy import Numpy
from opfuzz.cli import cli
from opfuzz.engine import doctor
from opfuzz.engine.doctor import ABSENT, BROKEN, OK, Fact, works
from opfuzz.engine.probe import session

# Backends: a product one bit off, a process that ends, one that is not installed, and one that is by half.
BROKEN_BACKENDS = """
import os

import numpy as np

from opfuzz.backends.numpy import Numpy


class Off(Numpy):
    def run(self, program, tensors, names, device, mode):
        return np.nextafter(super().run(program, tensors, names, device, mode), np.float32(9))


class Dying(Numpy):
    def run(self, program, tensors, names, device, mode):
        os.abort()


class Missing(Numpy):
    def absent(self):
        return "missing: not installed: pip install 'missing[all]'"


class Odd(Numpy):
    def devices(self):
        raise RuntimeError("half of it is not there")


BACKENDS = [Off("off"), Dying("dying"), Missing("missing"), Odd("odd")]
"""


@pytest.fixture(scope="module")
def diagnosis(tmp_path_factory):
    """The facts, with broken backends, a broken spec, and a package whose entry point fails."""
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "broken.py").write_text(BROKEN_BACKENDS)
    (folder / "specs").mkdir()
    (folder / "specs" / "bad.yaml").write_text("op: bad\n")
    package = folder / "bad-1.0.dist-info"  # as another package that is installed, with an entry point of ours
    package.mkdir()
    (package / "METADATA").write_text("Name: bad\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[opfuzz.backends]\nbad = bad_backend:Bad\n")
    words = ["doctor", str(folder / "specs"), "--plugin", str(folder / "broken.py"), "--out", str(folder / "r" / "s")]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        done = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False, standalone_mode=False)
    assert not (folder / "r").exists()  # it looks, and leaves nothing
    document = json.loads(done.output)
    return done.return_value, document, {fact["name"]: fact for fact in document["facts"]}


def test_it_says_0_when_something_computes(diagnosis):
    code, document, facts = diagnosis
    assert (code, document["works"]) == (0, True)
    assert facts["numpy:cpu"]["state"] == OK
    assert "computes" in facts["numpy:cpu"]["words"]


def test_a_wrong_product_is_found_out(diagnosis):
    fact = diagnosis[2]["off:cpu"]
    assert fact["state"] == BROKEN
    assert "[1.5, -2.25, 0.0, 3.0]" in fact["words"]


def test_a_backend_that_kills_its_process_is_found_out_and_the_others_are_tried(diagnosis):
    facts = diagnosis[2]
    assert (facts["dying:cpu"]["state"], facts["off:cpu"]["state"]) == (BROKEN, BROKEN)
    assert "SIGABRT" in facts["dying:cpu"]["words"]


def test_an_entry_point_that_fails_is_told_and_the_rest_is_tried(diagnosis):
    fact = diagnosis[2]["plugin or entry point"]
    assert fact["state"] == BROKEN
    assert "entry point 'bad = bad_backend:Bad': ModuleNotFoundError" in fact["words"]


def test_a_backend_that_raises_when_asked_is_told(diagnosis):
    fact = diagnosis[2]["odd"]
    assert fact["state"] == BROKEN
    assert "RuntimeError: half of it is not there" in fact["words"]


def test_what_is_absent_comes_with_its_remedy(diagnosis):
    fact = diagnosis[2]["missing"]
    assert (fact["state"], fact["words"]) == (ABSENT, "missing: not installed")
    assert fact["remedy"] == "pip install 'missing[all]'"


def test_a_broken_spec_is_told_with_its_line(diagnosis):
    (fact,) = (fact for fact in diagnosis[1]["facts"] if fact["name"].endswith("specs") and fact["state"] == BROKEN)
    assert "bad.yaml:1:1: missing key" in fact["words"]
    assert fact["remedy"].startswith("opfuzz check ")


def test_the_specs_that_came_with_opfuzz_are_counted(diagnosis):
    count = len(list(doctor.shipped("specs").rglob("*.yaml")))
    assert any(fact["words"] == f"{count} valid specs" for fact in diagnosis[1]["facts"])


def test_the_json_has_no_other_keys(diagnosis):
    assert {frozenset(fact) for fact in diagnosis[1]["facts"]} == {
        frozenset({"topic", "name", "state", "words", "remedy"})
    }


def test_without_any_backend_that_computes_it_says_1(monkeypatch):
    facts = [Fact("subjects", "torch:cpu", BROKEN, "no"), Fact("machine", "system", OK, "\x1b[31mLinux")]
    assert not works(facts)
    monkeypatch.setattr("opfuzz.cli.doctor.examine", lambda *words: facts)
    done = CliRunner().invoke(cli, ["doctor"], standalone_mode=False)
    assert done.return_value == 1
    assert "no backend computes" in done.output
    assert "\x1b" not in done.output


def test_a_plugin_that_fails_is_told_and_the_rest_is_there(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("raise ValueError('no')")
    good = plugin(tmp_path)
    found, mistakes = survey([bad, good, tmp_path / "gone.py"])
    assert set(discover([good])) == set(found)
    assert ["bad.py:1" in str(mistakes[0]), "gone.py" in str(mistakes[1])] == [True, True]


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (fact,) = doctor._disk(tmp_path)
    assert fact.state == OK
    (tmp_path / "file").write_text("")
    (fact,) = doctor._disk(tmp_path / "file" / "reports")
    assert fact.state == BROKEN
    assert "--out" in fact.remedy


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    fact = doctor._compiler()
    assert fact.state == ABSENT
    assert "g++" in fact.remedy or "xcode" in fact.remedy


def test_threads_are_told_where_a_framework_has_them():
    assert Numpy().threads() is None
    torch = discover()["torch"]
    if torch.absent():
        pytest.skip(torch.absent())
    assert torch.threads() >= 1


def test_a_probe_is_printed_kept_and_used_by_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", own_cache(tmp_path / "cache"))
    monkeypatch.setattr(session, "SIZES", (2**10,))
    monkeypatch.setattr("opfuzz.cli.doctor.probe", partial(session.probe, seconds=900.0))  # on a busy machine as well
    (tmp_path / "broken.py").write_text(BROKEN_BACKENDS.replace('Dying("dying"), Missing("missing"), Odd("odd")', ""))
    (tmp_path / "square.yaml").write_text((SPECS / "square.yaml").read_text())
    beside = [str(tmp_path / "square.yaml"), "--plugin", str(tmp_path / "broken.py"), "--jobs", "1"]

    def opfuzz(*words):
        return CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)

    done = opfuzz("doctor", *beside, "--probe", "numpy:cpu")
    assert done.return_value == 0
    assert "opfuzz doctor --probe numpy:cpu\n" in done.stdout
    assert "numpy:cpu.json" in done.stderr.replace("numpy-cpu", "numpy:cpu")
    (kept,) = (tmp_path / "cache" / "opfuzz" / "probes").iterdir()
    assert json.loads(kept.read_text())["subject"] == "numpy:cpu"
    damaged = json.loads(kept.read_text())
    damaged["versions"]["numpy"] = "1.0"
    kept.write_text(json.dumps(damaged))
    ran = ("run", *beside, "--subjects", "numpy:cpu", "--cases", "1", "--shrink", "0", "--out", str(tmp_path / "runs"))
    assert "is not used: numpy was 1.0" in opfuzz(*ran).stderr
    found = opfuzz("doctor", *beside, "--probe", "off:cpu", "--json")
    (probe,) = json.loads(found.stdout)["probes"]
    # float16 comes back as float32.
    assert {(each["kind"], each["how"]) for each in probe["failed"]} == {
        ("round-trip", "differs"),
        ("round-trip", "raises"),
    }
    assert found.return_value == 1  # nothing is answered where nothing comes back
