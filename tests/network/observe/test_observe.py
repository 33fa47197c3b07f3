"""What a torch model calls, seen as ops of the specs, and the same run again with changes."""

import numpy as np
import pytest
import torch
from calling_modules import Calls
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from opfuzz.engine.drivers.pipeline_bench import computing
from opfuzz.network.observe.records import CallResult, InputOperand, PathLostError, Routing, WeightOperand
from opfuzz.network.observe.torch import TorchRun
from opfuzz.network.pipeline.dispatch import with_lead


def drawn(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def observe(reader, function, *arrays):
    module = function if isinstance(function, nn.Module) else Calls(function)
    return TorchRun(module, (arrays, {}), reader).observe()


def ops(observation):
    return [call.op for call in observation.calls if call.kind == "op"]


x, q = drawn(2, 4, 8), drawn(2, 4, 5, 8)
BATCH_NORM = nn.BatchNorm2d(4, eps=1e-3).eval()
BATCH_NORM.running_mean.copy_(torch.tensor([0.1, -0.2, 0.3, 2.0]))
BATCH_NORM.running_var.copy_(torch.tensor([0.5, 1.0, 2.0, 4.0]))
ENDS = torch.tensor([1, 1, 4], dtype=torch.int32)  # of three groups of rows, of which the second is empty
ONE_OP = {
    "softmax of torch": (lambda x: torch.softmax(x, -1), x, "softmax", {}),
    "softmax of tensors": (lambda x: x.softmax(dim=1), x, "softmax", {}),
    "softmax of functional": (lambda x: F.softmax(x, dim=0), x, "softmax", {}),
    "an operator": (lambda x: x @ x.mT, x, "matmul", {}),
    "batches that broadcast": (lambda q: q @ q[:1, :1].mT, q, "matmul", {}),
    "einsum": (lambda q: torch.einsum("bhid,bhjd->bhij", q, q), q, "matmul", {}),
    "linear without bias": (nn.Linear(8, 3, bias=False), x, "linear", {}),
    "addmm": (lambda x: torch.addmm(x[0, 0, :3], x[0], x[1].T[:, :3]), x, "linear", {}),
    "GELU": (nn.GELU(), x, "gelu", {}),
    "a slope by place": (lambda x: F.leaky_relu(x, 0.2), x, "leaky_relu", {"slope": 0.2}),
    "a slope of a layer": (nn.LeakyReLU(0.1), x, "leaky_relu", {"slope": 0.1}),
    "an exponential activation": (nn.ELU(), x, "elu", {"alpha": 1.0}),
    "a hard one, which torch's list leaves out": (nn.Hardswish(), x, "hardswish", {}),
    "gates in halves": (nn.GLU(), x, "glu", {}),
    "an angle": (lambda x: torch.atan2(x, x + 1), x, "atan2", {}),
    "a logarithm of a tensor": (lambda x: (x * x).log1p(), x, "log1p", {}),
    "GELU by tanh": (nn.GELU("tanh"), x, "gelu_tanh", {}),
    "in place": (lambda x: x.exp_(), x, "exp", {}),
    "of no axes": (lambda x: x[0, 0, 0].sin(), x, "sin", {}),
    "LayerNorm": (nn.LayerNorm(8, eps=1e-3), x, "layer_norm", {"eps": 1e-3}),
    "LayerNorm of two axes": (nn.LayerNorm((4, 8)), x, "layer_norm", {"eps": 1e-5}),
    "GroupNorm of images": (nn.GroupNorm(2, 4), q, "group_norm", {"groups": 2, "eps": 1e-5}),
    "mean over two axes": (lambda q: q.mean((1, -1), keepdim=True), q, "mean", {}),
    "variance": (lambda x: x.var(1, unbiased=False), x, "var", {"correction": 0}),
    "deviation": (lambda x: x.std(-1), x, "var", {"correction": 1}),
    "normalize": (lambda x: F.normalize(x, dim=1), x, "l2_normalise", {"eps": 1e-12}),
    "power": (lambda x: (x * x) ** -0.5, x, "rsqrt", {}),
    "attention": (lambda q: F.scaled_dot_product_attention(q, q, q), q, "attention", {}),
    "grouped attention": (
        lambda q: F.scaled_dot_product_attention(q, q[:, :2], q[:, :2], enable_gqa=True), q, "attention", {}
    ),
    "causal attention": (
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), q, "attention_mask", {}
    ),
    "a mask of each head": (
        lambda q: F.scaled_dot_product_attention(q, q, q, attn_mask=q @ q.mT), q, "attention_additive_mask", {}
    ),
    "a scale of its own": (lambda q: F.scaled_dot_product_attention(q, q, q, scale=0.3), q, "attention", {}),
    "convolution": (
        nn.Conv1d(4, 6, 3, padding="same", groups=2), x, "conv1d",
        {"stride": 1, "padding": 1, "dilation": 1, "groups": 2},
    ),
    "transposed convolution": (
        nn.ConvTranspose1d(4, 6, 4, 2, 1), x, "conv_transpose1d",
        {"stride": 2, "padding": 1, "output_padding": 0, "dilation": 1, "groups": 1},
    ),
    "convolution of images": (
        nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0)), q, "conv2d",
        {"stride": 2, "padding": 0, "dilation": 1, "groups": 1},
    ),
    "as large as the image": (
        nn.Conv2d(4, 4, (2, 3), padding="same", groups=2), q, "conv2d",
        {"stride": 1, "padding": 0, "dilation": 1, "groups": 2},
    ),
    "transposed convolution of images": (
        nn.ConvTranspose2d(4, 6, (4, 2), 2, 1), q, "conv_transpose2d",
        {"stride": 2, "padding": 1, "output_padding": 0, "dilation": 1, "groups": 1},
    ),
    "batch norm of images": (BATCH_NORM, q, "batch_norm", {"eps": 1e-3}),
    "batch norm of rows without a weight": (
        nn.BatchNorm1d(8, affine=False).eval(), x[0], "batch_norm", {"eps": 1e-5}
    ),
    "windows of an image": (nn.AvgPool2d((5, 2), stride=2), q, "avg_pool2d", {"stride": 2, "padding": 0}),
    "windows of a row": (nn.AvgPool1d(2), x, "avg_pool1d", {"stride": 2, "padding": 0}),
    "windows of any size": (
        nn.AdaptiveAvgPool2d((2, 4)), q[:, :, :4], "avg_pool2d", {"stride": 2, "padding": 0}
    ),
    "one window": (nn.AdaptiveAvgPool2d(1), q, "mean", {}),
    "a larger image": (nn.Upsample(size=(15, 16)), q, "upsample_nearest", {"factor": 2}),
    "experts of rows": (
        lambda x: F.grouped_mm(x[0], x[[0, 1, 0]].repeat(1, 2, 1)[:, :, :4], offs=ENDS), x, "matmul", {}
    ),
    "upsampling": (nn.Upsample(scale_factor=2), x, "upsample_nearest", {"factor": 2}),
    "embedding": (nn.Embedding(9, 4, padding_idx=0), np.array([[1, 2], [0, 8]]), "embedding", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_OP)
