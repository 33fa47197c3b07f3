"""`opfuzz check` and `opfuzz schema`: spec files, and what other files hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from opfuzz.backends import Backend, callable_names
from opfuzz.cli.group import Paths, bundled_specs, plugin_option
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.cli.settings.keys import settings_schema
from opfuzz.engine.plan import load_specs
from opfuzz.report.ops_page import ops_page
from opfuzz.report.text import plain
from opfuzz.spec import json_schema
from opfuzz.store.schema import run_schema


@click.command(cls=SettledCommand)
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--page", is_flag=True, help="Print a page of the ops in Markdown: calls, formats, variants.")
@plugin_option
def check(specs: Paths, page: bool, plugins: Paths, backends: Mapping[str, Backend]) -> int:
    """Check SPECS: files and folders; without any, the specs that come with opfuzz."""
    found = load_specs(specs or (bundled_specs(),), backends)
    if page:
        click.echo(ops_page(found), nl=False)
        return 0
    here = {backend.dialect for backend in backends.values() if callable_names(backend) is not None}
    for backend in backends.values():
        if backend.dialect not in here:
            reason = backend.absent() or ""
            click.echo(f"calls of {backend.dialect} are checked for their form only: {plain(reason)}", err=True)
    click.echo(f"{len(found)} {'spec is' if len(found) == 1 else 'specs are'} valid")
    return 0


@click.command
@click.argument("what", type=click.Choice(("spec", "settings", "run")), default="spec")
def schema(what: str) -> int:
    """Print the JSON Schema of WHAT: of a spec, from which editors complete, of settings, or of run.json."""
    click.echo(json.dumps(SCHEMAS[what](), indent=2))
    return 0


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "spec": json_schema,
    "settings": settings_schema,
    "run": run_schema,
}
