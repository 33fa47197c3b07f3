"""Accepted findings: a file that is appended to, read with care, and holds until its day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
import yaml
from results import result
from runs_of_rows import clean, fault, run_of

from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Apart, finding_id
from opfuzz.core.relation import Relation
from opfuzz.store.accepted import START, accept, considered, entry_of, quoted, read_accepted
from opfuzz.store.write import to_json

TODAY = date(2026, 1, 31)
HOSTILE = 'a "quoted" \\ text: # no comment\n- id: x\x1b[31m\x85\u2028\u200b😀 <b>|*'


def finding(op="gelu"):
    (found,) = run_of(fault(op=op)).findings
    return to_json(found)


def entry(op="gelu", reason="known", until=None, link=None):
    return entry_of(finding(op), reason, TODAY, until, link)


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "new" / "accepted.yaml"
    entries = [entry(), entry("erf", HOSTILE, "2026-02-28", "https://example.org/1?a=b#c"), entry("123", "no")]
    for each in entries:
        accept(path, each)
    assert read_accepted(path) == entries
    assert path.read_text().startswith(START)
    other = yaml.safe_load(path.read_text())  # as any other program reads it
    assert [each["reason"] for each in other] == ["known", HOSTILE, "no"]
    assert [each["op"] for each in other] == ["gelu", "erf", "123"]
    assert [path.name for path in path.parent.iterdir()] == ["accepted.yaml"]


@pytest.mark.parametrize(
    "text", [HOSTILE, "yes", "True", "null", "1e3", "", "a: b", "- a", "x\ty", "\x7f\x9f", "#a", "'", "0x1f", "a "]
)
def test_quoted_text_is_text_for_every_reader(text):
    line = f"k: {quoted(text)}\n"
    assert yaml.safe_load(line) == {"k": text}
    assert line.count("\n") == 1
    assert all(character.isprintable() for character in line[:-1])


@pytest.mark.parametrize("ending", ["\n", "", "\n\n# an end\n"])
def test_what_others_wrote_stays_to_the_byte(ending, tmp_path):
    path = tmp_path / "accepted.yaml"
    accept(path, entry())
    mine = "# reviewed by two\r\n" + path.read_text().replace("reason: known", "reason: 'known'   # see below") + ending
    path.write_bytes(mine.strip("\n").encode() + ending.encode())
    before = path.read_bytes()
    accept(path, entry("erf"))
    assert path.read_bytes().startswith(before)
    assert [each.op for each in read_accepted(path)] == ["gelu", "erf"]


def test_a_list_without_entries_is_empty_and_can_be_begun(tmp_path):
    path = tmp_path / "accepted.yaml"
    path.write_text("# nothing left\n\n")
    assert read_accepted(path) == []
    accept(path, entry())
    assert path.read_text().startswith("# nothing left\n\n- id: ")


def test_twice_is_refused(tmp_path):
    path = tmp_path / "accepted.yaml"
    accept(path, entry())
    before = path.read_bytes()
    with pytest.raises(OpfuzzError, match=r"is accepted already; mend its entry, or take it out, by hand"):
        accept(path, entry(reason="again"))
    assert path.read_bytes() == before


def test_a_list_of_another_style_is_left_alone(tmp_path):
    path = tmp_path / "accepted.yaml"
    accept(path, entry())
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line if line.startswith("#") else "  " + line for line in lines))
    before = path.read_bytes()
    with pytest.raises(OpfuzzError, match=r"nothing can be appended; .* add the entry by hand:\n- id: "):
        accept(path, entry("erf"))
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["accepted.yaml"]


@pytest.mark.parametrize(
    ("reason", "until", "link", "words"),
    [
        ("", None, None, "the reason is empty; say why"),
        (" \n", None, None, "the reason is empty"),
        ("r", "2026-1-31", None, "--until '2026-1-31' is no date; write 2026-12-31"),
        ("r", "2026-02-30", None, "--until '2026-02-30' is no date"),
        ("r", "2026-01-30", None, "--until 2026-01-30 is past, today is 2026-01-31"),
        ("r", None, "javascript:alert(1)", "--link 'javascript:alert(1)' is no link; write https://..."),
        ("r", None, "https://a b", "is no link"),
    ],
)
def test_mistakes_in_an_entry(reason, until, link, words):
    with pytest.raises(OpfuzzError) as caught:
        entry(reason=reason, until=until, link=link)
    assert words in str(caught.value)


ENTRY = {
    "id": finding_id(("gelu", "torch:cpu", "float32", "wrong", "reference")), "op": "gelu", "subject": "torch:cpu",
    "format": "float32", "verdict": "wrong", "relation": "reference", "reason": "known", "date": "2026-01-31",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"raeson": "x"}, "unknown key 'raeson'; did you mean 'reason'?"),
        ({"date": "soon"}, ":10:9: 'soon' is no date; write 2026-12-31"),
        ({"link": "x"}, "'x' is no link"),
        ({"reason": ""}, "reason must be text"),
        (
            {"subject": "torch:mps"},
            f"id is '{ENTRY['id']}', but op, subject, format, verdict and relation are those of",
        ),
        ({"relation": None}, "missing key 'relation'"),
        ({"until": "[2026]"}, "until must be text"),
    ],
)
def test_a_file_with_a_mistake_names_the_line(fields, words, tmp_path):
    path = tmp_path / "accepted.yaml"
    known = {name: value for name, value in {**ENTRY, **fields}.items() if value is not None}
    lines = [f"  {name}: {value}" for name, value in known.items()]
    path.write_text("# one\n\n- " + "\n".join(lines)[2:] + "\n")
    with pytest.raises(OpfuzzError) as caught:
        read_accepted(path)
    assert str(caught.value).startswith(f"{path}:")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b\n", "a file of accepted findings is a list"),
        ("- a\n", "an entry has the keys id, op"),
        ("- *a\n", "alias"),
    ],
)
def test_a_file_of_another_kind(text, words, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(OpfuzzError, match=words):
        read_accepted(tmp_path / "a.yaml")


def test_what_became_of_entries():
    run = run_of(fault(), fault(op="erf"), clean(op="relu"))
    entries = [entry(until="2026-01-31"), entry("erf"), entry("relu"), entry("tanh")]
    assert [(e.op, e.status) for e in considered(entries, run, TODAY)] == [
        ("gelu", "accepted"), ("erf", "accepted"), ("relu", "absent"),
    ]  # fmt: skip
    assert [e.status for e in considered(entries, run, date(2026, 2, 1))] == ["expired", "accepted", "absent"]


def test_an_entry_holds_where_another_promise_shows_the_same_verdict():
    run = run_of(fault(relation=Relation("rows", "batch")), fault(op="erf", relation=Relation("rows", "batch")))
    gelu, erf = sorted(run.findings, key=lambda f: f.op, reverse=True)
    (found,) = considered([entry()], run, TODAY)
    assert (found.id, found.relation, found.status) == (gelu.id, "rows of batch", "accepted")
    own = entry_of(to_json(erf), "r", TODAY, "2026-01-31", None)
    both = considered([entry("erf"), own], run, date(2026, 2, 1))
    assert [e.status for e in both] == ["absent", "expired"], "the entry with its id decides"
    (other,) = considered([entry()], run_of(result(0, "special", 9.0)), TODAY)
    assert other.status == "absent"


def test_of_exceptions_that_one_is_accepted_which_says_the_same():
    def raising(words):
        cause = Cause("raises", "RuntimeError", figures={"words": f"raised RuntimeError: {words}"})
        return run_of(result(0, "crash", elements=0, cause=cause))

    alpha, again, beta = map(raising, ("alpha at 3", "alpha at 5", "beta"))
    own = entry_of(to_json(alpha.findings[0]), "known", TODAY, None, None)
    assert own.cause == "raised RuntimeError: alpha at #"
    assert [each.status for each in considered([own], again, TODAY)] == ["accepted"]
    assert [each.status for each in considered([own], beta, TODAY)] == ["absent"]


def second_of(found, kind="reads-as-contiguous", name="x"):
    """A finding of a second cause beside another."""
    own = Cause(kind, name)
    made = replace(found, causes=(own,), apart=Apart(own, Cause("is-variant", "tanh")))
    return replace(made, id=finding_id(made.signature))


def test_of_two_causes_each_is_accepted_alone(tmp_path):
    run = run_of(fault())
    (first,) = (replace(each, causes=(Cause("is-variant", "tanh"),)) for each in run.findings)
    both = replace(run, findings=(first, second_of(first)))
    path = tmp_path / "accepted.yaml"
    own, other = (entry_of(to_json(each), "r", TODAY, None, None) for each in both.findings)
    accept(path, own)
    accept(path, other)
    assert read_accepted(path) == [own, other]
    assert (own.id, other.id) == (first.id, second_of(first).id)
    assert (own.cause, other.cause) == (None, "reads-as-contiguous x")
    assert [each.status for each in considered([own], both, TODAY)] == ["accepted"]
    assert [each.id for each in considered([own], both, TODAY)] == [first.id]
    alone = replace(run, findings=(second_of(first),))
    assert [each.status for each in considered([own], alone, TODAY)] == ["absent"], "another cause is not excused"
    assert [each.status for each in considered([other], replace(run, findings=(first,)), TODAY)] == ["absent"]


def test_a_second_cause_that_comes_first_with_other_cases_is_accepted_still():
    (found,) = run_of(fault()).findings
    entry = entry_of(to_json(second_of(found)), "r", TODAY, None, None)
    now = replace(found, causes=(Cause("reads-as-contiguous", "x"),))
    (known,) = considered([entry], replace(run_of(fault()), findings=(now,)), TODAY)
    assert (known.status, known.id) == ("accepted", now.id)
