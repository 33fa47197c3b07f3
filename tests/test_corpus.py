"""The corpus: faults of earlier runs come first in the next, and what is fixed is said once."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from small_campaigns import SPECS, plugin

from opfuzz.backends import discover
from opfuzz.campaign import run
from opfuzz.conclude import conclude
from opfuzz.corpus import read_corpus, revisit, update
from opfuzz.plan import Plan, load_specs
from opfuzz.store import new_folder

FIXED = "np.square(x) * np.float32(1.001)"


def a_run(folder, corpus, path, **fields):
    """A run of one case; its findings and what became of those of earlier runs."""
    backends = discover([path])
    specs = load_specs([SPECS], backends, ["square"])
    settings = {"formats": ("float32",), "plugins": (path,), "cases": 1, "climb": 0.0} | fields
    plan = Plan(specs, ("off:cpu",), 0, 1, **settings)
    standings, known = revisit(read_corpus(corpus, plan, backends), plan, backends)
    progress = run(plan, known=known)
    place = new_folder(folder, datetime.now(UTC), "s0")
    made = conclude(plan, progress, backends, place, datetime.now(UTC), (), "ulp", standings, 60.0)
    update(corpus, place, made.findings, made.replayed)
    return made


def told(made):
    return [(each.status, each.is_new) for each in made.replayed]


def test_a_fault_is_known_until_it_is_fixed_and_when_it_comes_back(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    faulty = path.read_text()
    made = [a_run(tmp_path, corpus, path) for _ in range(2)]
    assert [told(each) for each in made] == [[], [("open", False)]]
    fault = next(finding for finding in made[1].findings if finding.severity == "fault")
    assert fault.cases == 2, "the case of this run, and the call of the one before"
    assert fault.minimal.elements == 2
    path.write_text(faulty.replace(FIXED, "np.square(x)"))
    assert [told(a_run(tmp_path, corpus, path)) for _ in range(2)] == [[("fixed", True)], [("fixed", False)]]
    path.write_text(faulty)
    assert told(a_run(tmp_path, corpus, path)) == [("back", True)]
    assert told(a_run(tmp_path, corpus, path)) == [("open", False)]


def test_only_what_the_run_asks_for_is_made_again(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    a_run(tmp_path, corpus, path)
    assert told(a_run(tmp_path, corpus, path, formats=("float64",))) == []


def test_a_damaged_fault_is_said_and_kept(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    a_run(tmp_path, corpus, path)
    (place,) = corpus.iterdir()
    (place / "call.json").write_text("{")
    (standing,) = a_run(tmp_path, corpus, path, formats=("float64",)).replayed
    assert standing.status == "not replayed"
    assert "call.json" in standing.reason
    assert (place / "call.json").read_text() == "{"


def test_a_spec_that_has_changed_is_said(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    a_run(tmp_path, corpus, path)
    (place,) = corpus.iterdir()
    changed = tmp_path / "square.yaml"
    changed.write_text((place / "spec.yaml").read_text().replace("1..40", "1..41"))
    backends = discover([path])
    plan = Plan(load_specs([changed], backends), ("off:cpu",), 0, 1, plugins=(path,), cases=1)
    (known,) = read_corpus(corpus, plan, backends)
    assert known.bundle is None
    assert "has changed" in known.why


def test_the_smaller_call_of_two_is_kept(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    made = a_run(tmp_path, corpus, path)
    (place,) = corpus.iterdir()
    first = (place / "inputs.safetensors").read_bytes()
    finding = json.loads((place / "finding.json").read_text())
    finding["minimal"]["elements"] = 1  # as if a smaller one were known
    (place / "finding.json").write_text(json.dumps(finding))
    update(corpus, tmp_path / made.run, made.findings, ())
    assert json.loads((place / "finding.json").read_text())["minimal"]["elements"] == 1
    finding["minimal"]["elements"] = 100
    (place / "finding.json").write_text(json.dumps(finding))
    update(corpus, tmp_path / made.run, made.findings, ())
    assert (place / "inputs.safetensors").read_bytes() == first
    assert json.loads((place / "finding.json").read_text())["minimal"]["elements"] == 2
    assert [entry.name for entry in corpus.iterdir()] == [place.name]


def test_no_folder_is_an_empty_corpus(tmp_path):
    backends = discover()
    plan = Plan(load_specs([SPECS], backends, ["square"]), ("numpy:cpu",), 0, 1, cases=1)
    assert read_corpus(tmp_path / "none", plan, backends) == []
