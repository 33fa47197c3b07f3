"""The wrong readings of the decoder: all run, say what they are, and cover the known failures of ports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.engine.drivers.pipeline_bench import computing, meaning
from opfuzz.network.drift import drift
from opfuzz.network.localize import precision
from opfuzz.network.localize.matching import paired
from opfuzz.network.localize.reading import Decode
from opfuzz.network.pipeline.decoder_files import FRAMES, load_decoder
from opfuzz.network.pipeline.planting import Setup, of_ops

# What cannot change the output of a causal network of 24 frames by more than rounding: other words for the same, a fill
# that is small enough too, chunks longer than that, frames beyond the end that no earlier one sees.
ALIKE = {
    "time-accumulated", "speaker-norm-plus-eps", "fill-10000", "fill-1e+09", "fill-inf", "chunked-mask-25",
    "chunked-mask-50", "convolutions-not-masked",
}  # fmt: skip


@pytest.fixture(scope="module")
def tried():
    """Every variant with its output, on the small decoder with frames beyond the end."""
    model = load_decoder(None, None, None, 0)
    model.inputs["mask"][:, :, FRAMES - 6 :] = 0
    compute, calls = computing("numpy:cpu"), []
    assert isinstance(model.pipeline, Decode)
    few = replace(model.pipeline, config=replace(model.pipeline.config, steps=2))  # a fifth of the time
    setup = Setup(few, model.weights, model.inputs, compute)
    base, _ = replace(setup, compute=lambda c: calls.append(c) or compute(c)).run(BUNDLED_OPS)
    known = [*of_ops(calls, meaning), *precision.variants(model.weights), *model.variants]
    with np.errstate(all="ignore"):
        outputs = {variant.title: variant.plant(setup).run(BUNDLED_OPS)[0] for variant in known}
    return setup, base, {variant.title: variant for variant in known}, outputs


def test_each_has_a_title_and_words_of_its_own(tried):
    _, _, known, outputs = tried
    assert len(known) == len(outputs) > 250
    assert all(variant.note and variant.place for variant in known.values())


def test_each_changes_the_output(tried):
    _, base, known, outputs = tried
    same = {
        known[title].name
        for title, output in outputs.items()
        if np.isfinite(output).all() and drift(base, output).rms < 1e-5 * base.std()
    }
    assert same & {v.name for v in known.values() if ":" not in v.name} <= ALIKE | {
        "float16 softmax", "bfloat16 softmax", "TF32",
    }  # fmt: skip
    assert ALIKE - {"fill-inf"} <= same


# Row of the table of stages: a variant for each way in which ports differ or go wrong there.
KNOWN_FAILURES = {
    "noise": ["other-generator (noise)", "temperature-0.667 (noise)", "noise-by-frames (noise)"],
    "time grid": [
        "cosine_schedule: linear (time grid)", "cosine_schedule: sine (time grid)", "one-step-more (time grid)",
        "cosine_schedule: endpoint-left-out (time grid)", "one-step-fewer (time grid)",
        "last-step-not-taken (time grid)",
    ],
    "stepping": [
        "time-accumulated (stepping)", "time-at-the-end-of-the-step (stepping)",
        "time-in-the-middle-of-the-step (stepping)",
    ],
    "guidance": [
        "cfg_mix: interpolated (guidance)", "cfg_mix: swapped (guidance)", "unconditional-keeps-mu (guidance)",
        "unconditional-keeps-speaker (guidance)", "unconditional-keeps-cond (guidance)", "guidance-0.5 (guidance)",
    ],
    "Euler": ["euler_step: backwards (step)"],
    "time embedding": [
        "time_embedding: scale-1 (time embedding)", "time_embedding: scale-100 (time embedding)",
        "time_embedding: cosines-first (time embedding)", "time_embedding: divisor-half (time embedding)",
    ],
    "time MLP": ["linear: transposed-weight (time MLP, second)", "silu: identity (time MLP)"],
    "input": ["channels-mu-x-speaker-cond (input)", "channels-x-mu-cond-speaker (input)"],
    "causal conv": [
        "causal_conv1d: padded-both-sides (everywhere)", "causal_conv1d: padded-right (everywhere)",
        "causal_conv1d: flipped (everywhere)", "causal_conv1d: scrambled-weight (everywhere)",
        "causal_conv1d: no-bias (conv block)",
    ],
    "norm": [
        "layer_norm: eps-1e-6 (everywhere)", "layer_norm: eps-1e-3 (conv block)", "layer_norm: no-affine (conv block)",
        "group-norm (conv block)", "group-norm-of-neighbours-apart (conv block)", "norm-over-frames (conv block)",
    ],
    "activation": ["mish: silu (conv block)", "mish: identity (conv block)", "mish: identity (time projection)"],
    "time add": ["time-not-added (time projection)"],
    "residual": ["residual-conv-left-out (residual)", "convolutions-not-masked (mask)"],
    "transformer": ["left-at-random-start (mid_blocks.0.1.0)", "norm-after (transformer)"],
    "attention": [
        f"attention_additive_mask: {name} (attention)"
        for name in ("no-scale", "scale-of-all-heads", "swapped", "softmax-over-queries")
    ] + [
        "heads-split-as-width-by-heads (heads)", "heads-not-transposed-back (heads)", "causal-mask (attention mask)",
        "chunked-mask-25 (attention mask)", "float16 softmax (attention)", "linear: no-bias (attention output)",
    ],
    "mask": ["mask-not-applied (attention mask)", "fill-10 (attention mask)", "fill-10000 (attention mask)",
             "fill-1e+09 (attention mask)", "fill-inf (attention mask)"],
    "feed-forward": [f"gelu: {name} (feed-forward)" for name in ("tanh", "sigmoid", "silu", "relu")]
    + ["linear: no-bias (feed-forward, in)", "linear: no-bias (feed-forward, out)"],
    "U-Net": ["skip-first (skip connection)"],
    "precision": ["TF32 (everywhere)", "float16 (everywhere)", "bfloat16 (everywhere)"]
    + [f"int{bits} in groups of 32 (weights)" for bits in (8, 6, 4, 3)],
    "speaker": ["speaker-norm-plus-eps (input)"],
}  # fmt: skip


@pytest.mark.parametrize("stage", KNOWN_FAILURES)
def test_known_failures_of_ports_are_among_them(tried, stage):
    assert set(KNOWN_FAILURES[stage]) <= tried[2].keys()


def test_a_role_is_planted_in_alone(tried):
    _, base, _, outputs = tried
    alone = [outputs[f"mish: silu ({place})"] - base for place in ("conv block", "time projection")]
    everywhere = outputs["mish: silu (everywhere)"] - base
    assert all(change.any() and not np.array_equal(change, everywhere) for change in alone)


def test_two_can_be_planted_together(tried):
    setup, _, known, outputs = tried
    both = paired(known["skip-first (skip connection)"], known["guidance-0.5 (guidance)"])
    output, _ = both.plant(setup).run(BUNDLED_OPS)
    assert not any(np.array_equal(output, outputs[t]) for t in outputs)
    again = paired(known["guidance-0.5 (guidance)"], known["skip-first (skip connection)"])
    np.testing.assert_array_equal(again.plant(setup).run(BUNDLED_OPS)[0], output)


def test_what_the_pipeline_does_anyway_or_fits_nowhere_is_left_out(tried):
    known = tried[2]
    assert "layer_norm: eps-1e-5 (everywhere)" not in known  # eps is 1e-5
    assert "linear: transposed-weight (query)" in known  # heads * width = channels here, so it is square
    assert "linear: transposed-weight (feed-forward, in)" not in known
