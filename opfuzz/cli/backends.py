"""`opfuzz backends`: what is here, and why the rest is not."""

from __future__ import annotations

from collections.abc import Mapping

import click
from tabulate import tabulate

from opfuzz.backends import Backend
from opfuzz.cli.group import Paths, plugin_option
from opfuzz.engine.doctor import standings
from opfuzz.report.text import plain

HEADERS = ("subject", "dialect", "version", "", "formats, or why not")


@click.command("backends")
@plugin_option
def backends_command(plugins: Paths, backends: Mapping[str, Backend]) -> int:
    """List what is here, with versions and devices, and why the rest is absent."""
    rows = []
    for each in standings(backends):
        words = plain(each.absent or ", ".join(each.formats))
        rows.append([each.subject, each.dialect, each.version, "absent" if each.absent else "here", words])
    click.echo(tabulate(rows, HEADERS, tablefmt="simple", disable_numparse=True))
    return 0
