"""Outputs of programs: a tensor or a word for each case, missing ones named, and one line for what cannot be judged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import exported, plan_of
from safetensors.numpy import save_file

from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.results import Outcome
from opfuzz.store.exchange import Export, OutputRecorder, Recorded, read_recorded, recorded_names
from opfuzz.store.exchange.outputs import missing, outcome


@pytest.fixture
def export(tmp_path) -> Export:
    """Two cases of each op and format, of which nobody made anything yet."""
    return exported(tmp_path / "cases", plan_of(each=2))


def folder(export: Export, name: str = "mine") -> Path:
    place = export.place / "outputs" / name
    place.mkdir(exist_ok=True)
    return place


def right(export: Export, at: int, dtype: Any = None) -> np.ndarray[Any, Any]:
    """An output of the shape of a case, in its format unless another is given."""
    case = export.entries[at].case
    shape = export.specs[case.op].output_shapes(case.dims, case.params)[""]
    return np.zeros(shape, dtype or case.format)


def ids(export: Export) -> list[str]:
    return [entry.case.id for entry in export.entries]


def told(export: Export, found: Recorded, at: int, implementation: str = "") -> Outcome:
    """What a program did on one of the cases."""
    entry = export.entries[at]
    there = found.told[entry.case.id][implementation]
    return outcome(export.specs[entry.case.op], entry, found.name(implementation), there)


def test_tensors_of_any_files_and_words_are_told(export):
    place, names = folder(export), ids(export)
    formats = [entry.case.format for entry in export.entries]
    assert formats[4:] == ["float32"] * 2 + ["float64"] * 2
    save_file({names[4]: right(export, 4), names[5]: right(export, 5) + 1}, place / "a.safetensors", {"format": "mlx"})
    save_file({f"{names[6]}/fast": right(export, 6)}, place / "b.safetensors")
    (place / "status.txt").write_bytes(
        f"{names[0]} unsupported no bf\xff16\r\n\n{names[1]} timeout\n{names[5]} unstable\n".encode("latin-1")
    )
    (place / "about.json").write_text('{"versions": {"mine": "1.2"}}')
    found = read_recorded(export, "mine")
    assert (found.subject, found.versions, found.machine) == ("mine", {"mine": "1.2"}, {})
    made = [told(export, found, at) for at in (0, 1, 4, 5)]
    assert [(each.status, each.cause.figures.get("words", ""), each.repeated) for each in made] == [
        ("unsupported", "no bf\N{REPLACEMENT CHARACTER}16", None),
        ("timeout", "the program says no more", None),
        ("ok", "", None),
        ("ok", "", (False,)),
    ]
    assert (made[3].outputs[0] == 1).all()
    assert told(export, found, 6, "fast").subject == "mine/fast"
    lacking = [f"{export.entries[at]}{words}" for at, words in ((2, ""), (3, ""), (4, " by fast"), (5, " by fast"))]
    lacking += [f"{export.entries[6]}", f"{export.entries[7]}", f"{export.entries[7]} by fast"]
    assert sorted(missing(export, found)) == sorted(lacking)


def test_another_shape_or_dtype_is_a_crash_as_for_a_backend(export):
    place, names = folder(export), ids(export)
    save_file({names[4]: right(export, 4, np.float64), names[5]: right(export, 5)[None]}, place / "a.safetensors")
    found = read_recorded(export, "mine")
    said = [told(export, found, at) for at in (4, 5)]
    shape = right(export, 5).shape
    assert [(each.status, each.cause.figures.get("words", "")) for each in said] == [
        ("crash", "returned float64, the spec says float32"),
        ("crash", f"returned shape {(1, *shape)}, the spec says {shape}"),
    ]
    assert [each.outputs for each in said] == [None, None]


def test_what_is_recorded_is_read_back(export):
    recorder = OutputRecorder(export, "mlx:gpu", {"mlx": "0.1"}, {"system": "x"})
    names = ids(export)
    transposed = np.arange(12, dtype=np.float32).reshape(3, 4).T  # which safetensors' writer would corrupt
    recorder.add(names[4], "", Outcome("mlx:gpu", "ok", (transposed,), repeated=(False,)))
    recorder.add(names[5], "plain", Outcome("mlx:gpu/plain", "ok", (np.float32(3).reshape(()),)))
    recorder.add(
        names[6], "", Outcome("mlx:gpu", "crash", cause=Cause("raises", figures={"words": "two\nlines \x00 here"}))
    )
    recorder.close()
    assert recorded_names(export) == ["mlx-gpu"]
    for text in ("mlx:gpu", "mlx-gpu"):
        found = read_recorded(export, text)
        assert (found.subject, found.versions, found.machine) == ("mlx:gpu", {"mlx": "0.1"}, {"system": "x"})
    assert found.told[names[4]][""].status == "unstable"
    assert found.told[names[4]][""].tensors[""][1].shape == (4, 3)
    assert found.told[names[5]]["plain"].tensors[""][1].shape == ()
    raw = (found.place / "00000.safetensors").read_bytes()
    assert np.ascontiguousarray(transposed).tobytes() in raw
    assert found.told[names[6]][""].message == "two lines \x00 here"
    with pytest.raises(OpfuzzError, match="take the folder away"):
        OutputRecorder(export, "mlx:gpu", {}, {})


def written(name: str, contents: bytes) -> Any:
    return lambda place, names: (place / name).write_bytes(contents) and None


def status(text: str) -> Any:
    """A status file; {0} and {4} are ids, of which the latter has an output."""
    return lambda place, names: (place / "status.txt").write_text(text.format(*names)) and None


def about(**fields: Any) -> Any:
    return lambda place, names: (place / "about.json").write_text(json.dumps(fields)) and None


def tensors(name: str, **renamed: str) -> Any:
    def damage(place: Path, names: list[str]) -> None:
        save_file({renamed["to"].format(*names): np.zeros(1, np.float32)}, place / name)

    return damage


def cut(place: Path, names: list[str]) -> None:
    os.truncate(place / "good.safetensors", (place / "good.safetensors").stat().st_size - 1)


def linked(place: Path, names: list[str]) -> None:
    (place / "z.safetensors").symlink_to("good.safetensors")


DAMAGES: dict[str, tuple[str, Any, str]] = {
    # name: the file that the message names, the damage, words of the message
    "cut": ("good.safetensors", cut, "bytes of tensors"),
    "link": ("z.safetensors", linked, "symbolic link"),
    "pipe": ("z.safetensors", lambda place, names: os.mkfifo(place / "z.safetensors"), "a pipe"),
    "empty": ("z.safetensors", written("z.safetensors", b""), "empty"),
    "a pickle": ("z.safetensors", written("z.safetensors", b"\x80\x04c__builtin__\nopen\n."), "header of"),
    "giant header": ("z.safetensors", written("z.safetensors", b"\xff" * 8 + b"{}"), "header of"),
    "no case": ("z.safetensors", tensors("z.safetensors", to="x"), "no case of this folder"),
    "a path": ("z.safetensors", tensors("z.safetensors", to="../{0}"), "no case of this folder"),
    "path of an implementation": ("z.safetensors", tensors("z.safetensors", to="{0}/../x"), "after the '/'"),
    "twice": ("z.safetensors", tensors("z.safetensors", to="{4}"), "in another file as well"),
    "unknown status": ("status.txt", status("{0} crashed x"), "did you mean 'crash'"),
    "status alone": ("status.txt", status("crash"), "unknown status ''"),
    "status of no case": ("status.txt", status("0000 crash x"), "no case of this folder"),
    "status of what is there": ("status.txt", status("{4} crash x"), "line 1: crash for"),
    "unstable without output": ("status.txt", status("{0} unstable x"), "no output"),
    "two words": ("status.txt", status("{0} crash x\n{0} timeout y"), "line 2"),
    "twice unstable": ("status.txt", status("{4} unstable x\n{4} unstable y"), "line 2"),
    "status as a folder": ("status.txt", lambda place, names: (place / "status.txt").mkdir(), "a folder"),
    "about is no JSON": ("about.json", written("about.json", b"mine 1.2"), "no JSON"),
    "about has more": ("about.json", about(version={}), "did you mean 'versions'"),
    "about has numbers": ("about.json", about(versions={"mine": 1}), "a line of text by name"),
    "about has lines": ("about.json", about(machine={"x": "a\nb"}), "a line of text by name"),
    "about has half a character": ("about.json", about(versions={"\ud800": "1"}), "a line of text by name"),
    "subject of a path": ("about.json", about(subject="../mine"), "not a name"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_judged_is_refused_in_one_line(damage, export):
    place, names = folder(export), ids(export)
    save_file({names[4]: right(export, 4)}, place / "good.safetensors")
    read_recorded(export, "mine")
    name, harm, words = DAMAGES[damage]
    harm(place, names)
    with pytest.raises(OpfuzzError) as refused:
        read_recorded(export, "mine")
    message = str(refused.value)
    assert message.startswith(str(place / name)), message
    assert words in message
    assert "\n" not in message


def test_a_file_that_changes_while_it_is_judged_is_refused(export):
    place, names = folder(export), ids(export)
    save_file({names[4]: right(export, 4)}, place / "good.safetensors")
    found = read_recorded(export, "mine")
    cut(place, names)
    with pytest.raises(OpfuzzError, match="is cut short"):
        told(export, found, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mien", "no outputs of 'mien'; did you mean 'mine'"),
        ("../mine", "is no name"),
        (".", "is no name"),
        ("", "is no name"),
    ],
)
def test_a_name_that_nobody_has_is_refused(text, words, export):
    folder(export)
    with pytest.raises(OpfuzzError, match=words.replace(".", r"\.")):
        read_recorded(export, text)


def test_a_folder_of_outputs_that_is_a_link_is_refused(export, tmp_path):
    (tmp_path / "else").mkdir()
    (export.place / "outputs" / "mine").symlink_to(tmp_path / "else")
    with pytest.raises(OpfuzzError, match="symbolic link"):
        read_recorded(export, "mine")
