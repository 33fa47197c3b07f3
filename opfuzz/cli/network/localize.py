"""`opfuzz localize`: from operators to the drift of a whole network."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import click

from opfuzz.backends import Backend, resolve
from opfuzz.cli.group import CountRange, Paths, bundled_specs, ending, plugin_option, seed_of
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.engine.drivers.localize import localize
from opfuzz.engine.drivers.pipeline_bench import LocalizePlan
from opfuzz.network.localize.observed import Observed, exported_side, read_figures, read_tensor
from opfuzz.network.localize.result import Localization, to_json
from opfuzz.network.pipeline.dispatch import Array
from opfuzz.report.network import localization as localization_text
from opfuzz.report.network import localization_markdown
from opfuzz.report.progress import Counted
from opfuzz.report.text import plain
from opfuzz.store.write import new_folder


def frames_of(text: str) -> tuple[int, int]:
    """`36:96`."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text, re.ASCII)
    if match is None or int(match[1]) >= int(match[2]):
        raise click.BadParameter(f"'{text:.40}' is no range; write A:B, such as 36:96, with A below B")
    return int(match[1]), int(match[2])


def model_options(function: click.decorators.FC) -> click.decorators.FC:
    """Which network, with what weights and inputs: shared with `opfuzz profile`."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--weights", type=path, help="Tensors with PyTorch's names; a whole checkpoint will do."),
        click.option("--config", type=path, help="JSON of the decoder's settings; else read off the weights."),
        click.option("--inputs", type=path, help="Tensors mu, spks, cond, noise, mask."),
        click.option("--seed", type=seed_of, default="0", metavar="SEED", help="Of what no file gives. Default 0."),
        click.option("--specs", type=path, multiple=True, help="Specs of ops; default: those that come with opfuzz."),
    ):
        function = option(function)
    return function


@click.command("localize", cls=SettledCommand)
@click.argument("model")
@click.option("--a", default="torch:cpu", metavar="SUBJECT", help="The side that is right. Default torch:cpu.")
@click.option("--b", default="mlx:cpu", metavar="SUBJECT", help="The side that drifts. Default mlx:cpu.")
@click.option("--observed", metavar="FIGURES|FILE", help="corr=..,mae=..,median=..,max=.., or the other side's tensor.")
@click.option("--frames", type=frames_of, metavar="A:B", help="Places of the output's last axis that count.")
@click.option("--pairs", is_flag=True, help="Also plant two variants at once, the most promising pairs first.")
@click.option("--all", "all_", is_flag=True, help="Try every reading, where one explains what was observed, too.")
@click.option("--jobs", type=CountRange(min=1), help="Processes; default: the number of cores.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Folder for reports.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@model_options
@plugin_option
def localize_command(
    model: str,
    a: str,
    b: str,
    observed: str | None,
    frames: tuple[int, int] | None,
    pairs: bool,
    all_: bool,
    jobs: int | None,
    out: Path,
    as_json: bool,
    weights: Path | None,
    config: Path | None,
    inputs: Path | None,
    seed: int,
    specs: Paths,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Run MODEL on two subjects and find what could make their outputs differ as they were seen to.

    MODEL is `decoder`, the bundled flow-matching decoder, or a Python file: with a torch `model` and its `inputs`, or
    with a pipeline of your own. Where the file names an exported model, `b = "model.onnx"` or a .pt2 file, what that
    gives is what was observed. Every op is run alone on side B, and every wrong reading of every op, of the network,
    the weights and the precision is planted alone on side A, until one explains what was observed.
    """
    if pairs and observed is None:
        raise click.UsageError("--pairs needs --observed, or there is nothing to come near to")
    reader = _reader(observed, Path(model))
    with Counted("passes through the network") as counted:
        counted.say(f"{model}: loading, and a first pass through it on each side")  # frameworks take seconds, too
        plan = LocalizePlan(
            model=model,
            a=str(resolve(a, backends)[0]),
            b=str(resolve(b, backends)[0]),
            specs=specs or (bundled_specs(),),
            plugins=plugins,
            weights=weights,
            config=config,
            inputs=inputs,
            frames=frames,
            seed=seed,
            jobs=jobs or os.cpu_count() or 1,
            pairs=pairs,
            all=all_,
        )
        folder = new_folder(out, datetime.now().astimezone(), re.sub(r"[^\w.-]", "_", Path(model).stem))
        try:
            found = localize(plan, reader, counted.watch)
        except BaseException:
            folder.rmdir()  # nothing is in it yet
            raise
    _write(found, folder)
    if as_json:
        click.echo(json.dumps({**to_json(found), "path": str(folder)}, allow_nan=False))
    else:
        click.echo(f"{localization_text.render(found)}\n{plain(str(folder / 'report.md'))}")
    return ending() if found.interrupted else 0


def _write(found: Localization, folder: Path) -> None:
    """The JSON first: it is the truth. Pictures and report are made from the same record."""
    from opfuzz.report.network import pictures  # drawing takes seconds to load, and comes last

    write_text(folder / "localization.json", json.dumps(to_json(found), indent=1, allow_nan=False) + "\n")
    drawn = pictures.draw(found)
    for name, picture in drawn.items():
        write_text(folder / name, picture)
    write_text(folder / "report.md", localization_markdown.render(found, drawn.keys()))


def _reader(text: str | None, model: Path) -> Callable[[Array], Observed | None]:
    """What `--observed` says, once the output's shape is known; mistakes in figures and a missing file at once.

    Without it, what the exported model gives that the file of the model names as its side `b`.
    """
    if text is None:
        return (exported_side(model) if model.is_file() else None) or (lambda output: None)
    if "=" not in text and not Path(text).is_file():
        raise OpfuzzError(f"--observed: '{text:.80}' is no file, and no figures such as corr=0.98,mae=0.3")
    if "=" not in text or Path(text).is_file():
        return lambda output: read_tensor(Path(text), output)
    figures = read_figures(text)
    return lambda output: figures
