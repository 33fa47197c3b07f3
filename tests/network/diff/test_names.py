"""Names of two files brought together, and the order in which they are walked."""

from __future__ import annotations

import json

import pytest

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.diff.names import arrange, pair_names, read_map, read_order

A = ("block10.w", "block2.attn.q", "block2.attn", "block2", "output.mel", "input.x")


def match(names_a, names_b, renamed, order):
    found = pair_names(names_a, names_b, renamed)
    return arrange(found.pairs, names_a, names_b, order, (found.prefix_a, found.prefix_b))


def test_natural_order_parts_before_the_whole():
    found = [name for name, _ in match(A, A, {}, ()).pairs]
    assert found == ["input.x", "block2.attn.q", "block2.attn", "block2", "block10.w", "output.mel"]


def test_a_given_order_comes_first_but_for_inputs():
    found = [name for name, _ in match(A, A, {}, ("block10.w", "block2")).pairs]
    assert found == ["input.x", "block10.w", "block2", "block2.attn.q", "block2.attn", "output.mel"]
    assert match(A, A, {}, ("block2", "input.x")).pairs[0][0] == "block2"


@pytest.mark.parametrize("in_a", [True, False])
def test_a_prefix_on_one_side_is_found(in_a):
    short, long = ("x", "y.z", "only"), ("model.decoder.x", "model.decoder.y.z", "other")
    found = match(long, short, {}, ()) if in_a else match(short, long, {}, ())
    assert len(found.pairs) == 2
    assert (found.prefix_a, found.prefix_b) == (("model.decoder.", "") if in_a else ("", "model.decoder."))
    assert {found.only_a, found.only_b} == {("other",), ("only",)}


def test_names_that_match_as_they_are_need_no_prefix():
    found = match(("a.x", "a.y"), ("a.x", "a.y", "y"), {}, ())
    assert (found.prefix_a, found.only_b) == ("", ("y",))


def written(tmp_path, name, value):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_a_map_with_wildcards(tmp_path):
    a, b = ("h.0.w", "h.1.w", "h.2.b", "end"), ("layers.0.weight", "layers.1.weight", "out", "end")
    for path in (
        written(tmp_path, "map.json", {"h.*.w": "layers.*.weight", "h.2.b": "out"}),
        written(tmp_path, "map.yaml", "h.*.w: layers.*.weight\nh.2.b: out\n"),
    ):
        found = match(a, b, read_map(path, a, b), ())
        assert found.pairs == tuple(zip(("end", "h.0.w", "h.1.w", "h.2.b"), ("end", *b[:3]), strict=True))


def test_a_name_written_out_counts_before_a_pattern(tmp_path):
    a, b = ("h.0", "h.1"), ("g.0", "special")
    for entries in ({"h.*": "g.*", "h.1": "special"}, {"h.1": "special", "h.*": "g.*"}):
        path = written(tmp_path, "map.json", entries)
        assert dict(match(a, b, read_map(path, a, b), ()).pairs) == {"h.0": "g.0", "h.1": "special"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("m.json", {"weigth": "v"}, "'weigth' is no tensor of the first file; did you mean 'weight'?"),
        ("m.json", {"weight": "vv"}, "'vv' is no tensor of the second file"),
        ("m.json", {"x.*": "v.*"}, "no tensor of the first file"),
        ("m.json", {"*": "v"}, "write as many on both sides"),
        ("m.json", {"weight": "v", "bias": "v"}, "'weight' and 'bias' are all given 'v'"),
        ("m.json", '{"weight": "v", "weight": "v"}', "'weight' stands there 2 times"),
        ("m.json", ["weight"], "must be a mapping"),
        ("m.json", {"weight": 3}, "must be a mapping"),
        ("m.json", "{", "not JSON: "),
        ("m.yaml", "a: [", "not YAML: "),
        ("m.yaml", "", "must be a mapping"),
        ("m.yaml", "weight: {a: b}", "must be a mapping"),
    ],
)
def test_mistakes_in_a_map(tmp_path, name, value, words):
    path = written(tmp_path, name, value)
    with pytest.raises(OpfuzzError) as caught:
        read_map(path, ("weight", "bias"), ("v", "u"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"), [({}, "must be a list"), ([1], "must be a list"), (["y"], "none of its 1"), ("[", "not JSON")]
)
def test_mistakes_in_an_order(tmp_path, value, words):
    with pytest.raises(OpfuzzError, match=words):
        read_order(written(tmp_path, "o.json", value), ("x",))


def test_a_map_that_is_not_there(tmp_path):
    with pytest.raises(OpfuzzError, match="cannot be read"):
        read_map(tmp_path / "absent.json", ("x",), ("x",))
