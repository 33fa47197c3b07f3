"""How many of the calls of real models are ops with a spec.

    python benchmarks/covered_calls.py [MODEL ...]

Models of transformers and diffusers are made small, with random weights, and run once: nothing is downloaded. Counted
are the calls that compute more than one rounding, as `opfuzz localize` counts them; the others are the same everywhere.
Needs transformers and diffusers. Exits with 1 where a model has less than LEAST of its calls with a spec.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers as tr
from tabulate import tabulate

from opfuzz.backends import discover
from opfuzz.engine.plan import load_specs
from opfuzz.network.observe.records import Coverage
from opfuzz.network.observe.spec_reader import SpecReader
from opfuzz.network.observe.torch import TorchRun

SPECS = Path(__file__).parents[1] / "specs"
LEAST = 0.97
HEADERS = ("model", "class", "calls", "with a spec", "share", "round once", "without")
TEXT = {"vocab_size": 96, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
GROUPED = {**TEXT, "num_key_value_heads": 2}
VISION = {**TEXT, "image_size": 32, "patch_size": 8}
Made = tuple[torch.nn.Module, dict[str, Any]]  # a model, and what it is called with


def tokens(length: int = 12) -> torch.Tensor:
    """Token ids of one sentence."""
    return torch.randint(3, 96, (1, length))


def image(size: int = 32) -> torch.Tensor:
    """One picture."""
    return torch.randn(1, 3, size, size)


def bert() -> Made:
    """An encoder with learned positions and GELU."""
    return tr.BertModel(tr.BertConfig(**TEXT)), {"input_ids": tokens()}


def llama() -> Made:
    """Rotary positions, RMS norm, SwiGLU, grouped heads."""
    return tr.LlamaForCausalLM(tr.LlamaConfig(**GROUPED)), {"input_ids": tokens()}


def gemma() -> Made:
    """Scaled embeddings, norms of 1 + weight, tanh GELU, capped logits and windows."""
    config = tr.Gemma2Config(**GROUPED, head_dim=12, sliding_window=8)
    return tr.Gemma2ForCausalLM(config), {"input_ids": tokens()}


def mixtral() -> Made:
    """A router and experts."""
    config = tr.MixtralConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2)
    return tr.MixtralForCausalLM(config), {"input_ids": tokens()}


def whisper() -> Made:
    """Convolutions over frames, an encoder and a decoder that attends to it."""
    config = tr.WhisperConfig(
        vocab_size=96,
        num_mel_bins=20,
        d_model=48,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_source_positions=48,
        max_target_positions=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    given = {"input_features": torch.randn(1, 20, 96), "decoder_input_ids": tokens()}
    return tr.WhisperForConditionalGeneration(config), given


def vit() -> Made:
    """Patches of an image."""
    sizes = {name: size for name, size in VISION.items() if name != "vocab_size"}
    return tr.ViTModel(tr.ViTConfig(**sizes)), {"pixel_values": image()}


def clip() -> Made:
    """Two towers, normalised and compared."""
    text = {**TEXT, "max_position_embeddings": 16, "projection_dim": 32}
    config = tr.CLIPConfig(text_config=text, vision_config={**VISION, "projection_dim": 32}, projection_dim=32)
    return tr.CLIPModel(config), {"input_ids": tokens(), "pixel_values": image()}


def t5() -> Made:
    """Relative positions as a bias, RMS norm without a weight of one, an encoder and a decoder."""
    config = tr.T5Config(vocab_size=96, d_model=48, d_kv=12, d_ff=96, num_layers=2, num_heads=4)
    return tr.T5ForConditionalGeneration(config), {"input_ids": tokens(), "decoder_input_ids": tokens(6)}


def unet() -> Made:
    """A diffusion model: sines of the time step, group norm, convolutions, cross attention, GEGLU."""
    model = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=48,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    given = {"sample": torch.randn(1, 4, 16, 16), "timestep": torch.tensor([7])}
    return model, {**given, "encoder_hidden_states": torch.randn(1, 6, 48)}


def resnet() -> Made:
    """Convolutions, batch norm, pools."""
    config = tr.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 64, 96], depths=[1, 2, 2, 1], num_labels=10)
    return tr.ResNetForImageClassification(config), {"pixel_values": image(64)}


MODELS: dict[str, Callable[[], Made]] = {
    maker.__name__: maker for maker in (bert, llama, gemma, mixtral, whisper, vit, clip, t5, unet, resnet)
}


def covered(maker: Callable[[], Made], reader: SpecReader) -> tuple[str, Coverage]:
    """The class of a model, and what its calls are."""
    torch.manual_seed(0)
    model, given = maker()
    arrays = {name: tensor.numpy() for name, tensor in given.items()}
    with torch.no_grad():
        seen = TorchRun(model.eval(), ((), arrays), reader).observe()
    return type(model).__name__, seen.coverage


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], default=[])
    reader = SpecReader({spec.op: spec for spec in load_specs([SPECS], discover())})
    rows, shares = [], []
    for name in parser.parse_args().models or MODELS:
        kind, found = covered(MODELS[name], reader)
        without = ", ".join(f"{family} {count}" for family, count in found.without.items())
        rows.append([name, kind, found.calls, found.with_spec, f"{found.share:.1%}", found.exact, without])
        shares.append(found.share)
    print(tabulate(rows, HEADERS, disable_numparse=True))
    print(f"transformers {tr.__version__}, diffusers {diffusers.__version__}, torch {torch.__version__}")
    sys.exit(int(min(shares) < LEAST))


if __name__ == "__main__":
    main()