def test_a_call_is_the_op_that_computes_the_same(reader, name):
    function, array, op, params = ONE_OP[name]
    module = function if isinstance(function, nn.Module) else Calls(function)
    run = TorchRun(module, ((array,), {}), reader)
    observation = run.observe()
    own = [call for call in observation.calls if call.op == op]
    assert own[-1].params == params
    # Another framework computes the op of the spec, where it can: the shapes and values must agree.
    compute = {name: computing(f"{name}:cpu") for name in ("numpy", "torch")}

    def route(bound, call):
        return with_lead(
            bound.spec, compute["numpy" if "numpy" in bound.spec.calls else "torch"](bound.call), bound.lead
        )

    (found,) = run.replay(observation, routing=Routing(route))
    (wanted,) = observation.outputs
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-5)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(8), nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, x):
        y = self.norm(x)
        for layer in self.inner:
            y = layer.forward(y)  # no hook sees it
        return x + y


def test_calls_know_their_module_and_their_operands(reader):
    observation = observe(reader, Block(), x)
    assert [(call.path, call.family) for call in observation.calls] == [
        ("norm", "layer_norm"), ("inner.0", "linear"), ("inner.1", "linear"), ("", "add"),
    ]  # fmt: skip
    assert observation.calls[1].role == "inner.*"
    assert observation.calls[2].operands == (
        CallResult(1), WeightOperand("inner.1.weight"), WeightOperand("inner.1.bias"),
    )  # fmt: skip
    assert observation.calls[3].operands == (InputOperand("0"), CallResult(2))
    assert [call.index for call in observation.users[1]] == [2]
    assert [(run.path, run.first, run.end) for run in observation.modules][-1] == ("", 0, 4)


