"""Modules of two models are paired by mapping, name, suffix, and by shape and order; wrong mappings are refused."""

from __future__ import annotations

import pytest

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.trace.match import Signature
from opfuzz.network.trace.match import match as match_by

WEIGHT, BIAS, OUT = (8, 16), (16,), (4, 16)


def match(a, b, names, likeness=lambda s, t: 0.0):
    return match_by(a, b, names, likeness)


def signatures(*names, parameters=(BIAS, WEIGHT), output=OUT):
    return [Signature(name, parameters, output, order) for order, name in enumerate(names)]


def test_equal_names_and_silent_containers():
    a = signatures("", "net.0", "net.2", "head")
    b = signatures("", "net.layers.0", "net.layers.2", "head")
    assert match(a, b, {}) == {"": "", "net.0": "net.layers.0", "net.2": "net.layers.2", "head": "head"}


def test_the_longest_common_end_of_the_names():
    a = signatures("", "encoder.blocks.0.q", "encoder.blocks.1.q")
    b = signatures("", "trunk.1.q", "trunk.0.q")
    assert match(a, b, {})["encoder.blocks.0.q"] == "trunk.0.q"


def test_order_and_shape_where_names_say_nothing():
    a = signatures("", "one", "two", "three")
    b = signatures("", "erste", "zweite", "dritte")
    assert match(a, b, {}) == {"": "", "one": "erste", "two": "zweite", "three": "dritte"}
    narrow = [*signatures("", "one"), Signature("norm", (BIAS, BIAS), OUT, 2), Signature("act", (), OUT, 3)]
    other = [
        *signatures(""),
        Signature("n", (BIAS, BIAS), OUT, 1),
        Signature("f", (), OUT, 2),
        *signatures("", "l")[1:],
    ]
    assert {"norm": "n", "act": "f"}.items() <= match(narrow, other, {}).items()


def test_a_lost_bias_changes_no_pair():
    a = signatures("", "one", "two")
    b = [*signatures("", parameters=(WEIGHT,)), *signatures("", "l", "m", parameters=(WEIGHT,))[1:]]
    assert match(a, b, {}) == {"": "", "one": "l", "two": "m"}


def test_a_module_in_another_container_is_no_counterpart():
    a = [*signatures("", "left"), Signature("left.x", (), OUT, 2), Signature("right", (), (3,), 3)]
    b = [*signatures("", "left"), Signature("right", (), (3,), 2), Signature("right.x", (), OUT, 3)]
    assert "left.x" not in match(a, b, {})


def test_a_mapping_wins_and_covers_what_is_inside():
    a = signatures("", "enc.0.fc", "enc.1.fc", "dec")
    b = signatures("", "trunk.layer1.fc", "trunk.layer0.fc", "dec")
    found = match(a, b, {"enc.*": "trunk.layer*", "enc.1.fc": "trunk.layer1.fc"})
    assert found["enc.0.fc"] == "trunk.layer0.fc"
    assert found["enc.1.fc"] == "trunk.layer1.fc"
    assert match(a, signatures("", "trunk.1.fc", "trunk.0.fc"), {"enc": "trunk"})["enc.0.fc"] == "trunk.0.fc"


def test_a_name_written_out_wins_over_a_pattern():
    a, b = signatures("", "x.0", "x.1"), signatures("", "y.0", "y.1")
    assert match(a, b, {"x.0": "y.1", "x.1": "y.0", "x.*": "y.*"}) == {"": "", "x.0": "y.1", "x.1": "y.0"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"hed": "head"}, "names: a has no module 'hed'; did you mean 'head'?"),
        ({"head": "haed"}, "names: b has no module for 'head' at 'haed'; did you mean 'head'?"),
        ({"layers.*": "head"}, r"equally many \*"),
    ],
)
def test_a_mapping_of_what_is_not_there_is_refused(names, message):
    with pytest.raises(OpfuzzError, match=message):
        match(signatures("", "layers.0", "head"), signatures("", "layers.0", "head"), names)
