"""`opfuzz completion`: the script that makes a shell complete commands, options, ops, subjects, runs and findings.

The shell asks opfuzz itself at every tab, so the answers come from names of files alone: no framework is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from opfuzz.cli.group import bundled_specs
from opfuzz.cli.settings.layers import profiles_here
from opfuzz.core.floats import FORMATS
from opfuzz.core.shipped import shipped
from opfuzz.core.verdicts import CLEAN, SEVERITY

SHELLS = {
    "bash": "opfuzz completion bash > ~/.local/share/bash-completion/completions/opfuzz",
    "zsh": "opfuzz completion zsh > a folder of your fpath, as _opfuzz; then: compinit",
    "fish": "opfuzz completion fish > ~/.config/fish/completions/opfuzz.fish",
}
VARIABLE = "_OPFUZZ_COMPLETE"
# Every device that a backend of opfuzz may have; to ask the backends would import them.
SUBJECTS = (
    "torch:cpu",
    "torch:cuda",
    "torch:mps",
    "mlx:cpu",
    "mlx:gpu",
    "numpy:cpu",
    "jax:cpu",
    "jax:gpu",
    "onnxruntime:cpu",
    "openvino:cpu",
    "coreml:cpu",
    "coreml:all",
)
OP = re.compile(rb"^op:\s*([a-z][a-z0-9_]*)", re.MULTILINE)
HEAD = 4096  # bytes of a spec in which its op is looked for

Names = Callable[[click.Context], Iterable[str]]


@click.command("completion")
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def completion_command(shell: str) -> int:
    """Print a script for SHELL; where to put it is said at its beginning."""
    kind = get_completion_class(shell)
    assert kind is not None
    # click's own bash class runs bash to see how old it is; this script may be for another machine.
    text = ShellComplete.source(kind(click.Group(), {}, "opfuzz", VARIABLE))
    head = "" if shell == "zsh" else f"# {SHELLS[shell]}\n"  # zsh wants its own first line first
    click.echo(f"{head}{text.strip()}")
    return 0


def complete(command: click.Command) -> None:
    """Give the parameters of a command, or of those of a group, the names that they take, by what each is called."""
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        complete(inner)
    for param in command.params:
        names = OF_COMMAND.get((command.name, param.name)) or BY_NAME.get(param.name or "")
        if names is not None and not isinstance(param.type, click.Choice | click.Path):
            _answer(param, names, is_list=param.metavar == "LIST")


def _answer(param: click.Parameter, names: Names, is_list: bool) -> None:
    """Complete a parameter with names; in a list, what follows the last comma."""

    def shell_complete(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        before, comma, word = incomplete.rpartition(",") if is_list else ("", "", incomplete)
        given = before.split(",")
        return [CompletionItem(before + comma + n) for n in names(ctx) if n.startswith(word) and n not in given]

    param.shell_complete = shell_complete  # type: ignore[method-assign]  # the same as the argument of click.option


def ops(ctx: click.Context) -> list[str]:
    """Ops of the specs that the command names so far, else of those that came with opfuzz."""
    found: set[str] = set()
    # While an option lacks its value, click leaves the words before it where they are.
    named = ctx.params.get("specs") or [word for word in ctx.args if Path(word).exists()]
    for path in named or (bundled_specs(),):
        for file in sorted(Path(path).rglob("*.yaml")) if Path(path).is_dir() else (Path(path),):
            found.update(_op(file))
    return sorted(found)


def _op(file: Path) -> Iterator[str]:
    try:
        with file.open("rb") as opened:
            match = OP.search(opened.read(HEAD))
    except OSError:
        return
    if match:
        yield match[1].decode()


def subjects(ctx: click.Context) -> tuple[str, ...]:
    """Devices of the backends of opfuzz, whether they are here or not."""
    return SUBJECTS


def formats(ctx: click.Context) -> list[str]:
    """All formats."""
    return list(FORMATS)


def reports(ctx: click.Context) -> list[str]:
    """Formats of a report."""
    from opfuzz.cli.report import NAMES  # which imports much that no other answer needs

    return list(NAMES)


def runs(ctx: click.Context) -> list[str]:
    """Runs in the folder of runs, the newest first, after the word for that."""
    return ["latest", *(folder.name for folder in _runs(ctx))]


def findings(ctx: click.Context) -> list[str]:
    """Ids of findings, of the run that is named or of all."""
    wanted = ctx.params.get("run")
    chosen = [folder for folder in _runs(ctx) if wanted in (None, "latest", folder.name)]
    if wanted in (None, "latest"):
        chosen = chosen[:1]
    return sorted(path.parent.name for folder in chosen for path in folder.glob("findings/*/finding.json"))


def _runs(ctx: click.Context) -> list[Path]:
    folder = Path(ctx.params.get("reports") or ctx.params.get("out") or "reports")
    return sorted((path.parent for path in folder.glob("*/run.json")), reverse=True)


def verdicts(ctx: click.Context) -> list[str]:
    """Those of findings."""
    return [verdict for verdict, severity in SEVERITY.items() if severity != CLEAN and verdict != "unsupported"]


def recorded(ctx: click.Context) -> list[str]:
    """Programs that wrote outputs for the cases of a folder."""
    # While an option lacks its value, click leaves the words before it where they are.
    folder = Path(ctx.params.get("folder") or next(iter(ctx.args), ".")) / "outputs"
    return sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())


def seeds(ctx: click.Context) -> tuple[str, ...]:
    """The one that has a name."""
    return ("nightly",)


def models(ctx: click.Context) -> tuple[str, ...]:
    """Profiles that came with opfuzz."""
    return tuple(sorted(path.stem for path in shipped("profiles").glob("*.yaml")))


def profiles(ctx: click.Context) -> list[str]:
    """Profiles of the settings that hold here, and those that are built in."""
    return profiles_here()


BY_NAME: dict[str, Names] = {
    "a": subjects,
    "after": runs,
    "b": subjects,
    "baseline": runs,
    "before": runs,
    "fail_on": verdicts,
    "finding": findings,
    "formats": formats,
    "names": recorded,
    "op": ops,
    "ops": ops,
    "probed": subjects,
    "profiled": models,
    "run": runs,
    "seed": seeds,
    "settings": profiles,
    "subject": subjects,
    "subjects": subjects,
}
# Where a name means something else.
OF_COMMAND: dict[tuple[str | None, str | None], Names] = {
    ("report", "formats"): reports,
}
