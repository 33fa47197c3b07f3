"""Where a variant is planted at once: everywhere, in a class of a model, in a role, in a place alone."""

from types import SimpleNamespace

from opfuzz.network.pipeline.planting import groups_of

CALLS = [
    SimpleNamespace(role=role, at=at)
    for role, at in (
        ("layers.*.ff.act", "layers.0.ff.act"),
        ("layers.*.ff.act", "layers.1.ff.act"),
        ("head.ff.act", "head.ff.act"),
        ("time.act", "time.act"),
    )
]
OWNERS = {"layers.0.ff.act": "Ff.act", "layers.1.ff.act": "Ff.act", "head.ff.act": "Ff.act", "time.act": "Time.act"}


def places(*arguments):
    return [(group.place, [call.at for call in CALLS if group.has(call.role, call.at)], group.tier)
            for group in groups_of(*arguments)]  # fmt: skip


def test_without_classes_it_is_everywhere_and_each_role():
    assert [place for place, _, _ in places(CALLS, CALLS, {})] == [
        "everywhere", "layers.*.ff.act", "head.ff.act", "time.act",
    ]  # fmt: skip


def test_a_class_of_a_model_is_one_group_wherever_it_is_used():
    found = {place: (ats, tier) for place, ats, tier in places(CALLS, CALLS, OWNERS)}
    assert found["every Ff.act"] == (["layers.0.ff.act", "layers.1.ff.act", "head.ff.act"], 0)
    assert "every Time.act" not in found  # its role says it
    assert found["layers.1.ff.act"] == (["layers.1.ff.act"], 1)
    assert "head.ff.act" in found
    assert found["head.ff.act"][1] == 0  # alone in its role
