"""The command line: `opfuzz run`, `check`, `schema`, `backends`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

import opfuzz
from opfuzz.backends import Backend, discover, resolve
from opfuzz.campaign import Plan, load_specs, run
from opfuzz.case import SEED_LIMIT
from opfuzz.conclude import absences, conclude
from opfuzz.errors import OpfuzzError, did_you_mean
from opfuzz.floats import FORMATS
from opfuzz.rank import SORT_KEYS
from opfuzz.records import CLEAN, FAULT, SEVERITY
from opfuzz.report import terminal
from opfuzz.report.progress import Watcher
from opfuzz.report.text import plain
from opfuzz.spec import json_schema
from opfuzz.store import new_folder, summary

FINDINGS, USAGE, INTERNAL, INTERRUPTED = 1, 2, 3, 130
FAILING = tuple(v for v, severity in SEVERITY.items() if severity != CLEAN and v != "unsupported")  # of findings
DEFAULT_SECONDS = 60.0
DEFAULT_BACKENDS = ("torch", "mlx")

Paths = tuple[Path, ...]


def bundled_specs() -> Path:
    """The specs that came with opfuzz: in the wheel, or beside the package in a source tree."""
    inside = Path(opfuzz.__file__).with_name("specs")
    return inside if inside.is_dir() else Path(opfuzz.__file__).parent.with_name("specs")


def main() -> None:
    """Entry point: a user's mistake is one line and exit 2, an error of opfuzz is a traceback and exit 3."""
    try:
        code = cli.main(prog_name="opfuzz", standalone_mode=False)
    except click.exceptions.Abort:
        code = INTERRUPTED
    except click.ClickException as error:
        click.echo(_usage(error), err=True)
        code = USAGE
    except OpfuzzError as error:
        click.echo("\n".join(plain(line) for line in str(error).splitlines()), err=True)
        code = USAGE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception:
        import traceback

        traceback.print_exc()
        code = INTERNAL
    sys.exit(code or 0)


def _usage(error: click.ClickException) -> str:
    """What is wrong with a command, in one line; the help where there is no command."""
    words = error.format_message()
    if words.startswith("Usage:"):
        return words
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "opfuzz"
    return f"{command}: {plain(words.rstrip('.'))}; see '{command} --help'"


def duration(text: str) -> float:
    """`90`, `60s`, `5m`, `2h`, in seconds."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise click.BadParameter(f"'{text}' is no time; write 90, 60s, 5m or 2h")
    return seconds


def words(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Reads words with commas between them, each one of `known` if any are."""

    def read(text: str) -> tuple[str, ...]:
        found = tuple(word.strip() for word in text.split(",") if word.strip())
        if not found:
            raise click.BadParameter("the list is empty")
        for word in found:
            if known and word not in known:
                remedy = did_you_mean(word, known) or f"; known: {', '.join(known)}"
                raise click.BadParameter(f"unknown '{word}'{remedy}")
        return found

    return read


def seed_of(text: str) -> int:
    """A whole number, or `nightly` for today's date in UTC as a number."""
    if text == "nightly":
        return int(f"{datetime.now(UTC):%Y%m%d}")
    # Digits are counted first: Python refuses to read thousands of them.
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < SEED_LIMIT):
        raise click.BadParameter(f"'{text:.40}' is no seed; write a whole number below 2^64, or nightly")
    return int(text)


