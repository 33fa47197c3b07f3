"""`opfuzz config`: what `opfuzz run` would take, and where each value is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from tabulate import tabulate

from opfuzz.cli.run import run_command
from opfuzz.cli.settings.command import HERE, PARAMS, SettledCommand
from opfuzz.cli.settings.layers import FileSettings
from opfuzz.engine.carry import DEFAULT_SECONDS, LEAST_SHRINKING
from opfuzz.report.text import plain
from opfuzz.store.accepted import FILE as ACCEPTED

GIB = 2**30
BUILT_IN, OPTION = "built-in", "option"
UNSAID: Mapping[str, str] = {  # what holds where nobody says it
    "specs": "those that come with opfuzz",
    "plugins": "none",
    "subjects": "all of torch and MLX that is here",
    "ops": "all",
    "cases": "as many as the time allows",
    "jobs": "the number of cores",
    "fail-on": "every fault",
    "shrink": f"as long as the cases took, {LEAST_SHRINKING:g}s at least",
    "case-time": "10s, longer where something compiles",
    "corpus": "corpus in out",
    "baseline": "none",
    "baseline-python": "none",
    "accepted": f"{ACCEPTED} in out",
    "scheduler": "none",
    "tls-ca": "none",
    "tls-cert": "none",
    "tls-key": "none",
}


@click.command(
    "config",
    cls=SettledCommand,
    is_run=True,
    params=[param for param in run_command.params if param.name in {*PARAMS.values()}],
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.pass_context
def config_command(context: click.Context, /, as_json: bool, **given: Any) -> int:
    """Print every setting of `opfuzz run`, its value, and where it is said: a line of a file, an option, or built in.

    It takes the options of `opfuzz run`. An option comes before a profile of the settings, a profile before the rest of
    the file, the file before what is built in. Paths in a file are relative to the file.
    """
    settings: FileSettings = context.meta[HERE]
    told = {key: (_value(key, given[name], given), _origin(context, key, name)) for key, name in PARAMS.items()}
    path = str(settings.file.path) if settings.file else None
    if as_json:
        values = {key: {"value": value, "from": origin} for key, (value, origin) in told.items()}
        click.echo(json.dumps({"file": path, "profile": settings.profile, "settings": values}))
        return 0
    click.echo(plain(f"{path or 'no file of settings'}, profile {settings.profile}") + "\n")
    rows = [(key, plain(_words(key, value, given)), plain(origin)) for key, (value, origin) in told.items()]
    click.echo(tabulate(rows, ("setting", "value", "from"), tablefmt="simple", disable_numparse=True))
    return 0


def _origin(context: click.Context, key: str, name: str) -> str:
    settings: FileSettings = context.meta[HERE]
    match context.get_parameter_source(name):
        case ParameterSource.DEFAULT_MAP:
            return settings.values[key].origin
        case ParameterSource.DEFAULT | None:
            return BUILT_IN
        case ParameterSource.ENVIRONMENT:
            return f"environment of {name}"
        case _:
            return OPTION


def _value(key: str, value: Any, given: Mapping[str, Any]) -> Any:
    """As JSON has it; times in seconds, sizes in bytes."""
    if key == "time" and value is None and given["cases"] is None:
        return DEFAULT_SECONDS
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _words(key: str, value: Any, given: Mapping[str, Any]) -> str:
    if value is None or value == []:
        return "none; there are cases" if key == "time" else UNSAID[key]
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if key == "case-memory":
        return f"{value / GIB:g}G"
    return f"{value:g}s" if isinstance(value, float) else str(value)
