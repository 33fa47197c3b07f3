"""The corpus: faults of earlier runs come first in the next, and what is fixed is said once."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from bundles import opfuzz
from small_campaigns import SPECS, plugin

from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Standing
from opfuzz.engine.campaign import run
from opfuzz.engine.finish import Occasion, conclude
from opfuzz.engine.plan import Plan, load_specs, vocabulary
from opfuzz.engine.triage.corpus import read_corpus, revisit, update
from opfuzz.spec import load
from opfuzz.store.bundle import read_bundle
from opfuzz.store.write import new_folder

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
    made = conclude(plan, progress, backends, Occasion(place, datetime.now(UTC), standings=standings), 60.0)
    update(corpus, made, place, vocabulary(backends))
    return made


def faults(corpus):
    """The folders of a corpus, which has the lock beside them."""
    return [place for place in corpus.iterdir() if place.is_dir()]


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
    (place,) = faults(corpus)
    (place / "call.json").write_text("{")
    (standing,) = a_run(tmp_path, corpus, path, formats=("float64",)).replayed
    assert standing.status == "not replayed"
    assert "call.json" in standing.why
    told = (standing.op, standing.subject, standing.format, standing.verdict)
    assert told == ("square", "off:cpu", "float32", "imprecise"), "as its finding.json has it"
    assert (place / "call.json").read_text() == "{"


def test_a_spec_that_has_changed_is_said(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    a_run(tmp_path, corpus, path)
    (place,) = faults(corpus)
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
    (place,) = faults(corpus)
    words, first = vocabulary(discover([path])), (place / "inputs.safetensors").read_bytes()
    finding = json.loads((place / "finding.json").read_text())
    finding["minimal"]["elements"] = 1  # as if a smaller one were known
    (place / "finding.json").write_text(json.dumps(finding))
    update(corpus, made, tmp_path / made.run, words)
    assert json.loads((place / "finding.json").read_text())["minimal"]["elements"] == 1
    finding["minimal"]["elements"] = 100
    (place / "finding.json").write_text(json.dumps(finding))
    update(corpus, made, tmp_path / made.run, words)
    assert (place / "inputs.safetensors").read_bytes() == first
    assert json.loads((place / "finding.json").read_text())["minimal"]["elements"] == 2
    assert faults(corpus) == [place]
    assert {entry.name for entry in corpus.iterdir()} == {place.name, ".lock"}, "no draft is left"


@pytest.mark.parametrize("harm", ["damaged", "another spec"])
def test_what_cannot_be_made_again_gives_way_to_any_call(harm, tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    made = a_run(tmp_path, corpus, path)
    (place,) = faults(corpus)
    words = vocabulary(discover([path]))
    whole = read_bundle(place, words)
    finding = json.loads((place / "finding.json").read_text())
    finding["minimal"]["elements"] = 1  # smaller than that of the run
    (place / "finding.json").write_text(json.dumps(finding))
    if harm == "damaged":
        (place / "call.json").write_text("{")
    else:
        spec = (place / "spec.yaml").read_text().replace("1..40", "1..41")
        (place / "spec.yaml").write_text(spec)
        other = load(place / "spec.yaml", words).digest
        for name in ("call.json", "case.json"):
            document = json.loads((place / name).read_text()) | {"digest": other}
            document.pop("id", None)
            (place / name).write_text(json.dumps(document))
        assert read_bundle(place, words).spec.digest == other != whole.spec.digest, "it is sound, and of another spec"
    update(corpus, made, tmp_path / made.run, words)
    assert read_bundle(place, words).spec.digest == whole.spec.digest
    assert json.loads((place / "finding.json").read_text())["minimal"]["elements"] == 2


def test_runs_that_end_at_once_wait_for_each_other(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    made = a_run(tmp_path, corpus, path)
    (place,) = faults(corpus)
    words, errors = vocabulary(discover([path])), []

    def often():
        try:
            for _ in range(10):
                (place / "call.json").unlink(missing_ok=True)  # so that it is replaced each time
                update(corpus, made, tmp_path / made.run, words)
        except OpfuzzError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert faults(corpus) == [place]


def test_a_file_is_no_corpus(tmp_path):
    (tmp_path / "corpus").write_text("")
    with pytest.raises(OpfuzzError, match=r"corpus: Not a directory.*--corpus"):
        read_corpus(tmp_path / "corpus", Plan((), ("numpy:cpu",), 0, 1, cases=1), discover())


def test_a_corpus_that_cannot_be_written_does_not_lose_the_run(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise OpfuzzError("corpus: cannot be written: No space left on device")

    monkeypatch.setattr("opfuzz.engine.carry.update", refuse)
    given = ("run", str(SPECS), "--op", "square", "--format", "float32", "--cases", "1", "--jobs", "1", "--json")
    given += ("--subjects", "off:cpu", "--plugin", str(plugin(tmp_path)), "--out", str(tmp_path))
    code, out, err = opfuzz(capsys, monkeypatch, *given)
    assert code == 1
    assert json.loads(out)["findings"]
    assert err.splitlines()[-1] == "corpus: cannot be written: No space left on device"


def test_no_folder_is_an_empty_corpus(tmp_path):
    backends = discover()
    plan = Plan(load_specs([SPECS], backends, ["square"]), ("numpy:cpu",), 0, 1, cases=1)
    assert read_corpus(tmp_path / "none", plan, backends) == []


def test_of_a_cause_one_call_is_kept_for_each_op_and_format(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    made = a_run(tmp_path, corpus, path)
    (place,) = faults(corpus)
    words, (found,) = vocabulary(discover([path])), [f for f in made.findings if f.severity == "fault"]
    assert json.loads((place / "status.json").read_text())["cause"] == made.causes[0].id

    def known_by(id, elements):
        """The same run, which tells the fault by another promise, with a call of another size."""
        shutil.copytree(tmp_path / made.run / "findings" / found.id, tmp_path / made.run / "findings" / id)
        other = replace(found, id=id, minimal=replace(found.minimal, elements=elements))
        causes = [replace(each, findings=(id,)) for each in made.causes if found.id in each.findings]
        return replace(made, findings=(other,), causes=tuple(causes))

    update(corpus, known_by("aaaaaaaaaaaa", 3), tmp_path / made.run, words)
    assert faults(corpus) == [place], "a larger call of what is known"
    update(corpus, known_by("bbbbbbbbbbbb", 1), tmp_path / made.run, words)
    assert faults(corpus) == [corpus / "bbbbbbbbbbbb"], "a smaller one"
    elsewhere = known_by("cccccccccccc", 2)
    elsewhere = replace(elsewhere, causes=tuple(replace(each, id="another") for each in elsewhere.causes))
    update(corpus, elsewhere, tmp_path / made.run, words)
    assert {each.name for each in faults(corpus)} == {"bbbbbbbbbbbb", "cccccccccccc"}, "another cause"


def test_what_somebody_put_into_the_corpus_is_kept(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    made = a_run(tmp_path, corpus, path)
    (place,) = faults(corpus)
    words = vocabulary(discover([path]))
    (place / "notes.txt").write_text("why it is so")
    (place / "call.json").write_text("{")  # so that it is replaced
    update(corpus, made, tmp_path / made.run, words)
    assert (place / "call.json").read_text() != "{"
    copied = corpus / "my-own-case"
    shutil.copytree(place, copied)
    (place / "call.json").write_text("{")
    update(corpus, made, tmp_path / made.run, words)
    assert {each.name for each in faults(corpus)} == {place.name, "my-own-case"}
    assert [(each / "notes.txt").read_text() for each in faults(corpus)] == ["why it is so"] * 2


def test_a_fixed_call_gives_way_to_one_that_is_at_fault(tmp_path):
    path, corpus = plugin(tmp_path), tmp_path / "corpus"
    made = a_run(tmp_path, corpus, path)
    (place,) = faults(corpus)
    words, (found,) = vocabulary(discover([path])), [f for f in made.findings if f.severity == "fault"]
    told = (found.op, found.subject, found.format, found.verdict)
    right = Standing(found.id, *told, "exact", "fixed", is_new=True)
    quiet = replace(made, findings=(), causes=(), replayed=(right,))
    update(corpus, quiet, tmp_path / made.run, words)
    assert json.loads((place / "status.json").read_text())["status"] == "fixed"
    larger = replace(found, minimal=replace(found.minimal, elements=9))  # by another input, on the same place
    update(corpus, replace(made, findings=(larger,), replayed=(right,)), tmp_path / made.run, words)
    assert json.loads((place / "status.json").read_text())["status"] == "open"
    update(corpus, replace(made, replayed=(replace(right, is_new=False),)), tmp_path / made.run, words)
    assert json.loads((place / "status.json").read_text())["status"] == "fixed", (
        "its call is right, whatever else is met"
    )
