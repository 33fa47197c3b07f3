"""`opfuzz backends`: what is here, and why the rest is not."""

from __future__ import annotations

from collections.abc import Mapping

import click
from tabulate import tabulate

from opfuzz.backends import Backend
from opfuzz.cli.group import Paths, plugin_option
from opfuzz.floats import FORMATS
from opfuzz.report.text import plain


@click.command("backends", short_help="List backends and devices, and why some are absent.")
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
