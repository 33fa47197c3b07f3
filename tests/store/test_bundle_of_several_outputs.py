"""Bundles of ops with several outputs: the output of the element is kept, and older bundles have one output."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import several_outputs
from bundles import off_plugin, square_call, written

from opfuzz.backends import discover
from opfuzz.core.call import Element
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.plan import vocabulary
from opfuzz.store.bundle import read_bundle

WORDS = vocabulary(discover())


@pytest.fixture
def split(tmp_path) -> Path:
    """A bundle of an op of two outputs, whose second one is wrong."""
    x = [[1.0, 2.0, 4.0], [2.0, 3.0, 5.0]]
    path = several_outputs.plugin(tmp_path)
    call = several_outputs.of(several_outputs.SPLIT, several_outputs.call_of(x))
    spec_path = several_outputs.SEVERAL / "split.yaml"
    written(tmp_path / "bundle", call, "short:cpu", plugins=(path,), spec_path=spec_path)
    return tmp_path / "bundle"


def test_the_output_of_the_element_comes_back(split):
    document = json.loads((split / "call.json").read_text())
    assert (document["schema"], document["output"], document["index"]) == (2, "mean", [0])
    assert read_bundle(split, WORDS).element == Element("mean", (0,))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"output": "y", "index": [0]}, "outside the output's shape [2, 3]"),
        ({"output": ""}, "output is '', the spec has 'y', 'mean'"),
        ({"output": 3}, "output is 3, not text"),
    ],
)
def test_an_output_that_the_op_does_not_have_is_refused(split, fields, words):
    path = split / "call.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(OpfuzzError, match=re.escape(words)):
        read_bundle(split, WORDS)


def test_a_bundle_of_schema_1_is_of_a_lone_output(tmp_path):
    """Such a call and its witness do not say in which output an element is."""
    place, plugin = tmp_path / "bundle", off_plugin(tmp_path)
    written(place, square_call(), plugins=(plugin,))
    words = vocabulary(discover((plugin,)))
    new = read_bundle(place, words)
    called, told = (json.loads((place / name).read_text()) for name in ("call.json", "finding.json"))
    del called["output"], told["witness"]["output"]
    (place / "call.json").write_text(json.dumps({**called, "schema": 1}))
    (place / "finding.json").write_text(json.dumps(told))
    old = read_bundle(place, words)
    assert old.element == new.element == Element("", old.element.index)
    assert old.finding == new.finding