def plugin_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--plugin FILE.py`, given to the command as `backends`: all that there are."""

    @click.option(
        "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="Python file with a list BACKENDS."
    )
    @wraps(function)
    def with_backends(plugins: Paths, **options: Any) -> Any:
        return function(plugins=plugins, backends=discover(plugins), **options)

    return with_backends


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opfuzz")
def cli() -> None:
    """Find which operator makes two implementations of a network disagree, by how much, and why."""


@cli.command("run", short_help="Try ops on subjects, judge the results, and rank the ops.")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--subjects",
    type=words(),
    metavar="LIST",
    help="Such as torch:cpu,mlx:cpu. Default: all of torch and MLX that is here.",
)
@click.option("--op", "ops", type=words(), metavar="LIST", help="Only these ops.")
@click.option("--format", "formats", type=words(*FORMATS), metavar="LIST", help="Only these formats.")
@click.option("--cases", type=click.IntRange(min=1), help="Cases for each op, subject and format.")
@click.option("--time", "seconds", type=duration, metavar="TIME", help="How long to try cases; default 60s.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--seed", type=seed_of, metavar="SEED", default="0", help="A whole number, or nightly. Default 0.")
@click.option("--sort", type=click.Choice(SORT_KEYS), default="ulp", help="Order inside a severity.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option(
    "--fail-on", type=words(*FAILING), metavar="LIST", help="Exit 1 for these verdicts only; default: every fault."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Folder for runs.")
@plugin_option
def run_command(
    specs: Paths,
    subjects: tuple[str, ...] | None,
    ops: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    cases: int | None,
    seconds: float | None,
    jobs: int | None,
    seed: int,
    sort: str,
    as_json: bool,
    fail_on: tuple[str, ...] | None,
    out: Path,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Try every op in SPECS on every subject, judge the results, and rank the ops by ULP error.

    SPECS are files and folders; without any, the specs that come with opfuzz.
    """
    if cases is not None and seconds is not None:
        raise click.UsageError("--cases and --time are two budgets; give one of them")
    chosen = tuple(dict.fromkeys(str(resolve(text, backends)[0]) for text in subjects or _default_subjects(backends)))
    plan = Plan(
        specs=load_specs(specs or (bundled_specs(),), backends, ops or ()),
        subjects=chosen,
        seed=seed,
        jobs=jobs or os.cpu_count() or 1,
        formats=formats or tuple(FORMATS),
        plugins=plugins,
        cases=cases,
        seconds=seconds or (None if cases is not None else DEFAULT_SECONDS),
    )
    if not plan.pairs():
        raise OpfuzzError(f"no op in the specs has a format of {', '.join(plan.formats)}")
    started = datetime.now().astimezone()
    folder = new_folder(out, started, seed)
    try:
        with Watcher(plan) as watcher:
            for name, reason in absences(backends).items() if as_json else ():  # else the report says so
                watcher.say(f"absent: {name}: {plain(reason)}")
            progress = run(plan, watcher.watch)
    except BaseException:
        folder.rmdir()  # nothing is in it yet
        raise
    command = ("opfuzz", *sys.argv[1:])
    result = conclude(plan, progress, backends, folder, started, command, sort)
    if as_json:
        click.echo(json.dumps(summary(result, folder), allow_nan=False))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(terminal.render(result, folder, colour, _width()), nl=False)
    if result.interrupted:
        return INTERRUPTED
    if all(row.verdict == "unsupported" for row in result.ranking):
        raise OpfuzzError(f"nothing was compared: {', '.join(chosen)} can do none of these ops in these formats")
    failing = [f for f in result.findings if (f.verdict in fail_on if fail_on else f.severity == FAULT)]
    return FINDINGS if failing else 0


def _width() -> int | None:
    """Columns of the terminal, or as COLUMNS says; None where the output goes to a pipe or a file."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size((160, 24)).columns
    return None


def _default_subjects(backends: Mapping[str, Backend]) -> tuple[str, ...]:
    """Every device of torch and MLX that is here."""
    here = [backends[name] for name in DEFAULT_BACKENDS if not backends[name].absent()]
    found = tuple(f"{b.name}:{device}" for b in here for device, why in b.devices().items() if why is None)
    if not found:
        reasons = "; ".join(str(backends[name].absent()) for name in DEFAULT_BACKENDS)
        raise OpfuzzError(f"neither torch nor MLX is here ({reasons}); choose others with --subjects")
    return found


@cli.command(short_help="Check spec files.")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@plugin_option
def check(specs: Paths, plugins: Paths, backends: Mapping[str, Backend]) -> int:
    """Check SPECS: files and folders; without any, the specs that come with opfuzz."""
    found = load_specs(specs or (bundled_specs(),), backends)
    for backend in backends.values():
        if reason := backend.absent():
            click.echo(f"calls of {backend.dialect} are checked for their form only: {plain(reason)}", err=True)
    click.echo(f"{len(found)} {'spec is' if len(found) == 1 else 'specs are'} valid")
    return 0


@cli.command(short_help="Print a JSON Schema of a spec.")
def schema() -> int:
    """Print a JSON Schema of a spec, from which editors complete."""
    click.echo(json.dumps(json_schema(), indent=2))
    return 0


@cli.command("backends", short_help="List backends and devices, and why some are absent.")
@plugin_option
def backends_command(plugins: Paths, backends: Mapping[str, Backend]) -> int:
    """List what is here, with versions and devices, and why the rest is absent."""
    rows = []
    for name, backend in backends.items():
        if reason := backend.absent():
            rows.append([name, backend.dialect, "", "absent", plain(reason)])
            continue
        for device, why in backend.devices().items():
            formats = ", ".join(f for f in FORMATS if backend.supports(f, device))
            rows.append(
                [
                    f"{name}:{device}",
                    backend.dialect,
                    backend.version(),
                    "absent" if why else "here",
                    plain(why or formats),
                ]
            )
    click.echo(
        tabulate(
            rows, ("subject", "dialect", "version", "", "formats, or why not"), tablefmt="simple", disable_numparse=True
        )
    )
    return 0
