"""Bundles: what is written comes back bit for bit, and what somebody hostile wrote is one line and exit 2."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import off_plugin, opfuzz, square_call, written
from toys_of_bundles import GATHER, gather_call

from opfuzz.backends import discover
from opfuzz.backends.numpy import Numpy
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.layout import LAYOUTS
from opfuzz.engine.plan import vocabulary
from opfuzz.store.bundle import bundles_in, keep_first, read_bundle

WORDS = vocabulary(discover())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A good bundle, and the plugin whose fault it shows."""
    folder = tmp_path_factory.mktemp("good")
    plugin = off_plugin(folder)
    written(folder / "bundle", square_call(), plugins=(plugin,))
    return folder / "bundle", plugin


def edited(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A damage that changes a JSON document."""

    def damage(place: Path) -> None:
        document = json.loads((place / name).read_text())
        change(document)
        (place / name).write_text(json.dumps(document))

    return damage


def replaced(name: str, contents: bytes) -> Callable[[Path], None]:
    return lambda place: (place / name).write_bytes(contents) and None


def call(**fields: Any) -> Callable[[Path], None]:
    return edited("call.json", lambda document: document.update(fields))


def finding(**fields: Any) -> Callable[[Path], None]:
    return edited("finding.json", lambda document: document.update(fields))


def both(**fields: Any) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        call(**fields)(place)
        finding(**fields)(place)

    return damage


def header(change: Callable[[dict[str, Any]], None], length: int | None = None, tail: bytes = b"") -> Any:
    """A damage of the header of the inputs; `length` is what it says of itself."""

    def damage(place: Path) -> None:
        raw = (place / "inputs.safetensors").read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        document = json.loads(raw[8:end])
        change(document)
        text = json.dumps(document).encode()
        begin = struct.pack("<Q", len(text) if length is None else length)
        (place / "inputs.safetensors").write_bytes(begin + text + raw[end:] + tail)

    return damage


def tensor(**fields: Any) -> Any:
    return header(lambda document: document["x"].update(fields))


def in_place(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """A damage that puts something else where a file was."""

    def damage(place: Path) -> None:
        (place / name).rename(place.parent / f"away-{name}")
        make(place / name)

    return damage


def sparse(name: str, size: int) -> Callable[[Path], None]:
    return lambda place: os.truncate(place / name, size)


def text_in(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        text = (place / name).read_text()
        assert old in text
        (place / name).write_text(text.replace(old, new, 1))

    return damage


def nothing(document: dict[str, Any]) -> None:
    """Leaves a header as it is."""


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


ABORT = "summary: !!python/object/apply:os.abort []\nx:"


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def pickled(place: Path) -> None:
    (place / "inputs.safetensors").write_bytes(pickle.dumps(Trap(str(place / "trapped"))))


DAMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    # name: the file that the message names, the damage, words of the message
    "finding missing": ("finding.json", lambda p: (p / "finding.json").unlink(), "missing"),
    "call missing": ("call.json", lambda p: (p / "call.json").unlink(), "missing"),
    "case missing": ("case.json", lambda p: (p / "case.json").unlink(), "missing"),
    "spec missing": ("spec.yaml", lambda p: (p / "spec.yaml").unlink(), "missing"),
    "inputs missing": ("inputs.safetensors", lambda p: (p / "inputs.safetensors").unlink(), "missing"),
    "empty finding": ("finding.json", replaced("finding.json", b""), "empty"),
    "empty inputs": ("inputs.safetensors", lambda p: os.truncate(p / "inputs.safetensors", 0), "empty"),
    "link out": ("call.json", in_place("call.json", lambda p: p.symlink_to("../away-call.json")), "symbolic link"),
    "link to a device": ("inputs.safetensors", in_place("inputs.safetensors", device), "symbolic link"),
    "folder": ("spec.yaml", in_place("spec.yaml", lambda p: p.mkdir()), "a folder"),
    "pipe": ("call.json", in_place("call.json", os.mkfifo), "a pipe"),
    "large finding": ("finding.json", sparse("finding.json", 2**23), "limit"),
    "large spec": ("spec.yaml", sparse("spec.yaml", 2**21), "limit"),
    "large inputs": ("inputs.safetensors", sparse("inputs.safetensors", 2**31), "limit"),
    "not UTF-8": ("call.json", replaced("call.json", b'{"op": "\xff"}'), "not UTF-8"),
    "not JSON": ("finding.json", replaced("finding.json", b"{'id': 1}"), "no JSON"),
    "a list": ("finding.json", replaced("finding.json", b"[]"), "in place of an object"),
    "NaN": ("call.json", text_in("call.json", '"n": 3', '"n": NaN'), "NaN is no JSON"),
    "infinite": ("call.json", text_in("call.json", '"n": 3', '"n": 1e999'), "no finite number"),
    "huge integer": ("call.json", text_in("call.json", '"n": 3', '"n": ' + "9" * 5000), "integer of 5000 digits"),
    "deep": ("call.json", replaced("call.json", b"[" * 100_000), "levels"),
    "duplicate key": ("call.json", text_in("call.json", "{", '{"op": "erf",'), "duplicate key 'op'"),
    "unknown key": ("call.json", call(subjcet="x"), "did you mean 'subject'"),
    "missing key": ("call.json", edited("call.json", lambda d: d.pop("dims")), "missing dims"),
    "schema": ("call.json", call(schema=3), "schema 3"),
    "other op": ("call.json", call(op="erf"), "op is 'erf'"),
    "other digest": ("call.json", call(digest="0" * 16), "digest"),
    "changed spec": ("call.json", text_in("spec.yaml", "reference: x * x", "reference: x * x * x"), "digest"),
    "spec with code": ("spec.yaml", text_in("spec.yaml", "summary:", ABORT), "tag"),
    "call with code": ("spec.yaml", text_in("spec.yaml", "np.square(x)", "__import__('os').abort()"), "a method of"),
    "unknown backend": ("call.json", both(subject="of:cpu"), "unknown backend"),
    "unknown device": ("call.json", both(subject="off:gpu"), "unknown device"),
    "no subject": ("call.json", both(subject="../x"), "no way to call"),
    "no implementation": ("spec.yaml", both(subject="off:cpu/b"), "no call"),
    "other format": ("call.json", call(format="float16"), "format"),
    "format of no spec": ("call.json", both(format="float16"), "not among"),
    "dim beyond": ("call.json", call(dims={"n": 41}), "does not allow"),
    "dim negative": ("call.json", call(dims={"n": -1}), "dim n is -1"),
    "dim true": ("call.json", call(dims={"n": True}), "dim n is True"),
    "dim unknown": ("call.json", call(dims={"n": 3, "m": 1}), "unknown 'm'"),
    "dim large": ("call.json", call(dims={"n": 2**60}), "dim n"),
    "param unknown": ("call.json", call(params={"eps": 1}), "unknown 'eps'"),
    "layout unknown": ("call.json", call(layouts={"x": "stepppped"}), "did you mean 'stepped'"),
    "layout of another": ("inputs.safetensors", call(layouts={"x": "offset"}), "shape"),
    "switch": ("call.json", call(switch={"y": "offset"}), "switch: unknown 'y'"),
    "index outside": ("call.json", call(index=[3]), "outside"),
    "index of another rank": ("call.json", call(index=[0, 0]), "outside"),
    "version": ("call.json", call(versions={"numpy": 2}), "version"),
    "verdict": ("finding.json", finding(verdict="terrible"), "verdict"),
    "clean verdict": ("finding.json", finding(verdict="exact", severity="clean"), "verdict"),
    "witness": ("finding.json", finding(witness={"computed": "1"}), "witness"),
    "case of another": ("case.json", edited("case.json", lambda d: d.update(op="erf")), "the id is"),
    "other tensor": ("inputs.safetensors", header(lambda d: d.update(y=d.pop("x"))), "tensor"),
    "two tensors": ("inputs.safetensors", header(lambda d: d.update(y=d["x"])), "unknown tensor 'y'"),
    "other dtype": ("inputs.safetensors", tensor(dtype="F64"), "F64"),
    "2^60 elements": ("inputs.safetensors", tensor(shape=[2**60], data_offsets=[0, 2**62]), "shape"),
    "offsets beyond": ("inputs.safetensors", tensor(data_offsets=[100, 112]), "begins at byte 100"),
    "offsets backwards": ("inputs.safetensors", tensor(data_offsets=[12, 0]), "offsets"),
    "offsets negative": ("inputs.safetensors", tensor(data_offsets=[-12, 0]), "offsets"),
    "long header": ("inputs.safetensors", header(nothing, length=2**63), "header of"),
    "more bytes": ("inputs.safetensors", header(nothing, tail=b"\0" * 8), "bytes of tensors"),
    "cut": ("inputs.safetensors", lambda p: os.truncate(p / "inputs.safetensors", 70), "bytes"),
    "short": ("inputs.safetensors", replaced("inputs.safetensors", b"1234"), "header"),
    "a pickle": ("inputs.safetensors", pickled, "header"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_one_line_and_exit_2(damage, made, tmp_path, capsys, monkeypatch):
    bundle, plugin = made
    place = tmp_path / "bundle"
    shutil.copytree(bundle, place)
    name, harm, words = DAMAGES[damage]
    harm(place)
    (place / "repro.py").write_text(f"open({str(place / 'trapped')!r}, 'w')")  # which no command may run
    code, out, err = opfuzz(capsys, monkeypatch, "repro", str(place), "--plugin", str(plugin))
    assert (code, out) == (2, ""), err
    assert err.count("\n") == 1
    assert err.startswith(str(place / name)), err
    assert words in err
    assert len(err) < 600
    assert not (place / "trapped").exists()


def test_a_good_bundle_is_none_of_these(made, capsys, monkeypatch):
    bundle, plugin = made
    assert opfuzz(capsys, monkeypatch, "repro", str(bundle), "--plugin", str(plugin))[0] == 1


@pytest.mark.parametrize("damage", ["2^60 elements", "large inputs", "long header", "dim large", "deep"])
def test_nothing_large_is_allocated_for_what_a_file_claims(damage, made, tmp_path):
    place = tmp_path / "bundle"
    shutil.copytree(made[0], place)
    DAMAGES[damage][1](place)
    words = vocabulary(discover())
    tracemalloc.start()
    try:
        with pytest.raises(OpfuzzError):
            read_bundle(place, words)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_damage_at_random_is_refused_in_one_line_or_means_nothing(made, tmp_path):
    place = tmp_path / "bundle"
    shutil.copytree(made[0], place)
    random = np.random.default_rng(11)
    messages = []
    for name in ("finding.json", "call.json", "case.json", "spec.yaml", "inputs.safetensors"):
        whole = (place / name).read_bytes()
        for _ in range(40):
            data = bytearray(whole)
            first = int(random.integers(len(data)))
            data[first : first + int(random.integers(3))] = random.bytes(int(random.integers(3)))
            (place / name).write_bytes(data)
            try:
                read_bundle(place, WORDS)
            except OpfuzzError as error:
                messages.append(str(error))
        (place / name).write_bytes(whole)
    assert len(messages) > 100
    assert all(message.startswith(str(place)) and "\n" not in message for message in messages)
    read_bundle(place, WORDS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("format", ["float32", "float64"])
def test_a_call_comes_back_with_every_bit(layout, format, made, tmp_path):
    values = [-0.0] * 5 if layout == "broadcast" else [-0.0, np.nan, np.inf, 5e-324, 1 / 3]
    given = square_call(values, layout, format)
    written(tmp_path / "b", given, plugins=(made[1],), verdict="crash", severity="fault")
    bundle = read_bundle(tmp_path / "b", WORDS)
    found = bundle.call
    assert (found.format, found.dims, found.params) == (given.format, given.dims, given.params)
    assert found.layouts == (
        {"x": layout} if layout not in ("transposed", "permuted", "narrowed") else {"x": "contiguous"}
    )
    assert found.arrays["x"].tobytes() == given.arrays["x"].tobytes()
    assert found.arrays["x"].dtype == given.arrays["x"].dtype
    assert (bundle.spec.op, bundle.subject, bundle.element) == ("square", "off:cpu", None)
    assert (tmp_path / "b" / "spec.yaml").read_bytes() == (Path(__file__).parents[1] / "small").joinpath(
        "square.yaml"
    ).read_bytes()


@pytest.fixture
def gathered(tmp_path) -> Path:
    """A bundle of an op with an index, a mask and an additive mask."""
    spec = tmp_path / "gather.yaml"
    spec.write_text(GATHER)
    written(tmp_path / "b", gather_call(), "numpy:cpu", spec_path=spec, verdict="crash", severity="fault")
    return tmp_path / "b"


def values(name: str, bits: bytes) -> Callable[[Path], None]:
    """A damage of the first bytes of one input."""

    def damage(place: Path) -> None:
        raw = bytearray((place / "inputs.safetensors").read_bytes())
        end = 8 + int.from_bytes(raw[:8], "little")
        start = end + json.loads(raw[8:end])[name]["data_offsets"][0]
        raw[start : start + len(bits)] = bits
        (place / "inputs.safetensors").write_bytes(raw)

    return damage


def test_other_kinds_of_input_come_back(gathered):
    found, given = read_bundle(gathered, WORDS).call.arrays, gather_call().arrays
    assert {name: (a.dtype, a.tobytes()) for name, a in found.items()} == {
        name: (a.dtype, a.tobytes()) for name, a in given.items()
    }


@pytest.mark.parametrize(
    ("name", "bits", "words"),
    [
        ("i", struct.pack("<q", -1), "index outside 0 to 4"),
        ("i", struct.pack("<q", 4), "index outside 0 to 4"),
        ("i", struct.pack("<q", 2**62), "index outside 0 to 4"),
        ("m", b"\x02", "truth value"),
        ("a", struct.pack("<f", 1.0), "besides 0 and -inf"),
        ("a", struct.pack("<f", float("nan")), "besides 0 and -inf"),
    ],
)
def test_values_that_an_input_cannot_have_are_refused(name, bits, words, gathered):
    values(name, bits)(gathered)
    with pytest.raises(OpfuzzError, match=words) as caught:
        read_bundle(gathered, WORDS)
    assert str(caught.value).startswith(str(gathered / "inputs.safetensors"))


def test_a_bundle_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "b").write_text("in the way")
    with pytest.raises(OpfuzzError, match=r"b: cannot be written: "):
        written(tmp_path / "b", square_call(), "numpy:cpu", verdict="crash", severity="fault")


def test_a_subject_that_is_on_another_machine_has_no_reproducer_here(tmp_path, monkeypatch, capsys):
    """As when a machine of a cluster found it: the bundle is whole, and says where to go on."""
    path = off_plugin(tmp_path)
    with monkeypatch.context() as here:
        here.setattr(Numpy, "absent", lambda self: "numpy: not installed <here>")
        written(tmp_path / "b", square_call(), plugins=(path,), verdict="imprecise", severity="fault")
    assert not (tmp_path / "b" / "repro.py").exists()
    text = (tmp_path / "b" / "next.md").read_text()
    assert "# square on off:cpu in float32: imprecise" in text
    assert "cannot call the subject: numpy: not installed &lt;here&gt;. On a machine that can" in text
    code, out, _ = opfuzz(capsys, monkeypatch, "repro", str(tmp_path / "b"), "--plugin", str(path))
    assert code == 1, out
    code, _, err = opfuzz(capsys, monkeypatch, "shrink", str(tmp_path / "b"), "--plugin", str(path))
    assert code == 0, err
    assert (tmp_path / "b" / "repro.py").exists()


def test_a_folder_without_a_bundle_is_one_line(tmp_path, capsys, monkeypatch):
    for path in (tmp_path, tmp_path / "none", Path(__file__)):
        code, _, err = opfuzz(capsys, monkeypatch, "repro", str(path))
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith(str(path))


def test_the_bundles_of_a_run_and_of_all_runs(tmp_path):
    for run in ("r1", "r2"):
        (tmp_path / run / "findings" / "f").mkdir(parents=True)
    assert bundles_in(tmp_path / "r1") == [tmp_path / "r1" / "findings" / "f"]
    assert bundles_in(tmp_path) == [tmp_path / run / "findings" / "f" for run in ("r1", "r2")]


def test_the_bundles_of_a_folder(made, tmp_path):
    for name in ("b", "a"):
        shutil.copytree(made[0], tmp_path / name)
    (tmp_path / "other").mkdir()
    assert bundles_in(tmp_path) == [tmp_path / "a", tmp_path / "b"]


def test_the_first_files_are_kept_once(made, tmp_path):
    place = tmp_path / "b"
    shutil.copytree(made[0], place)
    first = (place / "call.json").read_bytes()
    for _ in range(2):
        keep_first(place)
        (place / "call.json").write_text("{}")
    assert (place / "before" / "call.json").read_bytes() == first
    assert {path.name for path in (place / "before").iterdir()} == {path.name for path in made[0].iterdir()}