def test_nothing_is_left_behind_in_the_model(reader):
    block = Block()
    observe(reader, block, x)
    assert not any("forward" in vars(module) for module in block.modules())


def test_what_moves_elements_or_rounds_once_is_not_counted(reader):
    def function(x):
        y = torch.cat((x[:, 1:], x[:, :1]), 1).transpose(1, 2).contiguous()
        return torch.linalg.norm((y * 2 + y - 1).sqrt(), dim=-1) + x.half().softmax(-1).float().sum()

    coverage = observe(reader, function, abs(x) + 1).coverage
    assert (coverage.calls, coverage.with_spec) == (3, 1)
    assert coverage.without == {"linalg.norm": 1, "softmax (float16)": 1}


def test_a_function_that_torch_writes_in_python_is_looked_into(reader):
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    found = observe(reader, lambda x: attention(x, x, x)[0], x)
    assert ops(found) == ["linear", "matmul", "softmax", "matmul", "linear", "mean"]


def test_calls_in_place_are_recorded_as_they_were(reader):
    def function(x):
        y = x * 1
        z = torch.exp(y)
        y += 1
        y[:, 0] = 0
        return y + z

    observation = observe(reader, function, x)
    np.testing.assert_array_equal(observation.calls[0].output, x)
    assert ops(observation) == ["exp"]
    np.testing.assert_array_equal(observation.calls[1].arrays["x"].reshape(x.shape), x)


# Replays.


def test_a_replay_without_changes_gives_the_same_bits(reader):
    run = TorchRun(Block(), ((x,), {}), reader)
    observation = run.observe()
    np.testing.assert_array_equal(run.replay(observation)[0], observation.outputs[0])


def test_a_planted_result_takes_the_place_of_a_call(reader):
    block = Block()
    run = TorchRun(block, ((x,), {}), reader)
    observation = run.observe()
    (found,) = run.replay(observation, {1: lambda call: call.unchanged() * 2})
    with torch.no_grad():
        wanted = torch.from_numpy(x) + block.inner[1](2 * block.inner[0](block.norm(torch.from_numpy(x))))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)


def test_calls_before_the_first_planted_one_are_not_computed_again(reader):
    run = TorchRun(Block(), ((x,), {}), reader)
    observation = run.observe()
    with torch.no_grad():
        run.module.norm.weight.mul_(100)  # would show if it were computed again
    (found,) = run.replay(observation, {2: lambda call: call.unchanged()})
    np.testing.assert_array_equal(found, observation.outputs[0])


def test_a_plant_may_ask_for_the_function_of_other_operands(reader):
    run = TorchRun(Calls(lambda x: torch.cat((x, 2 * x), -1)), ((x,), {}), reader)
    observation = run.observe()
    index = next(call.index for call in observation.calls if call.family == "cat")
    (found,) = run.replay(observation, {index: lambda call: call.again(call.function.args[0][::-1], -1)})
    np.testing.assert_array_equal(found, np.concatenate((2 * x, x), -1))


