"""`opfuzz profile`: record where a network calls its ops, and how much of their errors it passes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from opfuzz.backends import Backend, resolve
from opfuzz.cli.group import Paths, bundled_specs, plugin_option
from opfuzz.cli.network.localize import model_options
from opfuzz.core.files.whole_file import write_text
from opfuzz.engine.drivers.pipeline_bench import LocalizePlan, computing, load_model
from opfuzz.engine.plan import load_specs
from opfuzz.network.pipeline.gain import gains
from opfuzz.network.pipeline.planting import Setup
from opfuzz.report.progress import Counted
from opfuzz.report.text import plain
from opfuzz.spec.profile import profile_of, write_profile


@click.command("profile")
@click.argument("model")
@click.option("--subject", default="torch:cpu", metavar="SUBJECT", help="Who computes. Default torch:cpu.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; default: standard output.")
@model_options
@plugin_option
def profile_command(
    model: str,
    subject: str,
    output: Path | None,
    weights: Path | None,
    config: Path | None,
    inputs: Path | None,
    seed: int,
    specs: Paths,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Run MODEL and write down, for each op, the sizes, params and values that it is called with, and its gain.

    MODEL is `decoder`, the bundled flow-matching decoder, or a Python file: with a torch `model` and its `inputs`, or
    with a pipeline of your own. The gain of an
    op is the relative change of the output when every element that the op computes is one ulp off; it takes a pass
    through the network for each op.
    """
    text, _ = resolve(subject, backends)
    paths = specs or (bundled_specs(),)
    plan = LocalizePlan(
        model, str(text), str(text), paths, plugins, weights=weights, config=config, inputs=inputs, seed=seed
    )
    loaded = {spec.op: spec for spec in load_specs(paths, backends)}
    network = load_model(plan, loaded)
    setup = Setup(network.pipeline, network.weights, network.inputs, computing(str(text), plugins))
    with Counted("passes through the network") as counted:
        points, found = gains(setup, loaded, seed, counted.watch)
    written = write_profile(profile_of(network.name, points, found))
    if output is None:
        click.echo(written, nl=False)
    else:
        write_text(output, written)
        said = f"{output}: where {len({point.op for point in points})} ops are called; opfuzz run --profile {output}"
        click.echo(plain(said), err=True)
    return 0
