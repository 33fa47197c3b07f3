"""The decoder with weights, sizes and inputs from files, or a small one from a seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.network.localize.reading import Decode
from opfuzz.network.localize.weight_readings import readings
from opfuzz.network.localize.wiring import variants
from opfuzz.network.pipeline.decoder import Array, Config, Decoder
from opfuzz.network.pipeline.model import Named, PipelineModel
from opfuzz.network.tensors import open_tensors

LANDMARK = "time_mlp.linear_1.weight"  # every decoder has it, under whatever prefix
SETTINGS = ("attention_head_dim", "ode_steps", "cfg_rate", "t_scheduler", "act_fn")
INPUTS = ("mu", "spks", "cond", "noise", "mask")
# The decoder without files: as small as one with every kind of layer can usefully be.
MEL, WIDTH, HEADS, HEAD_WIDTH, TIME, BLOCKS, MIDDLE, FRAMES = 20, 32, 2, 16, 64, 1, 2, 24
LOUDNESS = 8.0  # factor on its last layer, so that the velocity is as large as the noise


def load_decoder(weights: Path | None, config: Path | None, inputs: Path | None, seed: int) -> PipelineModel:
    """The decoder that the files describe; what they do not give is drawn from the seed.

    Raises OpfuzzError for a file that does not describe one, or files that do not fit each other.
    """
    tensors = read_weights(weights) if weights else Named(drawn_weights(seed), f"the decoder of seed {seed}")
    settings = read_config(config, tensors) if config else Config(head_width=HEAD_WIDTH if weights is None else 64)
    query = tensors["down_blocks.0.1.0.attn1.to_q.weight"]
    if query.shape[0] % settings.head_width:
        raise OpfuzzError(
            f"{tensors.origin}: the query is {query.shape[0]} wide, no multiple of the head width "
            f"{settings.head_width}; give attention_head_dim in --config"
        )
    mel = len(tensors["final_proj.weight"])
    given = read_inputs(inputs, mel) if inputs else Named(drawn_inputs(seed, mel), f"inputs of seed {seed}")
    count = sum(weight.size for weight in tensors.values())
    origin = f"weights of {weights}" if weights else f"random weights of seed {seed}"
    return PipelineModel(
        name="decoder",
        pipeline=Decode(Decoder, settings),
        weights=tensors,
        inputs=given,
        variants=(*variants(settings), *readings(tensors, seed)),
        described=f"{count / 1e6:.3g} M parameters, {given['mu'].shape[2]} frames, {settings.steps} steps, {origin}, "
        + (f"inputs of {inputs}" if inputs else f"random inputs of seed {seed}"),
        axes=("mel channel", "frame"),
    )


def read_weights(path: Path) -> Named:
    """The decoder's weights in float32, without the prefix that a whole checkpoint gives them."""
    file = open_tensors(path)
    found = [name for name in file.names() if name == LANDMARK or name.endswith(f".{LANDMARK}")]
    if not found:
        raise OpfuzzError(f"{path}: no decoder in it: no tensor is named '{LANDMARK}', with or without a prefix")
    if len(found) > 1:
        raise OpfuzzError(f"{path}: {len(found)} decoders in it: {', '.join(found)}; give a file with one")
    prefix = found[0].removesuffix(LANDMARK)
    read = {name[len(prefix) :]: _float32(file.read(name)) for name in file.names() if name.startswith(prefix)}
    weights = Named(read, str(path))
    for name in ("down_blocks.1", "up_blocks.1"):
        if any(key.startswith(f"{name}.") for key in weights):
            raise OpfuzzError(f"{path}: it has '{name}'; decoders with one down block and one up block are supported")
    return weights


def read_inputs(path: Path, mel: int) -> Named:
    """mu, spks, cond, noise and mask, with or without `input.` before them; cond and mask may be missing."""
    file = open_tensors(path)
    names = set(file.names())
    found = {name: _float32(file.read(key)) for name in INPUTS for key in (f"input.{name}", name) if key in names}
    inputs = Named(found, f"{path} (inputs)")
    frames = inputs["mu"].shape[-1]
    inputs.setdefault("cond", np.zeros_like(inputs["mu"]))
    inputs.setdefault("mask", np.ones((1, 1, frames), np.float32))
    shapes = {"mu": (1, mel, frames), "spks": (1, mel), "cond": (1, mel, frames), "noise": (1, mel, frames)}
    for name, shape in {**shapes, "mask": (1, 1, frames)}.items():
        if inputs[name].shape != shape:
            raise OpfuzzError(f"{path}: '{name}' has the shape {list(inputs[name].shape)}, not {list(shape)}")
    return inputs