def test_a_skipped_module_gives_what_it_gets(reader):
    block = Block()
    run = TorchRun(block, ((x,), {}), reader)
    (found,) = run.replay(run.observe(), skipped=frozenset({"inner.1"}))
    with torch.no_grad():
        wanted = torch.from_numpy(x) + block.inner[0](block.norm(torch.from_numpy(x)))
    np.testing.assert_array_equal(found, wanted.numpy())


def test_other_weights_are_used_and_taken_back(reader):
    block = Block()
    run = TorchRun(block, ((x,), {}), reader)
    observation = run.observe()
    zero = np.zeros_like(run.weights()["inner.1.weight"])
    (found,) = run.replay(observation, weights={"inner.1.weight": zero})
    np.testing.assert_allclose(found, x + block.inner[1].bias.detach().numpy(), atol=1e-6)
    np.testing.assert_array_equal(run.replay(observation)[0], observation.outputs[0])


def test_a_replay_that_takes_another_way_is_refused(reader):
    run = TorchRun(Calls(lambda x: x.exp() if bool(x.sin().sum() > 100) else x.sin().cos()), ((x,), {}), reader)
    observation = run.observe()
    plants = {0: lambda call: call.unchanged() + 1000, len(observation.calls) - 1: lambda call: call.unchanged()}
    with pytest.raises(PathLostError):
        run.replay(observation, plants)


image, tokens = drawn(1, 4, 8, 8), drawn(2, 5, 8)
MODULES = {
    "MaxPool1d": (nn.MaxPool1d(2), tokens),
    "MaxPool2d": (nn.Sequential(nn.Conv2d(4, 2, 3), nn.MaxPool2d(2)), image),
    "MaxPool3d": (nn.MaxPool3d(2), image[None]),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d(2), image),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d(2), image),
    "AvgPool2d": (nn.AvgPool2d(2), image),
    "LPPool2d": (nn.LPPool2d(2, 2), image),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 2, 3), image),
    "BatchNorm2d": (nn.BatchNorm2d(4).eval(), image),
    "InstanceNorm2d": (nn.InstanceNorm2d(4), image),
    "LocalResponseNorm": (nn.LocalResponseNorm(2), image),
    "Upsample": (nn.Upsample(scale_factor=2, mode="bilinear"), image),
    "PixelShuffle": (nn.PixelShuffle(2), image),
    "Unfold": (nn.Unfold(2), image),
    "PReLU": (nn.PReLU(), image),
    "GLU": (nn.GLU(), tokens),
    "Softmax2d": (nn.Softmax2d(), image),
    "LSTM": (nn.LSTM(8, 4, batch_first=True), tokens),
    "GRU": (nn.GRU(8, 4, bidirectional=True), tokens),
    "TransformerEncoderLayer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), tokens),
    "TransformerDecoderLayer": (Calls(lambda x: DECODER(x, x)), tokens),
    "weight_norm": (nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)), tokens),
}
DECODER = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True).eval()


@pytest.mark.parametrize("name", MODULES)
def test_any_module_of_torch_is_seen_and_gives_what_it_gave(reader, name):
    module, array = MODULES[name]
    with torch.no_grad():
        given = module(torch.from_numpy(array))
    run = TorchRun(module, ((array,), {}), reader)
    seen = run.observe()
    assert seen.calls
    expected = (given[0] if isinstance(given, tuple) else given).numpy()
    # Where its calls are watched, a transformer of torch does not take the short way by one fused call.
    np.testing.assert_allclose(seen.outputs[0], expected, rtol=0, atol=1e-6 if "Transformer" in name else 0)
    np.testing.assert_array_equal(run.replay(seen)[0], seen.outputs[0])
