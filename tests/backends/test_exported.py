"""What runtimes of exported calls have in common, shown by one that is torch itself, and counts what it is handed."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.backends import Subject, exported_graph, perform
from opfuzz.backends.exported import OPEN, SHAPED, VALUED, Exported, RuntimeModel
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse

torch = pytest.importorskip("torch")
FLOAT = np.float32
NORM = "torch.nn.functional.layer_norm(x, [d], eps=eps)"
PRODUCT = "torch.matmul(x, y)"


class Counting(Exported):
    """Torch's own evaluation of what was exported; it refuses what `refused` names, of one way or of all."""

    title = "counting"
    libraries = ("torch",)
    extra = "nothing"
    refused = ""

    def __init__(self, name=None, replace=None):
        super().__init__(name, replace or {})
        self.handed = []

    def devices(self):
        return {"cpu": None}

    def compile(self, model, tensors, device, mode):
        shapes = [tuple(node.meta["val"].shape) for node in model.graph.nodes if node.op == "placeholder"]
        is_open = any(not isinstance(size, int) for shape in shapes for size in shape)
        way = OPEN if is_open else SHAPED
        self.handed.append((way, len(tensors)))
        if self.refused in ("all", way):
            raise NotImplementedError("not supported")
        if self.refused == "running" and is_open:
            return RuntimeModel(_fail, ("Nothing",))
        nodes = tuple(node.name for node in model.graph.nodes if node.op == "call_function")
        module = model.module()
        return RuntimeModel(lambda given: _listed(module(*given)), nodes, lambda given: [each * 2 for each in given])


def _fail(given):
    raise RuntimeError("shapes are unlike")


def _listed(found):
    return list(found) if isinstance(found, tuple | list) else [found]


class Valued(Counting):
    """Takes the second of two inputs as a constant only."""

    ways = (OPEN, SHAPED, VALUED)

    def compile(self, model, tensors, device, mode):
        if len(tensors) > 1:
            self.handed.append(("", len(tensors)))
            raise NotImplementedError("not supported")
        return super().compile(model, tensors, device, mode)


def program(text, sizes=(("d", "x", 1),)):
    made = parse(text, names=["x", "y", "d", "n", "eps"], functions=Counting().functions())
    return type(made)(**{**{name: getattr(made, name) for name in made.__slots__}, "sizes": sizes})


def call(backend, text, arrays, shape, eps=1e-5, sizes=(("d", "x", 1),), **dims):
    arrays = {name: np.asarray(array, FLOAT) for name, array in arrays.items()}
    dims = {"d": arrays["x"].shape[-1], **dims}
    made = Call("float32", dims, {"eps": eps}, arrays, dict.fromkeys(arrays, "contiguous"))
    return perform(backend, Subject(backend.name, "cpu"), program(text, sizes), made, {"": shape})


def rows(*shape):
    return np.arange(np.prod(shape), dtype=FLOAT).reshape(shape) ** 2 % 7


def test_one_program_is_for_every_size_of_a_call():
    backend = Counting()
    for shape in ((3, 4), (2, 7), (1, 5), (4, 1), (0, 6), (5, 5)):
        outcome = call(backend, NORM, {"x": rows(*shape)}, shape)
        assert outcome.status == "ok", outcome.cause
        exact = rows(*shape) - rows(*shape).mean(axis=1, keepdims=True)
        exact = exact / np.sqrt((exact**2).mean(axis=1, keepdims=True) + 1e-5)
        assert outcome.outputs[0] == pytest.approx(exact, abs=1e-5)
    assert backend.handed == [(OPEN, 1)]


def test_another_parameter_is_another_program():
    backend = Counting()
    for eps in (1e-5, 1.0, 1e-5):
        call(backend, NORM, {"x": rows(2, 3)}, (2, 3), eps)
    assert len(backend.handed) == 2


def test_a_size_that_no_input_has_is_a_number_of_the_program():
    backend = Counting()
    for n in (2, 3, 2):
        outcome = call(backend, "torch.sum(x, 1) * n", {"x": rows(2, 3)}, (2,), n=n)
        assert outcome.outputs[0].tolist() == (rows(2, 3).sum(axis=1) * n).tolist()
    assert len(backend.handed) == 2


@pytest.mark.parametrize("refused", [OPEN, "running"])
def test_what_fails_with_sizes_left_open_is_exported_for_its_own(refused):
    backend = Counting()
    backend.refused = refused
    for shape in ((2, 3), (2, 4), (2, 3)):
        assert call(backend, NORM, {"x": rows(*shape)}, shape).status == "ok"
    assert [way for way, _ in backend.handed] == [OPEN, SHAPED, SHAPED]


def test_what_is_refused_is_not_exported_again():
    backend = Counting()
    backend.refused = "all"
    assert {call(backend, NORM, {"x": rows(*shape)}, shape).status for shape in ((2, 3), (2, 4))} == {"unsupported"}
    assert [way for way, _ in backend.handed] == [OPEN, SHAPED]


def test_a_runtime_that_wants_constants_is_handed_the_values():
    backend = Valued()
    right, left = rows(3, 2), rows(2, 3)
    for x, y in ((left, right), (left + 1, right), (left, right * 2)):
        outcome = call(backend, PRODUCT, {"x": x, "y": y}, (2, 2))
        assert outcome.outputs[0].tolist() == (x @ y).tolist()
    assert [count for _, count in backend.handed] == [2, 2, 1, 1]


def test_a_branch_on_values_is_not_supported():
    text = "torch.nn.functional.gaussian_nll_loss(x, x, y)"  # looks whether any variance is negative
    outcome = call(Counting(), text, {"x": rows(2, 3), "y": np.ones((2, 3))}, ())
    assert outcome.status == "unsupported"
    assert "values" in outcome.cause.figures["words"]


def test_what_the_call_itself_raises_is_a_crash():
    outcome = call(Counting(), "torch.reshape(x, (7, 7))", {"x": rows(2, 3)}, (7, 7))
    assert outcome.status == "crash"


def test_rest_forgets_all_programs_unless_they_are_few():
    class Forgetful(Counting):
        most = 1

    backend = Forgetful()
    for eps, count in ((1.0, 1), (1.0, 1), (2.0, 2), (1.0, 3)):
        call(backend, NORM, {"x": rows(2, 3)}, (2, 3), eps)
        assert len(backend.handed) == count
        backend.rest()


def test_views_are_handed_on_as_plain_arrays():
    backend = Counting()
    tensor = backend.put(rows(3, 4), "transposed", "cpu")
    assert tensor.is_contiguous()
    assert np.array_equal(backend.get(tensor), rows(3, 4))


def test_the_graph_is_told_with_what_another_evaluator_makes_of_it():
    backend, x = Counting(), rows(2, 3)
    made = Call("float32", {"d": 3}, {"eps": 0}, {"x": x}, {"x": "contiguous"})
    nodes, referred = exported_graph(backend, Subject("counting", "cpu"), program("torch.exp(x)"), made, {"": (2, 3)})
    assert nodes == ("exp",)
    assert (referred.outputs[0] == x * 2).all()


def test_what_is_absent_is_said_with_the_remedy():
    class Absent(Counting):
        libraries = ("no_such_library",)

    assert Absent().absent() == "counting: no_such_library is not installed: pip install 'opfuzz[nothing]'"