def read_config(path: Path, weights: Mapping[str, Array]) -> Config:
    """Settings under the names that the packages give them; what else is in the file says nothing new."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OpfuzzError(f"{path}: is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise OpfuzzError(f"{path}: a config is an object of settings, not a {type(content).__name__}")
    for key in content.keys() - set(SETTINGS):
        if near := did_you_mean(key, set(SETTINGS) - content.keys()):  # a default in its place would go unseen
            raise OpfuzzError(f"{path}: '{key}' is no setting{near}")

    def number(key: str, default: float, low: float) -> float:
        value = content.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < 1e6:
            raise OpfuzzError(f"{path}: '{key}' is {value!r:.40}; it is a number from {low:g} to a million")
        return value

    def whole(key: str, default: int) -> int:
        value = number(key, default, 1)
        if value != int(value):
            raise OpfuzzError(f"{path}: '{key}' is {value!r:.40}; it is a whole number")
        return int(value)

    schedule = content.get("t_scheduler", "cosine")
    if schedule not in ("cosine", "linear"):
        raise OpfuzzError(f"{path}: 't_scheduler' is {schedule!r:.40}; it is 'cosine' or 'linear'")
    if content.get("act_fn", "gelu") != "gelu":
        raise OpfuzzError(f"{path}: 'act_fn' is {content['act_fn']!r:.40}; only 'gelu' is supported")
    return Config(
        head_width=whole("attention_head_dim", 64),
        steps=whole("ode_steps", 10),
        guidance=float(number("cfg_rate", 0.7, 0)),
        schedule=schedule,
    )


def _float32(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)


def drawn_inputs(seed: int, mel: int) -> dict[str, Array]:
    """Normal noise, mu, speaker and prompt; the prompt ends after a third, and every frame counts."""
    random = np.random.default_rng([seed, 1])
    inputs: dict[str, Array] = {
        name: random.standard_normal((1, mel, FRAMES), np.float32) for name in ("mu", "cond", "noise")
    }
    inputs["cond"][:, :, FRAMES // 3 :] = 0
    inputs["spks"] = random.standard_normal((1, mel), np.float32)
    inputs["mask"] = np.ones((1, 1, FRAMES), np.float32)
    return inputs


def drawn_weights(seed: int) -> dict[str, Array]:
    """Weights as layers are initialised, uniform within 1 / sqrt(fan in); norms scatter around 1 and 0."""
    random = np.random.default_rng([seed, 0])
    weights: dict[str, Array] = {}
    for name, shape in _shapes():
        draw = random.uniform(-1, 1, shape)
        if len(shape) == 1 and name.endswith("weight"):
            weights[name] = (1 + 0.2 * draw).astype(np.float32)
        elif len(shape) == 1:
            weights[name] = (0.1 * draw).astype(np.float32)
        else:
            weights[name] = (draw / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    weights["final_proj.weight"] *= np.float32(LOUDNESS)
    return weights


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    def layer(name: str, *shape: int, bias: bool = True) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", shape
        if bias:
            yield f"{name}.bias", shape[:1]

    def conv_block(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from layer(f"{name}.block.0", WIDTH, channels, 3)
        yield from layer(f"{name}.block.2", WIDTH)

    def stage(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from conv_block(f"{name}.0.block1", channels)
        yield from layer(f"{name}.0.mlp.1", WIDTH, TIME)
        yield from conv_block(f"{name}.0.block2", WIDTH)
        yield from layer(f"{name}.0.res_conv", WIDTH, channels, 1)
        for block in range(BLOCKS):
            inner = f"{name}.1.{block}"
            yield from layer(f"{inner}.norm1", WIDTH)
            for part in "qkv":
                yield from layer(f"{inner}.attn1.to_{part}", HEADS * HEAD_WIDTH, WIDTH, bias=False)
            yield from layer(f"{inner}.attn1.to_out.0", WIDTH, HEADS * HEAD_WIDTH)
            yield from layer(f"{inner}.norm3", WIDTH)
            yield from layer(f"{inner}.ff.net.0.proj", 4 * WIDTH, WIDTH)
            yield from layer(f"{inner}.ff.net.2", WIDTH, 4 * WIDTH)

    yield from layer("time_mlp.linear_1", TIME, 4 * MEL)
    yield from layer("time_mlp.linear_2", TIME, TIME)
    yield from stage("down_blocks.0", 4 * MEL)
    yield from layer("down_blocks.0.2", WIDTH, WIDTH, 3)
    for block in range(MIDDLE):
        yield from stage(f"mid_blocks.{block}", WIDTH)
    yield from stage("up_blocks.0", 2 * WIDTH)
    yield from layer("up_blocks.0.2", WIDTH, WIDTH, 3)
    yield from conv_block("final_block", WIDTH)
    yield from layer("final_proj", MEL, WIDTH, 1)
